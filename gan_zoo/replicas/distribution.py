"""Helpers for losses on several replicas: means over the whole batch, and random streams that replicas share.

Both ensure that N replicas with B / N examples each take exactly the step that one replica takes with B examples.
"""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from gan_zoo.util import seeds

_ALGORITHM = "philox"  # explicit, because TensorFlow's default is another algorithm on TPUs


def replica_context() -> tuple[int, int | tf.Tensor]:
    """Returns the number of replicas in sync and this replica's index; (1, 0) outside of a strategy's `run`."""
    context = tf.distribute.get_replica_context()
    if context is None:
        return 1, 0
    return context.num_replicas_in_sync, context.replica_id_in_sync_group


def global_mean(x: tf.Tensor, axis: int | list[int] | None = None, keepdims: bool = False) -> tf.Tensor:
    """Mean of `x` over the given axes and over all replicas. Gradients flow through all replicas' parts.

    Use it for a batch statistic inside of a nonlinearity (relativistic averages, feature gaps), where statistics of
    single replicas would give another loss. Plain averages use `tf.reduce_mean`, because the base class averages losses
    over replicas.

    Args:
        x: A tensor of any shape.
        axis: The axes to reduce; by default all. They should include the batch axis, 0.
        keepdims: Whether to keep the reduced axes, with length 1.
    """
    return replica_mean(tf.reduce_mean(x, axis, keepdims))


def replica_mean(x: tf.Tensor) -> tf.Tensor:
    """Mean over all replicas of `x`, whose shape is the same on all. Gradients flow through all replicas' parts.

    Use it for values that are already means over the replica's own examples, such as the gradient of a mean loss.
    """
    replicas, _ = replica_context()
    if replicas == 1:
        return x
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, x)


def whole_batch(x: tf.Tensor) -> tf.Tensor:
    """Concatenates the rows of all replicas' `x`, [B / N, ...] each, to [B, ...], without a gradient."""
    replicas, _ = replica_context()
    x = tf.stop_gradient(x)
    if replicas == 1:
        return x
    # `all_gather` of an unknown number of rows loses the static shape of the other axes.
    return tf.ensure_shape(tf.distribute.get_replica_context().all_gather(x, axis=0), [None, *x.shape[1:]])


def joined(x: tf.Tensor) -> tf.Tensor:
    """Concatenates the rows of all replicas' `x`, [B / N, ...] each, to [B, ...]. Gradients flow to all replicas.

    Use it for losses of pairs of examples, where each replica pairs its own rows with all rows.
    """
    replicas, index = replica_context()
    if replicas == 1:
        return x
    places = tf.reshape(tf.one_hot(index, replicas, dtype=x.dtype), [replicas, *([1] * x.shape.rank)])
    return tf.reshape(replicas * replica_mean(places * x), [-1, *x.shape[1:]])


def global_log(values: list[tf.Tensor]) -> tf.Tensor:
    """The mean of scalars over all replicas."""
    return global_mean(tf.stack(values))


class RandomStream:
    """A seeded stream of random numbers, whose state is a variable of the model.

    Each draw covers the whole batch of all replicas, and a replica gets its own rows. So replicas get different
    numbers, and N replicas together get the same numbers as one replica with the whole batch.

    Args:
        state: An int64 variable, [2]: the seed and the number of draws so far.
        purpose: The purpose of the numbers. Streams of other purposes, and `FixedStream`, give other numbers for the
            same seed.

    Attributes:
        for_xla: Whether XLA will compile the draws. XLA makes the same random bits as TensorFlow's kernels, but
            converts them to other numbers. If this is True, the numbers are the same up to rounding.
    """

    def __init__(self, state: keras.Variable, purpose: str = "training"):
        self.state = state
        self.for_xla = False
        self._mask = [seeds.stream(0, purpose), 0]

    def _next(self) -> tf.Tensor:
        state = self.state.value + 0  # a copy, because the next line changes the variable
        self.state.assign(state + tf.constant([0, 1], state.dtype))
        return tf.bitwise.bitwise_xor(state, tf.constant(self._mask, state.dtype))

    def uniform(self, shape, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Numbers from U[low, high); `shape[0]` is the replica's batch size."""
        if self.for_xla:
            return low + (high - low) * _own_rows(_uniform_of_bits, shape, self._next())
        return _own_rows(tf.random.stateless_uniform, shape, self._next(), minval=low, maxval=high)

    def normal(self, shape) -> tf.Tensor:
        """Numbers from N(0, 1); `shape[0]` is the replica's batch size."""
        return _own_rows(_normal_of_bits if self.for_xla else tf.random.stateless_normal, shape, self._next())

    def normal_like(self, x: tf.Tensor) -> tf.Tensor:
        """Numbers from N(0, 1) in the shape and dtype of `x`, [B, ...]. B may be unknown when the graph is traced."""
        batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        return tf.cast(self.normal([batch, *x.shape[1:]]), x.dtype)

    def normals(self, shape) -> Callable[[tf.Tensor], tf.Tensor]:
        """Makes one draw for a compiled loop: returns a function from a step's number to numbers like `normal`."""
        draw, seed = _normal_of_bits if self.for_xla else tf.random.stateless_normal, self._next()
        return lambda step: _own_rows(draw, shape, tf.random.fold_in(seed, step, _ALGORITHM))


class FixedStream:
    """Random numbers that depend on `seed` only: the same calls give the same numbers on every machine."""

    def __init__(self, seed: int | tf.Tensor):
        self._seed, self._draws = tf.cast(seed, tf.int64), 0

    def _next(self) -> tf.Tensor:
        self._draws += 1
        return tf.stack([self._seed, tf.constant(self._draws, tf.int64)])

    def uniform(self, shape, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Numbers from U[low, high)."""
        return tf.random.stateless_uniform(shape, self._next(), minval=low, maxval=high, alg=_ALGORITHM)

    def normal(self, shape) -> tf.Tensor:
        """Numbers from N(0, 1)."""
        return tf.random.stateless_normal(shape, self._next(), alg=_ALGORITHM)

    def normals(self, shape) -> Callable[[tf.Tensor], tf.Tensor]:
        """Makes one draw for a compiled loop: returns a function from a step's number to numbers like `normal`."""
        seed = self._next()
        return lambda step: tf.random.stateless_normal(shape, tf.random.fold_in(seed, step, _ALGORITHM), alg=_ALGORITHM)


def _own_rows(draw, shape, seed, **kwargs) -> tf.Tensor:
    replicas, index = replica_context()
    if replicas == 1:
        return draw(shape, seed, alg=_ALGORITHM, **kwargs)
    # Keeps axes whose length is a Python number. The length of an axis that is unstacked from a tensor is not static.
    axes = shape if isinstance(shape, list | tuple | tf.TensorShape) else tf.unstack(tf.convert_to_tensor(shape))
    return draw([replicas, *axes], seed, alg=_ALGORITHM, **kwargs)[index]


def _uniform_of_bits(shape, seed, alg) -> tf.Tensor:
    """The numbers that `tf.random.stateless_uniform` computes from the random bits outside of XLA."""
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg=alg)
    return tf.cast(tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32)), tf.float32) * 2.0**-23


def _normal_of_bits(shape, seed, alg) -> tf.Tensor:
    """The numbers that `tf.random.stateless_normal` computes from random bits: pairs of Box and Muller (1958)."""
    count = tf.reduce_prod(shape)
    u = _uniform_of_bits([(count + 1) // 2, 2], seed, alg)
    radius, angle = tf.sqrt(-2.0 * tf.math.log(tf.maximum(u[:, 0], 1e-7))), 2.0 * math.pi * u[:, 1]
    pairs = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=1)
    return tf.reshape(tf.reshape(pairs, [-1])[:count], shape)
