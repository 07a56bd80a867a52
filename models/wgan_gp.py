"""WGAN-GP: the Wasserstein distance, with the critic kept Lipschitz by a gradient penalty."""

from gan_zoo.gan import GAN
from gan_zoo.losses import wasserstein_discriminator, wasserstein_generator
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.penalties import gradient_penalty, interpolate
from gan_zoo.util.checks import number


class WGANGP(GAN):
    """Wasserstein GAN with gradient penalty.

    Algorithm 1 of Gulrajani et al. (2017). With e ~ U[0, 1] per example and x_hat = e x + (1 - e) G(z),

        L_D = E[D(G(z))] - E[D(x)] + lambda E[(||grad D(x_hat)||_2 - 1)^2]
        L_G = -E[D(G(z))]

    The penalty is per example, so D may not use batch normalization.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: The critic: maps images, [B, H, W, C], to scores, [B, 1].
        gp_weight: lambda. Defaults to 10, Section 4; the authors' 2-D toys use 0.1.
        n_critic: Critic steps per generator step. Defaults to 5, Algorithm 1.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If `gp_weight` is not a number from 0 up.

    Differs from the paper: Adam's beta_1 is 0.5, as in the authors' code for convolutional networks and toys. Algorithm
    1 uses 0.

    References:
        Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028
        Authors' code, https://github.com/igul222/improved_wgan_training
    """

    score_threshold = None
    discriminator_norm = "none"
    gradient_penalty_argument = "gp_weight"

    def __init__(self, generator, discriminator, *, gp_weight: float = 10.0, n_critic: int = 5, **kwargs):
        super().__init__(generator, discriminator, n_critic=n_critic, **kwargs)
        self.gp_weight = number("gp_weight", gp_weight, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.9, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        x_hat = interpolate(x, fake, self.random.uniform([batch_size(x)]))
        penalty = gradient_penalty(self.D, x_hat)
        self.record("penalty", penalty)
        return wasserstein_discriminator(*self.D(x, fake)) + self.gp_weight * penalty

    def generator_loss(self, x, z):
        return wasserstein_generator(self.D(self.G(z)))
