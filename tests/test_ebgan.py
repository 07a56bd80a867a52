"""EBGAN: energies, the hinge per sample, the pulling-away term over the whole batch, and the autoencoders."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, layers, losses, networks, testing
from gan_zoo.models import EBGAN
from gan_zoo.networks import autoencoder

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["ebgan"]
ENERGY_REAL, ENERGY_FAKE, CODES = (np.float32(VECTORS["inputs"][n]) for n in ("energy_real", "energy_fake", "S"))
RNG = np.random.default_rng(0)
POINTS, OTHERS = (RNG.normal(size=(4, 3)) for _ in range(2))
BACK, CODE = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 2))
BATCH = RNG.normal(size=(8, 2)).astype("float32")
IMAGES = RNG.uniform(-1, 1, size=(8, 8, 8, 1)).astype("float32")


def identity(dim):
    z = keras.Input((dim,))
    return keras.Model(z, keras.layers.Identity()(z))


def linear(**kwargs):
    """Returns a GAN with G(z) = z and the autoencoder with reconstruction x A and code x C, not compiled."""
    x = keras.Input((3,))
    maps = [keras.layers.Dense(n, use_bias=False) for n in (3, 2)]
    discriminator = keras.Model(x, [layer(x) for layer in maps])
    discriminator.set_weights([np.float32(BACK), np.float32(CODE)])
    return EBGAN(identity(3), discriminator, **kwargs)


# The losses for given energies and codes.


@pytest.mark.parametrize("margin", [1, 10])
def test_the_hinge_is_per_sample(margin):
    expected = VECTORS[f"m{margin}"]
    loss = losses.energy_hinge(tf.constant(ENERGY_REAL), tf.constant(ENERGY_FAKE), float(margin))
    np.testing.assert_allclose(loss, expected["d_loss"], rtol=1e-6)
    if margin == 1:
        assert abs(float(loss) - expected["d_loss_hinge_on_batch_mean_WRONG"]) > 0.2


@pytest.mark.parametrize("energy", [0.0, 0.4, 2.0])
def test_d_loss_is_the_margin_where_samples_are_like_data(energy):
    energies = tf.fill([5], energy)
    np.testing.assert_allclose(losses.energy_hinge(energies, energies, 2.0), 2.0, rtol=1e-6)


def test_pulling_away():
    value = losses.pulling_away(tf.constant(CODES))
    np.testing.assert_allclose(value, VECTORS["pt_squared_paper"], rtol=1e-5)
    assert abs(float(value) - VECTORS["pt_unsquared_WRONG_PyTorch-GAN"]) > 0.1
    # Only directions matter, for codes of any shape.
    longer = tf.constant(CODES * np.float32([[3.0], [-0.1], [50.0]]))
    np.testing.assert_allclose(losses.pulling_away(tf.reshape(longer, [3, 1, 2])), value, rtol=1e-5)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (np.eye(4), 0.0),
        (np.outer([1, -2, 3], [1, 2, 2]), 1.0),
        ([[1.0, 0.0], [0.0, 0.0]], 0.0),
        ([[1.0, 2.0]], 0.0),
    ],
    ids=["orthogonal", "parallel", "one of length 0", "alone"],
)
def test_extreme_codes(codes, expected):
    codes = tf.constant(codes, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(codes)
        value = losses.pulling_away(codes)
    np.testing.assert_allclose(value, expected, atol=1e-6)
    assert np.isfinite(tape.gradient(value, codes)).all()


def pairs(codes):
    """Returns PT from its definition, in float64."""
    units = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    n = len(codes)
    return sum((units[i] @ units[j]) ** 2 for i in range(n) for j in range(n) if i != j) / (n * (n - 1))


def differences(function, x):
    """Returns the gradient of a function of an array by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        shift = np.zeros_like(x)
        shift[place] = 1e-6
        gradient[place] = (function(x + shift) - function(x - shift)) / 2e-6
    return gradient


def test_pulling_away_of_two_replicas_is_that_of_the_whole_batch(two_replicas):
    codes = np.concatenate([POINTS, OTHERS[:2]])

    def run(index):
        mine = tf.gather(tf.constant(codes.reshape(2, 3, 3), tf.float32), index)
        with tf.GradientTape() as tape:
            tape.watch(mine)
            value = losses.pulling_away(mine)
        return value, tape.gradient(value, mine) / 2  # the base class averages losses over replicas

    @tf.function
    def both():
        index = two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(context.replica_id_in_sync_group)
        )
        return two_replicas.run(run, (index,))

    values, gradients = (two_replicas.experimental_local_results(part) for part in both())
    np.testing.assert_allclose(np.mean(values), pairs(codes), rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(gradients), differences(pairs, codes), atol=1e-5)


# The class.


def test_the_vectors_through_the_class():
    # x = (energy, code). The reconstruction sets the first coordinate to 0, so this coordinate is the error.
    class Losing(keras.layers.Layer):
        def call(self, x):
            return x * [[0.0, 1.0, 1.0]], x[:, 1:]

    x = keras.Input((3,))
    discriminator = keras.Model(x, Losing()(x))
    real, fake = (tf.pad(e[:, None], [[0, 0], [0, 2]], constant_values=1.0) for e in (ENERGY_REAL, ENERGY_FAKE))
    for margin in (1.0, 10.0):
        gan, expected = EBGAN(identity(3), discriminator, margin=margin), VECTORS[f"m{margin:g}"]
        np.testing.assert_allclose(gan.discriminator_loss(real, fake), expected["d_loss"], rtol=1e-6)
        np.testing.assert_allclose(gan.generator_loss(real, fake), expected["g_loss"], rtol=1e-6)
    gan = EBGAN(identity(3), discriminator, margin=1.0, pt_weight=0.1)
    # There are three codes for four energies, so the mean of the energies is used.
    z = tf.concat([tf.fill([3, 1], ENERGY_FAKE.mean()), CODES], axis=1)
    np.testing.assert_allclose(gan.generator_loss(real, z), VECTORS["m1"]["g_loss_plus_0.1pt"], rtol=1e-6)


def energies(x, distance):
    squares = (x @ BACK - x) ** 2
    return squares.mean(axis=1) if distance == "mse" else np.sqrt(squares.sum(axis=1))


@pytest.mark.parametrize("distance", ["norm", "mse"])
def test_both_losses_and_their_gradients(distance):
    margin = float(np.median(energies(OTHERS, distance)))
    gan = linear(margin=margin, pt_weight=0.3, distance=distance)

    def d_loss(z):
        return energies(POINTS, distance).mean() + np.maximum(0, margin - energies(z, distance)).mean()

    def g_loss(z):
        return energies(z, distance).mean() + 0.3 * pairs(z @ CODE)

    for loss, expected in ((gan.discriminator_loss, d_loss), (gan.generator_loss, g_loss)):
        z = tf.constant(OTHERS, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = loss(tf.constant(POINTS, tf.float32), z)
        np.testing.assert_allclose(value, expected(OTHERS), rtol=1e-5)
        # The gradient passes through both the input and the target of the autoencoder.
        np.testing.assert_allclose(tape.gradient(value, z), differences(expected, OTHERS), atol=1e-4)


def test_a_perfect_reconstruction_has_a_gradient():
    gan = EBGAN(identity(3), identity(3))
    x = tf.constant(POINTS, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = gan.generator_loss(x, x)
    assert np.isfinite(tape.gradient(loss, x)).all() and float(loss) < 1e-5


def test_scores_are_high_for_real_data():
    gan = linear()
    scores = gan.score(tf.constant(POINTS, tf.float32))
    assert scores.shape == (4, 1)
    np.testing.assert_allclose(scores[:, 0], -energies(POINTS, "norm"), rtol=1e-5)


def test_scores_are_those_of_inference_mode():
    gan = EBGAN.for_images((8, 8, 1), latent_dim=4, width=4)
    images = tf.constant(IMAGES)
    np.testing.assert_allclose(gan.score(images)[:2], gan.score(images[:2]), rtol=1e-5)


def test_the_reconstruction_alone_will_do_without_pulling_away():
    x, z = (tf.constant(t, tf.float32) for t in (POINTS, OTHERS))
    gan = EBGAN(identity(3), identity(3), margin=1.0)
    np.testing.assert_allclose(gan.discriminator_loss(x, z), 1.0, atol=1e-5)
    with pytest.raises(UserError, match=r"pt_weight needs a discriminator that returns \(reconstruction, code\)"):
        EBGAN(identity(3), identity(3), pt_weight=0.1).generator_loss(x, z)


@pytest.mark.parametrize(
    "check",
    [testing.check_mixed_precision, testing.check_replicas],
    ids=lambda check: check.__name__,
)
def test_pulling_away_conforms(check):
    check(lambda: EBGAN.for_points(width=8, pt_weight=0.1, distance="mse"), BATCH)


def test_pulling_away_of_images_conforms():
    testing.check_replicas(lambda: EBGAN.for_images((8, 8, 1), latent_dim=4, width=4, pt_weight=0.5), IMAGES)


# The networks.


@pytest.mark.parametrize(("side", "code"), [(8, 4), (14, 7), (28, 7), (32, 8), (64, 8), (128, 8)])
def test_convolutions_lead_to_8_x_8_positions(side, code):
    model = autoencoder.convolutional((side, side, 3), 2)
    reconstruction, codes = model(tf.zeros([1, side, side, 3]))
    assert reconstruction.shape == (1, side, side, 3) and codes.shape[1:3] == (code, code)
    assert reconstruction.dtype == "float32"


def test_the_64x64_autoencoder_is_that_of_the_paper():
    model = autoencoder.convolutional((64, 64, 3), 64, "batch")
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    transposed = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert [layer.filters for layer in convolutions] == [64, 128, 256]
    assert [layer.filters for layer in transposed] == [128, 64, 3]
    assert {(layer.kernel_size, layer.strides) for layer in convolutions + transposed} == {((4, 4), (2, 2))}
    # Neither in the encoder's first layer nor in the decoder's last.
    assert sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers) == 4


@pytest.mark.parametrize("norm", networks.NORMS)
@pytest.mark.parametrize("build", [autoencoder.convolutional, autoencoder.perceptron])
def test_normalizations(build, norm):
    model = build((28, 28, 1), 4, norm)
    images = np.float32(np.linspace(-1, 1, 4 * 28 * 28).reshape(4, 28, 28, 1))
    reconstruction, code = model(images, training=True)
    assert reconstruction.shape == images.shape and np.abs(reconstruction).max() <= 1
    assert np.isfinite(code).all()
    kinds = {"batch": layers.BatchNormalization, "spectral": layers.SpectralNormalization}
    for name, kind in kinds.items():
        assert any(isinstance(layer, kind) for layer in model.layers) == (name == norm)


def test_the_code_of_points_is_a_bottleneck():
    for width, size in ((128, 32), (4, 2)):
        reconstruction, code = autoencoder.perceptron((2,), width)(tf.zeros([3, 2]))
        assert reconstruction.shape == (3, 2) and code.shape == (3, size)


def test_margins_are_errors_of_a_third_in_every_pixel():
    for distance, expected in (("norm", (8 * 8 * 3 * (1 / 3) ** 2) ** 0.5), ("mse", (1 / 3) ** 2)):
        gan = EBGAN.for_images((8, 8, 3), latent_dim=2, width=2, distance=distance)
        np.testing.assert_allclose(gan.margin, expected, rtol=1e-6)
    assert EBGAN.for_images((8, 8, 1), latent_dim=2, width=2, margin=3.0).margin == 3.0
    assert EBGAN.for_points(width=4).margin == 1.0


@pytest.mark.parametrize("network", ["resnet", "mlp"])
def test_generators_of_every_family(network):
    gan = EBGAN.for_images((8, 8, 1), network=network, latent_dim=4, width=4, pt_weight=0.1)
    gan.compile()
    logs = gan.train_step(tf.constant(IMAGES))
    assert {"real_energy", "fake_energy", "pulling_away"} <= logs.keys()
    assert all(np.isfinite(value) for value in logs.values())
