"""R1GAN: a penalty on D's gradient at real data, which makes the game converge."""

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.zero_centered import ZeroCentered


class R1GAN(ZeroCentered, CrossEntropyGAN):
    """GAN with the R1 regularizer, which pulls D's gradient at real data to zero.

    Mescheder et al. (2018) add the penalty of their equation 9 to the non-saturating game:

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + gamma / 2 E[||grad D(x)||^2]
        L_G = -E[log s(D(G(z)))]

    Why: when samples have the distribution of the data, D cannot distinguish them and should be flat. If D still has a
    gradient there, it pushes G away again, and both players circle the solution for ever. The penalty is 0 at the
    solution and damps the circling: both players converge from nearby, even if data and samples lie on lines or
    surfaces (Section 4). A penalty with a target norm of 1, such as WGAN-GP's, still pushes G at the solution, and the
    game does not converge.

    The gradient is that of the raw score, before the sigmoid. It is also that of each example's own score, so D may not
    use batch normalization.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gamma: Weight of the penalty. The loss contains gamma / 2, as in equation 9. Defaults to 10. The authors' code
            has no factor of 1/2: its `reg_param: 10` is gamma=20.
        interval: D computes the penalty in every `interval`-th of its turns only, multiplied by `interval`. This is the
            lazy regularization of Karras et al. (2020), Appendix B, who use 16. Defaults to 1, every turn.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `gamma` is not a number from 0 up, or if `interval` is not a whole number from 1 up.

    Logs:
        penalty: E[||grad D(x)||^2]. With an interval it is `interval` times this value in turns that compute it and 0
            in the others, so its mean over turns is the same.

    Differs from the paper: none known in the losses; the networks are this library's, smaller by default.

    References:
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
        Authors' code, https://github.com/LMescheder/GAN_stability
        Karras et al., 2020, https://arxiv.org/abs/1912.04958
    """

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label) + self.regularizer(x)

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
