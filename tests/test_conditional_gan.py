"""Conditional GAN: losses of pairs, labels at every layer, and the maxout perceptrons of the paper."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo import UserError, networks, testing
from gan_zoo.models import ConditionalGAN, VanillaGAN
from gan_zoo.networks import Builder, independence, maxout
from gan_zoo.nn import layers
from gan_zoo.training import pipeline

from .thorough import thoroughly

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
RNG = np.random.default_rng(0)
SHAPE = (8, 8, 1)
IMAGES = RNG.uniform(-1, 1, size=(8, *SHAPE)).astype("float32")
POINTS = RNG.normal(size=(8, 2)).astype("float32")
LABELS = (np.arange(8) % 3).astype("int32")
Y = tf.constant(LABELS)


def small(**kwargs):
    return ConditionalGAN.for_images(SHAPE, **{"width": 2, "latent_dim": 3, "classes": 3, "seed": 0, **kwargs})


def one_hot(y, like):
    return (
        tf.one_hot(y, 3) if len(like.shape) == 2 else tf.one_hot(y, 3)[:, None, None, :] * tf.ones_like(like[..., :1])
    )


def joined(x, y):
    """Returns x joined with one-hot labels, as vector or as constant maps."""
    return tf.concat([x, one_hot(y, x)], -1)


def weighted(network):
    return [layer for layer in network.layers if layer.weights]


# The losses.


def conditional_dirac(thetas, psis):
    """Returns a compiled model with G(z, y) = theta_y and D(x, y) = psi_y x, and gradient descent of rate 0.1."""
    z, x, y = keras.Input((1,)), keras.Input((1,)), keras.Input((), dtype="int32")
    table = layers.Embedding(2, 1)
    made = keras.layers.Add()([table(y), keras.layers.Rescaling(0.0)(z)])
    slope = layers.Embedding(2, 1)
    score = keras.layers.Multiply()([slope(y), x])
    gan = ConditionalGAN(keras.Model((z, y), made), keras.Model((x, y), score), classes=2, latent_dim=1, seed=0)
    for layer, values in ((table, thetas), (slope, psis)):
        layer.set_weights([np.float32(values)[:, None]])
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    return gan


def s(t):
    return 1 / (1 + np.exp(-t))


def test_one_step_by_hand():
    """Each label plays a game of its own; a label that is not in the minibatch does not move."""
    thetas, psis = np.array([0.8, -0.5]), np.array([0.6, 1.7])
    data, labels = np.array([0.9, -0.3, 0.4, 1.0]), np.array([0, 0, 1, 0])
    gan = conditional_dirac(thetas, psis)
    gan.train_step((tf.constant(data, tf.float32)[:, None], tf.constant(labels, tf.int32)))
    for c in (0, 1):
        x = data[labels == c]
        share = len(x) / len(data)
        slope = share * np.mean(-x * s(-psis[c] * x)) + share * thetas[c] * s(psis[c] * thetas[c])
        psi = psis[c] - 0.1 * slope
        theta = thetas[c] + 0.1 * share * psi * s(-psi * thetas[c])
        assert float(gan.discriminator.get_weights()[0][c, 0]) == pytest.approx(psi, abs=1e-6)
        assert float(gan.generator.get_weights()[0][c, 0]) == pytest.approx(theta, abs=1e-6)
    gan = conditional_dirac(thetas, psis)
    gan.train_step((tf.zeros([4, 1]), tf.zeros([4], tf.int32)))
    np.testing.assert_allclose(gan.generator.get_weights()[0][1, 0], thetas[1], rtol=1e-6)


def test_the_losses_for_given_scores():
    gan = small()
    real, fake = (np.float32(VECTORS["inputs"][f"logits_{name}"])[:, None] for name in ("real", "fake"))
    gan.D = lambda *xs: [tf.constant(real), tf.constant(fake)] if len(xs) == 2 else tf.constant(fake)
    x, z = (tf.constant(IMAGES), Y), gan.sample_latent(8)
    expected = VECTORS["losses"]["nonsaturating"]
    np.testing.assert_allclose(gan.discriminator_loss(x, z), expected["d_loss"], rtol=1e-6)
    np.testing.assert_allclose(gan.generator_loss(x, z), expected["g_loss"], rtol=1e-6)


def test_a_generated_pair_has_the_label_that_g_got():
    gan = small()
    z, y = gan.latents_for((tf.constant(IMAGES), Y))
    np.testing.assert_array_equal(y, LABELS)
    assert np.abs(z).max() <= 1
    images, labels = gan.G((z, y))
    np.testing.assert_array_equal(labels, LABELS)
    assert images.shape == (8, *SHAPE)


def test_it_needs_labels():
    with pytest.raises(UserError, match="ConditionalGAN is a method for data with labels"):
        ConditionalGAN.for_points(width=2)


# Labels at every layer.


@pytest.mark.parametrize("depth", [0, 2])
def test_perceptrons_get_the_label_in_every_layer(depth):
    builder = Builder((2,), latent_dim=3, width=4, depth=depth, classes=3, condition="every_layer")
    G, D = builder.generator(), builder.discriminator()
    z = tf.constant(RNG.normal(size=(8, 3)), tf.float32)
    for network, x in ((G, z), (D, tf.constant(POINTS))):
        *hidden, last = weighted(network)
        assert len(hidden) == depth
        y = x
        for layer in hidden:
            y = tf.nn.relu(joined(y, Y) @ layer.kernel.value + layer.bias.value)
        expected = joined(y, Y) @ last.kernel.value + last.bias.value
        np.testing.assert_allclose(network((x, Y)), expected, atol=1e-5)
    np.testing.assert_allclose(networks.features(D, (tf.constant(POINTS), Y)), joined(y, Y), atol=1e-5)


def test_convolutions_get_the_label_in_every_layer():
    builder = Builder((16, 16, 1), network="dcgan", latent_dim=3, width=2, classes=3, condition="every_layer")
    D, x = builder.discriminator(), tf.constant(RNG.normal(size=(8, 16, 16, 1)), tf.float32)
    *convolutions, last = weighted(D)
    y = x
    for layer in convolutions:
        y = layers.LeakyReLU(0.2)(layer(joined(y, Y)))
    y = joined(tf.reshape(y, [8, -1]), Y)
    np.testing.assert_allclose(D((x, Y)), y @ last.kernel.value + last.bias.value, atol=1e-5)
    np.testing.assert_allclose(networks.features(D, (x, Y)), y, atol=1e-5)
    G = builder.generator()
    transposed = [layer for layer in G.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    first = [layer for layer in weighted(G) if isinstance(layer, keras.layers.Dense | keras.layers.Embedding)]
    assert len(first) == 2  # z and y have a layer each
    assert [layer.kernel.shape[-1] for layer in transposed] == [4 + 3, 2 + 3]
    # The label has an effect through each transposed convolution alone.
    z = tf.constant(RNG.normal(size=(8, 3)), tf.float32)
    (table,) = (layer for layer in first if isinstance(layer, keras.layers.Embedding))
    table.embeddings.assign(tf.zeros_like(table.embeddings.value))
    assert np.abs(G((z, Y)) - G((z, tf.zeros_like(Y))))[1:3].max() > 1e-6
    for layer in transposed:
        kernel = layer.kernel.numpy()
        kernel[..., -3:] = 0
        layer.kernel.assign(kernel)
    np.testing.assert_allclose(G((z, Y)), G((z, tf.zeros_like(Y))), atol=1e-7)


@pytest.mark.parametrize("norm", networks.NORMS)
@pytest.mark.parametrize("network", networks.builder.EVERY_LAYER)
def test_norms(network, norm):
    gan = small(network=network, norm=norm)
    gan.compile()
    assert all(np.isfinite(value) for value in gan.train_step((tf.constant(IMAGES), Y)).values())
    mixes = independence.mixing_layer(gan.discriminator) is not None
    assert networks.one_pass_pays(gan.discriminator) == (network == "dcgan" and not mixes)


def test_other_classes_take_the_condition_too(tmp_path):
    gan = VanillaGAN.for_images(SHAPE, width=2, latent_dim=3, classes=3, condition="every_layer", seed=0)
    gan.compile()
    gan.save(tmp_path / "gan.keras")
    z = gan.sample_latent(4, seed=0)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "gan.keras")(z), gan(z))


@pytest.mark.parametrize("network", ["resnet", "r3", "growing", "column_rnn", "maxout"])
def test_other_families_refuse_the_condition(network):
    with pytest.raises(UserError, match=f"condition='every_layer' is for the networks dcgan and mlp, not '{network}'"):
        Builder(SHAPE, network=network, latent_dim=3, width=4, classes=3, condition="every_layer")


def test_autoencoders_refuse_the_condition():
    builder = Builder(SHAPE, network="dcgan", latent_dim=3, width=4, classes=3, condition="every_layer")
    with pytest.raises(UserError, match="condition='every_layer' is not available for autoencoders"):
        builder.autoencoder()


@pytest.mark.parametrize(("network", "count"), [("dcgan", 4), ("mlp", 6), ("maxout", 2), ("resnet", 1)])
def test_the_default_condition(network, count):
    """Counts the places where a label enters: "every_layer" where there is one, otherwise "concat" in D."""
    gan = small(network=network, width=4)
    joins = [
        layer
        for network in (gan.generator, gan.discriminator)
        for layer in network.layers
        if isinstance(layer, keras.layers.Concatenate)
    ]
    assert len(joins) == count
    assert "projection" not in {layer.name for layer in gan.discriminator.layers}
    projected = small(network=network, width=4, condition="projection")
    assert "projection" in {layer.name for layer in projected.discriminator.layers}


# Maxout.


def test_maxout_by_hand():
    x = keras.Input((2,))
    network = keras.Model(x, maxout.maxout(x, 2, 3))
    kernel, bias = RNG.normal(size=(2, 6)), RNG.normal(size=6)
    network.set_weights([kernel, bias])
    linear = (POINTS @ kernel + bias).reshape(8, 3, 2)  # three linear functions for each of two units
    np.testing.assert_allclose(network(POINTS), linear.max(1), atol=1e-6)


def units(network):
    return [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)]


def test_the_published_sizes():
    builder = Builder((28, 28, 1), network="maxout", latent_dim=100, width=240, classes=10, condition="concat")
    assert units(builder.generator()) == [200, 1000, 1200, 784]
    assert units(builder.discriminator()) == [240 * 5, 50 * 5, 240 * 4, 1]
    plain = Builder((28, 28, 1), network="maxout", latent_dim=100, width=240)
    assert units(plain.generator()) == [1200, 1200, 784]
    assert units(plain.discriminator()) == [240 * 5, 240 * 5, 1]
    small = Builder((28, 28, 1), network="maxout", latent_dim=100, width=24, classes=10, condition="concat")
    assert units(small.generator()) == [20, 100, 120, 784]
    assert units(small.discriminator()) == [24 * 5, 5 * 5, 24 * 4, 1]


# Conformance on images, and a run.


@pytest.mark.parametrize(
    "check",
    [testing.check_turns, testing.check_keras_file, *thoroughly(testing.check_replicas)],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize("network", ["dcgan", *thoroughly("maxout")])
def test_images_conform(network, check):
    check(lambda: small(network=network, width=4), (IMAGES, LABELS))


def test_a_run_on_digits(tmp_path):
    settings = dict(model="conditional_gan", dataset="digits", width=2, latent_dim=3, batch_size=8, steps=2)
    settings |= dict(sample_every=0, health_every=0, precision="float32", run_dir=str(tmp_path / "run"))
    with pytest.raises(UserError, match="--model=conditional_gan needs labels: add --conditional"):
        pipeline.Job(pipeline.Config(**settings))
    pipeline.run(pipeline.Config(**settings, conditional=True))
    model = gan_zoo.load_pretrained(tmp_path / "run")
    assert model.sample(3, seed=0, label=7).shape == (3, 8, 8, 1)
