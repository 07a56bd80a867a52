"""Decoded images on disk, so that a second run starts at once and sets larger than memory work.

One folder per set and settings: `images.u8` (the bytes of [N, R, R, C] and nothing else), `labels.npy` (int64 [N]) and
`meta.json`. It is filled under a temporary name and renamed when complete, so what has the final name is whole. Every
folder can be deleted at any time; it is made again when it is needed.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import math
import mmap
import os
import re
import shutil
import time
import uuid
from pathlib import Path

import numpy as np

from gan_zoo.data.images import PIXELS_VERSION, ImageSet, Report, decode_all
from gan_zoo.errors import UserError

MEMORY_LIMIT = 2 * 2**30
"""Bytes. Decoded sets up to this size are kept in memory, larger ones are mapped from the disk."""

_log = logging.getLogger(__name__)
_ABANDONED = 24 * 3600
_BROKEN = (OSError, ValueError, KeyError, TypeError, EOFError)


def default_dir() -> Path:
    """`$GAN_ZOO_CACHE`, or `~/.cache/gan_zoo/data`."""
    return Path(os.environ.get("GAN_ZOO_CACHE") or "~/.cache/gan_zoo/data").expanduser()


def fetch(
    images: ImageSet, *, resolution: int, crop: int | None, cache_dir: str | Path | None, memory_limit: int
) -> tuple[np.ndarray, np.ndarray, Report]:
    """Opens the decoded set, decoding it first if that was not done before.

    Args:
        images: The set.
        resolution: Side of the images in pixels.
        crop: Side of the centred square in pixels, or None for the largest.
        cache_dir: Folder for decoded sets. None: see `default_dir`.
        memory_limit: In bytes, see `MEMORY_LIMIT`.

    Returns:
        Pixels, uint8 [N, R, R, C], in memory or mapped from the disk; labels, int64 [N]; and what was found when the
        set was decoded.

    Raises:
        UserError: No image of the set can be decoded, or it is too large for the memory limit and cannot be written.
    """
    key = {**images.key, "resolution": resolution, "crop": crop, "pixels_version": PIXELS_VERSION}
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    root = default_dir() if cache_dir is None else Path(cache_dir).expanduser()
    path = root / f"{re.sub(r'[^A-Za-z0-9.]+', '_', images.name)[-40:]}-{resolution}-{digest}"
    if _exists(path):
        try:
            return _open(path, key, memory_limit)
        except _BROKEN as error:
            _log.warning("The cached images in %s cannot be used (%s) and are made again.", path, error)
            shutil.rmtree(path, ignore_errors=True)

    channels = images.channels()
    size = images.count * resolution * resolution * channels
    try:
        partial = _start(path, size)
    except OSError as error:
        if size > memory_limit:
            raise UserError(
                f"cache_dir {root} cannot be used ({error}), and {images.name} takes {_mib(size)} decoded, more than "
                f"the memory limit of {_mib(memory_limit)}. Choose another cache_dir, or raise memory_limit."
            ) from error
        _log.warning("cache_dir %s cannot be used (%s): %s is decoded at every start.", root, error, images.name)
        return _in_memory(images, channels, crop, resolution)
    try:
        _write(partial, key, images, channels, crop, resolution)
        # Fails when another process was faster; its files are the same.
        with contextlib.suppress(OSError):
            partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    try:
        return _open(path, key, memory_limit)
    except _BROKEN as error:
        raise UserError(
            f"cache_dir: {path} cannot be used ({error}). Delete it or choose another cache_dir."
        ) from error


def decode(images: ImageSet, *, resolution: int, crop: int | None) -> tuple[np.ndarray, np.ndarray, Report]:
    """As `fetch`, always decoding and without touching the disk: for sets so small that a cache would gain nothing."""
    return _in_memory(images, images.channels(), crop, resolution)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A folder above it may not be entered.
        return False


def aligned(pixels: np.ndarray) -> np.ndarray:
    """A copy that begins on a page of memory: TensorFlow shares no memory that is not aligned."""
    copy = np.frombuffer(mmap.mmap(-1, pixels.nbytes), np.uint8).reshape(pixels.shape)
    copy[...] = pixels
    return copy


def _in_memory(images: ImageSet, channels: int, crop: int | None, resolution: int):
    report = Report()
    chunks = list(decode_all(images, channels, crop, resolution, report))
    _check_any(images, report)
    pixels, labels = zip(*chunks, strict=True)
    return aligned(np.concatenate(pixels)), np.concatenate(labels), report


def _open(path: Path, key: dict, memory_limit: int):
    meta = json.loads((path / "meta.json").read_text())
    report = Report(**meta["report"])
    shape = (report.count, key["resolution"], key["resolution"], meta["channels"])
    file = path / "images.u8"
    size = file.stat().st_size
    labels = np.load(path / "labels.npy")
    if meta["key"] != key or size != math.prod(shape) or labels.shape != shape[:1] or labels.dtype != np.int64:
        raise ValueError("its files do not belong together")
    pixels = np.memmap(file, np.uint8, "r", shape=shape).view(np.ndarray)
    return aligned(pixels) if size <= memory_limit else pixels, labels, report


def _start(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f"{path.name}.partial-*"):
        # A process that still writes touches its files far more often than once a day.
        with contextlib.suppress(OSError):
            if time.time() - max(p.stat().st_mtime for p in [leftover, *leftover.iterdir()]) > _ABANDONED:
                shutil.rmtree(leftover)
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(f"{_mib(size)} needed, {_mib(free)} free")
    partial = path.with_name(f"{path.name}.partial-{uuid.uuid4().hex[:12]}")
    partial.mkdir()
    return partial


def _write(partial: Path, key: dict, images: ImageSet, channels: int, crop: int | None, resolution: int):
    _log.info("%s: decoding %d images, once; they are kept in %s", images.name, images.count, partial.parent)
    report, labels = Report(), []
    try:
        with (partial / "images.u8").open("wb") as file:
            for pixels, some_labels in decode_all(images, channels, crop, resolution, report):
                file.write(pixels.tobytes())
                labels.append(some_labels)
            _check_any(images, report)
            _sync(file)
        with (partial / "labels.npy").open("wb") as file:
            np.save(file, np.concatenate(labels))
            _sync(file)
        with (partial / "meta.json").open("w") as file:
            json.dump({"key": key, "channels": channels, "report": dataclasses.asdict(report)}, file, indent=1)
            _sync(file)
    except OSError as error:
        raise UserError(
            f"cache_dir: writing the decoded images of {images.name} to {partial.parent} failed ({error}). "
            "Make room there or choose another cache_dir."
        ) from error


def _sync(file):
    # Without this a power failure after the rename can leave a complete-looking folder of empty files.
    file.flush()
    os.fsync(file.fileno())


def _check_any(images: ImageSet, report: Report):
    if not report.count:
        raise UserError(
            f"none of the {images.count} images of {images.name} can be decoded: {', '.join(report.skipped_names)}."
        )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
