"""WGAN: the Wasserstein distance, with the critic kept Lipschitz by clipping its weights."""

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.losses import wasserstein_discriminator, wasserstein_generator
from gan_zoo.nn import optimizers
from gan_zoo.util.checks import number


class WGAN(GAN):
    """Wasserstein GAN with weight clipping.

    Algorithm 1 of Arjovsky et al. (2017):

        L_D = E[D(G(z))] - E[D(x)],  then every weight w of D becomes clip(w, -c, c)
        L_G = -E[D(G(z))]

    -L_D estimates the Wasserstein-1 distance up to an unknown factor, which depends on the clipping.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: The critic: maps images, [B, H, W, C], to scores, [B, 1]. Weights of batch normalization, if
            there are any, are clipped like all others, as in the authors' code.
        clip: c. Defaults to 0.01, Algorithm 1.
        n_critic: Critic steps per generator step. Defaults to 5, Algorithm 1.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If `clip` is not above 0.

    Differs from the authors' code: clipping comes after the update, as in Algorithm 1. The code clips before it, and
    takes 100 critic steps in the first 25 generator steps and in every 500th.

    References:
        Arjovsky et al., 2017, https://arxiv.org/abs/1701.07875
        Authors' code, https://github.com/martinarjovsky/WassersteinGAN
    """

    score_threshold = None

    def __init__(self, generator, discriminator, *, clip: float = 0.01, n_critic: int = 5, **kwargs):
        super().__init__(generator, discriminator, n_critic=n_critic, **kwargs)
        self.clip = number("clip", clip, positive=True)

    def default_optimizer(self, player):
        # Algorithm 1. The decay is that of the optimizer in the authors' code; Keras's own default is 0.9.
        return optimizers.RMSprop(5e-5, rho=0.99, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return wasserstein_discriminator(*self.D(x, self.G(z)))

    def generator_loss(self, x, z):
        return wasserstein_generator(self.D(self.G(z)))

    def discriminator_step(self, x):
        super().discriminator_step(x)
        for weight in self.discriminator_variables:
            weight.assign(tf.clip_by_value(weight.value, -self.clip, self.clip))
