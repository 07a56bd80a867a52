"""Several steps in one graph, on one replica and on several."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.models import RaGAN

X = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")


def trained(scope, at_a_time, steps=(10,), dataset=None):
    keras.utils.set_random_seed(0)
    with scope:
        gan = RaGAN.for_points(width=4, seed=0)
        gan.compile(keras.optimizers.SGD(0.05), keras.optimizers.SGD(0.05))
    logs = {}
    for count, n in zip(steps, at_a_time, strict=True):
        gan.steps_per_execution = n
        data = dataset or tf.data.Dataset.from_tensors(X).repeat()
        logs = gan.fit(data, steps_per_epoch=count, verbose=0).history
    return gan, logs


@pytest.fixture(scope="module")
def one_at_a_time():
    return trained(contextlib.nullcontext(), (1,))


# The second case has more steps at a time, then fewer. The conformance suite takes one at a time on replicas.
@pytest.mark.parametrize(("at_a_time", "steps"), [((5,), (10,)), ((2, 4, 2), (2, 4, 4))])
def test_replicas_take_the_steps_of_one_however_many_at_a_time(two_replicas, one_at_a_time, at_a_time, steps):
    one, expected = one_at_a_time
    for scope in (contextlib.nullcontext(), two_replicas.scope()):
        gan, logs = trained(scope, at_a_time, steps)
        assert gan.d_optimizer.iterations.numpy() == gan.g_optimizer.iterations.numpy() == 10
        for actual, value in zip(gan.get_weights(), one.get_weights(), strict=True):
            np.testing.assert_allclose(actual, value, atol=1e-5)
        for name, values in expected.items():
            assert float(logs[name][-1]) == pytest.approx(values[-1], abs=1e-5)


def test_data_that_end_end_training(two_replicas):
    short = tf.data.Dataset.from_tensors(X).repeat(4)
    with pytest.warns(UserWarning, match="ran out of data"):
        gan, _ = trained(two_replicas.scope(), (2,), (10,), short)
    assert gan.g_optimizer.iterations.numpy() == 4


def test_single_batches_can_be_trained_on(two_replicas):
    gan, _ = trained(two_replicas.scope(), (2,))
    before = gan.g_optimizer.iterations.numpy()
    gan.train_function(iter([X]))  # the argument that train_on_batch passes
    assert gan.g_optimizer.iterations.numpy() == before + 1
