"""Codes and reconstructions: equal in the model, its average, its export and `load_pretrained`; the sampling tool."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_zoo
from gan_zoo import callbacks, sample
from gan_zoo.data import find_source
from gan_zoo.export import saved_model
from gan_zoo.models import VAE, VARIANTS, BiGAN, VanillaGAN
from gan_zoo.sampling import pretrained, real_images
from gan_zoo.training import pipeline
from gan_zoo.util import pictures
from gan_zoo.util.errors import UserError

from . import systems, variants
from .variants import IMAGES, LABELS, POINTS
from .weights import arrays, assert_same, checkpoint

WITH_ENCODER = [name for name in VARIANTS if "encoder" in variants.find(name).averaged]


def trained(name, kind="image", labelled=False):
    model = variants.small(variants.find(name), kind, labelled, seed=0)
    model.compile()
    model.train_step(tf.nest.map_structure(tf.constant, variants.data_for(model, kind)))
    return model


def test_there_are_models_with_an_encoder():
    assert {"vae", "aae", "bigan"} <= {*WITH_ENCODER}


CASES = [(name, False) for name in WITH_ENCODER]
CASES += [(name, True) for name in WITH_ENCODER if variants.find(name).takes_labels == "optional"]


@pytest.mark.parametrize(("name", "labelled"), CASES)
def test_the_same_everywhere(name, labelled, tmp_path):
    model = trained(name, labelled=labelled)
    labels = [LABELS] if model.classes else []
    codes = model.encode(IMAGES).numpy()
    again = model.reconstruct((IMAGES, *labels) if labels else IMAGES).numpy()
    assert codes.shape == (8, 4) and again.shape == IMAGES.shape
    np.testing.assert_allclose(model((codes, *labels) if labels else codes), again, atol=1e-6)
    np.testing.assert_allclose(model.encode(IMAGES[:3]), codes[:3], atol=1e-5)  # each image alone: inference mode

    folder = saved_model.export(model, tmp_path / "m")
    assert json.loads((folder / saved_model.METADATA).read_text())["encoder"] is True
    plain = tf.saved_model.load(str(folder))
    np.testing.assert_allclose(plain.encode(IMAGES), codes, atol=1e-5)
    np.testing.assert_allclose(plain.reconstruct(IMAGES, *labels), again, atol=1e-5)
    inputs = {"images": tf.constant(IMAGES), **({"y": tf.constant(LABELS)} if labels else {})}
    (by_signature,) = plain.signatures["reconstruct"](**inputs).values()
    np.testing.assert_allclose(by_signature, again, atol=1e-5)

    loaded = gan_zoo.load_pretrained(folder)
    assert loaded.has_encoder
    np.testing.assert_allclose(loaded.encode(IMAGES), codes, atol=1e-5)
    np.testing.assert_allclose(loaded.reconstruct(IMAGES, *labels), again, atol=1e-5)
    walk = loaded.interpolate_images(IMAGES[0], IMAGES[1], 5, *([1] if labels else []))
    assert walk.shape == (5, 8, 8, 1)
    ends = loaded.reconstruct(IMAGES[:2], *([1] if labels else []))
    np.testing.assert_allclose(walk[[0, -1]], ends, atol=1e-5)


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_points(name, tmp_path):
    model = trained(name, "points")
    loaded = gan_zoo.load_pretrained(saved_model.export(model, tmp_path / "m"))
    np.testing.assert_allclose(loaded.encode(POINTS), model.encode(POINTS), atol=1e-5)
    np.testing.assert_allclose(loaded.reconstruct(POINTS), model.reconstruct(POINTS), atol=1e-5)
    with pytest.raises(UserError, match="^images must be floats, not uint8"):
        loaded.encode(POINTS.astype("uint8"))
    with pytest.raises(UserError, match="--reconstruct is for models of square images, and .* makes 2"):
        sample.write_reconstructions(loaded.path, tmp_path / "a.png", "digits")


@pytest.mark.parametrize("name", WITH_ENCODER)
def test_the_average_has_its_own_encoder(name):
    model = variants.small(variants.find(name), "points", seed=0)
    model.compile()
    ema = callbacks.GeneratorEMA(0.9)
    start = model.encode(POINTS).numpy()
    model.fit(POINTS, batch_size=8, epochs=3, callbacks=[ema], verbose=0)
    average, latest = ema.averaged_model.encode(POINTS).numpy(), model.encode(POINTS).numpy()
    assert np.abs(average - latest).max() > 1e-6 and np.abs(average - start).max() > 1e-6


def test_a_run_continues_bit_for_bit_and_encodes(tmp_path):
    settings = {
        **dict(model="aae", dataset="ring8", width=8, batch_size=8, latent_dim=2),
        **dict(checkpoint_every=2, log_every=2, health_every=2, sample_every=0, ema_decay=0.5),
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pipeline.run(pipeline.Config(**settings, steps=4, run_dir=str(whole)))
    for steps in (2, 4):
        pipeline.run(pipeline.Config(**settings, steps=steps, run_dir=str(parts)))
    assert_same(arrays(checkpoint(parts, 4)), arrays(checkpoint(whole, 4)))
    first, second = (gan_zoo.load_pretrained(run).encode(POINTS) for run in (whole, parts))
    assert first.shape == (8, 2)
    np.testing.assert_array_equal(first, second)


# Arguments that do not fit.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    vae = VAE.for_images((8, 8, 1), network="mlp", latent_dim=3, width=8, seed=0)
    return saved_model.export(vae, tmp_path_factory.mktemp("vae") / "saved_model")


@pytest.fixture(scope="module")
def model(folder):
    return pretrained.load_pretrained(folder, trust=True)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    vae = VAE.for_images((8, 8, 1), network="mlp", latent_dim=3, width=8, classes=10, seed=0)
    names = [str(k) for k in range(10)]
    return saved_model.export(vae, tmp_path_factory.mktemp("cvae") / "m", metadata={"classes": names})


def test_uint8_images_and_large_batches(model, monkeypatch):
    levels = pictures.to_uint8(IMAGES)
    exact = levels.astype("float32") / 127.5 - 1
    np.testing.assert_allclose(model.encode(levels), model.encode(exact), atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(levels), model.reconstruct(exact), atol=1e-6)
    whole = model.encode(IMAGES)
    monkeypatch.setattr(pretrained, "_CHUNK", 3)
    np.testing.assert_allclose(model.encode(IMAGES), whole, atol=1e-6)
    assert model.encode(IMAGES[:0]).shape == (0, 3)


def test_images_that_do_not_fit(model):
    for images, sentence in (
        (np.zeros([2, 8, 8, 3]), r"images must be of shape \[B, 8, 8, 1\], like the samples of .*, not \[2, 8, 8, 3\]"),
        (np.zeros([2, 16, 16, 1]), r"images must be of shape \[B, 8, 8, 1\]"),
        (np.zeros([8, 8, 1]), r"images must be of shape \[B, 8, 8, 1\]"),
        (np.zeros([2, 8, 8, 1], int), r"images must be floats in \[-1, 1\] or uint8, not int64"),
        (np.full([2, 8, 8, 1], 255.0), r"images has values from 255 to 255, and the model takes floats in \[-1, 1\]"),
        (np.full([2, 8, 8, 1], np.nan), "images has values that are NaN or infinite"),
    ):
        with pytest.raises(UserError, match=f"^{sentence}"):
            model.encode(images)
    with pytest.raises(UserError, match="^label=3: .* was trained without labels"):
        model.reconstruct(IMAGES, 3)
    with pytest.raises(UserError, match="^steps must be a whole number from 2 up"):
        model.interpolate_images(IMAGES[0], IMAGES[1], 1)


def test_the_model_checks_its_images():
    vae = VAE.for_images((8, 8, 1), network="mlp", latent_dim=3, width=8, classes=3)
    for images, sentence in (
        (np.zeros([2, 16, 16, 1], "float32"), r"x has shape \[2, 16, 16, 1\], and the generator makes \[B, 8, 8, 1\]"),
        (pictures.to_uint8(IMAGES), r"x holds integers .*: pass x / 127.5 - 1"),
        ((IMAGES, LABELS), r"x is a pair \(images, labels\), and the networks take the images alone"),
    ):
        with pytest.raises(UserError, match=sentence):
            vae.encode(images)
    with pytest.raises(UserError, match="x has no labels, and this model has classes=3"):
        vae.reconstruct(IMAGES)


def test_models_without_an_encoder(tmp_path):
    gan = VanillaGAN.for_points(width=4)
    assert not gan.has_encoder
    with pytest.raises(UserError, match="VanillaGAN has no encoder, so it cannot encode or reconstruct images"):
        gan.encode(POINTS)
    path = saved_model.export(gan, tmp_path / "m")
    loaded = gan_zoo.load_pretrained(path)
    assert not loaded.has_encoder
    assert {"encode", "reconstruct"}.isdisjoint(tf.saved_model.load(str(path)).signatures)
    for call in (loaded.encode, loaded.reconstruct, lambda x: loaded.interpolate_images(x[0], x[1], 3)):
        with pytest.raises(UserError, match="is a vanilla_gan, which has no encoder"):
            call(POINTS)


# The sampling tool.


@pytest.fixture
def images(tmp_path):
    """A folder of five grey images of 12 x 12 pixels."""
    root = tmp_path / "images"
    root.mkdir()
    for k in range(5):
        pixels = np.random.default_rng(k).integers(0, 256, (12, 12), np.uint8)
        Image.fromarray(pixels).save(root / f"{k}.png")
    return f"folder:{root}"


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_rows_of_originals_and_reconstructions_alternate(folder, model, tmp_path):
    line = sample.write_reconstructions(folder, tmp_path / "a.png", "digits", num=13, seed=3, columns=3, trust=True)
    assert line == f"{tmp_path / 'a.png'}: 6 images and their reconstructions by vae, digits, seed 3"
    sample.write_reconstructions(folder, tmp_path / "a.npz", "digits", num=13, seed=3, trust=True)
    with np.load(tmp_path / "a.npz") as arrays:
        pairs = arrays["pairs"]
    assert pairs.shape == (6, 2, 8, 8, 1)
    np.testing.assert_allclose(pairs[:, 1], model.reconstruct(pairs[:, 0]), atol=1e-6)
    real = find_source("digits").open().images
    assert all((pictures.to_uint8(x) == real).all(axis=(1, 2, 3)).any() for x in pairs[:, 0])
    rows = np.concatenate([pairs[:3, 0], pairs[:3, 1], pairs[3:, 0], pairs[3:, 1]])
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pictures.grid(rows, 3)[..., 0])


def test_the_last_rows_may_be_shorter(folder, images, tmp_path):
    line = sample.write_reconstructions(folder, tmp_path / "a.png", images, num=64, columns=3, trust=True)
    assert "5 images and their reconstructions" in line
    sample.write_reconstructions(folder, tmp_path / "a.npy", images, trust=True)
    pairs = np.load(tmp_path / "a.npy")
    white = np.ones([1, 8, 8, 1])
    rows = [pairs[:3, 0], pairs[:3, 1], pairs[3:, 0], white, pairs[3:, 1], white]
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pictures.grid(np.concatenate(rows), 3)[..., 0])
    assert real_images.picture(pairs[:1]).shape == pictures.grid(pairs[0], 1).shape


def test_walks_between_real_images(folder, model, images, tmp_path):
    options = dict(num=12, seed=1, columns=6, interpolate=True, trust=True)
    line = sample.write_reconstructions(folder, tmp_path / "a.npy", images, **options)
    assert line == f"{tmp_path / 'a.npy'}: 2 walks between 4 images by vae, {images}, seed 1"
    rows = np.load(tmp_path / "a.npy")
    assert rows.shape == (2, 6, 8, 8, 1)
    for row in rows:
        np.testing.assert_allclose(row[1:-1], model.interpolate_images(row[0], row[-1], 4), atol=1e-6)
    sample.write_reconstructions(folder, tmp_path / "a.png", images, **options)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pictures.grid(np.concatenate(rows), 6)[..., 0])


def test_labels_are_those_of_the_data_or_the_flag(labelled, tmp_path):
    model = pretrained.load_pretrained(labelled, trust=True)
    for label in (None, "7"):
        path = tmp_path / f"{label}.npz"
        sample.write_reconstructions(labelled, path, "digits", num=8, label=label, trust=True)
        with np.load(path) as arrays:
            pairs, labels = arrays["pairs"], arrays["labels"]
        np.testing.assert_allclose(pairs[:, 1], model.reconstruct(pairs[:, 0], labels), atol=1e-6)
        source = find_source("digits", labels=True).open()
        which = [np.flatnonzero((pictures.to_uint8(x) == source.images).all(axis=(1, 2, 3)))[0] for x in pairs[:, 0]]
        expected = source.labels[which] if label is None else [7] * 4
        np.testing.assert_array_equal(labels, expected)
    options = dict(num=8, columns=4, interpolate=True, trust=True)
    sample.write_reconstructions(labelled, tmp_path / "walk.npz", "digits", **options)
    with np.load(tmp_path / "walk.npz") as arrays:
        assert arrays["rows"].shape == (2, 4, 8, 8, 1) and arrays["labels"].shape == (2,)


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"num": 1}, "--num must be 2 or more to reconstruct images, not 1"),
        ({"num": 6, "interpolate": True}, "--columns must be 4 or more to interpolate between real images, .* it is 3"),
        ({"data": "no_such_data"}, ".*no_such_data"),
        ({"data": "folder:empty"}, "folder:empty: the folder holds no .jpg"),
        ({"data": "folder:colour"}, "--reconstruct=folder:colour has images with 3 channels, and .* images of 8x8x1"),
        ({"data": "folder:one", "interpolate": True}, "--interpolate needs two real images or more"),
        ({"data": "ring8"}, "--reconstruct=ring8 has points, and .* makes images of 8x8x1"),
        ({"label": "3"}, "--label=3: .* was trained without labels: leave --label out"),
        ({"output": "a.gif"}, "--output=a.gif must end in .png, .npy or .npz"),
    ],
)
def test_errors_of_the_tool(folder, tmp_path, monkeypatch, kwargs, sentence):
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "colour", "one"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.zeros([8, 8, 3], np.uint8) + np.uint8([9, 99, 200])).save("colour/1.png")
    Image.fromarray(np.zeros([8, 8], np.uint8)).save("one/1.png")
    with pytest.raises(UserError, match=f"^{sentence}"):
        sample.write_reconstructions(
            **{"model": folder, "output": "a.png", "data": "digits", "num": 8, "trust": True, **kwargs}
        )
    assert not (tmp_path / "a.png").exists()


def test_labels_that_the_model_does_not_know(labelled, tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.fromarray(np.zeros([8, 8], np.uint8)).save(tmp_path / "data" / name / "1.png")
    with pytest.raises(UserError, match="the class=(ant|bee) is not one of the 10 classes"):
        sample.write_reconstructions(labelled, tmp_path / "a.png", f"folder:{tmp_path / 'data'}", trust=True)


def test_what_counts_as_an_encoder():
    class Own(BiGAN):
        averaged = ("generator",)

    assert not Own.for_points(width=4).has_encoder

    class Wide(systems.VAE):
        """Its encoder returns means and variances, and it does not say which of them are codes."""

        averaged = ("decoder", "encoder")

    assert not Wide.for_points(width=4).has_encoder

    class Halved(Wide):
        def code_of(self, x, training=False):
            return super().code_of(x, training)[:, : self.latent_dim]

    assert Halved.for_points(width=4).encode(POINTS).shape == (8, 2)
