"""LSGAN: least squares instead of cross entropy."""

from gan_zoo.gan import GAN
from gan_zoo.losses import least_squares_discriminator, least_squares_generator
from gan_zoo.nn import optimizers
from gan_zoo.util.checks import number


class LSGAN(GAN):
    """Least squares GAN.

    Equation 2 of Mao et al. (2017), on raw scores (no sigmoid):

        L_D = E[(D(x) - b)^2] / 2 + E[(D(G(z)) - a)^2] / 2
        L_G = E[(D(G(z)) - c)^2] / 2

    With b - c = 1 and b - a = 2, for example (a, b, c) = (-1, 1, 0), G minimises the Pearson chi^2 divergence (Section
    3.3). With (0, 1, 1), G's target is the label of real data (equation 9).

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        a: D's target for generated images. Defaults to 0.
        b: D's target for real images. Defaults to 1.
        c: G's target. Defaults to 1.
        prior: p(z). Defaults to "uniform", as in the authors' code.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If a, b or c is not a finite number.

    Differs from the paper: the learning rate is DCGAN's 2e-4. The paper's LSUN runs use 1e-3, with losses that are sums
    over the batch in the authors' code.

    References:
        Mao et al., 2017, https://arxiv.org/abs/1611.04076
        Authors' code, https://github.com/xudonmao/LSGAN
    """

    def __init__(self, generator, discriminator, *, a=0.0, b=1.0, c=1.0, prior: str = "uniform", **kwargs):
        super().__init__(generator, discriminator, prior=prior, **kwargs)
        self.a = number("a", a)
        self.b = number("b", b)
        self.c = number("c", c)

    @property
    def score_threshold(self):
        return (self.a + self.b) / 2

    def default_optimizer(self, player):
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return least_squares_discriminator(*self.D(x, self.G(z)), self.a, self.b)

    def generator_loss(self, x, z):
        return least_squares_generator(self.D(self.G(z)), self.c)
