"""Sources of training data, all behind one interface: what `gan_zoo.data.load` reads from."""

import functools
import json
import operator
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from gan_zoo.checks import whole
from gan_zoo.data import cache, synthetic
from gan_zoo.data.images import no_labels
from gan_zoo.errors import UserError
from gan_zoo.randomness import stream

if TYPE_CHECKING:
    import tensorflow as tf

ALIGNMENT = 64
"""Bytes. Where TensorFlow's tensors begin."""
PARALLEL = min(os.cpu_count() or 1, 8)
"""Minibatches that are made at a time."""

_POINT_SETTINGS = {"split": None, "resolution": None, "crop": None}
"""What points have in the place of the settings of images."""


class Outline:
    """What is known of a dataset before an image of it is decoded.

    Attributes:
        name: As given to `open_source`; for points the canonical name of the distribution.
        kind: "image" or "points".
        shape: Shape of one example: (H, W, C), or (dim,).
        size: Number of examples, or None if they are drawn afresh for ever. Before images are decoded, those that
            cannot be are counted, too, and a TFDS dataset that is still to be downloaded has None.
        classes: Names of the K classes, by label, or None for a dataset without classes.
        num_classes: K, or None.
        labelled: Whether `Source.batches` yields labels by default: they were asked for with `find_source`.

    Raises:
        UserError: Labels are asked for, and there are no classes.
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
        """What was resolved, as plain JSON types, for the record of a run.

        `open_source` with the name, split, resolution and crop of this dictionary opens the same images. A dataset with
        labels has the names of its classes under "classes"; one without labels has no such key.
        """
        # Runs on points without labels have recorded null since before points had classes, and must be able to go on.
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
        """Steps in which every example is seen once, but for the few that do not fill a last batch.

        Args:
            batch: Examples that one step takes, n_critic * batch_size.

        Returns:
            The number of steps, or None for a source without end.

        Raises:
            UserError: One step takes more examples than there are.
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
        start_step: int = 0,
    ) -> None:
        """Checks the arguments of `Source.batches`.

        Raises:
            UserError: An argument is out of range, or labels are asked for and there are no classes.
        """
        batch = whole("n_critic", n_critic, 1) * whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start_step", start_step, 0)
        self.steps_per_epoch(batch)
        self._check_classes(labels)

    def _check_classes(self, labels: bool | None) -> None:
        if labels and self.classes is None:
            raise no_labels(self.name)

    def _described(self) -> str:
        split = self._settings["split"]
        return f"{self.name} (split {split})" if split else self.name


class Found(Outline):
    """A dataset that was found and is still to be opened; `find_source` makes it.

    Args:
        kind: "image" or "points".
        opener: Makes the source.
        *args: As for `Outline`.
    """

    def __init__(self, kind: str, opener: Callable[[], "Source"], *args):
        super().__init__(*args)
        self.kind = kind
        self._opener = opener

    def open(self) -> "Source":
        """Makes the dataset ready: downloaded, decoded, cropped, resized and cached, each only if need be.

        Raises:
            UserError: It cannot be; the message says what would do.
        """
        return self._opener()


class Source(Outline):
    """A dataset that is ready to be read.

    Element s of `batches` is a function of the source, the seed, s and what came before alone, so a stream can start
    anywhere. The attributes are those of `Outline`.
    """

    def checksum(self) -> int | None:
        """A number that changes with the examples that are in memory, and with their labels if the source is labelled.

        None where there are neither: examples are drawn, or mapped from the disk.
        """
        return None

    def batches(
        self,
        batch_size: int = 64,
        *,
        n_critic: int = 1,
        seed: int = 0,
        labels: bool | None = None,
        start_step: int = 0,
        before: Sequence[tuple[int, int]] = (),
    ) -> "tf.data.Dataset":
        """The stream of training data.

        Args:
            batch_size: Examples in the minibatch of one optimizer step.
            n_critic: Discriminator steps per generator step; one element holds the minibatches of all of them.
            seed: Decides the order, or the draws.
            labels: Whether to yield labels, too. None: if they were asked for with `find_source`, see `labelled`.
            start_step: The element to start with. A stream from step s yields what one from 0 yields from its element
                s on, bit for bit.
            before: What the same seed has shown already in elements of other sizes, in order: pairs of the examples in
                an element, n_critic * batch_size, and the number of elements. The stream goes on where these end, so
                that no example comes again before the epoch is over.

        Returns:
            A `tf.data.Dataset` without end. An element is float32 [n_critic * batch_size, H, W, C] in [-1, 1], or
            [n_critic * batch_size, dim] in the units of the distribution; with labels, a pair of it and the labels,
            int32 [n_critic * batch_size] in 0..K-1. Labels change nothing in the examples or their order.
            `tf.distribute` strategies split each element between their replicas.

        Raises:
            UserError: An argument is out of range, or labels are asked for and there are none.
        """
        import tensorflow as tf

        labels = self.labelled if labels is None else bool(labels)
        self.check(batch_size, n_critic=n_critic, seed=seed, labels=labels, start_step=start_step)
        batch, start_step = operator.index(n_critic * batch_size), operator.index(start_step)
        dataset = self._elements(batch, stream(operator.index(seed), "data"), labels, start_step, before)
        options = tf.data.Options()
        options.deterministic = True
        # The thread that tunes a pipeline waits ever longer between its trials, and the end of `fit` waits for it.
        options.autotune.enabled = False
        # Every worker computes the same elements and takes its part of each: sharding the source by file or by element
        # would give other minibatches than one worker sees.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
        dataset = dataset.prefetch(2).with_options(options)
        dataset.is_checked = True  # spares `fit` the look at every batch
        return dataset

    # No part of a stream may call back into Python: a prefetch that waits for the interpreter while it shuts down hangs
    # the process for ever.
    def _elements(
        self, batch: int, seed: int, labels: bool, start_step: int, before: Sequence[tuple[int, int]]
    ) -> "tf.data.Dataset":
        raise NotImplementedError


class ImageSource(Source):
    """Images of one size, decoded.

    Attributes:
        images: uint8 [N, H, W, C], in the order of the source; in memory or mapped from the disk, and read-only.
        labels: int32 [N], or None for a dataset without classes.

    Raises:
        UserError: The source is labelled, and an image belongs to no class.
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
        """CRC-32C of the images, unless they are mapped from the disk, and of labels and classes if it is labelled.

        None where there are neither.
        """
        # The C library takes arrays, but no memoryview of them.
        parts = [self.images.reshape(-1)] if self.images.nbytes <= cache.MEMORY_LIMIT else []
        if self.labelled:
            parts += [self.labels.tobytes(), json.dumps(self.classes).encode()]
        return functools.reduce(google_crc32c.extend, parts, 0) if parts else None

    def _check_labels(self) -> None:
        """Checks that every image belongs to a class.

        Raises:
            UserError: A label is outside 0..K-1. TFDS has -1 for images of unknown class, often those of test splits.
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
        else:  # the epoch in which the stream begins is over
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
        """The epoch that a stream has come to, and how many of its examples are gone."""
        epoch, gone = 0, 0
        for size, elements in before:
            left = (self.size - gone) // size
            if elements > left:
                passed, elements = divmod(elements - left - 1, self.steps_per_epoch(size))
                epoch, gone, elements = epoch + 1 + passed, 0, elements + 1
            gone += elements * size
        return epoch, gone

    def everything(self, labels: bool = False) -> "tf.data.Dataset":
        """A dataset without end, whose elements are all one: an optional of all images and, if asked for, labels.

        They take no memory of their own, however often they are read.

        Raises:
            UserError: Labels are asked for, and an image belongs to no class.
        """
        import tensorflow as tf

        if labels:
            self._check_labels()
        with tf.device("/CPU:0"):
            # DLPack shares the memory. So does an optional, where a tensor that a function captures or a dataset holds
            # is allocated anew, in full, whenever TensorFlow rewrites the graph of the pipeline.
            images = tf.experimental.dlpack.from_dlpack(np.asarray(_Unlocked(self.images)).__dlpack__())
            kept = tf.experimental.Optional.from_value((images, self.labels) if labels else (images,))
        return tf.data.Dataset.from_tensors(kept).repeat()


def to_float(pixels: "tf.Tensor") -> "tf.Tensor":
    """uint8 as float32 in [-1, 1]."""
    import tensorflow as tf

    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


class _Unlocked:
    """The memory of a read-only array as if it were not: NumPy hands no other kind to DLPack.

    Nothing writes to it. Mapping the file for writing instead would count all of it against the memory of the machine.
    """

    def __init__(self, array: np.ndarray):
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


class PointSource(Source):
    """Points of a synthetic distribution, [dim], drawn afresh at every step.

    The label of a point of a mixture is the index of the mode that it was drawn from; other distributions have none.

    Attributes:
        distribution: What they are drawn from.
    """

    kind = "points"

    def __init__(self, distribution: synthetic.Distribution, labelled: bool = False):
        super().__init__(*self.outline(distribution), labelled)
        self.distribution = distribution

    @staticmethod
    def outline(distribution: synthetic.Distribution) -> tuple:
        """The arguments of `Outline` for points of `distribution`, without `labelled`."""
        return distribution.name, (distribution.dim,), None, distribution.classes, _POINT_SETTINGS

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draws n points, float32 [n, dim], that belong to no stream with the same seed."""
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
