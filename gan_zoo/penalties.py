"""Gradient penalties: pure functions of a discriminator and points, averaged over the batch, without their weight.

The gradient is that of each example's own raw score with respect to that example. For examples with labels, (images,
labels), it is the gradient with respect to the images. Norms are over all axes but the first. The discriminator may not
couple the examples of a batch, so batch normalization raises a `UserError`. The points are constants: no gradient flows
to the generator that made them.

Scores, gradients and norms are at least float32, whatever dtype D computes in. For float16 networks the gradient has a
scale of its own, in addition to that of the loss: see `precision.inner_gradient`.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_zoo.networks import independence
from gan_zoo.nn.image_leaves import image_indices, images_of, map_images
from gan_zoo.nn.precision import INNER_SCALE, at_least_float32, inner_gradient
from gan_zoo.replicas.distribution import RandomStream, global_mean
from gan_zoo.util.errors import UserError

# Added to the squared norm, because the derivative of the norm is 0 / 0 at a zero gradient. Gradients of networks are
# far larger than the square root of this number.
_TINY = {tf.float32: 1e-12, tf.float64: 1e-60}

Discriminator = Callable[[tf.Tensor], tf.Tensor]


def squared_gradient_norm(D: Discriminator, x: tf.Tensor, usual: float = 1.0) -> tf.Tensor:
    """||grad_x D(x)||_2^2 of each example, [B], float32.

    Args:
        D: Maps points, [B, ...], to raw scores, [B, 1] or [B].
        x: Points, [B, ...], float32.
        usual: The expected norm, if it is above 1. In float16, gradients that are much larger may overflow.
    """
    return _score_and_squared_norm(D, x, usual)[1]


def _score_and_squared_norm(D: Discriminator, x: tf.Tensor, usual: float = 1.0) -> tuple[tf.Tensor, tf.Tensor]:
    """D(x) and ||grad_x D(x)||_2^2 of each example, both [B], float32, from one forward and one backward pass."""
    _check_independence(D)
    x = tf.nest.map_structure(tf.stop_gradient, x)
    (scores,), (norms,) = _differentiate(lambda x: [tf.reshape(at_least_float32(D(x)), [-1])], [x], usual)
    return scores, norms


def scores_and_squared_norms(D: Callable, *xs: Any) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """D(x) and ||grad_x D(x)||_2^2 of the examples of several minibatches, from one forward and one backward pass.

    D gets the minibatches themselves, so `GAN.augment` knows their origin, and the gradient is taken through it.

    Args:
        D: Maps minibatches, [B, ...] each, to a list with the raw scores, [B, 1], of each, like `GAN.D`.
        *xs: Two minibatches or more.

    Returns:
        A list of the scores, [B, 1], and a list of the squared norms, [B], of each minibatch.
    """
    _check_independence(D)
    return _differentiate(D, xs)


def _differentiate(D: Callable, xs: Sequence[Any], usual: float = 1.0) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """D(*xs), a list of scores, and for each of the minibatches the squared norm of the gradient of each example."""
    images = [[tf.nest.flatten(x)[k] for k in image_indices(x)] for x in xs]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = D(*xs)
        # Each score depends on its own example only, so the gradient of the sum contains every example's own gradient.
        total = tf.add_n([tf.reduce_sum(part) for part in scores])
    scale = INNER_SCALE / 2.0 ** math.ceil(math.log2(max(1.0, usual)))

    def squared_norm(gradients: list[tf.Tensor]) -> tf.Tensor:
        squares = [tf.square(tf.cast(gradient, total.dtype)) for gradient in gradients]
        return tf.add_n([tf.reduce_sum(square, axis=list(range(1, square.shape.rank))) for square in squares])

    return scores, [squared_norm(gradients) for gradients in inner_gradient(tape, total, images, scale)]


def _check_independence(D: Discriminator) -> None:
    """Refuses a discriminator that mixes the examples of a minibatch, if `D` is a network or the method `GAN.D`.

    A GAN that names the weight of its penalty in `gradient_penalty_argument` is skipped: `GAN.check_penalty` has
    already checked it.

    Raises:
        UserError: If the discriminator has batch normalization or minibatch discrimination.
    """
    gan = getattr(D, "__self__", None)
    network = getattr(gan, "discriminator", D)
    checked = getattr(gan, "gradient_penalty_argument", None)
    mixing = None if checked or not isinstance(network, keras.Model) else independence.mixing_layer(network)
    if mixing:
        raise UserError(
            f"A gradient penalty takes the gradient of each example's own score, and {mixing} mixes the examples of a "
            f"minibatch: {independence.WITHOUT[mixing]}."
        )


def gradient_norm(D: Discriminator, x: tf.Tensor, usual: float = 1.0) -> tf.Tensor:
    """||grad_x D(x)||_2 of each example, [B], with a finite derivative at zero."""
    squared = squared_gradient_norm(D, x, usual)
    return tf.sqrt(squared + _TINY[squared.dtype])


def gradient_penalty(D: Discriminator, x: tf.Tensor, target: float = 1.0, one_sided: bool = False) -> tf.Tensor:
    """E (||grad D(x)||_2 - target)^2: Gulrajani et al. (2017), equation 3.

    Args:
        D: Maps points, [B, ...], to raw scores, [B, 1].
        x: Points at which the gradient is taken, [B, ...]: see `interpolate`.
        target: The target of the norm. Defaults to 1, as in the paper.
        one_sided: Whether to penalise only norms above the target (Section 4 of the paper, "two-sided penalty").
    """
    excess = gradient_norm(D, x, usual=target) - target
    return tf.reduce_mean(tf.square(tf.nn.relu(excess) if one_sided else excess))


def zero_centered_penalty(D: Discriminator, x: tf.Tensor) -> tf.Tensor:
    """E ||grad D(x)||_2^2, without its weight gamma / 2: Mescheder et al. (2018), equation 9.

    It is the R1 regularizer if x are real examples, and R2 if they are generated.
    """
    return tf.reduce_mean(squared_gradient_norm(D, x))


def js_regularizer(D: Discriminator, real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """E (1 - s(r))^2 ||grad r||_2^2 + E s(f)^2 ||grad f||_2^2, with r = D(x) and f = D(G(z)).

    Times gamma / 2, this is the regularizer of Roth et al. (2017) for the Jensen-Shannon divergence. For an optimal D
    and to first order in gamma, it equals the effect of instance noise of variance gamma on the loss of D. The weights
    are also differentiated.

    Args:
        D: Maps points, [B, ...], to raw scores, [B, 1].
        real: Real examples, [B, ...].
        fake: Generated examples, [B, ...].
    """
    r, real_norms = _score_and_squared_norm(D, real)
    f, fake_norms = _score_and_squared_norm(D, fake)
    at_real = tf.reduce_mean(tf.square(tf.sigmoid(-r)) * real_norms)
    return at_real + tf.reduce_mean(tf.square(tf.sigmoid(f)) * fake_norms)


_in_every_turn = contextvars.ContextVar("in_every_turn", default=False)


@contextlib.contextmanager
def in_every_turn() -> Iterator[None]:
    """Context in which `lazily` returns the penalty itself, which is its mean over turns. Evaluation uses it."""
    token = _in_every_turn.set(True)
    try:
        yield
    finally:
        _in_every_turn.reset(token)


def lazily(
    penalty: Callable[[], tf.Tensor], turn: int | tf.Tensor, interval: int, dtype: tf.DType = tf.float32
) -> tf.Tensor:
    """`interval` times the penalty in every `interval`-th turn, starting at turn 0; 0 in all others, at no cost.

    This is the "lazy regularization" of Karras et al. (2020), Appendix B. The mean over turns is the same as with the
    penalty in every turn. In the paper the penalty has an optimizer step of its own, and the settings of Adam are
    corrected for the additional steps. Here the penalty is part of the loss.

    Args:
        penalty: Computes the penalty. With an interval above 1, it may not communicate with other replicas.
        turn: Number of turns before this one.
        interval: Number of turns per penalty, from 1 (every turn) up.
        dtype: The dtype of the penalty.
    """
    if interval == 1 or _in_every_turn.get():
        return penalty()
    return tf.cond(tf.equal(turn % interval, 0), lambda: interval * penalty(), lambda: tf.zeros([], dtype))


def interpolate(real: tf.Tensor, fake: tf.Tensor, epsilon: tf.Tensor) -> tf.Tensor:
    """epsilon x + (1 - epsilon) G(z): Gulrajani et al. (2017), Algorithm 1, line 6.

    Args:
        real: Real examples, [B, ...].
        fake: Generated examples, [B, ...].
        epsilon: The weight of each real example, [B], drawn from U[0, 1].

    Returns:
        Interpolated examples, [B, ...]. Labels and codes in a structure are those of `real`.
    """

    def between(real, fake):
        real = tf.cast(real, fake.dtype)
        share = tf.reshape(tf.cast(epsilon, real.dtype), [-1] + [1] * (real.shape.rank - 1))
        return share * real + (1.0 - share) * fake

    return map_images(between, real, fake)


def perturb(x: Any, scale: float, random: RandomStream) -> Any:
    """x + scale std(x) N(0, I): points around examples, of Kodali et al. (2017), Algorithm 1.

    Args:
        x: Examples, [B, ...]. Labels and codes in a structure stay.
        scale: Size of the noise, in units of the standard deviation of all numbers of the whole batch of all replicas.
        random: The stream to draw from.
    """
    images = images_of(x)
    std = tf.sqrt(global_mean(tf.square(images - global_mean(images))))
    return map_images(lambda x: x + scale * std * random.normal_like(x), x)
