"""The base class: Algorithm 1 of Goodfellow et al. (2014) as a Keras model that a variant completes with two losses."""

import contextlib
import dataclasses
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from gan_zoo import balance as balances
from gan_zoo import compiling, layers, networks, optimizers
from gan_zoo.arguments import KeepsArguments, KeepsOptimizers
from gan_zoo.building import BuildsNetworks
from gan_zoo.checks import whole
from gan_zoo.distribution import FixedStream, RandomStream, global_log
from gan_zoo.errors import UserError
from gan_zoo.evaluation import Evaluates
from gan_zoo.examples import Examples, count_assertion
from gan_zoo.feeding import TakesData
from gan_zoo.learning_rates import Optimizers
from gan_zoo.loop import Retraces, RunsSteps
from gan_zoo.precision import at_least_float32, cast_floats, computes_in_float16, dtype_of
from gan_zoo.saving import Saves

if keras.backend.backend() != "tensorflow":
    raise ImportError("gan_zoo needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow before keras is imported.")

Loss = Callable[[Any, Any], tf.Tensor]
Variables = Sequence[keras.Variable]


class GAN(
    KeepsArguments, KeepsOptimizers, BuildsNetworks, TakesData, Retraces, RunsSteps, Evaluates, Saves, keras.Model
):
    """A generative adversarial network: two players, two losses, and the loop that trains them in turn.

    A variant subclasses `GAN` and states what its paper states, the losses:

        class MyGAN(GAN):
            def discriminator_loss(self, x, z):
                return mean(softplus(-self.D(x))) + mean(softplus(self.D(self.G(z))))

            def generator_loss(self, x, z):
                return mean(softplus(-self.D(self.G(z))))

    and overrides more only where the paper changes more: `default_optimizer` (its optimizers), `sample_latent` (its
    prior), `discriminator_variables` and `generator_variables` (who owns what), `discriminator_step` and
    `generator_step` (one player's turn), `train_step` (who moves when).

    Contracts:
        x: One minibatch: images, float32, [B, H, W, C] in [-1, 1], or points, [B, 2]. `gan_zoo.examples` says what data
            is brought to that form, and what is refused. A class whose own losses read more, say (images, labels),
            gets any structure as the dataset yields it.
        z: What `sample_latent(B)` returns: [B, Z].
        Losses: Scalars, float32, minimised, averaged over the batch. `minimize` differentiates a player's loss with
            respect to that player's variables only, so a loss needs no `stop_gradient` for the other player's sake.
        Data: One dataset batch holds `n_critic` minibatches of B examples, so that each of the discriminator's turns
            sees fresh data and one Keras step is one generator update. A generator loss that reads x gets the
            minibatch of the discriminator's last turn.
        Precision: Networks compute in Keras's policy, losses in float32; in float64 if both networks do. A step casts
            x to the losses' dtype.
        Layers: One with a method `begin_turn()` is told when a player's turn begins, before any network is called.
        Logs: "d_loss" (the mean over the discriminator's turns), "g_loss", and what the losses `record`.
        Replicas: The gradient applied is that of the mean loss over all replicas. Random numbers come from
            `self.random`, whose rows N replicas share out, so N replicas with B / N examples each take the step of
            one with B; batch normalization is the exception, its statistics being each replica's own.

    `for_images` and `for_points` build a variant with networks: see `gan_zoo.building`.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1], or points, [B, 2].
        discriminator: Maps what the generator makes to raw scores, [B, 1], high for real data.
        n_critic: Discriminator turns for each generator turn (k in Algorithm 1). Defaults to 1, as in Section 5 there.
        simultaneous: Whether both players move from the same point: simultaneous gradient descent, SimGD. By default G
            sees D where its turn has taken it: alternating gradient descent, AltGD. Of `n_critic` turns of D, the last
            is the simultaneous one. Mescheder et al. (2018), Section 2.
        balance: When G's turn comes, see `gan_zoo.balance`: "constant", after every `n_critic` turns of D; "warm_up";
            or "until(d_loss=...)". A step that G sits out still takes the time of its turn.
        instance_noise: Standard deviation of the normal noise on everything that D sees, real and generated, in both
            players' turns, Sonderby et al. (2017), Section 3. Defaults to 0, none.
        noise_turns: Turns, of both players together, over which the noise falls linearly to 0; 0 keeps it constant.
        prior: p(z): "normal", N(0, I), or "uniform", U[-1, 1]^Z.
        latent_dim: Z; by default the generator's input size.
        seed: Seeds the latents and every other random draw of training. None draws one.
        **kwargs: `name`, `dtype` and so on, for `keras.Model`.

    Raises:
        UserError: If an argument is none of the above, or Z cannot be told from the generator.

    References:
        Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
        Sonderby et al., 2017, https://arxiv.org/abs/1610.04490
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        n_critic: int = 1,
        simultaneous: bool = False,
        balance: str = "constant",
        instance_noise: float = 0.0,
        noise_turns: int = 0,
        prior: str = "normal",
        latent_dim: int | None = None,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.autocast = False  # the networks cast what they get
        if not isinstance(n_critic, int) or n_critic < 1:
            raise UserError(f"n_critic must be a whole number from 1 up, not {n_critic!r}.")
        if prior not in ("normal", "uniform"):
            raise UserError(f"prior must be 'normal' or 'uniform', not {prior!r}.")
        self.generator = generator
        self.discriminator = discriminator
        self.n_critic = n_critic
        self.simultaneous = simultaneous
        self.balance = balance
        self.instance_noise = instance_noise
        self.noise_turns = whole("noise_turns", noise_turns, 0)
        self.prior = prior
        self.latent_dim = latent_dim or _input_size(generator)
        self.seed = seed
        start = [random.randrange(2**31) if seed is None else seed, 0]
        # An attribute of its own, so that tf.train.Checkpoint finds it.
        self.random_state = self.add_weight(
            (2,), lambda *_, **__: start, dtype="int64", trainable=False, name="random_state"
        )
        self.random = RandomStream(self.random_state)
        self._noise = layers.InstanceNoise(instance_noise, noise_turns, self.random) if instance_noise else None
        self._balance = balances.parse(balance)
        self._balance.prepare(self)
        self._recorded = threading.local()  # MirroredStrategy traces each replica in a thread of its own
        if not generator.built:
            generator.build((None, self.latent_dim))
        if not discriminator.built:
            discriminator.build((None, *generator.output_shape[1:]))
        self.built = True  # else Keras would build the model under a strategy by calling it on images

    # What a variant states.

    def discriminator_loss(self, x: Any, z: Any) -> tf.Tensor:
        """The discriminator's loss on a minibatch x and as many latents z: a float32 scalar to minimise."""
        raise NotImplementedError(f"{type(self).__name__} must implement discriminator_loss(x, z).")

    def generator_loss(self, x: Any, z: Any) -> tf.Tensor:
        """The generator's loss on a minibatch x and as many latents z: a float32 scalar to minimise."""
        raise NotImplementedError(f"{type(self).__name__} must implement generator_loss(x, z).")

    def default_optimizer(self, player: str) -> keras.optimizers.Optimizer:
        """The paper's optimizer for `player`, "discriminator" or "generator"; here that of Radford et al. (2016)."""
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    # The words that losses are written in.

    def G(self, z: Any) -> tf.Tensor:
        """The generator in training mode: latents, [B, Z], to float32 images, [B, H, W, C]."""
        return at_least_float32(self.generator(z, training=True))

    def D(self, *xs: Any) -> Any:
        """The discriminator in training mode: images, [B, H, W, C], to float32 raw scores, [B, 1].

        Of several minibatches, real and generated ones, it gives as many scores. Convolutional networks that treat
        examples one by one see them in one pass; otherwise each has a pass, and batch statistics, of its own.
        """
        if len(xs) > 1:
            dtype = dtype_of(self.discriminator)
            xs = [cast_floats(x, dtype) for x in xs]
        noisy = xs if self._noise is None else [self._noise(x) for x in xs]
        if len(xs) == 1 or not networks.one_pass_pays(self.discriminator):
            scores = [self._score(x) for x in noisy]
            return scores[0] if len(xs) == 1 else scores
        scores = self._score(tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *noisy))
        sizes = [batch_size(x) for x in xs]
        outputs = [tf.split(output, sizes) for output in tf.nest.flatten(scores)]
        return [tf.nest.pack_sequence_as(scores, parts) for parts in zip(*outputs, strict=True)]

    def _score(self, x: Any) -> Any:
        return tf.nest.map_structure(at_least_float32, self.discriminator(x, training=True))

    def sample_latent(self, n: int, seed: int | None = None) -> tf.Tensor:
        """`n` latents from the prior, float32, [n, Z].

        Without a seed they come from the model's own stream, which training draws from, too, and checkpoints keep.
        With one they depend on nothing else, and the stream stays where it is.
        """
        draws = self.random if seed is None else FixedStream(seed)
        shape = [n, self.latent_dim]
        return draws.normal(shape) if self.prior == "normal" else draws.uniform(shape, -1.0, 1.0)

    def record(self, name: str, value: tf.Tensor) -> None:
        """Logs a term of a loss, a scalar, under `name`; where a step records it more than once, their mean."""
        values = self.recorded(name)
        if not getattr(self._recorded, "all", False):
            values.clear()
        values.append(value)

    def recorded(self, name: str) -> list[tf.Tensor]:
        """What was recorded under `name` in this step so far; outside of a step the last value alone."""
        return self._recorded.__dict__.setdefault("values", {}).setdefault(name, [])

    @contextlib.contextmanager
    def recording(self) -> Iterator[dict[str, list[tf.Tensor]]]:
        """Collects what losses `record` within the block, by name; at its end nothing of that is kept."""
        outer = dict(self._recorded.__dict__)
        self._recorded.all, self._recorded.values = True, {}
        try:
            yield self._recorded.values
        finally:
            self._recorded.__dict__.clear()
            self._recorded.__dict__.update(outer)

    # Algorithm 1.

    @property
    def discriminator_variables(self) -> Variables:
        return self.discriminator.trainable_variables

    @property
    def generator_variables(self) -> Variables:
        return self.generator.trainable_variables

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """`n_critic` discriminator turns, then a generator turn, on `n_critic` minibatches; returns the logs."""
        with self.recording() as recorded:
            *minibatches, last = self.split(Examples.of(self).bring(data))
            for x in minibatches:
                self.discriminator_step(x)
            self.both_step(last)
            return {name: global_log(values) for name, values in recorded.items()}

    def both_step(self, x: Any) -> None:
        """The discriminator's last turn and the generator's, one after the other or `simultaneous`ly."""
        if self.simultaneous:
            loss, gradients = self.differentiate(self.generator_loss, x, self.generator_variables, self.g_optimizer)
            with tf.control_dependencies([g for g in gradients if g is not None]):
                self.discriminator_step(x)
            self.g_optimizer.apply(gradients, self.generator_variables)
            self.record("g_loss", loss)
            return
        self.discriminator_step(x)
        self._balance.generator_turn(self, x)

    def discriminator_step(self, x: Any) -> None:
        """The discriminator's turn: one update on the minibatch x and fresh latents."""
        loss = self.minimize(self.discriminator_loss, x, self.discriminator_variables, self.d_optimizer)
        self.record("d_loss", loss)

    def generator_step(self, x: Any) -> None:
        """The generator's turn: one update on fresh latents."""
        loss = self.minimize(self.generator_loss, x, self.generator_variables, self.g_optimizer)
        self.record("g_loss", loss)

    def minimize(self, loss: Loss, x: Any, variables: Variables, optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
        """One optimizer step on `loss(x, z)` with respect to `variables` and fresh latents; returns the loss."""
        value, gradients = self.differentiate(loss, x, variables, optimizer)
        optimizer.apply(gradients, variables)
        return value

    def differentiate(self, loss: Loss, x: Any, variables: Variables, optimizer: keras.optimizers.Optimizer):
        """Begins a turn: `loss(x, z)` at fresh latents, and what `optimizer` takes as its gradients."""
        self.begin_turn()
        z = self.sample_latent(batch_size(x))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            value = loss(x, z)
            # Optimizers sum gradients over replicas: each contributes its share of the mean.
            share = optimizer.scale_loss(value / tf.distribute.get_strategy().num_replicas_in_sync)
        gradients = tape.gradient(share, [variable.value for variable in variables])
        # No variable moves before the last gradient is there. TensorFlow orders reads and writes itself, but Grappler
        # drops some of these orderings, and a penalty's read of a bias could then race with that bias's update.
        with tf.control_dependencies([value, *(g for g in gradients if g is not None)]):
            return value, [None if g is None else tf.identity(g) for g in gradients]

    def begin_turn(self) -> None:
        """Tells the layers that want to know it that a turn begins."""
        for layer in self._flatten_layers(include_self=False):
            if hasattr(layer, "begin_turn"):
                layer.begin_turn()

    def split(self, data: Any) -> list[Any]:
        """The `n_critic` minibatches of one dataset batch.

        They are strided, not consecutive: then the parts of a batch that replicas get are parts of the very minibatches
        that one replica would see.

        Raises:
            UserError: If the batch does not hold `n_critic` minibatches of equal size.
        """
        if self.n_critic == 1:
            return [data]
        n = batch_size(data)
        if isinstance(n, int) and n % self.n_critic:
            own = dataclasses.replace(Examples.of(self), replicas=1)
            raise UserError(own.count_told(n))
        if not isinstance(n, int):
            with tf.control_dependencies([count_assertion(n, n % self.n_critic == 0, is_part=True)]):
                data = tf.nest.map_structure(tf.identity, data)
        parts = tf.nest.map_structure(lambda t: tf.reshape(t, [-1, self.n_critic, *t.shape[1:]]), data)
        return [tf.nest.map_structure(lambda t, k=k: t[:, k], parts) for k in range(self.n_critic)]

    # Keras.

    def call(self, z: Any) -> tf.Tensor:
        """Samples for the latents z, [B, Z], in inference mode: images, [B, H, W, C] in [-1, 1]."""
        return self.generator(z, training=False)

    def compile(
        self,
        d_optimizer: keras.optimizers.Optimizer | str | None = None,
        g_optimizer: keras.optimizers.Optimizer | str | None = None,
        **kwargs,
    ) -> None:
        """Sets the players' optimizers, by default the paper's (`default_optimizer`), and builds their state.

        Their learning rates may be numbers or schedules. An optimizer that was built for a player before keeps its
        state. Where a network computes in float16, as under the policy mixed_float16, both get loss scaling, unless
        they bring their own: see `gan_zoo.optimizers.LossScaleOptimizer`. `kwargs` (`jit_compile`, `run_eagerly`,
        `steps_per_execution`) go to `keras.Model.compile`.

        Raises:
            UserError: If an argument is not an optimizer, both are one object, or `kwargs` has a loss, metrics or one
                optimizer for both.
        """
        kwargs = compiling.keras_arguments(kwargs)
        d_optimizer = self._prepare(d_optimizer, "discriminator", self.discriminator_variables)
        g_optimizer = self._prepare(g_optimizer, "generator", self.generator_variables)
        compiling.require_two(d_optimizer, g_optimizer)
        super().compile(**kwargs)
        self.random.for_xla = self.jit_compile
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.optimizer = Optimizers(self)  # for Keras's callbacks
        for optimizer, variables in (
            (d_optimizer, self.discriminator_variables),
            (g_optimizer, self.generator_variables),
        ):
            if not optimizer.built:
                optimizer.build(variables)

    def _prepare(self, optimizer: keras.optimizers.Optimizer | str | None, player: str, variables: Variables):
        if optimizer is None:
            optimizer = self.default_optimizer(player)
        optimizer = compiling.get_optimizer(f"{player[0]}_optimizer", optimizer, variables)
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        optimizers.check_half_precision(optimizer, getattr(self, f"{player}_variables"))
        if scaled or not any(map(computes_in_float16, (self.generator, self.discriminator))):
            return optimizer
        return optimizers.LossScaleOptimizer(optimizer)


def batch_size(x: Any) -> int | tf.Tensor:
    """The number of examples in a minibatch of any structure: an int where it is static."""
    first = tf.nest.flatten(x)[0]
    return first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]


def _input_size(generator: keras.Model) -> int:
    try:
        return int(generator.input_shape[-1])
    except (AttributeError, TypeError, ValueError):
        raise UserError("latent_dim cannot be told from this generator: pass latent_dim=Z.") from None
