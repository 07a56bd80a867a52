"""Gaussians on low-dimensional planes through the origin."""

import math

import numpy as np

from gan_zoo.data.synthetic.base import Distribution, streams
from gan_zoo.util.checks import number, whole
from gan_zoo.util.errors import UserError

MAX_DIM = 1024

_TAILS = 9.0


def gaussian_line(angle: float = math.pi / 4, std: float = 1.0) -> "GaussianPlane":
    """Returns N(0, std^2) along a line through the origin of the plane.

    Args:
        angle: Angle between the line and the first axis, in radians.
        std: Standard deviation along the line.

    Raises:
        UserError: If an argument is not a finite number, or `std` is not positive.
    """
    angle, std = number("angle", angle), number("std", std, positive=True)
    distribution = GaussianPlane(np.array([[math.cos(angle)], [math.sin(angle)]]), std)
    distribution.arguments = {"angle": angle, "std": std}
    return distribution


def gaussian_hyperplane(dim: int = 8, rank: int = 2, seed: int = 0) -> "GaussianPlane":
    """Returns the standard Gaussian on a plane of dimension `rank` through the origin of R^dim.

    Args:
        dim: Dimension of the space, from 1 to 1024.
        rank: Dimension of the plane, from 1 to `dim`. If it equals `dim`, the distribution is N(0, I).
        seed: Seed of the plane, which is uniformly distributed over all planes of this dimension.

    Raises:
        UserError: If an argument is out of range.
    """
    dim = whole("dim", dim, 1, MAX_DIM)
    if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= dim:
        raise UserError(f"rank must be a whole number from 1 to dim, which is {dim}, not {rank!r}.")
    seed = whole("seed", seed, 0, 2**32 - 1)
    # The numbers of RandomState are the same in every version of NumPy. With a positive diagonal of R the QR
    # decomposition is unique, so it does not depend on the LAPACK library.
    q, r = np.linalg.qr(np.random.RandomState(seed).standard_normal((dim, rank)))
    distribution = GaussianPlane(q * np.sign(np.diag(r)), std=1.0)
    distribution.arguments = {"dim": dim, "rank": rank, "seed": seed}
    return distribution


class GaussianPlane(Distribution):
    """The distribution of A z with z ~ N(0, std^2 I).

    Args:
        axes: A, float64 [dim, rank], with orthonormal columns.
        std: Standard deviation in every direction of the plane.
    """

    def __init__(self, axes: np.ndarray, std: float):
        dim, rank = axes.shape
        self.axes, self.std = axes, std
        reach = _TAILS * std * np.linalg.norm(axes, axis=1)
        super().__init__(
            dim=dim,
            support_dim=rank,
            limits=(-4 * std, 4 * std),
            mean=np.zeros(dim),
            covariance=std**2 * axes @ axes.T,
            box=np.stack([-reach, reach]),
            scale=std if rank == dim else None,
        )

    def sample(self, n, seed):
        import tensorflow as tf

        _, noise = streams(seed)
        z = tf.random.stateless_normal([n, self.support_dim], noise)
        return tf.linalg.matmul(z, tf.constant(self.std * self.axes, tf.float32), transpose_b=True)

    def _log_density(self, x):
        squared = np.sum(np.square(x), axis=1) / self.std**2
        return -0.5 * squared - self.dim * math.log(math.sqrt(2 * math.pi) * self.std)

    def _distance(self, x):
        if not self.singular:
            return np.where(np.isfinite(x).all(axis=1), 0.0, np.nan)
        return np.linalg.norm(x - (x @ self.axes) @ self.axes.T, axis=1)

    def _pieces(self):
        return [np.concatenate([np.zeros((1, self.dim)), self.axes.T])]
