"""Uniform distributions on curves in the plane: segments and the circle."""

import math

import numpy as np

from gan_zoo.data.synthetic.base import Distribution, streams
from gan_zoo.util.checks import number


def two_lines(theta: float = 0.0) -> "Segments":
    """Returns (theta, U[0, 1]), a segment parallel to the one of the generator.

    Args:
        theta: Position of the line on the first axis.

    Raises:
        UserError: If `theta` is not a finite number.
    """
    theta = number("theta", theta)
    distribution = Segments([[[theta, 0.0], [theta, 1.0]]])
    distribution.arguments = {"theta": theta}
    return distribution


def segment() -> "Segments":
    """Returns the uniform distribution on the segment from (-1, 0) to (1, 0)."""
    return Segments([[[-1.0, 0.0], [1.0, 0.0]]])


def four_lines(spacing: float = 1.0, length: float = 2.0) -> "Segments":
    """Returns the uniform distribution on four vertical segments side by side, centred at the origin.

    Args:
        spacing: Distance between neighbours.
        length: Length of each segment.

    Raises:
        UserError: If an argument is not a positive number.
    """
    spacing, length = number("spacing", spacing, positive=True), number("length", length, positive=True)
    ends = [[[k * spacing, -length / 2], [k * spacing, length / 2]] for k in (-1.5, -0.5, 0.5, 1.5)]
    distribution = Segments(ends)
    distribution.arguments = {"spacing": spacing, "length": length}
    return distribution


class Segments(Distribution):
    """The uniform distribution on segments of equal length.

    Args:
        ends: The two ends of each segment, [K, 2, 2].
    """

    def __init__(self, ends):
        ends = np.array(ends, np.float64)
        self.starts, self.directions = ends[:, 0], ends[:, 1] - ends[:, 0]
        middles = ends.mean(axis=1)
        off = middles - middles.mean(axis=0)
        low, high = float(ends.min()), float(ends.max())
        margin = 0.25 * (high - low)
        super().__init__(
            dim=2,
            support_dim=1,
            limits=(low - margin, high + margin),
            mean=middles.mean(axis=0),
            # The covariance between the segments, plus d d^T / 12 along each segment.
            covariance=(off.T @ off + self.directions.T @ self.directions / 12) / len(ends),
            box=np.stack([ends.min(axis=(0, 1)), ends.max(axis=(0, 1))]),
        )

    def sample(self, n, seed):
        import tensorflow as tf

        which, where = streams(seed)
        if len(self.starts) == 1:
            along = tf.random.stateless_uniform([n], which)
            chosen = tf.zeros([n], tf.int32)
        else:
            along = tf.random.stateless_uniform([n], where)
            chosen = tf.random.stateless_uniform([n], which, maxval=len(self.starts), dtype=tf.int32)
        starts, directions = (tf.constant(a, tf.float32) for a in (self.starts, self.directions))
        return tf.gather(starts, chosen) + along[:, tf.newaxis] * tf.gather(directions, chosen)

    def _distance(self, x):
        nearest = np.full(len(x), np.inf)
        for start, direction in zip(self.starts, self.directions, strict=True):
            along = np.clip((x - start) @ direction / (direction @ direction), 0, 1)
            nearest = np.fmin(nearest, np.linalg.norm(x - start - along[:, np.newaxis] * direction, axis=1))
        return np.where(np.isfinite(x).all(axis=1), nearest, np.nan)

    def _meets(self, other):
        if not isinstance(other, Segments):
            return super()._meets(other)
        return any(
            _overlap(start, direction, other_start, other_direction)
            for start, direction in zip(self.starts, self.directions, strict=True)
            for other_start, other_direction in zip(other.starts, other.directions, strict=True)
        )

    def _pieces(self):
        # Two ends alone could also lie on a circle.
        return [
            start + np.array([[0.0], [0.5], [1.0]]) * direction
            for start, direction in zip(self.starts, self.directions, strict=True)
        ]


def _overlap(start, direction, other_start, other_direction) -> bool:
    """Returns whether two segments have more than one point in common."""
    length = np.linalg.norm(direction)
    along = direction / length
    across = np.array([-along[1], along[0]])
    ends = np.stack([other_start, other_start + other_direction]) - start
    if np.abs(ends @ across).max() > 1e-9:
        return False
    low, high = np.sort(ends @ along)
    return min(high, length) - max(low, 0.0) > 1e-9


def circle() -> "Circle":
    """Returns the uniform distribution on the circle of radius 1 around the origin."""
    return Circle()


class Circle(Distribution):
    """The uniform distribution on the unit circle."""

    def __init__(self):
        super().__init__(
            dim=2,
            support_dim=1,
            limits=(-1.5, 1.5),
            mean=np.zeros(2),
            covariance=np.eye(2) / 2,
            box=np.array([[-1.0, -1.0], [1.0, 1.0]]),
        )

    def sample(self, n, seed):
        import tensorflow as tf

        which, _ = streams(seed)
        angle = 2 * math.pi * tf.random.stateless_uniform([n], which)
        return tf.stack([tf.cos(angle), tf.sin(angle)], axis=1)

    def _distance(self, x):
        return np.abs(np.linalg.norm(x, axis=1) - 1)

    def _pieces(self):
        angle = 2 * np.pi * np.arange(5) / 5
        return [np.stack([np.cos(angle), np.sin(angle)], axis=1)]
