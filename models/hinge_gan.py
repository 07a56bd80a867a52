"""The hinge GAN of geometric GAN and SN-GAN."""

from gan_zoo.gan import GAN
from gan_zoo.losses import hinge_discriminator, hinge_generator
from gan_zoo.nn import optimizers


class HingeGAN(GAN):
    """Hinge GAN.

    The support vector form of Lim and Ye (2017), given in equations 16 and 17 of Miyato et al. (2018):

        L_D = E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]
        L_G = -E[D(G(z))]

    Only D's own Lipschitz constant bounds D. The papers' networks use spectral normalization, which `for_images`
    builds by default.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        n_critic: Discriminator steps per generator step. Defaults to 1; Miyato et al. (2018) also use 5.
        **kwargs: As for `GAN`.

    Differs from the paper: none known in the losses; the networks are this library's.

    References:
        Lim and Ye, 2017, https://arxiv.org/abs/1705.02894
        Miyato et al., 2018, https://arxiv.org/abs/1802.05957
        Authors' code, https://github.com/pfnet-research/sngan_projection
    """

    discriminator_norm = "spectral"

    def default_optimizer(self, player):
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return hinge_discriminator(*self.D(x, self.G(z)))

    def generator_loss(self, x, z):
        return hinge_generator(self.D(self.G(z)))
