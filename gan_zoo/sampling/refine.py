"""Refines samples with the discriminator, and fine-tunes it for this: discriminator contrastive divergence.

    from gan_zoo import refine

    samples = refine.refine(gan, gan.sample_latent(64), space="latent", steps=20, step_size=0.1)
    refine.fine_tune(gan, dataset, steps=1000)

Sampling normally uses the generator alone. But a trained discriminator contains information about the data and about
the errors of the generator. Song et al. (2020) treat it as an energy-based model with the energy -D, whose density is
exp(D(x)) up to a factor. Langevin dynamics samples from this density. It starts from G(z), which is already close:

    x_0 = G(z),    x_{k+1} = x_k + e/2 grad D(x_k) + sqrt(e) n_k,    n_k ~ N(0, I)

The generator computes a sample, and a few steps improve it ("semi-amortized" generation). The same dynamics can run on
z, with D(G(z)) instead of D(x). The result is then always a sample of G, and because z has fewer dimensions, fewer
steps are enough.

D was trained on samples of G and not on refined samples, so its gradient can be wrong at points that G does not
generate. Fine-tuning corrects this by contrastive divergence, the gradient of the likelihood of an energy-based model.
G does not change, and D minimises

    L_D = E[D(x_K)] - E[D(x)]

where x is real and x_K, the result of the dynamics, is a constant. D thus learns that refined samples must not score
higher than the data.

All of this works for any trained GAN with a `score`. The networks run in inference mode, so that the score of an
example depends on this example alone. With labels, D scores pairs (x, y). The dynamics then change images or latents,
and not the labels.

The dynamics and the loss are those of the paper. The authors' code has other dynamics in each experiment: see
`Dynamics` for similar settings.

References:
    Song et al., 2020, https://arxiv.org/abs/2004.01704
    Authors' code, https://github.com/MinkaiXu/Discriminator-Contrastive-Divergence
    Che et al., 2020, https://arxiv.org/abs/2003.06060 (the prior in the score of the latent space)
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.losses import hinge_discriminator, mean, wasserstein_discriminator
from gan_zoo.model import GenerativeModel
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import batch_size, takes
from gan_zoo.nn.precision import inner_gradient
from gan_zoo.replicas.distribution import FixedStream, RandomStream
from gan_zoo.util.errors import UserError

SPACES = ("latent", "pixel")

_CHUNK = 256
"""Number of samples that are refined together, so that a large number of samples needs little additional memory."""

Score = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Dynamics:
    """The settings of the Langevin dynamics that refine samples: see the top of this module.

    No default of the step size suits all models, because it is in units of the data or of z, and the gradient of D
    differs between variants and runs. If scores rise and samples get worse, the step size is too large, or D needs
    fine-tuning.

    Args:
        space: "latent" changes z and returns G(z_K); "pixel" changes x itself.
        steps: Number of steps, K.
        step_size: Step size, e.
        noise: Factor of the noise. It is 1 in the paper. With a factor T the dynamics sample from the density
            exp(score / T^2), and with 0 they are gradient ascent.
        gradient_clip: A bound c: each component of the gradient is clipped to [-c, c]. 0 does not clip.
        with_prior: Whether log p(z) of a normal prior, -|z|^2 / 2, is added to the score in latent space, as in Che et
            al. (2020). The density on z is then exp(D(G(z))) p(z), so z stays in the region where G was trained. The
            paper uses D(G(z)) alone.

    In pixel space, images are clipped to [-1, 1] after each step, as in the authors' code. In latent space, latents of
    a uniform prior are clipped to its support.

    These settings are similar to the authors' code. For CIFAR-10 in latent space it has steps=20, step_size=1,
    noise=0.005. In pixel space it has separate factors for noise and gradient and adds the noise first; its defaults
    correspond to step_size=2, noise=0.0035, gradient_clip=1. For points it multiplies the noise by |grad D|, which has
    no counterpart here.

    Raises:
        UserError: If a value is not valid.
    """

    space: str = "latent"
    steps: int = 20
    step_size: float = 0.1
    noise: float = 0.1
    gradient_clip: float = 0.0
    with_prior: bool = False

    def __post_init__(self):
        if self.space not in SPACES:
            raise UserError(f"space must be {' or '.join(map(repr, SPACES))}, not {self.space!r}.")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise UserError(f"steps must be a whole number from 1 up, not {self.steps!r}.")
        if not _is_number(self.step_size) or not self.step_size > 0:
            raise UserError(f"step_size must be a positive number, not {self.step_size!r}.")
        for name in ("noise", "gradient_clip"):
            value = getattr(self, name)
            if not _is_number(value) or not value >= 0:
                raise UserError(f"{name} must be a number from 0 up, not {value!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and abs(value) <= float(tf.float32.max)


# Sampling.


def langevin(
    score: Score,
    x: tf.Tensor,
    random: RandomStream | FixedStream,
    *,
    steps: int,
    step_size: float,
    noise: float = 1.0,
    gradient_clip: float = 0.0,
    bounds: tuple[float, float] | None = None,
) -> tf.Tensor:
    """Returns x after K steps of Langevin dynamics, x + e/2 grad score(x) + sqrt(e) noise n.

    The steps are one compiled loop, which takes one draw from the stream. No gradient flows through the result.

    Args:
        score: Maps x, [B, ...], to scores, [B, 1] or [B]: log densities up to a constant. The score of an example must
            not depend on other examples.
        x: The start, [B, ...], float32.
        random: The stream of the random numbers n.
        steps: Number of steps, K.
        step_size: Step size, e.
        noise: Factor of the noise: see `Dynamics`.
        gradient_clip: See `Dynamics`; 0 does not clip.
        bounds: The lowest and the highest value of the components of x, which are clipped after each step. None does
            not clip.

    Returns:
        x_K, in the shape of x.
    """

    def chain(x):
        normal = random.normals(tf.shape(x))

        def step(k, x):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                total = tf.reduce_sum(tf.cast(score(x), tf.float32))
            gradient = inner_gradient(tape, total, x)
            if gradient_clip:
                gradient = tf.clip_by_value(gradient, -gradient_clip, gradient_clip)
            x = x + 0.5 * step_size * gradient
            if noise:
                x = x + noise * math.sqrt(step_size) * tf.ensure_shape(normal(k), x.shape)
            return k + 1, x if bounds is None else tf.clip_by_value(x, *bounds)

        return tf.while_loop(lambda k, _: k < steps, step, (tf.constant(0), x))[1]

    x = tf.stop_gradient(tf.convert_to_tensor(x))
    if tf.executing_eagerly():
        chain = tf.function(chain, autograph=False).get_concrete_function(tf.TensorSpec(x.shape, x.dtype))
    return tf.stop_gradient(chain(x))


def score(gan: GenerativeModel, x: Any) -> tf.Tensor:
    """Returns the discriminator's scores of x in inference mode: float32, [B, 1], high for real data.

    The result is `gan.score(x)` if the class defines this method, or else the output of the discriminator.

    Args:
        gan: A GAN.
        x: Examples, [B, ...]; for a GAN with classes, (examples, labels).

    Raises:
        UserError: If the class does not define `score`, and has no discriminator that maps an example to one score.
    """
    if callable(getattr(gan, "score", None)):
        return tf.cast(gan.score(x), tf.float32)
    discriminator = gan.networks().get("discriminator")
    if discriminator is None:
        raise UserError(
            f"gan: {type(gan).__name__} has no discriminator, which refinement needs: its networks are "
            f"{', '.join(gan.networks())}."
        )
    several = not takes(discriminator, x)
    scores = None if several else discriminator(x, training=False)
    if not tf.is_tensor(scores) or scores.shape[1:] != [1]:
        name = type(gan).__name__
        what = "takes more than an example" if several else "does not give one score, [B, 1], for each example"
        raise UserError(f"gan: the discriminator of {name} {what}: define {name}.score(x), which returns the scores.")
    return tf.cast(scores, tf.float32)


def _parts(gan: GenerativeModel, latents: Any) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """Splits latents into z, [B, Z], and the labels, a tuple of one tensor, or of none for a model without classes.

    Raises:
        UserError: If the latents have another structure.
    """
    z, *fixed = (latents,) if gan.classes is None else tuple(latents)
    if not tf.is_tensor(z) or z.shape.rank != 2 or len(fixed) != (gan.classes is not None):
        raise UserError(f"gan: sample_latent of {type(gan).__name__} must return one tensor, [n, Z], to be refined.")
    return z, tuple(tf.cast(labels, tf.int32) for labels in fixed)


def refined(gan: GenerativeModel, z: Any, random: RandomStream | FixedStream, dynamics: Dynamics) -> tf.Tensor:
    """Returns refined samples for the latents z, [B, Z]. `refine` and `fine_tune` call it in a graph.

    Raises:
        UserError: As for `refine`.
    """
    z, labels = _parts(gan, z)
    settings = dataclasses.asdict(dynamics)
    space, with_prior = settings.pop("space"), settings.pop("with_prior")

    def with_labels(x):
        return (x, *labels) if labels else x

    # Codes keep their values: between two one-hot vectors there is no category.
    noise = gan.latent_dim if gan.codes else z.shape[1]
    z, codes = z[:, :noise], z[:, noise:]

    def sample(z):
        return tf.cast(gan(with_labels(tf.concat([z, codes], axis=1))), tf.float32)

    if space == "pixel":
        x = sample(z)
        bounds = (-1.0, 1.0) if x.shape.rank == 4 else None
        return langevin(lambda x: score(gan, with_labels(x)), x, random, bounds=bounds, **settings)

    def latent_score(z):
        value = score(gan, with_labels(sample(z)))
        if with_prior and gan.prior == "normal":
            value -= 0.5 * tf.reduce_sum(tf.square(z), axis=1, keepdims=True)
        return value

    bounds = (-1.0, 1.0) if gan.prior == "uniform" else None
    return sample(langevin(latent_score, z, random, bounds=bounds, **settings))


def refine(gan: GenerativeModel, z: Any, *, seed: int = 0, **options: Any) -> tf.Tensor:
    """Returns samples of a GAN, refined by Langevin dynamics that start from z or G(z).

    Args:
        gan: Any trained GAN.
        z: Latents, [B, Z], such as `gan.sample_latent(B)`; for a GAN with classes, (latents, labels).
        seed: Seed of the noise, a 64-bit integer. The same latents, options and seed give the same samples.
        **options: Arguments of `Dynamics`.

    Returns:
        Samples, float32: images, [B, H, W, C] in [-1, 1], or points, [B, D].

    Raises:
        UserError: If an option is not valid, the latents are not one tensor, or the model does not score one example:
            see `score`.
    """
    dynamics = Dynamics(**options)
    state = keras.Variable(np.array([seed, 0]), dtype="int64", trainable=False)
    stream = RandomStream(state, "refinement")
    z = tf.nest.map_structure(tf.convert_to_tensor, z)
    specification = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), z)
    # Without AutoGraph, which would replace a UserError by its own exception.
    graph = tf.function(lambda z: refined(gan, z, stream, dynamics), autograph=False)
    run = graph.get_concrete_function(specification)
    chunks = (slice(start, start + _CHUNK) for start in range(0, batch_size(z), _CHUNK))
    return tf.concat([run(tf.nest.map_structure(lambda t, part=part: t[part], z)) for part in chunks], axis=0)


# Fine-tuning.


class _FineTuner(GAN):
    """A GAN in which only D trains, on real examples and refined samples: see `fine_tune`."""

    def __init__(self, gan: GAN, dynamics: Dynamics, *, turns: int, hinge: bool, score_weight: float):
        super().__init__(
            gan.generator, gan.discriminator, prior=gan.prior, latent_dim=gan.latent_dim, classes=gan.classes
        )
        self.gan, self.dynamics = gan, dynamics
        self.turns, self.hinge, self.score_weight = turns, hinge, score_weight
        self.random = gan.random

    @property
    def generator_variables(self):
        return []

    def default_optimizer(self, player):
        return optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        real, fake = (score(self.gan, part) for part in x)
        self.record("real_score", mean(real))
        self.record("fake_score", mean(fake))
        loss = (hinge_discriminator if self.hinge else wasserstein_discriminator)(real, fake)
        if self.score_weight:
            loss += self.score_weight * (mean(tf.square(fake)) + mean(tf.square(real)))
        return loss

    def latents_for(self, x):
        # Here x is a pair of real and refined examples, which the base class would take for examples and labels. D's
        # loss does not use the latents.
        return self.sample_latent(batch_size(x))

    def joint_step(self, x):
        fake = refined(self.gan, self.gan.latents_for(x), self.random, self.dynamics)
        if self.classes is not None:
            fake = (fake, x[1])
        for _ in range(self.turns):
            self.discriminator_step((x, fake))


def fine_tune(
    gan: GAN,
    dataset: tf.data.Dataset,
    steps: int,
    dynamics: Dynamics | None = None,
    *,
    turns: int = 1,
    hinge: bool = False,
    score_weight: float = 0.0,
    optimizer: keras.optimizers.Optimizer | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Trains the discriminator in place on real examples and refined samples, by contrastive divergence.

    It minimises E score(x_K) - E score(x). The generator does not change. Random numbers continue the GAN's own stream.
    The logs are "d_loss", "real_score" and "fake_score". If "fake_score" is above "real_score", refined samples score
    higher than the data.

    The loss alone has no lower bound. Spectral normalization, `hinge`, `score_weight` or a small number of steps keep D
    bounded.

    Args:
        gan: A trained GAN, compiled or not.
        dataset: Endless minibatches of real examples; for a GAN with classes, (examples, labels).
        steps: Number of minibatches to train on.
        dynamics: The dynamics that refine samples, which should also be used later. Defaults to `Dynamics()`.
        turns: Number of updates of D on each minibatch and its refined samples. Defaults to 1, as in Algorithm 1; the
            authors' CIFAR-10 code has 5.
        hinge: Whether the loss is E max(0, 1 - score(x)) + E max(0, 1 + score(x_K)), as in the authors' CIFAR-10 code.
        score_weight: Weight of E score(x_K)^2 + E score(x)^2, which keeps scores near 0. Defaults to 0; the authors'
            code for points has 10.
        optimizer: Defaults to Adam with learning rate 2e-4 and betas 0 and 0.9, as in the authors' CIFAR-10 code.
        callbacks: Keras callbacks.

    Returns:
        Keras's history, with the logs of the last step.

    Raises:
        UserError: If a number is not valid, or an example is not a single tensor (with classes, a pair), or as for
            `refine`.
        NonFiniteLoss: If the loss diverges.
    """
    from gan_zoo.callbacks import StopOnNonFinite

    check_fine_tuning(gan, steps, turns, score_weight)
    if gan.classes is None and not isinstance(dataset.element_spec, tf.TensorSpec):
        raise UserError("dataset must yield minibatches of examples alone, without labels.")
    with gan.distribute_strategy.scope():
        tuner = _FineTuner(gan, dynamics or Dynamics(), turns=turns, hinge=hinge, score_weight=score_weight)
        tuner.compile(optimizer)
    return tuner.fit(dataset, steps_per_epoch=steps, verbose=0, callbacks=[StopOnNonFinite(), *callbacks])


def check_fine_tuning(gan: GAN, steps: int, turns: int, score_weight: float) -> None:
    """Checks all arguments that need no data: the numbers, and that the model scores one example.

    Raises:
        UserError: If a number is not valid, or as for `score`.
    """
    for name, value in (("steps", steps), ("turns", turns)):
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} must be a whole number from 1 up, not {value!r}.")
    if not _is_number(score_weight) or score_weight < 0:
        raise UserError(f"score_weight must be a number from 0 up, not {score_weight!r}.")
    z = gan.sample_latent(1, seed=0)
    _, labels = _parts(gan, z)
    score(gan, (gan(z), *labels) if labels else gan(z))
