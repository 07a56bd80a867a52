"""Samples refined by the discriminator, and its fine-tuning for that: discriminator contrastive divergence.

    from gan_zoo import refine

    samples = refine.refine(gan, gan.sample_latent(64), space="latent", steps=20, step_size=0.1)
    refine.fine_tune(gan, dataset, steps=1000)

Training leaves two networks, and sampling uses one of them. Yet a critic has learnt where data are and where the
generator errs. Song et al. (2020) read it as an energy-based model, of energy -D and so of density exp(D(x)) up to a
factor, and let Langevin dynamics sample from that, with G(z) as a start that is nearly right already:

    x_0 = G(z),    x_{k+1} = x_k + e/2 grad D(x_k) + sqrt(e) n_k,    n_k ~ N(0, I)

The generator draws the sample in one go, and a few steps repair it: "semi-amortized" generation. The same dynamics may
run on z, with D(G(z)) in the place of D(x): the sample then stays among those that G can make, and the space has fewer
dimensions, in which steps go further.

D was trained on samples of G, not on refined ones, so its slopes mislead where G never goes. Fine-tuning corrects it by
contrastive divergence, the likelihood's gradient of an energy-based model: G stays as it is, and D minimises

    L_D = E[D(x_K)] - E[D(x)]

with x real and x_K = Langevin's result, a constant: what the dynamics reach must not score above the data.

Everything here is for any trained GAN. What climbs is its `score`; networks run in inference mode, so that an example's
score depends on nothing but the example. With labels, D scores images of a class, (x, y): images or latents move, and
their labels stay.

Differs from the paper: nothing in the dynamics and the loss. The authors' code has other dynamics in each experiment;
`Dynamics` says how to come near them.

References:
    Song et al., 2020, https://arxiv.org/abs/2004.01704
    Authors' code, https://github.com/MinkaiXu/Discriminator-Contrastive-Divergence
    Che et al., 2020, https://arxiv.org/abs/2003.06060, for the prior's part of the score in latent space
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
"""Samples refined at once: the memory for large numbers of them is then that of the samples alone."""

Score = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Dynamics:
    """How samples are refined: the Langevin dynamics at the top of this module.

    The step size is the one number that has no default good for all: it is in units of the data, or of z, and the
    slope of D differs between variants and trainings. Where scores rise and samples get worse, it is too large, or D
    wants fine-tuning.

    Args:
        space: "latent" moves z and makes x = G(z_K); "pixel" moves x itself.
        steps: K.
        step_size: e.
        noise: Factor of the noise. 1 is the paper's; with T the stationary density is that of score / T^2, and with 0
            the steps are gradient ascent.
        gradient_clip: c: each component of the gradient is clipped to [-c, c]. 0 does not clip.
        with_prior: Whether log p(z) of a normal prior, -|z|^2 / 2, is added to the score in latent space, as Che et al.
            (2020) do: exp(D(G(z))) p(z) is then the density on z, and z stays where G was trained. The paper has
            D(G(z)) alone.

    Images are clipped to [-1, 1] after each step in pixel space, as in the authors' code, and latents of a uniform
    prior to its support.

    The authors' code: CIFAR-10 in latent space has steps=20, step_size=1, noise=0.005. In pixel space it adds the noise
    first and then the gradient, neither coupled to the other: step_size=2, noise=0.0035, gradient_clip=1 have the same
    size for its defaults. On points it multiplies the noise by |grad D|.

    Raises:
        UserError: If a value is none of these.
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
    """x after so many steps of Langevin dynamics, x + e/2 grad score(x) + sqrt(e) noise n.

    One compiled loop, and one draw of the stream. Nothing is differentiated through it.

    Args:
        score: Maps x, [B, ...], to scores, [B, 1] or [B]: log densities, up to a constant. Of one example alone.
        x: The start, [B, ...], float32.
        random: Where the n come from.
        steps: K.
        step_size: e.
        noise: Its factor, see `Dynamics`.
        gradient_clip: See `Dynamics`; 0 does not clip.
        bounds: The lowest and the highest value of a component of x, to which each step is clipped; None does not clip.

    Returns:
        x_K, of the shape of x.
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
    """What a GAN's discriminator thinks of x: float32, [B, 1], high for real data; in inference mode.

    It is `gan.score(x)` where the class defines that, and else the discriminator's output.

    Args:
        gan: A GAN.
        x: Examples, [B, ...]; of a GAN with classes, (examples, labels).

    Raises:
        UserError: If the class defines none, and it has no discriminator, or one that takes more than x or gives more
            than a score.
    """
    if callable(getattr(gan, "score", None)):
        return tf.cast(gan.score(x), tf.float32)
    discriminator = gan.networks().get("discriminator")
    if discriminator is None:
        raise UserError(
            f"gan: {type(gan).__name__} has no discriminator, which samples are refined by: its networks are "
            f"{', '.join(gan.networks())}."
        )
    several = not takes(discriminator, x)
    scores = None if several else discriminator(x, training=False)
    if not tf.is_tensor(scores) or scores.shape[1:] != [1]:
        name = type(gan).__name__
        what = "takes more than an example" if several else "does not give one score, [B, 1], for each example"
        raise UserError(f"gan: the discriminator of {name} {what}: define {name}.score(x) to say what its score is.")
    return tf.cast(scores, tf.float32)


def _parts(gan: GenerativeModel, latents: Any) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """The z of latents, [B, Z], and what stays beside it: with classes the labels.

    Raises:
        UserError: If the latents are something else.
    """
    z, *fixed = (latents,) if gan.classes is None else tuple(latents)
    if not tf.is_tensor(z) or z.shape.rank != 2 or len(fixed) != (gan.classes is not None):
        raise UserError(f"gan: sample_latent of {type(gan).__name__} must return one tensor, [n, Z], to be refined.")
    return z, tuple(tf.cast(labels, tf.int32) for labels in fixed)


def refined(gan: GenerativeModel, z: Any, random: RandomStream | FixedStream, dynamics: Dynamics) -> tf.Tensor:
    """Refined samples for the latents z, [B, Z], inside of a graph: what `refine` compiles and `fine_tune` uses.

    Raises:
        UserError: As for `refine`.
    """
    z, labels = _parts(gan, z)
    settings = dataclasses.asdict(dynamics)
    space, with_prior = settings.pop("space"), settings.pop("with_prior")

    def with_labels(x):
        return (x, *labels) if labels else x

    def sample(z):
        return tf.cast(gan(with_labels(z)), tf.float32)

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
    """Samples that start at G(z) and end where Langevin dynamics takes them.

    Args:
        gan: Any trained GAN.
        z: Latents, [B, Z], such as `gan.sample_latent(B)`; of a GAN with classes, (latents, labels).
        seed: Of the noise, a 64-bit integer: the same latents, options and seed give the same samples.
        **options: Of `Dynamics`, which has the defaults.

    Returns:
        Samples, float32: images, [B, H, W, C] in [-1, 1], or points, [B, D].

    Raises:
        UserError: If an option is not valid, the latents are not one tensor, or the model has no discriminator or no
            score for one example, see `score`.
    """
    dynamics = Dynamics(**options)
    state = keras.Variable(np.array([seed, 0]), dtype="int64", trainable=False)
    stream = RandomStream(state, "refinement")
    z = tf.nest.map_structure(tf.convert_to_tensor, z)
    specification = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), z)
    # Without AutoGraph, which would wrap a UserError into one of its own.
    graph = tf.function(lambda z: refined(gan, z, stream, dynamics), autograph=False)
    run = graph.get_concrete_function(specification)
    chunks = (slice(start, start + _CHUNK) for start in range(0, batch_size(z), _CHUNK))
    return tf.concat([run(tf.nest.map_structure(lambda t, part=part: t[part], z)) for part in chunks], axis=0)


# Fine-tuning.


class _FineTuner(GAN):
    """A GAN of which D alone moves, against what Langevin dynamics makes of G's samples: see `fine_tune`."""

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
        # D's loss reads none, and x is the pair of real and refined examples there.
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
    """Trains the discriminator, in place, on the samples that `dynamics` makes: contrastive divergence.

    It minimises E score(x_K) - E score(x). The generator stays bit for bit. Random numbers continue the GAN's own
    stream. Logs: "d_loss", "real_score" and "fake_score", whose difference tells how far refined samples outdo data.

    The loss alone has no lower bound: what holds D back is spectral normalization, `hinge`, `score_weight`, or few
    steps.

    Args:
        gan: A trained GAN, compiled or not.
        dataset: Minibatches of real examples, without end; of a GAN with classes, (examples, labels).
        steps: Minibatches to train on.
        dynamics: How samples are refined, here and later; by default `Dynamics()`.
        turns: Updates of D on each minibatch and the refined samples made for it. Defaults to 1, Algorithm 1; the
            authors' CIFAR-10 code has 5.
        hinge: Whether the loss is E max(0, 1 - score(x)) + E max(0, 1 + score(x_K)), as in the authors' CIFAR-10 code.
        score_weight: Weight of E score(x_K)^2 + E score(x)^2, which keeps scores near 0. Defaults to 0; the authors'
            code for points has 10.
        optimizer: By default Adam with learning rate 2e-4 and beta 0 and 0.9, as in the authors' CIFAR-10 code.
        callbacks: Keras callbacks.

    Returns:
        Keras's history, with the logs of the last step.

    Raises:
        UserError: If a number is not valid, examples are not a single tensor (with classes, a pair), or as for
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
    """Checks all that can be known without data: the numbers, and that an example has a score.

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
