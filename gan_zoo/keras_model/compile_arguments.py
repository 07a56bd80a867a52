"""Checks of the arguments of `compile`: it takes an optimizer for each player, but no loss and no metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from gan_zoo.nn.optimizers import inner
from gan_zoo.players import Player
from gan_zoo.util.errors import UserError

_KERAS_ARGUMENTS = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")

_LOSSES = (
    "the losses are the model's own: choose the variant that has them, or override discriminator_loss and "
    "generator_loss (of other models, the players' losses) in a subclass"
)
_METRICS = (
    "it compares predictions with labels, which a GAN does not have: log a term of a loss with record(name, value), or "
    "measure samples with gan_zoo.metrics"
)
_REFUSED = {"loss": _LOSSES, "loss_weights": _LOSSES, "metrics": _METRICS, "weighted_metrics": _METRICS}


def sort_arguments(
    players: Sequence[Player], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits the arguments of `compile` into the players' optimizers, by `Player.key`, and the arguments for Keras.

    Raises:
        UserError: If an argument is for models with one loss, is unknown, or is given twice, or if two players have the
            same name.
    """
    keys = [player.key for player in players]
    if len({*keys}) < len(keys):
        raise UserError(
            f"Two players have the same name. The names are {', '.join(player.name for player in players)}."
        )
    names = [f"{key}_optimizer" for key in keys]
    if len(args) > len(names):
        raise UserError(f"compile takes {len(names)} optimizers, {', '.join(names)}, not {len(args)}.")
    given = dict(zip(keys, args, strict=False))
    refused = {"optimizer": f"each player has its own: pass {' and '.join(names)}", **_REFUSED}
    for name, value in kwargs.items():
        if name in refused and (value is not None and value != []):
            raise UserError(f"compile does not take {name}: {refused[name]}.")
        if name not in (*refused, *_KERAS_ARGUMENTS, *names):
            raise UserError(
                f"compile has no argument {name!r}: it takes {', '.join(names)}, {', '.join(_KERAS_ARGUMENTS)}."
            )
        if name in names:
            key = keys[names.index(name)]
            if key in given:
                raise UserError(f"compile got {name} twice, by its place and by its name: give it once.")
            given[key] = value
    return given, {"optimizer": None, **{name: value for name, value in kwargs.items() if name in _KERAS_ARGUMENTS}}


def get_optimizer(argument: str, value: Any, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
    """The optimizer for a value of an argument of `compile`: an optimizer, or Keras's name or configuration of one.

    Args:
        argument: Name of the argument, for error messages.
        value: An optimizer, a name or a configuration.
        variables: The variables to optimize. An optimizer that was already built for them keeps its state.

    Raises:
        UserError: If the value is not an optimizer, or if the optimizer was built for other variables.
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


def require_distinct(optimizers: Mapping[str, keras.optimizers.Optimizer]) -> None:
    """Checks that no two players share an optimizer.

    Args:
        optimizers: The optimizers by `Player.key`.

    Raises:
        UserError: If two players share one.
    """
    owners = {}
    for key, optimizer in optimizers.items():
        own = inner(optimizer)
        other = owners.setdefault(id(own), key)
        if other != key:
            raise UserError(
                f"{other}_optimizer and {key}_optimizer are one object, whose state belongs to the variables of one "
                f"player: pass an optimizer for each, {type(own).__name__}(...)."
            )
