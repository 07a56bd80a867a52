"""DCGAN: the architecture and settings that made convolutional GANs train."""

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.nn import optimizers


class DCGAN(CrossEntropyGAN):
    """Deep convolutional GAN.

    Radford et al. (2016) use the non-saturating game of Goodfellow et al. (2014),

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))]
        L_G = -E[log s(D(G(z)))]

    Their contributions are the networks (`gan_zoo.networks.dcgan`), the prior U[-1, 1]^Z, and Adam with a small
    momentum.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1]. Real and generated images are normalized as
            separate batches, as in the authors' code.
        prior: p(z). Defaults to "uniform", Section 4.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Differs from the paper: D moves before G, on the same minibatch; the authors' code moves G first.

    References:
        Radford et al., 2016, https://arxiv.org/abs/1511.06434
        Authors' code, https://github.com/Newmu/dcgan_code
    """

    def __init__(self, generator, discriminator, *, prior: str = "uniform", **kwargs):
        super().__init__(generator, discriminator, prior=prior, **kwargs)

    def default_optimizer(self, player):
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
