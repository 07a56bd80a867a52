"""DRAGAN: a gradient penalty around the data only."""

import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.nn import optimizers
from gan_zoo.penalties import gradient_norm, perturb, squared_gradient_norm
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class DRAGAN(CrossEntropyGAN):
    """Deep regret analytic GAN.

    Kodali et al. (2017) add a penalty at noisy real data, x' = x + delta, to the non-saturating game:

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + lambda E[P(||grad D(x')||_2)]
        L_G = -E[log s(D(G(z)))]

        P(n) = n^2                  form 1
        P(n) = max(0, n^2 - k)      form 2
        P(n) = (n - k)^2            form 3, the final one

    with delta ~ N(0, (c std(x))^2 I), where std(x) is the standard deviation of all values in the minibatch. The
    penalty is per example, so D may not use batch normalization.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gp_weight: lambda. Defaults to 10.
        form: 1, 2 or 3. Defaults to 3.
        k: The target of the norm (form 3), or the largest squared norm without a penalty (form 2). Defaults to 1.
        noise_scale: c. Defaults to 0.5, from the authors' code, for images in [-1, 1].
        prior: p(z). Defaults to "uniform", as in the authors' code.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `form` is not 1, 2 or 3, or if another number is not finite or is below 0.

    Differs from the authors' code: the noise is Gaussian with mean 0, as in the paper. The code adds one-sided noise,
    c std(x) U[0, 1], and interpolates between x and x'.

    References:
        Kodali et al., 2017, https://arxiv.org/abs/1705.07215
        Authors' code, https://github.com/kodalinaveen3/DRAGAN
    """

    discriminator_norm = "none"
    gradient_penalty_argument = "gp_weight"

    def __init__(
        self, generator, discriminator, *, gp_weight=10.0, form=3, k=1.0, noise_scale=0.5, prior="uniform", **kwargs
    ):
        super().__init__(generator, discriminator, prior=prior, **kwargs)
        if form not in (1, 2, 3):
            raise UserError(f"form must be 1, 2 or 3, not {form!r}.")
        self.gp_weight = number("gp_weight", gp_weight, least=0)
        self.form = form
        self.k = number("k", k, least=0)
        self.noise_scale = number("noise_scale", noise_scale, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9, epsilon=1e-8)

    def penalty(self, x):
        """E[P(||grad D(x)||_2)] at the points x, [B, ...]."""
        if self.form == 3:
            return tf.reduce_mean(tf.square(gradient_norm(self.D, x, usual=self.k) - self.k))
        squared = squared_gradient_norm(self.D, x)
        return tf.reduce_mean(squared if self.form == 1 else tf.nn.relu(squared - self.k))

    def discriminator_loss(self, x, z):
        penalty = self.penalty(perturb(x, self.noise_scale, self.random))
        self.record("penalty", penalty)
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label) + self.gp_weight * penalty

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
