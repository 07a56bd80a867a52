"""What `GAN.compile` takes: an optimizer for each player, and no loss and no metrics."""

from collections.abc import Sequence
from typing import Any

import keras

from gan_zoo.errors import UserError
from gan_zoo.optimizers import inner

_KERAS_ARGUMENTS = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")

_LOSSES = (
    "a GAN's losses are its own: choose the variant that has them, or override discriminator_loss and generator_loss "
    "in a subclass"
)
_METRICS = (
    "it compares predictions with labels, which a GAN does not have: log a term of a loss with record(name, value), or "
    "measure samples with gan_zoo.metrics"
)
_REFUSED = {
    "optimizer": "each player has its own: pass d_optimizer and g_optimizer",
    "loss": _LOSSES,
    "loss_weights": _LOSSES,
    "metrics": _METRICS,
    "weighted_metrics": _METRICS,
}


def keras_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those arguments of `compile`, other than the players' optimizers, that Keras gets.

    Raises:
        UserError: If one is of models with one loss, or unknown.
    """
    for name, value in arguments.items():
        if name in _REFUSED and (value is not None and value != []):
            raise UserError(f"compile does not take {name}: {_REFUSED[name]}.")
        if name not in (*_REFUSED, *_KERAS_ARGUMENTS):
            raise UserError(
                f"compile has no argument {name!r}: it takes d_optimizer, g_optimizer, {', '.join(_KERAS_ARGUMENTS)}."
            )
    return {"optimizer": None, **{name: value for name, value in arguments.items() if name in _KERAS_ARGUMENTS}}


def get_optimizer(argument: str, value: Any, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
    """The optimizer that an argument of `compile` stands for: itself, or Keras's of that name or configuration.

    Args:
        argument: Its name, for errors.
        value: An optimizer, a name or a configuration.
        variables: Those that it is for. An optimizer that was built for them before keeps its state.

    Raises:
        UserError: If it is something else, or an optimizer of other variables.
    """
    hint = "pass an optimizer, such as keras.optimizers.Adam(1e-4, beta_1=0.5), or a name, such as 'adam'"
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        kind = type(value).__name__
        raise UserError(
            f"{argument} is a learning-rate schedule: pass an optimizer that follows it, keras.optimizers.Adam({kind}"
            f"(...))."
        )
    if isinstance(value, type):
        raise UserError(f"{argument} is the class {value.__name__}: pass an object of it, {value.__name__}(...).")
    try:
        optimizer = keras.optimizers.get(value)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{argument}={value!r} is not an optimizer that Keras knows: {hint}.") from error
    own = inner(optimizer)
    if own.built and not {id(v) for v in variables} <= {id(v) for v in own._trainable_variables}:
        raise UserError(
            f"{argument} was built for the variables of another model or player, whose state it keeps: pass a new "
            f"optimizer, for instance {type(own).__name__}.from_config(optimizer.get_config())."
        )
    return optimizer


def require_two(d_optimizer: keras.optimizers.Optimizer, g_optimizer: keras.optimizers.Optimizer) -> None:
    """Makes sure that two players do not share an optimizer.

    Raises:
        UserError: If they do.
    """
    d, g = inner(d_optimizer), inner(g_optimizer)
    if d is g:
        raise UserError(
            "d_optimizer and g_optimizer are one object, whose state belongs to the variables of one player: pass two "
            f"optimizers, {type(d).__name__}(...) for each."
        )
