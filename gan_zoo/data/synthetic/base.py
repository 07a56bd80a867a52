"""What is known of every synthetic distribution."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


class Distribution:
    """A distribution on R^dim that can be drawn from, and of which the truth is known.

    Attributes:
        name: The canonical name, in which arguments that have their defaults are left out. `get` of it gives the same
            distribution.
        dim: Of the space.
        support_dim: Dimension of the support, the smallest set that holds all draws: less than `dim` where there is no
            density with respect to Lebesgue measure.
        limits: The lowest and the highest coordinate worth showing, on all axes.
        mean: float64 [dim].
        covariance: float64 [dim, dim].
        modes: For mixtures of Gaussians with one standard deviation the centres, float64 [K, dim], and that standard
            deviation; otherwise None.
        weights: float64 [K], the modes' probabilities, or None where there are no modes.
        box: The lowest and the highest corner, float64 [2, dim], of a box outside which there is less than 1e-15 of
            the probability.
        scale: The shortest length on which the density varies, or None where there is no density.
        arguments: What it was made with, by name.
    """

    name: str

    def __init__(
        self,
        *,
        dim: int,
        support_dim: int,
        limits: tuple[float, float],
        mean: np.ndarray,
        covariance: np.ndarray,
        box: np.ndarray,
        scale: float | None = None,
        modes: tuple[np.ndarray, float] | None = None,
        weights: np.ndarray | None = None,
    ):
        self.dim, self.support_dim = dim, support_dim
        self.limits = limits
        self.mean, self.covariance = mean, covariance
        self.box, self.scale = box, scale
        self.modes, self.weights = modes, weights
        self.arguments: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Distribution {self.name}>"

    @property
    def singular(self) -> bool:
        """Whether the distribution has no density with respect to Lebesgue measure."""
        return self.support_dim < self.dim

    def sample(self, n: int, seed) -> "tf.Tensor":
        """Draws n points.

        Args:
            n: How many.
            seed: Two integers that decide the draw, as for `tf.random.stateless_normal`.

        Returns:
            A float32 tensor [n, dim].
        """
        raise NotImplementedError

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the modes, "0" to "K-1", or None where there are no modes."""
        return None if self.modes is None else tuple(str(k) for k in range(len(self.modes[0])))

    def sample_labelled(self, n: int, seed) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Draws the points of `sample`, with the mode that each of them is from.

        Args:
            n: How many.
            seed: As for `sample`.

        Returns:
            Points, a float32 tensor [n, dim], and the indices of their centres in `modes`, an int32 tensor [n].

        Raises:
            UserError: The distribution has no modes.
        """
        raise no_modes(self.name)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the density with respect to Lebesgue measure, in nats.

        Args:
            x: [N, dim].

        Returns:
            float64 [N].

        Raises:
            UserError: `x` has another shape, or the distribution is singular.
        """
        if self.singular:
            raise UserError(
                f"log_density: {self.name} has no density on R^{self.dim}, since it lies on a set of dimension "
                f"{self.support_dim}; use distance, or a set such as ring8 or swiss_roll."
            )
        return self._log_density(self.points(x))

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Euclidean distance to where the distribution is.

        That is the support for singular distributions; the nearest centre for mixtures of Gaussians and the curve
        without its noise for the Swiss roll, whose supports are the whole space.

        Args:
            x: [N, dim].

        Returns:
            float64 [N].

        Raises:
            UserError: `x` has another shape.
        """
        return self._distance(self.points(x))

    def shares_support(self, other: "Distribution") -> bool:
        """Whether some set has positive probability here and lies in the support of `other`, or the other way round.

        If not, the two distributions are mutually singular: one draw tells which of them it is from, surely.
        """
        if self.support_dim != other.support_dim:
            # The smaller of two such sets is a null set of a distribution that is spread out over the larger one.
            return False
        return not self.singular or self.name == other.name or self._meets(other) or other._meets(self)

    def points(self, x: np.ndarray) -> np.ndarray:
        """Points of this distribution's space as float64 [N, dim].

        Raises:
            UserError: `x` has another shape.
        """
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise UserError(f"points of {self.name} must be of shape [N, {self.dim}], not {list(x.shape)}.")
        return x

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _distance(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _meets(self, other: "Distribution") -> bool:
        """Whether a piece of this support lies in that of `other`; asked only of singular distributions."""
        return any(other.distance(piece).max() <= 1e-9 for piece in self._pieces())

    def _pieces(self) -> list[np.ndarray]:
        """Per piece of the support so many of its points, [M, dim], that only sets that hold the piece hold them."""
        raise NotImplementedError


def no_modes(name: str) -> UserError:
    """The error to raise where modes are asked of a distribution without."""
    return UserError(f"name: {name} is no mixture of Gaussians and has no modes; ring8, grid25 and mixture1d have.")


def streams(seed):
    """Two independent seeds, for what is chosen and for the noise around it."""
    import tensorflow as tf

    return tf.unstack(tf.random.split(seed, 2))
