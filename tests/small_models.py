"""Small models other than G(z) against D(x): with labels, with one player, with pairs."""

import keras
import tensorflow as tf

from gan_zoo import GAN
from gan_zoo.losses import mean, non_saturating_generator
from gan_zoo.model import GenerativeModel
from gan_zoo.models import VanillaGAN
from gan_zoo.players import Player


def dense(shape, units, *, classes=0, end=(), dtype=None):
    """Returns a network of one dense layer on inputs of `shape`; with classes, on pairs of these and one-hot labels."""
    x, y = keras.Input(shape, dtype=dtype), keras.Input((), dtype="int32")
    h = keras.layers.Flatten()(x)
    if classes:
        code = keras.layers.CategoryEncoding(classes, output_mode="one_hot")(y[:, None])
        h = keras.layers.Concatenate()([h, keras.ops.cast(code, h.dtype)])
    h = keras.layers.Dense(units, *end)(h)
    return (x, y), h


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


class VAE(GenerativeModel):
    """A model with one player that updates two networks."""

    averaged = ("decoder",)

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__({"encoder": encoder, "decoder": decoder}, **kwargs)

    def players(self):
        return [Player("vae", self.error, [*self.encoder.trainable_variables, *self.decoder.trainable_variables])]

    def error(self, x, z):
        code = self.encoder(x, training=True) + 0.1 * z
        return mean(tf.square(self.decoder(code, training=True) - x))

    @classmethod
    def small(cls, dim=2, latent_dim=2, **kwargs):
        networks = []
        for sizes in ((dim, latent_dim), (latent_dim, dim)):
            (x, _), h = dense(sizes[:1], sizes[1])
            networks.append(keras.Model(x, h))
        return cls(*networks, **{"seed": 0, **kwargs})

    @classmethod
    def build_networks(cls, builder):
        model = cls.small(builder.shape[0], builder.latent_dim)
        return {"encoder": model.encoder, "decoder": model.decoder}


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
        vae = VAE.small()
        x, z = keras.Input((2,)), keras.Input((2,))
        score = keras.layers.Dense(1)(keras.layers.Concatenate()([x, z]))
        return cls(vae.decoder, keras.Model((x, z), score), vae.encoder, **{"seed": 0, **kwargs})
