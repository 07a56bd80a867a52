"""Mixins for Keras's training loop: several steps in one graph, on any number of replicas, and retracing."""

import weakref
from collections.abc import Callable

import keras
import tensorflow as tf


class Retraces:
    """A mixin for a `keras.Model` whose graphs depend on Python values: it traces again after these have changed.

    Keras itself traces the steps of `fit`, `evaluate` and `predict` once and keeps the graphs.
    """

    def traced_for(self) -> tuple:
        """The values that the graphs depend on. Keras itself does not trace again for a new `steps_per_execution`."""
        return (self.steps_per_execution,)

    def retrace(self) -> None:
        """Traces each existing graph again if `traced_for` has changed. It may be called during `fit`."""
        for name in ("train", "test", "predict"):
            if getattr(self, f"{name}_function", None) is not None:
                getattr(self, f"make_{name}_function")()

    def load_weights(self, *args, **kwargs) -> None:
        """Like `keras.Model.load_weights`."""
        super().load_weights(*args, **kwargs)
        self.retrace()

    def make_train_function(self, force: bool = False):
        """Makes the function that `fit` calls, if there is none or if it is stale."""
        stale = self._is_stale("_train_traced_for")
        return super().make_train_function(force or stale)

    def make_test_function(self, force: bool = False):
        """Makes the function that `evaluate` calls, if there is none or if it is stale."""
        stale = self._is_stale("_test_traced_for")
        return super().make_test_function(force or stale)

    def make_predict_function(self, force: bool = False):
        """Makes the function that `predict` calls, if there is none or if it is stale."""
        stale = self._is_stale("_predict_traced_for")
        return super().make_predict_function(force or stale)

    def _is_stale(self, attribute: str) -> bool:
        before, now = getattr(self, attribute, None), self.traced_for()
        setattr(self, attribute, now)
        return before != now


class RunsSteps:
    """A mixin for a `keras.Model` whose `train_step` returns the same logs on all replicas.

    Keras 3.15 cannot run more than one step per call on several replicas ("You must feed a value for placeholder
    tensor"), and it cannot log scalars under MultiWorkerMirroredStrategy (keras#20585). Here a loop in the graph does
    both, and logs are not reduced a second time.

    A callback runs between calls of the graph only. For an action after every step, whatever the number of steps per
    call, register a follower: see `follow`.
    """

    _made_for: tuple[Callable, ...] = ()
    _followers: tuple[Callable, ...] = ()
    batches_in_epoch: int | None = None
    """The number of batches in an epoch, for `fit` from an iterator; None if it is not known."""

    def follow(self, follower: Callable[[dict], None]) -> None:
        """Calls `follower(logs)` in the graph after every step, until the end of the current or next `fit`.

        Callbacks use it in `set_model`. The follower is called outside of the replicas.
        """
        if follower not in self._followers:
            self._followers = (*self._followers, follower)

    def fit(self, *args, **kwargs):
        try:
            return super().fit(*args, **kwargs)
        finally:
            self._followers = ()

    def make_train_function(self, force: bool = False):
        """Makes the function that `fit` calls: it takes `steps_per_execution` steps and returns the last one's logs."""
        if self.train_function is not None and not force and self._made_for == self._followers:
            return
        self._made_for = self._followers
        super().make_train_function(force=True)
        if self._followers or (self.distribute_strategy.num_replicas_in_sync > 1 and not self.run_eagerly):
            self.train_function = self._own_loop(self.train_function)

    def _own_loop(self, keras_function):
        strategy, most, followers = self.distribute_strategy, self.steps_per_execution, self._followers
        seen, taken = None, 0

        def graph(**options):
            return (lambda function: function) if self.run_eagerly else tf.function(reduce_retracing=True, **options)

        # As in Keras's own loop, AutoGraph leaves the step as it is: its conversion takes seconds.
        as_is = tf.autograph.experimental.do_not_convert

        @graph(jit_compile=self.jit_compile)
        @as_is
        def step(data):
            logs = strategy.run(self.train_step, args=(data,))
            return keras.tree.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)

        @as_is
        def followed(data):
            logs = step(data)
            for follower in followers:
                follower(logs)
            return logs

        @graph()
        def steps(iterator, count):
            logs = followed(next(iterator))
            for _ in tf.range(count - 1):
                logs = followed(next(iterator))
            return logs

        def function(iterator):
            nonlocal seen, taken
            if not isinstance(iterator, tf.distribute.DistributedIterator | tf.data.Iterator):
                return keras_function(iterator)
            if seen is None or seen() is not iterator:
                seen, taken = weakref.ref(iterator), 0
            # In the last call of an epoch, fewer batches may be left.
            left = most if self.batches_in_epoch is None else self.batches_in_epoch - taken
            count = min(most, left) if left > 0 else most
            taken += count
            try:
                return steps(iterator, tf.constant(count))
            except tf.errors.OutOfRangeError:
                raise StopIteration from None

        return function
