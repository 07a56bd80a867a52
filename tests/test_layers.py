"""Layers against Keras's own, numpy, and finite differences."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.layers import (
    BatchNormalization,
    ConditionalBatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Embedding,
    LeakyReLU,
    SpectralNormalization,
    synchronize,
)


def normal(*shape, seed=0, mean=0.0):
    return np.random.default_rng(seed).normal(mean, 1.0, shape).astype("float32")


def batch_norms(shape, dtype="float32", **kwargs):
    """Returns the zoo's layer and Keras's, with the same random variables."""
    both = (
        BatchNormalization(dtype=dtype, **kwargs),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **kwargs),
    )
    for layer in both:
        layer.build((None, *shape[1:]))
        layer.set_weights([np.abs(normal(*weight.shape, seed=k)) for k, weight in enumerate(layer.get_weights())])
    return both


def value_and_gradients(layer, x, training, weights):
    variables = [variable.value for variable in layer.trainable_variables]
    x = tf.cast(x, layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(tf.cast(y, tf.float32) * weights + tf.cast(y, tf.float32) ** 2)
    return [y, *tape.gradient(loss, [x, *variables])]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("shape", [(8, 3, 5, 4), (16, 6)])
def test_batch_normalization_is_that_of_keras(shape, scale, center, training):
    ours, theirs = batch_norms(shape, scale=scale, center=center)
    x, weights = normal(*shape, mean=0.5), normal(*shape, seed=1)
    results = [value_and_gradients(layer, x, training, weights) for layer in (ours, theirs)]
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)
    for actual, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_moving_statistics_follow_the_batches():
    layer = BatchNormalization(momentum=0.5)
    layer.build((None, 1))
    layer(np.float32([[1], [3]]), training=True)
    layer(np.float32([[5], [5]]), training=True)
    layer(np.float32([[9], [9]]), training=False)
    np.testing.assert_allclose(layer.moving_mean, [0.5 * (0.5 * 0 + 0.5 * 2) + 0.5 * 5])
    np.testing.assert_allclose(layer.moving_variance, [0.5 * (0.5 * 1 + 0.5 * 1) + 0.5 * 0])


def test_a_frozen_batch_normalization_uses_its_moving_statistics():
    layer = BatchNormalization(trainable=False)
    x = normal(8, 4, mean=3.0)
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1 + 1e-5), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))


@pytest.mark.parametrize("shape", [(8, 3, 5, 4), (32, 6)])
def test_batch_normalization_in_bfloat16_keeps_float32_statistics(shape):
    ours, theirs = batch_norms(shape, dtype="mixed_bfloat16")
    x, weights = normal(*shape, mean=0.5), normal(*shape, seed=1)
    results = [value_and_gradients(layer, x, True, weights) for layer in (ours, theirs)]
    assert [result.dtype for result in results[0]] == ["bfloat16", "bfloat16", "float32", "float32"]
    for actual, expected in zip(*results, strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(tf.cast(actual, "float32") / scale, expected / scale, atol=0.03)
    for actual, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0.01, atol=0.01)


LABELS = np.int32([0, 2, 2, 1, 0, 0, 2, 2])


def conditional(shape, **kwargs):
    """A layer for three classes with random gains, biases and moving statistics."""
    layer = ConditionalBatchNormalization(3, **kwargs)
    layer.build([(None, *shape[1:]), (None,)])
    layer.set_weights([np.abs(normal(*weight.shape, seed=k)) for k, weight in enumerate(layer.get_weights())])
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(8, 2, 2, 4), (8, 4)])
def test_each_class_has_a_gain_and_a_bias(shape, training):
    layer, x = conditional(shape), normal(*shape, mean=0.5)
    weights = {weight.name: weight.numpy() for weight in layer.weights}
    assert weights["gains"].shape == weights["biases"].shape == (3, 4)
    axes = tuple(range(x.ndim - 1))
    moving = weights["moving_mean"], weights["moving_variance"]
    mean, variance = (x.mean(axes), x.var(axes)) if training else moving
    gains, biases = (weights[name][LABELS].reshape(8, *[1] * (x.ndim - 2), 4) for name in ("gains", "biases"))
    expected = gains * (x - mean) / np.sqrt(variance + 1e-5) + biases
    np.testing.assert_allclose(layer((x, LABELS), training=training), expected, rtol=1e-4, atol=1e-5)
    # The moving statistics are those of all classes.
    kept = 0.9 if training else 0.0
    for moved, old, new in zip((layer.moving_mean, layer.moving_variance), moving, (mean, variance), strict=True):
        np.testing.assert_allclose(moved, kept * old + (1 - kept) * new, rtol=1e-5)


def test_classes_start_alike():
    layer, x = ConditionalBatchNormalization(3), normal(8, 4)
    np.testing.assert_allclose(layer((x, LABELS), training=True), BatchNormalization()(x, training=True), atol=1e-6)
    assert ConditionalBatchNormalization.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("policy", ["mixed_float16", "float64"])
def test_conditional_batch_normalization_in_other_precisions(policy):
    layer, x = conditional((8, 4), dtype=policy), normal(8, 4)
    y = layer((x, LABELS), training=True)
    assert y.dtype == layer.compute_dtype and layer.gains.dtype == layer.variable_dtype
    np.testing.assert_allclose(y, conditional((8, 4))((x, LABELS), training=True), rtol=0.01, atol=0.01)


def test_labels_pick_rows_with_a_dense_gradient():
    layer = Embedding(3, 2)
    layer.build(())
    labels = tf.constant([2, 0, 2, 3])
    with tf.GradientTape() as tape:
        rows = layer(labels)
        loss = tf.reduce_sum(rows * tf.constant([[1.0], [2.0], [3.0], [4.0]]))
    table = layer.embeddings.numpy()
    np.testing.assert_array_equal(rows, [table[2], table[0], table[2], [0, 0]])
    np.testing.assert_array_equal(tape.gradient(loss, layer.embeddings.value), [[2, 2], [0, 0], [4, 4]])


def test_the_effective_table_has_spectral_norm_one():
    layer = Embedding(3, 5)
    wrapped = spectral(layer, (), turns=100)
    table = layer.embeddings.numpy()
    np.testing.assert_allclose(wrapped(np.arange(3)), table / np.linalg.norm(table, 2), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 2, 2, 3), (8, 3)])
def test_synchronized_batch_normalization_sees_all_replicas(two_replicas, shape):
    x, weights = normal(*shape, mean=0.5), normal(*shape, seed=1)
    alone = BatchNormalization()
    alone.build((None, *shape[1:]))
    expected = value_and_gradients(alone, x, True, weights)
    with two_replicas.scope():
        layer = BatchNormalization(synchronized=True)
        layer.build((None, *shape[1:]))

    def part(array):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
        )

    @tf.function
    def run(*parts):
        return two_replicas.run(lambda x, w: value_and_gradients(layer, x, True, w), parts)

    y, dx, dgamma, dbeta = (two_replicas.experimental_local_results(r) for r in run(part(x), part(weights)))
    for actual, whole in zip((np.concatenate(y), np.concatenate(dx), sum(dgamma), sum(dbeta)), expected, strict=True):
        np.testing.assert_allclose(actual, whole, rtol=1e-4, atol=2e-5)
    for actual, whole in zip(layer.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(actual, whole, rtol=1e-5, atol=1e-6)


def test_synchronized_conditional_batch_normalization_sees_all_replicas(two_replicas):
    x = normal(8, 3, mean=0.5)
    alone = conditional(x.shape)
    weights = alone.get_weights()
    expected = alone((x, LABELS), training=True)
    with two_replicas.scope():
        layer = conditional(x.shape)
    assert synchronize(keras.Sequential([layer])) == 1
    layer.set_weights(weights)

    def part(array):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group])
        )

    run = tf.function(lambda *given: two_replicas.run(lambda *pair: layer(pair, training=True), given))
    actual = np.concatenate(two_replicas.experimental_local_results(run(part(x), part(LABELS))))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=2e-5)
    for actual, whole in zip(layer.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(actual, whole, rtol=1e-5, atol=1e-6)


def test_leaky_relu_is_that_of_keras_to_the_second_derivative():
    x, weight = normal(6, 5), normal(5, seed=1)

    def derivatives(layer):
        variable, points = tf.Variable(weight), tf.constant(x)
        with tf.GradientTape(persistent=True) as outer:
            with tf.GradientTape() as inner:
                inner.watch(points)
                y = layer(points * variable) ** 2
            slope = inner.gradient(y, points)
            penalty = tf.reduce_sum(tf.square(slope))
        return [y, slope, outer.gradient(y, variable), outer.gradient(penalty, variable)]

    for ours, theirs in zip(derivatives(LeakyReLU(0.3)), derivatives(keras.layers.LeakyReLU(0.3)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert LeakyReLU().negative_slope == 0.2


def spectral(layer, shape, turns=0):
    wrapped = SpectralNormalization(layer)
    wrapped.build((None, *shape))
    for _ in range(turns):
        wrapped.begin_turn()
    return wrapped


def layers_under_test():
    return {
        "dense": (keras.layers.Dense(4, use_bias=False), (6,)),
        "conv": (keras.layers.Conv2D(3, 3, padding="same", use_bias=False), (5, 5, 2)),
    }


@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_the_effective_kernel_has_spectral_norm_one(kind):
    layer, shape = layers_under_test()[kind]
    wrapped = spectral(layer, shape, turns=100)
    kernel = layer.kernel.numpy()
    sigma = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    x = normal(3, *shape)
    actual = wrapped(x, training=False)
    np.testing.assert_array_equal(layer.kernel.numpy(), kernel)  # the stored kernel is unchanged
    np.testing.assert_allclose(actual, layer(x) / sigma, rtol=1e-3, atol=1e-5)


def test_one_power_iteration_for_each_turn():
    layer = keras.layers.Dense(4, use_bias=False)
    wrapped = spectral(layer, (6,))
    u, kernel = wrapped.u.numpy(), layer.kernel.numpy()
    for training in (False, True):
        wrapped(normal(2, 6), training=training)
        np.testing.assert_array_equal(wrapped.u.numpy(), u)
    wrapped.begin_turn()
    v = u @ kernel.T
    v /= np.linalg.norm(v)
    u = v @ kernel
    u /= np.linalg.norm(u)
    np.testing.assert_allclose(wrapped.u.numpy(), u, rtol=1e-5)
    expected = normal(2, 6) @ kernel / np.linalg.norm(u @ kernel.T)
    for training in (False, True):
        np.testing.assert_allclose(wrapped(normal(2, 6), training=training), expected, rtol=1e-5)


def test_spectral_gradient_takes_the_singular_vectors_as_constants():
    layer = keras.layers.Dense(4, use_bias=False)
    wrapped = spectral(layer, (6,), turns=3)
    x, weights = normal(5, 6), normal(5, 4, seed=1)
    u, kernel = wrapped.u.numpy(), layer.kernel.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(wrapped(x, training=False) * weights)
    actual = tape.gradient(loss, layer.kernel.value)
    v = u @ kernel.T / np.linalg.norm(u @ kernel.T)
    u = u / np.linalg.norm(u)
    sigma = (v @ kernel @ u.T).item()
    direct = x.T @ weights
    np.testing.assert_allclose(actual, direct / sigma - (direct * kernel).sum() / sigma**2 * v.T @ u, rtol=1e-4)


def test_spectral_normalization_in_bfloat16():
    wrapped = SpectralNormalization(keras.layers.Dense(4, dtype="mixed_bfloat16"), dtype="mixed_bfloat16")
    y = wrapped(normal(2, 6), training=True)
    assert y.dtype == "bfloat16"
    assert wrapped.layer.kernel.dtype == wrapped.u.dtype == "float32"


def test_spectral_normalization_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((6,)), SpectralNormalization(keras.layers.Dense(4)), LeakyReLU(0.1)])
    model(normal(2, 6), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].u.numpy(), model.layers[0].u.numpy())
    np.testing.assert_array_equal(loaded(normal(2, 6)), model(normal(2, 6)))
    assert loaded.layers[1].negative_slope == 0.1


def test_spectral_normalization_on_two_replicas(two_replicas):
    alone = spectral(keras.layers.Dense(4, use_bias=False), (6,))
    with two_replicas.scope():
        wrapped = spectral(keras.layers.Dense(4, use_bias=False), (6,))
        wrapped.set_weights(alone.get_weights())
    x = tf.constant(normal(2, 6))

    def turn(layer):
        layer.begin_turn()
        return layer(x)

    results = tf.function(lambda: two_replicas.run(turn, args=(wrapped,)))()
    expected = turn(alone)
    for actual in two_replicas.experimental_local_results(results):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
    for u in two_replicas.experimental_local_results(wrapped.u.value):
        np.testing.assert_allclose(u, alone.u, rtol=1e-6)


PROGRAM = """
import numpy as np, tensorflow as tf
from gan_zoo.models import DCGAN
gan = DCGAN.for_images((16, 16, 1), width=2, latent_dim=4)
gan.compile()
gan.fit(tf.data.Dataset.from_tensors(np.zeros((4, 16, 16, 1), "float32")), verbose=0, shuffle=False)
print("trained")
"""


def test_training_logs_no_errors():
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {"CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip().endswith("trained")
    # The warning about a missing GPU depends on the machine.
    errors = [line for line in run.stderr.splitlines() if line.startswith("E") and "cuInit" not in line]
    assert not errors
    assert "remapper failed" not in run.stderr


CONVOLUTIONS = [
    (Conv2D, keras.layers.Conv2D, settings)
    for settings in (
        dict(filters=4, kernel_size=5, strides=2, padding="same"),
        dict(filters=4, kernel_size=3, padding="same", use_bias=False, activation="relu"),
        dict(filters=4, kernel_size=1, padding="same"),
        dict(filters=4, kernel_size=3, padding="valid"),
        dict(filters=4, kernel_size=3, padding="same", dilation_rate=2),
        dict(filters=4, kernel_size=3, padding="same", groups=2),
        dict(filters=4, kernel_size=3, padding="same", strides=(1, 2)),
    )
] + [
    (Conv2DTranspose, keras.layers.Conv2DTranspose, settings)
    for settings in (
        dict(filters=3, kernel_size=5, strides=2, padding="same", activation="tanh"),
        dict(filters=6, kernel_size=4, strides=2, padding="same", use_bias=False),
        dict(filters=3, kernel_size=3, strides=2, padding="valid"),
        dict(filters=3, kernel_size=5, strides=2, padding="same", output_padding=0),
    )
]


@pytest.mark.parametrize(("ours", "theirs", "settings"), CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_convolutions_are_kerass(ours, theirs, settings, dtype):
    x = normal(2, 8, 8, 2)
    layers = ours(**settings, dtype=dtype), theirs(**settings, dtype=dtype)
    for layer in layers:
        layer.build(x.shape)
        layer.set_weights([normal(*weight.shape, seed=k) * 0.3 for k, weight in enumerate(layer.get_weights())])
    weights = normal(*layers[1](x).shape, seed=9)
    results = [value_and_gradients(layer, x, None, weights) for layer in layers]
    # Processors add in different orders: a sum of 512 numbers in bfloat16, with 8 bits, differs by several units.
    tolerance = 1e-5 if dtype == "float32" else 5e-2
    for value, expected in zip(*results, strict=True):
        assert value.dtype == expected.dtype
        value, expected = (tf.cast(tensor, tf.float32) for tensor in (value, expected))
        scale = float(tf.reduce_max(tf.abs(expected)))
        np.testing.assert_allclose(value / scale, expected / scale, atol=tolerance)
    again = ours.from_config(layers[0].get_config())
    assert again.get_config() == layers[0].get_config()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(Conv2D, keras.layers.Conv2D), (Conv2DTranspose, keras.layers.Conv2DTranspose)]
)
def test_convolutions_of_images_of_any_size_are_left_to_keras(ours, theirs):
    x = normal(2, 8, 6, 2)
    layers = [layer(3, 5, strides=2, padding="same") for layer in (ours, theirs)]
    for layer in layers:
        layer.build((None, None, None, 2))
        layer.set_weights([normal(*weight.shape, seed=k) for k, weight in enumerate(layer.get_weights())])

    def gradients(layer):
        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 2))])
        def call(x):
            return value_and_gradients(layer, x, None, 1.0)

        return call(x)

    for value, expected in zip(gradients(layers[0]), gradients(layers[1]), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-4)
