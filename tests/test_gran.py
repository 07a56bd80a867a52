"""GRAN: canvases against a computation by hand, T = 1 against the plain generators, and the battle of two models."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_zoo
from gan_zoo import UserError, metrics, networks, testing
from gan_zoo.metrics.battle import judge
from gan_zoo.models import DCGAN, GRAN, LAPGAN, VanillaGAN
from gan_zoo.networks import canvas, dcgan, mlp
from gan_zoo.run_folder import trained_gan
from gan_zoo.training import pipeline

from .thorough import thoroughly

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
RNG = np.random.default_rng(0)
SHAPE = (16, 16, 1)
IMAGES = RNG.uniform(-1, 1, size=(8, *SHAPE)).astype("float32")
LABELS = (np.arange(8) % 3).astype("int32")
Z = tf.random.stateless_normal([4, 3], [0, 0])


def small(shape=SHAPE, **kwargs):
    return GRAN.for_images(shape, **{"width": 2, "latent_dim": 3, "seed": 0, **kwargs})


def randomize(network, stddev=0.5):
    rng = np.random.default_rng(1)
    for variable in network.trainable_variables:
        variable.assign(variable.value + stddev * rng.normal(size=variable.shape))


def h_z(generator, z, training):
    """Returns h_z = tanh(BN(W z)) from the generator's own first layers."""
    first = next(layer for layer in generator.layers if isinstance(layer, keras.layers.Activation))
    return keras.Model(generator.inputs[0], first.output)(z, training=training)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("side", [8, 16, 28])
def test_one_step_is_the_plain_generator(side, training):
    shape = (side, side, 1)
    one, plain = canvas.convolutional(shape, 3, 2, time_steps=1), dcgan.generator(shape, 3, 2)
    randomize(one)
    own = [layer for layer in one.layers if layer.weights]
    theirs = [layer for layer in plain.layers if layer.weights]
    assert len(own) == len(theirs) + 2  # W_z and its normalization
    for layer, source in zip(theirs, own[2:], strict=True):
        layer.set_weights(source.get_weights())
    code = h_z(one, Z, training)
    np.testing.assert_array_equal(one(Z, training=training), plain(code, training=training))


@pytest.mark.parametrize("shape", [(2,), (8, 8, 1)])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_one_step_of_a_perceptron_is_the_plain_one(shape, depth):
    one, plain = canvas.perceptron(shape, 3, 4, 1, depth=depth), mlp.generator(shape, 3, 4, depth=depth)
    randomize(one)
    first, *others = [layer for layer in one.layers if layer.weights]
    for layer, source in zip([layer for layer in plain.layers if layer.weights], others, strict=True):
        layer.set_weights(source.get_weights())
    np.testing.assert_array_equal(one(Z), plain(first(Z)))


@pytest.mark.parametrize("make", [canvas.convolutional, canvas.perceptron])
def test_the_first_step_of_three_is_that_of_one(make):
    one, three = make(SHAPE, 3, 2, time_steps=1), make(SHAPE, 3, 2, time_steps=3)
    # The layers of the first step come first, in the same order, apart from those of g.
    shared = keras.Model(three.inputs, three.get_layer(canvas.name_of(1)).output)
    shared.set_weights(one.get_weights())
    np.testing.assert_array_equal(tf.reshape(tf.tanh(shared(Z)), [4, *SHAPE]), one(Z))


def test_two_steps_of_a_perceptron_by_hand():
    """C_t = W_2 relu(W_1 h_z + U h_c + b), h_c = tanh(W_c relu(W_g C)), and points are C_1 + C_2."""
    gan = GRAN.for_points(2, width=4, depth=1, latent_dim=3, time_steps=2, seed=0)
    randomize(gan.generator)
    dense = [layer for layer in gan.generator.layers if layer.weights]
    to_hz, first, last, read, to_code = (layer for layer in dense if layer.use_bias)
    (from_code,) = (layer for layer in dense if not layer.use_bias)

    def linear(layer, x):
        return x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0)

    z = Z.numpy()
    from_z = linear(first, np.tanh(linear(to_hz, z)))
    one = linear(last, np.maximum(from_z, 0))
    code = np.tanh(linear(to_code, np.maximum(linear(read, one), 0)))
    two = linear(last, np.maximum(from_z + linear(from_code, code), 0))
    np.testing.assert_allclose(gan(Z), one + two, atol=1e-5)
    np.testing.assert_allclose(gan.canvases(Z), [one, one + two], atol=1e-5)


def test_canvases():
    gan = small(time_steps=3)
    randomize(gan.generator, 0.1)
    z = gan.sample_latent(5, seed=1)
    canvases = gan.canvases(z).numpy()
    assert canvases.shape == (3, 5, *SHAPE)
    np.testing.assert_allclose(canvases[-1], gan(z), atol=1e-6)
    increments = np.diff(np.arctanh(canvases.astype("float64")), axis=0, prepend=0)
    assert all(increment.std() > 1e-3 for increment in increments)
    sums = [networks.features(gan.generator, z, canvas.name_of(t), training=False) for t in (1, 2, 3)]
    # The paper's sigmoid on [0, 1], here on [-1, 1].
    for drawn, total in zip(canvases, sums, strict=True):
        np.testing.assert_allclose(drawn, 2 * tf.sigmoid(2 * total) - 1, atol=1e-6)
    images = GRAN.for_images((8, 8, 3), network="mlp", width=4, latent_dim=3, time_steps=2, seed=0)
    assert images.canvases(Z).shape == (2, 4, 8, 8, 3)
    np.testing.assert_allclose(images.canvases(Z)[-1], images(Z), atol=1e-6)


def test_samples_with_virtual_batch_normalization_do_not_depend_on_their_batch():
    gan = small((8, 8, 1), time_steps=2, g_norm="virtual", classes=3)
    z = gan.sample_latent(6, seed=0)
    part = tf.nest.map_structure(lambda t: t[2:3], z)
    np.testing.assert_allclose(gan.canvases(z)[:, 2:3], gan.canvases(part), atol=1e-5)
    np.testing.assert_allclose(gan.generator(z, training=True)[2:3], gan.generator(part, training=True), atol=1e-5)


def test_all_steps_share_the_weights():
    """More steps add only the batch normalization of the steps, and from the second on the encoder."""
    counts = []
    for steps in (2, 3, 4):
        generator = canvas.convolutional(SHAPE, 3, 2, time_steps=steps)
        kernels = [v for v in generator.trainable_variables if v.ndim > 1]
        counts.append((len(kernels), len(generator.trainable_variables)))
        assert len(kernels) == 1 + 3 + 3 + 1  # W_z; f: a layer for h_z or h_c and two convolutions; g and W_c
    per_step = counts[1][1] - counts[0][1]
    assert counts[2][1] - counts[1][1] == per_step == 2 * 4  # first layer of f, one convolution of f, one of g, W_c


def test_the_losses_for_given_scores():
    gan = GRAN.for_points(2, width=2, seed=0)
    real, fake = (np.float32(VECTORS["inputs"][f"logits_{name}"])[:, None] for name in ("real", "fake"))
    gan.D = lambda *xs: [tf.constant(real), tf.constant(fake)] if len(xs) == 2 else tf.constant(fake)
    x, z = tf.zeros([4, 2]), gan.sample_latent(4)
    expected = VECTORS["losses"]["nonsaturating"]
    np.testing.assert_allclose(gan.discriminator_loss(x, z), expected["d_loss"], rtol=1e-6)
    np.testing.assert_allclose(gan.generator_loss(x, z), expected["g_loss"], rtol=1e-6)


def test_the_rates_of_the_authors():
    rates = [float(small().default_optimizer(player).learning_rate) for player in ("discriminator", "generator")]
    assert rates == pytest.approx([4e-5, 1e-4])


CHECKS = (testing.check_turns, testing.check_mixed_precision, testing.check_keras_file)
LONG = (testing.check_replicas, testing.check_export)


@pytest.mark.parametrize(
    "check",
    [*CHECKS, *thoroughly(*LONG)],
    ids=lambda check: check.__name__,
)
def test_canvases_of_images_with_labels_conform(check):
    check(lambda: small((8, 8, 1), classes=3, time_steps=2), (IMAGES[:, :8, :8], LABELS))


def test_labels_change_samples():
    for network in ("dcgan", "mlp"):
        gan = small(network=network, classes=3)
        z, _ = gan.sample_latent(2, seed=0)
        assert np.abs(gan((z, tf.fill([2], 0))) - gan((z, tf.fill([2], 1)))).max() > 1e-6


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"time_steps": 0}, "time_steps must be a whole number of at least 1, not 0"),
        ({"time_steps": 1.5}, "time_steps must be a whole number of at least 1, not 1.5"),
        ({"network": "resnet"}, "network='resnet' cannot draw on a canvas: GRAN takes dcgan or mlp"),
        ({"shape": (18, 18, 1)}, "convolutional networks need square images"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        small(**arguments)


@pytest.mark.parametrize("steps", [2, 4])
def test_a_generator_of_other_steps(steps):
    with pytest.raises(UserError, match=f"time_steps={steps} is not that of the generator"):
        small(time_steps=3).rebuilt(time_steps=steps)


def config(run_dir, **kwargs):
    settings = dict(model="gran", dataset="digits", width=2, latent_dim=3, batch_size=8, steps=2)
    settings |= dict(sample_every=0, health_every=0, precision="float32", run_dir=str(run_dir))
    return pipeline.Config(**{**settings, **kwargs})


@pytest.mark.thorough
def test_a_run_on_a_folder_of_images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for k in range(8):
        Image.fromarray(RNG.integers(0, 256, (16, 16), np.uint8)).save(folder / f"{k}.png")
    more = dict(dataset=f"folder:{folder}", resolution=16, cache_dir=str(tmp_path / "cache"), set=("time_steps=2",))
    pipeline.run(config(tmp_path / "run", **more))
    gan, _, _ = trained_gan.load_gan(tmp_path / "run")
    assert gan.time_steps == 2
    assert gan.canvases(gan.sample_latent(2, seed=0)).shape == (2, 2, 16, 16, 1)
    assert gan_zoo.load_pretrained(tmp_path / "run").sample(2, seed=0).shape == (2, 16, 16, 1)


# The generative adversarial metric.


def duellist(theta, scale, threshold):
    """Returns a model with G(z) = theta + z in one dimension and D(x) = scale (x - threshold)."""
    z, x = keras.Input((1,)), keras.Input((1,))
    layer = keras.layers.Dense(1)
    gan = VanillaGAN(keras.Model(z, keras.layers.Dense(1)(z)), keras.Model(x, layer(x)), seed=0)
    gan.generator.set_weights([np.ones((1, 1)), np.full((1,), theta)])
    layer.set_weights([np.full((1, 1), scale), np.full((1,), -scale * threshold)])
    return gan


def test_a_battle_by_hand():
    """Both discriminators say "real" above a threshold; the data are 1 to 10."""
    first, second = duellist(0.0, 2.0, 1.5), duellist(1.0, 0.5, 0.5)
    x = np.arange(1.0, 11.0, dtype="float32")[:, None]
    z = first.sample_latent(400, seed=3).numpy()
    np.testing.assert_array_equal(z, second.sample_latent(400, seed=3))
    result = metrics.battle(first, second, x, samples=400, seed=3, size=150)
    assert result.test_ratio == pytest.approx(0.9 / 1.0)
    recognized = np.mean(1.0 + z <= 1.5), np.mean(z <= 0.5)
    assert recognized[0] == recognized[1]  # 1 + z against 1.5 is z against 0.5
    assert result.sample_ratio == pytest.approx(1.0)
    assert result.winner is None
    # With a lower threshold, D_2 recognises fewer samples of the first model, which wins.
    second = duellist(1.0, 0.5, 0.0)
    result = metrics.battle(first, second, x, samples=400, seed=3, tolerance=0.2)
    assert result.sample_ratio == pytest.approx(recognized[0] / np.mean(z <= 0.0))
    assert result.winner == 1
    back = metrics.battle(second, first, x, samples=400, seed=3, tolerance=0.2)
    assert back.sample_ratio == pytest.approx(1 / result.sample_ratio)
    assert back.test_ratio == pytest.approx(1 / result.test_ratio)
    assert back.winner == 2
    # The same models are not comparable where the discriminators differ too much on the data.
    assert metrics.battle(first, second, x, samples=400, seed=3, tolerance=0.05).winner is None


@pytest.mark.parametrize(
    ("ratios", "winner"),
    [
        ((1.0, 1.2), 1),
        ((1.0, 0.8), 2),
        ((1.0, 1.0), None),
        ((1.09, 2.0), 1),
        ((1.2, 2.0), None),
        ((0.8, 0.5), None),
        ((1.0, float("inf")), 1),
        ((float("nan"), 2.0), None),
        ((1.0, float("nan")), None),
    ],
)
def test_who_wins(ratios, winner):
    assert judge(*ratios).winner == winner


def test_a_model_draws_against_itself():
    gan = DCGAN.for_images((8, 8, 1), width=2, latent_dim=3, classes=3, seed=0)
    randomize(gan.discriminator)
    before = [variable.numpy() for variable in gan.variables]
    result = metrics.battle(gan, gan, (IMAGES[:, :8, :8], LABELS), samples=20, size=7)
    assert result.winner is None
    assert all(np.isnan(ratio) or ratio == 1 for ratio in result[:2])
    for variable, value in zip(gan.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_discriminators_compete_as_they_are_trained():
    """Batch normalization before the score makes half of the examples of any pass "real"."""
    z, x = keras.Input((1,)), keras.Input((1,))
    score = keras.layers.BatchNormalization()(x)
    gan = VanillaGAN(keras.Model(z, keras.layers.Dense(1)(z)), keras.Model(x, score), seed=0)
    result = metrics.battle(gan, duellist(0.0, 1.0, 0.0), np.arange(100.0, 140.0, dtype="float32")[:, None], size=40)
    assert result.test_ratio == pytest.approx(0.5)
    np.testing.assert_array_equal(gan.discriminator.non_trainable_variables[0], [0.0])


def test_models_that_cannot_compete():
    pyramid = LAPGAN.for_images(SHAPE, width=2, latent_dim=3, seed=0)
    with pytest.raises(UserError, match=r"the discriminator of LAPGAN must return one score .* not \[8, 2\]"):
        metrics.battle(pyramid, pyramid, IMAGES, samples=8)
    gan = VanillaGAN.for_points(width=2)
    for arguments, sentence in (({"samples": 0}, "samples must be a whole"), ({"tolerance": -1}, "tolerance must be")):
        with pytest.raises(UserError, match=sentence):
            metrics.battle(gan, gan, np.zeros((4, 2), "float32"), **arguments)
