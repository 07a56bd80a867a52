"""Mixtures of Gaussians with a common standard deviation."""

import math
from collections.abc import Sequence

import numpy as np

from gan_zoo.data.synthetic.base import Distribution, streams
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError

RING_RADIUS = 2.0
RING_STD = 0.02
GRID_SPACING = 2.0
GRID_STD = 0.05
GRID_SCALE = 2.828
GAUSSIAN_MEAN = (1.0, 0.0)
GAUSSIAN_STD = 0.5

_TAILS = 9.0
"""Number of standard deviations beyond which a Gaussian has less than 1e-18 of its probability."""
_CHUNK = 2**20
"""Number of distances in memory at once."""


def ring8() -> "Mixture":
    """Returns 8 Gaussians on a circle of radius 2 around the origin."""
    # Not linspace with its end point: the first and the last mode would coincide.
    angle = 2 * np.pi * np.arange(8) / 8
    return Mixture(RING_RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1), RING_STD)


def grid25() -> "Mixture":
    """Returns 25 Gaussians on a square grid."""
    line = GRID_SPACING * np.arange(-2, 3)
    centres = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2) / GRID_SCALE
    return Mixture(centres, GRID_STD / GRID_SCALE)


def gaussian() -> "Mixture":
    """Returns one Gaussian in the plane."""
    return Mixture(np.array([GAUSSIAN_MEAN]), GAUSSIAN_STD)


def mixture1d(
    centres: Sequence[float] = (-3.0, -1.0, 1.0, 3.0), std: float = 0.2, weights: Sequence[float] | None = None
) -> "Mixture":
    """Returns a mixture of Gaussians on the real line.

    Args:
        centres: Means of the Gaussians.
        std: Standard deviation of all Gaussians.
        weights: Probabilities of the Gaussians, or numbers proportional to them. None makes them equal.

    Raises:
        UserError: If an argument is not valid.
    """
    centres = _numbers("centres", centres)
    std = number("std", std, positive=True)
    if weights is not None:
        weights = _numbers("weights", weights)
        if len(weights) != len(centres) or min(weights) <= 0:
            raise UserError(f"weights must be {len(centres)} positive numbers, one for each centre, not {weights}.")
        total = math.fsum(weights)
        # Normalized weights are not changed, not even by rounding, so that the name stays the same.
        total = 1.0 if abs(total - 1) < 1e-9 else total
        weights = None if len(set(weights)) == 1 else tuple(weight / total for weight in weights)
    if len(set(centres)) < len(centres):
        raise UserError(f"centres must differ from one another, unlike {centres}.")
    distribution = Mixture(np.array(centres)[:, np.newaxis], std, weights)
    distribution.arguments = {"centres": centres, "std": std, "weights": weights}
    return distribution


class Mixture(Distribution):
    """A mixture of Gaussians N(centre, std^2 I).

    Args:
        centres: float64 [K, dim].
        std: Standard deviation of each coordinate.
        weights: K probabilities. None makes them equal.
    """

    def __init__(self, centres: np.ndarray, std: float, weights: Sequence[float] | None = None):
        count, dim = centres.shape
        self._equal = weights is None
        weights = np.full(count, 1 / count) if weights is None else np.array(weights)
        mean = weights @ centres
        off = centres - mean
        low, high = centres.min(), centres.max()
        margin = max(0.1 * (high - low), 4 * std)
        super().__init__(
            dim=dim,
            support_dim=dim,
            limits=(float(low - margin), float(high + margin)),
            mean=mean,
            covariance=(off * weights[:, np.newaxis]).T @ off + std**2 * np.eye(dim),
            box=np.stack([centres.min(axis=0) - _TAILS * std, centres.max(axis=0) + _TAILS * std]),
            scale=std,
            modes=(centres, std),
            weights=weights,
        )

    def sample(self, n, seed):
        return self.sample_labelled(n, seed)[0]

    def sample_labelled(self, n, seed):
        import tensorflow as tf

        which, noise = streams(seed)
        normal = tf.random.stateless_normal([n, self.dim], noise)
        centres, std = self.modes
        if self._equal:
            chosen = tf.random.stateless_uniform([n], which, maxval=len(centres), dtype=tf.int32)
        else:
            bounds = tf.constant(np.cumsum(self.weights)[:-1], tf.float32)
            chosen = tf.searchsorted(bounds, tf.random.stateless_uniform([n], which), side="right")
        return tf.gather(tf.constant(centres, tf.float32), chosen) + std * normal, chosen

    def _log_density(self, x):
        from scipy.special import logsumexp

        centres, std = self.modes
        offset = np.log(self.weights) - self.dim * math.log(math.sqrt(2 * math.pi) * std)
        parts = [logsumexp(offset - 0.5 * (d / std) ** 2, axis=1) for d in self._distances(x)]
        return np.concatenate([np.empty(0), *parts])

    def _distance(self, x):
        return np.concatenate([np.empty(0), *(d.min(axis=1) for d in self._distances(x))])

    def _distances(self, x: np.ndarray):
        from scipy.spatial.distance import cdist

        centres, _ = self.modes
        step = max(1, _CHUNK // len(centres))
        for start in range(0, len(x), step):
            yield cdist(x[start : start + step], centres)


def _numbers(argument: str, values) -> tuple[float, ...]:
    if not isinstance(values, list | tuple | np.ndarray) or not len(values):
        raise UserError(f"{argument} must be a list of numbers such as (-1, 1), not {values!r}.")
    return tuple(number(f"each of {argument}", value) for value in values)
