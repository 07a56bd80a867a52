"""What a loss needs to know about replicas: means over the whole batch, and random numbers that N replicas share.

The rule that both serve: N replicas with B / N examples each take the very step that one replica takes with B.
"""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from gan_zoo import randomness

_ALGORITHM = "philox"  # by name: left to itself, TensorFlow takes another one on TPUs


def replica_context() -> tuple[int, int | tf.Tensor]:
    """The number of replicas in sync and this replica's index among them; (1, 0) outside of a strategy's `run`."""
    context = tf.distribute.get_replica_context()
    if context is None:
        return 1, 0
    return context.num_replicas_in_sync, context.replica_id_in_sync_group


def global_mean(x: tf.Tensor, axis: int | list[int] | None = None, keepdims: bool = False) -> tf.Tensor:
    """Mean of `x` over the given axes and over all replicas, with the gradient through every replica's part.

    Losses that hold a batch statistic inside a nonlinearity (relativistic averages, feature gaps) use it: the mean of
    the replicas' own statistics would give another loss. Plain averages use `tf.reduce_mean`, since the base class
    averages losses over replicas.

    Args:
        x: Any shape.
        axis: The axes; by default all. The axis of the batch, 0, should be among them.
        keepdims: Whether the axes stay, with length 1.
    """
    return replica_mean(tf.reduce_mean(x, axis, keepdims))


def replica_mean(x: tf.Tensor) -> tf.Tensor:
    """Mean of the replicas' own `x`, of one shape on all, with the gradient through every replica's part.

    For what a loss makes of the whole batch without a mean of its own, such as the gradient of a mean loss.
    """
    replicas, _ = replica_context()
    if replicas == 1:
        return x
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, x)


def whole_batch(x: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas' `x`, [B / N, ...] each, as one, [B, ...]; nothing is differentiated through it."""
    replicas, _ = replica_context()
    x = tf.stop_gradient(x)
    if replicas == 1:
        return x
    # Gathering rows of an unknown number loses what is known of the other axes.
    return tf.ensure_shape(tf.distribute.get_replica_context().all_gather(x, axis=0), [None, *x.shape[1:]])


def joined(x: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas' `x`, [B / N, ...] each, as one, [B, ...], with the gradient through everyone's part.

    For losses of pairs, of which each replica takes those of its own rows with all.
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
    """A seeded stream of random numbers, whose state is a variable of the model that holds it.

    Each draw is made for the whole batch of all replicas and gives a replica its own rows. So replicas get different
    numbers, and N replicas together get the numbers that one replica with the whole batch would.

    Args:
        state: An int64 variable, [2]: the seed and the number of draws so far.
        purpose: What the numbers are for: those of another purpose, and `FixedStream`'s, are others for the same seed.

    Attributes:
        for_xla: Whether XLA will compile the draws. It makes the same random bits as TensorFlow's kernels and other
            numbers of them; with this set they become the same numbers, to rounding.
    """

    def __init__(self, state: keras.Variable, purpose: str = "training"):
        self.state = state
        self.for_xla = False
        self._mask = [randomness.stream(0, purpose), 0]

    def _next(self) -> tf.Tensor:
        state = self.state.value + 0  # a copy: the variable moves on
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
        """Numbers from N(0, 1) in the shape and dtype of `x`, [B, ...], of which B may be unknown to the graph."""
        batch = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        return tf.cast(self.normal([batch, *x.shape[1:]]), x.dtype)

    def normals(self, shape) -> Callable[[tf.Tensor], tf.Tensor]:
        """One draw for all steps of a compiled loop: a function of a step's number, which gives `normal(shape)`."""
        draw, seed = _normal_of_bits if self.for_xla else tf.random.stateless_normal, self._next()
        return lambda step: _own_rows(draw, shape, tf.random.fold_in(seed, step, _ALGORITHM))


class FixedStream:
    """Random numbers that depend on `seed` alone: the same call gives the same numbers, on every machine."""

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
        """One draw for all steps of a compiled loop: a function of a step's number, which gives `normal(shape)`."""
        seed = self._next()
        return lambda step: tf.random.stateless_normal(shape, tf.random.fold_in(seed, step, _ALGORITHM), alg=_ALGORITHM)


def _own_rows(draw, shape, seed, **kwargs) -> tf.Tensor:
    replicas, index = replica_context()
    if replicas == 1:
        return draw(shape, seed, alg=_ALGORITHM, **kwargs)
    # An axis whose length is a number must stay one: unstacked from a tensor, its length is unknown to the graph.
    axes = shape if isinstance(shape, list | tuple | tf.TensorShape) else tf.unstack(tf.convert_to_tensor(shape))
    return draw([replicas, *axes], seed, alg=_ALGORITHM, **kwargs)[index]


def _uniform_of_bits(shape, seed, alg) -> tf.Tensor:
    """What `tf.random.stateless_uniform` makes of the random bits outside of XLA."""
    bits = tf.random.stateless_uniform(shape, seed, None, None, tf.uint32, alg=alg)
    return tf.cast(tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32)), tf.float32) * 2.0**-23


def _normal_of_bits(shape, seed, alg) -> tf.Tensor:
    """What `tf.random.stateless_normal` makes of them: Box and Muller's (1958) pairs."""
    count = tf.reduce_prod(shape)
    u = _uniform_of_bits([(count + 1) // 2, 2], seed, alg)
    radius, angle = tf.sqrt(-2.0 * tf.math.log(tf.maximum(u[:, 0], 1e-7))), 2.0 * math.pi * u[:, 1]
    pairs = tf.stack([radius * tf.sin(angle), radius * tf.cos(angle)], axis=1)
    return tf.reshape(tf.reshape(pairs, [-1])[:count], shape)
