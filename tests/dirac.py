"""The Dirac-GAN of Mescheder et al. (2018), Section 2: G(z) = theta, D(x) = psi x, one number per player.

One SGD step of either player has a formula, which the tests state by hand.
"""

import keras
import tensorflow as tf

from gan_zoo.dynamics.dirac_gan import players


def dirac(cls, theta: float, psi: float, rate: float = 0.1, **kwargs):
    """Returns a compiled variant with the two one-parameter networks and plain gradient descent for both players."""
    gan = cls(*players(theta, psi), seed=0, **kwargs)
    gan.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    return gan


def step(gan, data) -> tuple[float, float]:
    """Takes one training step on data, a list of numbers, and returns (theta, psi)."""
    gan.train_step(tf.constant(data, tf.float32)[:, tf.newaxis])
    return tuple(float(model.get_weights()[0][0, 0]) for model in (gan.generator, gan.discriminator))
