"""An example of a user's file: five systems that are not a generator against a discriminator, each in a few lines."""

import math

import tensorflow as tf

from gan_zoo import GAN, GenerativeModel, Player
from gan_zoo.losses import cross_entropy_discriminator, mean, non_saturating_generator


class VAE(GenerativeModel):
    """A variational autoencoder: one player updates two networks. Kingma and Welling (2014), equation 10."""

    averaged = ("decoder",)

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__({"encoder": encoder, "decoder": decoder}, **kwargs)

    @classmethod
    def build_networks(cls, builder):
        return {"encoder": builder.encoder(2 * builder.latent_dim), "decoder": builder.generator()}

    def players(self):
        variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        return [Player("vae", self.negative_elbo, variables)]

    def negative_elbo(self, x, z):
        mu, log_variance = tf.split(self.encoder(x, training=True), 2, axis=-1)
        made = self.decoder(mu + tf.exp(0.5 * log_variance) * z, training=True)
        error = 0.5 * tf.reduce_sum(tf.square(x - made), axis=list(range(1, x.shape.rank)))
        kl = 0.5 * tf.reduce_sum(tf.square(mu) + tf.exp(log_variance) - 1 - log_variance, axis=-1)
        return tf.reduce_mean(error + kl)


class EncoderGAN(GAN):
    """A GAN with an encoder. D separates (x, E(x)) from (G(z), z); G and E are one player. Donahue et al. (2017)."""

    def __init__(self, generator, discriminator, encoder, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.encoder = encoder

    @classmethod
    def build_networks(cls, builder):
        size = math.prod(builder.shape) + builder.latent_dim
        networks = {"generator": builder.generator(), "discriminator": builder.mlp(size, 1)}
        return {**networks, "encoder": builder.encoder(builder.latent_dim)}

    @property
    def generator_variables(self):
        return [*self.generator.trainable_variables, *self.encoder.trainable_variables]

    def scores(self, x, z):
        real, fake = (x, self.encoder(x, training=True)), (self.G(z), z)
        return [self.D(tf.concat([tf.reshape(a, [-1, math.prod(a.shape[1:])]), b], 1)) for a, b in (real, fake)]

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.scores(x, z))

    def generator_loss(self, x, z):
        return cross_entropy_discriminator(*reversed(self.scores(x, z)))


class AAE(GenerativeModel):
    """An adversarial autoencoder: three players on the variables of three networks. Makhzani et al. (2016)."""

    averaged = ("decoder",)

    def __init__(self, encoder, decoder, discriminator, **kwargs):
        super().__init__({"encoder": encoder, "decoder": decoder, "discriminator": discriminator}, **kwargs)

    @classmethod
    def build_networks(cls, builder):
        networks = {"encoder": builder.encoder(builder.latent_dim), "decoder": builder.generator()}
        return {**networks, "discriminator": builder.mlp(builder.latent_dim, 1)}

    def players(self):
        encoder, decoder = self.encoder.trainable_variables, self.decoder.trainable_variables
        return [
            Player("autoencoder", lambda x, z: mean(tf.square(x - self.decoder(self.E(x)))), [*encoder, *decoder]),
            Player("discriminator", self.code_loss, self.discriminator.trainable_variables, turns=2),
            Player("generator", lambda x, z: non_saturating_generator(self.discriminator(self.E(x))), encoder),
        ]

    def E(self, x):
        return self.encoder(x, training=True)

    def code_loss(self, x, z):
        return cross_entropy_discriminator(self.discriminator(z), self.discriminator(self.E(x)))


class ClassifierGAN(GAN):
    """A GAN with a second head on the discriminator's features, which predicts the class. After Odena et al. (2017)."""

    def __init__(self, generator, discriminator, classifier, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.classifier = classifier

    @classmethod
    def build_networks(cls, builder):
        networks = super().build_networks(builder)
        size = networks["discriminator"].get_layer("features").output.shape[-1]
        return {**networks, "classifier": builder.mlp(size, builder.classes)}

    @property
    def discriminator_variables(self):
        return [*self.discriminator.trainable_variables, *self.classifier.trainable_variables]

    def class_loss(self, x):
        logits = self.classifier(self.features(x), training=True)
        return mean(tf.nn.sparse_softmax_cross_entropy_with_logits(x[1], logits))

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z))) + self.class_loss(x)

    def generator_loss(self, x, z):
        fake = self.G(z)
        return non_saturating_generator(self.D(fake)) + self.class_loss(fake)


class TwoGenerators(GAN):
    """Two generators against one discriminator. Each makes half of the samples."""

    averaged = ("generator", "second")

    def __init__(self, generator, discriminator, second, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.second = second

    @classmethod
    def build_networks(cls, builder):
        return {**super().build_networks(builder), "second": builder.generator()}

    def players(self):
        return [*super().players(), Player("second", self.second_loss, self.second.trainable_variables)]

    def discriminator_loss(self, x, z):
        real, one, other = self.D(x, self.G(z), self.second(z, training=True))
        return cross_entropy_discriminator(real, tf.concat([one, other], 0))

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))

    def second_loss(self, x, z):
        return non_saturating_generator(self.D(self.second(z, training=True)))

    def call(self, z):
        first, second = (network(z, training=False) for network in (self.generator, self.second))
        return tf.where(tf.reshape(z[:, 0] > 0, [-1, *[1] * (first.shape.rank - 1)]), first, second)
