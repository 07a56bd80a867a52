"""Sources of training data, all behind one interface: what `gan_zoo.data.load` reads from."""

import dataclasses
import functools
import logging
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from gan_zoo.checks import whole
from gan_zoo.data import cache, folder, synthetic, table
from gan_zoo.data.images import MAX_SKIPPED, ImageSet, Record, Report, no_labels
from gan_zoo.errors import UserError
from gan_zoo.randomness import stream

if TYPE_CHECKING:
    import tensorflow as tf

MIN_RESOLUTION = 4
ALIGNMENT = 64
"""Bytes. Where TensorFlow's tensors begin."""
PARALLEL = min(os.cpu_count() or 1, 8)
"""Minibatches that are made at a time."""

_POINT_SETTINGS = {"split": None, "resolution": None, "crop": None}
_log = logging.getLogger(__name__)


class Outline:
    """What is known of a dataset before an image of it is decoded.

    Attributes:
        name: As given to `open_source`; for points the canonical name of the distribution.
        kind: "image" or "points".
        shape: Shape of one example: (H, W, C), or (dim,).
        size: Number of examples, or None if they are drawn afresh for ever. Before images are decoded, those that
            cannot be are counted, too, and a TFDS dataset that is still to be downloaded has None.
        class_names: Names of the classes, by label, or None if there are no labels.
        num_classes: How many they are, or None.
    """

    kind: str

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        size: int | None,
        class_names: tuple[str, ...] | None,
        settings: dict[str, Any],
    ):
        self.name = name
        self.shape = shape
        self.size = size
        self.class_names = class_names
        self.num_classes = len(class_names) if class_names else None
        self._settings = settings

    def describe(self) -> dict[str, Any]:
        """What was resolved, as plain JSON types, for the record of a run.

        `open_source` with the name, split, resolution and crop of this dictionary opens the same images.
        """
        return {
            "name": self.name,
            "kind": self.kind,
            "shape": list(self.shape),
            "size": self.size,
            "num_classes": self.num_classes,
            **self._settings,
        }

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
        self, batch_size: int = 64, *, n_critic: int = 1, seed: int = 0, labels: bool = False, start_step: int = 0
    ) -> None:
        """Checks the arguments of `Source.batches`.

        Raises:
            UserError: An argument is out of range, or there are no labels.
        """
        batch = whole("n_critic", n_critic, 1) * whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start_step", start_step, 0)
        self.steps_per_epoch(batch)
        if labels and self.class_names is None:
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
        """Of the examples, where they are in memory; None where they are drawn, or mapped from the disk."""
        return None

    def batches(
        self,
        batch_size: int = 64,
        *,
        n_critic: int = 1,
        seed: int = 0,
        labels: bool = False,
        start_step: int = 0,
        before: Sequence[tuple[int, int]] = (),
    ) -> "tf.data.Dataset":
        """The stream of training data.

        Args:
            batch_size: Examples in the minibatch of one optimizer step.
            n_critic: Discriminator steps per generator step; one element holds the minibatches of all of them.
            seed: Decides the order, or the draws.
            labels: Whether to yield labels too.
            start_step: The element to start with. A stream from step s yields what one from 0 yields from its element
                s on, bit for bit.
            before: What the same seed has shown already in elements of other sizes, in order: pairs of the examples in
                an element, n_critic * batch_size, and the number of elements. The stream goes on where these end, so
                that no example comes again before the epoch is over.

        Returns:
            A `tf.data.Dataset` without end. An element is float32 [n_critic * batch_size, H, W, C] in [-1, 1], or
            [n_critic * batch_size, dim] in the units of the distribution; with labels, a pair of it and int64
            [n_critic * batch_size]. `tf.distribute` strategies split each element between their replicas.

        Raises:
            UserError: An argument is out of range, or there are no labels.
        """
        import tensorflow as tf

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
        labels: int64 [N], or None.
    """

    kind = "image"

    def __init__(
        self,
        name: str,
        images: np.ndarray,
        labels: np.ndarray,
        class_names: tuple[str, ...] | None,
        settings: dict[str, Any],
    ):
        super().__init__(name, images.shape[1:], len(images), class_names, settings)
        aligned = images.flags.c_contiguous and images.ctypes.data % ALIGNMENT == 0
        self.images = (images if aligned else cache.aligned(images)).view()
        self.images.flags.writeable = False
        self.labels = labels if class_names else None

    def checksum(self) -> int | None:
        """Of the images, where they are in memory; None where they are mapped from the disk."""
        if self.images.nbytes > cache.MEMORY_LIMIT:
            return None
        return google_crc32c.value(memoryview(self.images).cast("B"))

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
        """
        import tensorflow as tf

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

    Attributes:
        distribution: What they are drawn from.
    """

    kind = "points"

    def __init__(self, distribution: synthetic.Distribution):
        super().__init__(distribution.name, (distribution.dim,), None, None, _POINT_SETTINGS)
        self.distribution = distribution

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Draws n points, float32 [n, dim], that belong to no stream with the same seed."""
        return self.distribution.sample(n, [seed, -1]).numpy()

    def _elements(
        self, batch: int, seed: int, labels: bool, start_step: int, before: Sequence[tuple[int, int]]
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        def element(step):
            return self.distribution.sample(batch, tf.stack([seed, step]))

        first = start_step + sum(elements for _, elements in before)
        return tf.data.Dataset.counter(first).map(element, num_parallel_calls=PARALLEL)


def open_source(name: str, **settings: Any) -> Source:
    """Finds a dataset and makes it ready: downloaded, decoded, cropped, resized and cached, each only if need be.

    Args:
        name: As for `find_source`.
        **settings: The other arguments of `find_source`.

    Returns:
        The source.

    Raises:
        UserError: If any of this fails; the message says what would do.
    """
    return find_source(name, **settings).open()


def find_source(
    name: str,
    *,
    split: str = "train",
    data_dir: str | Path | None = None,
    resolution: int | None = None,
    crop: int | None = None,
    labels: bool = False,
    cache_dir: str | Path | None = None,
    memory_limit: int = cache.MEMORY_LIMIT,
    max_skipped: int = MAX_SKIPPED,
) -> Found:
    """Finds a dataset, without downloading it or decoding an image.

    Images are cut to their centred square of side `crop` and then resized with Pillow's bilinear filter, which is
    antialiased.

    Args:
        name: A name of `DATASETS`, a synthetic set's with arguments if need be ("two_lines(theta=0.5)"), any image
            dataset of TFDS ("svhn_cropped", "lsun/bedroom"), or "folder:/path" for all images below a folder, of every
            format that Pillow decodes.
        split: Split of a TFDS dataset, slices such as "train[:7000]" included. The other sources have only "train".
        data_dir: Folder of prepared TFDS datasets. Defaults to TFDS's own, ~/tensorflow_datasets.
        resolution: Side of the images in pixels. Defaults to that of the table of datasets.
        crop: Side in pixels of the centred square that is cut out before resizing. None or 0: that of the table of
            datasets, which for most sets is the largest square. It decides FID: never compare over different crops.
        labels: Whether labels will be asked for: if there are none, the error then comes before any decoding.
        cache_dir: Folder for decoded images. Defaults to `$GAN_ZOO_CACHE` or ~/.cache/gan_zoo/data.
        memory_limit: Bytes. A decoded set up to this size is kept in memory, a larger one is mapped from its file in
            the cache. Defaults to 2 GiB.
        max_skipped: Images that may be left out, with a warning that names them, because they cannot be decoded. One
            more is an error. Damaged records of TFDS's files count, too, if these are TFRecords.

    Returns:
        What is known of the dataset, whose `open()` makes the source.

    Raises:
        UserError: If there is no such dataset, or an argument does not fit; the message says what would do.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"dataset must be a name such as 'celeb_a' or 'folder:/path', not {name!r}.")
    if resolution is not None:
        resolution = whole("resolution", resolution, MIN_RESOLUTION)
    crop = whole("crop", crop, 0) if crop else None
    memory_limit = whole("memory_limit", memory_limit, 0)
    max_skipped = whole("max_skipped", max_skipped, 0)

    if synthetic.is_synthetic(name):
        distribution = synthetic.get(name)
        _only_train(name, split)
        if resolution or crop:
            where = " in the plane" if distribution.dim == 2 else ""
            raise UserError(f"{name} is a set of points{where}: leave out resolution and crop.")
        if labels:
            raise no_labels(name)
        opener = functools.partial(PointSource, distribution)
        return Found("points", opener, distribution.name, (distribution.dim,), None, None, _POINT_SETTINGS)

    defaults = table.lookup(name)
    resolution = resolution or defaults.resolution
    if name == "color_mnist":
        from gan_zoo.data.color_mnist import ColorMNISTSource

        digits = find_source(
            "mnist",
            split=split,
            data_dir=data_dir,
            resolution=resolution,
            crop=crop,
            labels=True,
            cache_dir=cache_dir,
            memory_limit=memory_limit,
            max_skipped=max_skipped,
        )
        return Found("image", lambda: ColorMNISTSource(digits.open()), *ColorMNISTSource.outline(digits))
    if name == "digits":
        _only_train(name, split)
        images = _digits()
    elif name.startswith(folder.PREFIX):
        _only_train(name, split)
        images = folder.find(name)
    else:
        from gan_zoo.data import tfds_images

        images = tfds_images.find(
            name, split=split, data_dir=None if data_dir is None else str(data_dir), labels=labels
        )
    if labels and not images.class_names:
        raise no_labels(name)
    wanted = _Wanted(resolution, crop or None, defaults.crop, cache_dir, memory_limit, max_skipped)
    shape = (resolution, resolution, _channels(images, wanted))
    settings = wanted.settings(images, split)
    opener = functools.partial(_open, name, images, wanted, split)
    return Found("image", opener, name, shape, images.count, images.class_names, settings)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What is asked of a set of images, see `open_source`; `default_crop` is that of the table of datasets."""

    resolution: int
    crop: int | None
    default_crop: int | None
    cache_dir: str | Path | None
    memory_limit: int
    max_skipped: int

    def settings(self, images: ImageSet, split: str) -> dict[str, Any]:
        crop = _resolve_crop(images, self.crop, self.default_crop)
        return {"split": split, "resolution": self.resolution, "crop": crop, **images.details}


def _channels(images: ImageSet, wanted: _Wanted) -> int:
    """Channels of the decoded set, from its cache if it has one."""
    crop = _resolve_crop(images, wanted.crop, wanted.default_crop)
    cached = cache.channels(images, resolution=wanted.resolution, crop=crop, cache_dir=wanted.cache_dir)
    return cached or images.channels()


def _open(name: str, images: ImageSet, wanted: _Wanted, split: str) -> ImageSource:
    if images.prepare is not None:
        images = images.prepare()
    for sentence in images.passed_over:
        _log.warning("%s: %s", name, sentence)
    settings = wanted.settings(images, split)
    how = {"resolution": wanted.resolution, "crop": settings["crop"], "max_skipped": wanted.max_skipped}
    if name == "digits":
        pixels, targets, report = cache.decode(images, **how)
    else:
        pixels, targets, report = cache.fetch(
            images, **how, cache_dir=wanted.cache_dir, memory_limit=wanted.memory_limit
        )
    _tell(name, report, wanted.resolution)
    return ImageSource(name, pixels, targets, images.class_names, settings)


def _only_train(name: str, split: str):
    if split != "train":
        raise UserError(f"split {split!r}: {name} has only the split 'train', and slices are for TFDS datasets.")


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return ImageSet(
        name="digits",
        key={},
        count=len(pixels),
        records=lambda: (
            Record(f"digit {i}", x, int(y)) for i, (x, y) in enumerate(zip(pixels, digits.target, strict=True))
        ),
        channels=lambda: 1,
        native=pixels.shape[1:],
        class_names=tuple(str(c) for c in digits.target_names),
    )


def _resolve_crop(images: ImageSet, asked: int | None, default: int | None) -> int | None:
    if images.native is None:
        return asked or default
    height, width = images.native
    largest = min(height, width)
    if asked and asked > largest:
        raise UserError(
            f"crop {asked} is larger than the images of {images.name}, which are {width}x{height}: "
            f"use a crop of at most {largest}."
        )
    return asked or min(default or largest, largest)


def _tell(name: str, report: Report, resolution: int):
    if report.skipped:
        _log.warning(
            "%s: left out %d of %d images, which cannot be decoded: %s",
            name,
            report.skipped,
            report.skipped + report.count,
            report.why(),
        )
    if report.several:
        _log.warning(
            "%s: %d of %d files hold several pictures (animations, pages): the first of each is taken.",
            name,
            report.several,
            report.count,
        )
    if report.enlarged:
        _log.warning(
            "%s: enlarged %d of %d images, which are smaller than %dx%d after cropping.",
            name,
            report.enlarged,
            report.count,
            resolution,
            resolution,
        )
