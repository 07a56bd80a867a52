"""R3GAN: paired scores with penalties on D's gradient at real and generated data, and plain residual networks."""

import dataclasses

import tensorflow as tf
from keras.optimizers.schedules import CosineDecay

from gan_zoo.gan import GAN
from gan_zoo.losses import mean, relativistic
from gan_zoo.nn import optimizers
from gan_zoo.penalties import scores_and_squared_norms
from gan_zoo.util.checks import number, whole


class R3GAN(GAN):
    """The paired relativistic game with R1 and R2, on plain residual networks.

    Huang et al. (2024). With r = D(x) and f = D(G(z)) paired by index,

        L_D = E[-log s(r - f)] + gamma / 2 (E[||grad D(x)||^2] + E[||grad D(G(z))||^2])
        L_G = E[-log s(f - r)]

    Why: D compares each sample with a real example, so samples of a few modes do not satisfy it. The game of pairs
    alone circles its equilibrium. Both penalties, R1 at real data and R2 at samples, damp the circling: on the
    Dirac-GAN the eigenvalues are -gamma +- sqrt(gamma^2 - 1/4). With this loss the networks need no tricks:
    `network="r3"` builds plain residual networks without normalization, see `gan_zoo.networks.r3`.

    The gradients are those of each example's own score, so D may not use batch normalization. G's turn takes a real
    minibatch of its own: one dataset batch holds `n_critic` + 1 minibatches. With labels, both members of a pair have
    the same label.

    gamma, the learning rate and beta_2 of Adam start at the values of the authors' runs. With `anneal_steps` = T they
    follow the authors' schedules. With c = (1 + cos(pi t / T)) / 2 at step t, up to T, a value from a to b is
    b + c (a - b):

        gamma: from gamma to gamma / 10;  learning rate: from 2e-4 to 5e-5;  beta_2: from 0.9 to 0.99

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gamma: Weight of both penalties at the start. The norms sum over all pixels, so larger images need a larger
            gamma. The authors' code has 0.05 for CIFAR-10 (32 pixels), the default, 2 for FFHQ at 64 pixels and 150 at
            256, and 0.5 and 1 for ImageNet at 32 and 64.
        anneal_steps: T, the number of steps of the schedules; in steps without a turn of G its rate does not change.
            The authors' 2e7 images in minibatches of 512 are 39062 steps. Defaults to 0: all values are constant.
        **kwargs: As for `GAN`. The authors' latents have 64 numbers.

    Raises:
        UserError: If `gamma` is not a number from 0 up, or `anneal_steps` is not a whole number from 0 up.

    Logs:
        r1: E[||grad D(x)||^2], without the weight.
        r2: E[||grad D(G(z))||^2], without the weight.

    Differs from the paper: the values are constant by default, and the schedules count steps, not images. There is no
    augmentation by default, where the authors' code has that of ADA with a rising probability. The half-life of the
    moving average is an option of training (`--ema_half_life`) and not on a cosine schedule.

    References:
        Huang et al., 2024, https://arxiv.org/abs/2501.05441
        Authors' code, https://github.com/brownvc/R3GAN
    """

    score_threshold = None
    default_network = "r3"
    discriminator_norm = "none"
    gradient_penalty_argument = "gamma"

    def __init__(self, generator, discriminator, *, gamma: float = 0.05, anneal_steps: int = 0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.gamma = number("gamma", gamma, least=0)
        self.anneal_steps = whole("anneal_steps", anneal_steps, 0)

    def players(self):
        discriminator, generator = super().players()
        return [discriminator, dataclasses.replace(generator, own_minibatch=True)]

    def annealed(self, start, end, player):
        """The schedule of a value from `start` to `end` over the turns of a player."""
        return CosineDecay(start, self.anneal_steps * self.player(player).turns, alpha=end / start)

    def default_optimizer(self, player):
        if not self.anneal_steps:
            return optimizers.Adam(2e-4, beta_1=0.0, beta_2=0.9, epsilon=1e-8)
        rate, beta_2 = self.annealed(2e-4, 5e-5, player), self.annealed(0.9, 0.99, player)
        return optimizers.ScheduledAdam(rate, beta_1=0.0, beta_2=beta_2, epsilon=1e-8)

    def current_gamma(self):
        if not self.anneal_steps:
            return self.gamma
        turns = optimizers.updates(getattr(self, "d_optimizer", None))
        return self.gamma * self.annealed(1.0, 0.1, "discriminator")(turns)

    def discriminator_loss(self, x, z):
        (real, fake), norms = scores_and_squared_norms(self.D, x, self.G(z))
        r1, r2 = map(mean, norms)
        self.record("r1", r1)
        self.record("r2", r2)
        return relativistic(real, fake) + 0.5 * tf.cast(self.current_gamma(), r1.dtype) * (r1 + r2)

    def generator_loss(self, x, z):
        fake, real = self.D(self.G(z), x)
        return relativistic(fake, real)
