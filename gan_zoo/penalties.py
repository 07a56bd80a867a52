"""Gradient penalties: pure functions of a discriminator and points, averaged over the batch, without their weight.

The gradient is that of each example's own raw score with respect to that example, and its norm is taken over all axes
but the first. Of examples with labels, (images, labels), it is that with respect to the images. So the discriminator
may not couple the examples of a batch: batch normalization raises a `UserError`.
The points are constants: nothing is differentiated through the generator that made them.

Scores, gradients and norms are float32 whatever D computes in; float16 networks compute the gradient at a scale of its
own, `precision.inner_gradient`, beside that of the loss.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from gan_zoo.errors import UserError
from gan_zoo.networks import independence
from gan_zoo.precision import INNER_SCALE, at_least_float32, inner_gradient
from gan_zoo.structures import image_indices, map_images

# Keeps the norm differentiable at a zero gradient, where its derivative would be 0 / 0. Gradients of networks are far
# larger than the square root of it.
_TINY = {tf.float32: 1e-12, tf.float64: 1e-60}

Discriminator = Callable[[tf.Tensor], tf.Tensor]


def squared_gradient_norm(D: Discriminator, x: tf.Tensor, usual: float = 1.0) -> tf.Tensor:
    """||grad_x D(x)||_2^2 of each example, [B], float32.

    Args:
        D: Maps points, [B, ...], to raw scores, [B, 1] or [B].
        x: Points, [B, ...], float32.
        usual: The norm to be expected, if above 1: in float16 gradients that are far larger may overflow.
    """
    return _scores_and_squared_norms(D, x, usual)[1]


def _scores_and_squared_norms(D: Discriminator, x: tf.Tensor, usual: float = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
    """D(x) and ||grad_x D(x)||_2^2 of each example, both [B], float32, at the cost of the latter alone."""
    _check_independence(D)
    x = tf.nest.map_structure(tf.stop_gradient, x)
    images = [tf.nest.flatten(x)[k] for k in image_indices(x)]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = tf.reshape(at_least_float32(D(x)), [-1])
        # Examples do not influence each other's scores: the gradient of the sum holds every example's own gradient.
        total = tf.reduce_sum(scores)
    scale = INNER_SCALE / 2.0 ** math.ceil(math.log2(max(1.0, usual)))
    gradients = [tf.cast(gradient, scores.dtype) for gradient in inner_gradient(tape, total, images, scale)]
    norms = [tf.reduce_sum(tf.square(g), axis=list(range(1, g.shape.rank))) for g in gradients]
    return scores, norms[0] if len(norms) == 1 else tf.add_n(norms)


def _check_independence(D: Discriminator) -> None:
    """Refuses a discriminator with batch normalization, where `D` is a network or the method `GAN.D`.

    A GAN that names its penalty's weight in `gradient_penalty_argument` has been checked by `GAN.check_penalty`.
    """
    gan = getattr(D, "__self__", None)
    network = getattr(gan, "discriminator", D)
    checked = getattr(gan, "gradient_penalty_argument", None)
    if not checked and isinstance(network, keras.Model) and independence.has_batch_normalization(network):
        raise UserError(
            "A gradient penalty takes the gradient of each example's own score, and batch normalization mixes the "
            "examples of a minibatch: build the discriminator without it (norm='none', 'layer' or 'spectral')."
        )


def gradient_norm(D: Discriminator, x: tf.Tensor, usual: float = 1.0) -> tf.Tensor:
    """||grad_x D(x)||_2 of each example, [B], differentiable also where it is zero."""
    squared = squared_gradient_norm(D, x, usual)
    return tf.sqrt(squared + _TINY[squared.dtype])


def gradient_penalty(D: Discriminator, x: tf.Tensor, target: float = 1.0, one_sided: bool = False) -> tf.Tensor:
    """E (||grad D(x)||_2 - target)^2: Gulrajani et al. (2017), equation 3.

    Args:
        D: Maps points, [B, ...], to raw scores, [B, 1].
        x: Where the gradient is taken, [B, ...]: see `interpolate` and `perturb`.
        target: The norm asked for; 1 in the paper.
        one_sided: Whether to punish norms above the target only (the paper's Section 4, "two-sided penalty").
    """
    excess = gradient_norm(D, x, usual=target) - target
    return tf.reduce_mean(tf.square(tf.nn.relu(excess) if one_sided else excess))


def zero_centered_penalty(D: Discriminator, x: tf.Tensor) -> tf.Tensor:
    """E ||grad D(x)||_2^2: times gamma / 2, the R1 (x real) or R2 (x generated) of Mescheder et al. (2018), eq. 9."""
    return tf.reduce_mean(squared_gradient_norm(D, x))


def js_regularizer(D: Discriminator, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """E (1 - s(r))^2 ||grad r||_2^2 + E s(f)^2 ||grad f||_2^2, with r = D(x) and f = D(G(z)).

    Times gamma / 2, the regularizer of Roth et al. (2017) for the Jensen-Shannon divergence: what instance noise of
    variance gamma does to the loss of D, to first order in gamma, where D is optimal. The weights are differentiated,
    too.

    Args:
        D: Maps points, [B, ...], to raw scores, [B, 1].
        real: Real examples, [B, ...].
        fake: Generated examples, [B, ...].
    """
    r, real_norms = _scores_and_squared_norms(D, real)
    f, fake_norms = _scores_and_squared_norms(D, fake)
    at_real = tf.reduce_mean(tf.square(tf.sigmoid(-r)) * real_norms)
    return at_real + tf.reduce_mean(tf.square(tf.sigmoid(f)) * fake_norms)


_in_every_turn = contextvars.ContextVar("in_every_turn", default=False)


@contextlib.contextmanager
def in_every_turn() -> Iterator[None]:
    """Within this, `lazily` takes the penalty at once and with weight 1: its mean over turns, as evaluation needs."""
    token = _in_every_turn.set(True)
    try:
        yield
    finally:
        _in_every_turn.reset(token)


def lazily(
    penalty: Callable[[], tf.Tensor], turn: int | tf.Tensor, interval: int, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """`interval` times the penalty in every `interval`-th turn, from turn 0 on; in the others 0, and no work.

    Karras et al. (2020), Appendix B, "lazy regularization": the mean over turns is that of the penalty in each. They
    give the penalty a step of its own, and correct Adam's settings for the steps that this adds; here it is part of
    the loss.

    Args:
        penalty: Computes the penalty. With an interval above 1, nothing in it may talk to other replicas.
        turn: Turns taken before this one.
        interval: From 1, every turn, up.
        dtype: Of the penalty.
    """
    if interval == 1 or _in_every_turn.get():
        return penalty()
    return tf.cond(tf.equal(turn % interval, 0), lambda: interval * penalty(), lambda: tf.zeros([], dtype))


def interpolate(real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """epsilon x + (1 - epsilon) G(z): Gulrajani et al. (2017), Algorithm 1, line 6.

    Args:
        real: Real examples, [B, ...].
        fake: Generated examples, [B, ...].
        epsilon: One number for each example, [B], drawn from U[0, 1]: the weight of the real one.

    Returns:
        [B, ...]. Labels and codes in a structure are those of `real`.
    """

    def between(real, fake):
        real = tf.cast(real, fake.dtype)
        share = tf.reshape(tf.cast(epsilon, real.dtype), [-1] + [1] * (real.shape.rank - 1))
        return share * real + (1.0 - share) * fake

    return map_images(between, real, fake)
