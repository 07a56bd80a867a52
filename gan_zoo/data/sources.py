"""Sources of training data, which share one interface. `gan_zoo.data.load` reads from them."""

import functools
import json
import operator
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from gan_zoo.data import cache, few_labels, synthetic
from gan_zoo.data.decoding import no_labels
from gan_zoo.util.checks import whole
from gan_zoo.util.errors import UserError
from gan_zoo.util.seeds import stream

if TYPE_CHECKING:
    import tensorflow as tf

ALIGNMENT = 64
"""Alignment of TensorFlow's tensors in bytes."""
PARALLEL = min(os.cpu_count() or 1, 8)
"""Number of minibatches that are prepared in parallel."""

_POINT_SETTINGS = {"split": None, "resolution": None, "crop": None}
"""Settings of points, in place of the settings of images."""


class Outline:
    """Facts about a dataset that are known before its images are decoded.

    Attributes:
        name: The name given to `open_source`; for points the canonical name of the distribution.
        kind: "image" or "points".
        shape: Shape of one example: (H, W, C), or (dim,).
        size: Number of examples, or None if they are drawn without end. Before decoding it includes images that cannot
            be decoded. None for a TFDS dataset that is not downloaded yet.
        classes: Names of the K classes, by label, or None for a dataset without classes.
        num_classes: K, or None.
        labelled: Whether `Source.batches` yields labels by default, because `find_source` was called with labels.

    Raises:
        UserError: If labels are requested and there are no classes.
    """

    kind: str

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        size: int | None,
        classes: tuple[str, ...] | None,
        settings: dict[str, Any],
        labelled: bool = False,
    ):
        self.name = name
        self.shape = shape
        self.size = size
        self.classes = classes or None
        self.num_classes = len(classes) if classes else None
        self.labelled = bool(labelled)
        self._settings = settings
        self._check_classes(self.labelled)

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The earlier name of `classes`."""
        return self.classes

    def describe(self) -> dict[str, Any]:
        """Returns the resolved settings as JSON types, for the record of a run.

        `open_source` with the name, split, resolution and crop of this dictionary opens the same images. A dataset with
        labels has the names of its classes under "classes"; a dataset without labels has no such key.
        """
        # None for points without labels, as early versions recorded it. Their runs must continue to work.
        num_classes = self.num_classes if self.labelled or self.kind == "image" else None
        described = {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "size": self.size,
            "num_classes": num_classes,
            **self._settings,
        }
        return {**described, "classes": list(self.classes)} if self.labelled else described

    def steps_per_epoch(self, batch: int) -> int | None:
        """Returns the steps in which every example is used once, except the few that do not fill a last batch.

        Args:
            batch: Number of examples in one step, n_critic * batch_size.

        Returns:
            The number of steps, or None for an endless source.

        Raises:
            UserError: If one step takes more examples than there are.
        """
        if self.size is None:
            return None
        if batch > self.size:
            raise UserError(
                f"batch_size: one step takes n_critic * batch_size = {batch} examples, but {self._described()} has "
                f"only {self.size}. Use a smaller batch_size or n_critic, or more data."
            )
        return self.size // batch

    def check(
        self,
        batch_size: int = 64,
        *,
        n_critic: int = 1,
        seed: int = 0,
        labels: bool | None = None,
        labelled: int | None = None,
        start_step: int = 0,
    ) -> None:
        """Checks the arguments of `Source.batches`.

        Raises:
            UserError: If an argument is out of range, or labels are requested and there are no classes.
        """
        batch = whole("n_critic", n_critic, 1) * whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start_step", start_step, 0)
        self.steps_per_epoch(batch)
        self._check_classes(labels)
        if labelled is not None:
            if labels:
                raise UserError("labels and labelled exclude each other: all examples have labels, or only a few.")
            self._check_classes(True)
            few_labels.check(self._described(), whole("labelled", labelled, 1), self.classes, self.size)

    def _check_classes(self, labels: bool | None) -> None:
        if labels and self.classes is None:
            raise no_labels(self.name)

    def _described(self) -> str:
        split = self._settings["split"]
        return f"{self.name} (split {split})" if split else self.name


class Found(Outline):
    """A dataset that is found but not opened yet. `find_source` returns it.

    Args:
        kind: "image" or "points".
        opener: Returns the source.
        *args: As for `Outline`.
    """

    def __init__(self, kind: str, opener: Callable[[], "Source"], *args):
        super().__init__(*args)
        self.kind = kind
        self._opener = opener

    def open(self) -> "Source":
        """Prepares the dataset: downloads, decodes, crops, resizes and caches it, as far as necessary.

        Raises:
            UserError: If this fails. The message says what to do.
        """
        return self._opener()


class Source(Outline):
    """A dataset that is ready to be read.

    Element s of `batches` depends only on the source, the seed, s and `before`, so a stream can start at any step. The
    attributes are those of `Outline`.
    """

    def checksum(self) -> int | None:
        """Returns a number that changes with the examples in memory, and with their labels if the source is labelled.

        None if there are neither: examples are drawn, or memory-mapped from the disk.
        """
        return None

    def batches(
        self,
        batch_size: int = 64,
        *,
        n_critic: int = 1,
        seed: int = 0,
        labels: bool | None = None,
        labelled: int | None = None,
        labelled_seed: int | None = None,
        start_step: int = 0,
        before: Sequence[tuple[int, int]] = (),
    ) -> "tf.data.Dataset":
        """Returns the stream of training data.

        Args:
            batch_size: Examples in the minibatch of one optimizer step.
            n_critic: Discriminator steps per generator step. One element holds the minibatches of all of them.
            seed: Determines the order, or the draws.
            labels: Whether to yield labels. None yields them if `find_source` was called with labels, see `labelled`.
            labelled: Number of examples with labels, for a model that learns from few labels: those of
                `labelled_examples`. All other labels are unknown. None for other models.
            labelled_seed: Seed of the choice of these examples. None takes `seed`.
            start_step: The first element. A stream that starts at s yields the same elements as a stream that starts at
                0 does from its element s on, bit for bit.
            before: Elements of other sizes that the same seed has already used, in order: pairs of the number of
                examples in an element, n_critic * batch_size, and the number of elements. The stream continues after
                them, so that no example is repeated before the epoch is over.

        Returns:
            An endless `tf.data.Dataset`. An element is float32 [n_critic * batch_size, H, W, C] in [-1, 1], or
            [n_critic * batch_size, dim] in the units of the distribution. With labels, it is a pair of these and the
            labels, int32 [n_critic * batch_size] in 0..K-1. Labels do not change the examples or their order. With
            `labelled` it is a dictionary of the same examples as "images", and of as many examples with labels as
            "labelled" and "labels": permutations of the labelled examples, one after the other.
            `tf.distribute` strategies split each element between their replicas.

        Raises:
            UserError: If an argument is out of range, or labels are requested and there are none.
        """
        import tensorflow as tf

        if labels is None:
            labels = self.labelled and labelled is None
        self.check(batch_size, n_critic=n_critic, seed=seed, labels=labels, labelled=labelled, start_step=start_step)
        batch, start_step, seed = operator.index(n_critic * batch_size), *map(operator.index, (start_step, seed))
        dataset = self._elements(batch, stream(seed, "data"), bool(labels), start_step, before)
        if labelled is not None:
            kept = self._labelled_arrays(labelled, seed if labelled_seed is None else labelled_seed)
            first = sum(size * elements for size, elements in before)
            dataset = tf.data.Dataset.zip(dataset, self._labelled_elements(batch, kept, seed, start_step, first))
            dataset = dataset.map(lambda x, pair: {"images": x, "labelled": pair[0], "labels": pair[1]})
        options = tf.data.Options()
        options.deterministic = True
        # The thread that tunes a pipeline waits longer after each trial, and at its end `fit` waits for this thread.
        options.autotune.enabled = False
        # Every worker computes the same elements and takes its part of each. Sharding the source by file or by element
        # would give different minibatches than a single worker gets.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        dataset = dataset.prefetch(2).with_options(options)
        dataset.is_checked = True  # `fit` need not check every batch
        return dataset

    def labelled_examples(self, labelled: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Returns the examples with labels of a stream with `labelled`, and their labels.

        They are as many of each class, or one more of some classes, chosen at random.

        Args:
            labelled: Number of examples.
            seed: The seed of the stream, or its `labelled_seed`.

        Returns:
            Examples, float32 [labelled, ...] as in the stream, and labels, int32 [labelled], ordered by class.

        Raises:
            UserError: If there are no classes, or not as many examples of each class.
        """
        self.check(1, labelled=labelled)
        x, labels = self._labelled_arrays(labelled, seed)
        return (to_float(x).numpy() if x.dtype == np.uint8 else x), labels

    def _labelled_arrays(self, labelled: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns `labelled_examples`, uint8 if they are images."""
        random = np.random.default_rng(stream(seed, "labelled examples"))
        return self._choose_labelled(few_labels.counts(labelled, self.num_classes, random), random)

    def _choose_labelled(self, wanted: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Chooses examples of each class, [K] of them, ordered by class; returns them and their labels."""
        raise NotImplementedError

    def _labelled_elements(
        self, batch: int, kept: tuple[np.ndarray, np.ndarray], seed: int, start_step: int, first: int
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        order, count = stream(seed, "labelled order"), len(kept[1])

        def element(step, kept):
            x, labels = kept.get_value()
            chosen = few_labels.positions(count, batch, first + step * batch, order)
            x = tf.gather(x, chosen)
            return (to_float(x) if x.dtype == tf.uint8 else x), tf.gather(labels, chosen)

        steps = tf.data.Dataset.counter(start_step)
        return tf.data.Dataset.zip(steps, endless(*kept)).map(element, num_parallel_calls=PARALLEL)

    def _lacking(self, missing: np.ndarray, wanted: np.ndarray) -> UserError:
        """Returns the error that a class has too few examples."""
        k = int(missing.argmax())
        return UserError(
            f"labelled: {wanted.sum()} examples, as many of each class, are {wanted[k]} of class {self.classes[k]!r}, "
            f"but {self._described()} has only {wanted[k] - missing[k]}: take fewer."
        )

    # No part of a stream may call Python: a prefetch that waits for the interpreter during its shutdown blocks the
    # process forever.
    def _elements(
        self, batch: int, seed: int, labels: bool, start_step: int, before: Sequence[tuple[int, int]]
    ) -> "tf.data.Dataset":
        raise NotImplementedError


class ImageSource(Source):
    """Images of one size, decoded.

    Attributes:
        images: uint8 [N, H, W, C], in the order of the source; in memory or memory-mapped from the disk, and read-only.
        labels: int32 [N], or None for a dataset without classes.

    Raises:
        UserError: If the source is labelled, and an image belongs to no class.
    """

    kind = "image"

    def __init__(
        self,
        name: str,
        images: np.ndarray,
        labels: np.ndarray,
        classes: tuple[str, ...] | None,
        settings: dict[str, Any],
        labelled: bool = False,
    ):
        super().__init__(name, images.shape[1:], len(images), classes, settings, labelled)
        aligned = images.flags.c_contiguous and images.ctypes.data % ALIGNMENT == 0
        self.images = (images if aligned else cache.aligned(images)).view()
        self.images.flags.writeable = False
        self.labels = labels.astype(np.int32) if classes else None
        if labelled:
            self._check_labels()

    def checksum(self) -> int | None:
        """Returns the CRC-32C of the images, unless memory-mapped, and of labels and classes if labelled.

        None if there are neither.
        """
        # The C library accepts arrays, but not memoryviews of them.
        parts = [self.images.reshape(-1)] if self.images.nbytes <= cache.MEMORY_LIMIT else []
        if self.labelled:
            parts += [self.labels.tobytes(), json.dumps(self.classes).encode()]
        return functools.reduce(google_crc32c.extend, parts, 0) if parts else None

    def _check_labels(self) -> None:
        """Checks that every image belongs to a class.

        Raises:
            UserError: If a label is outside 0..K-1. TFDS uses -1 for unknown classes, often in test splits.
        """
        bad = (self.labels < 0) | (self.labels >= self.num_classes)
        if bad.any():
            raise UserError(
                f"labels: {bad.sum()} of the {self.size} images of {self._described()} belong to no class: their "
                f"labels, such as {self.labels[bad][0]}, are not in 0..{self.num_classes - 1}. Choose a split in which "
                f"every image has a class, or leave labels out."
            )

    def _elements(
        self, batch: int, seed: int, labels: bool, start_step: int, before: Sequence[tuple[int, int]]
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        first_epoch, first = self._position(before)
        steps, left = self.steps_per_epoch(batch), (self.size - first) // batch
        if start_step < left:
            rest, done = first_epoch, start_step
        else:  # the stream begins in a later epoch
            passed, done = divmod(start_step - left, steps)
            rest, first = first_epoch + 1 + passed, 0

        def epoch(number):
            order = tf.random.experimental.stateless_shuffle(tf.range(self.size), tf.stack([seed, number]))
            start = tf.where(number == rest, first, 0)
            count = (self.size - start) // batch
            return tf.data.Dataset.from_tensor_slices(tf.reshape(order[start : start + count * batch], (count, batch)))

        def element(chosen, kept):
            images, *targets = kept.get_value()
            x = to_float(tf.gather(images, chosen))
            return (x, tf.gather(targets[0], chosen)) if labels else x

        orders = tf.data.Dataset.counter(rest).flat_map(epoch).skip(done)
        everything = self.everything(labels)
        return tf.data.Dataset.zip(orders, everything).map(element, num_parallel_calls=PARALLEL)

    def _position(self, before: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Returns the epoch that a stream has reached, and how many of its examples are used."""
        epoch, gone = 0, 0
        for size, elements in before:
            left = (self.size - gone) // size
            if elements > left:
                passed, elements = divmod(elements - left - 1, self.steps_per_epoch(size))
                epoch, gone, elements = epoch + 1 + passed, 0, elements + 1
            gone += elements * size
        return epoch, gone

    def everything(self, labels: bool = False) -> "tf.data.Dataset":
        """Returns an endless dataset whose elements are all the same: an optional of all images and requested labels.

        They take no additional memory, however often they are read.

        Raises:
            UserError: If labels are requested, and an image belongs to no class.
        """
        if labels:
            self._check_labels()
        return endless(self.images, *([self.labels] if labels else []))

    def check(self, *args, labelled: int | None = None, **kwargs) -> None:
        """Checks the arguments of `Source.batches`, and that each class has enough examples.

        Raises:
            UserError: As for `Outline.check`, or if a class has too few examples for `labelled`.
        """
        super().check(*args, labelled=labelled, **kwargs)
        if labelled is not None:
            self._labelled_arrays(labelled, 0)

    def _choose_labelled(self, wanted, random):
        self._check_labels()
        chosen, missing = few_labels.choose(self.labels, wanted, random)
        if missing.any():
            raise self._lacking(missing, wanted)
        return self.images[chosen], self.labels[chosen]


def endless(*arrays: np.ndarray) -> "tf.data.Dataset":
    """Returns an endless dataset whose elements are all the same: an optional of the arrays. Bytes are not copied."""
    import tensorflow as tf

    with tf.device("/CPU:0"):
        kept = tf.experimental.Optional.from_value(tuple(map(_shared, arrays)))
    return tf.data.Dataset.from_tensors(kept).repeat()


def _shared(array: np.ndarray) -> "tf.Tensor | np.ndarray":
    """Returns bytes as a tensor that shares their memory, if they are aligned; other arrays are unchanged."""
    import tensorflow as tf

    if array.dtype != np.uint8:
        return array
    if array.ctypes.data % ALIGNMENT or not array.flags.c_contiguous:
        array = cache.aligned(array)
    # DLPack shares the memory, and so does an optional. A tensor that a function captures or a dataset holds is copied
    # in full whenever TensorFlow rewrites the graph of the pipeline.
    return tf.experimental.dlpack.from_dlpack(np.asarray(_Unlocked(array)).__dlpack__())


def to_float(pixels: "tf.Tensor") -> "tf.Tensor":
    """Converts uint8 to float32 in [-1, 1]."""
    import tensorflow as tf

    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


class _Unlocked:
    """Presents the memory of a read-only array as writable, because NumPy passes only writable arrays to DLPack.

    Nothing writes to it. Mapping the file as writable instead would count all of it against the machine's memory.
    """

    def __init__(self, array: np.ndarray):
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


class PointSource(Source):
    """Points of a synthetic distribution, [dim], with new points at every step.

    The label of a point of a mixture is the index of the mode that it was drawn from. Other distributions have no
    labels.

    Attributes:
        distribution: The distribution.
    """

    kind = "points"

    def __init__(self, distribution: synthetic.Distribution, labelled: bool = False):
        super().__init__(*self.outline(distribution), labelled)
        self.distribution = distribution

    @staticmethod
    def outline(distribution: synthetic.Distribution) -> tuple:
        """Returns the arguments of `Outline` for points of `distribution`, without `labelled`."""
        return distribution.name, (distribution.dim,), None, distribution.classes, _POINT_SETTINGS

    def _choose_labelled(self, wanted, random):
        for draws in (2**10, 2**14, 2**18, 2**22):
            x, labels = self.distribution.sample_labelled(draws, random.integers(2**62, size=2))
            chosen, missing = few_labels.choose(labels.numpy(), wanted, random)
            if not missing.any():
                return x.numpy()[chosen], labels.numpy()[chosen]
        raise self._lacking(missing, wanted)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draws n points, float32 [n, dim], that are independent of the streams with the same seed."""
        return self.distribution.sample(n, [seed, -1]).numpy()

    def _elements(
        self, batch: int, seed: int, labels: bool, start_step: int, before: Sequence[tuple[int, int]]
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        draw = self.distribution.sample_labelled if labels else self.distribution.sample

        def element(step):
            return draw(batch, tf.stack([seed, step]))

        first = start_step + sum(elements for _, elements in before)
        return tf.data.Dataset.counter(first).map(element, num_parallel_calls=PARALLEL)
