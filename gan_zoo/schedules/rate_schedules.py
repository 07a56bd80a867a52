"""Schedules of the learning rates over a whole run: a warm-up, and then constant, or falling by a cosine or a line.

    "cosine(final=0.1, warm_up=500)"

Each player has the schedule over its own updates, from its own rate.
"""

import dataclasses
import inspect
import math

import keras
import tensorflow as tf

from gan_zoo.util import specs
from gan_zoo.util.checks import number, whole
from gan_zoo.util.errors import UserError

SHAPES = ("constant", "cosine", "linear")


@dataclasses.dataclass(frozen=True)
class RateSchedule:
    """How learning rates change over a run.

    Args:
        shape: "constant", "cosine" or "linear".
        final: The rate at the end of the run as a share of the rate, from 0 to 1. Defaults to 0.
        warm_up: Number of steps in which the rate first rises linearly. Defaults to 0.
    """

    shape: str
    final: float = 0.0
    warm_up: int = 0

    def over(self, rate: float, steps: int, turns: int) -> "Annealed":
        """The schedule of a player that has `turns` updates in each of `steps` steps."""
        return Annealed(rate, steps * turns, self.shape, self.final, self.warm_up * turns)


@keras.saving.register_keras_serializable(package="gan_zoo")
class Annealed(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises in a warm-up and then changes to a share of itself.

    At update t, from 0, with N updates in all and w in the warm-up,

        t < w:   rate (t + 1) / w
        t >= w:  rate (final + (1 - final) c(s)),  s = (t - w) / (N - w), at most 1

    with c(s) = (1 + cos(pi s)) / 2 for "cosine", 1 - s for "linear" and 1 for "constant".

    Args:
        rate: The rate after the warm-up.
        updates: N.
        shape: "cosine", "linear" or "constant".
        final: Share of the rate that is left after N updates.
        warm_up: w, less than N.
    """

    def __init__(self, rate: float, updates: int, shape: str = "cosine", final: float = 0.0, warm_up: int = 0):
        super().__init__()
        self.rate, self.updates, self.shape, self.final, self.warm_up = rate, updates, shape, final, warm_up

    def __call__(self, step):
        t = tf.cast(step, tf.float64)  # float32 would round large numbers of updates
        s = tf.clip_by_value((t - self.warm_up) / max(self.updates - self.warm_up, 1), 0.0, 1.0)
        c = {"cosine": 0.5 * (1 + tf.cos(math.pi * s)), "linear": 1 - s, "constant": tf.ones_like(s)}[self.shape]
        share = self.final + (1 - self.final) * c
        rising = (t + 1) / max(self.warm_up, 1)
        return tf.cast(self.rate * tf.where(t < self.warm_up, rising, share), tf.float32)

    def get_config(self):
        return {name: getattr(self, name) for name in ("rate", "updates", "shape", "final", "warm_up")}


def parse(text: str, argument: str = "--rate_schedule") -> RateSchedule:
    """The schedule that a text describes: a name, or a name with settings.

    Args:
        text: Such as "linear" or "cosine(final=0.1, warm_up=500)".
        argument: Name of the flag in error messages.

    Raises:
        UserError: If there is no such schedule, or a setting is unknown or out of its range.
    """
    shape, assignments = specs.parse(str(text), f"{argument}={text}")
    if shape not in SHAPES:
        raise UserError(f"{argument} must be constant, cosine or linear, such as 'cosine(final=0.1)', not {text!r}.")
    settings = {name: p for name, p in inspect.signature(RateSchedule).parameters.items() if name != "shape"}
    schedule = RateSchedule(shape, **specs.bind(assignments, settings, shape, argument))
    whole(f"{argument}: warm_up", schedule.warm_up, 0)
    if number(f"{argument}: final", schedule.final, least=0) > 1:
        raise UserError(f"{argument}: final must be from 0 to 1, a share of the learning rate, not {schedule.final!r}.")
    return schedule
