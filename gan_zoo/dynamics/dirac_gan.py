"""The Dirac-GAN: the smallest GAN there is, on which every training method can be worked out by hand.

Mescheder et al. (2018), Section 2: all data are 0, G(z) = theta, D(x) = psi x. The one equilibrium is (0, 0). With
f(t) = -log(1 + exp(-t)) the minimax game has the field v = (-psi f'(psi theta), theta f'(psi theta)) in the authors'
notation, where D is high for generated data; here, as everywhere in the zoo, it is high for real data, and psi has the
opposite sign. Eigenvalues and distances are the same.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from gan_zoo.dynamics.game import Game
from gan_zoo.keras_model.network_building import BuildsNetworks
from gan_zoo.model import GenerativeModel
from gan_zoo.models import VARIANTS
from gan_zoo.registry.variant_lists import Method, parse
from gan_zoo.registry.variants import find_model
from gan_zoo.util import specs
from gan_zoo.util.errors import UserError

# The authors' penalties, g / 2 (|psi| - 1)^2 with g = 0.7, are 0.35 of the zoo's.
_CENTRED = {"gp_weight": 0.35}

METHODS: tuple[Method, ...] = (
    Method("GAN, minimax", "vanilla_gan", {"saturating": True}),
    Method("GAN, non-saturating", "vanilla_gan", {}),
    Method("LSGAN", "lsgan", {}),
    Method("WGAN, clip 1", "wgan", {"clip": 1.0}),
    Method("WGAN-GP", "wgan_gp", _CENTRED),
    Method("GAN-GP", "gan_gp", _CENTRED),
    Method("DRAGAN", "dragan", _CENTRED),
    Method("hinge", "hinge_gan", {}),
    Method("RSGAN", "rgan", {}),
    Method("RaSGAN", "ragan", {}),
    Method("KL-WGAN", "kl_wgan", {}),
    Method("primal-dual", "primal_dual_gan", {}),
    Method("noise 0.7", "vanilla_gan", {"saturating": True, "instance_noise": 0.7}),
    Method("noise √2, critical", "vanilla_gan", {"saturating": True, "instance_noise": 2**0.5}),
    Method("noise 2", "vanilla_gan", {"saturating": True, "instance_noise": 2.0}),
    Method("R1, γ = 0.3", "r1_gan", {"gamma": 0.3}),
    Method("R1, γ = 1, critical", "r1_gan", {"gamma": 1.0}),
    Method("R1, γ = 2", "r1_gan", {"gamma": 2.0}),
    Method("R2, γ = 1", "r2_gan", {"gamma": 1.0}),
    Method("Roth, γ = 1", "roth_gan", {"gamma": 1.0}),
    Method("consensus, γ = 1", "consensus_gan", {"gamma": 1.0, "saturating": True}),
    Method("penalty on G, η = 0.5", "gradient_regularized_gan", {"eta": 0.5}),
    Method("unrolled, K = 1", "unrolled_gan", {"unroll_steps": 1, "inner_learning_rate": 0.2}),
    Method("unrolled, K = 5", "unrolled_gan", {"unroll_steps": 5, "inner_learning_rate": 0.2}),
    Method("progressive GAN's loss", "progressive_gan", _CENTRED),
)
"""The methods of the papers at the settings where their differences show; every other variant plays with its defaults.

They are those of Mescheder et al. (2018), figures 2 and 3, where these have them. DRAGAN is non-saturating, as in its
own paper.
"""


def methods(text: str) -> list[Method]:
    """The methods that `--models` names: "all", or variants separated by commas, "r1_gan,wgan_gp(gp_weight=0.1)".

    A variant without arguments stands for its rows of `METHODS`. "all" is `METHODS` and the variants that have no row,
    except for those that have other networks than a generator and a discriminator, or whose discriminator is of another
    kind than a score, such as EBGAN's autoencoder.

    Raises:
        UserError: If there is no such variant or argument, or it cannot play this game.
    """
    if text.strip() == "all":
        known = {method.model for method in METHODS}
        rest = [Method(name, name, {}) for name in VARIANTS if name not in known]
        return [*METHODS, *(method for method in rest if _scores(method.cls))]
    found = []
    for method in parse(text):
        for name in ("n_critic", "balance", "simultaneous"):
            if name in method.arguments:
                raise UserError(
                    f"--models={method.name}: {name} says who moves when, and here the figure's two schedules and "
                    f"--d_steps do: leave it out."
                )
        if not _scores(method.cls):
            raise UserError(
                f"--models={method.model}: the Dirac-GAN has a generator and a discriminator that is a score, "
                f"D(x) = psi x, and {method.cls.__name__} has other networks: leave it out."
            )
        rows = [row for row in METHODS if row.model == method.model]
        found += rows if rows and not method.arguments else [method]
    return found


def _scores(cls: type[GenerativeModel]) -> bool:
    """Whether the class plays with G and a D that is a score; a class with a `score` of its own has another D."""
    is_plain = cls.build_networks.__func__ is BuildsNetworks.build_networks.__func__
    return is_plain and cls.network_names() == ["generator", "discriminator"] and not hasattr(cls, "score")


@keras.saving.register_keras_serializable(package="gan_zoo")
class Point(keras.layers.Layer):
    """Puts every latent on the same, trained point."""

    def build(self, input_shape):
        self.theta = self.add_weight((1, 1), "zeros", name="theta")

    def call(self, z):
        return tf.zeros_like(z[:, :1]) + self.theta


def players(theta: float, psi: float, dtype: str = "float32") -> tuple[keras.Model, keras.Model]:
    """The two networks, G(z) = theta for z, [B, 1], and D(x) = psi x for x, [B, 1]."""
    z, x = keras.Input((1,), dtype=dtype), keras.Input((1,), dtype=dtype)
    generator = keras.Model(z, Point(dtype=dtype)(z))
    discriminator = keras.Model(x, keras.layers.Dense(1, use_bias=False, dtype=dtype)(x))
    generator.set_weights([np.full((1, 1), theta)])
    discriminator.set_weights([np.full((1, 1), psi)])
    return generator, discriminator


def dirac(
    model: str | type[GenerativeModel] = "vanilla_gan", *, start: Sequence[float] = (0.0, 0.0), **arguments
) -> Game:
    """A variant's Dirac-GAN in float64, standing at `start`, (theta, psi): by default at the equilibrium.

    Instance noise is not drawn. The minibatch holds one example for each of 4,096 points that stand for the normal
    distribution, so that means over it are expectations: exact in the second moment, which decides the eigenvalues, and
    to a few 1e-7 along a trajectory.

    Args:
        model: A variant of the zoo by name, "module:Class", or a class.
        start: (theta, psi).
        **arguments: The variant's own, such as gamma=0.3.

    Raises:
        UserError: If there is no such variant, it takes no such argument, or it has other networks than a generator and
            a discriminator.
    """
    cls = find_model(model) if isinstance(model, str) else model
    names = cls.network_names()
    if names != ["generator", "discriminator"]:
        raise UserError(
            f"The Dirac-GAN has a generator and a discriminator, and {cls.__name__} has the networks "
            f"{', '.join(names) or 'none'}: make a Game of a model of your own."
        )
    own = [name for name in cls.argument_names() if name not in names]
    for name in arguments:
        if name not in own:
            raise UserError(specs.unknown(name, own, cls.__name__))
    gan = cls(*players(*start, dtype="float64"), **{"seed": 0, **arguments})
    if not gan.instance_noise:
        return Game(gan, tf.zeros([2, 1], tf.float64))
    noise = normal_points(4096)
    gan._noise.random = _Points(noise)
    return Game(gan, tf.zeros([len(noise), 1], tf.float64))


class _Points:
    """In the place of a random stream: points that stand for the normal distribution, in one of two orders in turn.

    Losses that pair real and generated examples see noise on both sides that is not correlated.
    """

    def __init__(self, points: np.ndarray):
        self._orders = [tf.constant(part[:, np.newaxis]) for part in (points, uncorrelated(points))]

    def normal_like(self, x):
        self._orders.reverse()
        return tf.cast(self._orders[-1], x.dtype)


def uncorrelated(points: np.ndarray) -> np.ndarray:
    """The same numbers in another order, such that the mean of the products with those in their own order is 0."""
    rng = np.random.default_rng(0)
    other = rng.permutation(points)
    total = points @ other
    for i, j in rng.integers(len(points), size=(20 * len(points), 2)):
        change = (points[i] - points[j]) * (other[j] - other[i])
        if abs(total + change) < abs(total):
            other[[i, j]] = other[[j, i]]
            total += change
    return other


def normal_points(n: int) -> np.ndarray:
    """`n` points, [n], whose mean of a smooth function is nearly its expectation under N(0, 1).

    The line is cut into n / 2 pieces of equal probability, and each piece is represented by two points that have its
    mean and variance. So the mean of all of them is 0, and that of their squares 1.

    Args:
        n: An even number.
    """
    from scipy.stats import norm

    pieces = n // 2
    edges = norm.ppf(np.arange(pieces + 1) / pieces)
    density = norm.pdf(edges)
    slope = density * np.where(np.isfinite(edges), edges, 0.0)
    mean = pieces * (density[:-1] - density[1:])
    square = 1.0 + pieces * (slope[:-1] - slope[1:])
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return np.concatenate([mean - spread, mean + spread])
