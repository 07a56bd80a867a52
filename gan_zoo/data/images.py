"""From encoded images of any size to square uint8 arrays of one size.

One decoder and one resize serve every source, so that the same picture gives the same pixels wherever it comes from.
Both are Pillow's. Its JPEG decoder is exact where TensorFlow's default, a fast DCT, darkens red and blue by about one
level in 255; its bilinear resize widens the filter when it shrinks, so it is antialiased.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import io
import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gan_zoo.errors import UserError

MAX_SKIPPED = 100
"""Images of a set that may be left out because they cannot be decoded, unless another number is asked for."""

PIXELS_VERSION = 1
"""Part of every cache key: raise it when a change here changes pixels."""

GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L"})
"""Pillow's names for images without colour."""

_CHUNK = 512
_BIG = 20_000
_NAMES_KEPT = 10
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN}
"""Errors that are not the image's: the next attempt may go well, and what is left out now would be missing for ever."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One image as its source holds it.

    Attributes:
        name: Names the image in messages.
        data: A file, its bytes, or decoded pixels (uint8, [H, W] or [H, W, C]).
        label: Class index, or -1 where there are no classes.
    """

    name: str
    data: Path | bytes | np.ndarray
    label: int = -1


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """What a source of images hands over to be decoded, cropped, resized and cached.

    Attributes:
        name: As the user wrote it.
        key: What decides the images, apart from crop and resolution; plain JSON types.
        count: Number of records, bad ones included.
        records: Starts one pass over the records, always in the same order.
        channels: Finds the number of channels, 1 or 3; called only when there is no cache.
        native: Height and width of the images, or None where they vary.
        class_names: Names of the classes, by label, or None.
        details: Further settings worth recording in a run.
        remedy: What a user can do about images that cannot be decoded, the beginning of a sentence.
    """

    name: str
    key: dict
    count: int
    records: Callable[[], Iterable[Record]]
    channels: Callable[[], int]
    native: tuple[int, int] | None = None
    class_names: tuple[str, ...] | None = None
    details: dict = dataclasses.field(default_factory=dict)
    remedy: str = "Repair or remove these files"


@dataclasses.dataclass
class Report:
    """What happened while a set was decoded.

    Attributes:
        count: Images that were kept.
        skipped: Images that could not be decoded.
        skipped_names: The first few of them.
        enlarged: Images whose square was smaller than the resolution.
    """

    count: int = 0
    skipped: int = 0
    skipped_names: list[str] = dataclasses.field(default_factory=list)
    enlarged: int = 0

    def skip(self, name: str):
        """Counts an image that cannot be decoded."""
        self.skipped += 1
        if len(self.skipped_names) < _NAMES_KEPT:
            self.skipped_names.append(name)

    def names(self) -> str:
        """The skipped images for a message: the first few names and how many there are besides."""
        more = self.skipped - len(self.skipped_names)
        return ", ".join(self.skipped_names) + (f" and {more} more" if more else "")


def check_skipped(images: ImageSet, report: Report, max_skipped: int):
    """Checks that no more images were left out than may be.

    Raises:
        UserError: More were.
    """
    if report.skipped > max_skipped:
        raise UserError(
            f"{images.name}: {report.skipped} of the {report.skipped + report.count} images read cannot be decoded, "
            f"more than max_skipped={max_skipped} allows: {report.names()}. {images.remedy}, or raise max_skipped."
        )


def decode_all(
    images: ImageSet, channels: int, crop: int | None, resolution: int, report: Report, max_skipped: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decodes a set in parallel, a few hundred images at a time.

    Args:
        images: The set.
        channels: 1 or 3.
        crop: Side of the centred square in pixels, or None for the largest.
        resolution: Side of the results in pixels.
        report: Is filled in on the way.
        max_skipped: Images that may be left out.

    Yields:
        Pixels, uint8 [N, R, R, C], and labels, int64 [N], in the order of the records. Images that cannot be decoded
        are left out.

    Raises:
        UserError: An image is smaller than `crop`, or more than `max_skipped` cannot be decoded.
    """

    def work(record: Record) -> tuple[np.ndarray, int] | None:
        try:
            image = _decode(record.data, channels)
        except Exception as error:
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in _PASSING:
                what = getattr(error, "strerror", None) or "not enough memory"
                raise UserError(f"{images.name}: reading {record.name} failed ({what}): try again later.") from error
            # Pillow raises a dozen kinds of exception for broken files.
            return None
        side = min(image.size)
        if crop is not None and crop > side:
            raise UserError(
                f"crop {crop} is larger than the image {record.name}, which is {image.width}x{image.height}: "
                f"use a crop of at most {side}."
            )
        return square(image, crop, resolution), crop or side

    progress = _Progress(images.name, images.count)
    records = iter(images.records())
    with contextlib.closing(progress), concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        while chunk := list(itertools.islice(records, _CHUNK)):
            pixels, labels = [], []
            with bombs_are_errors():
                for record, result in zip(chunk, pool.map(work, chunk), strict=True):
                    if result is None:
                        report.skip(record.name)
                        check_skipped(images, report, max_skipped)
                        continue
                    pixels.append(result[0])
                    labels.append(record.label)
                    report.count += 1
                    report.enlarged += result[1] < resolution
            progress.advance(len(chunk))
            if pixels:
                yield np.stack(pixels), np.array(labels, np.int64)


@contextlib.contextmanager
def bombs_are_errors() -> Iterator[None]:
    """Lets Pillow refuse all images with more pixels than its limit; up to twice the limit it would only warn."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def square(image, crop: int | None, resolution: int) -> np.ndarray:
    """Cuts out the centred square and resizes it.

    Args:
        image: A Pillow image in mode "L" or "RGB".
        crop: Side of the square in pixels, at most that of the image, or None for the largest.
        resolution: Side of the result in pixels.

    Returns:
        Pixels, uint8 [resolution, resolution, C].
    """
    from PIL import Image

    side = crop or min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    if side != resolution:
        image = image.resize((resolution, resolution), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(resolution, resolution, -1)


def no_labels(name: str) -> UserError:
    """The error to raise where labels are asked of a set without."""
    if name.startswith("folder:"):
        return UserError(
            f"labels: {name} has none. Put all images of each class into a subfolder named after the class."
        )
    return UserError(f"labels: {name} has none. Choose a set with class labels, such as mnist or cifar10.")


def is_grey(path: Path) -> bool | None:
    """Whether an image has no colour, from its header; None when it is no image."""
    from PIL import Image

    try:
        with _open(path) as file, Image.open(file) as image:
            return image.mode in GREY_MODES
    except Exception:  # as above; whoever decodes the file counts and names it
        return None


def _open(path: Path) -> BinaryIO:
    # Pillow would not close a file that it opens itself and then cannot read, and for a pipe it would wait for ever.
    if not path.is_file():
        raise OSError(f"{path} is no file")
    return path.open("rb")


def _decode(data: Path | bytes | np.ndarray, channels: int):
    from PIL import Image, ImageOps

    mode = "L" if channels == 1 else "RGB"
    if isinstance(data, np.ndarray):
        return Image.fromarray(data).convert(mode)
    with io.BytesIO(data) if isinstance(data, bytes) else _open(data) as file, Image.open(file) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            # Pillow would clip 16-bit greys at 255 instead of scaling them.
            image = Image.fromarray((np.asarray(image, np.int32) >> 8).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            # What lies under transparent pixels is arbitrary: show the picture on white, as a browser does.
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert(mode)


class _Progress:
    """One line on a terminal that counts the images of a big set; silent elsewhere."""

    def __init__(self, name: str, total: int):
        self.shown = total >= _BIG and sys.stderr.isatty()
        self.name, self.total, self.done = name, total, 0
        self.last = time.monotonic()

    def advance(self, n: int):
        self.done += n
        if self.shown and time.monotonic() - self.last > 0.5:
            self.last = time.monotonic()
            print(f"\r{self.name}: decoded {self.done:,} of {self.total:,} images", end="", file=sys.stderr, flush=True)

    def close(self):
        if self.shown:
            print(f"\r{self.name}: decoded {self.done:,} of {self.total:,} images", file=sys.stderr, flush=True)
