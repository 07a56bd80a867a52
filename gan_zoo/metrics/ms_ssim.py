"""Multi-scale structural similarity (MS-SSIM) of images, and the diversity of generated ones.

References:
    Wang et al., 2003, Multi-scale structural similarity, https://doi.org/10.1109/ACSSC.2003.1292216
    Odena et al., 2017, Conditional image synthesis with auxiliary classifier GANs, https://arxiv.org/abs/1610.09585,
        Section 4.2: the diversity
    Karras et al., 2018, https://arxiv.org/abs/1710.10196, Section 5, and the authors' code for small scales and colours
"""

import numpy as np

from gan_zoo.metrics.arrays import image_pair, images_of
from gan_zoo.metrics.threads import parallel
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, from the finest on."""
SMALLEST = 8
"""Smallest side of the coarsest scale: with it, images of side 128 have all five scales, as published."""

_WINDOW, _SIGMA = 11, 1.5
_PEAK = 255
_PIXELS = 2**20


def ms_ssim(a: np.ndarray, b: np.ndarray, *, scales: int | None = None) -> np.ndarray:
    """Returns the MS-SSIM of pairs of images, [N], from 0 to 1, where 1 is for equal images.

    The window is a Gaussian of 11 x 11 pixels with standard deviation 1.5, and at scales with a smaller side S one of
    S x S pixels with 1.5 S / 11. Each scale takes the mean over pixels and channels. Negative means count as 0.

    Args:
        a: Images, uint8 [N, H, W, C].
        b: Images, uint8 [N, H, W, C].
        scales: Number of scales, from 1 to 5. None takes as many of five as have a side of at least 8: 5 from a side of
            128 on, as published, 4 for 64, 3 for 32, and 2 for 28. The exponents of fewer scales are divided by their
            sum. Numbers of images of different sizes do not compare.

    Raises:
        UserError: If the arrays are not such images, or too small for the number of scales.
    """
    a, b = image_pair(("a", "b"), a, b)
    if len(a) != len(b):
        raise UserError(f"b must be as many images as a, {len(a)}, not {len(b)}.")
    weights = _weights(a, scales)
    step = max(1, _PIXELS // a[0].size)
    parts = [slice(start, start + step) for start in range(0, len(a), step)]
    return np.concatenate(parallel(lambda part: _similarity(a[part], b[part], weights), parts))


def ms_ssim_diversity(images: np.ndarray, *, pairs: int = 10_000, scales: int | None = None, seed: int = 0) -> float:
    """Returns the mean MS-SSIM of random pairs of different images. Low values mean diverse images.

    Odena et al. use 100 pairs of the same class, and Karras et al. 10,000 pairs. Compare it with the value of as many
    real images of the same size.

    Args:
        images: uint8 [N, H, W, C] with N >= 2, also a memory-mapped file.
        pairs: Number of pairs.
        scales: As for `ms_ssim`.
        seed: Seed of the pairs.

    Raises:
        UserError: As for `ms_ssim`, or if there are fewer than 2 images.
    """
    images = images_of("images", images, least=2)
    checks.whole("pairs", pairs, 1)
    weights = _weights(images, scales)
    rng = np.random.default_rng(seed)
    first = rng.integers(len(images), size=pairs)
    second = (first + rng.integers(1, len(images), size=pairs)) % len(images)
    step = max(1, _PIXELS // images[0].size)
    parts = [slice(start, start + step) for start in range(0, pairs, step)]
    found = parallel(lambda part: _similarity(images[first[part]], images[second[part]], weights), parts)
    return float(np.concatenate(found).mean())


def _weights(images: np.ndarray, scales: int | None) -> np.ndarray:
    side = min(images.shape[1:3])
    most = min(max(side // SMALLEST, 0).bit_length(), len(WEIGHTS))
    if scales is None and not most:
        raise UserError(f"MS-SSIM needs images with a side of {SMALLEST} or more, not {side}.")
    scales = checks.whole("scales", most if scales is None else scales, 1, len(WEIGHTS))
    if side >> (scales - 1) == 0:
        raise UserError(f"scales must be fewer for images with a side of {side}, not {scales}.")
    weights = np.array(WEIGHTS[:scales])
    return weights if scales == len(WEIGHTS) else weights / weights.sum()


def _similarity(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the product over the scales: luminance counts at the last one only."""
    # Channels first: the filters are matrix products over the last two axes.
    a, b = (np.moveaxis(x, -1, 1).astype(np.float64) for x in (a, b))
    result = np.ones(len(a))
    for scale, weight in enumerate(weights):
        last = scale == len(weights) - 1
        full, contrast = _ssim(a, b)
        result *= np.maximum(full if last else contrast, 0) ** weight
        if not last:
            a, b = _half(a), _half(b)
    return result


def _ssim(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means of SSIM and of its contrast and structure, [N] each."""
    size = min(_WINDOW, *a.shape[2:])
    rows, columns = (_window(side, size) for side in a.shape[2:])

    def blur(x: np.ndarray) -> np.ndarray:
        return rows @ x @ columns.T

    mean_a, mean_b = blur(a), blur(b)
    squares, product = mean_a**2 + mean_b**2, mean_a * mean_b
    steady, steady_contrast = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
    contrast = (2 * (blur(a * b) - product) + steady_contrast) / (blur(a * a + b * b) - squares + steady_contrast)
    luminance = (2 * product + steady) / (squares + steady)
    return (luminance * contrast).mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))


def _window(side: int, size: int) -> np.ndarray:
    """Returns the matrix of a Gaussian filter without padding, [side - size + 1, side]."""
    places = np.arange(size) - (size - 1) / 2
    weights = np.exp(-(places**2) / (2 * (_SIGMA * size / _WINDOW) ** 2))
    matrix = np.zeros((side - size + 1, side))
    for row in range(len(matrix)):
        matrix[row, row : row + size] = weights / weights.sum()
    return matrix


def _half(x: np.ndarray) -> np.ndarray:
    """Returns the means of 2 x 2 pixels. The last row or column of odd sizes is repeated."""
    x = np.pad(x, ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2)), mode="edge")
    n, channels, height, width = x.shape
    return x.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))
