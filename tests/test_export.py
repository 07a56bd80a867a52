"""SavedModels: equal samples in every process, and folders that are never lost or half written."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo import layers
from gan_zoo.export import saved_model
from gan_zoo.models import DCGAN, VanillaGAN
from gan_zoo.util import pictures
from gan_zoo.util.errors import UserError

from .small_models import conditional
from .systems import VAE


def trained(gan):
    """Returns the GAN with moving statistics and singular vectors that differ from the initial values."""
    for _ in range(3):
        gan.G(gan.sample_latent(8))
    return gan


def image_gan(**kwargs):
    return trained(DCGAN.for_images((8, 8, 1), width=4, latent_dim=5, **kwargs))


@pytest.fixture(scope="module")
def gan():
    return image_gan()


@pytest.fixture(scope="module")
def folder(gan, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    return saved_model.export(gan, path, metadata={"dataset": "digits", "step": 7, "note": "é"})


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder))


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (5, -3), (3, 2**40)])
def test_sample_is_the_gan_of_its_latents(gan, loaded, n, seed):
    z = gan.sample_latent(n, seed)
    got = loaded.sample(n, seed)
    assert got.dtype == tf.float32
    np.testing.assert_array_equal(loaded.sample_latent(n, seed), z)
    np.testing.assert_allclose(got, gan(z), rtol=0, atol=1e-6)
    np.testing.assert_allclose(loaded.serving_default(z), gan(z), rtol=0, atol=1e-6)


def test_endpoints_are_signatures_with_a_dynamic_batch(loaded):
    expected = {"serving_default", "serve", "sample", "sample_uint8", "sample_latent", "metadata"}
    assert set(loaded.signatures) == expected
    n, seed = tf.constant(2, tf.int64), tf.constant(1, tf.int64)
    (got,) = loaded.signatures["sample"](n=n, seed=seed).values()
    np.testing.assert_array_equal(got, loaded.sample(2, 1))
    for count in (1, 4):
        (got,) = loaded.signatures["serving_default"](z=tf.zeros([count, 5])).values()
        assert got.shape == (count, 8, 8, 1)


def test_uint8_is_that_of_pictures(loaded):
    got = loaded.sample_uint8(64, 3)
    assert got.dtype == tf.uint8
    np.testing.assert_array_equal(got, pictures.to_uint8(loaded.sample(64, 3).numpy()))


def test_sampling_repeats_and_depends_on_the_seed(folder, loaded):
    again = tf.saved_model.load(str(folder))
    first = loaded.sample(4, 11).numpy()
    assert first.tobytes() == loaded.sample(4, 11).numpy().tobytes() == again.sample(4, 11).numpy().tobytes()
    assert not np.array_equal(first, loaded.sample(4, 12))


def test_export_leaves_the_random_stream_alone(gan, tmp_path):
    before = gan.random.state.numpy()
    saved_model.export(gan, tmp_path / "m")
    np.testing.assert_array_equal(gan.random.state.numpy(), before)


STANDALONE = """
import importlib.abc, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gan_zoo":
            raise ImportError(name)

sys.meta_path.insert(0, Block())
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
sys.stdout.buffer.write(model.sample(6, 5).numpy().tobytes())
"""


def test_another_process_without_gan_zoo_draws_the_same_bytes(folder, loaded, tmp_path):
    command = [sys.executable, "-I", "-c", STANDALONE, str(folder)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout == loaded.sample(6, 5).numpy().tobytes()


def test_metadata(folder, loaded):
    text = (folder / saved_model.METADATA).read_text(encoding="utf-8")
    document = json.loads(text)
    assert document == json.loads(loaded.metadata().numpy())
    assert document == {
        "model": "dcgan",
        "dataset": "digits",
        "step": 7,
        "note": "é",
        "shape": [8, 8, 1],
        "value_range": [-1, 1],
        "latent_dim": 5,
        "prior": "uniform",
        "classes": None,
        "encoder": False,
        "versions": {"gan_zoo": gan_zoo.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def test_metadata_names_a_class_of_ones_own_and_may_rename_it(tmp_path):
    class MyGAN(VanillaGAN):
        pass

    mine = MyGAN.for_points(width=4, depth=1)
    for extra, name in (({}, "MyGAN"), ({"model": "mine", "latent_dim": 99}, "mine")):
        path = saved_model.export(mine, tmp_path / "m", metadata=extra)
        document = json.loads((path / saved_model.METADATA).read_text())
        assert (document["model"], document["dataset"], document["latent_dim"]) == (name, None, 2)


@pytest.mark.parametrize("value", [float("nan"), np.zeros(2), Path("x")])
def test_metadata_must_be_json(gan, tmp_path, value):
    with pytest.raises(UserError, match="^metadata must"):
        saved_model.export(gan, tmp_path / "m", metadata={"extra": value})
    assert not list(tmp_path.iterdir())


def test_points(tmp_path):
    points = trained(VanillaGAN.for_points(latent_dim=3, width=4, depth=1))
    loaded = tf.saved_model.load(str(saved_model.export(points, tmp_path / "m")))
    np.testing.assert_allclose(loaded.sample(9, 1), points(points.sample_latent(9, 1)), rtol=0, atol=1e-6)
    assert "sample_uint8" not in loaded.signatures
    assert json.loads(loaded.metadata().numpy())["value_range"] is None


def test_latents_may_hold_more_than_the_prior(tmp_path):
    class WithCode(VanillaGAN):
        def sample_latent(self, n, seed=None):
            return tf.concat([super().sample_latent(n, seed), tf.ones([n, 1])], axis=1)

    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    discriminator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    coded = WithCode(generator, discriminator, latent_dim=2)
    loaded = tf.saved_model.load(str(saved_model.export(coded, tmp_path / "m")))
    np.testing.assert_allclose(loaded.sample(3, 1), coded(coded.sample_latent(3, 1)), rtol=0, atol=1e-6)
    assert json.loads(loaded.metadata().numpy())["latent_dim"] == 3


def test_generator_overrides_the_gans_own(gan, tmp_path):
    average = keras.models.clone_model(gan.generator)
    average.set_weights([w + 0.05 for w in gan.generator.get_weights()])
    loaded = tf.saved_model.load(str(saved_model.export(gan, tmp_path / "m", generator=average)))
    z = gan.sample_latent(4, 2)
    np.testing.assert_allclose(loaded.sample(4, 2), average(z, training=False), rtol=0, atol=1e-6)
    assert np.abs(loaded.sample(4, 2) - gan(z)).max() > 1e-3


def test_spectral_normalization(tmp_path):
    z = keras.Input((3,))
    x = layers.SpectralNormalization(keras.layers.Dense(4 * 4 * 2))(z)
    x = layers.BatchNormalization()(keras.layers.Reshape((4, 4, 2))(x))
    x = layers.SpectralNormalization(keras.layers.Conv2D(1, 3, padding="same"))(layers.LeakyReLU()(x))
    generator = keras.Model(z, keras.layers.Activation("tanh")(x))
    discriminator = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    normalized = trained(VanillaGAN(generator, discriminator))
    loaded = tf.saved_model.load(str(saved_model.export(normalized, tmp_path / "m")))
    expected = normalized(normalized.sample_latent(4, 2))
    np.testing.assert_allclose(loaded.sample(4, 2), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cast", [False, True])
def test_mixed_precision_gives_float32(tmp_path, cast):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = image_gan()
        generator = None
        if cast:
            # A user's network may end in bfloat16.
            z = keras.Input((5,))
            generator = keras.Model(z, keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64, "tanh")(z)))
            assert generator(tf.zeros([1, 5])).dtype == tf.bfloat16
        loaded = tf.saved_model.load(str(saved_model.export(mixed, tmp_path / "m", generator=generator)))
        got = loaded.sample(4, 2)
        assert got.dtype == tf.float32
        expected = tf.cast((generator or mixed)(mixed.sample_latent(4, 2)), tf.float32)
        np.testing.assert_allclose(got, expected, rtol=0, atol=0.02)
    finally:
        keras.config.set_dtype_policy("float32")


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_replaces_an_older_model_and_leaves_nothing_behind(gan, tmp_path):
    path = saved_model.export(gan, tmp_path / "new" / "m", metadata={"step": 1})
    assert path == tmp_path / "new" / "m"
    saved_model.export(gan, path, metadata={"step": 2})
    assert json.loads((path / saved_model.METADATA).read_text())["step"] == 2
    assert [p.name for p in path.parent.iterdir()] == ["m"]


def test_fills_an_empty_folder(gan, tmp_path):
    (tmp_path / "m").mkdir()
    assert (saved_model.export(gan, tmp_path / "m") / "saved_model.pb").exists()


@pytest.mark.parametrize("stage", ["_write", "_check_same", "_put", "rename"])
@pytest.mark.thorough
def test_failure_keeps_the_older_model(gan, tmp_path, monkeypatch, stage):
    path = saved_model.export(gan, tmp_path / "m")
    before = contents(path)
    if stage == "rename":
        rename = Path.rename

        def fail(self, target):
            if self.name.endswith(".partial"):
                raise OSError(28, "No space left on device")
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", fail)
        expected = pytest.raises(UserError, match=r"^path: .* cannot be written \(No space left on device\)")
    else:
        monkeypatch.setattr(saved_model, stage, lambda *_, **__: 1 / 0)
        expected = pytest.raises(ZeroDivisionError)
    with expected:
        saved_model.export(gan, path)
    assert contents(path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_model_that_differs_once_written_is_refused(tmp_path):
    class Fickle(keras.layers.Layer):
        def call(self, x):
            return x if tf.executing_eagerly() else x + 0.1

    z = keras.Input((2,))
    # A network that is traced in a graph during its construction must be called to show its eager behaviour.
    generator = keras.Model(z, Fickle()(keras.layers.Dense(2)(z)))
    fickle = VanillaGAN(generator, keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    with pytest.raises(RuntimeError, match="'sample' returns other values than the model"):
        saved_model.export(fickle, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_refuses_to_replace_other_things(gan, tmp_path):
    file, other, mixed = tmp_path / "file", tmp_path / "other", tmp_path / "mixed"
    file.write_text("x")
    other.mkdir()
    (other / "thesis.tex").write_text("x")
    mixed.mkdir()
    for name in ("saved_model.pb", "thesis.tex"):
        (mixed / name).write_text("x")
    for path, word in ((file, "is a file"), (other, "other files"), (mixed, "other files"), (file / "m", "written")):
        with pytest.raises(UserError, match=f"^path: .*{word}"):
            saved_model.export(gan, path)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "other", "mixed"}


def test_refuses_a_diverged_generator(tmp_path):
    diverged = VanillaGAN.for_points(width=4, depth=1)
    diverged.generator.set_weights([w * np.nan for w in diverged.generator.get_weights()])
    with pytest.raises(UserError, match="^gan: its samples are not finite"):
        saved_model.export(diverged, tmp_path / "m")
    with pytest.raises(UserError, match="^generator: its samples are not finite"):
        saved_model.export(diverged, tmp_path / "m", generator=diverged.generator)


def test_refuses_latents_of_several_parts(tmp_path):
    class Parts(VanillaGAN):
        def sample_latent(self, n, seed=None):
            return super().sample_latent(n, seed), tf.zeros([n, 1])

    with pytest.raises(UserError, match="^gan: sample_latent of Parts must return one tensor"):
        saved_model.export(Parts.for_points(width=4, depth=1), tmp_path / "m")


def test_refuses_the_inside_of_a_strategys_scope(gan, tmp_path):
    with tf.distribute.OneDeviceStrategy("CPU:0").scope(), pytest.raises(UserError, match="strategy's scope"):
        saved_model.export(gan, tmp_path / "m")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    gan = conditional()
    folder = tmp_path_factory.mktemp("labelled") / "model"
    return gan, saved_model.export(gan, folder, metadata={"classes": ["boot", "bag", "hat"]})


def test_classes(labelled):
    gan, folder = labelled
    loaded = tf.saved_model.load(str(folder))
    z, y = gan.sample_latent(5, seed=3)
    for got, expected in zip(loaded.sample_latent(5, 3), (z, y), strict=True):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_allclose(loaded.sample(5, 3), gan((z, y)), atol=1e-6)
    np.testing.assert_allclose(loaded.serving_default(z, y), gan((z, y)), atol=1e-6)
    for label in (2, [0, 1, 2, 2, 1]):
        np.testing.assert_allclose(
            loaded.sample_class(5, 3, label), gan(gan.sample_latent(5, seed=3, label=label)), atol=1e-6
        )
    assert loaded.sample_uint8(2, 0).dtype == tf.uint8
    assert json.loads(loaded.metadata().numpy())["classes"] == ["boot", "bag", "hat"]
    for bad in (3, -1, [0, 1]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="label must be from 0 to 2"):
            loaded.sample_class(3, 0, bad)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # of TensorFlow Lite itself
def test_tensorflow_lite_takes_labels(labelled):
    gan, folder = labelled
    z, y = gan.sample_latent(1, seed=0)
    runner = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    (got,) = runner.get_signature_runner("serving_default")(z=z.numpy(), y=y.numpy()).values()
    np.testing.assert_allclose(got, gan((z, y)), atol=1e-6)


def test_keras_own_export_takes_labels(labelled, tmp_path):
    gan, _ = labelled
    gan.export(tmp_path / "m", verbose=False)
    loaded, latents = tf.saved_model.load(str(tmp_path / "m")), gan.sample_latent(2, seed=0)
    np.testing.assert_allclose(loaded.serve(latents), gan(latents), atol=1e-6)


def test_latents_without_labels_are_refused(labelled):
    gan, _ = labelled
    z, _ = gan.sample_latent(2, seed=0)
    with pytest.raises(UserError, match=r"VanillaGAN has classes=3 and maps pairs \(z, y\)"):
        gan(z)


def test_names_of_classes(labelled):
    gan, _ = labelled
    assert saved_model._class_names(gan, None) == ["0", "1", "2"]
    for names in (["a", "b"], "abc", ["a", "a", "b"], [0, 1, 2]):
        with pytest.raises(UserError, match="metadata: 'classes' must be the 3 names of the classes"):
            saved_model._class_names(gan, names)


def test_a_model_samples_as_its_call_says(tmp_path):
    class Doubled(VAE):
        averaged = ("decoder", "encoder")

        def call(self, z):
            return 2.0 * self.decoder(self.encoder(z, training=False)[:, :2], training=False)

    model = Doubled.for_points(width=4, seed=0)
    loaded = tf.saved_model.load(str(saved_model.export(model, tmp_path / "m")))
    z = model.sample_latent(4, seed=1)
    expected = 2.0 * model.decoder(model.encoder(z)[:, :2])
    np.testing.assert_allclose(loaded.sample(4, 1), expected, atol=1e-6)
    np.testing.assert_allclose(loaded.serving_default(z), expected, atol=1e-6)


def test_the_package_finds_its_formats():
    assert gan_zoo.export.saved_model is saved_model
    with pytest.raises(AttributeError, match="no attribute 'floppy'"):
        _ = gan_zoo.export.floppy
