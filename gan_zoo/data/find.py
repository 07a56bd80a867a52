"""Finds datasets by name: TFDS datasets, folders of images, embedded images and synthetic distributions."""

import dataclasses
import functools
import logging
from pathlib import Path
from typing import Any

from gan_zoo.data import cache, color_mnist, digits, fashion10k, folder, synthetic, table, tfds_images
from gan_zoo.data.decoding import MAX_SKIPPED, ImageSet, Report
from gan_zoo.data.sources import Found, ImageSource, PointSource, Source
from gan_zoo.util.checks import whole
from gan_zoo.util.errors import UserError

MIN_RESOLUTION = 4
_EMBEDDED = {digits.NAME: digits.find, fashion10k.NAME: fashion10k.find}
"""Datasets that are part of a package. They are decoded in a moment, so they have no cache."""

_log = logging.getLogger(__name__)


def open_source(name: str, **settings: Any) -> Source:
    """Finds a dataset and prepares it: downloads, decodes, crops, resizes and caches it, as far as necessary.

    Args:
        name: As for `find_source`.
        **settings: The other arguments of `find_source`.

    Returns:
        The source.

    Raises:
        UserError: If any of this fails. The message says what to do.
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

    Images are cropped to their centred square of side `crop` and then resized with Pillow's bilinear filter, which is
    antialiased.

    Args:
        name: A name of `DATASETS`; synthetic distributions may have arguments ("two_lines(theta=0.5)"). Or any image
            dataset of TFDS ("svhn_cropped", "lsun/bedroom"). Or "folder:/path" for all images below a folder, in every
            format that Pillow decodes.
        split: Split of a TFDS dataset, with optional slices such as "train[:7000]". Other sources have only "train".
        data_dir: Folder of prepared TFDS datasets. Defaults to TFDS's own, ~/tensorflow_datasets.
        resolution: Side of the images in pixels. Defaults to that of the table of datasets.
        crop: Side in pixels of the centred square that is cut out before resizing. None or 0 selects that of the table
            of datasets, which for most datasets is the largest square. FID depends on it: never compare FID between
            different crops.
        labels: Whether `Source.batches` also yields labels: int32 [B], in 0..K-1, where K is the number of names in
            `classes`. For TFDS datasets they are the values of the class label, or of the one named "label" if there
            are several. For a folder they are its direct subfolders in the order of their names; for color_mnist, the
            three digits; for mixtures of Gaussians, the modes that the points are drawn from.
        cache_dir: Folder for decoded images. Defaults to `$GAN_ZOO_CACHE` or ~/.cache/gan_zoo/data.
        memory_limit: Bytes. A decoded dataset up to this size is kept in memory; a larger one is memory-mapped from
            its file in the cache. Defaults to 2 GiB.
        max_skipped: Largest number of images that may be skipped because they cannot be decoded. A warning names them.
            One more is an error. Damaged records of TFRecord files of TFDS count too.

    Returns:
        A description of the dataset, whose `open()` returns the source.

    Raises:
        UserError: If there is no such dataset, an argument is not valid, or labels are requested and there are none.
            The message says what to do.
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
        opener = functools.partial(PointSource, distribution, labels)
        return Found("points", opener, *PointSource.outline(distribution), labels)

    defaults = table.lookup(name)
    resolution = resolution or defaults.resolution
    if name == color_mnist.NAME:
        mnist = find_source(
            "mnist",
            split=split,
            data_dir=data_dir,
            resolution=resolution,
            crop=crop,
            labels=labels,
            cache_dir=cache_dir,
            memory_limit=memory_limit,
            max_skipped=max_skipped,
        )
        outline = color_mnist.ColorMNISTSource.outline(mnist)
        return Found("image", lambda: color_mnist.ColorMNISTSource(mnist.open(), labels), *outline, labels)
    if name in _EMBEDDED:
        _only_train(name, split)
        images = _EMBEDDED[name]()
    elif name.startswith(folder.PREFIX):
        _only_train(name, split)
        images = folder.find(name, labels=labels)
    else:
        images = tfds_images.find(
            name, split=split, data_dir=None if data_dir is None else str(data_dir), labels=labels
        )
    wanted = _Wanted(resolution, crop or None, defaults.crop, labels, cache_dir, memory_limit, max_skipped)
    shape = (resolution, resolution, _channels(images, wanted))
    settings = wanted.settings(images, split)
    opener = functools.partial(_open, name, images, wanted, split)
    return Found("image", opener, name, shape, images.count, images.class_names, settings, labels)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """Settings of a set of images, see `find_source`. `default_crop` is that of the table of datasets."""

    resolution: int
    crop: int | None
    default_crop: int | None
    labels: bool
    cache_dir: str | Path | None
    memory_limit: int
    max_skipped: int

    def settings(self, images: ImageSet, split: str) -> dict[str, Any]:
        crop = _resolve_crop(images, self.crop, self.default_crop)
        return {"split": split, "resolution": self.resolution, "crop": crop, **images.details}


def _channels(images: ImageSet, wanted: _Wanted) -> int:
    """Returns the channels of the decoded dataset, from its cache if it has one."""
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
    if name in _EMBEDDED:
        pixels, targets, report = cache.decode(images, **how)
    else:
        pixels, targets, report = cache.fetch(
            images, **how, cache_dir=wanted.cache_dir, memory_limit=wanted.memory_limit
        )
    _tell(name, report, wanted.resolution)
    if wanted.labels and name.startswith(folder.PREFIX):
        folder.check_classes(images, targets, report)
    return ImageSource(name, pixels, targets, images.class_names, settings, wanted.labels)


def _only_train(name: str, split: str):
    if split != "train":
        raise UserError(f"split {split!r}: {name} has only the split 'train', and slices are for TFDS datasets.")


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
            "%s: %d of %d files hold several pictures (animations, pages): only the first of each is used.",
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
