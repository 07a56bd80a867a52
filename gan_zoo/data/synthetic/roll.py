"""The noisy Swiss roll in the plane."""

import math

import numpy as np

from gan_zoo.data.synthetic.base import Distribution, streams

ROLL_NOISE = 0.25
ROLL_SCALE = 7.5
ROLL_START = 1.5 * math.pi
ROLL_END = 4.5 * math.pi

_TAILS = 9.0
_NODES = 1024
"""Number of quadrature nodes along the roll. Their distance is at most 0.7 standard deviations: exact to 1e-12."""
_VERTICES = 8192
"""Number of vertices of the polygon that approximates the curve, with an error of at most 1e-6."""
_CELL = 0.1
_TOGETHER = 4096
"""Largest number of points in one small square that are processed together."""


def swiss_roll() -> "SwissRoll":
    """Returns scikit-learn's Swiss roll without its middle column, whose noise is independent of the other two."""
    return SwissRoll()


class SwissRoll(Distribution):
    """(t cos t, t sin t) + N(0, 0.25^2 I), all divided by 7.5, with t ~ U[1.5 pi, 4.5 pi]."""

    def __init__(self):
        self.std = ROLL_NOISE / ROLL_SCALE
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        self._on_curve = _curve(ROLL_START + (ROLL_END - ROLL_START) * (nodes + 1) / 2)
        self._probability = weights / 2
        self._polygon = polygon = _curve(np.linspace(ROLL_START, ROLL_END, _VERTICES))
        reach = _TAILS * self.std
        mean = self._probability @ self._on_curve
        off = self._on_curve - mean
        super().__init__(
            dim=2,
            support_dim=2,
            limits=(float(polygon.min() - 4 * self.std), float(polygon.max() + 4 * self.std)),
            mean=mean,
            covariance=(off * self._probability[:, np.newaxis]).T @ off + self.std**2 * np.eye(2),
            box=np.stack([polygon.min(axis=0) - reach, polygon.max(axis=0) + reach]),
            scale=self.std,
        )

    def sample(self, n, seed):
        import tensorflow as tf

        which, noise = streams(seed)
        normal = tf.random.stateless_normal([n, 2], noise)
        t = ROLL_START * (1 + 2 * tf.random.stateless_uniform([n], which))
        return (tf.stack([t * tf.cos(t), t * tf.sin(t)], axis=1) + ROLL_NOISE * normal) / ROLL_SCALE

    def _log_density(self, x):
        density = np.full(len(x), np.nan)
        finite = np.flatnonzero(np.isfinite(x).all(axis=1))
        for group in _neighbours(x[finite]):
            density[finite[group]] = self._log_density_of_neighbours(x[finite[group]])
        return density

    def _log_density_of_neighbours(self, x: np.ndarray) -> np.ndarray:
        from scipy.spatial.distance import cdist
        from scipy.special import logsumexp

        centre = x.mean(axis=0)
        reach = np.linalg.norm(x - centre, axis=1).max()
        away = np.linalg.norm(self._on_curve - centre, axis=1)
        # Nodes farther away change the sum for no point: their terms are below e^-36 times that of the nearest node.
        near = away <= reach + np.sqrt((away.min() + reach) ** 2 + 72 * self.std**2)
        squared = cdist(x, self._on_curve[near], "sqeuclidean")
        offset = np.log(self._probability[near]) - math.log(2 * math.pi * self.std**2)
        return logsumexp(offset - squared / (2 * self.std**2), axis=1)

    def _distance(self, x):
        from scipy.spatial import cKDTree

        polygon = self._polygon
        finite = np.isfinite(x).all(axis=1)
        _, nearest = cKDTree(polygon).query(x[finite])
        distance = np.full(len(x), np.nan)
        # The nearest point is on one of the two edges at the nearest vertex.
        distance[finite] = np.minimum(
            _to_edges(x[finite], polygon, np.maximum(nearest - 1, 0)),
            _to_edges(x[finite], polygon, np.minimum(nearest, _VERTICES - 2)),
        )
        return distance


def _neighbours(x: np.ndarray) -> list[np.ndarray]:
    """Splits the indices of all points into groups that lie in one small square, of limited size."""
    if not len(x):
        return []
    # Squares have numbers up to 2^20. Points farther away are in the last squares.
    column, row = np.floor(np.clip(x / _CELL, -(2**20), 2**20)).astype(np.int64).T
    key = column * 2**22 + row
    order = np.argsort(key, kind="stable")
    cells = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
    return [part for cell in cells for part in np.array_split(cell, 1 + len(cell) // _TOGETHER)]


def _curve(t: np.ndarray) -> np.ndarray:
    return np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / ROLL_SCALE


def _to_edges(x: np.ndarray, polygon: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Returns the distance of each point to its own edge, from vertex k to k + 1."""
    start, edge = polygon[k], polygon[k + 1] - polygon[k]
    along = np.clip(np.sum((x - start) * edge, axis=1) / np.sum(edge * edge, axis=1), 0, 1)
    return np.linalg.norm(x - start - along[:, np.newaxis] * edge, axis=1)
