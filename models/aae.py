"""Adversarial autoencoder: a discriminator on codes makes their distribution that of the prior."""

import dataclasses
import math

import keras
import tensorflow as tf

from gan_zoo.losses import cross_entropy_discriminator, mean, non_saturating_generator, reconstruction_error
from gan_zoo.model import GenerativeModel
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.players import Player
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError

_COMPONENTS = 10
"""Number of components of the priors in the plane for a model without labels: those of the paper's MNIST."""


class AAE(GenerativeModel):
    """Adversarial autoencoder.

    Section 2 of Makhzani et al. (2016). Each step has three phases on one minibatch, each with its own optimizer:

        autoencoder:    E[(x - Dec(Enc(x)))^2], a mean over pixels, for Enc and Dec
        discriminator:  -E[log s(D(z))] - E[log(1 - s(D(Enc(x))))], z ~ p(z), for D
        generator:      -E[log s(D(Enc(x)))], for Enc

    D sees codes, not images. The third phase moves the distribution of all codes to the prior p(z), as the KL term of a
    VAE does. But it needs samples of the prior only, not its density, and the encoder is deterministic.

    Priors, times c:

        "normal"      N(0, I)
        "uniform"     U[-1, 1]^Z
        "mixture"     ten petals around 0 in the plane. Petal k is a normal distribution with its mean at the distance
                      1.4 and the angle 2 pi k / 10, and standard deviations of 0.5 along this direction and 0.1 across
        "swiss_roll"  a spiral of two turns in the plane, 3 t (cos 4 pi t, sin 4 pi t), t = sqrt(u), u ~ U[0, 1]

    With `classes`, D also sees the label of the code (Section 2.3). "mixture" then has a petal for each
    of the K classes, and "swiss_roll" is cut into K parts of about equal length: label k draws codes from petal k, or
    with u from k / K to (k + 1) / K. So the label chooses the place of a code. The other priors do not depend on the
    label, so the code of an image then says nothing about its class. The decoder reads the label too, as in Section 4.

    Args:
        encoder: Maps images, [B, H, W, C], to codes, [B, Z], without an activation at its end.
        decoder: Maps codes, [B, Z], to images, [B, H, W, C] in [-1, 1]; with `classes` it maps (z, y).
        discriminator: Maps codes, [B, Z], to raw scores, [B, 1]; with `classes` it maps (z, y). That of `for_images` is
            a perceptron without normalization, which joins the label to the code unless `condition` is "projection".
        prior: See above. Defaults to "normal".
        prior_scale: c, for "normal" the standard deviation. Defaults to 1.
        **kwargs: As for `GenerativeModel`.

    Raises:
        UserError: If `prior_scale` is not above 0, if there is no such prior, or if the prior is in the plane and Z
            is not 2.

    Optimizers: Adam for the autoencoder, and SGD with little momentum for the two adversaries. Adam's steps do not
    shrink near the equilibrium: with Adam for all players, the codes kept circling around the prior. If the rate of the
    autoencoder is too high, they spread far beyond it.

    Differs from the paper: Adam instead of SGD in the first phase; the rates, the networks and the numbers of the
    priors in the plane are this library's. With "mixture" and "swiss_roll", the paper's decoder reads the code alone.

    References:
        Makhzani et al., 2016, https://arxiv.org/abs/1511.05644
    """

    averaged = ("decoder", "encoder")
    priors = ("normal", "uniform", "mixture", "swiss_roll")

    def __init__(self, encoder, decoder, discriminator, *, prior_scale=1.0, **kwargs):
        super().__init__({"encoder": encoder, "decoder": decoder, "discriminator": discriminator}, **kwargs)
        if self.prior in _PLACES and self.latent_dim != 2:
            raise UserError(f"prior={self.prior!r} is in the plane: set latent_dim=2, not {self.latent_dim}.")
        self.prior_scale = number("prior_scale", prior_scale, positive=True)

    def default_optimizer(self, player):
        if player == "autoencoder":
            return optimizers.Adam(2e-4, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
        return keras.optimizers.SGD(0.1, momentum=0.1)

    def players(self):
        encoder, decoder = self.encoder.trainable_variables, self.decoder.trainable_variables
        return [
            Player("autoencoder", self.autoencoder_loss, [*encoder, *decoder]),
            Player("discriminator", self.discriminator_loss, self.discriminator.trainable_variables),
            Player("generator", self.generator_loss, encoder),
        ]

    def sample_latent(self, n, seed=None, *, label=None):
        drawn = super().sample_latent(n, seed, label=label)
        z, labels = (drawn, None) if self.classes is None else drawn
        if self.prior in _PLACES:
            z = _PLACES[self.prior](*_component(z, labels), self.classes or _COMPONENTS)
        return self.prior_scale * z if labels is None else (self.prior_scale * z, labels)

    def codes_of(self, x):
        """The codes of a minibatch in training mode, in the structure of latents: [B, Z], or with `classes` (z, y)."""
        code = self.code_of(images_of(x), training=True)
        return code if self.classes is None else (code, x[1])

    def scores(self, z):
        """D in training mode for latents, [B, Z], or (z, y): raw scores, float32, [B, 1]."""
        return at_least_float32(self.discriminator(z, training=True))

    def autoencoder_loss(self, x, z):
        return mean(reconstruction_error(images_of(x), self.decoder(self.codes_of(x), training=True), "mse"))

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(self.scores(z), self.scores(self.codes_of(x)))

    def generator_loss(self, x, z):
        return non_saturating_generator(self.scores(self.codes_of(x)))

    @classmethod
    def build_networks(cls, builder):
        """An encoder and a decoder of the family, and a perceptron for codes."""
        networks = {"encoder": builder.encoder(builder.latent_dim), "decoder": builder.generator()}
        return {**networks, "discriminator": _for_codes(builder).discriminator()}


def _for_codes(builder):
    """A builder of perceptrons without normalization for codes, which join labels to codes by default."""
    condition = builder.condition or ("concat" if builder.classes else None)
    settings = {"shape": (builder.latent_dim,), "network": "mlp", "norm": "none", "g_norm": None}
    return dataclasses.replace(builder, **settings, condition=condition)


def _component(z, labels):
    """Returns two numbers from U[0, 1] and the index of a component, for z from U[-1, 1]^2.

    Without labels, the first number determines the component by its first digit, and its other digits remain.
    """
    first, second = tf.unstack(0.5 * (z + 1.0), axis=1)
    if labels is not None:
        return first, second, tf.cast(labels, z.dtype)
    index = tf.minimum(tf.floor(_COMPONENTS * first), _COMPONENTS - 1.0)
    return _COMPONENTS * first - index, second, index


def _petal(first, second, index, count):
    # Two independent normal numbers from two uniform ones: Box and Muller (1958).
    length = tf.sqrt(-2.0 * tf.math.log(tf.maximum(1.0 - first, 1e-7)))
    along = 1.4 + 0.5 * length * tf.cos(2.0 * math.pi * second)
    across = 0.1 * length * tf.sin(2.0 * math.pi * second)
    angle = 2.0 * math.pi * index / count
    x, y = along * tf.cos(angle) - across * tf.sin(angle), along * tf.sin(angle) + across * tf.cos(angle)
    return tf.stack([x, y], axis=1)


def _spiral(first, second, index, count):
    t = tf.sqrt((index + first) / count)
    return 3.0 * t[:, tf.newaxis] * tf.stack([tf.cos(4.0 * math.pi * t), tf.sin(4.0 * math.pi * t)], axis=1)


_PLACES = {"mixture": _petal, "swiss_roll": _spiral}
"""Functions of two numbers in [0, 1], the index of the component and their number, that return codes, [n, 2]."""
