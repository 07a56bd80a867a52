"""Kernel distance of features: the squared maximum mean discrepancy with a cubic polynomial kernel (of Inception: KID).

References:
    Binkowski et al., 2018, Demystifying MMD GANs, https://arxiv.org/abs/1801.01401, Section 4 and Appendix D
"""

from typing import NamedTuple

import numpy as np

from gan_zoo.metrics.arrays import centre, row_pair
from gan_zoo.metrics.threads import parallel
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

_ROWS = 2048


class KernelDistance(NamedTuple):
    """A kernel distance.

    Attributes:
        mean: Mean over the subsets: an unbiased estimate, which can be negative.
        std: Standard deviation over the subsets (divided by their number, as published): the spread of one subset's
            estimate, not the error of `mean`.
    """

    mean: float
    std: float


def kernel_distance(
    x: np.ndarray, y: np.ndarray, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Returns the mean of `unbiased_kernel_distance` over random subsets, as published.

    Each subset is drawn without replacement.

    Args:
        x: Features, [N, D], also a memory-mapped file. float64 features are computed in float64. Others have matrix
            products of centred features in float32, and all else in float64.
        y: Features, [M, D].
        subsets: Number of subsets.
        subset_size: Number of features of `x`, and of `y`, in a subset.
        seed: Seed of the subsets.

    Raises:
        UserError: If the shapes do not match, `x` or `y` has fewer than `subset_size` rows, a value is not finite, or a
            number is out of range.
    """
    checks.whole("subsets", subsets, 1)
    checks.whole("subset_size", subset_size, 2)
    x, y = row_pair(("x", "y"), x, y)
    for name, array in (("x", x), ("y", y)):
        if len(array) < subset_size:
            raise UserError(
                f"{name} has {len(array)} rows: subset_size must be at most this number, not {subset_size}."
            )
    shift = _shift(x, y)
    rng = np.random.default_rng(seed)
    drawn = [[np.sort(rng.choice(len(array), subset_size, replace=False)) for array in (x, y)] for _ in range(subsets)]
    found = parallel(lambda chosen: _unbiased(x[chosen[0]], y[chosen[1]], shift), drawn)
    return KernelDistance(float(np.mean(found)), float(np.std(found)))


def unbiased_kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the unbiased squared MMD over all pairs, with the kernel k(a, b) = (a . b / D + 1)^3.

    It has less spread than the mean over subsets. Its time grows as (N + M)^2: 10,000 features of dimension 2048 each
    take several seconds on two cores.

    Args:
        x: Features, [N, D], as for `kernel_distance`.
        y: Features, [M, D].

    Raises:
        UserError: If the shapes do not match, `x` or `y` has fewer than 2 rows, or a value is not finite.
    """
    x, y = row_pair(("x", "y"), x, y, least=2)
    return _unbiased(x, y, _shift(x, y))


def _shift(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the mean of both sets, and checks that all values are finite."""
    return (centre("x", x) + centre("y", y)) / 2


def _unbiased(x: np.ndarray, y: np.ndarray, shift: np.ndarray) -> float:
    (within_x, own_x), (within_y, own_y) = _sum(x, x, shift), _sum(y, y, shift)
    n, m = len(x), len(y)
    across = _sum(x, y, shift)[0] / (n * m)
    return (within_x - own_x) / (n * (n - 1)) + (within_y - own_y) / (m * (m - 1)) - 2 * across


def _sum(x: np.ndarray, y: np.ndarray, shift: np.ndarray) -> tuple[float, float]:
    """Returns the sum of the kernel over all pairs, and over the pairs (i, i) if `y` is `x`."""
    total = diagonal = 0.0
    same = y is x
    for i in range(0, len(x), _ROWS):
        a, p = _centred(x[i : i + _ROWS], shift)
        for j in range(i if same else 0, len(y), _ROWS):
            own = same and i == j
            b, q = (a, p) if own else _centred(y[j : j + _ROWS], shift)
            # a . b = a' . b' + a' . s + s . b' + s . s for features a' = a - s
            values = np.add(a @ b.T, p[:, np.newaxis], dtype=np.float64)
            values += q + shift @ shift
            values *= 1 / x.shape[1]
            values += 1
            part = float(np.vdot(values * values, values))
            total += part if own or not same else 2 * part
            diagonal += float(np.sum(np.diagonal(values) ** 3)) if own else 0.0
    return total, diagonal


def _centred(x: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns centred features for matrix products, and their products with the shift in float64."""
    centred = x - shift
    return centred.astype(np.float64 if x.dtype == np.float64 else np.float32), centred @ shift
