"""Images with their labels, features and logits, kept in files so that memory does not grow with their number."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from gan_zoo.evaluate.features import Features
from gan_zoo.util.errors import UserError, argument
from gan_zoo.util.files import allocate

BATCH_SIZE = 32
"""Number of images in one call of a network for features."""

IMAGES, FEATURES, LOGITS = "images.npy", "features.npy", "logits.npy"


@dataclasses.dataclass(frozen=True)
class Examples:
    """N images. The arrays may be memory-mapped files.

    Attributes:
        images: uint8 [N, H, W, C], or None if no metric needs them.
        labels: int32 [N], or None.
        features: float32 [N, D].
        logits: float32 [N, K], or None if the network for features has none.
    """

    images: np.ndarray | None
    labels: np.ndarray | None
    features: np.ndarray
    logits: np.ndarray | None

    def __len__(self) -> int:
        return len(self.features)

    def part(self, start: int, stop: int) -> "Examples":
        """Returns examples `start` to `stop` - 1, without a copy."""
        arrays = (getattr(self, field.name) for field in dataclasses.fields(self))
        return Examples(*(None if array is None else array[start:stop] for array in arrays))


def extract_to(
    folder: Path, features: Features, batches: Iterable[np.ndarray], count: int, progress: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Writes the features and logits of images to files in a folder.

    Args:
        folder: An existing folder.
        features: The network.
        batches: Images, uint8 [B, H, W, C] each, `count` in all.
        count: Number of images.
        progress: Called after each batch with its number of images.

    Returns:
        Features, float32 [count, D], and logits, float32 [count, K], or None, as memory-mapped files.

    Raises:
        UserError: If the network cannot take the images, or a feature is not finite.
    """
    files, done = None, 0
    for images in batches:
        found = features(images)
        if not np.isfinite(found[0]).all():
            raise UserError(
                f"{argument('features')}={features.name}: the features of image {done} to {done + len(images) - 1} are "
                f"not all finite: use another network."
            )
        if files is None:
            files = [
                None if part is None else create(folder / name, np.float32, (count, *part.shape[1:]))
                for name, part in zip((FEATURES, LOGITS), found, strict=True)
            ]
        for file, part in zip(files, found, strict=True):
            if file is not None:
                file[done : done + len(images)] = part
        done += len(images)
        progress(len(images))
    for file in files:
        if file is not None:
            file.flush()
    return files[0], files[1]


def create(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    """Returns a new memory-mapped .npy file, for writing.

    Its space is reserved, because a write to a memory-mapped file on a full disk ends the process without a message.

    Raises:
        OSError: If it cannot be created, or there is not enough space.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        allocate(file, path.stat().st_size)
    return array


@contextlib.contextmanager
def temporary_files(folder: Path) -> Iterator[None]:
    """Converts the errors of files in a temporary folder.

    Raises:
        UserError: If a file in the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"temporary files in {folder.parent} cannot be written ({error.strerror or error}): make room there, or "
            f"name another folder in the variable TMPDIR."
        ) from error


def in_batches(images: np.ndarray, order: np.ndarray | None = None) -> Iterable[np.ndarray]:
    """Yields images in batches, in the given order of indices or in their own."""
    for start in range(0, len(images), BATCH_SIZE):
        chosen = slice(start, start + BATCH_SIZE)
        yield images[chosen] if order is None else images[order[chosen]]
