"""Variational autoencoder: an encoder and a decoder that maximise a bound of the likelihood."""

import math

import tensorflow as tf

from gan_zoo.losses import mean
from gan_zoo.model import GenerativeModel
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.players import Player
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError

_SCALE = 0.5
_NEAREST = 1e-6
"""The decoder's outputs are kept this far from -1 and 1, where the log-likelihood is infinite."""


class VAE(GenerativeModel):
    """Variational autoencoder.

    Equation 10 of Kingma and Welling (2014), with one draw for each example. The encoder returns the mean mu and the
    logarithm of the variances s^2 of the code, and the decoder f the distribution of x:

        q(z|x) = N(mu(x), diag s(x)^2),  z = mu(x) + s(x) e,  e ~ N(0, I)
        -ELBO = E[-log p(x|z) + KL(q(z|x) || N(0, I))]
        KL = 1/2 sum over codes of (mu^2 + s^2 - 1 - log s^2)

        -log p(x|z) = ||x - f(z)||^2 / (2 c^2) + d/2 log(2 pi c^2)              "gaussian", for d numbers
        -log p(x|z) = -sum over pixels of (b log q + (1 - b) log(1 - q))        "bernoulli", b = (x + 1) / 2

    Both terms are sums over pixels and codes, and the loss is their mean over the minibatch. If one of them were a mean
    over pixels, the other would dominate, and the code would carry no information.

    One player, "vae", updates both networks. `vae_loss` is -ELBO in nats for each example. On held-out data, `evaluate`
    and the `validation_data` of `fit` return it as the test ELBO. For "gaussian" it is that of a density in the units
    of the images, and it can be negative.

    With "bernoulli", q = (f(z) + 1) / 2 are the probabilities of white pixels: images are in [-1, 1], and so is the
    output of a decoder that ends in tanh. Since (tanh(a) + 1) / 2 is the sigmoid of 2 a, the logits are log (1 + f) -
    log (1 - f), and those of a tanh are 2 a. f is kept within 1e-6 of -1 and 1, so logits are between -14.5 and 14.5.
    Samples are the probabilities of the pixels, mapped to [-1, 1]. Grey pixels count as probabilities, as usual.

    With `classes` the decoder reads the label, and the encoder does not: the bound is that of log p(x|y).

    The code of x is mu(x): see `encode` and `reconstruct`.

    Args:
        encoder: Maps images, [B, H, W, C], to (mu, log s^2) side by side, [B, 2 Z].
        decoder: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1]; with `classes` it maps (z, y).
        likelihood: "gaussian" or "bernoulli". Defaults to "gaussian".
        scale: c, the standard deviation of a pixel, for "gaussian" only. A small c gives sharp reconstructions, and
            codes that are less like the prior. None is 0.5, a choice of this library; that of `for_points` is 0.1.
        **kwargs: As for `GenerativeModel`; the prior is normal.

    Raises:
        UserError: If there is no such likelihood, if it is "bernoulli" and the examples are points or `scale` is given,
            if `scale` is not above 0, or if the prior is not normal.

    Logs:
        reconstruction: E[-log p(x|z)].
        kl: E[KL].

    Differs from the paper: Adam instead of Adagrad. The networks are this library's.

    References:
        Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114
    """

    averaged = ("decoder", "encoder")
    priors = ("normal",)

    def __init__(self, encoder, decoder, *, likelihood="gaussian", scale=None, **kwargs):
        super().__init__({"encoder": encoder, "decoder": decoder}, **kwargs)
        if likelihood not in ("gaussian", "bernoulli"):
            raise UserError(f"likelihood must be 'gaussian' or 'bernoulli', not {likelihood!r}.")
        if likelihood == "bernoulli" and len(self.example_shape or (0, 0, 0)) != 3:
            raise UserError("likelihood='bernoulli' is for pixels of images: take likelihood='gaussian' for points.")
        if likelihood == "bernoulli" and scale is not None:
            raise UserError(f"scale={scale!r} is for likelihood='gaussian': leave it out with 'bernoulli'.")
        self.likelihood = likelihood
        self.scale = None if scale is None else number("scale", scale, positive=True)

    def default_optimizer(self, player):
        return optimizers.Adam(1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8)

    def players(self):
        return [
            Player("vae", self.negative_elbo, [*self.encoder.trainable_variables, *self.decoder.trainable_variables])
        ]

    def posterior(self, x, training=True):
        """mu(x) and log s(x)^2, each [B, Z], for images without labels."""
        return tf.split(at_least_float32(self.encoder(x, training=training)), 2, axis=-1)

    def code_of(self, x, training=False):
        return self.posterior(x, training)[0]

    def negative_elbo(self, x, z):
        """-ELBO on a minibatch x and as many draws z of e."""
        mu, log_variance = self.posterior(images_of(x))
        noise, *labels = (z,) if self.classes is None else z
        code = mu + tf.exp(0.5 * log_variance) * tf.cast(noise, mu.dtype)
        made = at_least_float32(self.decoder((code, *labels) if labels else code, training=True))
        errors = negative_log_likelihood(tf.cast(images_of(x), made.dtype), made, self.likelihood, self.scale or _SCALE)
        kl = mean(divergence(mu, log_variance))
        self.record("reconstruction", mean(errors))
        self.record("kl", kl)
        return mean(errors) + kl

    @classmethod
    def build_networks(cls, builder):
        """An encoder and a decoder of the family."""
        if builder.condition or builder.minibatch_discrimination:
            raise UserError("condition and minibatch_discrimination are for discriminators: leave them out for a VAE.")
        return {"encoder": builder.encoder(2 * builder.latent_dim), "decoder": builder.generator()}

    @classmethod
    def for_points(cls, dim=2, *, scale=0.1, **kwargs):
        """Like `GenerativeModel.for_points`, with a standard deviation of 0.1."""
        return super().for_points(dim, scale=scale, **kwargs)


def divergence(mu: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    """KL(N(mu, s^2) || N(0, 1)), summed over the last axis, [B]: Kingma and Welling (2014), Appendix B."""
    return 0.5 * tf.reduce_sum(tf.square(mu) + tf.exp(log_variance) - 1.0 - log_variance, axis=-1)


def negative_log_likelihood(x: tf.Tensor, made: tf.Tensor, likelihood: str, scale: float) -> tf.Tensor:
    """-log p(x|z) of each example, [B], given the decoder's outputs: see `VAE`."""
    axes = list(range(1, x.shape.rank))
    if likelihood == "gaussian":
        squares = tf.math.squared_difference(x, made) / (2.0 * scale**2)
        return tf.reduce_sum(squares + 0.5 * math.log(2.0 * math.pi * scale**2), axes)
    made = tf.clip_by_value(made, _NEAREST - 1.0, 1.0 - _NEAREST)
    white = tf.clip_by_value(0.5 * (x + 1.0), 0.0, 1.0)  # resized images overshoot
    logits = tf.math.log1p(made) - tf.math.log1p(-made)
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(white, logits), axes)
