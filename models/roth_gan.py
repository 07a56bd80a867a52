"""RothGAN: a penalty on D's gradient that has the effect of instance noise."""

import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.nn import optimizers
from gan_zoo.nn.optimizers import updates
from gan_zoo.penalties import js_regularizer
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class RothGAN(CrossEntropyGAN):
    """GAN with the Jensen-Shannon regularizer of Roth et al. (2017).

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))] + gamma / 2 Omega
        L_G = -E[log s(D(G(z)))]

        Omega = E[(1 - s(D(x)))^2 ||grad D(x)||^2] + E[s(D(G(z)))^2 ||grad D(G(z))||^2]

    Why: noise n ~ N(0, gamma I) on all of D's inputs spreads data and samples until they overlap, so that the
    divergence between them has a gradient. But helpful noise must cover the whole space, and a few draws estimate its
    mean effect poorly. For small gamma, the mean effect has a formula. To first order in gamma,

        E_n[-log s(D(x + n))] = -log s(D) + gamma / 2 (s (1 - s) ||grad D||^2 - (1 - s) lap D)

    with s = s(D(x)). For samples the formula is the same with + s lap D as the last term. At the optimum of D,
    s = p / (p + q) for densities p of data and q of samples. There the Laplacians cancel, and the two norms add up to
    the integral of p q / (p + q) ||grad D||^2, which equals Omega. So gamma is the variance of the noise that the
    penalty replaces. The weights of the norms are D's own errors. So, unlike R1's (`R1GAN`), this penalty allows a
    large gradient where D is certain and correct.

    The gradient is that of each example's own raw score, so D may not use batch normalization. The weights are also
    differentiated, as in the authors' code.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gamma: The variance of the noise, in squared units of the data. Defaults to 2, the initial value in the commands
            of the authors' code.
        anneal_turns: Number of D's turns in which gamma falls exponentially to a hundredth of its value; it stays there
            afterwards. In the authors' commands it falls over the whole run. Defaults to 0: gamma is constant.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `gamma` is not a number from 0 up, or if `anneal_turns` is not a whole number from 0 up.

    Logs:
        penalty: Omega.

    Differs from the authors' code: D has no batch normalization, and moves before G.

    References:
        Roth et al., 2017, https://arxiv.org/abs/1705.09367
        Authors' code, https://github.com/rothk/Stabilizing_GANs
    """

    discriminator_norm = "none"
    gradient_penalty_argument = "gamma"

    def __init__(self, generator, discriminator, *, gamma: float = 2.0, anneal_turns: int = 0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        if not isinstance(anneal_turns, int) or anneal_turns < 0:
            raise UserError(f"anneal_turns must be a whole number from 0 up, not {anneal_turns!r}.")
        self.gamma = number("gamma", gamma, least=0)
        self.anneal_turns = anneal_turns

    def default_optimizer(self, player):
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def current_gamma(self, dtype=tf.float32):
        if not self.anneal_turns:
            return self.gamma
        gone = tf.cast(updates(getattr(self, "d_optimizer", None)), dtype) / self.anneal_turns
        return self.gamma * 0.01 ** tf.minimum(gone, 1.0)

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        penalty = js_regularizer(self.D, x, fake)
        self.record("penalty", penalty)
        return (
            cross_entropy_discriminator(*self.D(x, fake), self.real_label)
            + 0.5 * self.current_gamma(penalty.dtype) * penalty
        )

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))
