"""Adversarial losses: pure functions of scores, minimised, averaged over the batch.

Throughout, `real` = D(x) and `fake` = D(G(z)) are raw scores (logits, or critic values), float, [B, 1] or [B], high for
real data. Every function returns a scalar. sp is softplus, s the sigmoid, E the mean over the batch; `-log s(t)` is
computed as `sp(-t)`, which neither overflows nor loses the gradient of a confident discriminator.
"""

import tensorflow as tf

from gan_zoo.distribution import global_mean

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
