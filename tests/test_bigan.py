"""BiGAN: exact values and gradients, one simultaneous step by hand, and the discriminators of pairs."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import networks
from gan_zoo.models import BiGAN
from gan_zoo.nn import layers
from gan_zoo.util.errors import UserError

from .small_models import fixed

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
REAL, FAKE = (np.float32(VECTORS["inputs"][f"logits_{kind}"])[:, None] for kind in ("real", "fake"))
# The losses and their derivatives for each score, from central differences in float64.
SUM = {
    "d_loss": 0.995163486593,
    "g_loss": 2.270163486593,
    "dd_dreal": [-0.057868804, -0.143610629, -0.094385167, -0.02980073],
    "dd_dfake": [0.082953057, 0.149671915, 0.045606381, 0.131244797],
    "dg_dreal": [0.192131196, 0.106389371, 0.155614833, 0.220199269],
    "dg_dfake": [-0.167046943, -0.100328085, -0.204393619, -0.118755203],
}


def pairs(of_x, of_z):
    """Returns D(x, z) = of_x x + of_z z for numbers."""
    x, z = keras.Input((1,)), keras.Input((1,))
    both = keras.layers.Concatenate()([x, z])
    network = keras.Model((x, z), keras.layers.Dense(1, use_bias=False)(both))
    network.set_weights([np.float32([[of_x], [of_z]])])
    return network


def linear(theta, of_x, of_z, e, **kwargs):
    """G(z) = theta z, D(x, z) = of_x x + of_z z, e(x) = e x."""
    return BiGAN(fixed((1,), [[theta]]), pairs(of_x, of_z), fixed((1,), [[e]]), seed=0, **kwargs)


def test_value_and_gradient_for_every_score():
    gan = linear(1.0, 1.0, 0.0, 0.0)  # r = x and f = z
    for player, loss in (("d", gan.discriminator_loss), ("g", gan.generator_loss)):
        x, z = tf.constant(REAL), tf.constant(FAKE)
        with tf.GradientTape() as tape:
            tape.watch([x, z])
            value = loss(x, z)
        by_real, by_fake = tape.gradient(value, [x, z])
        np.testing.assert_allclose(value, SUM[f"{player}_loss"], rtol=1e-6)
        np.testing.assert_allclose(by_real[:, 0], SUM[f"d{player}_dreal"], atol=1e-6)
        np.testing.assert_allclose(by_fake[:, 0], SUM[f"d{player}_dfake"], atol=1e-6)


def s(t):
    return 1 / (1 + np.exp(-t))


@pytest.mark.parametrize("simultaneous", [True, False])
@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_one_step_by_hand(prior, simultaneous):
    theta, p, q, e, rate = 0.8, 0.6, -0.9, 1.1, 0.1
    x, z = np.array([0.9, -0.5, 0.2]), np.array([0.3, -0.7, 0.8])
    gan = linear(theta, p, q, e, prior=prior, simultaneous=simultaneous)
    gan.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    gan.latents_for = lambda x: tf.constant(z[:, None], tf.float32)
    gan.train_step(tf.constant(x[:, None], tf.float32))

    code = 2 * s(e * x) - 1 if prior == "uniform" else e * x
    code_by_e = 2 * x * s(e * x) * s(-e * x) if prior == "uniform" else x
    r, f = p * x + q * code, p * theta * z + q * z
    new_p = p - rate * (np.mean(-x * s(-r)) + np.mean(theta * z * s(f)))
    new_q = q - rate * (np.mean(-code * s(-r)) + np.mean(z * s(f)))
    if not simultaneous:
        p, q = new_p, new_q
        r, f = p * x + q * code, p * theta * z + q * z
    new_theta = theta - rate * np.mean(-p * z * s(-f))  # from f only
    new_e = e - rate * np.mean(q * code_by_e * s(r))  # from r only
    np.testing.assert_allclose(gan.discriminator.get_weights()[0][:, 0], [new_p, new_q], rtol=1e-5)
    np.testing.assert_allclose(gan.generator.get_weights()[0], [[new_theta]], rtol=1e-5)
    np.testing.assert_allclose(gan.encoder.get_weights()[0], [[new_e]], rtol=1e-5)


def test_codes_have_the_range_of_the_prior():
    x = np.float32([[-30.0], [-1.0], [0.5], [30.0]])
    np.testing.assert_allclose(linear(1.0, 1.0, 1.0, 2.0).encode(x), 2 * s(2 * x) - 1, rtol=1e-5)
    np.testing.assert_allclose(linear(1.0, 1.0, 1.0, 2.0, prior="normal").encode(x), 2 * x)


def test_it_takes_no_labels():
    with pytest.raises(UserError, match="classes: BiGAN is a method for data without labels"):
        BiGAN.for_points(width=4, classes=3)


# The networks.


def joint(network="dcgan", **kwargs):
    shape = kwargs.pop("shape", (8, 8, 1))
    return networks.Builder(shape, network=network, **{"latent_dim": 3, "width": 4, **kwargs}).joint_discriminator()


@pytest.mark.parametrize("norm", networks.NORMS)
@pytest.mark.parametrize("network", ["dcgan", "resnet", "mlp"])
def test_scores_depend_on_both(network, norm):
    D = joint(network, norm=norm)
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(4, 8, 8, 1)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    scores = D((x, z), training=False)
    assert scores.shape == (4, 1)
    for other in ((x[::-1], z), (x, z[::-1])):
        assert np.abs(D(other, training=False) - scores).min() > 1e-6
    kinds = {"batch": layers.BatchNormalization, "spectral": layers.SpectralNormalization}
    for name, kind in kinds.items():
        assert any(isinstance(layer, kind) for layer in D._flatten_layers()) == (name == norm)
    assert networks.features(D, (x, z)).shape == (4, 4 if network == "mlp" else 32)


def test_the_perceptron_is_like_the_papers():
    D = joint("mlp", norm="batch", width=1024, latent_dim=50, shape=(28, 28, 1))
    kernels = sorted(tuple(w.shape) for w in D.trainable_variables if len(w.shape) == 2)
    assert kernels == sorted([(784, 1024), (1024, 1024), (50, 1024), (1024, 1)])
    assert sum(isinstance(layer, layers.BatchNormalization) for layer in D._flatten_layers()) == 1


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_the_depth_of_a_perceptron(depth):
    D = joint("mlp", shape=(2,), depth=depth)
    joined = [w for w in D.trainable_variables if tuple(w.shape) == (3, 4)]
    assert len(joined) == max(1, depth - 1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_critic": 2, "instance_noise": 0.1},
        {"penalties": "gp(weight=1) + r1(gamma=0.1)", "feature_matching": 0.5, "real_label": 0.9},
        {"minibatch_discrimination": True, "g_norm": "virtual", "historical_averaging": 0.1},
    ],
    ids=str,
)
def test_arguments_of_every_gan(arguments):
    gan = BiGAN.for_images((8, 8, 1), latent_dim=3, width=4, **arguments)
    gan.compile()
    logs = gan.train_step(tf.random.stateless_uniform([8, 8, 8, 1], [0, 0], -1.0, 1.0))
    assert all(np.isfinite(value) for value in logs.values())


def test_penalties_are_for_the_images_of_pairs():
    plain, penalized = (linear(0.8, 0.6, -0.9, 1.1, penalties=text) for text in ("none", "r1(gamma=2)"))
    x, z = tf.constant([[0.9], [-0.5]]), tf.constant([[0.3], [-0.7]])
    losses = [float(gan.turn_loss(gan.player("discriminator"))(x, z)) for gan in (plain, penalized)]
    np.testing.assert_allclose(losses[1] - losses[0], 0.6**2, rtol=1e-5)  # dD/dx = 0.6 with the code held
