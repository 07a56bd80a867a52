"""Replicas: batch statistics and random numbers that do not depend on the number of replicas."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.distribution import FixedStream, RandomStream, global_log, global_mean, replica_context
from gan_zoo.losses import relativistic_average
from gan_zoo.models import RaGAN


def run(strategy, function, *arrays):
    """Returns each replica's result of `function` on its part of the arrays."""
    count = strategy.num_replicas_in_sync

    def parts(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(array, count)[context.replica_id_in_sync_group])
        )

    results = tf.function(lambda *args: strategy.run(function, args))(*map(parts, arrays))
    return tf.nest.map_structure(lambda r: [x.numpy() for x in strategy.experimental_local_results(r)], results)


def stream(seed=0, draws=0):
    return RandomStream(keras.Variable([seed, draws], dtype="int64", trainable=False))


def test_outside_of_a_strategy_there_is_one_replica():
    assert replica_context() == (1, 0)
    np.testing.assert_allclose(global_mean(tf.constant([1.0, 2.0, 6.0])), 3.0)
    assert global_log([tf.constant(1.0), tf.constant(2.0)]).shape == ()


def test_the_gradient_of_a_global_mean_is_that_of_one_replica(two_replicas):
    values = np.random.default_rng(0).normal(size=8).astype("float32")

    def value_and_gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            mean = global_mean(x)
            loss = tf.reduce_mean(tf.exp(x - mean)) * tf.exp(mean) / tf.distribute.get_strategy().num_replicas_in_sync
            loss += tf.square(mean) / tf.distribute.get_strategy().num_replicas_in_sync
        return mean, tape.gradient(loss, x)

    mean, gradient = value_and_gradient(tf.constant(values))
    means, gradients = run(two_replicas, value_and_gradient, values)
    np.testing.assert_allclose(means, [mean, mean], rtol=1e-6)
    np.testing.assert_allclose(np.concatenate(gradients), gradient, rtol=1e-5, atol=1e-7)


def test_relativistic_averages_are_over_the_whole_batch(two_replicas):
    rng = np.random.default_rng(1)
    real, fake = (rng.normal(size=8).astype("float32") for _ in range(2))

    def gradient(real, fake):
        with tf.GradientTape() as tape:
            tape.watch([real, fake])
            loss = relativistic_average(real, fake, "least_squares")
            loss /= tf.distribute.get_strategy().num_replicas_in_sync
        return tape.gradient(loss, [real, fake])

    for one, two in zip(
        gradient(tf.constant(real), tf.constant(fake)), run(two_replicas, gradient, real, fake), strict=True
    ):
        np.testing.assert_allclose(np.concatenate(two), one, rtol=1e-5, atol=1e-7)


def test_replicas_share_out_the_random_numbers_of_one(two_replicas):
    with two_replicas.scope():
        shared = stream()

    def draw():
        return shared.uniform([3, 2]), shared.normal([3]), shared.uniform([3], -2.0, 5.0)

    drawn = run(two_replicas, draw)
    alone = stream()
    expected = (alone.uniform([6, 2]), alone.normal([6]), alone.uniform([6], -2.0, 5.0))
    for two, one in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(two), one)
    assert shared.state.numpy().tolist() == alone.state.numpy().tolist() == [0, 3]


def test_a_stream_goes_on_from_its_state():
    first = stream(5)
    draws = [first.normal([4]).numpy() for _ in range(3)]
    assert len({draw.tobytes() for draw in draws}) == 3
    np.testing.assert_array_equal(stream(5, 2).normal([4]), draws[2])
    assert (stream(6).normal([4]).numpy() != draws[0]).any()


@pytest.mark.parametrize("method", ["uniform", "normal"])
def test_a_stream_gives_the_same_numbers_in_a_graph(method):
    source = stream(5)
    actual = tf.function(lambda: getattr(source, method)([7, 3]))()
    np.testing.assert_array_equal(actual, getattr(stream(5), method)([7, 3]))


@pytest.mark.parametrize("method", ["uniform", "normal"])
def test_a_stream_works_under_xla(method):
    source = stream(5)
    draw = tf.function(lambda: getattr(source, method)([7, 3]), jit_compile=True)
    first, second = draw(), draw()
    assert np.isfinite(first).all()
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("kind", [RandomStream, FixedStream])
def test_ranges(kind):
    source = stream(3) if kind is RandomStream else FixedStream(3)
    uniform = source.uniform([50000], -1.0, 3.0).numpy()
    assert uniform.min() >= -1 and uniform.max() < 3
    np.testing.assert_allclose([uniform.mean(), uniform.std()], [1, 4 / 12**0.5], atol=0.03)
    normal = source.normal([50000]).numpy()
    np.testing.assert_allclose([normal.mean(), normal.std()], [0, 1], atol=0.02)
    np.testing.assert_allclose(np.quantile(normal, [0.16, 0.84, 0.977]), [-0.994, 0.994, 1.995], atol=0.05)
    assert np.isfinite(normal).all()


def test_a_fixed_stream_repeats_itself_and_differs_by_draw():
    first, second = FixedStream(9), FixedStream(9)
    np.testing.assert_array_equal(first.normal([5]), second.normal([5]))
    assert (first.normal([5]) != FixedStream(9).normal([5])).numpy().any()


def test_logs_are_means_over_replicas(two_replicas):
    values = np.float32([1, 2, 3, 8])
    logs = run(two_replicas, lambda x: global_log([tf.reduce_mean(x), tf.reduce_sum(x)]), values)
    np.testing.assert_allclose(logs, [(1.5 + 3 + 5.5 + 11) / 4] * 2)


def test_fit_with_the_default_collectives(two_replicas):
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    weights = []
    for scope in (two_replicas.scope, contextlib.nullcontext):
        keras.utils.set_random_seed(0)
        with scope():
            gan = RaGAN.for_points(width=4, seed=0)
            gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
        gan.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=5, verbose=0, shuffle=False)
        weights.append(gan.get_weights())
    for two, one in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)


@pytest.mark.parametrize("method", ["uniform", "normal"])
@pytest.mark.parametrize("shape", [[7, 3], [4], [1, 1]], ids=str)
def test_xla_draws_the_numbers_of_tensorflows_kernels(method, shape):
    expected = getattr(stream(5), method)(shape)
    source = stream(5)
    source.for_xla = True
    draw = getattr(source, method)
    actual = tf.function(lambda: draw(shape), jit_compile=True)()
    np.testing.assert_allclose(actual, expected, atol=2e-6)
    source.state.assign([5, 0])
    np.testing.assert_allclose(draw(shape), expected, atol=2e-6)  # without compilation too
