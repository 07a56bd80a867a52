"""Players: the variables that a model trains, the loss that they minimise, and the number of turns in a step."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_zoo.util.errors import UserError

Loss = Callable[[Any, Any], tf.Tensor]
Variables = Sequence[keras.Variable]

_SHORT = {"discriminator": "d", "generator": "g"}
"""Players whose optimizers, losses and flags have a short name: `d_optimizer`, `d_loss`, `--d_learning_rate`."""


@dataclasses.dataclass(frozen=True)
class Player:
    """One player of a game: a loss, and the variables that minimise it.

    Attributes:
        name: Name of the player, an identifier: "encoder". `compile` takes its optimizer as `encoder_optimizer`,
            `default_optimizer("encoder")` gives the default, logs have its loss as "encoder_loss", and
            `--encoder_learning_rate` sets its rate. The players "discriminator" and "generator" have "d" and "g" there.
        loss: Maps a minibatch and its latents, (x, z), to a float32 scalar.
        variables: Variables that a turn of this player updates. Players may share variables.
        turns: Turns in each training step, from 1 up. Each turn sees a minibatch of its own: a player with `t` turns
            sees the last `t` minibatches of a step.
        own_minibatch: Whether the player takes its one turn of a step on a minibatch that no other player sees.

    Raises:
        UserError: If the name is not an identifier, if `turns` is not a whole number from 1 up, or if a player with its
            own minibatch has more than one turn.
    """

    name: str
    loss: Loss
    variables: Variables
    turns: int = 1
    own_minibatch: bool = False

    def __post_init__(self):
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise UserError(f"A player's name must be an identifier, such as 'encoder', not {self.name!r}.")
        if not isinstance(self.turns, int) or self.turns < 1:
            raise UserError(f"Player {self.name!r}: turns must be a whole number from 1 up, not {self.turns!r}.")
        if self.own_minibatch and self.turns > 1:
            raise UserError(f"Player {self.name!r}: own_minibatch is for a player with one turn, not {self.turns}.")

    @property
    def key(self) -> str:
        """The name in arguments, logs and flags: "d" for the discriminator, "g" for the generator, else `name`."""
        return key_of(self.name)


def key_of(name: str) -> str:
    """The name of a player in arguments, logs and flags: see `Player.key`."""
    return _SHORT.get(name, name)


def name_of(key: str) -> str:
    """The name of the player of this key: the inverse of `key_of`."""
    return next((name for name, short in _SHORT.items() if short == key), key)
