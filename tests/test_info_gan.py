"""InfoGAN: the bound L_I in exact numbers, who trains Q, and codes that samples come to show."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, testing
from gan_zoo.models import InfoGAN
from gan_zoo.models.info_gan import categorical_information, continuous_information

from .thorough import thoroughly
from .variants import IMAGES, POINTS

LOGITS = np.float32([[1.0, 0.2, -0.5], [0.1, 1.5, 0.3]])
CATEGORIES = np.eye(3, dtype="float32")[[0, 2]]
C, MEAN, STD = (np.float32(column)[:, None] for column in ([0.3, -0.8], [0.1, -0.5], [0.5, 0.8]))
RNG = np.random.default_rng(0)


def test_exact_values():
    np.testing.assert_allclose(categorical_information(CATEGORIES, LOGITS), 0.023050318883514498, rtol=2e-5)
    np.testing.assert_allclose(continuous_information(C, MEAN), -0.25829135264472736, rtol=1e-5)
    both = np.concatenate([MEAN, np.log(STD)], axis=1)
    np.testing.assert_allclose(continuous_information(C, both), 0.15719776329235013, rtol=1e-5)


def test_the_bounds():
    # A certain Q has log K; one that knows nothing has 0, and for a number log 2 - log(2 pi) / 2 - Var(c) / 2.
    np.testing.assert_allclose(categorical_information(CATEGORIES, 100 * CATEGORIES), math.log(3), rtol=1e-6)
    np.testing.assert_allclose(categorical_information(CATEGORIES, 0 * LOGITS), 0, atol=1e-6)
    c = np.linspace(-1, 1, 20001, dtype="float32")[:, None]
    best, none = (math.log(2) - 0.5 * math.log(2 * math.pi) - square / 2 for square in (0, 1 / 3))
    np.testing.assert_allclose(continuous_information(c, c), best, rtol=1e-5)
    np.testing.assert_allclose(continuous_information(c, 0 * c), none, rtol=1e-3)
    assert best == pytest.approx(-0.2258, abs=1e-4) and none == pytest.approx(-0.3925, abs=1e-4)


def linear(**kwargs):
    """Returns an InfoGAN with one code of 2 categories and one number, z = [noise, code, number], on points, [B, 2].

    G is linear, D(x) = b.(A x) with the features A x, and Q is linear in the features.
    """
    arrays = {"g": (4, 2), "a": (2, 3), "b": (3, 1), "q": (3, 3)}
    arrays = {name: RNG.normal(size=shape).astype("float32") for name, shape in arrays.items()}
    z, x, f = (keras.Input((size,)) for size in (4, 2, 3))
    generator = keras.Model(z, keras.layers.Dense(2, use_bias=False)(z))
    features = keras.layers.Dense(3, use_bias=False, name="features")(x)
    discriminator = keras.Model(x, keras.layers.Dense(1, use_bias=False)(features))
    recognition = keras.Model(f, keras.layers.Dense(3, use_bias=False)(f))
    for network, names in ((generator, "g"), (discriminator, "ab"), (recognition, "q")):
        network.set_weights([arrays[name] for name in names])
    gan = InfoGAN(generator, discriminator, recognition, categorical=(2,), continuous=1, **kwargs)
    return gan, {name: array.astype("float64") for name, array in arrays.items()}


def test_both_losses():
    gan, w = linear(code_weight=0.7, continuous_weight=0.3)
    assert (gan.latent_dim, gan.latent_size) == (1, 4)
    x, z = POINTS.astype("float64"), gan.sample_latent(8, seed=0).numpy().astype("float64")
    fake = z @ w["g"]
    real_score, fake_score = x @ w["a"] @ w["b"], fake @ w["a"] @ w["b"]
    outputs = fake @ w["a"] @ w["q"]
    log_q = outputs[:, :2] - np.log(np.exp(outputs[:, :2]).sum(axis=1, keepdims=True))
    discrete = (z[:, 1:3] * log_q).sum(axis=1).mean() + math.log(2)
    number = np.mean(-0.5 * math.log(2 * math.pi) - 0.5 * (z[:, 3] - outputs[:, 2]) ** 2) + math.log(2)
    information = 0.7 * discrete + 0.3 * number
    softplus = lambda t: np.log1p(np.exp(t))  # noqa: E731
    x, z = tf.constant(x, tf.float32), tf.constant(z, tf.float32)
    d_loss = softplus(-real_score).mean() + softplus(fake_score).mean() - information
    np.testing.assert_allclose(gan.discriminator_loss(x, z), d_loss, rtol=1e-5)
    np.testing.assert_allclose(gan.generator_loss(x, z), softplus(-fake_score).mean() - information, rtol=1e-5)
    np.testing.assert_allclose(gan.recorded("information_category_0")[0], discrete, rtol=1e-4)
    np.testing.assert_allclose(gan.recorded("information_continuous_0")[0], number, rtol=1e-4)


@pytest.mark.parametrize(("schedule", "turn"), [("official", "discriminator"), ("paper", "generator")])
def test_who_trains_the_head(schedule, turn):
    gan, _ = linear(schedule=schedule)
    gan.compile()
    for player in gan.players():
        before = [v.numpy() for v in gan.recognition.trainable_variables]
        gan.turn(player, tf.constant(POINTS))
        moved = any((v.numpy() != old).any() for v, old in zip(gan.recognition.variables, before, strict=True))
        assert moved == (player.name == turn)


@pytest.mark.parametrize("schedule", ["official", "paper"])
def test_the_trunk_learns_from_the_codes_in_ds_turns(schedule):
    gan, _ = linear(schedule=schedule)
    trunk, z = gan.discriminator.trainable_variables[0], gan.sample_latent(8, seed=0)
    with tf.GradientTape(persistent=True) as tape:
        losses = [gan.discriminator_loss(tf.constant(POINTS), z), gan.weighted_information(gan.G(z), z)]
        plain = losses[0] + losses[1]
    with_codes, without = (tape.gradient(loss, trunk.value).numpy() for loss in (losses[0], plain))
    assert np.abs(with_codes - without).max() > 1e-3
    assert any(variable is trunk for variable in gan.discriminator_variables)
    assert not any(variable is trunk for variable in gan.generator_variables)


def test_recognition_is_that_of_inference_mode():
    gan = InfoGAN.for_images((8, 8, 1), latent_dim=4, width=4, categorical=(3, 2), continuous=1, code_std="learned")
    found = gan.recognize(IMAGES)
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "category_0": (8, 3),
        "category_1": (8, 2),
        "continuous_0": (8, 1),
    }
    np.testing.assert_allclose(tf.reduce_sum(found["category_0"], axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(gan.recognize(IMAGES[:2])["continuous_0"], found["continuous_0"][:2], atol=1e-5)
    assert gan.recognition.output_shape == (None, 7)


@pytest.mark.parametrize(
    "check",
    [
        *(testing.check_turns, testing.check_replicas, testing.check_keras_file, testing.check_export),
        *thoroughly(testing.check_xla),
    ],
    ids=lambda check: check.__name__,
)
def test_other_codes_conform(check):
    arguments = {"categorical": (3, 2), "continuous": 2, "code_std": "learned", "schedule": "paper"}
    check(lambda: InfoGAN.for_points(width=8, **arguments), POINTS)


def test_codes_of_a_file_are_a_tuple(tmp_path):
    gan = InfoGAN.for_points(width=4, categorical=[3], continuous=1)
    gan.compile()
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert loaded.categorical == gan.categorical == (3,)
    np.testing.assert_array_equal(loaded.sample_latent(3, seed=0), gan.sample_latent(3, seed=0))


def test_defaults():
    gan = InfoGAN.for_images((28, 28, 1), latent_dim=62, width=4)
    assert gan.generator.input_shape == (None, 74)
    assert (gan.categorical, gan.continuous, gan.prior) == ((10,), 2, "uniform")
    points = InfoGAN.for_points(width=4)
    assert (points.categorical, points.continuous, points.latent_dim) == ((8,), 0, 2)
    rates = {player: float(gan.default_optimizer(player).learning_rate) for player in ("discriminator", "generator")}
    assert rates == pytest.approx({"discriminator": 2e-4, "generator": 1e-3})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"categorical": 10}, r"categorical must be a list of numbers of categories such as \(10,\), not 10"),
        ({"categorical": (1,)}, "each of categorical must be a whole number of at least 2, not 1"),
        ({"continuous": -1}, "continuous must be a whole number of at least 0, not -1"),
        ({"categorical": (), "continuous": 0}, "InfoGAN needs a code"),
        ({"code_weight": -1}, "code_weight must be a number from 0 up, not -1"),
        ({"continuous_weight": "a"}, "continuous_weight must be a number from 0 up"),
        ({"code_std": "free"}, "code_std must be 'fixed' or 'learned', not 'free'"),
        ({"schedule": "both"}, "schedule must be 'official' or 'paper', not 'both'"),
        ({"classes": 3}, "classes: InfoGAN is a method for data without labels"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        InfoGAN.for_points(width=4, **arguments)


def test_virtual_normalization_has_no_reference_for_codes():
    with pytest.raises(UserError, match="g_norm='virtual' draws a reference batch from the prior of the noise"):
        InfoGAN.for_images((8, 8, 1), latent_dim=4, width=4, g_norm="virtual")


def test_networks_must_fit_the_codes():
    gan, _ = linear()
    with pytest.raises(UserError, match="recognition must return 4 numbers for these codes, not 3"):
        gan.rebuilt(code_std="learned")
    with pytest.raises(UserError, match="generator takes 4 numbers, which does not fit codes of 4 numbers"):
        gan.rebuilt(categorical=(3,), latent_dim=None)
