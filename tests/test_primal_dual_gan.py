"""Primal-dual GAN: values and gradients against exact ones, and the kernel by hand."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError
from gan_zoo.losses import kernel_density
from gan_zoo.models import PrimalDualGAN, VanillaGAN

ALL = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
VECTORS = ALL["primal_dual"]
REAL, FAKE = (np.float32(ALL["inputs"][f"logits_{kind}"])[:, None] for kind in ("real", "fake"))
X = np.float32([[1, 2], [0, -1], [-0.5, 0.5], [2, 0]])
SAMPLES = np.float32([[0.5, -1], [1.5, 0.25], [-1, -2], [0, 0]])


class Fixed(PrimalDualGAN):
    """Its samples are its latents, and its scores are given constants."""

    def G(self, z):
        return z

    def D(self, *xs):
        return [tf.constant(scores) for scores in (REAL, FAKE)]


@pytest.mark.parametrize(("name", "normalized"), [("unnormalised", False), ("normalised_2d", True)])
def test_values_and_the_gradient_for_every_sample(name, normalized):
    expected = VECTORS[name]
    gan = Fixed.for_points(width=2, normalized=normalized)
    np.testing.assert_allclose(gan.discriminator_loss(X, SAMPLES), VECTORS["d_loss"], rtol=1e-6)
    density = kernel_density(SAMPLES, X, 1.0, normalized)
    np.testing.assert_allclose(density, expected["p_g"], rtol=1e-5)
    constraint = np.log(2) - np.logaddexp(0, REAL[:, 0])
    np.testing.assert_allclose(density - 0.1 * constraint, expected["p_tilde"], rtol=1e-5)
    samples = tf.constant(SAMPLES)
    with tf.GradientTape() as tape:
        tape.watch(samples)
        loss = gan.generator_loss(X, samples)  # scores are constant, so this is the gradient of the penalty
    np.testing.assert_allclose(loss, expected["g_loss"], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, samples), expected["dpenalty_dG"], rtol=1e-4, atol=1e-8)
    # For any density.
    np.testing.assert_allclose(0.01 * np.mean(constraint**2), expected["g_penalty"], rtol=1e-6)


def test_without_a_step_it_is_the_minimax_game():
    ours = PrimalDualGAN.for_points(width=4, seed=0, alpha=0.0)
    theirs = VanillaGAN.for_points(width=4, seed=0, saturating=True)
    theirs.set_weights(ours.get_weights())
    x, z = tf.constant(X), ours.sample_latent(4)
    np.testing.assert_allclose(ours.generator_loss(x, z), theirs.generator_loss(x, z) + np.log(2), rtol=1e-6)


def test_a_mode_without_samples_draws_them():
    """If D is certain of the data, the penalty pulls samples towards them, whatever D's scores of the samples are."""
    gan = Fixed.for_points(width=2, sigma=1.0)
    x = np.full((4, 2), 2.0, "float32")
    samples = tf.zeros([4, 2])
    with tf.GradientTape() as tape:
        tape.watch(samples)
        gan.D = lambda *xs: [tf.fill([4, 1], 3.0), tf.zeros([4, 1])]
        loss = gan.generator_loss(x, samples)
    assert (tape.gradient(loss, samples).numpy() < 0).all()


def test_the_kernel_by_hand():
    samples, points = np.float32([[0.0], [1.0]]), np.float32([[0.5], [3.0], [0.0]])
    expected = [np.mean([np.exp(-((s - p) ** 2) / 0.5) for s in (0.0, 1.0)]) for p in (0.5, 3.0, 0.0)]
    np.testing.assert_allclose(kernel_density(samples, points, 0.5), expected, rtol=1e-5)
    # A normalized kernel has integral 1.
    grid = np.linspace(-5, 6, 1101, dtype="float32")[:, None]
    density = kernel_density(samples, grid, 0.5, normalized=True)
    np.testing.assert_allclose(np.sum(density) * 0.01, 1.0, rtol=1e-5)


def test_the_kernel_keeps_small_distances_far_from_the_origin():
    samples, points = np.float32([[1000.0, 0.0]]), np.float32([[1000.01, 0.0]])
    distance = float(points[0, 0]) - 1000.0
    np.testing.assert_allclose(kernel_density(samples, points, 0.01), [np.exp(-(distance**2) / 2e-4)], rtol=1e-4)


def test_images_are_flattened():
    samples, points = (tf.random.stateless_normal([5, 2, 3, 1], [0, k]) for k in range(2))
    flat = [tf.reshape(t, [5, 6]) for t in (samples, points)]
    np.testing.assert_allclose(kernel_density(samples, points, 2.0), kernel_density(*flat, 2.0))


def test_sigma_must_be_positive():
    with pytest.raises(UserError, match="sigma must be a positive number, not 0"):
        PrimalDualGAN.for_points(width=2, sigma=0)


def test_the_penalty_is_logged():
    gan = PrimalDualGAN.for_points(width=4, seed=0)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    logs = gan.train_step(tf.constant(X))
    constraint = np.log(2) - np.logaddexp(0, gan.D(tf.constant(X)))
    np.testing.assert_allclose(logs["penalty"], 0.01 * np.mean(constraint**2), rtol=1e-5)
