"""Learning rates of several players: functions to set and scale them, and a view of all optimizers for callbacks.

A learning rate is either a number, which callbacks and flags may set, or follows a schedule of its optimizer's updates,
such as `keras.optimizers.schedules.CosineDecay`. A schedule is never replaced by a number, but it can be scaled, for
example after a divergence.
"""

from typing import Any

import keras
import tensorflow as tf

from gan_zoo.nn.optimizers import inner
from gan_zoo.util.errors import UserError


def has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the learning rate follows a schedule or another function, so that it cannot be set."""
    return not isinstance(inner(optimizer)._learning_rate, keras.Variable)


def set_rate(optimizer: keras.optimizers.Optimizer, rate: float, what: str) -> None:
    """Sets an optimizer's learning rate.

    Args:
        optimizer: The optimizer.
        rate: The new rate.
        what: The flag or argument that sets it, for the error message.

    Raises:
        UserError: If the rate follows a schedule.
    """
    own = inner(optimizer)
    if has_schedule(own):
        raise UserError(
            f"{what} sets a learning rate, but that of {own.name} follows a schedule, "
            f"{type(own._learning_rate).__name__}: leave one of the two out."
        )
    own.learning_rate = rate


def scale_rate(optimizer: keras.optimizers.Optimizer, factor: float) -> None:
    """Multiplies an optimizer's learning rate or schedule. Graphs that are already traced keep the old schedule."""
    own = inner(optimizer)
    if not has_schedule(own):
        own.learning_rate = current_rate(own) * factor
    elif isinstance(own._learning_rate, Scaled):
        own.learning_rate = Scaled(own._learning_rate.schedule, own._learning_rate.factor * factor)
    else:
        own.learning_rate = Scaled(own._learning_rate, factor)


def current_rate(optimizer: keras.optimizers.Optimizer) -> float:
    """Returns the learning rate of the optimizer's next update."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


@keras.saving.register_keras_serializable(package="gan_zoo")
class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule whose rates are those of another schedule times a factor.

    Args:
        schedule: The other schedule, or its configuration.
        factor: The factor.
    """

    def __init__(self, schedule: Any, factor: float):
        super().__init__()
        self.schedule = keras.saving.deserialize_keras_object(schedule) if isinstance(schedule, dict) else schedule
        self.factor = factor

    def __call__(self, step):
        schedule = self.schedule
        is_function = not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule)
        return self.factor * (schedule() if is_function else schedule(step))

    def get_config(self):
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "factor": self.factor}


class Optimizers:
    """View of all of a model's optimizers for Keras's callbacks: `gan.optimizer`.

    It has the interface of `keras.optimizers.MultiOptimizer`. `LearningRateScheduler` and `ReduceLROnPlateau` set the
    rate of every player, each from its own current rate, and log "learning_rate_d" and "learning_rate_g".
    `SwapEMAWeights` swaps the weights of the players whose optimizers have `use_ema`. `TensorBoard` logs the rates.

    Args:
        model: A model with the method `optimizers()` of `gan_zoo.nn.serialization.KeepsOptimizers`.
    """

    built = True

    def __init__(self, model: Any):
        self._model = model

    @property
    def optimizers(self) -> list["_PlayersOptimizer"]:
        """The optimizers, one for each player."""
        named = self._model.optimizers().items()
        return [_PlayersOptimizer(optimizer, name.removesuffix("_optimizer")) for name, optimizer in named]

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables of all optimizers."""
        return [variable for optimizer in self._model.optimizers().values() for variable in optimizer.variables]

    @property
    def iterations(self) -> keras.Variable:
        """The number of updates of the player that is updated last, the generator."""
        return self.optimizers[-1].iterations

    @property
    def learning_rate(self) -> tf.Tensor:
        """The generator's learning rate. Setting it multiplies all players' rates by the same factor.

        Raises:
            UserError: When it is set, if a player's rate follows a schedule.
        """
        return tf.convert_to_tensor(self.optimizers[-1].learning_rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        own = float(self.learning_rate)
        for optimizer in self.optimizers:
            optimizer.learning_rate = current_rate(optimizer) * rate / own if own else rate

    def get_config(self) -> dict:
        """Raises an error: Keras calls this only to save to a file format that holds one optimizer.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "Files of the .h5 format hold one optimizer, and a GAN has one for each player: save to a name that ends "
            "in .keras, or the weights alone with save_weights to one that ends in .weights.h5."
        )


class _PlayersOptimizer:
    """A player's optimizer under the player's name. Its rate can be set if it is a number."""

    def __init__(self, optimizer: keras.optimizers.Optimizer, name: str):
        self._optimizer, self.name = inner(optimizer), name

    def __getattr__(self, name):
        return getattr(self._optimizer, name)

    @property
    def learning_rate(self):
        return self._optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        set_rate(self._optimizer, rate, f"A callback, or gan.optimizer.learning_rate = {float(rate):g},")
