"""GAN-GP: the non-saturating game with the gradient penalty of WGAN-GP."""

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.penalties import gradient_penalty, interpolate
from gan_zoo.util.checks import number


class GANGP(CrossEntropyGAN):
    """Non-saturating GAN with a gradient penalty.

    Fedus et al. (2018) use the losses of Goodfellow et al. (2014) and add the penalty of Gulrajani et al. (2017). With
    e ~ U[0, 1] per example and x_hat = e x + (1 - e) G(z),

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + lambda E[(||grad D(x_hat)||_2 - 1)^2]
        L_G = -E[log s(D(G(z)))]

    Why: the penalty was designed for the Wasserstein distance, whose critic must be Lipschitz, but it also helps here.
    It keeps D from becoming a step function between data and samples. D then has a gradient that G can follow, even
    where the supports of data and samples are disjoint and the divergence is constant. So the gain of WGAN-GP is not
    necessarily due to the Wasserstein distance.

    The gradient is that of the raw score, before the sigmoid. The penalty is per example, so D may not use batch
    normalization.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gp_weight: lambda. Defaults to 10, as for WGAN-GP.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `gp_weight` is not a number from 0 up.

    Logs:
        penalty: E[(||grad D(x_hat)||_2 - 1)^2].

    Differs from the paper: the paper's D is the probability, s(D) here; the penalty is on the raw score, as in
    implementations of the paper. Adam's learning rate is that of WGAN-GP and its betas are those of DCGAN.

    References:
        Fedus et al., 2018, https://arxiv.org/abs/1710.08446
        Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028
    """

    discriminator_norm = "none"
    gradient_penalty_argument = "gp_weight"

    def __init__(self, generator, discriminator, *, gp_weight: float = 10.0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.gp_weight = number("gp_weight", gp_weight, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        penalty = gradient_penalty(self.D, interpolate(x, fake, self.random.uniform([batch_size(x)])))
        self.record("penalty", penalty)
        return cross_entropy_discriminator(*self.D(x, fake), self.real_label) + self.gp_weight * penalty

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
