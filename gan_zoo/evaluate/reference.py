"""The real images that samples are compared with, and their features, which a cache on disk keeps.

A cache entry is a folder with features.npy, logits.npy and meta.json. Its name contains a hash of all that determines
its contents: the pixels, the network and the order. So another dataset, crop, size or network never finds it.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gan_zoo import metrics, releases
from gan_zoo.data import cache
from gan_zoo.data.sources import ImageSource, Source
from gan_zoo.evaluate.examples import (
    BATCH_SIZE,
    FEATURES,
    IMAGES,
    LOGITS,
    Examples,
    create,
    extract_to,
    in_batches,
    temporary_files,
)
from gan_zoo.evaluate.features import Features
from gan_zoo.util import checks, files
from gan_zoo.util.errors import UserError, argument

_META = "meta.json"
_ORDER_SEED = 0
"""Seed of the order in which features are stored, so that every part is a random subset of the images."""
_LARGEST_BLOCK = 2**26


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real images in a random order, and what is recorded about them.

    Attributes:
        examples: The images with their labels, features and logits.
        classes: Names of the classes, by label; None without classes.
        description: Dataset, version, split, crop, shape, number and SHA-256 of the images, as JSON types.
        folder: Folder of the cache for what is computed from these features.
    """

    examples: Examples
    classes: tuple[str, ...] | None
    description: dict[str, Any]
    folder: Path

    def radii(self, k: int) -> np.ndarray:
        """Returns `gan_zoo.metrics.radii` of the features, from the cache or computed now.

        They take much longer than the comparison with a few thousand samples: all pairs of real images.
        """
        path = self.folder / f"radii-{k}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):
            found = np.load(path)
            if found.shape == (len(self.examples),):
                return found
        found = metrics.radii(self.examples.features, k)
        with contextlib.suppress(OSError), files.atomic_file(path) as file:  # only a cache
            np.save(file, found)
        return found


def open_reference(
    source: Source,
    features: Features,
    *,
    work: Path,
    with_images: bool = True,
    cache_dir: str | Path | None = None,
    progress: Callable[[str, int | None], contextlib.AbstractContextManager[Callable[[int], None]]],
) -> Reference:
    """Returns the reference of a dataset, with features from the cache or computed now.

    Args:
        source: The dataset, opened.
        features: The network.
        work: Temporary folder, for a shuffled copy of images that are too large for the memory.
        with_images: Whether the examples need images, or only features.
        cache_dir: Folder of the cache. None is `$GAN_ZOO_CACHE/references`, or `~/.cache/gan_zoo/references`.
        progress: Takes a title and a total; its context gives a function to call with the number that is done.

    Raises:
        UserError: If the data are points, or the cache cannot be written.
    """
    check_images(source)
    order = np.random.default_rng(_ORDER_SEED).permutation(len(source.images))
    pixels = _hash(source.images)
    folder = _folder(source, features, pixels, cache_dir)
    found = _cached(folder, len(order))
    if found is None:
        meta = {"features": features.fingerprint, "images": pixels, "order": _ORDER_SEED, "count": len(order)}

        def fill(part: Path) -> None:
            with progress(f"{features.title}: {len(order)} real images", len(order)) as done:
                extract_to(part, features, in_batches(source.images, order), len(order), done)
            (part / _META).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")

        found = _filled(folder, len(order), fill)
    labels = None if source.labels is None else source.labels[order]
    with temporary_files(work):
        images = _shuffled(source.images, order, work) if with_images else None
    return Reference(Examples(images, labels, *found), source.classes, _describe(source, pixels), folder)


def check_images(source: Source) -> None:
    """Checks that a dataset has images.

    Raises:
        UserError: If it has points, or draws images without end.
    """
    if isinstance(source, ImageSource):
        return
    if source.kind == "points":
        raise UserError(
            f"{argument('source')}={source.name} has no images to compare with: name a dataset of images. Points are "
            "measured by gan_zoo.metrics.evaluate."
        )
    raise UserError(
        f"{argument('source')}={source.name} draws its images without end, and a comparison needs a fixed set: name "
        "another."
    )


def _shuffled(images: np.ndarray, order: np.ndarray, work: Path) -> np.ndarray:
    """Returns the images in another order: in memory, or in a file if they are memory-mapped."""
    if images.nbytes <= cache.MEMORY_LIMIT:
        return images[order]
    copy = create(work / IMAGES, np.uint8, images.shape)
    for start in range(0, len(order), BATCH_SIZE):
        copy[start : start + BATCH_SIZE] = images[order[start : start + BATCH_SIZE]]
    return copy


def _describe(source: Source, pixels: str) -> dict[str, Any]:
    settings = source.describe()
    return {
        "dataset": settings["name"],
        "version": str(settings.get("tfds") or settings.get("version") or ""),
        "split": settings.get("split"),
        "crop": settings.get("crop"),
        "shape": list(source.shape),
        "count": source.size,
        "sha256": pixels,
    }


def _hash(images: np.ndarray) -> str:
    """Returns the SHA-256 of the images' shape and pixels."""
    digest = hashlib.sha256(str(images.shape).encode())
    step = max(1, _LARGEST_BLOCK // int(np.prod(images.shape[1:])))
    for start in range(0, len(images), step):
        digest.update(np.ascontiguousarray(images[start : start + step]).data)
    return digest.hexdigest()


def _folder(source: Source, features: Features, pixels: str, cache_dir: str | Path | None) -> Path:
    root = (
        releases.default_cache().with_name("references") if cache_dir is None else checks.path("cache_dir", cache_dir)
    )
    key = hashlib.sha256(f"{pixels} {features.fingerprint} {_ORDER_SEED}".encode()).hexdigest()[:16]
    name = "".join(c if c.isalnum() else "_" for c in source.name)[-40:]
    return root / f"{name}-{source.shape[0]}-{features.name.replace(':', '.')[-40:]}-{key}"


def _cached(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Returns the features and logits of a complete folder of the cache; None if there is none."""
    try:
        features = np.load(folder / FEATURES, mmap_mode="r")
        logits = np.load(folder / LOGITS, mmap_mode="r") if (folder / LOGITS).exists() else None
    except (OSError, ValueError, EOFError):
        return None
    return (features, logits) if len(features) == count and (folder / _META).exists() else None


def _filled(folder: Path, count: int, fill: Callable[[Path], None]) -> tuple[np.ndarray, np.ndarray | None]:
    """Fills a folder with the features of `count` images, unless another process does it meanwhile; returns them.

    Args:
        folder: The folder.
        count: Number of images.
        fill: Writes all files into an empty folder with a temporary name, which is then renamed.

    Raises:
        UserError: If the folder cannot be written.
    """
    part = folder.with_name(f"{folder.name}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with files.lock_of(folder, f"The features of {count} real images are being computed"):
            found = _cached(folder, count)
            if found is not None:
                return found
            for left in (folder, part):  # damaged, or of a process that was killed: no other has the lock
                shutil.rmtree(left, ignore_errors=True)
            try:
                part.mkdir()
                fill(part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
            return _cached(folder, count)
    except OSError as error:
        raise UserError(
            f"features cannot be cached in {folder.parent} ({error.strerror or error}): make room there, or name "
            f"another folder in the variable GAN_ZOO_CACHE."
        ) from error
