"""The Dirac-GAN: a GAN with two weights, for which every training method can be analysed by hand.

Mescheder et al. (2018), Section 2: all data are 0, G(z) = theta, D(x) = psi x. The only equilibrium is (0, 0). With
f(t) = -log(1 + exp(-t)), the minimax game has the field v = (-psi f'(psi theta), theta f'(psi theta)) in the authors'
notation, where D is high for generated data. In the zoo D is high for real data, so psi has the opposite sign.
Eigenvalues and distances are the same.
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

# The authors' penalty, g / 2 (|psi| - 1)^2 with g = 0.7, is the zoo's penalty with the weight 0.35.
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
    Method("R3GAN, γ = 0.5, critical", "r3gan", {"gamma": 0.5}),
    Method("Roth, γ = 1", "roth_gan", {"gamma": 1.0}),
    Method("consensus, γ = 1", "consensus_gan", {"gamma": 1.0, "saturating": True}),
    Method("penalty on G, η = 0.5", "gradient_regularized_gan", {"eta": 0.5}),
    Method("unrolled, K = 1", "unrolled_gan", {"unroll_steps": 1, "inner_learning_rate": 0.2}),
    Method("unrolled, K = 5", "unrolled_gan", {"unroll_steps": 5, "inner_learning_rate": 0.2}),
    Method("progressive GAN's loss", "progressive_gan", _CENTRED),
)
"""Methods with settings that show how they differ. All other variants use their default settings.

The settings of the methods in figures 2 and 3 of Mescheder et al. (2018) are those of the figures. DRAGAN is
non-saturating, as in its own paper.
"""


def methods(text: str) -> list[Method]:
    """Returns the methods of `--models`: "all", or variants separated by commas, "r1_gan,wgan_gp(gp_weight=0.1)".

    A variant without arguments stands for its rows of `METHODS`. "all" stands for `METHODS` and all variants without a
    row. It leaves out variants with other networks than a generator and a discriminator, and variants whose
    discriminator does not return a score, such as the autoencoder of EBGAN.

    Raises:
        UserError: If there is no such variant or argument, or if the variant does not fit the Dirac-GAN.
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
                    f"--models={method.name}: {name} sets the order of the players' turns, but here the two schedules "
                    f"and --d_steps set it: leave it out."
                )
        if not _scores(method.cls):
            raise UserError(
                f"--models={method.model}: the Dirac-GAN needs a generator and a discriminator that returns a score, "
                f"D(x) = psi x, but {method.cls.__name__} has other networks: leave it out."
            )
        rows = [row for row in METHODS if row.model == method.model]
        found += rows if rows and not method.arguments else [method]
    return found


def _scores(cls: type[GenerativeModel]) -> bool:
    """Returns whether a class has G and a D that returns a score. A class with its own `score` has another D."""
    is_plain = cls.build_networks.__func__ is BuildsNetworks.build_networks.__func__
    return (
        is_plain
        and cls.takes_labels != "required"
        and cls.network_names() == ["generator", "discriminator"]
        and not hasattr(cls, "score")
    )


@keras.saving.register_keras_serializable(package="gan_zoo")
class Point(keras.layers.Layer):
    """Layer that maps all latents to the same trainable point."""

    def build(self, input_shape):
        self.theta = self.add_weight((1, 1), "zeros", name="theta")

    def call(self, z):
        return tf.zeros_like(z[:, :1]) + self.theta


def players(theta: float, psi: float, dtype: str = "float32") -> tuple[keras.Model, keras.Model]:
    """Returns the two networks, G(z) = theta for z, [B, 1], and D(x) = psi x for x, [B, 1]."""
    z, x = keras.Input((1,), dtype=dtype), keras.Input((1,), dtype=dtype)
    generator = keras.Model(z, Point(dtype=dtype)(z))
    discriminator = keras.Model(x, keras.layers.Dense(1, use_bias=False, dtype=dtype)(x))
    generator.set_weights([np.full((1, 1), theta)])
    discriminator.set_weights([np.full((1, 1), psi)])
    return generator, discriminator


def dirac(
    model: str | type[GenerativeModel] = "vanilla_gan", *, start: Sequence[float] = (0.0, 0.0), **arguments
) -> Game:
    """Returns a variant's Dirac-GAN in float64 at the point `start`, by default at the equilibrium.

    Instance noise is not random. Instead, the minibatch has one example for each of 4,096 points that represent the
    normal distribution, so means over the minibatch are expectations. The second moment, which determines the
    eigenvalues, is exact. Trajectories are accurate to a few 1e-7.

    Args:
        model: Name of a variant of the zoo, "module:Class", or a class.
        start: (theta, psi).
        **arguments: Arguments of the variant, such as gamma=0.3.

    Raises:
        UserError: If there is no such variant, if it takes no such argument, or if it has other networks than a
            generator and a discriminator.
    """
    cls = find_model(model) if isinstance(model, str) else model
    names = cls.network_names()
    if names != ["generator", "discriminator"]:
        raise UserError(
            f"The Dirac-GAN has a generator and a discriminator, but {cls.__name__} has the networks "
            f"{', '.join(names) or 'none'}: build a Game from your own model instead."
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
    """Replaces a random stream: returns points that represent the normal distribution, in two alternating orders.

    The noise in one order is not correlated with the noise in the other. So the noise on real examples is not
    correlated with the noise on generated examples, in losses that pair them.
    """

    def __init__(self, points: np.ndarray):
        self._orders = [tf.constant(part[:, np.newaxis]) for part in (points, uncorrelated(points))]

    def normal_like(self, x):
        self._orders.reverse()
        return tf.cast(self._orders[-1], x.dtype)


def uncorrelated(points: np.ndarray) -> np.ndarray:
    """Returns the same numbers in another order, so that the mean of their products with `points` is close to 0."""
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
    """Returns `n` points, [n], over which the mean of a smooth function is close to its expectation under N(0, 1).

    The real line is divided into n / 2 intervals of equal probability. Each interval is represented by two points that
    have its mean and variance. So the mean of all points is 0, and the mean of their squares is 1.

    Args:
        n: Number of points, an even number.
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
