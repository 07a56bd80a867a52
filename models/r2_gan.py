"""R2GAN: a penalty on D's gradient at generated data, which makes the game converge."""

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.zero_centered import ZeroCentered


class R2GAN(ZeroCentered, CrossEntropyGAN):
    """GAN with the R2 regularizer, which pulls D's gradient at generated data to zero.

    Mescheder et al. (2018) add the second penalty of their Section 4.1 to the non-saturating game:

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + gamma / 2 E[||grad D(G(z))||^2]
        L_G = -E[log s(D(G(z)))]

    Why: as with R1 (`R1GAN`), both players come to rest at the solution if D is flat where it cannot distinguish
    samples from data. At the solution, samples and data are the same points, so R1 and R2 have the same effect on
    convergence. Before it, R2 flattens D at the samples, and R1 flattens it at the data. The points are constants in
    the penalty, so the penalty changes D but not G.

    The gradient is that of the raw score, before the sigmoid. It is also that of each example's own score, so D may not
    use batch normalization.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gamma: Weight of the penalty. The loss contains gamma / 2, as in the paper. Defaults to 10. The authors' code
            has no factor of 1/2: its `reg_param: 10` is gamma=20.
        interval: D computes the penalty in every `interval`-th of its turns only, multiplied by `interval`. This is the
            lazy regularization of Karras et al. (2020), Appendix B. Defaults to 1, every turn.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `gamma` is not a number from 0 up, or if `interval` is not a whole number from 1 up.

    Logs:
        penalty: E[||grad D(G(z))||^2]. With an interval it is `interval` times this value in turns that compute it and
            0 in the others, so its mean over turns is the same.

    Differs from the paper: none known in the losses; the networks are this library's, smaller by default.

    References:
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
        Authors' code, https://github.com/LMescheder/GAN_stability
        Karras et al., 2020, https://arxiv.org/abs/1912.04958
    """

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        return cross_entropy_discriminator(*self.D(x, fake), self.real_label) + self.regularizer(fake)

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
