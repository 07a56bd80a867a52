"""Base class of the synthetic distributions."""

from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


class Distribution:
    """A distribution on R^dim with known properties, from which points can be drawn.

    Attributes:
        name: The canonical name, without arguments that have their default values. `get(name)` returns the same
            distribution.
        dim: Dimension of the space.
        support_dim: Dimension of the support, the smallest closed set that contains all draws. It is less than `dim` if
            there is no density with respect to Lebesgue measure.
        limits: The lowest and the highest coordinate of plots, on all axes.
        mean: float64 [dim].
        covariance: float64 [dim, dim].
        modes: For mixtures of Gaussians with one standard deviation: the centres, float64 [K, dim], and the standard
            deviation. None for other distributions.
        weights: Probabilities of the modes, float64 [K], or None without modes.
        box: The lowest and the highest corner, float64 [2, dim], of a box that contains all but 1e-15 of the
            probability.
        scale: The shortest length on which the density varies, or None without a density.
        arguments: The arguments that it was created with, by name.
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
            n: Number of points.
            seed: Two integers that determine the draw, as for `tf.random.stateless_normal`.

        Returns:
            A float32 tensor [n, dim].
        """
        raise NotImplementedError

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the modes, "0" to "K-1", or None without modes."""
        return None if self.modes is None else tuple(str(k) for k in range(len(self.modes[0])))

    def sample_labelled(self, n: int, seed) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Draws the points of `sample`, with the mode that each point is drawn from.

        Args:
            n: Number of points.
            seed: As for `sample`.

        Returns:
            Points, a float32 tensor [n, dim], and the indices of their centres in `modes`, an int32 tensor [n].

        Raises:
            UserError: If the distribution has no modes.
        """
        raise no_modes(self.name)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Returns the logarithm of the density with respect to Lebesgue measure, in nats.

        Args:
            x: [N, dim].

        Returns:
            float64 [N].

        Raises:
            UserError: If `x` has another shape, or the distribution is singular.
        """
        if self.singular:
            raise UserError(
                f"log_density: {self.name} has no density on R^{self.dim}, since it lies on a set of dimension "
                f"{self.support_dim}; use distance, or a set such as ring8 or swiss_roll."
            )
        return self._log_density(self.points(x))

    def distance(self, x: np.ndarray) -> np.ndarray:
        """Returns the Euclidean distance of points to the distribution.

        This is the distance to the support for singular distributions, to the nearest centre for mixtures of
        Gaussians, and to the curve without noise for the Swiss roll. The support of the last two is the whole space.

        Args:
            x: [N, dim].

        Returns:
            float64 [N].

        Raises:
            UserError: If `x` has another shape.
        """
        return self._distance(self.points(x))

    def shares_support(self, other: "Distribution") -> bool:
        """Returns whether a set of positive probability of one distribution lies in the support of the other.

        If not, the two distributions are mutually singular: one draw identifies its distribution with certainty.
        """
        if self.support_dim != other.support_dim:
            # A set of the smaller dimension has probability zero under the distribution of the larger dimension.
            return False
        return not self.singular or self.name == other.name or self._meets(other) or other._meets(self)

    def points(self, x: np.ndarray) -> np.ndarray:
        """Returns points of this distribution's space as float64 [N, dim].

        Raises:
            UserError: If `x` has another shape.
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
        """Returns whether a piece of this support lies in that of `other`. Called only for singular distributions."""
        return any(other.distance(piece).max() <= 1e-9 for piece in self._pieces())

    def _pieces(self) -> list[np.ndarray]:
        """Returns points of each piece of the support, [M, dim]. A support that contains them contains the piece."""
        raise NotImplementedError


def no_modes(name: str) -> UserError:
    """Returns the error for a request of modes from a distribution without modes."""
    return UserError(f"name: {name} is not a mixture of Gaussians and has no modes, unlike ring8 and grid25.")


def streams(seed):
    """Returns two independent seeds, for the choice of components and for the noise."""
    import tensorflow as tf

    return tf.unstack(tf.random.split(seed, 2))
