"""The zoo's Adam against Keras's: alone, under a strategy, and after a save."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.nn import optimizers

SETTINGS = [{}, {"beta_1": 0.5, "epsilon": 1e-8}, {"weight_decay": 0.01, "clipnorm": 0.5}, {"amsgrad": True}]


def descend(optimizer, steps=5):
    """Returns two variables after some steps on a quadratic function with a noisy gradient."""
    rng = np.random.default_rng(0)
    variables = [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((3, 4), (2,))]
    optimizer.build(variables)
    for _ in range(steps):
        noise = [rng.normal(size=variable.shape).astype("float32") for variable in variables]
        optimizer.apply([variable.value + n for variable, n in zip(variables, noise, strict=True)], variables)
    return [variable.numpy() for variable in (*variables, *optimizer.variables)]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_kerass_adam(settings):
    ours = descend(optimizers.Adam(0.1, **settings))
    for value, expected in zip(ours, descend(keras.optimizers.Adam(0.1, **settings)), strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-5)


def test_the_first_step_by_hand():
    """m / (1 - b1) = g and v / (1 - b2) = g^2, so the step is the sign of g, up to epsilon."""
    variable = keras.Variable([1.0, -2.0])
    optimizer = optimizers.Adam(0.25, epsilon=1e-8)
    optimizer.build([variable])
    optimizer.apply([tf.constant([3.0, -0.5])], [variable])
    np.testing.assert_allclose(variable.numpy(), [0.75, -1.75], atol=1e-6)


def test_an_update_is_one_operation():
    variable = keras.Variable([1.0, -2.0])
    optimizer = optimizers.Adam()
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    operations = [op.type for op in step.get_concrete_function(tf.ones([2])).graph.get_operations()]
    assert operations.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in operations


def test_two_replicas_sum_their_gradients(two_replicas):
    with two_replicas.scope():
        variable = keras.Variable([1.0, -2.0])
        optimizer = optimizers.Adam(0.1)
        optimizer.build([variable])

    @tf.function
    def step():
        def replica():
            index = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
            optimizer.apply([tf.stack([1.0 + index, -3.0 * index])], [variable])

        two_replicas.run(replica)

    alone = keras.Variable([1.0, -2.0])
    reference = keras.optimizers.Adam(0.1)
    reference.build([alone])
    for _ in range(3):
        step()
        reference.apply([tf.constant([3.0, -3.0])], [alone])
    for copy in two_replicas.experimental_local_results(variable.value):
        np.testing.assert_allclose(copy.numpy(), alone.numpy(), atol=1e-5)


def test_round_trip():
    optimizer = optimizers.Adam(0.3, beta_1=0.5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is optimizers.Adam
    assert again.get_config() == optimizer.get_config()
