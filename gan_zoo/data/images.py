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
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gan_zoo.data import formats
from gan_zoo.errors import UserError

MAX_SKIPPED = 100
"""Images of a set that may be left out because they cannot be decoded, unless another number is asked for."""

PIXELS_VERSION = 1
"""Part of every cache key: raise it when a change here changes pixels."""

GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})
"""Pillow's names for images without colour."""

_CHUNK = 512
_BIG = 20_000
_NAMES_KEPT = 10
_ONE_AT_A_TIME = threading.Lock()
"""Held while an image beyond Pillow's own limit is decoded, of which several at once could fill the memory."""
_SEVERAL = "several pictures"
"""Key in the `info` of a decoded image whose file holds more pictures than the first."""
_COMPOSED = {"MPO", "PSD"}
"""Formats whose first picture is the whole: further ones are previews, views for the other eye, or layers."""
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
        count: Number of records, bad ones included; None before `prepare`.
        records: Starts one pass over the records, always in the same order.
        channels: Finds the number of channels, 1 or 3; called only when there is no cache.
        native: Height and width of the images, or None where they vary.
        class_names: Names of the classes, by label, or None where there are none, or no telling which are meant.
        details: Further settings worth recording in a run.
        passed_over: What the source holds besides, that may be meant as images and is not read; sentences.
        prepare: Fetches a set that is not here, and returns it with its records; None where they are here.
        remedy: What a user can do about images that cannot be decoded, the beginning of a sentence.
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
    """What happened while a set was decoded.

    Attributes:
        count: Images that were kept.
        reasons: Why images were left out: for each reason how many were, and the names of the first few.
        enlarged: Images whose square was smaller than the resolution.
        several: Files with several pictures, such as animations, of which the first was kept.
    """

    count: int = 0
    reasons: dict[str, dict] = dataclasses.field(default_factory=dict)
    enlarged: int = 0
    several: int = 0

    @property
    def skipped(self) -> int:
        """Images that were left out."""
        return sum(of["count"] for of in self.reasons.values())

    def skip(self, name: str, reason: str):
        """Counts an image that cannot be decoded."""
        of = self.reasons.setdefault(reason, {"count": 0, "names": []})
        of["count"] += 1
        if len(of["names"]) < _NAMES_KEPT:
            of["names"].append(name)

    def why(self) -> str:
        """The reasons for a message: each with its number of images, the first few names and how many more."""
        return "; ".join(f"{reason} ({of['count']}): {_listed(of)}" for reason, of in self.reasons.items())


def _listed(of: dict) -> str:
    more = of["count"] - len(of["names"])
    return ", ".join(of["names"]) + (f" and {more} more" if more else "")


def check_skipped(images: ImageSet, report: Report, max_skipped: int):
    """Checks that no more images were left out than may be.

    Raises:
        UserError: More were.
    """
    if report.skipped > max_skipped:
        raise UserError(
            f"{images.name}: {report.skipped} of the {report.skipped + report.count} images read cannot be decoded, "
            f"more than max_skipped={max_skipped} allows: {report.why()}. {images.remedy}, or raise max_skipped."
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

    def work(record: Record) -> tuple[np.ndarray, int, bool] | str:
        try:
            image = _decode(record.data, channels)
        except Exception as error:  # Pillow raises a dozen kinds of exception for broken files
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
    """Lets Pillow decode images of up to `formats.most_pixels()` pixels and refuse larger ones."""
    from PIL import Image

    with _LIMIT.lock:
        if not _LIMIT.users:
            _LIMIT.before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, formats.most_pixels()
        _LIMIT.users += 1
    try:
        with warnings.catch_warnings():
            # Up to twice its limit Pillow would only warn.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # It says so of formats that a later Pillow will not read.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        with _LIMIT.lock:
            _LIMIT.users -= 1
            if not _LIMIT.users:
                Image.MAX_IMAGE_PIXELS = _LIMIT.before


@dataclasses.dataclass
class _Limit:
    """Pillow's limit, a global variable, while sets are decoded, possibly in several threads."""

    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    users: int = 0
    before: int | None = None


_LIMIT = _Limit()


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
    return UserError(f"labels: {name} has none. Choose a set with classes, such as mnist, cifar10 or ring8.")


def is_grey(path: Path) -> bool | None:
    """Whether an image has no colour, from its header; None when it is no image."""
    from PIL import Image

    try:
        with _open(path) as file, Image.open(file, formats=formats.decoders()) as image:
            return image.mode in GREY_MODES
    except Exception:  # as above; whoever decodes the file counts and names it
        return None


def _open(path: Path) -> BinaryIO:
    # Pillow would not close a file that it opens itself and then cannot read, and for a pipe it would wait for ever.
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.open("rb")


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
        # What lies under transparent pixels is arbitrary: show the picture on white, as a browser does.
        image = image.convert("LA") if image.mode == "La" else image
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(mode)
    if several:
        image.info[_SEVERAL] = True
    return image


def _has_several(image) -> bool:
    """Whether a file holds more pictures than its first."""
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # the second one is broken in any of Pillow's ways: the first decides whether the file is good
        return True


class _UnusableError(ValueError):
    """An image that Pillow decodes, but that cannot be used; the message says why in a few words."""


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Greys of 16 bits as uint8: Pillow would clip them at 255 instead of scaling them."""
    if values.size and not 0 <= values.min() <= values.max() < 2**16:
        raise _UnusableError("whole numbers beyond 16 bits, save it with 8 or 16")
    return (values >> 8).astype(np.uint8)


def _levels(values: np.ndarray) -> np.ndarray:
    """Floats as uint8: from 0 to 1, or else from 0 to 255."""
    if values.size and not (np.isfinite(values).all() and 0 <= values.min() <= values.max() <= 255):
        raise _UnusableError("floats outside [0, 255], scale them to [0, 1]")
    return np.round(values * (255 if values.max(initial=0) <= 1 else 1)).astype(np.uint8)


def _from_lab(image):
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")


def _reason(data: Path | bytes | np.ndarray, error: Exception) -> str:
    """Why an image cannot be decoded, in a few words."""
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
