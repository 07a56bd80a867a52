"""LAPGAN: the pyramid and its exact sum, one GAN for each level, the choice of levels, samples level by level."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_zoo
from gan_zoo import UserError, testing
from gan_zoo.models import LAPGAN
from gan_zoo.networks import dcgan, pyramid
from gan_zoo.run_folder import trained_gan
from gan_zoo.training import pipeline

from .thorough import thoroughly

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
RNG = np.random.default_rng(0)
LABELS = (np.arange(8) % 3).astype("int32")
IMAGES = {side: RNG.uniform(-1, 1, size=(8, side, side, 1)).astype("float32") for side in (8, 16, 32)}


def small(side=16, **kwargs):
    return LAPGAN.for_images((side, side, 1), **{"width": 2, "latent_dim": 3, "seed": 0, **kwargs})


def coarser(x):
    n, side, _, channels = x.shape
    return x.reshape(n, side // 2, 2, side // 2, 2, channels).mean((2, 4))


def doubled(x):
    """Returns TensorFlow's own linear interpolation, an independent oracle."""
    return tf.image.resize(x, [2 * x.shape[1], 2 * x.shape[2]], "bilinear")


def softplus(t):
    return np.logaddexp(0, np.asarray(t, np.float64))


def test_upsampling_by_hand():
    x = tf.reshape([0.0, 4.0, 8.0, 12.0], [1, 2, 2, 1])
    expected = [[0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]]
    np.testing.assert_array_equal(pyramid.upsample(x)[0, ..., 0], expected)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 1, 1, 1), (3, 7, 7, 1), (2, 2, 4, 3)])
def test_upsampling_is_linear_interpolation(shape):
    x = RNG.normal(size=shape).astype("float32")
    np.testing.assert_allclose(pyramid.upsample(x), doubled(x), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_pyramid_returns_the_image(dtype):
    image = tf.constant(RNG.uniform(-1, 1, (2, 32, 32, 3)), dtype)
    levels = pyramid.levels_of(image, 3)
    assert [level.shape[1] for level in levels] == [8, 16, 32]
    np.testing.assert_allclose(levels[1], coarser(image.numpy()), atol=1e-6)
    total = levels[0]
    for level in levels[1:]:
        details = level - pyramid.upsample(pyramid.downsample(level))
        total = pyramid.upsample(total) + details
        assert total.dtype == dtype
        np.testing.assert_allclose(total, level, atol=1e-6)
    np.testing.assert_allclose(total, image, atol=1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize(
    ("side", "sides"),
    [(8, [8]), (14, [14]), (16, [8, 16]), (28, [14, 28]), (32, [8, 16, 32]), (1024, [8 * 2**k for k in range(8)])],
)
def test_sides(side, sides):
    assert pyramid.sides_of((side, side, 1)) == sides


@pytest.mark.parametrize("shape", [(24, 24, 1), (4, 4, 1), (16, 8, 1), (2048, 2048, 1), (7, 7, 1)])
def test_other_sides_are_refused(shape):
    with pytest.raises(UserError, match=f"a side of 8 or 14 times a power of two .* not {shape[0]} x {shape[1]}"):
        LAPGAN.for_images(shape, width=2, latent_dim=2)


def test_the_networks_of_the_authors():
    gan = LAPGAN.for_images((32, 32, 3), width=64, latent_dim=100)
    for network, plain in (
        (gan.generator, dcgan.generator((8, 8, 3), 100, 64)),
        (gan.discriminator, dcgan.discriminator((8, 8, 3), 64, "none")),
    ):
        assert [v.shape for v in network.levels[0].variables] == [v.shape for v in plain.variables]
    for network, expected in (
        (gan.generator, [(64, (7, 7), (1, 1)), (64, (7, 7), (1, 1)), (3, (5, 5), (1, 1))]),
        (gan.discriminator, [(64, (5, 5), (1, 1)), (64, (5, 5), (2, 2))]),
    ):
        convolutions = [layer for layer in network.levels[2].layers if isinstance(layer, keras.layers.Conv2D)]
        assert [(layer.filters, layer.kernel_size, layer.strides) for layer in convolutions] == expected
    assert gan.generator.levels[2].inputs[0].shape == (None, 1024)
    assert gan.generator.input_shape == (None, 100 + 16**2 + 32**2)
    assert gan.generator.output_shape == (None, 32, 32, 3)
    assert (gan.latent_dim, gan.latent_size) == (100, 1380)


def test_a_sample_is_made_level_by_level():
    gan = small(32)
    z = gan.sample_latent(4, seed=1)
    assert np.abs(z).max() <= 1
    images = gan.pyramid(z)
    assert [image.shape for image in images] == [(4, side, side, 1) for side in (8, 16, 32)]
    np.testing.assert_array_equal(images[-1], gan(z))
    coarse = gan.generator.levels[0](z[:, :3])
    np.testing.assert_array_equal(images[0], coarse)
    for level, part, image in zip(gan.generator.levels[1:], (z[:, 3:259], z[:, 259:]), images[1:], strict=True):
        given = doubled(coarse)
        coarse = given + level((part, given))
        np.testing.assert_allclose(image, coarse, atol=1e-5)


def test_constant_levels_add_up():
    gan = small(32)
    for k, level in enumerate(gan.generator.levels):
        for variable in level.trainable_variables:
            variable.assign(tf.zeros_like(variable.value))
        level.trainable_variables[-1].assign(tf.fill(level.trainable_variables[-1].shape, [0.5, 0.125, -1.0][k]))
    images = gan.pyramid(gan.sample_latent(2))
    first = np.tanh(0.5)
    for image, value in zip(images, [first, first + 0.125, first - 0.875], strict=True):
        np.testing.assert_allclose(image, value, atol=1e-6)


def test_the_discriminator_sees_the_sum_of_details_and_coarse_image():
    gan = small()
    h, other, coarse = (tf.constant(RNG.normal(size=(4, 16, 16, 1)), tf.float32) for _ in range(3))
    D = gan.discriminator.levels[1]
    np.testing.assert_allclose(D((h, coarse)), D((h + coarse - other, other)), atol=1e-5)
    x = IMAGES[16]
    given = doubled(coarser(x))
    expected = np.concatenate([gan.discriminator.levels[0](coarser(x)), D((x - given, given))], 1)
    np.testing.assert_allclose(gan.discriminator(x), expected, atol=1e-5)
    assert gan.discriminator.output_shape == (None, 2)


def test_the_losses_for_given_scores():
    gan = small(8)
    real, fake = (np.float32(VECTORS["inputs"][f"logits_{name}"])[:, None] for name in ("real", "fake"))
    answers = iter([real, fake, fake])
    gan._scores = lambda k, details, given: tf.constant(next(answers))
    x, z = tf.constant(IMAGES[8]), gan.sample_latent(8)
    expected = VECTORS["losses"]["nonsaturating"]
    np.testing.assert_allclose(gan.discriminator_loss(x, z, 0), expected["d_loss"] / 2, rtol=1e-6)
    np.testing.assert_allclose(gan.generator_loss(x, z, 0), expected["g_loss"], rtol=1e-6)


@pytest.mark.parametrize("k", [0, 1])
def test_the_losses_of_a_level(k):
    """Data give D their own details and coarse image; G adds details to the coarse image of the data."""
    gan = small(classes=3)
    x, (z, y) = IMAGES[16], gan.sample_latent(8, label=LABELS)
    if k == 0:
        real, given, part = tf.constant(coarser(x)), [y], z[:, :3]
    else:
        low = doubled(coarser(x))
        real, given, part = x - low, [low, y], z[:, 3:]
    made = gan.generator.at(k, part, *given, training=True)
    scores = [gan.discriminator.at(k, h, *given, training=True) for h in (real, made)]
    expected = 0.5 * np.mean(softplus(-scores[0])) + 0.5 * np.mean(softplus(scores[1]))
    np.testing.assert_allclose(gan.discriminator_loss((x, y), (z, y), k), expected, rtol=1e-5)
    np.testing.assert_allclose(gan.generator_loss((x, y), (z, y), k), np.mean(softplus(-scores[1])), rtol=1e-5)


def test_a_level_depends_on_the_data_only():
    gan = small(32)
    x, z = tf.constant(IMAGES[32]), gan.sample_latent(8, seed=2)
    before = [float(loss(x, z, 1)) for loss in (gan.discriminator_loss, gan.generator_loss)]
    for network in (gan.generator, gan.discriminator):
        for level in (network.levels[0], network.levels[2]):
            for variable in level.trainable_variables:
                variable.assign(variable.value + 1.0)
    assert [float(loss(x, z, 1)) for loss in (gan.discriminator_loss, gan.generator_loss)] == before


@pytest.mark.parametrize(
    ("levels", "kept", "sides"),
    [
        ("all", "all", [8, 16, 32]),
        ("16", "16", [16]),
        (32, "32", [32]),
        ("32, 8", "8,32", [8, 32]),
        ([16, 32], "16,32", [16, 32]),
        ((16,), "16", [16]),
    ],
)
def test_the_levels_that_train(levels, kept, sides):
    gan = small(32, levels=levels)
    assert gan.levels == kept
    assert [player.name for player in gan.players()] == [
        f"{name}_{side}" for side in sides for name in ("discriminator", "generator")
    ]
    gan.compile(*(keras.optimizers.SGD(0.1) for _ in gan.players()))
    before = {id(v): v.numpy() for v in gan.trainable_variables}
    logs = gan.train_step(tf.constant(IMAGES[32]))
    assert set(logs) == {f"{player.name}_loss" for player in gan.players()}
    for network in (gan.generator, gan.discriminator):
        for side, level in zip((8, 16, 32), network.levels, strict=True):
            changed = [not np.array_equal(v, before[id(v)]) for v in level.trainable_variables]
            assert all(changed) if side in sides else not any(changed)


@pytest.mark.parametrize("levels", ["4", "", "8;16", [], [8, 12], "all,8", 3])
def test_levels_that_do_not_exist(levels):
    with pytest.raises(UserError, match="levels must be 'all' or some of the sides 8, 16, not"):
        small(levels=levels)


def test_the_size_of_the_latents():
    gan = small()
    assert (gan.latent_dim, gan.latent_size) == (3, 3 + 256)
    assert gan.sample_latent(2).shape == (2, 259)
    assert gan.rebuilt(levels="16").latent_size == 259
    with pytest.raises(UserError, match="latent_dim must be 3, the size of the coarsest level's latents .* not 7"):
        gan.rebuilt(latent_dim=7)


def test_networks_of_its_own():
    generator, discriminator = small().generator, small().discriminator
    with pytest.raises(UserError, match="LAPGAN takes networks of gan_zoo.networks.pyramid, not a Functional"):
        LAPGAN(generator.levels[0], discriminator)
    with pytest.raises(UserError, match="network='mlp': LAPGAN has networks of its own for each level"):
        small(network="mlp")
    with pytest.raises(UserError, match="g_norm='virtual': LAPGAN has networks of its own for each level"):
        small(g_norm="virtual")
    with pytest.raises(UserError, match="minibatch_discrimination=True: LAPGAN has networks of its own"):
        small(minibatch_discrimination=True)
    with pytest.raises(UserError, match="condition='concat': LAPGAN has networks of its own for each level"):
        small(classes=3, condition="concat")
    with pytest.raises(UserError, match="LAPGAN is for images, and these examples are points"):
        LAPGAN.for_points()


@pytest.mark.parametrize("norm", ["batch", "layer", "spectral"])
def test_norms(norm):
    gan = small(norm=norm)
    gan.compile()
    assert all(np.isfinite(value) for value in gan.train_step(tf.constant(IMAGES[16])).values())


CHECKS = (testing.check_turns, testing.check_keras_file, testing.check_replicas)
LONG = (testing.check_mixed_precision, testing.check_export)


@pytest.mark.parametrize(
    "check",
    [*CHECKS, *thoroughly(*LONG)],
    ids=lambda check: check.__name__,
)
def test_two_levels_with_labels_conform(check):
    check(lambda: small(classes=3), (IMAGES[16], LABELS))


def test_keras_own_export_takes_the_latents_of_all_levels(tmp_path):
    gan = small()
    gan.export(tmp_path / "model", verbose=False)
    loaded, z = tf.saved_model.load(str(tmp_path / "model")), gan.sample_latent(2, seed=0)
    np.testing.assert_allclose(loaded.serve(z), gan(z), atol=1e-5)


def test_labels_change_every_level():
    gan = small(classes=3)
    z, _ = gan.sample_latent(2, seed=0)
    one, other = (gan.pyramid((z, tf.fill([2], label))) for label in (0, 1))
    for a, b in zip(one, other, strict=True):
        assert np.abs(a - b).max() > 1e-6


def config(run_dir, **kwargs):
    settings = dict(
        model="lapgan", dataset="digits", width=2, latent_dim=3, batch_size=8, steps=2, run_dir=str(run_dir)
    )
    return pipeline.Config(**{**settings, "sample_every": 0, "health_every": 0, "precision": "float32", **kwargs})


def test_digits_have_one_level(tmp_path):
    pipeline.run(config(tmp_path, learning_rates={"generator_8": 1e-3}))
    row = json.loads((tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()[-1])
    assert {"discriminator_8_loss", "generator_8_loss"} <= row.keys()
    assert gan_zoo.load_pretrained(tmp_path).sample(3, seed=0).shape == (3, 8, 8, 1)


def test_a_run_on_a_folder_of_images(tmp_path):
    folder = tmp_path / "images"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for k in range(8):
            Image.fromarray(RNG.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{k}.png")
    more = dict(dataset=f"folder:{folder}", resolution=16, conditional=True, cache_dir=str(tmp_path / "cache"))
    pipeline.run(config(tmp_path / "run", set=("levels=8,16",), **more))
    gan, _, _ = trained_gan.load_gan(tmp_path / "run")
    assert (gan.levels, gan.classes) == ("8,16", 2)
    z = gan.sample_latent(2, seed=0, label=1)
    assert [image.shape for image in gan.pyramid(z)] == [(2, 8, 8, 3), (2, 16, 16, 3)]
    np.testing.assert_array_equal(gan.pyramid(z)[-1], gan(z))
