"""Moves growing networks through their stages."""

import tensorflow as tf

from gan_zoo.callbacks.average import GeneratorEMA
from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.nn.optimizers import inner


class Grow(StepCallback):
    """Moves growing networks along their schedule: stage, fade-in, and new optimizer state in each phase.

    Each phase resets the moments and step counts of the optimizers, as in the code of Karras et al. (2018), because
    moments of the gradients of the previous networks would be wrong.

    Args:
        growth: The schedule, a `gan_zoo.schedules.growth.Growth`.
        ema: The moving average, whose networks grow too. Put it before this callback.
        step: The step at which training starts.
    """

    def __init__(self, growth, ema: GeneratorEMA | None = None, step: int = 0):
        super().__init__(step)
        self.growth, self.ema = growth, ema
        self._state = None

    def on_train_begin(self, logs=None):
        self._state = None  # the networks may have been set to another stage since the last training
        self._grow()

    def on_step(self, previous, logs):
        self._grow()
        if self.growth.index(previous) != self.growth.index(self.step):
            for optimizer in self.model.optimizers().values():
                _reset(optimizer)

    def _grow(self):
        state = self.growth.phase(self.step).stage, self.growth.alpha(self.step)
        if self.ema:
            for network in self.ema.networks.values():
                network.grow(*state)  # at every step: averaging changes alpha too
        if state != self._state:
            self._state = state
            self.model.grow(*state)


def _reset(optimizer) -> None:
    """Resets the state of an optimizer to its initial values, except for its learning rate and loss scale."""
    optimizer = inner(optimizer)
    for variable in optimizer.variables:
        if variable is not optimizer._learning_rate:
            variable.assign(tf.zeros_like(variable.value))
