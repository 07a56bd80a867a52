"""Cache of decoded images on disk, for a fast start of later runs and for datasets larger than memory.

Each dataset with its settings has one folder: `images.u8` (only the bytes of [N, R, R, C]), `labels.npy` (int64 [N], -1
without classes) and `meta.json`. Labels are always stored, so that one cache serves runs with and without labels. The
folder is filled under a temporary name and renamed when complete, so a folder with the final name is complete. While it
is filled, a lock on a hidden file beside it makes other processes wait. The lock ends with the process that holds it,
even if it is killed, so leftovers of dead processes are recognized without comparing times. Every folder can be deleted
at any time; it is rebuilt when needed.
"""

import dataclasses
import hashlib
import json
import logging
import math
import mmap
import os
import re
import shutil
from pathlib import Path

import google_crc32c
import numpy as np

from gan_zoo.data.decoding import PIXELS_VERSION, ImageSet, Report, check_skipped, decode_all
from gan_zoo.util import checks, files
from gan_zoo.util.errors import UserError

MEMORY_LIMIT = 2 * 2**30
"""Bytes. Decoded datasets up to this size are kept in memory; larger ones are memory-mapped from the disk."""

NOWHERE = Path(os.devnull)
"""Stands for a missing cache folder: no folder can be created below it."""

_log = logging.getLogger(__name__)
_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError)


def default_dir() -> Path:
    """Returns `$GAN_ZOO_CACHE`, or `~/.cache/gan_zoo/data`; `NOWHERE` for a user without a home folder."""
    if os.environ.get("GAN_ZOO_CACHE"):
        return checks.path("GAN_ZOO_CACHE", os.environ["GAN_ZOO_CACHE"])
    try:
        return Path("~/.cache/gan_zoo/data").expanduser()
    except RuntimeError:
        return NOWHERE


def fetch(
    images: ImageSet,
    *,
    resolution: int,
    crop: int | None,
    cache_dir: str | Path | None,
    memory_limit: int,
    max_skipped: int,
) -> tuple[np.ndarray, np.ndarray, Report]:
    """Opens a decoded dataset, and decodes it first if necessary.

    While another process decodes the same dataset, this process waits and then opens the result.

    Args:
        images: The dataset.
        resolution: Side of the images in pixels.
        crop: Side of the centred square in pixels, or None for the largest.
        cache_dir: Folder for decoded datasets. None: see `default_dir`.
        memory_limit: In bytes, see `MEMORY_LIMIT`.
        max_skipped: Largest number of images that may be skipped because they cannot be decoded.

    Returns:
        Pixels, uint8 [N, R, R, C], in memory or memory-mapped; labels, int64 [N]; and the report of the decoding.

    Raises:
        UserError: If no image can be decoded, if more than `max_skipped` cannot, or if the dataset is too large for
            the memory limit and cannot be written.
    """
    path, key = _place(images, resolution, crop, cache_dir)
    try:
        opened = _open(path, key, memory_limit)
    except _BROKEN:
        # It is missing or damaged; which of the two is checked under the lock.
        opened = None
    if opened is None:
        opened = _make(path, key, images, crop, resolution, memory_limit, max_skipped)
    check_skipped(images, opened[2], max_skipped)
    return opened


def channels(images: ImageSet, *, resolution: int, crop: int | None, cache_dir: str | Path | None) -> int | None:
    """Returns the channels of a dataset that was decoded before, from its cache folder; None if there is none."""
    path, key = _place(images, resolution, crop, cache_dir)
    try:
        meta = json.loads((path / "meta.json").read_text("utf-8"))
        return meta["channels"] if meta["key"] == key and meta["channels"] in (1, 3) else None
    except _BROKEN:
        return None


def _place(images: ImageSet, resolution: int, crop: int | None, cache_dir: str | Path | None) -> tuple[Path, dict]:
    """Returns the folder of a decoded dataset, and the key: all settings that determine its contents."""
    key = {**images.key, "resolution": resolution, "crop": crop, "pixels_version": PIXELS_VERSION}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    root = default_dir() if cache_dir is None else checks.path("cache_dir", cache_dir)
    return root / f"{re.sub(r'[^A-Za-z0-9.]+', '_', images.name)[-40:]}-{resolution}-{digest}", key


def decode(
    images: ImageSet, *, resolution: int, crop: int | None, max_skipped: int
) -> tuple[np.ndarray, np.ndarray, Report]:
    """Decodes like `fetch`, but without the disk, for datasets so small that a cache gains nothing."""
    return _in_memory(images, images.channels(), crop, resolution, max_skipped)


def aligned(pixels: np.ndarray) -> np.ndarray:
    """Returns a copy that begins on a memory page, because TensorFlow shares only aligned memory."""
    copy = np.frombuffer(mmap.mmap(-1, pixels.nbytes), np.uint8).reshape(pixels.shape)
    copy[...] = pixels
    return copy


def _in_memory(images: ImageSet, channels: int, crop: int | None, resolution: int, max_skipped: int):
    report = Report()
    chunks = list(decode_all(images, channels, crop, resolution, report, max_skipped))
    _check_any(images, report)
    pixels, labels = zip(*chunks, strict=True)
    return aligned(np.concatenate(pixels)), np.concatenate(labels), report


def _open(path: Path, key: dict, memory_limit: int):
    meta = json.loads((path / "meta.json").read_text("utf-8"))
    report = _read_report(meta["report"])
    shape = (report.count, key["resolution"], key["resolution"], meta["channels"])
    file = path / "images.u8"
    size = file.stat().st_size
    labels = np.load(path / "labels.npy")
    if meta["key"] != key or size != math.prod(shape) or labels.shape != shape[:1] or labels.dtype != np.int64:
        raise ValueError("its files do not belong together")
    pixels = np.memmap(file, np.uint8, "r", shape=shape).view(np.ndarray)
    sums = meta.get("crc32c")  # datasets that earlier versions decoded have no checksums
    if sums and google_crc32c.value(labels.tobytes()) != sums["labels"]:
        raise ValueError("labels.npy has changed since it was written")
    if size > memory_limit:
        # A check would read the whole dataset from the disk at every start.
        return pixels, labels, report
    pixels = aligned(pixels)
    if sums and google_crc32c.value(pixels.ravel()) != sums["images"]:
        raise ValueError("images.u8 has changed since it was written")
    return pixels, labels, report


def _read_report(found: dict) -> Report:
    # Earlier versions stored names without reasons, and skipped images that can be read now.
    if found.get("skipped"):
        raise ValueError("images were left out by an earlier version")
    return Report(**{name: value for name, value in found.items() if name not in ("skipped", "skipped_names")})


def _make(
    path: Path, key: dict, images: ImageSet, crop: int | None, resolution: int, memory_limit: int, max_skipped: int
):
    """Decodes the dataset, into its folder if possible. Skips this if another process did it during the wait."""
    channels = images.channels()
    size = images.count * resolution * resolution * channels
    try:
        if path.parent == NOWHERE:
            raise OSError("this user has no home folder: name one with --cache_dir, or in the variable GAN_ZOO_CACHE")
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.lock_of(path, f"{images.name} is being decoded"):
            if path.exists():
                try:
                    return _open(path, key, memory_limit)
                except _BROKEN as error:
                    _log.warning("The cached images in %s cannot be used (%s) and are decoded again.", path, error)
                    shutil.rmtree(path, ignore_errors=True)
            partial = _start(path, size)
            try:
                _write(partial, key, images, channels, crop, resolution, max_skipped)
                return _finish(partial, path, key, memory_limit)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        folder = "~/.cache/gan_zoo/data" if path.parent == NOWHERE else path.parent
        if size > memory_limit:
            raise UserError(
                f"cache_dir {folder} cannot be used ({error}), and {images.name} takes {_mib(size)} decoded, more "
                f"than the memory limit of {_mib(memory_limit)}. Choose another cache_dir, or raise memory_limit."
            ) from error
        _log.warning("cache_dir %s cannot be used (%s): %s is decoded at every start.", folder, error, images.name)
        return _in_memory(images, channels, crop, resolution, max_skipped)


def _start(path: Path, size: int) -> Path:
    for leftover in path.parent.glob(f"{path.name}.partial*"):
        # The process that created it is dead; otherwise this process would not hold the lock.
        shutil.rmtree(leftover)
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(f"{_mib(size)} needed, {_mib(free)} free")
    partial = path.with_name(f"{path.name}.partial")
    partial.mkdir()
    return partial


def _write(
    partial: Path, key: dict, images: ImageSet, channels: int, crop: int | None, resolution: int, max_skipped: int
):
    _log.info("%s: decoding %d images, once; they are kept in %s", images.name, images.count, partial.parent)
    report, labels, pixels_sum = Report(), [], 0
    try:
        with (partial / "images.u8").open("wb") as file:
            for pixels, some_labels in decode_all(images, channels, crop, resolution, report, max_skipped):
                file.write(pixels.data)
                pixels_sum = google_crc32c.extend(pixels_sum, pixels.ravel())
                labels.append(some_labels)
            _check_any(images, report)
            _sync(file)
        labels = np.concatenate(labels)
        with (partial / "labels.npy").open("wb") as file:
            np.save(file, labels)
            _sync(file)
        sums = {"images": pixels_sum, "labels": google_crc32c.value(labels.tobytes())}
        meta = {"key": key, "channels": channels, "report": dataclasses.asdict(report), "crc32c": sums}
        with (partial / "meta.json").open("w", encoding="utf-8") as file:
            json.dump(meta, file, indent=1)
            _sync(file)
    except OSError as error:
        raise UserError(
            f"cache_dir: writing the decoded images of {images.name} to {partial.parent} failed ({error}). "
            "Make room there or choose another cache_dir."
        ) from error


def _finish(partial: Path, path: Path, key: dict, memory_limit: int):
    try:
        partial.rename(path)
        return _open(path, key, memory_limit)
    except _BROKEN as error:
        raise UserError(
            f"cache_dir: {path} cannot be used ({error}). Delete it or choose another cache_dir."
        ) from error


def _sync(file):
    # Without this, a power failure after the rename can leave a folder of empty files that looks complete.
    file.flush()
    os.fsync(file.fileno())


def _check_any(images: ImageSet, report: Report):
    if not report.count:
        raise UserError(f"none of the {images.count} images of {images.name} can be decoded: {report.why()}.")


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
