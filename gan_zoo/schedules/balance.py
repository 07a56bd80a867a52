"""Balance of the players: rules that decide in which steps the generator is updated.

`GAN(..., n_critic=5, balance="warm_up")` chooses a rule by its name. Settings other than the defaults follow in
parentheses: "warm_up(turns=100, first=25, every=500)", "until(d_loss=0.5, turns=10)". A training step always has
`n_critic` turns of the discriminator. The balance decides whether the generator is updated at the end of the step.
"""

import dataclasses
import inspect

import tensorflow as tf

from gan_zoo.replicas.distribution import global_mean
from gan_zoo.util import specs
from gan_zoo.util.checks import whole
from gan_zoo.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Constant:
    """A generator turn after every `n_critic` discriminator turns: Algorithm 1 of Goodfellow et al. (2014)."""

    def prepare(self, gan) -> None:
        """Called once, when the GAN is created."""

    def generator_turn(self, gan, x) -> None:
        """Called at the end of every step, after the discriminator's turns, with the minibatch x of the last turn."""
        gan.generator_step(x)


class Waiting:
    """Base class of balances in which the generator is not updated in every step."""

    def due(self, turns: tf.Tensor, updates: tf.Tensor, d_loss: tf.Tensor) -> tf.Tensor:
        """Whether the generator is updated in this step.

        Args:
            turns: The number of discriminator turns since the generator's last update, an int64 scalar.
            updates: The number of generator updates so far, an int64 scalar.
            d_loss: The discriminator's loss in its last turn.
        """
        raise NotImplementedError

    def prepare(self, gan) -> None:
        if gan.simultaneous:
            raise UserError(f"simultaneous=True updates both players in each step: leave out balance={gan.balance!r}.")
        # Discriminator turns since the generator's last update, and generator updates.
        gan.turn_count = gan.add_weight((2,), "zeros", dtype="int64", trainable=False, name="turn_count")

    def generator_turn(self, gan, x) -> None:
        """Takes the turn and reverts it if it is not due, because strategies allow no optimizer in a `tf.cond`."""
        count = gan.turn_count.value + tf.constant([gan.n_critic, 0], tf.int64)
        due = self.due(count[0], count[1], gan.recorded("d_loss")[-1])
        moving = {id(variable) for variable in gan.generator_variables}
        networks = [n for n in gan.networks().values() if any(id(v) in moving for v in n.trainable_variables)]
        history = getattr(gan, "g_history", None)
        variables = [*(v for network in networks for v in network.variables), *gan.g_optimizer.variables]
        variables += [] if history is None else history.variables
        before = [tf.identity(variable.value) for variable in variables]
        with tf.control_dependencies([due, count, *before]):
            gan.generator_step(x)
        for variable, value in zip(variables, before, strict=True):
            variable.assign(tf.where(due, variable.value, value))
        gan.turn_count.assign(tf.where(due, count * [0, 1] + [0, 1], count))
        gan.record("g_turns", tf.cast(due, tf.float32))


@dataclasses.dataclass(frozen=True)
class WarmUp(Waiting):
    """More discriminator turns before the first generator updates and before some later ones.

    The authors' code of Arjovsky et al. (2017) trains the critic nearly to its optimum in this way.

    Args:
        turns: Minimum number of discriminator turns before these generator updates. Defaults to 100.
        first: The number of first generator updates with this minimum. Defaults to 25.
        every: After these, every `every`-th update has this minimum; with 0 none has. Defaults to 500.

    References:
        https://github.com/martinarjovsky/WassersteinGAN
    """

    turns: int = 100
    first: int = 25
    every: int = 500

    def __post_init__(self):
        for name, least in (("turns", 1), ("first", 0), ("every", 0)):
            whole(f"balance: {name}", getattr(self, name), least)

    def due(self, turns: tf.Tensor, updates: tf.Tensor, d_loss: tf.Tensor) -> tf.Tensor:
        special = updates < self.first
        if self.every:
            special |= updates % self.every == 0
        return ~special | (turns >= self.turns)


@dataclasses.dataclass(frozen=True)
class Until(Waiting):
    """The generator is updated if the discriminator's loss is low enough, or after a maximum number of turns.

    Args:
        d_loss: The generator is updated if the discriminator's loss, the mean over all replicas, is at most this value.
            Defaults to 1. A cross entropy is log 4 = 1.39 for a D that guesses and 0 for a D that is certain.
        turns: Number of discriminator turns after which the generator is updated in any case. Defaults to 10.
    """

    d_loss: float = 1.0
    turns: int = 10

    def __post_init__(self):
        whole("balance: turns", self.turns, 1)

    def due(self, turns: tf.Tensor, updates: tf.Tensor, d_loss: tf.Tensor) -> tf.Tensor:
        return (global_mean(d_loss) <= self.d_loss) | (turns >= self.turns)


_KINDS = {"constant": Constant, "warm_up": WarmUp, "until": Until}


def parse(text: str) -> Constant | WarmUp | Until:
    """The balance that `text` describes: a name, or a name with settings, "warm_up(turns=50)".

    Raises:
        UserError: If there is no balance of that name, or if a setting is unknown or not a number in its range.
    """
    name, assignments = specs.parse(str(text), f"balance={text!r}")
    if name not in _KINDS:
        raise UserError(
            f"balance must be 'constant', 'warm_up(turns=100, first=25, every=500)' or 'until(d_loss=1.0, turns=10)', "
            f"with any numbers, not {text!r}."
        )
    kind = _KINDS[name]
    return kind(**specs.bind(assignments, inspect.signature(kind).parameters, name, "balance"))
