"""Converts encoded images of any size to square uint8 arrays of one size.

All sources use one decoder and one resize method, so that the same picture gives the same pixels from every source.
Both are Pillow's. Its JPEG decoder is exact; TensorFlow's default, a fast DCT, darkens red and blue by about one level
in 255. Its bilinear resize widens the filter when it shrinks an image, so it is antialiased.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import io
import itertools
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gan_zoo.data import formats
from gan_zoo.util.errors import UserError

MAX_SKIPPED = 100
"""Default for the largest number of images of a dataset that may be skipped because they cannot be decoded."""

PIXELS_VERSION = 1
"""Part of every cache key. Increase it when a change in this module changes pixels."""

GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
"""Pillow's names for modes without colour."""

_CHUNK = 512
_BIG = 20_000
_NAMES_KEPT = 10
_ONE_AT_A_TIME = threading.Lock()
"""Held while an image above Pillow's own limit is decoded, because several at once could exceed the memory."""
_SEVERAL = "several pictures"
"""Key in the `info` of a decoded image whose file contains more than one picture."""
_COMPOSED = {"MPO", "PSD"}
"""Formats whose first picture is the complete image. The others are previews, stereo views or layers."""
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN}
"""Temporary errors, not caused by the image. It must not be skipped, because the cache would lack it permanently."""


@dataclasses.dataclass(frozen=True)
class Record:
    """One image as stored in its source.

    Attributes:
        name: Name of the image in messages.
        data: A file, its bytes, or decoded pixels (uint8, [H, W] or [H, W, C]).
        label: Class index, or -1 without classes.
    """

    name: str
    data: Path | bytes | np.ndarray
    label: int = -1


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of a source, before they are decoded, cropped, resized and cached.

    Attributes:
        name: The name that the user gave.
        key: Everything that determines the images, apart from crop and resolution; JSON types.
        count: Number of records, including bad ones; None before `prepare`.
        records: Starts one pass over the records, always in the same order.
        channels: Returns the number of channels, 1 or 3. Called only if there is no cache.
        native: Height and width of the images, or None if they vary.
        class_names: Names of the classes, by label. None if there are no classes, or several kinds of them.
        details: Further settings to record in a run.
        passed_over: Sentences about files of the source that may be meant as images and are not read.
        prepare: Downloads and prepares the dataset, and returns it with its records. None if it is already prepared.
        remedy: What a user can do about images that cannot be decoded, as the beginning of a sentence.
    """

    name: str
    key: dict
    count: int | None
    records: Callable[[], Iterable[Record]]
    channels: Callable[[], int]
    native: tuple[int, int] | None = None
    class_names: tuple[str, ...] | None = None
    details: dict = dataclasses.field(default_factory=dict)
    passed_over: tuple[str, ...] = ()
    prepare: "Callable[[], ImageSet] | None" = None
    remedy: str = "Repair or remove these files"


@dataclasses.dataclass
class Report:
    """Result of decoding a dataset.

    Attributes:
        count: Number of images that were kept.
        reasons: For each reason, the number of skipped images and the names of the first few.
        enlarged: Number of images whose square was smaller than the resolution.
        several: Number of files with several pictures, such as animations. The first picture of each was kept.
    """

    count: int = 0
    reasons: dict[str, dict] = dataclasses.field(default_factory=dict)
    enlarged: int = 0
    several: int = 0

    @property
    def skipped(self) -> int:
        """Number of skipped images."""
        return sum(of["count"] for of in self.reasons.values())

    def skip(self, name: str, reason: str):
        """Counts an image that cannot be decoded."""
        of = self.reasons.setdefault(reason, {"count": 0, "names": []})
        of["count"] += 1
        if len(of["names"]) < _NAMES_KEPT:
            of["names"].append(name)

    def why(self) -> str:
        """Returns the reasons for a message: for each the number of images, the first few names and how many more."""
        return "; ".join(f"{reason} ({of['count']}): {_listed(of)}" for reason, of in self.reasons.items())


def _listed(of: dict) -> str:
    more = of["count"] - len(of["names"])
    return ", ".join(of["names"]) + (f" and {more} more" if more else "")


def check_skipped(images: ImageSet, report: Report, max_skipped: int):
    """Checks that no more images were skipped than allowed.

    Raises:
        UserError: If more were skipped.
    """
    if report.skipped > max_skipped:
        raise UserError(
            f"{images.name}: {report.skipped} of the {report.skipped + report.count} images read cannot be decoded, "
            f"more than max_skipped={max_skipped} allows: {report.why()}. {images.remedy}, or raise max_skipped."
        )


def decode_all(
    images: ImageSet, channels: int, crop: int | None, resolution: int, report: Report, max_skipped: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Decodes a dataset in parallel, a few hundred images at a time.

    Args:
        images: The dataset.
        channels: 1 or 3.
        crop: Side of the centred square in pixels, or None for the largest.
        resolution: Side of the results in pixels.
        report: Updated during decoding.
        max_skipped: Largest number of images that may be skipped.

    Yields:
        Pixels, uint8 [N, R, R, C], and labels, int64 [N], in the order of the records. Images that cannot be decoded
        are skipped.

    Raises:
        UserError: If an image is smaller than `crop`, or more than `max_skipped` cannot be decoded.
    """

    def work(record: Record) -> tuple[np.ndarray, int, bool] | str:
        try:
            image = _decode(record.data, channels)
        except Exception as error:  # Pillow raises many types of exceptions for broken files
            if isinstance(error, MemoryError) or getattr(error, "errno", None) in _PASSING:
                what = getattr(error, "strerror", None) or "not enough memory"
                raise UserError(f"{images.name}: reading {record.name} failed ({what}): try again later.") from error
            return _reason(record.data, error)
        side = min(image.size)
        if crop is not None and crop > side:
            raise UserError(
                f"crop {crop} is larger than the image {record.name}, which is {image.width}x{image.height}: "
                f"use a crop of at most {side}."
            )
        return square(image, crop, resolution), crop or side, _SEVERAL in image.info

    progress = _Progress(images.name, images.count)
    records = iter(images.records())
    with contextlib.closing(progress), concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        while chunk := list(itertools.islice(records, _CHUNK)):
            pixels, labels = [], []
            with pixel_limit():
                for record, result in zip(chunk, pool.map(work, chunk), strict=True):
                    if isinstance(result, str):
                        report.skip(record.name, result)
                        check_skipped(images, report, max_skipped)
                        continue
                    pixels.append(result[0])
                    labels.append(record.label)
                    report.count += 1
                    report.enlarged += result[1] < resolution
                    report.several += result[2]
            progress.advance(len(chunk))
            if pixels:
                yield np.stack(pixels), np.array(labels, np.int64)


@contextlib.contextmanager
def pixel_limit() -> Iterator[None]:
    """Makes Pillow decode images of up to `formats.most_pixels()` pixels and refuse larger ones."""
    from PIL import Image

    with _LIMIT.lock:
        if not _LIMIT.users:
            _LIMIT.before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, formats.most_pixels()
        _LIMIT.users += 1
    try:
        with warnings.catch_warnings():
            # Up to twice its limit Pillow only warns.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Pillow warns of formats that a later version will not read.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        with _LIMIT.lock:
            _LIMIT.users -= 1
            if not _LIMIT.users:
                Image.MAX_IMAGE_PIXELS = _LIMIT.before


@dataclasses.dataclass
class _Limit:
    """Pillow's limit, a global variable, while datasets are decoded, possibly in several threads."""

    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    users: int = 0
    before: int | None = None


_LIMIT = _Limit()


def square(image, crop: int | None, resolution: int) -> np.ndarray:
    """Cuts out the centred square of an image and resizes it.

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
    """Returns the error for a request of labels from a dataset without labels."""
    if name.startswith("folder:"):
        return UserError(
            f"labels: {name} has none. Put all images of each class into a subfolder named after the class."
        )
    return UserError(f"labels: {name} has none. Choose a set with classes, such as mnist, cifar10 or ring8.")


def is_grey(path: Path) -> bool | None:
    """Returns whether an image has no colour, from its header; None if the file is not an image."""
    from PIL import Image

    try:
        with _open(path) as file, Image.open(file, formats=formats.decoders()) as image:
            return image.mode in GREY_MODES
    except Exception:  # as above; the decoder counts and reports such files
        return None


def _open(path: Path) -> BinaryIO:
    # Pillow would not close a file that it opens and cannot read, and it would wait for a pipe forever.
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.open("rb")


def decoded(record: Record, channels: int) -> np.ndarray:
    """Returns the pixels of one image in its own size, as training sees them: uint8 [H, W, C].

    Args:
        record: The image.
        channels: 1 or 3.

    Raises:
        ValueError: If it cannot be decoded. The message is the reason in a few words.
    """
    try:
        with pixel_limit():
            image = _decode(record.data, channels)
    except Exception as error:  # as above
        raise ValueError(_reason(record.data, error)) from error
    return np.asarray(image).reshape(image.height, image.width, channels)


def _decode(data: Path | bytes | np.ndarray, channels: int):
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    if isinstance(data, np.ndarray):
        return Image.fromarray(data).convert(mode)
    file = io.BytesIO(data) if isinstance(data, bytes) else _open(data)
    with file, Image.open(file, formats=formats.decoders()) as image:
        if image.width * image.height <= formats.PILLOWS_LIMIT:
            return _convert(image, mode)
        with _ONE_AT_A_TIME:
            try:
                return _convert(image, mode)
            except MemoryError:
                raise _UnusableError("not enough memory for its pixels, shrink it") from None


def _convert(image, mode: str):
    from PIL import Image, ImageOps

    several = image.format not in _COMPOSED and _has_several(image)
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    elif image.mode == "F":
        image = Image.fromarray(_levels(np.asarray(image)))
    elif image.mode == "LAB":
        image = _from_lab(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        # Pixels under full transparency are arbitrary, so the image is composed on white, as in a browser.
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(mode)
    if several:
        image.info[_SEVERAL] = True
    return image


def _has_several(image) -> bool:
    """Returns whether a file contains more than one picture."""
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # the second picture is broken; only the first determines whether the file is usable
        return True


class _UnusableError(ValueError):
    """An image that Pillow decodes but that cannot be used. The message gives the reason in a few words."""


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Converts 16-bit grey values to uint8. Pillow would clip them at 255 instead of scaling them."""
    if values.size and not 0 <= values.min() <= values.max() < 2**16:
        raise _UnusableError("whole numbers beyond 16 bits, save it with 8 or 16")
    return (values >> 8).astype(np.uint8)


def _levels(values: np.ndarray) -> np.ndarray:
    """Converts floats to uint8, from the range [0, 1] or else [0, 255]."""
    if values.size and not (np.isfinite(values).all() and 0 <= values.min() <= values.max() <= 255):
        raise _UnusableError("floats outside [0, 255], scale them to [0, 1]")
    return np.round(values * (255 if values.max(initial=0) <= 1 else 1)).astype(np.uint8)


def _from_lab(image):
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")


def _reason(data: Path | bytes | np.ndarray, error: Exception) -> str:
    """Returns in a few words why an image cannot be decoded."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, _UnusableError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {formats.most_pixels():,} pixels, shrink it or cut it up"
    if isinstance(error, UnidentifiedImageError):
        return formats.describe_unknown(data)
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "cut short"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "damaged"


class _Progress:
    """A progress line on a terminal for large datasets. Prints nothing elsewhere."""

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
