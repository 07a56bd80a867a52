"""Codes of the latent vector: their places and draws, and samples with chosen codes from Python, files and the tool."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_zoo
from gan_zoo import sample
from gan_zoo.export import saved_model
from gan_zoo.models import InfoGAN, VanillaGAN
from gan_zoo.nn.averaged_networks import average_of
from gan_zoo.run_folder import checkpoints
from gan_zoo.sampling import pretrained, refine
from gan_zoo.util import codes, pictures
from gan_zoo.util.errors import UserError


class Coded(VanillaGAN):
    """A user's model with two codes."""

    def codes_from(self, start):
        return {
            "side": codes.Code("categorical", start, 2),
            "angle": codes.Code("continuous", start + 2, low=0.0, high=3.0),
        }

    @classmethod
    def build_networks(cls, builder):
        return super().build_networks(dataclasses.replace(builder, latent_dim=builder.latent_dim + 3))


def coded(**kwargs):
    return Coded.for_images((8, 8, 1), network="mlp", **{"latent_dim": 4, "width": 8, "seed": 0, **kwargs})


@pytest.fixture(scope="module")
def gan():
    return coded()


@pytest.fixture(scope="module")
def folder(gan, tmp_path_factory):
    return saved_model.export(gan, tmp_path_factory.mktemp("coded") / "saved_model")


@pytest.fixture(scope="module")
def model(folder):
    return gan_zoo.load_pretrained(folder, trust=True)


# The model.


def test_layout():
    found = codes.layout(5, categorical=(3, 4), continuous=2)
    assert list(found) == ["category_0", "category_1", "continuous_0", "continuous_1"]
    assert [code.slice for code in found.values()] == [slice(5, 8), slice(8, 12), slice(12, 13), slice(13, 14)]
    assert codes.length(found) == 9
    assert codes.from_description(json.loads(json.dumps(codes.describe(found)))) == found


def test_codes_follow_the_noise(gan):
    assert (gan.latent_dim, gan.latent_size) == (4, 7)
    z = gan.sample_latent(2000, seed=1).numpy()
    assert z.shape == (2000, 7)
    np.testing.assert_array_equal(z[:, 4:6].sum(axis=1), 1)
    assert set(np.unique(z[:, 4:6])) == {0, 1}
    assert abs(z[:, 4].mean() - 0.5) < 0.05
    assert 0 <= z[:, 6].min() < 0.01 and 2.99 < z[:, 6].max() < 3
    # The noise is that of a model without codes.
    plain = VanillaGAN.for_points(latent_dim=4, width=4).sample_latent(2000, seed=1)
    np.testing.assert_array_equal(z[:, :4], plain)


def test_given_codes_change_nothing_else(gan):
    free = gan.sample_latent(3, seed=1).numpy()
    z = gan.sample_latent(3, seed=1, codes={"side": [0, 1, 1], "angle": 1.5}).numpy()
    np.testing.assert_array_equal(z[:, 4:6], [[1, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(z[:, 6], [1.5] * 3)
    np.testing.assert_array_equal(z[:, :4], free[:, :4])
    one = gan.sample_latent(3, seed=1, codes={"side": np.int64(1)}).numpy()
    np.testing.assert_array_equal(one[:, 6], free[:, 6])


def test_draws_of_training_use_the_stream():
    first, second = coded(), coded()
    np.testing.assert_array_equal(first.sample_latent(4), second.sample_latent(4))
    assert not np.array_equal(first.sample_latent(4), first.sample_latent(4, codes={"side": 1}))


def test_codes_beside_labels():
    class Both(Coded):
        pass

    gan = Both.for_points(latent_dim=2, width=4, classes=3)
    z, y = gan.sample_latent(5, seed=0, label=2, codes={"angle": 3})
    assert z.shape == (5, 5) and (y.numpy() == 2).all() and (z.numpy()[:, 4] == 3).all()
    assert gan((z, y)).shape == (5, 2)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sides": 1}, r"codes: there is no code 'sides'. Did you mean 'side'\? There are side, angle."),
        ({"side": 2}, "codes: side must be a whole number from 0 to 1, not 2"),
        ({"side": -1}, "codes: side must be a whole number from 0 to 1, not -1"),
        ({"side": 0.5}, "codes: side must be a whole number from 0 to 1, not 0.5"),
        ({"side": "left"}, "codes: side must be a whole number from 0 to 1, not 'left'"),
        ({"side": True}, "codes: side must be a whole number"),
        ({"angle": 3.5}, "codes: angle must be a number from 0 to 3, not 3.5"),
        ({"angle": float("nan")}, "codes: angle must be a number from 0 to 3, not nan"),
        ({"angle": [1, 2]}, r"codes: angle must be one value, or one for each of 3 samples, not .* \[2\]"),
        ([1], r"codes must be a dictionary such as \{'category_0': 3\}, not \[1\]"),
    ],
)
def test_bad_codes(gan, model, given, sentence):
    for call in (gan.sample_latent, model.sample):
        with pytest.raises(UserError, match=f"^{sentence}"):
            call(3, seed=0, codes=given)


def test_models_without_codes():
    gan = VanillaGAN.for_points(width=4)
    assert gan.codes == {} and gan.latent_size == gan.latent_dim
    with pytest.raises(UserError, match="^codes: the latent vector of this model has no codes: leave codes out"):
        gan.sample_latent(2, codes={"category_0": 1})


def test_the_generator_must_fit_the_codes(gan):
    with pytest.raises(UserError, match="generator takes 7 numbers, which does not fit codes of 3 numbers and la"):
        gan.rebuilt(latent_dim=5)
    small = VanillaGAN.for_points(latent_dim=3, width=4)
    with pytest.raises(UserError, match="takes 3 numbers, which does not fit codes of 3 numbers, and noise"):
        Coded(small.generator, small.discriminator)


def test_keras_export_takes_codes(gan, tmp_path):
    gan.export(tmp_path / "plain", verbose=False)
    z, loaded = gan.sample_latent(2, seed=0), tf.saved_model.load(str(tmp_path / "plain"))
    np.testing.assert_allclose(loaded.serve(z), gan(z), atol=1e-6)


def test_refinement_keeps_codes():
    z, x = keras.Input((7,)), keras.Input((7,))
    same = keras.Model(z, keras.layers.Identity()(z))
    gan = Coded(same, keras.Model(x, keras.layers.Dense(1)(x)))
    latents = gan.sample_latent(3, seed=0)
    samples = refine.refine(gan, latents, space="latent", steps=2)
    np.testing.assert_array_equal(samples[:, 4:], latents[:, 4:])
    assert (samples[:, :4].numpy() != latents[:, :4].numpy()).all()


# Exported models.


def test_samples_with_codes(gan, model):
    assert model.codes == gan.codes
    assert model.metadata["latent_dim"] == 7
    given = {"side": [1, 0, 1], "angle": 0.25}
    expected = gan(gan.sample_latent(3, seed=5, codes=given))
    np.testing.assert_allclose(model.sample(3, seed=5, codes=given), expected, atol=1e-6)
    np.testing.assert_array_equal(
        model.sample_uint8(3, 5, codes=given), pictures.to_uint8(model.sample(3, 5, None, given))
    )
    np.testing.assert_array_equal(model.latents(3, 5), gan.sample_latent(3, seed=5))


def test_older_exports_have_no_codes(gan, model):
    document = {k: v for k, v in model.metadata.items() if k != "codes"}

    class Old:
        sample = sample_latent = serving_default = staticmethod(lambda *_: None)

        @staticmethod
        def metadata():
            return tf.constant(json.dumps(document))

    assert pretrained.Pretrained(Old(), "old").codes == {}


def test_walks(gan, model):
    walk = model.walk("angle", steps=4, rows=2, seed=3, codes={"side": [0, 1]})
    assert walk.shape == (2, 4, 8, 8, 1)
    for row, side in enumerate((0, 1)):
        for column, angle in enumerate((0, 1, 2, 3)):
            z = gan.sample_latent(2, seed=3, codes={"side": [0, 1], "angle": angle})[row : row + 1]
            assert z[0, 4 + side] == 1
            np.testing.assert_allclose(walk[row, column], gan(z)[0], atol=1e-6)
    assert model.walk("side", rows=3).shape == (3, 2, 8, 8, 1)
    assert model.walk("angle", seed=0).shape == (1, 8, 8, 8, 1)
    for arguments, sentence in (
        ({"code": "sid"}, "code: there is no code 'sid'"),
        ({"code": "side", "steps": 2}, "steps=2: side takes each of its 2 categories"),
        ({"code": "angle", "steps": 1}, "steps must be a whole number from 2 up"),
        ({"code": "angle", "rows": 0}, "rows must be a whole number from 1 up"),
        ({"code": "angle", "codes": {"angle": 1}}, "codes: angle changes along the walk"),
        ({"code": "angle", "label": 1}, "label=1: .* trained without labels"),
    ):
        with pytest.raises(UserError, match=f"^{sentence}"):
            model.walk(**arguments)


def test_walks_of_a_class(tmp_path):
    gan = Coded.for_points(latent_dim=2, width=4, classes=3)
    model = gan_zoo.load_pretrained(saved_model.export(gan, tmp_path / "m"), trust=True)
    walk = model.walk("angle", steps=2, rows=2, seed=1, label=[2, 0])
    for row, label in enumerate((2, 0)):
        z, _ = gan.sample_latent(2, seed=1, codes={"angle": 3})
        np.testing.assert_allclose(walk[row, 1], gan((z[row : row + 1], tf.constant([label])))[0], atol=1e-6)
    labels = model.labels(2, seed=1)
    walk = model.walk("side", rows=2, seed=1)
    z, _ = gan.sample_latent(2, seed=1, codes={"side": 1})
    np.testing.assert_allclose(walk[:, 1], gan((z, tf.constant(labels))), atol=1e-6)


def test_interpolations_keep_the_category(model):
    start, stop = model.latents(2, seed=4, codes={"side": [0, 1], "angle": [0, 3]})
    way = pretrained.interpolate(start, stop, 4, prior="normal", codes=model.codes)
    np.testing.assert_array_equal(way[:, 4:6], [[1, 0]] * 4)
    np.testing.assert_allclose(way[:, 6], [0, 1, 2, 3], atol=1e-6)
    np.testing.assert_array_equal(way[:, :4], pretrained.interpolate(start[:4], stop[:4], 4, prior="normal"))
    assert model.interpolate(1, 2, steps=3).shape == (3, 8, 8, 1)


# The sampling tool.


def test_the_tool_sets_codes(folder, model, tmp_path):
    sample.write_samples(folder, tmp_path / "a.npz", num=3, seed=2, codes="side=1, angle=0.5", trust=True)
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["samples"], model.sample(3, seed=2, codes={"side": 1, "angle": 0.5}))


def test_the_tool_walks(folder, model, tmp_path):
    line = sample.write_samples(folder, tmp_path / "a.png", num=7, seed=2, walk="angle", columns=3, trust=True)
    assert "6 samples" in line
    expected = model.walk("angle", steps=3, rows=2, seed=2).reshape(6, 8, 8, 1)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pictures.grid(expected, 3)[..., 0])
    sample.write_samples(folder, tmp_path / "b.npy", num=1, seed=2, walk="side", codes="angle=1", trust=True)
    expected = model.walk("side", rows=1, seed=2, codes={"angle": 1})
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), expected[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"codes": "side"}, "--codes: 'side' is not of the form name=number"),
        ({"codes": "side=left"}, "--codes: 'side=left' is not of the form name=number"),
        ({"codes": "side=1,side=0"}, "--codes: side is given twice"),
        ({"codes": "side=7"}, "--codes: side must be a whole number from 0 to 1, not 7"),
        ({"codes": "up=7"}, "--codes: there is no code 'up'"),
        ({"walk": "up"}, "--walk: there is no code 'up'"),
        ({"walk": "side", "columns": 3}, "--columns=3: --walk=side has 2 categories in a row"),
        ({"walk": "angle", "columns": 1}, "--columns must be 2 or more to walk along angle, not 1"),
        ({"walk": "angle", "interpolate": True}, "--walk and --interpolate both"),
        ({"walk": "angle", "codes": "angle=1"}, "--codes: angle changes along the walk"),
    ],
)
def test_bad_flags(folder, tmp_path, arguments, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        sample.write_samples(folder, tmp_path / "a.npy", trust=True, **arguments)
    assert not (tmp_path / "a.npy").exists()


def test_a_run_and_its_refinement(tmp_path):
    gan = InfoGAN.for_points(latent_dim=2, categorical=(3,), continuous=1, width=4, seed=0)
    gan.compile()
    settings = {
        **{"model": "info_gan", "dataset": "ring8", "network": "mlp", "norm": "none"},
        **{"precision": "float32", "width": 4, "batch_size": 8, "seed": 0, "ema_decay": 0.99, "condition": None},
        "data": {"kind": "points", "shape": [2]},
        "arguments": {"latent_dim": 2, "categorical": [3], "continuous": 1, "seed": 0},
    }
    (tmp_path / "run.json").write_text(json.dumps({"settings": settings}), encoding="utf-8")
    checkpoints.save(tmp_path / "checkpoints", gan, 1, average_of(gan))
    model = gan_zoo.load_pretrained(saved_model.export_run(tmp_path))
    given = {"category_0": 2, "continuous_0": -1}
    np.testing.assert_allclose(
        model.sample(4, seed=2, codes=given), gan(gan.sample_latent(4, seed=2, codes=given)), atol=1e-6
    )
    how = {"num": 6, "seed": 1, "refine": "latent", "steps": 1}
    sample.write_samples(tmp_path, tmp_path / "a.npz", walk="category_0", codes="continuous_0=1", **how)
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["latents"][:, 2:5], np.tile(np.eye(3), (2, 1)))
        np.testing.assert_array_equal(arrays["latents"][:, 5], 1)
