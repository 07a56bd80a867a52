"""AAE: one step of its three phases by hand, the places of each prior, and labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo import testing
from gan_zoo.export import saved_model
from gan_zoo.models import AAE
from gan_zoo.networks import independence
from gan_zoo.util.errors import UserError

from .small_models import fixed
from .thorough import thoroughly
from .variants import LABELS, POINTS


def s(t):
    return 1 / (1 + np.exp(-t))


def test_one_step_by_hand():
    a, w, psi, rate = 0.7, 0.9, -0.6, 0.1
    x, z = np.array([0.9, -0.5, 1.4]), np.array([0.3, -1.1, 0.8])
    aae = AAE(fixed((1,), [[a]]), fixed((1,), [[w]]), fixed((1,), [[psi]]), seed=0)
    aae.compile(*(keras.optimizers.SGD(rate) for _ in range(3)))
    aae.latents_for = lambda x: tf.constant(z[:, None], tf.float32)
    logs = aae.train_step(tf.constant(x[:, None], tf.float32))

    # Each phase uses the weights after the phase before it.
    error = x - w * a * x
    autoencoder = np.mean(error**2)
    a, w = a + rate * np.mean(2 * error * w * x), w + rate * np.mean(2 * error * a * x)
    d = np.mean(-np.log(s(psi * z))) + np.mean(-np.log(1 - s(psi * a * x)))
    psi -= rate * (np.mean(-z * s(-psi * z)) + np.mean(a * x * s(psi * a * x)))
    g = np.mean(-np.log(s(psi * a * x)))
    a -= rate * np.mean(-psi * x * s(-psi * a * x))
    for name, expected in (("autoencoder_loss", autoencoder), ("d_loss", d), ("g_loss", g)):
        np.testing.assert_allclose(logs[name], expected, rtol=1e-5, err_msg=name)
    got = [float(network.get_weights()[0][0, 0]) for network in (aae.encoder, aae.decoder, aae.discriminator)]
    np.testing.assert_allclose(got, [a, w, psi], rtol=1e-5)


def planar(prior, **kwargs):
    return AAE.for_points(width=4, prior=prior, seed=0, **kwargs)


def around(codes, k, count):
    """Returns codes in the axes of petal k: along its direction, and across."""
    angle = 2 * np.pi * k / count
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return codes @ turn


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_petals_of_labels(scale):
    for k in range(4):
        codes, labels = planar("mixture", classes=4, prior_scale=scale).sample_latent(4000, seed=k, label=k)
        assert (labels.numpy() == k).all()
        petal = around(codes.numpy(), k, 4) / scale
        np.testing.assert_allclose(petal.mean(axis=0), [1.4, 0.0], atol=0.03)
        np.testing.assert_allclose(np.cov(petal.T), [[0.25, 0.0], [0.0, 0.01]], atol=0.015)


def test_the_petals_without_labels():
    codes = planar("mixture").sample_latent(20_000, seed=0).numpy()
    # A code belongs to the petal from whose line it has the least distance, on the outer side.
    coordinates = np.stack([around(codes, k, 10) for k in range(10)])
    nearest = np.argmin(np.where(coordinates[..., 0] > 0, np.abs(coordinates[..., 1]), np.inf), axis=0)
    shares = np.bincount(nearest, minlength=10) / len(codes)
    np.testing.assert_allclose(shares, 0.1, atol=0.01)
    along = coordinates[nearest, np.arange(len(codes)), 0]
    np.testing.assert_allclose([along.mean(), along.std()], [1.4, 0.5], atol=0.03)


def test_the_spiral():
    codes = planar("swiss_roll").sample_latent(5000, seed=0).numpy().astype("float64")
    t = np.linalg.norm(codes, axis=1) / 3
    np.testing.assert_allclose(codes[:, 0], 3 * t * np.cos(4 * np.pi * t), atol=1e-4)
    np.testing.assert_allclose(codes[:, 1], 3 * t * np.sin(4 * np.pi * t), atol=1e-4)
    np.testing.assert_allclose(np.quantile(t * t, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.02)
    for k in range(3):
        part, _ = planar("swiss_roll", classes=3, prior_scale=2.0).sample_latent(500, seed=0, label=k)
        u = (np.linalg.norm(part, axis=1) / 6) ** 2
        assert k / 3 - 1e-5 <= u.min() < k / 3 + 0.01 and (k + 1) / 3 - 0.01 < u.max() <= (k + 1) / 3 + 1e-5


def test_normal_and_uniform_priors_have_a_scale():
    codes = AAE.for_points(width=4, latent_dim=3, prior_scale=5.0).sample_latent(20_000, seed=0).numpy()
    np.testing.assert_allclose(np.cov(codes.T), 25 * np.eye(3), atol=1.0)
    codes = AAE.for_points(width=4, prior="uniform", prior_scale=5.0).sample_latent(2000, seed=0).numpy()
    assert codes.min() < -4.9 and codes.max() > 4.9 and np.abs(codes).max() <= 5


@pytest.mark.parametrize("condition", [None, "concat", "projection"])
def test_the_discriminator_reads_labels(condition):
    aae = planar("mixture", classes=3, condition=condition)
    z = tf.constant([[0.3, -1.0]] * 3)
    scores = aae.scores((z, tf.constant([0, 1, 2]))).numpy()
    assert len({*scores[:, 0].tolist()}) == 3
    assert any(layer.name == "projection" for layer in aae.discriminator.layers) == (condition == "projection")


def test_the_discriminator_is_a_perceptron_for_codes():
    aae = AAE.for_images((16, 16, 1), latent_dim=3, width=4, norm="batch", minibatch_discrimination=True)
    assert aae.discriminator.input_shape == (None, 3)
    assert independence.mixing_layer(aae.encoder) == "batch normalization"
    assert independence.mixing_layer(aae.discriminator) == "minibatch discrimination"


@pytest.mark.parametrize("prior", ["mixture", *thoroughly("swiss_roll")])
@pytest.mark.parametrize("check", [testing.check_replicas, testing.check_xla, testing.check_mixed_precision])
def test_priors_in_the_plane_conform(prior, check):
    check(lambda: AAE.for_points(width=4, prior=prior, classes=3), (POINTS, LABELS))


def test_samples_of_a_class_have_codes_of_its_petal(tmp_path):
    aae = planar("mixture", classes=3)
    model = gan_zoo.load_pretrained(saved_model.export(aae, tmp_path / "m"))
    for label in range(3):
        z = aae.sample_latent(200, seed=5, label=label)
        np.testing.assert_allclose(model.latents(200, 5, label), z[0], atol=1e-6)
        np.testing.assert_allclose(model.sample(200, 5, label), aae(z), atol=1e-5)
        assert around(z[0].numpy(), label, 3)[:, 0].mean() > 1.2
    z, labels = aae.sample_latent(50, seed=5)
    np.testing.assert_allclose(model.sample(50, 5, labels.numpy()), model.sample(50, 5), atol=1e-6)


def test_errors():
    for arguments, sentence in (
        ({"prior": "gamma"}, "prior must be 'normal' or 'uniform' or 'mixture' or 'swiss_roll', not 'gamma'"),
        ({"prior": "mixture", "latent_dim": 3}, "prior='mixture' is in the plane: set latent_dim=2, not 3"),
        ({"prior_scale": 0.0}, "prior_scale must be a positive number, not 0.0"),
    ):
        with pytest.raises(UserError, match=sentence):
            AAE.for_points(width=4, **arguments)
