"""Adversarial losses: pure functions of scores, minimised, averaged over the batch.

Throughout, `real` = D(x) and `fake` = D(G(z)) are raw scores (logits, or critic values), float, [B, 1] or [B], high for
real data. Every function returns a scalar. sp is softplus, s the sigmoid, E the mean over the batch; `-log s(t)` is
computed as `sp(-t)`, which neither overflows nor loses the gradient of a confident discriminator.
"""

import math

import tensorflow as tf

from gan_zoo.distribution import global_mean, joined, replica_mean, whole_batch
from gan_zoo.precision import at_least_float32

mean = tf.reduce_mean
softplus = tf.math.softplus


def cross_entropy_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """-E log s(r) - E log(1 - s(f)): Goodfellow et al. (2014), Algorithm 1."""
    return mean(softplus(-real)) + mean(softplus(fake))


def minimax_generator(fake: tf.Tensor) -> tf.Tensor:
    """E log(1 - s(f)): Goodfellow et al. (2014), equation 1. Saturates where D is sure that samples are fake."""
    return -mean(softplus(fake))


def non_saturating_generator(fake: tf.Tensor) -> tf.Tensor:
    """-E log s(f): Goodfellow et al. (2014), end of Section 3."""
    return mean(softplus(-fake))


def least_squares_discriminator(real: tf.Tensor, fake: tf.Tensor, a: float = 0.0, b: float = 1.0) -> tf.Tensor:
    """E (r - b)^2 / 2 + E (f - a)^2 / 2: Mao et al. (2017), equation 2."""
    return 0.5 * mean(tf.square(real - b)) + 0.5 * mean(tf.square(fake - a))


def least_squares_generator(fake: tf.Tensor, c: float = 1.0) -> tf.Tensor:
    """E (f - c)^2 / 2: Mao et al. (2017), equation 2."""
    return 0.5 * mean(tf.square(fake - c))


def wasserstein_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """E f - E r: Arjovsky et al. (2017), Algorithm 1, negated to be minimised."""
    return mean(fake) - mean(real)


def wasserstein_generator(fake: tf.Tensor) -> tf.Tensor:
    """-E f: Arjovsky et al. (2017), Algorithm 1."""
    return -mean(fake)


def hinge_discriminator(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """E max(0, 1 - r) + E max(0, 1 + f): Lim and Ye (2017); Miyato et al. (2018), equation 16."""
    return mean(tf.nn.relu(1.0 - real)) + mean(tf.nn.relu(1.0 + fake))


def hinge_generator(fake: tf.Tensor) -> tf.Tensor:
    """-E f: Miyato et al. (2018), equation 17."""
    return -mean(fake)


def density_ratio(fake: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """w = exp(f / T) / E exp(f / T), of the shape of `fake`: weights with mean 1 over the whole batch of all replicas.

    Song and Ermon (2020): of all w >= 0 with mean 1, those that minimise -E w f + T E w log w. Where T is 1 and D(x) is
    log p(x) / q(x), up to a constant, they are p / q. The loss of one example depends on the scores of all through the
    mean; `tf.stop_gradient` around w cuts that.
    """
    t = fake / temperature
    # Shifted by the greatest score, so that nothing overflows; by that of all replicas, so that it cancels.
    greatest = tf.reduce_max(whole_batch(tf.reduce_max(t)[tf.newaxis]))
    weights = tf.exp(t - greatest)
    return weights / global_mean(weights)


DISTANCES = ("norm", "mse")


def reconstruction_error(x: tf.Tensor, reconstruction: tf.Tensor, distance: str = "norm") -> tf.Tensor:
    """How far each example is from its reconstruction, both [B, ...]: [B], float32, with a gradient also where it is 0.

    `distance` is "norm", the Euclidean norm over all axes but the first, or "mse", the mean of the squares over them.
    """
    axes = list(range(1, x.shape.rank))
    reconstruction = at_least_float32(reconstruction)
    squares = tf.square(reconstruction - tf.cast(x, reconstruction.dtype))
    # The norm's derivative at 0 would be 0 / 0.
    return tf.reduce_mean(squares, axes) if distance == "mse" else tf.sqrt(tf.reduce_sum(squares, axes) + 1e-12)


def energy_hinge(real: tf.Tensor, fake: tf.Tensor, margin: float) -> tf.Tensor:
    """E real + E max(0, margin - fake), for energies, [B], which are LOW for real data: Zhao et al. (2017), equation 1.

    The hinge is per example: one whose energy is above the margin is left alone, however low the others' are.
    """
    return mean(real) + mean(tf.nn.relu(margin - fake))


def pulling_away(codes: tf.Tensor) -> tf.Tensor:
    """Sum of cos(S_i, S_j)^2 over all i != j, by N (N - 1): the pulling-away term of Zhao et al. (2017).

    0 if all codes are orthogonal, 1 if all are parallel. The pairs are those of the whole batch of all replicas, and
    the gradient is that of the whole batch's value. A code of length 0 is orthogonal to all; a lone one gives 0.

    Args:
        codes: S, [B, ...], float32, as many on every replica.
    """
    directions = tf.math.l2_normalize(tf.reshape(codes, [-1, math.prod(codes.shape[1:])]), axis=1)
    everyone = joined(directions)
    squares = tf.square(tf.matmul(directions, everyone, transpose_b=True))
    others = tf.reduce_sum(squares, axis=1) - tf.square(tf.reduce_sum(tf.square(directions), axis=1))
    return mean(tf.math.divide_no_nan(others, tf.cast(tf.shape(everyone)[0] - 1, others.dtype)))


def kernel_density(samples: tf.Tensor, points: tf.Tensor, sigma: float, normalized: bool = False) -> tf.Tensor:
    """mean_j k(samples_j - points_i) with a Gaussian kernel k(u) = exp(-||u||^2 / (2 sigma^2)), [M].

    The mean is over the samples of all replicas, whose points must be the same: see `distribution.whole_batch`.

    Args:
        samples: [B, ...], float32.
        points: Where the density is wanted, [M, ...]. Takes memory for B M differences.
        sigma: Width of the kernel.
        normalized: Whether k integrates to 1: times (2 pi sigma^2)^(-d/2), with d numbers in a point.
    """
    points = tf.cast(points, samples.dtype)
    samples, points = (tf.reshape(t, [-1, math.prod(t.shape[1:])]) for t in (samples, points))
    # Not by way of inner products, which lose the small distances that the kernel is about.
    squares = tf.reduce_sum(tf.math.squared_difference(points[:, tf.newaxis], samples), axis=-1)
    log_scale = -0.5 * samples.shape[-1] * math.log(2.0 * math.pi * sigma**2) if normalized else 0.0
    return replica_mean(tf.reduce_mean(tf.exp(log_scale - squares / (2.0 * sigma**2)), axis=1))


# What an objective asks of a relative score t: `high` is small where t is high, `low` where t is low.
_OBJECTIVES = {
    "standard": (lambda t: softplus(-t), softplus),
    "least_squares": (lambda t: tf.square(t - 1.0), lambda t: tf.square(t + 1.0)),
    "hinge": (lambda t: tf.nn.relu(1.0 - t), lambda t: tf.nn.relu(1.0 + t)),
}
OBJECTIVES = tuple(_OBJECTIVES)


def relativistic(real: tf.Tensor, fake: tf.Tensor, objective: str = "standard") -> tf.Tensor:
    """The paired relativistic loss, h(r - f) with h(t) = sp(-t), (t - 1)^2 or max(0, 1 - t).

    Jolicoeur-Martineau (2019), Section 4.1: D minimises it; G minimises it with the arguments exchanged. Its second
    expectation equals the first, because each objective's two halves mirror each other, and so is stated once.

    Args:
        real: Scores of real images, [B, 1] or [B].
        fake: Scores of generated images, the same shape: real and fake are paired by index.
        objective: "standard" (RSGAN), "least_squares" or "hinge".

    Raises:
        ValueError: If the shapes differ; [B, 1] with [B] would silently compare every pair.
    """
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    if not real.shape.is_compatible_with(fake.shape):
        raise ValueError(f"real and fake scores are paired, so their shapes must be equal: {real.shape}, {fake.shape}.")
    high, _ = _OBJECTIVES[objective]
    return mean(high(real - fake))


def relativistic_average(real: tf.Tensor, fake: tf.Tensor, objective: str = "standard") -> tf.Tensor:
    """The relativistic average loss, E h(r - E f) + E l(f - E r).

    Jolicoeur-Martineau (2019), Section 4.2 and Algorithm 2, with h, l = sp(-t), sp(t) for "standard" (RaSGAN);
    (t - 1)^2, (t + 1)^2 for "least_squares" (RaLSGAN); max(0, 1 - t), max(0, 1 + t) for "hinge" (RaHingeGAN). D
    minimises it; G minimises it with the arguments exchanged. The means are over the whole batch of all replicas.
    """
    high, low = _OBJECTIVES[objective]
    return mean(high(real - global_mean(fake))) + mean(low(fake - global_mean(real)))
