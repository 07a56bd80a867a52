"""Squared Fréchet distance between Gaussians, which equals their squared Wasserstein-2 distance.

References:
    Dowson and Landau, 1982, The Fréchet distance between multivariate normal distributions
    Heusel et al., 2017, https://arxiv.org/abs/1706.08500 (between Gaussians fitted to features of images: the FID)
"""

import numpy as np

from gan_zoo.metrics.arrays import finite, pair
from gan_zoo.util.errors import UserError


def squared_frechet(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Returns |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Covariances may be singular: the trace of the root is the sum of the singular values of C1^(1/2) C2^(1/2), which
    needs only roots of symmetric matrices.

    Args:
        mean1: [dim], or a number.
        cov1: [dim, dim], or a number: symmetric and positive semidefinite.
        mean2: As `mean1`.
        cov2: As `cov1`.

    Returns:
        The squared distance, never negative; NaN if a number is not finite.

    Raises:
        UserError: If the shapes do not match, or a covariance is not symmetric and positive semidefinite.
    """
    mean1, mean2 = (np.atleast_1d(np.asarray(mean, np.float64)) for mean in (mean1, mean2))
    cov1, cov2 = (np.atleast_2d(np.asarray(cov, np.float64)) for cov in (cov1, cov2))
    dim = len(mean1)
    for name, array, shape in (("mean2", mean2, (dim,)), ("cov1", cov1, (dim, dim)), ("cov2", cov2, (dim, dim))):
        if mean1.ndim != 1 or array.shape != shape:
            raise UserError(f"{name} must be of shape {list(shape)}, to match mean1, not {list(array.shape)}.")
    if not finite(mean1, cov1, mean2, cov2):
        return float("nan")
    product = _root("cov1", cov1) @ _root("cov2", cov2)
    trace = np.trace(cov1) + np.trace(cov2) - 2 * np.linalg.svd(product, compute_uv=False).sum()
    # Rounding gives slightly less than 0 for equal covariances.
    return float(np.sum(np.square(mean1 - mean2)) + max(trace, 0.0))


def squared_frechet_of_samples(x: np.ndarray, y: np.ndarray) -> float:
    """Returns `squared_frechet` of Gaussians with the samples' means and unbiased covariances (divided by N - 1).

    It is biased upwards, and more so for fewer samples: compare it only at equal N and M.

    Args:
        x: [N, dim], or numbers, [N], with N >= 2.
        y: [M, dim], or [M].

    Returns:
        The squared distance; NaN if a point is not finite.

    Raises:
        UserError: If `x` or `y` has another shape, or fewer than 2 points.
    """
    x, y = pair(x, y, least=2)
    if not finite(x, y):
        return float("nan")
    return squared_frechet(x.mean(axis=0), np.cov(x.T), y.mean(axis=0), np.cov(y.T))


def _root(name: str, cov: np.ndarray) -> np.ndarray:
    size = np.abs(cov).max()
    values, vectors = np.linalg.eigh(cov)
    if np.abs(cov - cov.T).max() > 1e-6 * size or values[0] < -1e-6 * size:
        raise UserError(f"{name} must be a covariance: symmetric, without negative eigenvalues.")
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
