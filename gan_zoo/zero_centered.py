"""Base class of the zero-centred gradient penalties (R1, R2)."""

import keras
import tensorflow as tf

from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.nn.optimizers import updates
from gan_zoo.penalties import lazily, zero_centered_penalty
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class ZeroCentered:
    """A mixin for a GAN with a regularizer of Mescheder et al. (2018), gamma / 2 E[||grad D||^2] at given points.

    A variant declares `class MyGAN(ZeroCentered, GAN)` and adds `regularizer(points)` to D's loss.

    Args:
        *args: Arguments of the GAN.
        gamma: Weight of the penalty. The loss contains gamma / 2.
        interval: D computes the penalty in every `interval`-th of its turns only, multiplied by `interval`: see
            `penalties.lazily`.
        **kwargs: Arguments of the GAN.

    Raises:
        UserError: If `gamma` is not a number from 0 up, or if `interval` is not a whole number from 1 up.

    References:
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
    """

    discriminator_norm = "none"
    gradient_penalty_argument = "gamma"

    def __init__(self, *args, gamma: float = 10.0, interval: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(interval, int) or interval < 1:
            raise UserError(f"interval must be a whole number from 1 up, not {interval!r}.")
        self.gamma = number("gamma", gamma, least=0)
        self.interval = interval

    def default_optimizer(self, player: str) -> keras.optimizers.Optimizer:
        """The optimizer of the authors' code. Its decay is the default of the optimizer there; Keras's is 0.9."""
        return optimizers.RMSprop(1e-4, rho=0.99, epsilon=1e-8)

    def regularizer(self, points: tf.Tensor) -> tf.Tensor:
        """gamma / 2 E[||grad D(points)||^2], a scalar; logs the mean as "penalty"."""
        turn = updates(getattr(self, "d_optimizer", None))
        penalty = lazily(lambda: zero_centered_penalty(self.D, points), turn, self.interval, images_of(points).dtype)
        self.record("penalty", penalty)
        return 0.5 * self.gamma * penalty
