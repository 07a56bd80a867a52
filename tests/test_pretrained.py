"""Models by name or path: their samples, interpolations, and the errors for unknown names."""

import dataclasses
import json
import shutil
import subprocess
import sys
import tarfile
from types import SimpleNamespace

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo import releases
from gan_zoo.export import release, saved_model
from gan_zoo.models import VanillaGAN
from gan_zoo.releases.files import describe
from gan_zoo.releases.index import update_index
from gan_zoo.sampling import pretrained
from gan_zoo.util import pictures
from gan_zoo.util.errors import UserError

from .small_models import conditional


@pytest.fixture(scope="module")
def gan():
    return VanillaGAN.for_images((8, 8, 3), network="mlp", latent_dim=4, width=8)


@pytest.fixture(scope="module")
def folder(gan, tmp_path_factory):
    return saved_model.export(gan, tmp_path_factory.mktemp("run") / "saved_model")


@pytest.fixture(scope="module")
def model(folder):
    return gan_zoo.load_pretrained(folder, trust=True)


@pytest.fixture
def released(folder, tmp_path):
    """The index of two releases, which are in the same folder."""
    index = tmp_path / "index.json"
    for name in ("wgan_gp-celeb_a", "dcgan-mnist"):
        shutil.copytree(folder, tmp_path / name / "saved_model")
        update_index(index, tmp_path / name)
    return index


def test_samples_are_those_of_the_gan(gan, model):
    got = model.sample(5, seed=3)
    assert (type(got), got.dtype, got.shape) == (np.ndarray, np.float32, (5, 8, 8, 3))
    np.testing.assert_allclose(got, gan(gan.sample_latent(5, 3)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(got, model.sample(np.int32(5), seed=np.int64(3)))
    plain = tf.saved_model.load(str(model.path))
    np.testing.assert_array_equal(got, plain.sample(5, 3))


def test_without_a_seed_samples_differ(model):
    assert not np.array_equal(model.sample(2), model.sample(2))


def test_uint8(model):
    np.testing.assert_array_equal(model.sample_uint8(5, seed=3), pictures.to_uint8(model.sample(5, seed=3)))


def test_large_numbers_are_made_in_parts(model, monkeypatch):
    whole = model.sample(11, seed=1)
    monkeypatch.setattr(pretrained, "_CHUNK", 4)
    np.testing.assert_allclose(model.sample(11, seed=1), whole, rtol=0, atol=1e-6)


def test_call(gan, model):
    z = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(model(z), gan(z.astype(np.float32)), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(model(tf.constant(z, tf.float32)), model(z))
    assert model(np.zeros((0, 4))).shape == (0, 8, 8, 3)
    for shape in ((4,), (3, 5), (1, 1, 4)):
        with pytest.raises(UserError, match=r"^z must be of shape \[B, 4\]"):
            model(np.zeros(shape))


def test_metadata(model):
    assert model.metadata["model"] == "vanilla_gan"
    assert model.metadata["shape"] == [8, 8, 3]


def test_interpolation_ends_in_the_two_samples(model):
    way = model.interpolate(3, 8, steps=6)
    assert way.shape == (6, 8, 8, 3)
    np.testing.assert_allclose(way[:1], model.sample(1, seed=3), rtol=0, atol=1e-6)
    np.testing.assert_allclose(way[-1:], model.sample(1, seed=8), rtol=0, atol=1e-6)


def test_a_picture_of_samples(gan, model):
    expected = pictures.grid(model.sample(16, seed=0))
    for source in (gan, model):
        picture = source.grid()
        assert isinstance(picture, PIL.Image.Image) and picture._repr_png_()  # what notebooks show
        np.testing.assert_allclose(np.asarray(picture, int), expected, atol=1)
        assert source.grid(5, seed=3).size == pictures.grid(model.sample(5)).shape[1::-1]
    points = VanillaGAN.for_points(width=4)
    assert points.grid().size == points.grid(10, seed=1).size


def test_what_a_model_is(model, labelled, tmp_path):
    assert repr(model) == "<vanilla_gan on None: 8x8x3 images from 4 latents>"
    folder = shutil.copytree(labelled[1], tmp_path / "boots-set" / "saved_model")
    (folder.parent / "card.md").write_text("numbers")
    found = repr(gan_zoo.load_pretrained(folder, trust=True))
    assert found.endswith(f"; classes Ankle_boot, T-shirt/top, bag; described in {folder.parent / 'card.md'}>")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    gan = conditional()
    names = ["Ankle_boot", "T-shirt/top", "bag"]
    return gan, saved_model.export(gan, tmp_path_factory.mktemp("labelled") / "m", metadata={"classes": names})


def test_a_picture_has_a_class_a_row(labelled):
    gan, path = labelled
    model = gan_zoo.load_pretrained(path, trust=True)
    expected = pictures.grid(model.sample(24, seed=0, label=np.repeat([0, 1, 2], 8)), columns=8)
    for source in (gan, model):
        np.testing.assert_allclose(np.asarray(source.grid(), int), expected[..., 0], atol=1)
        np.testing.assert_allclose(
            np.asarray(source.grid(4, label=2), int), pictures.grid(model.sample(4, 0, label=2))[..., 0], atol=1
        )


def test_classes(labelled):
    gan, path = labelled
    model = gan_zoo.load_pretrained(path, trust=True)
    assert model.classes == ("Ankle_boot", "T-shirt/top", "bag")
    z, y = gan.sample_latent(4, seed=0)
    np.testing.assert_allclose(model.sample(4, seed=0), gan((z, y)), atol=1e-6)
    np.testing.assert_array_equal(model.latents(4, seed=0), z)
    np.testing.assert_array_equal(model.labels(4, seed=0), y)
    boots = gan((z, tf.zeros([4], tf.int32)))
    for label in (0, np.int64(0), "ankle boot", "ANKLE-BOOT", "0"):
        np.testing.assert_allclose(model.sample(4, seed=0, label=label), boots, atol=1e-6)
    np.testing.assert_array_equal(model.sample_uint8(4, 0, label="bag"), pictures.to_uint8(model.sample(4, 0, label=2)))
    each = [0, "bag", 1, "bag"]
    np.testing.assert_allclose(model(z, each), gan((z, tf.constant([0, 2, 1, 2]))), atol=1e-6)
    way = model.interpolate(3, 8, steps=4, label="bag")
    np.testing.assert_allclose(way[-1:], model.sample(1, seed=8, label=2), atol=1e-6)
    np.testing.assert_allclose(model.interpolate(3, 8, steps=4)[:1], model.sample(1, seed=3), atol=1e-6)
    with pytest.raises(UserError, match="^label is missing: .* samples of 3 classes"):
        model(z)
    for label, sentence in (
        ("boot", "label=boot is not one of the 3 classes: the nearest are Ankle_boot."),
        ("sandal", "label=sandal is not one of the 3 classes"),
        (3, "label must be the name of a class or a label from 0 to 2, not 3"),
        (True, "label must be the name of a class"),
        ([0, 1], "label must be one class, or one for each of 4 samples, not 2 classes"),
    ):
        with pytest.raises(UserError, match=f"^{sentence}"):
            model.sample(4, label=label)


def test_models_without_labels(model):
    assert model.classes is None and model.labels(2, 0) is None
    with pytest.raises(UserError, match="^label=3: .* was trained without labels: leave label out"):
        model.sample(2, label=3)
    # Exports from before there were labels do not mention classes.
    old = json.dumps({name: value for name, value in model.metadata.items() if name != "classes"})
    before = SimpleNamespace(**{name: getattr(model._model, name) for name in pretrained._ENDPOINTS})
    before.metadata = lambda: tf.constant(old)
    earlier = pretrained.Pretrained(before, model.path)
    np.testing.assert_array_equal(earlier.sample(2, seed=1), model.sample(2, seed=1))


def test_interpolation_of_latents():
    a, b = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    b *= np.linalg.norm(a) / np.linalg.norm(b)
    arc = pretrained.interpolate(a, b, 9, prior="normal")
    assert (arc.dtype, arc.shape) == (np.float32, (9, 16))
    np.testing.assert_array_equal(arc[[0, -1]], [a, b])
    # On an arc, lengths and angles between neighbours are constant.
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), np.linalg.norm(a), rtol=1e-6)
    cosines = np.sum(arc[1:] * arc[:-1], axis=1)
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-6)

    line = pretrained.interpolate(a, b, 9, prior="uniform")
    np.testing.assert_array_equal(line[[0, -1]], [a, b])
    np.testing.assert_allclose(np.diff(line, axis=0), np.tile((b - a) / 8, (8, 1)), atol=1e-6)


@pytest.mark.parametrize("stop", [[2.0, 2.0], [-1.0, -1.0], [0.0, 0.0], [1.0, 1.0 + 1e-9]])
def test_latents_in_line_are_joined_by_a_line(stop):
    way = pretrained.interpolate(np.ones(2), np.array(stop), 3, prior="normal")
    np.testing.assert_allclose(way, [[1, 1], (np.ones(2) + stop) / 2, stop], atol=1e-6)


def test_points(tmp_path):
    points = VanillaGAN.for_points(width=4, depth=1)
    model = gan_zoo.load_pretrained(saved_model.export(points, tmp_path / "m"), trust=True)
    np.testing.assert_allclose(model.sample(7, seed=0), points(points.sample_latent(7, 0)), rtol=0, atol=1e-6)
    with pytest.raises(UserError, match="no uint8 form"):
        model.sample_uint8(7, seed=0)


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None, 2**63])
def test_n_must_be_a_whole_number(model, n):
    with pytest.raises(UserError, match="^n must be a whole number from 1 up"):
        model.sample(n)


@pytest.mark.parametrize("seed", [0.5, "1", 2**63, -(2**63) - 1])
def test_seed_must_be_an_integer(model, seed):
    with pytest.raises(UserError, match="^seed must be a 64-bit integer"):
        model.sample(1, seed=seed)


@pytest.mark.parametrize("steps", [1, 0, 2.0])
def test_steps_must_be_two_or_more(model, steps):
    with pytest.raises(UserError, match="^steps must be a whole number from 2 up"):
        model.interpolate(0, 1, steps)


def test_extreme_seeds(model):
    a, b = model.sample(1, seed=2**63 - 1), model.sample(1, seed=-(2**63))
    assert not np.array_equal(a, b)


def test_a_folder_that_holds_the_model_will_do(folder, model):
    loaded = gan_zoo.load_pretrained(str(folder.parent), trust=True)
    np.testing.assert_array_equal(loaded.sample(2, seed=0), model.sample(2, 0))


def test_names(released, model):
    assert pretrained.released(released) == ["dcgan-mnist", "wgan_gp-celeb_a"]
    loaded = gan_zoo.load_pretrained("dcgan-mnist", index=released)
    assert loaded.path == released.parent / "dcgan-mnist" / "saved_model"
    np.testing.assert_array_equal(loaded.sample(2, seed=0), model.sample(2, seed=0))


def test_the_zoos_own_releases_load():
    assert pretrained.released() == ["dcgan-fashion_mnist", "wgan_gp-mnist"]
    loaded = gan_zoo.load_pretrained("wgan_gp-mnist")
    assert loaded.path == releases.clone_folder() / "wgan_gp-mnist" / "saved_model"
    assert loaded.metadata["model"] == "wgan_gp"
    with PIL.Image.open(releases.clone_folder() / "wgan_gp-mnist" / "samples.png") as picture:
        expected = np.asarray(picture).astype(int)
    got = pictures.grid(loaded.sample(64, seed=0)).squeeze()
    # Rounding differs between machines.
    assert np.abs(got - expected).max() <= 8


def test_an_archive_is_a_release(folder, tmp_path, model):
    index = tmp_path / "index.json"
    entry = update_index(index, folder.parent)
    packed = tmp_path / "packed.tar.gz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(folder.parent, ".")
    content = json.loads(index.read_text())
    content["models"][entry.name]["archive"] = {"name": packed.name, **dataclasses.asdict(describe(packed))}
    index.write_text(json.dumps(content))
    loaded = gan_zoo.load_pretrained(entry.name, index=index)
    assert loaded.path == packed
    np.testing.assert_array_equal(loaded.sample(2, seed=0), model.sample(2, seed=0))


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_changed_release_is_not_given_to_tensorflow(released, monkeypatch, name):
    monkeypatch.setattr(pretrained, "_read", None)
    file = released.parent / "dcgan-mnist" / "saved_model" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{name} has another SHA-256 than the index gives: it is damaged, or not"):
        gan_zoo.load_pretrained("dcgan-mnist", index=released, trust=True)


def test_what_is_loaded_is_what_was_verified(released, model, monkeypatch):
    """Files that are changed or added between verification and loading have no effect."""
    read, seen = pretrained._read, []

    def late(folder, path):
        shutil.rmtree(path)
        seen.extend(sorted(file.name for file in folder.rglob("*") if file.is_file()))
        return read(folder, path)

    (released.parent / "dcgan-mnist" / "saved_model" / "saved_model.pbtxt").write_text("more")
    monkeypatch.setattr(pretrained, "_read", late)
    loaded = gan_zoo.load_pretrained("dcgan-mnist", index=released)
    np.testing.assert_array_equal(loaded.sample(2, seed=0), model.sample(2, seed=0))
    names = ["fingerprint.pb", "metadata.json", "saved_model.pb", "variables.data-00000-of-00001", "variables.index"]
    assert seen == names


def test_other_savedmodels_need_trust(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))  # as on another machine, which lacks the record
    monkeypatch.setattr(pretrained, "_read", None)
    for path in (folder, folder.parent, str(folder)):
        with pytest.raises(UserError) as error:
            gan_zoo.load_pretrained(path)
        assert str(error.value) == (
            f"{path} is not a released model, and the graph of a SavedModel is code that runs with your rights. If you "
            f"trust where it comes from, load it with trust=True (--trust on the command line)."
        )


def test_a_name_is_a_release_before_it_is_a_folder_here(released, model, tmp_path_factory, monkeypatch):
    here = tmp_path_factory.mktemp("here")
    (here / "dcgan-mnist").mkdir()
    monkeypatch.chdir(here)
    assert gan_zoo.load_pretrained("dcgan-mnist", index=released).path.parent == released.parent / "dcgan-mnist"
    with pytest.raises(UserError, match="^dcgan-mnist is not a SavedModel"):
        gan_zoo.load_pretrained("./dcgan-mnist", index=released)


def test_unknown_names(released):
    with pytest.raises(UserError) as error:
        gan_zoo.load_pretrained("WGAN_GP-celeba", index=released)
    assert str(error.value) == (
        "There is no pretrained model and no folder 'WGAN_GP-celeba'. Did you mean 'wgan_gp-celeb_a'? The released "
        "models are dcgan-mnist, wgan_gp-celeb_a; the path of a SavedModel or a run folder also works."
    )
    with pytest.raises(UserError, match="no folder 'zzz'. The released models are"):
        gan_zoo.load_pretrained("zzz", index=released)
    with pytest.raises(UserError, match="no folder ''"):
        gan_zoo.load_pretrained("", index=released)
    released.write_text('{"version": 1, "models": {}}')
    with pytest.raises(UserError, match="The index has no released models: give the path"):
        gan_zoo.load_pretrained("dcgan-mnist", index=released)


def test_an_installed_package_needs_a_mirror(tmp_path, monkeypatch):
    clone = releases.clone_folder()
    monkeypatch.setattr(releases, "clone_folder", lambda: tmp_path / "absent")
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match="They are in pretrained/ of a clone.* with mirror.* GAN_ZOO_MIRROR"):
        gan_zoo.load_pretrained("wgan_gp-mnist")
    monkeypatch.setenv("GAN_ZOO_MIRROR", str(clone))
    assert gan_zoo.load_pretrained("wgan_gp-mnist").path == clone / "wgan_gp-mnist" / "saved_model"
    assert not list(tmp_path.iterdir())


def test_a_run_becomes_a_release(folder, tmp_path, monkeypatch):
    settings = {"model": "vanilla_gan", "run_dir": "/secret", "data_dir": None}
    command = ["train.py", "--model=vanilla_gan", "--run_dir=/secret"]
    run = {"settings": settings, "command": command, "host": {"name": "mine", "cpus": 1}, "versions": {}}
    (folder.parent / "run.json").write_text(json.dumps(run))
    made, index = tmp_path / "new-release", tmp_path / "index.json"
    release.release(folder.parent, made)
    assert json.loads((made / "run.json").read_text()) == {
        "settings": {"model": "vanilla_gan"},
        "command": ["train.py", "--model=vanilla_gan"],
        "host": {"cpus": 1},
        "versions": {},
    }
    assert (made / "samples.png").read_bytes().startswith(b"\x89PNG")
    arguments = [sys.executable, "-m", "gan_zoo.export.release", f"--output={made}"]
    monkeypatch.setenv("PYTHONPATH", str(releases.clone_folder().parent))
    told = [
        subprocess.run(command, capture_output=True, text=True, check=False)
        for command in ([*arguments, f"--index={index}"], arguments)
    ]
    assert told[0].stdout == f"wrote 7 files of new-release in {index}\n"
    assert told[1].stderr.startswith("error: --run_dir is missing: name the run or, for an existing release")
    loaded = gan_zoo.load_pretrained("new-release", index=index)
    np.testing.assert_array_equal(loaded.sample(2, seed=0), gan_zoo.load_pretrained(made, trust=True).sample(2, seed=0))


def test_folders_that_are_no_models(folder, tmp_path):
    with pytest.raises(UserError, match="is not a SavedModel folder and contains no saved_model/"):
        gan_zoo.load_pretrained(tmp_path, trust=True)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UserError, match="is not a SavedModel folder"):
        gan_zoo.load_pretrained(file, trust=True)

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be read as a SavedModel"):
        gan_zoo.load_pretrained(broken, trust=True)

    truncated = tmp_path / "truncated"
    shutil.copytree(folder, truncated)
    next(truncated.glob("variables/*.data*")).unlink()
    with pytest.raises(UserError, match="cannot be read as a SavedModel"):
        gan_zoo.load_pretrained(truncated, trust=True)


def test_savedmodels_of_others(tmp_path):
    other = tf.Module()
    other.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([])])
    tf.saved_model.save(other, str(tmp_path / "other"))
    with pytest.raises(UserError, match="that gan_zoo did not export: it has no 'sample'"):
        gan_zoo.load_pretrained(tmp_path / "other", trust=True)

    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).export(tmp_path / "keras", verbose=False)
    with pytest.raises(UserError, match="that gan_zoo did not export"):
        gan_zoo.load_pretrained(tmp_path / "keras", trust=True)
