"""R2GAN: a penalty on D's gradient at generated data, with which the game converges."""

from gan_zoo.gan import GAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.regularization import ZeroCentered


class R2GAN(ZeroCentered, GAN):
    """GAN with the R2 regularizer: D's gradient at generated data is drawn to zero.

    The non-saturating game with the second penalty of Section 4.1 of Mescheder et al. (2018):

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + gamma / 2 E[||grad D(G(z))||^2]
        L_G = -E[log s(D(G(z)))]

    Why: as with R1 (`R1GAN`), a D that is flat where it can tell nothing lets both players come to rest at the
    solution. There, samples and data are the same points, so that it makes no difference to convergence at which of
    them the penalty is taken; before, R2 flattens D where G is, and R1 where G should be. The points are constants of
    the penalty: it moves D, never G.

    The gradient is that of the raw score, before the sigmoid, and that of each example's own score, so D may not use
    batch normalization.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gamma: The penalty's weight, of which half is taken, as in the paper. Defaults to 10. The authors' code takes no
            half: its `reg_param: 10` is gamma=20.
        interval: D takes the penalty in every `interval`-th of its turns, times `interval`, and saves its computation
            in the others: the lazy regularization of Karras et al. (2020), Appendix B. Defaults to 1, every turn.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If `gamma` is not a number from 0 up, or `interval` not a whole number from 1 up.

    Logs:
        penalty: E[||grad D(G(z))||^2]. With an interval it is `interval` times that in turns that take it and 0 in the
            others, which is the same in the mean.

    Differs from the paper: none known in the losses; the networks are this library's, smaller by default.

    References:
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
        Authors' code, https://github.com/LMescheder/GAN_stability
        Karras et al., 2020, https://arxiv.org/abs/1912.04958
    """

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        return cross_entropy_discriminator(*self.D(x, fake)) + self.regularizer(fake)

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
