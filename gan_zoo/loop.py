"""How Keras's `fit` runs training steps: several in one graph, also on several replicas."""

import weakref

import keras
import tensorflow as tf


class RunsSteps:
    """A mixin for a `keras.Model` whose `train_step` returns the same logs on all replicas.

    Keras 3.15 cannot take more than one step at a time on several replicas ("You must feed a value for placeholder
    tensor"), nor log scalars under MultiWorkerMirroredStrategy (keras#20585). Here a loop in the graph does both, and
    no log is reduced a second time.
    """

    _made_for: int | None = None
    batches_in_epoch: int | None = None
    """What an iterator that `fit` trains from will give, if that is known."""

    def make_train_function(self, force: bool = False):
        """Makes what `fit` calls with an iterator for each `steps_per_execution` steps, for the last one's logs."""
        # Keras keeps the graph of the former number of steps when that is changed.
        if self.train_function is not None and not force and self._made_for == self.steps_per_execution:
            return
        self._made_for = self.steps_per_execution
        super().make_train_function(force=True)
        if self.distribute_strategy.num_replicas_in_sync > 1 and not self.run_eagerly:
            self.train_function = self._steps_on_replicas(self.train_function)

    def _steps_on_replicas(self, keras_function):
        strategy, most = self.distribute_strategy, self.steps_per_execution
        seen, taken = None, 0

        @tf.function(reduce_retracing=True, jit_compile=self.jit_compile)
        def step(data):
            logs = strategy.run(self.train_step, args=(data,))
            return keras.tree.map_structure(lambda value: strategy.experimental_local_results(value)[0], logs)

        @tf.function(reduce_retracing=True)
        def steps(iterator, count):
            logs = step(next(iterator))
            for _ in tf.range(count - 1):
                logs = step(next(iterator))
            return logs

        def function(iterator):
            nonlocal seen, taken
            if not isinstance(iterator, tf.distribute.DistributedIterator):
                return keras_function(iterator)
            if seen is None or seen() is not iterator:
                seen, taken = weakref.ref(iterator), 0
            # The last call of an epoch may find fewer batches than it could take.
            left = most if self.batches_in_epoch is None else self.batches_in_epoch - taken
            count = min(most, left) if left > 0 else most
            taken += count
            try:
                return steps(iterator, tf.constant(count))
            except tf.errors.OutOfRangeError:
                raise StopIteration from None

        return function
