"""The interface of networks that turn images into features, and a loop over many images."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

BATCH_SIZE = 32
"""Images in one call of a network. Larger batches are not faster on a CPU, and need more memory."""


@dataclasses.dataclass(frozen=True)
class Features:
    """A network that turns images into features and, if it is a classifier, into logits of classes.

    Numbers are comparable only if their features have the same fingerprint.

    Attributes:
        name: Its name for `find_features`.
        title: Its name in tables.
        frechet_name: Name of the Frechet distance between its features: "FID" for the network of the FID only.
        fingerprint: The first 16 hexadecimal digits of a SHA-256 over the name, the weights and the preprocessing.
        preprocessing: What happens to the pixels before the network, in one line.
        size: Number of features. None if a user's function does not say it before it is called.
        outputs: Number of classes. None without logits, or as for `size`.
        compute: Turns images that `__call__` has checked into features and logits.
        takes_floats: Whether images may be float32, which need not be rounded.
    """

    name: str
    title: str
    frechet_name: str
    fingerprint: str
    preprocessing: str
    size: int | None
    outputs: int | None
    compute: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]] = dataclasses.field(repr=False, compare=False)
    takes_floats: bool = True

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the features of one batch, float32 [B, size], and the logits, float32 [B, outputs], or None.

        Args:
            images: uint8 [B, H, W, C] with 1 or 3 channels, or float32 images in the same range, 0 to 255, which need
                not be rounded. One channel is repeated for networks of colour images.

        Raises:
            UserError: If the images have another type or shape, or the network cannot take them.
        """
        return self.compute(check_images(images))


def check_images(images: np.ndarray) -> np.ndarray:
    """Checks that images are uint8 or float32 [N, H, W, C] with 1 or 3 channels and N from 1 up, and returns them.

    Raises:
        UserError: If they are not.
    """
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    if (
        images.dtype not in (np.uint8, np.float32)
        or images.ndim != 4
        or images.shape[-1] not in (1, 3)
        or not images.size
    ):
        raise UserError(
            f"images must be uint8 [N, H, W, C] with 1 or 3 channels and N from 1 up, not {images.dtype} of shape "
            f"{list(images.shape)}."
        )
    return images


def as_float(images: np.ndarray) -> np.ndarray:
    """Returns images as float32, with the same values."""
    return images.astype(np.float32, copy=False)


def in_color(images: np.ndarray) -> np.ndarray:
    """Repeats the channel of images, [B, H, W, 1], three times; images with three channels stay as they are."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def extract(
    features: Features,
    images: np.ndarray | Iterable[np.ndarray],
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the features and the logits of many images.

    Args:
        features: The network.
        images: uint8 [N, H, W, C], such as a memory map, or batches of any sizes, [B, H, W, C].
        batch_size: Number of images in one call, if `images` is an array.
        progress: Called after each batch with the number of images that are done.

    Returns:
        Features, float32 [N, size], and logits, float32 [N, outputs], or None.

    Raises:
        UserError: If there are no images, or they have another type or shape.
    """
    batch_size = checks.whole("batch_size", batch_size, 1)
    if isinstance(images, np.ndarray):
        check_images(images)
        batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
        return _collect(features, batches, progress, len(images))
    return _collect(features, images, progress, None)


def _collect(features, batches, progress, total: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Runs the network over batches. With a known total, results go straight to arrays of their final size."""
    done, rows = 0, []
    arrays = None
    for batch in batches:
        found = features(batch)
        if total is None:
            rows.append(found)
        else:
            arrays = arrays or [
                None if part is None else np.empty((total, part.shape[1]), np.float32) for part in found
            ]
            for array, part in zip(arrays, found, strict=True):
                if array is not None:
                    array[done : done + len(part)] = part
        done += len(found[0])
        if progress is not None:
            progress(done)
    if total is None:
        if not rows:
            raise UserError("images holds no batch: give at least one image.")
        arrays = [None if parts[0] is None else np.concatenate(parts) for parts in zip(*rows, strict=True)]
    return tuple(arrays)


def fingerprint(*parts: str | bytes | np.ndarray) -> str:
    """Returns the first 16 hexadecimal digits of a SHA-256 over texts and arrays, with their types and shapes."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head, content = f"{part.dtype.str} {part.shape}", np.ascontiguousarray(part).tobytes()
        else:
            head, content = type(part).__name__, part.encode() if isinstance(part, str) else part
        digest.update(f"{head} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]
