"""Squared Fréchet distance between Gaussians, which equals their squared Wasserstein-2 distance.

References:
    Dowson and Landau, 1982, The Fréchet distance between multivariate normal distributions
    Heusel et al., 2017, https://arxiv.org/abs/1706.08500 (between Gaussians fitted to features of images: the FID)
"""

import contextlib

import numpy as np

from gan_zoo.metrics.arrays import finite, pair
from gan_zoo.metrics.threads import one_blas_thread
from gan_zoo.util.errors import UserError

_LARGE = 256


def squared_frechet(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """Returns |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    Covariances may be singular: the trace of the root is the sum of the singular values of F1^T F2 for factors
    C = F F^T.

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
    mean1, cov1 = _gaussian(("mean1", "cov1"), mean1, cov1)
    mean2, cov2 = _gaussian(("mean2", "cov2"), mean2, cov2, len(mean1), "mean1")
    if not finite(mean1, cov1, mean2, cov2):
        return float("nan")
    with _threads(len(mean1)):
        product = _factor("cov1", cov1).T @ _factor("cov2", cov2)
        roots = np.linalg.svd(product, compute_uv=False)
    return _distance(mean1, np.trace(cov1), mean2, np.trace(cov2), roots)


class FrechetReference:
    """Gaussian of the real images, for the Fréchet distances of many others from it.

    It decomposes its covariance once. A distance takes a Cholesky factor of the other covariance, or an eigenvalue
    decomposition if that one is singular, and singular values. Their squares are the eigenvalues of R C R, where R is
    the root of the reference. But a root of these eigenvalues has only half of the digits.

    Args:
        mean: [dim], or a number.
        covariance: [dim, dim], or a number: symmetric and positive semidefinite. It may be singular.

    Raises:
        UserError: If the shapes do not match, a number is not finite, or the covariance is not symmetric and positive
            semidefinite.
    """

    def __init__(self, mean: np.ndarray, covariance: np.ndarray):
        self.mean, covariance = _gaussian(("mean", "covariance"), mean, covariance)
        if not finite(self.mean, covariance):
            raise UserError("mean and covariance of the reference must be finite.")
        self._trace = np.trace(covariance)
        with _threads(len(self.mean)):
            self._factor = _factor("covariance", covariance).T.copy()

    def distance(self, mean: np.ndarray, covariance: np.ndarray) -> float:
        """Returns `squared_frechet` between the reference and another Gaussian.

        Args:
            mean: As for the reference.
            covariance: As for the reference.

        Returns:
            The squared distance, never negative; NaN if a number is not finite.

        Raises:
            UserError: If the shapes do not match, or the covariance is not symmetric and positive semidefinite.
        """
        mean, covariance = _gaussian(("mean", "covariance"), mean, covariance, len(self.mean), "the reference")
        if not finite(mean, covariance):
            return float("nan")
        with _threads(len(mean)):
            factor = _cholesky(covariance)
            factor = _factor("covariance", covariance) if factor is None else factor
            roots = np.linalg.svd(self._factor @ factor, compute_uv=False)
        return _distance(self.mean, self._trace, mean, np.trace(covariance), roots)


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


def _gaussian(
    names: tuple[str, str], mean: np.ndarray, covariance: np.ndarray, dim: int | None = None, like: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the arrays in float64, and checks their shapes."""
    mean = np.atleast_1d(np.asarray(mean, np.float64))
    covariance = np.atleast_2d(np.asarray(covariance, np.float64))
    dim = len(mean) if dim is None else dim
    for name, array, shape in ((names[0], mean, (dim,)), (names[1], covariance, (dim, dim))):
        if array.shape != shape:
            what = f"to match {like or names[0]}, " if mean.ndim == 1 else ""
            raise UserError(f"{name} must be of shape {list(shape)}, {what}not {list(array.shape)}.")
    return mean, covariance


def _distance(mean1: np.ndarray, trace1: float, mean2: np.ndarray, trace2: float, roots: np.ndarray) -> float:
    # Rounding gives slightly less than 0 for equal covariances.
    return float(np.sum(np.square(mean1 - mean2)) + max(trace1 + trace2 - 2 * roots.sum(), 0.0))


def _noise(size: float, dim: int) -> float:
    """Returns a bound of the rounding errors of eigenvalues. Their roots would be 10^8 times as large."""
    return dim * np.finfo(np.float64).eps * size


def _factor(name: str, cov: np.ndarray) -> np.ndarray:
    """Returns F of shape [dim, rank] with F F^T = C."""
    values, vectors = np.linalg.eigh(cov)
    size = np.abs(cov).max()
    if np.abs(cov - cov.T).max() > 1e-6 * size or values[0] < -1e-6 * size:
        raise UserError(f"{name} must be a covariance: symmetric, without negative eigenvalues.")
    kept = values > _noise(values[-1], len(values))
    return vectors[:, kept] * np.sqrt(values[kept])


def _cholesky(cov: np.ndarray) -> np.ndarray | None:
    """Returns a triangular F with F F^T = C, or None if C is singular or not a covariance."""
    if np.abs(cov - cov.T).max() > 1e-6 * np.abs(cov).max():
        return None
    try:
        factor = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None
    return factor if np.diagonal(factor).min() ** 2 > _noise(np.abs(cov).max(), len(cov)) else None


def _threads(dim: int) -> contextlib.AbstractContextManager:
    """Returns a context for decompositions: see `threads`. Small ones use one thread without it."""
    return one_blas_thread() if dim >= _LARGE else contextlib.nullcontext()
