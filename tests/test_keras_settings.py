"""Global settings of keras.json and keras.config: they do not change a run silently, and a run restores them."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.utils.rng_utils import get_random_seed

from gan_zoo import callbacks, layers, load_pretrained, networks
from gan_zoo.compare.settings import Settings
from gan_zoo.export import saved_model
from gan_zoo.metrics import digits
from gan_zoo.models import DCGAN, EBGAN, ProgressiveGAN, VanillaGAN
from gan_zoo.registry.variant_lists import Method
from gan_zoo.run_folder import trained_gan
from gan_zoo.training import pipeline
from gan_zoo.util.errors import UserError

from .thorough import thoroughly

IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(4, 16, 16, 3)).astype("float32")


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.fixture
def floatx():
    yield keras.config.set_floatx
    keras.config.set_floatx("float32")


def weights_after_a_step(cls, family, norm):
    keras.utils.set_random_seed(0)
    gan = cls.for_images((16, 16, 3), network=family, norm=norm, width=16, latent_dim=3, seed=0)
    gan.compile()
    gan.train_step(tf.constant(IMAGES))
    return gan, gan(gan.sample_latent(2, seed=0)).numpy()


PAIRS = [(VanillaGAN, family, "batch") for family in networks.FAMILIES if family not in networks.WITHOUT_NORM]
PAIRS += [(VanillaGAN, "r3", "none"), (ProgressiveGAN, "growing", "none")]


@pytest.mark.parametrize(
    ("cls", "family", "norm"), [*PAIRS, (EBGAN, "dcgan", "layer"), (EBGAN, "mlp", "none")], ids=str
)
def test_images_are_channels_last_under_every_setting(cls, family, norm):
    """Every setting gives the same weights and samples, and files load under either setting."""
    expected, samples = weights_after_a_step(cls, family, norm)
    keras.config.set_image_data_format("channels_first")
    try:
        gan, actual = weights_after_a_step(cls, family, norm)
        assert actual.shape == (2, 16, 16, 3)
        np.testing.assert_array_equal(actual, samples)
        for ours, theirs in zip(gan.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("cls", [*thoroughly(DCGAN), ProgressiveGAN])
def test_files_of_the_other_setting(cls, tmp_path):
    gan = cls.for_images((16, 16, 3), width=4, latent_dim=3, seed=0)
    gan.compile()
    gan.save(tmp_path / "last.keras")
    expected = gan(gan.sample_latent(2, seed=0))
    keras.config.set_image_data_format("channels_first")
    try:
        loaded = keras.models.load_model(tmp_path / "last.keras")
        np.testing.assert_array_equal(loaded(gan.sample_latent(2, seed=0)), expected)
        average = callbacks.GeneratorEMA()
        average.set_model(loaded)
        np.testing.assert_array_equal(average.generator(gan.sample_latent(2, seed=0)), expected)
        saved_model.export(loaded, tmp_path / "model")
        loaded.save(tmp_path / "first.keras")
    finally:
        keras.config.set_image_data_format("channels_last")
    again = keras.models.load_model(tmp_path / "first.keras")
    np.testing.assert_array_equal(again(gan.sample_latent(2, seed=0)), expected)
    exported = load_pretrained(tmp_path / "model", trust=True)
    np.testing.assert_allclose(exported.sample(2, seed=0), expected, atol=1e-5)


def test_layers_take_the_setting_as_keras_layers_do(channels_first):
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype("float32")
    ours, theirs = layers.BatchNormalization(axis=1), keras.layers.BatchNormalization(1, 0.9, 1e-5)
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-5)
    assert layers.Conv2D(4, 3, padding="same").compute_output_shape(x.shape) == (2, 4, 8, 8)


def test_the_classifier_of_digits(channels_first):
    assert digits.network()(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 10)


def config(path, **changes):
    settings = dict(model="vanilla_gan", dataset="ring8", width=4, batch_size=8, steps=4, health_every=2, log_every=2)
    return pipeline.Config(**{**settings, **changes, "run_dir": str(path)})


def digest(run_dir):
    gan, _, _ = trained_gan.load_gan(run_dir)
    return np.concatenate([np.ravel(weight) for weight in gan.get_weights()])


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The weights of a run under the default settings."""
    path = tmp_path_factory.mktemp("plain")
    pipeline.run(config(path, model="r1_gan"))
    return digest(path)


@pytest.mark.parametrize("value", ["float16"])
def test_floatx_does_not_change_a_run(floatx, value, expected, tmp_path):
    """In Keras, floatx is the dtype of inputs and of learning rates."""
    floatx(value)
    pipeline.run(config(tmp_path / "other", model="r1_gan"))
    np.testing.assert_array_equal(digest(tmp_path / "other"), expected)
    assert keras.config.floatx() == value


@pytest.mark.parametrize("value", ["float64", *thoroughly("float16", "bfloat16")])
def test_models_under_floatx(floatx, value):
    floatx(value)
    keras.config.set_dtype_policy(value)
    gan = DCGAN.for_images((16, 16, 3), width=4, latent_dim=3, seed=0)
    gan.compile()
    history = gan.fit(IMAGES, batch_size=4, verbose=0).history
    assert np.isfinite(history["d_loss"]).all()
    assert np.isfinite(gan(gan.sample_latent(2))).all()


class State:
    """All global state of a process that a run could change."""

    def __init__(self):
        self.policy = keras.config.dtype_policy().name
        self.floatx = keras.config.floatx()
        self.format = keras.config.image_data_format()
        self.seed = get_random_seed()
        self.python = random.getstate()
        self.numpy = [np.asarray(part).tolist() for part in np.random.get_state()]
        self.tensorflow = tf.random.uniform([], seed=None).numpy()


def start():
    keras.config.set_dtype_policy("float64")
    keras.utils.set_random_seed(7)
    random.random(), np.random.random()


def diverge(path):
    with pytest.raises(Exception, match="diverged"):
        pipeline.run(config(path, learning_rate=1e30, steps=20))


def refuse(path):
    with pytest.raises(UserError):
        pipeline.run(config(path, batch_size=7, strategy="mirrored", num_virtual_devices=4))


def load(path):
    trained_gan.load_gan(path.with_name("kept"))


def compare(path):
    settings = Settings(dataset="ring8", steps=4, width=4, batch_size=8)
    settings.build(Method("vanilla_gan", "vanilla_gan", {}), (2,), 3)


@pytest.mark.parametrize(
    "act",
    [
        lambda path: pipeline.run(config(path, precision="mixed_bfloat16")),
        lambda path: pipeline.dry_run(config(path)),
        lambda path: pipeline.Job(config(path)),
        diverge,
        refuse,
        load,
        compare,
    ],
    ids=["run", "dry_run", "job", "diverge", "refuse", "load", "compare"],
)
@pytest.mark.thorough
def test_a_process_is_as_it_was(act, tmp_path):
    if act is load:
        pipeline.run(config(tmp_path / "kept"))
    start()
    expected = State()
    start()
    act(tmp_path / "run")
    found = State()
    assert vars(found) == vars(expected)


def test_a_run_does_not_depend_on_what_the_process_has_drawn(expected, tmp_path):
    random.random(), np.random.random(), keras.utils.set_random_seed(99)
    keras.config.set_dtype_policy("mixed_float16")
    pipeline.run(config(tmp_path / "run", model="r1_gan"))
    np.testing.assert_array_equal(digest(tmp_path / "run"), expected)
