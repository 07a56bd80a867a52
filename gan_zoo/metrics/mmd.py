"""Squared maximum mean discrepancy with a Gaussian kernel.

References:
    Gretton et al., 2012, A kernel two-sample test, https://jmlr.org/papers/v13/gretton12a.html
"""

import numpy as np

from gan_zoo.metrics.arrays import finite, pair
from gan_zoo.util.errors import UserError


def squared_mmd(x: np.ndarray, y: np.ndarray, bandwidth: float | None = None, *, biased: bool = False) -> float:
    """Returns the squared MMD with k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)).

    Args:
        x: [N, dim], or numbers, [N], with N >= 2.
        y: [M, dim], or [M].
        bandwidth: Bandwidth of the kernel, in the units of the points. None uses `median_bandwidth` of `x` and `y`.
        biased: Whether to take the mean over all pairs, Gretton et al. (2012), eq. 5, which is never negative. The
            default is the mean over pairs of different points, eq. 3, whose expectation is 0 if `x` and `y` have the
            same distribution.

    Returns:
        The squared MMD, at most 2; NaN if a point is not finite.

    Raises:
        UserError: If `x` or `y` has another shape, or fewer than 2 points, or `bandwidth` is not positive.
    """
    from scipy.spatial.distance import cdist, pdist

    x, y = pair(x, y, least=2)
    if bandwidth is not None and not bandwidth > 0:
        raise UserError(f"bandwidth must be positive, not {bandwidth!r}.")
    if not finite(x, y):
        return float("nan")
    bandwidth = median_bandwidth(x, y) if bandwidth is None else bandwidth

    def kernel(squared):
        return np.exp(-squared / (2 * bandwidth**2))

    def within(points):
        n = len(points)
        pairs = 2 * kernel(pdist(points, "sqeuclidean")).sum()
        return (pairs + n) / n**2 if biased else pairs / (n * (n - 1))

    return float(within(x) + within(y) - 2 * kernel(cdist(x, y, "sqeuclidean")).mean())


def median_bandwidth(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the median distance between two points of `x` and `y` together: Gretton et al. (2012), Section 8.

    Args:
        x: [N, dim], or numbers, [N].
        y: [M, dim], or [M].

    Returns:
        The median, or 1 if more than half of all pairs have distance 0.

    Raises:
        UserError: If `x` or `y` has another shape or is empty.
    """
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(np.concatenate(pair(x, y))))) or 1.0
