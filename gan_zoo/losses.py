"""Adversarial losses: pure functions of scores, to be minimised, averaged over the batch.

In all functions, `real` = D(x) and `fake` = D(G(z)) are raw scores (logits, or critic values), float, [B, 1] or [B],
high for real data. The losses return a scalar. sp is softplus, s is the sigmoid, and E is the mean over the batch.
`-log s(t)` is computed as `sp(-t)`, which does not overflow and keeps the gradient of a confident discriminator.
"""

import math

import tensorflow as tf

from gan_zoo.nn.precision import at_least_float32
from gan_zoo.replicas.distribution import global_mean, joined, replica_mean, whole_batch

mean = tf.reduce_mean
softplus = tf.math.softplus


def cross_entropy_discriminator(real: tf.Tensor, fake: tf.Tensor, real_label: float = 1.0) -> tf.Tensor:
    """-E log s(r) - E log(1 - s(f)): Goodfellow et al. (2014), Algorithm 1.

    Args:
        real: D(x).
        fake: D(G(z)).
        real_label: Target alpha of s(r). Below 1 the first term is -E[alpha log s(r) + (1 - alpha) log(1 - s(r))],
            one-sided label smoothing: Salimans et al. (2016), Section 3.4.
    """
    at_real = mean(softplus(-real))
    if real_label != 1.0:
        at_real += (1.0 - real_label) * mean(real)
    return at_real + mean(softplus(fake))


def minimax_generator(fake: tf.Tensor) -> tf.Tensor:
    """E log(1 - s(f)): Goodfellow et al. (2014), equation 1. Saturates if D is certain that samples are fake."""
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
    """E f - E r: Arjovsky et al. (2017), Algorithm 1, with the sign changed so that D minimises it."""
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
    """Returns weights w = exp(f / T) / E exp(f / T), in the shape of `fake`, with mean 1 over all replicas' batch.

    Song and Ermon (2020): among all w >= 0 with mean 1, these weights minimise -E w f + T E w log w. If T is 1 and D(x)
    is log p(x) / q(x) plus a constant, they are p / q. Because of the mean, the loss of one example depends on the
    scores of all examples. `tf.stop_gradient` around w removes this dependence from the gradient.
    """
    t = fake / temperature
    # The largest score is subtracted, so that nothing overflows. It is that of all replicas, so that it cancels.
    greatest = tf.reduce_max(whole_batch(tf.reduce_max(t)[tf.newaxis]))
    weights = tf.exp(t - greatest)
    return weights / global_mean(weights)


DISTANCES = ("norm", "mse")


def reconstruction_error(x: tf.Tensor, reconstruction: tf.Tensor, distance: str = "norm") -> tf.Tensor:
    """Distance of each example from its reconstruction, [B], float32. It has a finite gradient at 0.

    Args:
        x: Examples, [B, ...].
        reconstruction: Their reconstructions, [B, ...].
        distance: "norm", the Euclidean norm over all axes but the first, or "mse", the mean square over these axes.
    """
    axes = list(range(1, x.shape.rank))
    reconstruction = at_least_float32(reconstruction)
    squares = tf.square(reconstruction - tf.cast(x, reconstruction.dtype))
    # The norm's derivative at 0 would be 0 / 0.
    return tf.reduce_mean(squares, axes) if distance == "mse" else tf.sqrt(tf.reduce_sum(squares, axes) + 1e-12)


def energy_hinge(real: tf.Tensor, fake: tf.Tensor, margin: float) -> tf.Tensor:
    """E real + E max(0, margin - fake), for energies, [B], which are LOW for real data: Zhao et al. (2017), equation 1.

    The hinge is per example: a sample whose energy is above the margin has no gradient, whatever the energies of the
    others are.
    """
    return mean(real) + mean(tf.nn.relu(margin - fake))


def pulling_away(codes: tf.Tensor) -> tf.Tensor:
    """Mean of cos(S_i, S_j)^2 over all N (N - 1) pairs i != j: the pulling-away term of Zhao et al. (2017).

    The value is 0 if all codes are orthogonal and 1 if all are parallel. The pairs and the gradient are those of the
    whole batch of all replicas. A code of length 0 counts as orthogonal to all others. A batch of one code gives 0.

    Args:
        codes: S, [B, ...], float32. Every replica has the same number of codes.
    """
    directions = tf.math.l2_normalize(tf.reshape(codes, [-1, math.prod(codes.shape[1:])]), axis=1)
    everyone = joined(directions)
    squares = tf.square(tf.matmul(directions, everyone, transpose_b=True))
    others = tf.reduce_sum(squares, axis=1) - tf.square(tf.reduce_sum(tf.square(directions), axis=1))
    return mean(tf.math.divide_no_nan(others, tf.cast(tf.shape(everyone)[0] - 1, others.dtype)))


def feature_matching(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """||E f(x) - E f(G(z))||_2^2: Salimans et al. (2016), Section 3.1. The means are over the batch of all replicas.

    Args:
        real: Features f of real examples, [B, ...].
        fake: Features of generated examples, [B, ...].
    """
    return tf.reduce_sum(tf.square(global_mean(real, 0) - global_mean(fake, 0)))


def lecam(real: tf.Tensor, fake: tf.Tensor, real_average: tf.Tensor, fake_average: tf.Tensor) -> tf.Tensor:
    """E max(0, r - a_F)^2 + E max(0, a_R - f)^2, the LeCam regularizer: Tseng et al. (2021).

    It is 0 at r = a_F and f = a_R: it draws the scores of both kinds together.

    Args:
        real: D(x).
        fake: D(G(z)).
        real_average: a_R, a running mean of E r, a constant.
        fake_average: a_F, a running mean of E f, a constant.
    """
    return mean(tf.square(tf.nn.relu(real - fake_average))) + mean(tf.square(tf.nn.relu(real_average - fake)))


def entropy(logits: tf.Tensor) -> tf.Tensor:
    """Entropy of each example's distribution over K categories in nats, [B], from logits, [B, K]."""
    log_p = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(tf.exp(log_p) * log_p, axis=-1)


def marginal_entropy(logits: tf.Tensor) -> tf.Tensor:
    """Entropy in nats of the mean of all examples' distributions over K categories, from logits, [B, K].

    The mean is over the whole batch of all replicas.
    """
    p = global_mean(tf.nn.softmax(logits), axis=0)
    return -tf.reduce_sum(tf.math.xlogy(p, p))


def kernel_density(samples: tf.Tensor, points: tf.Tensor, sigma: float, normalized: bool = False) -> tf.Tensor:
    """Kernel density estimate at each point, [M]: mean_j k(samples_j - points_i) with a Gaussian kernel k.

    k(u) = exp(-||u||^2 / (2 sigma^2)). The mean is over the samples of all replicas. All replicas must pass the same
    points: see `distribution.whole_batch`.

    Args:
        samples: [B, ...], float32.
        points: Where to estimate the density, [M, ...]. The function holds B M differences in memory.
        sigma: Width of the kernel.
        normalized: Whether k integrates to 1, that is, has the factor (2 pi sigma^2)^(-d/2) for points of d numbers.
    """
    points = tf.cast(points, samples.dtype)
    samples, points = (tf.reshape(t, [-1, math.prod(t.shape[1:])]) for t in (samples, points))
    # Differences, not inner products: inner products lose the precision of small distances, which matter most here.
    squares = tf.reduce_sum(tf.math.squared_difference(points[:, tf.newaxis], samples), axis=-1)
    log_scale = -0.5 * samples.shape[-1] * math.log(2.0 * math.pi * sigma**2) if normalized else 0.0
    return replica_mean(tf.reduce_mean(tf.exp(log_scale - squares / (2.0 * sigma**2)), axis=1))


# Two functions of a relative score t for each objective: the first is small for high t, the second for low t.
_OBJECTIVES = {
    "standard": (lambda t: softplus(-t), softplus),
    "least_squares": (lambda t: tf.square(t - 1.0), lambda t: tf.square(t + 1.0)),
    "hinge": (lambda t: tf.nn.relu(1.0 - t), lambda t: tf.nn.relu(1.0 + t)),
}
OBJECTIVES = tuple(_OBJECTIVES)


def relativistic(real: tf.Tensor, fake: tf.Tensor, objective: str = "standard") -> tf.Tensor:
    """The paired relativistic loss, E h(r - f) with h(t) = sp(-t), (t - 1)^2 or max(0, 1 - t).

    Jolicoeur-Martineau (2019), Section 4.1. D minimises it; G minimises it with the arguments exchanged. The paper's
    second expectation equals the first, because the two functions of each objective mirror each other. So the loss
    contains it once.

    Args:
        real: Scores of real images, [B, 1] or [B].
        fake: Scores of generated images, the same shape: real and fake are paired by index.
        objective: "standard" (RSGAN), "least_squares" or "hinge".

    Raises:
        ValueError: If the shapes differ. Broadcasting [B, 1] with [B] would silently compare all B^2 pairs.
    """
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    if not real.shape.is_compatible_with(fake.shape):
        raise ValueError(f"real and fake scores are paired, so their shapes must be equal: {real.shape}, {fake.shape}.")
    high, _ = _OBJECTIVES[objective]
    return mean(high(real - fake))


def relativistic_average(real: tf.Tensor, fake: tf.Tensor, objective: str = "standard") -> tf.Tensor:
    """The relativistic average loss, E h(r - E f) + E l(f - E r).

    Jolicoeur-Martineau (2019), Section 4.2 and Algorithm 2. (h, l) is (sp(-t), sp(t)) for "standard" (RaSGAN),
    ((t - 1)^2, (t + 1)^2) for "least_squares" (RaLSGAN) and (max(0, 1 - t), max(0, 1 + t)) for "hinge" (RaHingeGAN). D
    minimises it; G minimises it with the arguments exchanged. The means are over the whole batch of all replicas.
    """
    high, low = _OBJECTIVES[objective]
    return mean(high(real - global_mean(fake))) + mean(low(fake - global_mean(real)))
