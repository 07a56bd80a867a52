"""Sliced Wasserstein distance of patches of a Laplacian pyramid: how well images match at each scale.

References:
    Karras et al., 2018, Progressive growing of GANs, https://arxiv.org/abs/1710.10196, Section 5, and the authors' code
    Burt and Adelson, 1983, The Laplacian pyramid as a compact image code, https://doi.org/10.1109/TCOM.1983.1095851
"""

import numpy as np

from gan_zoo.metrics.arrays import image_pair
from gan_zoo.metrics.threads import parallel
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

PATCH = 7
SMALLEST = 16
"""Side of the last level."""

_FILTER = np.array([1, 4, 6, 4, 1], np.float32) / 16
_CONTRAST = 1e-4
"""Standard deviations up to this value, of pixels from 0 to 255, are rounding errors of a channel without contrast."""
_PIXELS = 2**22
_PROJECTIONS = 2**24


def laplacian_sliced_wasserstein(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    images: int = 16384,
    patches: int = 128,
    repeats: int = 4,
    directions: int = 128,
    seed: int = 0,
) -> dict[str, float]:
    """Returns the sliced Wasserstein distance of patches for each level of the Laplacian pyramid, times 1000.

    A level takes random patches of 7 x 7 pixels from each image, normalises each channel by its mean and standard
    deviation over all patches of the set, and projects them onto random directions. The distance is the mean over the
    directions of the Wasserstein-1 distance of the projections. The defaults are the published protocol.

    Images whose side is not a power of two get a black border up to the next power of two if it adds at most an eighth
    to the side and a little more: 28 becomes 32, as in the published MNIST. Others are an error.

    It keeps the patches of one level in float32: with the defaults, 75 kB for each image of three channels, real or
    fake. Their number biases the distance: compare it only at equal numbers.

    Args:
        real: Images, uint8 [N, S, S, C], also a memory-mapped file.
        fake: Images, uint8 [M, S, S, C].
        images: Largest number of images of each set. The first min(`images`, N, M) of both are used.
        patches: Number of patches of each image and level.
        repeats: Number of draws of `directions` directions. Their results are averaged.
        directions: Number of directions of a draw.
        seed: Seed of the patches and of the directions.

    Returns:
        {side of the level: distance}, such as "64", "32", "16", from the finest to the coarsest, and their "mean". The
        last level is the smallest image itself.

    Raises:
        UserError: If the arrays are not such images, their side does not suit, or a number is out of range.
    """
    for name, value in (("images", images), ("patches", patches), ("repeats", repeats), ("directions", directions)):
        checks.whole(name, value, 1)
    real, fake = image_pair(("real", "fake"), real, fake)
    count = min(images, len(real), len(fake))
    side = padded_side(*real.shape[1:3])
    levels = (side // SMALLEST).bit_length()
    found = {}
    for level in range(levels):
        sets = [
            _descriptors(x[:count], side, level, level == levels - 1, patches, (seed, level, which))
            for which, x in enumerate((real, fake))
        ]
        found[str(side >> level)] = 1000 * _sliced(*sets, repeats * directions, (seed, level, len(sets)))
    return {**found, "mean": float(np.mean(list(found.values())))}


def laplacian_level(images: np.ndarray, level: int, last: bool) -> np.ndarray:
    """Returns one level of the Laplacian pyramid.

    Args:
        images: float32 [N, S, S, C] with S divisible by 2^level, and by 2^(level + 1) if it is not the last.
        level: Number of halvings. 0 is the finest level.
        last: Whether it is the last level, which is the small image itself. Others are what the next one lacks.

    Returns:
        float32 [N, S / 2^level, S / 2^level, C].
    """
    for _ in range(level):
        images = _half(images)
    return images if last else images - _double(_half(images))


def padded_side(height: int, width: int) -> int:
    """Returns the side of images with the black border.

    Raises:
        UserError: If images of this size have no pyramid.
    """
    side = 1 << max(height - 1, 0).bit_length()
    if height != width or side < SMALLEST or 8 * (side - height) > side:
        raise UserError(
            f"real must be square images with a side of {SMALLEST}, 32, 64 or another power of two, or up to an eighth "
            f"less, not {height} x {width}: crop or resize them."
        )
    return side


def _half(images: np.ndarray) -> np.ndarray:
    from scipy.ndimage import convolve1d

    images = convolve1d(images, _FILTER, axis=1, mode="mirror")[:, ::2]
    return convolve1d(images, _FILTER, axis=2, mode="mirror")[:, :, ::2]


def _double(images: np.ndarray) -> np.ndarray:
    from scipy.ndimage import convolve1d

    n, height, width, channels = images.shape
    sparse = np.zeros((n, 2 * height, 2 * width, channels), np.float32)
    sparse[:, ::2, ::2] = images
    for axis in (1, 2):
        sparse = convolve1d(sparse, 2 * _FILTER, axis=axis, mode="mirror")
    return sparse


def _descriptors(
    images: np.ndarray, side: int, level: int, last: bool, patches: int, seed: tuple[int, ...]
) -> np.ndarray:
    """Returns normalised patches of all images, [N * patches, 7 * 7 * C]."""
    n, height, width, channels = images.shape
    small = side >> level
    corners = np.random.default_rng(seed).integers(0, small - PATCH + 1, (2, n, patches))
    found = np.empty((n, patches, PATCH, PATCH, channels), np.float32)
    above = (side - height) // 2
    border = ((0, 0), (above, side - height - above), (above, side - width - above), (0, 0))
    step = max(1, _PIXELS // (side * side * channels))

    def extract(start: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(start, start + step)
        pixels = laplacian_level(np.pad(images[part], border).astype(np.float32), level, last)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (PATCH, PATCH), axis=(1, 2))
        y, x = corners[:, part]
        # The window's axes come last: [N, y, x, C, 7, 7].
        found[part] = np.moveaxis(windows[np.arange(len(pixels))[:, np.newaxis], y, x], 2, -1)
        return tuple(np.sum(found[part] ** power, axis=(0, 1, 2, 3), dtype=np.float64) for power in (1, 2))

    total, squares = np.sum(parallel(extract, range(0, n, step)), axis=0)
    size = found.size // channels
    mean = total / size
    std = np.sqrt(np.maximum(squares / size - mean**2, 0))
    found -= mean.astype(np.float32)
    found /= np.where(std > _CONTRAST, std, np.inf).astype(np.float32)
    return found.reshape(n * patches, -1)


def _sliced(a: np.ndarray, b: np.ndarray, directions: int, seed: tuple[int, ...]) -> float:
    lines = np.random.default_rng(seed).normal(size=(directions, a.shape[1]))
    lines = (lines / np.linalg.norm(lines, axis=1, keepdims=True)).astype(np.float32)
    step = min(max(_PROJECTIONS // len(a), 1), 64)

    def distances(start: int) -> float:
        chosen = lines[start : start + step]
        # Rows are directions, so that each is sorted in one piece of memory.
        first, second = (chosen @ x.T for x in (a, b))
        first.sort(axis=1)
        second.sort(axis=1)
        first -= second
        return float(np.abs(first, out=first).sum(dtype=np.float64))

    return sum(parallel(distances, range(0, directions, step))) / (directions * len(a))
