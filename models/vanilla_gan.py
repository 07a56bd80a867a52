"""The original GAN."""

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, minimax_generator, non_saturating_generator


class VanillaGAN(CrossEntropyGAN):
    """The original generative adversarial network, minimax or non-saturating.

    Algorithm 1 of Goodfellow et al. (2014). With raw scores D and s the sigmoid,

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))]
        L_G =  E[log(1 - s(D(G(z))))]    saturating: the minimax game of equation 1
        L_G = -E[log s(D(G(z)))]         non-saturating, end of Section 3: same fixed point, stronger early gradients

    At the optimum of D, L_D is log 4 - 2 JSD(p_data, p_G) (Section 4.1).

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        saturating: Whether G plays the minimax game. Defaults to False, as in the authors' experiments.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Differs from the paper: `for_images` builds convolutional networks by default. With network="mlp" it builds
    perceptrons with ReLU units instead of the paper's maxout and dropout. The optimizer is Adam instead of the paper's
    momentum schedule.

    References:
        Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
        Authors' code, https://github.com/goodfeli/adversarial
    """

    def __init__(self, generator, discriminator, *, saturating: bool = False, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.saturating = saturating

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        fake = self.D(self.G(z))
        return minimax_generator(fake) if self.saturating else non_saturating_generator(fake)
