"""KL-WGAN: exact values and gradients of every form, the weights, and the bound of Donsker and Varadhan."""

import json
from pathlib import Path
from statistics import NormalDist

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import testing
from gan_zoo.losses import density_ratio, wasserstein_discriminator
from gan_zoo.models import KLWGAN

from .dirac import dirac, step

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
LOSSES = VECTORS["losses"]
REAL, FAKE = (np.float32(VECTORS["inputs"][f"logits_{kind}"])[:, None] for kind in ("real", "fake"))
HELD = LOSSES["klwgan_stopgrad_T1"]


def on_scores(**kwargs):
    """Returns a GAN with D(x) = x and G(z) = z, not compiled: x and z are the scores."""
    networks = []
    for _ in range(2):
        inputs = keras.Input((1,))
        networks.append(keras.Model(inputs, keras.layers.Identity()(inputs)))
    return KLWGAN(*networks, **kwargs)


def loss_and_gradients(loss):
    x, z = tf.constant(REAL), tf.constant(FAKE)
    with tf.GradientTape() as tape:
        tape.watch([x, z])
        value = loss(x, z)
    return float(value), *(g[:, 0] for g in tape.gradient(value, [x, z], unconnected_gradients="zero"))


@pytest.mark.parametrize(
    ("kwargs", "name", "held"),
    [
        ({"form": "published"}, "klwgan_code_T1", None),
        ({"form": "published", "temperature": 5.0}, "klwgan_code_T5", None),
        ({"form": "published", "objective": "linear"}, "klwgan_linear_T1", None),
        ({}, "klwgan_code_T1", HELD["dd_dfake_hinge"]),
        ({"objective": "linear"}, "klwgan_linear_T1", HELD["dd_dfake_linear"]),
    ],
)
def test_value_and_gradient_for_every_score(kwargs, name, held):
    gan, expected = on_scores(**kwargs), LOSSES[name]
    value, by_real, by_fake = loss_and_gradients(gan.discriminator_loss)
    np.testing.assert_allclose(value, expected["d_loss"], rtol=1e-5)
    np.testing.assert_allclose(by_real, expected["dd_dreal"], atol=1e-6)
    np.testing.assert_allclose(by_fake, expected["dd_dfake"] if held is None else held, atol=1e-6)
    value, by_real, by_fake = loss_and_gradients(gan.generator_loss)
    np.testing.assert_allclose(value, expected["g_loss"], rtol=1e-4)
    np.testing.assert_allclose(by_real, expected["dg_dreal"], atol=1e-6)
    np.testing.assert_allclose(by_fake, expected["dg_dfake"] if held is None else HELD["dg_dfake"], atol=1e-6)


def test_the_forms_pull_samples_in_other_directions():
    # The third sample has the lowest score. With gradients through w, G would lower it further.
    (_, _, held), (_, _, through) = (
        loss_and_gradients(on_scores(form=form).generator_loss) for form in ("stop_gradient", "published")
    )
    assert (held < 0).numpy().all() and through[2] > 0


def test_held_weights_give_the_gradient_of_the_donsker_varadhan_bound():
    gan = on_scores(objective="linear")
    _, by_real, by_fake = loss_and_gradients(gan.discriminator_loss)
    np.testing.assert_allclose(by_real, LOSSES["donsker_varadhan"]["dd_dreal"], atol=1e-6)
    np.testing.assert_allclose(by_fake, LOSSES["donsker_varadhan"]["dd_dfake"], atol=1e-6)
    _, _, by_fake = loss_and_gradients(gan.generator_loss)
    np.testing.assert_allclose(by_fake, LOSSES["donsker_varadhan"]["dg_dfake"], atol=1e-6)


@pytest.mark.parametrize("form", ["stop_gradient", "published"])
def test_a_high_temperature_gives_wgan(form):
    gan = on_scores(form=form, objective="linear", temperature=1e6)
    value, by_real, by_fake = loss_and_gradients(gan.discriminator_loss)
    np.testing.assert_allclose(value, LOSSES["wgan"]["d_loss"], rtol=1e-5)
    np.testing.assert_allclose(by_fake, LOSSES["wgan"]["dd_dfake"], atol=1e-5)
    np.testing.assert_allclose(by_real, LOSSES["wgan"]["dd_dreal"], atol=1e-5)


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, HELD["ratio"]), (5.0, LOSSES["klwgan_code_T5"]["ratio"])])
def test_the_weights(temperature, expected):
    weights = density_ratio(tf.constant(FAKE), temperature)
    assert weights.shape == FAKE.shape
    np.testing.assert_allclose(weights[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_the_weights_have_mean_1_and_neither_overflow_nor_vanish(scale):
    scores = tf.constant([[-1.0], [3.0], [3.5], [-0.5]]) * scale
    for shift in (-scale, 0.0, 100 * scale):
        np.testing.assert_allclose(tf.reduce_mean(density_ratio(scores + shift)), 1.0, rtol=1e-6)


def test_the_weights_are_those_of_the_whole_batch(two_replicas):
    scores = np.float32([[0.5], [-1.0], [2.0], [300.0]])

    def run(index):
        mine = tf.gather(tf.reshape(scores, [2, 2, 1]), index)
        with tf.GradientTape() as tape:
            tape.watch(mine)
            loss = tf.reduce_mean(density_ratio(mine, 100.0) * mine)
        return density_ratio(mine), density_ratio(mine, 100.0), tape.gradient(loss, mine) / 2

    @tf.function
    def both():
        index = two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(context.replica_id_in_sync_group)
        )
        return two_replicas.run(run, (index,))

    joined = [np.concatenate(two_replicas.experimental_local_results(part)) for part in both()]
    whole = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(whole)
        loss = tf.reduce_mean(density_ratio(whole, 100.0) * whole)
    expected = [density_ratio(whole), density_ratio(whole, 100.0), tape.gradient(loss, whole)]
    for actual, value in zip(joined, expected, strict=True):
        np.testing.assert_allclose(actual, value, rtol=1e-5, atol=1e-6)


def test_the_exact_case():
    # Data N(0, 1), samples N(1, 1), D(x) = log p(x) / q(x) = 1/2 - x: KL = 1/2, and the weights are p / q.
    exact = VECTORS["klwgan"]["dv_exact_N01_vs_N11"]
    n = 100_000
    data = np.array([NormalDist().inv_cdf((k + 0.5) / n) for k in range(n)])
    real, fake = (tf.constant(0.5 - x, tf.float32) for x in (data, data + 1.0))
    weights = density_ratio(fake)
    np.testing.assert_allclose(weights, np.exp(fake), rtol=2e-3)
    bound = tf.reduce_mean(real) - tf.math.log(tf.reduce_mean(tf.exp(fake)))
    np.testing.assert_allclose(bound, exact["E_P_T"] - exact["log_E_Q_exp_T"], rtol=5e-3)
    np.testing.assert_allclose(tf.reduce_mean(weights * tf.math.log(weights)), exact["KL"], rtol=5e-3)
    # With these weights, samples have the same distribution as the data.
    np.testing.assert_allclose(tf.reduce_mean(weights * fake), exact["E_P_T"], rtol=5e-3)
    np.testing.assert_allclose(wasserstein_discriminator(real, weights * fake), 0.0, atol=2e-3)


def test_the_published_form_conforms():
    data = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    testing.check_replicas(
        lambda: KLWGAN.for_points(width=8, n_critic=1, form="published", objective="linear", temperature=0.5), data
    )


def test_five_critic_steps_see_fresh_minibatches():
    psi = 0.3
    for c in (1.0, 0.5, 0.2, -0.5, -1.0):
        psi -= 0.1 * (0.8 - c)
    _, actual = step(dirac(KLWGAN, 0.8, 0.3, objective="linear"), [1.0, 0.5, 0.2, -0.5, -1.0])
    np.testing.assert_allclose(actual, psi, rtol=1e-5)
