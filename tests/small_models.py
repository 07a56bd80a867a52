"""Small models other than G(z) against D(x): with labels, with pairs."""

import keras
import numpy as np
import tensorflow as tf

from gan_zoo import GAN, networks
from gan_zoo.losses import mean, non_saturating_generator
from gan_zoo.models import VanillaGAN


def dense(shape, units, *, classes=0, end=(), dtype=None):
    """Returns a network of one dense layer on inputs of `shape`; with classes, on pairs of these and one-hot labels."""
    x, y = keras.Input(shape, dtype=dtype), keras.Input((), dtype="int32")
    h = keras.layers.Flatten()(x)
    if classes:
        code = keras.layers.CategoryEncoding(classes, output_mode="one_hot")(y[:, None])
        h = keras.layers.Concatenate()([h, keras.ops.cast(code, h.dtype)])
    h = keras.layers.Dense(units, *end)(h)
    return (x, y), h


def fixed(inputs, weights, bias=None, end="linear", shape=None):
    """Returns a network of one dense layer with the given weights; `shape` is that of its output."""
    x = keras.Input(inputs)
    h = keras.layers.Flatten()(x)
    h = keras.layers.Dense(np.shape(weights)[1], end, use_bias=bias is not None)(h)
    network = keras.Model(x, h if shape is None else keras.layers.Reshape(shape)(h))
    network.set_weights([np.float32(weights), *([] if bias is None else [np.float32(bias)])])
    return network


def conditional(cls=VanillaGAN, shape=(8, 8, 1), classes=3, latent_dim=4, **kwargs):
    """Returns a GAN of the given class with perceptrons that take labels."""
    size = 1
    for side in shape:
        size *= side
    inputs, h = dense((latent_dim,), size, classes=classes, end=("tanh",))
    generator = keras.Model(inputs, keras.layers.Reshape(shape)(h))
    discriminator = keras.Model(*dense(shape, 1, classes=classes))
    return cls(generator, discriminator, classes=classes, latent_dim=latent_dim, **{"seed": 0, **kwargs})


class Labelled(VanillaGAN):
    """The GAN of `conditional` as a class that builds its own networks."""

    @classmethod
    def build_networks(cls, builder):
        gan = conditional(shape=builder.shape, classes=builder.classes, latent_dim=builder.latent_dim)
        return gan.networks()


class Pairs(GAN):
    """A BiGAN: D takes pairs of an example and a code, and G and the encoder are one player."""

    def __init__(self, generator, discriminator, encoder, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.encoder = encoder

    @property
    def generator_variables(self):
        return [*self.generator.trainable_variables, *self.encoder.trainable_variables]

    def scores(self, x, z):
        return self.D((x, self.encoder(x, training=True)), (self.G(z), z))

    def discriminator_loss(self, x, z):
        real, fake = self.scores(x, z)
        return mean(tf.nn.softplus(-real)) + mean(tf.nn.softplus(fake))

    def generator_loss(self, x, z):
        real, fake = self.scores(x, z)
        return non_saturating_generator(fake) + mean(tf.nn.softplus(real))

    @classmethod
    def small(cls, **kwargs):
        builder = networks.Builder((2,), latent_dim=2, width=4)
        x, z = keras.Input((2,)), keras.Input((2,))
        score = keras.layers.Dense(1)(keras.layers.Concatenate()([x, z]))
        return cls(builder.generator(), keras.Model((x, z), score), builder.encoder(2), **{"seed": 0, **kwargs})
