"""Penalties: exact values and parameter gradients through the variants themselves, and independent references."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import penalties
from gan_zoo.models import DRAGAN, RGAN, WGANGP, RaGAN

from .oracle import tfgan_losses

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["penalty"]
INPUTS = VECTORS["inputs"]
REAL, FAKE, DELTA = (np.float32(INPUTS[name]) for name in ("x_real", "x_fake", "delta"))
EPSILON = np.float32(INPUTS["eps_weight_on_real"])


@keras.saving.register_keras_serializable(package="tests")
class Quadratic(keras.layers.Layer):
    """D(x) = sum(a x^2) + b x, whose gradient is 2 a x + b."""

    def build(self, input_shape):
        self.a = self.add_weight((2,), name="a")
        self.b = self.add_weight((2,), name="b")

    def call(self, x):
        return tf.reduce_sum(self.a * x**2 + self.b * x, axis=1, keepdims=True)


@keras.saving.register_keras_serializable(package="tests")
class Table(keras.layers.Layer):
    """A generator that returns its weights as samples, whatever the latents."""

    def build(self, input_shape):
        self.points = self.add_weight((4, 2), name="points")

    def call(self, z):
        return self.points + 0.0 * tf.reduce_sum(z)


class Drawn:
    """Returns random numbers that the test chooses."""

    def __init__(self, uniform=None, normal=None):
        self.numbers = {"uniform": uniform, "normal": normal}

    def uniform(self, shape, low=0.0, high=1.0):
        assert list(shape) == list(self.numbers["uniform"].shape)
        return tf.constant(self.numbers["uniform"])

    def normal_like(self, x):
        assert list(x.shape) == list(self.numbers["normal"].shape)
        return tf.constant(self.numbers["normal"], x.dtype)


def analytic(cls, random, **kwargs):
    z, x = keras.Input((1,)), keras.Input((2,))
    generator, discriminator = keras.Model(z, Table()(z)), keras.Model(x, Quadratic()(x))
    generator.set_weights([FAKE])
    discriminator.set_weights([np.float32(INPUTS["a"]), np.float32(INPUTS["b"])])
    gan = cls(generator, discriminator, **kwargs)
    gan.random = random
    return gan


def d_loss_and_gradients(gan):
    variables = [v.value for v in (*gan.discriminator_variables, *gan.generator_variables)]
    with tf.GradientTape() as tape:
        loss = gan.discriminator_loss(tf.constant(REAL), tf.zeros([4, 1]))
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    return float(loss), np.concatenate([gradients[0], gradients[1]]), gradients[2].numpy()


def interpolating(cls, **kwargs):
    return analytic(cls, Drawn(uniform=EPSILON), **kwargs)


def perturbing(**kwargs):
    """Returns DRAGAN with the delta of the test vectors as noise: noise_scale std(x) n = delta."""
    return analytic(DRAGAN, Drawn(normal=DELTA / np.float32(REAL.std())), noise_scale=1.0, **kwargs)


@pytest.mark.parametrize(
    ("gan", "expected"),
    [
        (lambda: interpolating(WGANGP), VECTORS["wgan_gp_full_d_loss"]),
        (lambda: interpolating(RGAN, gp_weight=10.0), VECTORS["rsgan_gp_full_d_loss"]),
        (lambda: interpolating(RaGAN, gp_weight=10.0), VECTORS["rasgan_gp_full_d_loss_sum"]),
        (lambda: interpolating(RaGAN, gp_weight=10.0, reduction="mean"), VECTORS["rasgan_gp_full_d_loss_half"]),
        (lambda: perturbing(form=3), VECTORS["dragan_ns_full_d_loss_form3"]),
    ],
    ids=["wgan_gp", "rsgan_gp", "rasgan_gp", "rasgan_gp mean", "dragan"],
)
def test_whole_discriminator_losses(gan, expected):
    np.testing.assert_allclose(d_loss_and_gradients(gan())[0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "unit", "name", "gradient_name"),
    [
        (interpolating, {"cls": WGANGP, "gp_weight": 10.0}, "wgan_gp_lambda10", "wgan_gp_lambda10"),
        (perturbing, {"gp_weight": 10.0, "form": 1}, "dragan_form1_sqnorm_lambda10", None),
        (perturbing, {"gp_weight": 10.0, "form": 2}, "dragan_form2_hinge_sqnorm_minus_k_lambda10", None),
        (
            *(perturbing, {"gp_weight": 10.0, "form": 3}),
            *("dragan_form3_norm_minus_k_squared_lambda10", "dragan_form3_lambda10"),
        ),
    ],
)
def test_penalties_within_the_variants(make, unit, name, gradient_name):
    weighted, with_gradients, generator_gradient = d_loss_and_gradients(make(**unit))
    bare, without, bare_generator_gradient = d_loss_and_gradients(make(**{**unit, "gp_weight": 0.0}))
    np.testing.assert_allclose(weighted - bare, VECTORS[name], rtol=1e-5)
    if gradient_name:
        expected = VECTORS["dparams_[a0,a1,b0,b1]"][gradient_name]
        np.testing.assert_allclose(with_gradients - without, expected, rtol=1e-4, atol=1e-4)
    # The penalised points are constants: the generator gets no gradient of the penalty.
    np.testing.assert_allclose(generator_gradient, bare_generator_gradient, atol=1e-6)


def quadratic(a=INPUTS["a"], b=INPUTS["b"]):
    return lambda x: tf.reduce_sum(np.float32(a) * x**2 + np.float32(b) * x, axis=1, keepdims=True)


X_HAT = penalties.interpolate(REAL, FAKE, EPSILON)


def test_interpolation_and_its_gradient_norms():
    np.testing.assert_allclose(X_HAT, VECTORS["x_hat"], atol=1e-6)
    np.testing.assert_allclose(penalties.gradient_norm(quadratic(), X_HAT), VECTORS["norm_x_hat"], rtol=1e-6)


@pytest.mark.parametrize(
    ("penalty", "name"),
    [
        (lambda: 10 * penalties.gradient_penalty(quadratic(), X_HAT), "wgan_gp_lambda10"),
        (lambda: 0.1 * penalties.gradient_penalty(quadratic(), X_HAT), "wgan_gp_lambda0.1_toy"),
        (lambda: 10 * penalties.gradient_penalty(quadratic(), X_HAT, one_sided=True), "wgan_gp_onesided_lambda10"),
        (lambda: 10 * penalties.zero_centered_penalty(quadratic(), X_HAT), "wgan_gp_zero_centred_lambda10"),
        (
            lambda: 10 * penalties.gradient_penalty(quadratic(), X_HAT, target=750.0) / 750.0**2,
            "wgan_gp_target750_lambda10_over_target2",
        ),
        (lambda: 5 * penalties.zero_centered_penalty(quadratic(), tf.constant(REAL)), "r1_gamma10_half"),
        (lambda: 5 * penalties.zero_centered_penalty(quadratic(), tf.constant(FAKE)), "r2_gamma10_half"),
        (
            lambda: 10 * penalties.gradient_penalty(quadratic(), penalties.interpolate(REAL, FAKE, 1 - EPSILON)),
            "wgan_gp_eps_on_fake_lambda10",
        ),
    ],
)
def test_values(penalty, name):
    np.testing.assert_allclose(penalty(), VECTORS[name], rtol=1e-5)


@pytest.mark.parametrize("name", ["wgan_gp_norm_of_mean_WRONG_lambda10", "wgan_gp_squared_norm_WRONG_lambda10"])
def test_known_mistakes_give_other_values(name):
    assert abs(float(10 * penalties.gradient_penalty(quadratic(), X_HAT)) - VECTORS[name]) > 1e-2


def test_a_constant_critic_gives_exactly_ten_and_finite_gradients():
    weight = tf.Variable([[0.0], [0.0]])
    with tf.GradientTape() as tape:
        penalty = 10 * penalties.gradient_penalty(lambda x: tf.matmul(x, weight), tf.constant(REAL))
    np.testing.assert_allclose(penalty, VECTORS["constant_critic_wgan_gp_lambda10"], rtol=1e-5)
    assert np.isfinite(tape.gradient(penalty, weight)).all()


def test_norms_are_over_all_axes_and_per_example():
    images = tf.random.stateless_normal([3, 4, 5, 2], [1, 2])
    weights = tf.random.stateless_normal([4, 5, 2], [3, 4])
    scale = tf.constant([1.0, 2.0, 3.0])

    def critic(x):
        return scale[:, None] * tf.reduce_sum(x * weights, axis=[1, 2, 3])[:, None]

    expected = np.linalg.norm(weights.numpy()) * scale
    np.testing.assert_allclose(penalties.gradient_norm(critic, images), expected, rtol=1e-5)


def test_norms_against_finite_differences():
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
    points = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    step = 1e-2
    columns = []
    for k in range(3):
        shift = step * np.eye(3, dtype="float32")[k]
        columns.append((network(points + shift) - network(points - shift)) / (2 * step))
    expected = np.linalg.norm(np.concatenate(columns, axis=1), axis=1)
    np.testing.assert_allclose(penalties.gradient_norm(network, tf.constant(points)), expected, rtol=1e-3)


def test_no_gradient_reaches_what_made_the_points():
    points = tf.Variable(FAKE)
    with tf.GradientTape() as tape:
        penalty = penalties.gradient_penalty(quadratic(), points * 2.0)
    assert tape.gradient(penalty, points) is None


def test_against_tfgan(monkeypatch):
    tfgan = tfgan_losses()
    monkeypatch.setattr(tf.random, "uniform", lambda shape, *_, **__: tf.reshape(EPSILON, shape))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        # TF-GAN's epsilon is the weight of the generated example.
        theirs = tfgan.wasserstein_gradient_penalty(
            tf.constant(FAKE), tf.constant(REAL), None, lambda x, _: quadratic()(x), "discriminator"
        )
        expected = session.run(theirs)
    np.testing.assert_allclose(penalties.gradient_penalty(quadratic(), X_HAT), expected, rtol=1e-5)
