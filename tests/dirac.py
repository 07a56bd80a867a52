"""The Dirac-GAN of Mescheder et al. (2018), Section 2: G(z) = theta, D(x) = psi x, each player one number.

One SGD step of either has a formula, which the tests write down by hand.
"""

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tests")
class Point(keras.layers.Layer):
    """Puts every latent on the same, trained point."""

    def build(self, input_shape):
        self.theta = self.add_weight((1, 1), "zeros", name="theta")

    def call(self, z):
        return tf.zeros_like(z) + self.theta


def dirac(cls, theta: float, psi: float, rate: float = 0.1, **kwargs):
    """A compiled variant on the two one-parameter networks, with plain gradient descent for both players."""
    z, x = keras.Input((1,)), keras.Input((1,))
    generator = keras.Model(z, Point()(z))
    discriminator = keras.Model(x, keras.layers.Dense(1, use_bias=False)(x))
    generator.set_weights([np.full((1, 1), theta, "float32")])
    discriminator.set_weights([np.full((1, 1), psi, "float32")])
    gan = cls(generator, discriminator, seed=0, **kwargs)
    gan.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    return gan


def step(gan, data) -> tuple[float, float]:
    """One training step on data, a list of numbers; returns (theta, psi)."""
    gan.train_step(tf.constant(data, tf.float32)[:, tf.newaxis])
    return tuple(float(model.get_weights()[0][0, 0]) for model in (gan.generator, gan.discriminator))
