"""The base class of all models: any number of networks and players, and the step that trains them."""

import dataclasses
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from gan_zoo.keras_model import compile_arguments
from gan_zoo.keras_model.encoding import Encodes
from gan_zoo.keras_model.evaluation import Evaluates
from gan_zoo.keras_model.examples import Examples, count_assertion
from gan_zoo.keras_model.fit_data import TakesData
from gan_zoo.keras_model.latent_codes import HasCodes
from gan_zoo.keras_model.logged_terms import Records
from gan_zoo.keras_model.network_building import BuildsNetworks
from gan_zoo.keras_model.saving import Saves
from gan_zoo.nn import optimizers
from gan_zoo.nn.historical_averages import HistoricalAverages
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.nn.precision import at_least_float32, computes_in_float16
from gan_zoo.nn.serialization import KeepsArguments, KeepsOptimizers
from gan_zoo.players import Loss, Player, Variables
from gan_zoo.replicas.distribution import FixedStream, RandomStream, global_log
from gan_zoo.replicas.steps import Retraces, RunsSteps
from gan_zoo.schedules.learning_rates import Optimizers
from gan_zoo.util import codes as util_codes
from gan_zoo.util import pictures
from gan_zoo.util.checks import number, whole
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

if keras.backend.backend() != "tensorflow":
    raise ImportError("gan_zoo needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow before keras is imported.")


class GenerativeModel(
    KeepsArguments,
    KeepsOptimizers,
    BuildsNetworks,
    HasCodes,
    TakesData,
    Retraces,
    RunsSteps,
    Evaluates,
    Encodes,
    Saves,
    Records,
    keras.Model,
):
    """Base class of generative models: networks, players that train them, and a prior of the latents.

    A subclass passes its networks to the constructor and returns its players from `players`:

        class VAE(GenerativeModel):
            averaged = ("decoder",)

            def __init__(self, encoder, decoder, **kwargs):
                super().__init__({"encoder": encoder, "decoder": decoder}, **kwargs)

            def players(self):
                variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
                return [Player("vae", self.negative_elbo, variables)]

            def negative_elbo(self, x, z): ...

    `gan_zoo.GAN` is the two-player game. Both classes are abstract.

    Contracts:
        x: One minibatch of examples: images, float32, [B, H, W, C] in [-1, 1], or points, [B, 2]. With `classes` it is
            (images, labels), labels int32, [B]. `gan_zoo.keras_model.examples` lists the accepted data. A class whose
            own losses read other structures gets x in the structure of the dataset.
        z: The result of `sample_latent(B)`: [B, Z], or with `classes` ([B, Z], labels [B]). Parts of the Z numbers may
            have names, `codes`, which `sample_latent` can set: see `gan_zoo.keras_model.latent_codes`.
        Networks: The constructor's arguments that are Keras models, stored in attributes of the same names.
        Losses: Scalars, float32, to be minimised, averaged over the batch. A player's loss is differentiated with
            respect to that player's variables only, so a loss needs no `stop_gradient` for other players' variables.
        Data: One dataset batch holds `minibatches_per_step` minibatches of B examples. So each turn of a player gets
            new data, and one Keras step is one training step.
        Precision: Networks compute in their Keras dtype policy. Losses are float32, or float64 if all networks are. A
            step casts x to the dtype of the losses.
        Layers: The model calls a layer's method `begin_turn()`, if it has one, at the start of each player's turn.
        Logs: "<player>_loss", the mean over the player's turns, and the terms that the losses `record`.
        Replicas: The applied gradient is that of the mean loss over all replicas. Random numbers come from
            `self.random`, which gives each replica its own rows of one draw. So N replicas with B / N examples each
            take the same step as one replica with B examples. The exception is batch normalization, whose statistics
            are those of a replica.

    Args:
        networks: The networks by the names of the constructor's arguments. They become attributes.
        prior: p(z): "normal", N(0, I), or "uniform", U[-1, 1]^Z.
        latent_dim: Z, without the codes; by default the input size of the first network in `averaged` without them.
        classes: Number of classes K of the labels, from 2 up; None for a model without labels.
        simultaneous: Whether all players compute their gradients at the same weights. By default a player's turn uses
            the weights after the turns of the players before it. If a player has several turns in a step, only the
            last is simultaneous.
        historical_averaging: Weight w of w ||theta - mean of theta[1..t]||^2, which each player's loss gets in its turn
            t: see `gan_zoo.nn.historical_averages`. It damps players that circle an equilibrium. Defaults to 0.
        seed: Seed of the latents and all other random draws of training. By default it is random.
        **kwargs: `name`, `dtype` and so on, for `keras.Model`.

    Attributes:
        averaged: Names of the networks that sampling needs. The moving average and exports contain these. With
            "encoder" among them, the model encodes and reconstructs images: see `gan_zoo.keras_model.encoding`.
        priors: The values of `prior`. A class that adds one overrides `sample_latent`.

    Raises:
        UserError: If an argument has none of these values, or if Z is not known from the network.
    """

    averaged = ("generator",)
    priors = ("normal", "uniform")

    def __init__(
        self,
        networks: Mapping[str, keras.Model],
        /,
        *,
        prior: str = "normal",
        latent_dim: int | None = None,
        classes: int | None = None,
        simultaneous: bool = False,
        historical_averaging: float = 0.0,
        seed: int | None = None,
        **kwargs,
    ):
        self.check_classes(classes)
        super().__init__(**kwargs)
        self.autocast = False  # the networks cast their inputs
        if prior not in self.priors:
            raise UserError(f"prior must be {' or '.join(map(repr, self.priors))}, not {prior!r}.")
        for name, network in networks.items():
            setattr(self, name, network)
        self.prior = prior
        self.latent_dim = self._noise_size(networks[self.averaged[0]], latent_dim)
        self.classes = None if classes is None else whole("classes", classes, 2)
        self.simultaneous = simultaneous
        self.historical_averaging = number("historical_averaging", historical_averaging, least=0)
        self.seed = seed
        start = [random.randrange(2**31) if seed is None else seed, 0]
        # Stored in an attribute of the model, so that tf.train.Checkpoint saves it.
        self.random_state = self.add_weight(
            (2,), lambda *_, **__: start, dtype="int64", trainable=False, name="random_state"
        )
        self.random = RandomStream(self.random_state)
        self.built = True  # otherwise, under a strategy, Keras would build the model by calling it on images

    # Methods that subclasses override.

    def players(self) -> list[Player]:
        """The players, in the order in which they move."""
        raise NotImplementedError(f"{type(self).__name__} must implement players().")

    def default_optimizer(self, player: str) -> keras.optimizers.Optimizer:
        """The paper's optimizer for the player of this name; here that of Radford et al. (2016)."""
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def call(self, z: Any) -> tf.Tensor:
        """Samples for the latents z in inference mode: images, [B, H, W, C] in [-1, 1], without their labels."""
        return self.sampling_network(z, training=False)

    def sample_latent(
        self, n: int, seed: int | None = None, *, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> Any:
        """`n` latents from the prior: z, float32, [n, Z], or with `classes` (z, y), labels y int32, [n].

        Without a seed, they come from the model's own random stream, which training also uses and checkpoints save.
        With a seed, they depend on the arguments only, and the stream does not change.

        Args:
            n: Number of latents.
            seed: Any integer, or None.
            label: Class of all n latents, or of each, [n], from 0 to K - 1. None draws classes uniformly.
            codes: Values of some of the model's `codes` by name, each a number for all n latents, or one for each, [n].
                All other codes are drawn from their prior, as without this argument.

        Raises:
            UserError: If `label` is given to a model without classes, or is not one of its classes; if there is no such
                code, or it has no such value.
        """
        draws = self.random if seed is None else FixedStream(seed)
        shape = [n, self.latent_size - util_codes.length(self.codes)]
        z = draws.normal(shape) if self.prior == "normal" else draws.uniform(shape, -1.0, 1.0)
        if parts := self._draw_codes(n, draws, codes):
            z = tf.concat([z, *parts], axis=1)
        if self.classes is None:
            if label is not None:
                raise UserError(f"label: {type(self).__name__} has no classes: leave label out, or pass classes=K.")
            return z
        if label is None:
            return z, tf.minimum(tf.cast(draws.uniform([n]) * self.classes, tf.int32), self.classes - 1)
        return z, tf.broadcast_to(labels_tensor(label, self.classes), [n])

    def grid(
        self, n: int | None = None, seed: int | None = 0, *, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> "Image":
        """A picture of samples, which a notebook shows: a grid of images, or a plot of points.

        Args:
            n: Number of samples. By default 16 images, or 8 of each class, a class a row; or 1000 points.
            seed: As for `sample_latent`.
            label: As for `sample_latent`.
            codes: As for `sample_latent`.

        Raises:
            UserError: As for `sample_latent`.
        """

        def sample(count, labels):
            return at_least_float32(self(self.sample_latent(count, seed=seed, label=labels, codes=codes))).numpy()

        return pictures.of_model(sample, self.sampling_network.output_shape[1:], n, label, self.classes)

    def latents_for(self, x: Any) -> Any:
        """The latents of a turn on the minibatch x: one for each example and, with `classes`, with the labels of x."""
        n = batch_size(x)
        return self.sample_latent(n) if self.classes is None else self.sample_latent(n, label=x[1])

    # Properties of a model.

    def networks(self) -> dict[str, keras.Model]:
        """The networks by name: the constructor's arguments that are Keras models."""
        arguments = {name: getattr(self, name) for name in self.argument_names()}
        return {name: value for name, value in arguments.items() if isinstance(value, keras.Model)}

    @property
    def sampling_network(self) -> keras.Model:
        """The network that generates examples: the first of `averaged`."""
        return getattr(self, self.averaged[0])

    @property
    def minibatches_per_step(self) -> int:
        """The number of minibatches in a dataset batch.

        It is the largest number of turns of any player in a step, plus one for each player with its own minibatch.
        """
        players = self.players()
        return max(player.turns for player in players) + sum(player.own_minibatch for player in players)

    def player(self, name: str) -> Player:
        """The player of this name."""
        return next(player for player in self.players() if player.name == name)

    def turn_loss(self, player: Player) -> Loss:
        """The loss that a player's turn minimises: `player.loss` and the terms that arguments of the model add."""
        if not self.historical_averaging:
            return player.loss
        history = getattr(self, _history(player))

        def loss(x, z):
            value = player.loss(x, z)
            term = self.historical_averaging * history.distance(player.variables)
            return value + tf.cast(term, value.dtype)

        return loss

    def optimizer_of(self, player: Player) -> keras.optimizers.Optimizer:
        """The optimizer that `compile` has set for a player."""
        return getattr(self, f"{player.key}_optimizer")

    # The step.

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes all players' turns on the minibatches of one dataset batch; returns the logs."""
        with self.recording() as recorded:
            self.play(self.split(Examples.of(self).convert(data)))
            return {name: global_log(values) for name, values in recorded.items()}

    def play(self, minibatches: list[Any]) -> None:
        """Takes the players' turns: for each minibatch, one turn of each player.

        Args:
            minibatches: A list of `minibatches_per_step` minibatches. The last ones are those of the players with their
                own. Of the others, a player with fewer turns uses only the last ones.
        """
        names = [player.name for player in self.players() if player.own_minibatch]
        shared = len(minibatches) - len(names)
        own = dict(zip(names, minibatches[shared:], strict=True))
        *earlier, last = minibatches[:shared]
        for left, x in zip(range(len(earlier), 0, -1), earlier, strict=True):
            for player in self.players():
                if player.turns > left:
                    self.turn(player, x)
        self.joint_step(last, **({"own": own} if own else {}))

    def joint_step(self, x: Any, own: Mapping[str, Any] | None = None) -> None:
        """Takes the last turn of each player in a step: one after the other or `simultaneous`ly.

        Args:
            x: The minibatch.
            own: Minibatches of players by name, in place of x.
        """
        first, *others = self.players()
        xs = {player.name: x for player in (first, *others)} | dict(own or {})
        if not self.simultaneous:
            for player in (first, *others):
                self.turn(player, xs[player.name])
            return
        found = []
        for player in reversed(others):
            loss, optimizer = self.turn_loss(player), self.optimizer_of(player)
            found.append((player, *self.differentiate(loss, xs[player.name], player.variables, optimizer)))
        with tf.control_dependencies([g for _, _, gradients in found for g in gradients if g is not None]):
            self.turn(first, xs[first.name])
        for player, loss, gradients in reversed(found):
            self.optimizer_of(player).apply(gradients, player.variables)
            self.record(f"{player.key}_loss", loss)

    def turn(self, player: Player, x: Any) -> None:
        """Takes one turn of a player: one update on the minibatch x and new latents."""
        loss = self.minimize(self.turn_loss(player), x, player.variables, self.optimizer_of(player))
        self.record(f"{player.key}_loss", loss)

    def minimize(self, loss: Loss, x: Any, variables: Variables, optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
        """Takes one optimizer step on `loss(x, z)` with respect to `variables`, with new latents; returns the loss."""
        value, gradients = self.differentiate(loss, x, variables, optimizer)
        optimizer.apply(gradients, variables)
        return value

    def differentiate(self, loss: Loss, x: Any, variables: Variables, optimizer: keras.optimizers.Optimizer):
        """Begins a turn: returns `loss(x, z)` with new latents, and its gradients in the form for `optimizer.apply`."""
        self.begin_turn(x)
        z = self.latents_for(x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            value = loss(x, z)
            # Optimizers sum gradients over replicas, so each replica contributes its share of the mean.
            share = optimizer.scale_loss(value / tf.distribute.get_strategy().num_replicas_in_sync)
        gradients = tape.gradient(share, [variable.value for variable in variables])
        # No variable changes before all gradients are computed. TensorFlow orders reads and writes itself, but Grappler
        # drops some of these orderings, so that a penalty's read of a bias could race with the update of that bias.
        with tf.control_dependencies([value, *(g for g in gradients if g is not None)]):
            return value, [None if g is None else tf.identity(g) for g in gradients]

    def begin_turn(self, x: Any = None) -> None:
        """Begins a player's turn on the minibatch x: calls `begin_turn()` of every layer that has this method."""
        for layer in self._flatten_layers(include_self=False):
            if hasattr(layer, "begin_turn"):
                layer.begin_turn()

    def split(self, data: Any) -> list[Any]:
        """The `minibatches_per_step` minibatches of one dataset batch.

        They are strided, not consecutive. So the minibatches of several replicas are parts of the minibatches that one
        replica would get.

        Raises:
            UserError: If the batch does not hold as many minibatches of equal size.
        """
        turns = self.minibatches_per_step
        if turns == 1:
            return [data]
        n = batch_size(data)
        if isinstance(n, int) and n % turns:
            own = dataclasses.replace(Examples.of(self), replicas=1)
            raise UserError(own.count_message(n))
        if not isinstance(n, int):
            with tf.control_dependencies([count_assertion(n, n % turns == 0, is_part=True)]):
                data = tf.nest.map_structure(tf.identity, data)
        parts = tf.nest.map_structure(lambda t: tf.reshape(t, [-1, turns, *t.shape[1:]]), data)
        return [tf.nest.map_structure(lambda t, k=k: t[:, k], parts) for k in range(turns)]

    # Keras.

    def compile(self, *args: keras.optimizers.Optimizer | str | None, **kwargs) -> None:
        """Sets the players' optimizers, by default the paper's (`default_optimizer`), and builds their state.

        The learning rates may be numbers or schedules. An optimizer that was already built for a player keeps its
        state. If a network computes in float16, as under the policy mixed_float16, all optimizers without loss scaling
        get it: see `gan_zoo.nn.optimizers.LossScaleOptimizer`.

        Args:
            *args: Optimizers in the order of the players.
            **kwargs: Optimizers by name, `<player>_optimizer`: a GAN has `d_optimizer` and `g_optimizer`. All others
                (`jit_compile`, `run_eagerly`, `steps_per_execution`) are passed to `keras.Model.compile`.

        Raises:
            UserError: If an argument is not an optimizer, if two are the same object, if `kwargs` contains a loss,
                metrics or one optimizer for all players, or if a network is not built yet.
        """
        players = self.players()
        for name, network in self.networks().items():
            if not network.built:
                raise UserError(f"{name} is not built: build it before compile, {name}.build((None, ...)).")
        given, kwargs = compile_arguments.sort_arguments(players, args, kwargs)
        found = {player.key: self._prepare(given.get(player.key), player) for player in players}
        compile_arguments.require_distinct(found)
        super().compile(**kwargs)
        self.random.for_xla = self.jit_compile
        for key, optimizer in found.items():
            setattr(self, f"{key}_optimizer", optimizer)
        self.optimizer = Optimizers(self)  # for Keras's callbacks
        for player in players:
            if not found[player.key].built:
                found[player.key].build(player.variables)
            if self.historical_averaging and not hasattr(self, _history(player)):
                setattr(self, _history(player), HistoricalAverages(player.variables, name=_history(player)))

    def _prepare(self, optimizer: keras.optimizers.Optimizer | str | None, player: Player):
        if optimizer is None:
            optimizer = self.default_optimizer(player.name)
        optimizer = compile_arguments.get_optimizer(f"{player.key}_optimizer", optimizer, player.variables)
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        optimizers.check_half_precision(optimizer, player.variables)
        if scaled or not any(map(computes_in_float16, self.networks().values())):
            return optimizer
        return optimizers.LossScaleOptimizer(optimizer)


def _history(player: Player) -> str:
    """Name of the attribute with the historical averages of a player."""
    return f"{player.key}_history"


def labels_tensor(label: Any, classes: int) -> tf.Tensor:
    """Converts labels to an int32 tensor.

    Args:
        label: One class, or one for each example, [n].
        classes: K.

    Raises:
        UserError: If a label is not a whole number from 0 to K - 1.
    """
    labels = tf.convert_to_tensor(label)
    if not labels.dtype.is_integer:
        raise UserError(f"label must be a whole number from 0 to {classes - 1}, not {label!r}.")
    static = tf.get_static_value(labels)
    if static is not None and not ((static >= 0) & (static < classes)).all():
        raise UserError(f"label must be from 0 to {classes - 1}, not {label!r}.")
    return tf.cast(labels, tf.int32)
