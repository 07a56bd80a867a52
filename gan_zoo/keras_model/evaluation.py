"""Evaluation: the players' losses on held-out data, for `evaluate` and the `validation_data` of `fit`."""

import dataclasses
import itertools
from typing import Any

import keras
import tensorflow as tf

from gan_zoo.keras_model.examples import Examples
from gan_zoo.keras_model.fit_data import Feed, feed, source_of
from gan_zoo.penalties import in_every_turn
from gan_zoo.util.errors import UserError

_FIRST_DRAW = -(2**62)
"""Position of evaluation's first draw in the model's random stream. The draws of training start at 0, far from it."""
_DRAWS = 2**32
"""The number of draws that are reserved for each batch of evaluation."""


class Evaluates:
    """A mixin for a `GAN`: `evaluate`, `test_on_batch` and `validation_data` return the losses on held-out data.

    The results are every player's loss, such as "d_loss" and "g_loss", and the terms that the losses record, averaged
    over the examples. They are the losses that training minimises, so networks run in training mode, with the batch's
    own statistics. The weights, the moving statistics, the optimizers and the random stream do not change, so training
    continues as without the evaluation. Each batch is one minibatch, whatever `n_critic` is. The latents are the same
    in each evaluation. A penalty that training computes in every n-th turn only is computed in every batch with weight
    1, which is its mean over turns. Under a strategy with several replicas, one replica evaluates whole batches.
    """

    _batch_index: int | tf.Tensor = 0

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Returns the losses of one batch of held-out data, scalars by name. It does not change the model."""
        x = Examples.of(self).convert(data)
        draws = tf.stack([self.random.state.value[0], _FIRST_DRAW + _DRAWS * tf.cast(self._batch_index, tf.int64)])
        # The scope catches the assignments of layers and the random stream, so no variable changes.
        with self.recording() as recorded, in_every_turn(), keras.StatelessScope([(self.random.state, draws)]):
            z = self.latents_for(x)
            logs = {f"{player.key}_loss": self.turn_loss(player)(x, z) for player in self.players()}
            return logs | {name: tf.reduce_mean(tf.stack(values)) for name, values in recorded.items()}

    def fit(self, x: Any = None, *args, validation_data: Any = None, **kwargs) -> keras.callbacks.History:
        if validation_data is not None:
            held_out, y, sample_weight = keras.utils.unpack_x_y_sample_weight(validation_data)
            size, steps = kwargs.get("validation_batch_size"), kwargs.get("validation_steps")
            validation_data = self._held_out(held_out, y, sample_weight, size, steps)
        return super().fit(x, *args, validation_data=validation_data, **kwargs)

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs,
    ) -> dict[str, float] | list[float]:
        """Returns the losses on held-out data, like `keras.Model.evaluate`: see the class.

        Args:
            x: Real examples as for `fit`.
            y: As for `fit`. So are `sample_weight`, `verbose` and `callbacks`.
            batch_size: The number of examples in a batch, for an array.
            steps: The number of batches to evaluate; by default all.
            return_dict: Whether to return the losses as a dict by name; else they are a list, in the order of the
                names.

        Raises:
            UserError: If the networks cannot take x.
        """
        options = {"verbose": verbose, "steps": steps, "callbacks": callbacks, "return_dict": return_dict}
        if isinstance(x, Feed):  # from `fit`
            return super().evaluate(x, **options, **kwargs)
        held_out = self._held_out(x, y, sample_weight, batch_size, steps)
        with self._user_errors(Examples.of(self), source_of(x), held_out.element):
            return super().evaluate(held_out, **options, **kwargs)

    def _held_out(self, x: Any, y: Any, sample_weight: Any, batch_size: int | None, steps: int | None) -> Feed:
        wanted = dataclasses.replace(Examples.of(self, probe=True), n_critic=1, replicas=1)
        own = {"x": x, "y": y, "sample_weight": sample_weight, "class_weight": None, "batch_size": batch_size}
        return feed(wanted, source_of(x), shuffle=False, steps=steps, on_range=lambda low, high: None, **own)

    def make_test_function(self, force: bool = False):
        """Makes the function that `evaluate` calls: it evaluates `steps_per_execution` batches and returns the means.

        Raises:
            UserError: Under MultiWorkerMirroredStrategy.
        """
        if self.test_function is not None and not force:
            return
        strategy = self.distribute_strategy
        if strategy.extended._in_multi_worker_mode():
            raise UserError(
                "evaluate and validation_data work in one process, not under MultiWorkerMirroredStrategy: save the GAN "
                "and evaluate it in another process."
            )

        def step(data, index):
            self.__dict__["_batch_index"] = index  # bypasses Keras's tracking of attributes
            try:
                return self.test_step(data)
            finally:
                del self.__dict__["_batch_index"]

        graph = None if self.run_eagerly else tf.function(step, autograph=False)

        def function(iterator):
            batches = list(itertools.islice(iterator, self.steps_per_execution))
            if not batches:
                raise StopIteration
            for data in batches:
                data = keras.tree.map_structure(lambda value: _whole(strategy, value), data)
                index = tf.constant(self._means.batches, tf.int64)
                # Calling the function itself would make TensorFlow warn of retracing if several models are evaluated.
                evaluate = step if graph is None else graph.get_concrete_function(data, index)
                self._means.add(evaluate(data, index), len(next(x for x in keras.tree.flatten(data) if x is not None)))
            return self._means.result()

        self.test_function = function

    def __call__(self, z: Any, *args, **kwargs) -> Any:
        """Like `keras.Model.__call__`.

        Raises:
            UserError: If z does not have the shape of the generator's latents. `predict` and `predict_on_batch` also
                raise it.
        """
        self._require_latents(z)  # here and not in `call`, whose errors Keras wraps
        return super().__call__(z, *args, **kwargs)

    def predict(self, x: Any, *args, **kwargs) -> Any:
        """Like `keras.Model.predict`: returns samples for latents, [N, Z], as an array."""
        self._require_latents(x)
        return super().predict(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Like `keras.Model.predict_on_batch`: returns samples for latents, [B, Z], as an array."""
        self._require_latents(x)
        return super().predict_on_batch(x)

    def _require_latents(self, z: Any) -> None:
        if self.classes is not None and hasattr(z, "shape"):
            raise UserError(
                f"{type(self).__name__} has classes={self.classes} and maps pairs (z, y) of latents and labels to "
                f"samples: pass a pair, such as gan.sample_latent(n, label=0)."
            )
        _require_latents(z, self.sampling_network)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None) -> None:
        """Does nothing: a GAN is always built. Keras would sum the replicas' parts, whose sizes may differ."""

    def reset_metrics(self) -> None:
        super().reset_metrics()
        self._means = _Means()


class _Means:
    """Running means of logs over the examples of all batches so far."""

    def __init__(self):
        self._sums, self._examples, self.batches = {}, 0, 0

    def add(self, logs: dict[str, tf.Tensor], examples: int) -> None:
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value) * examples
        self._examples += examples
        self.batches += 1

    def result(self) -> dict[str, float]:
        return {name: total / self._examples for name, total in self._sums.items()}


def _whole(strategy: tf.distribute.Strategy, value: Any) -> Any:
    """The whole batch that a strategy has divided among its replicas; None for None or Keras's placeholder."""
    if value is None or isinstance(value, tf.experimental.Optional):
        return None
    return tf.concat(strategy.experimental_local_results(value), axis=0)


def _require_latents(z: Any, network: keras.Model) -> None:
    """Checks that latents have the generator's input shape, as far as both shapes are known.

    Raises:
        UserError: If the shape differs.
    """
    wanted, given = getattr(network, "input_shape", None), getattr(z, "shape", None)
    if not (isinstance(wanted, tuple) and len(wanted) == 2 and wanted[1] is not None) or given is None:
        return
    if getattr(given, "rank", 0) is None:
        return
    given = tuple(given)
    if len(given) != 2 or given[1] not in (None, wanted[1]):
        raise UserError(
            f"A GAN maps latents, [B, {wanted[1]}], to samples, but this has the shape {list(given)}: pass "
            f"gan.sample_latent(n). gan.discriminator scores examples, and gan.evaluate gives the losses on them."
        )
