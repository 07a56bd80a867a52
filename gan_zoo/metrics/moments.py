"""Mean and covariance of features that arrive in parts.

References:
    Chan et al., 1983, Algorithms for computing the sample variance, https://doi.org/10.1080/00031305.1983.10483115
"""

import numpy as np

from gan_zoo.metrics.arrays import blocks, rows
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError


class Moments:
    """Mean and covariance of all features so far, in float64.

    Each part is centred before its products are summed, so that a mean far from 0 costs no digits. The memory is D^2
    numbers and one block.

    Args:
        dim: Dimension of the features, D.

    Attributes:
        count: Number of features.
        scatter: Sum of the outer products of the centred features, [D, D].
    """

    def __init__(self, dim: int):
        self.dim = checks.whole("dim", dim, 1)
        self.count = 0
        self.scatter = np.zeros((dim, dim))
        self._mean = np.zeros(dim)

    def update(self, x: np.ndarray) -> "Moments":
        """Adds features. A call takes time of D^2 in addition to N D^2: prefer few calls with many features.

        Args:
            x: [N, D], also a memory-mapped file.

        Returns:
            Itself.

        Raises:
            UserError: If `x` has another shape, or a value is not finite. Parts before this value remain added.
        """
        x = rows("x", x, self.dim, least=0)
        # Each block adds one matrix of D x D: a block of 2 D rows makes this cost small.
        for block in blocks("x", x, 2 * self.dim * max(self.dim, 512)):
            count, mean = len(block), block.mean(axis=0)
            block -= mean
            self._add(count, mean, block.T @ block)
        return self

    def merge(self, other: "Moments") -> "Moments":
        """Adds the features of another object, and returns this one.

        Raises:
            UserError: If the dimensions differ.
        """
        self._check(other)
        if other.count:
            self._add(other.count, other._mean, other.scatter)
        return self

    def remove(self, other: "Moments") -> "Moments":
        """Removes the features of another object, all of which this one has, and returns this one.

        Rounding errors stay at the size that they have before the removal.

        Raises:
            UserError: If the dimensions differ, or `other` has more features.
        """
        self._check(other)
        left = self.count - other.count
        if left < 0:
            raise UserError(f"other: {other.count} features cannot be removed from {self.count}.")
        if not left:
            self.__init__(self.dim)
        elif other.count:
            self._mean = self._mean + (self._mean - other._mean) * (other.count / left)
            delta = other._mean - self._mean
            self.scatter -= other.scatter
            self.scatter -= np.outer(delta * (left * other.count / self.count), delta)
            self.count = left
        return self

    @property
    def mean(self) -> np.ndarray:
        """Mean, [D].

        Raises:
            UserError: If there are no features.
        """
        if not self.count:
            raise UserError("Moments has no features yet: call update first.")
        return self._mean.copy()

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased covariance, [D, D], as `numpy.cov`: the scatter divided by `count` - 1. Singular up to D features.

        Raises:
            UserError: If there are fewer than 2 features.
        """
        if self.count < 2:
            raise UserError(f"A covariance needs 2 or more features, not {self.count}.")
        return self.scatter / (self.count - 1)

    def _add(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self.count + count
        delta = mean - self._mean
        self.scatter += scatter
        if self.count:
            self.scatter += np.outer(delta * (self.count * count / total), delta)
        self._mean = self._mean + delta * (count / total)
        self.count = total

    def _check(self, other: "Moments") -> None:
        if other.dim != self.dim:
            raise UserError(f"other must have features of dimension {self.dim}, not {other.dim}.")
