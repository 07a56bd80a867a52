"""The sampling tool: its files, and one sentence for each error."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_zoo import refine, sample
from gan_zoo.callbacks import average_of
from gan_zoo.export import saved_model
from gan_zoo.models import DCGAN, VanillaGAN
from gan_zoo.releases.index import update_index
from gan_zoo.run_folder import checkpoints
from gan_zoo.sampling import pretrained
from gan_zoo.util import pictures
from gan_zoo.util.errors import UserError

from .small_models import Labelled, conditional


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    gan = VanillaGAN.for_images((8, 8, 3), network="mlp", latent_dim=4, width=8)
    return saved_model.export(gan, tmp_path_factory.mktemp("run") / "saved_model")


@pytest.fixture(scope="module")
def model(folder):
    return pretrained.load_pretrained(folder, trust=True)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_png_is_a_grid_of_the_samples(folder, model, tmp_path):
    path = tmp_path / "new" / "grid.PNG"
    line = sample.write_samples(str(folder), path, num=6, seed=4, columns=3, trust=True)
    assert line == f"{path}: 6 samples of vanilla_gan, 8x8x3, seed 4"
    np.testing.assert_array_equal(pixels(path), pictures.grid(model.sample(6, seed=4), 3))


def test_arrays(folder, model, tmp_path):
    sample.write_samples(folder.parent, tmp_path / "a.npy", num=3, seed=1, trust=True)
    sample.write_samples(folder.parent, tmp_path / "a.npz", num=3, seed=1, trust=True)
    expected = model.sample(3, seed=1)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["samples"], expected)
        np.testing.assert_array_equal(arrays["latents"], model.latents(3, seed=1))


def test_interpolation_leads_between_the_samples_of_the_seed(folder, model, tmp_path):
    sample.write_samples(folder, tmp_path / "a.npz", num=15, seed=2, interpolate=True, columns=5, trust=True)
    ends = model.latents(6, seed=2)
    with np.load(tmp_path / "a.npz") as arrays:
        latents, samples = arrays["latents"].reshape(3, 5, 4), arrays["samples"]
    np.testing.assert_array_equal(latents[:, 0], ends[::2])
    np.testing.assert_array_equal(latents[:, -1], ends[1::2])
    np.testing.assert_array_equal(samples, model(latents.reshape(15, 4)))


@pytest.mark.parametrize(("num", "steps"), [(64, 8), (10, 5), (12, 4), (2, 2), (7, 7), (9, 3)])
def test_interpolations_fill_the_picture(num, steps):
    assert sample._steps(num, None) == steps


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    gan = conditional()
    names = ["ankle_boot", "bag", "hat"]
    return saved_model.export(gan, tmp_path_factory.mktemp("run") / "saved_model", metadata={"classes": names})


def test_a_class(labelled, tmp_path):
    model = pretrained.load_pretrained(labelled, trust=True)
    line = sample.write_samples(labelled, tmp_path / "a.npz", num=4, seed=1, label="Ankle boot", trust=True)
    assert line.endswith("4 samples of vanilla_gan, 8x8x1, seed 1, class ankle_boot")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], [0] * 4)
        np.testing.assert_array_equal(arrays["samples"], model.sample(4, seed=1, label=0))
    sample.write_samples(labelled, tmp_path / "b.npz", num=4, seed=1, trust=True)
    with np.load(tmp_path / "b.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], model.labels(4, seed=1))
        np.testing.assert_array_equal(arrays["samples"], model.sample(4, seed=1))


def test_rows_are_classes(labelled, tmp_path):
    model = pretrained.load_pretrained(labelled, trust=True)
    line = sample.write_samples(labelled, tmp_path / "a.png", num=5, seed=1, trust=True)
    assert "6 samples" in line  # 3 classes, 2 of each: the square root of 5
    rows = model.sample(6, seed=1, label=[0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pictures.grid(rows, 2)[..., 0])
    sample.write_samples(labelled, tmp_path / "b.npz", num=8, seed=1, columns=2, interpolate=True, trust=True)
    with np.load(tmp_path / "b.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], [0, 0, 1, 1, 2, 2, 0, 0])


def test_a_run_with_labels(tmp_path):
    gan = Labelled.for_points(latent_dim=3, classes=2, seed=0)
    gan.compile()
    settings = {
        **{"model": "tests.small_models:Labelled", "dataset": "ring8", "network": "mlp", "norm": "none"},
        **{"precision": "float32", "width": 4, "batch_size": 8, "seed": 0, "ema_decay": 0.99, "condition": None},
        "data": {"kind": "points", "shape": [2], "classes": ["east", "west"]},
        "arguments": {"classes": 2, "latent_dim": 3, "seed": 0},
    }
    (tmp_path / "run.json").write_text(json.dumps({"settings": settings}))
    checkpoints.save(tmp_path / "checkpoints", gan, 1, average_of(gan))
    z, y = gan.sample_latent(4, seed=2, label=1)

    model = pretrained.load_pretrained(saved_model.export_run(tmp_path, trust=True))
    assert model.classes == ("east", "west")
    np.testing.assert_allclose(model.sample(4, seed=2, label="west"), gan((z, y)), atol=1e-6)

    options = dict(num=4, seed=2, trust=True, refine="latent", steps=2)
    sample.write_samples(tmp_path, tmp_path / "a.npz", label="West", **options)
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], y)
        np.testing.assert_allclose(arrays["samples"], refine.refine(gan, (z, y), seed=2, steps=2), atol=1e-6)
    sample.write_samples(tmp_path, tmp_path / "b.npz", **options)
    with np.load(tmp_path / "b.npz") as arrays:
        np.testing.assert_array_equal(arrays["labels"], gan.sample_latent(4, seed=2)[1])


def test_points_are_scattered(tmp_path):
    gan = VanillaGAN.for_points(width=4, depth=1)
    folder = saved_model.export(gan, tmp_path / "m")
    sample.write_samples(folder, tmp_path / "a.png", num=50, trust=True)
    np.testing.assert_array_equal(pixels(tmp_path / "a.png"), pictures.scatter(gan(gan.sample_latent(50, 0))))


def test_grey_images_stay_grey(tmp_path):
    folder = saved_model.export(DCGAN.for_images((8, 8, 1), width=2, latent_dim=3), tmp_path / "m")
    sample.write_samples(folder, tmp_path / "a.png", num=2, trust=True)
    assert pixels(tmp_path / "a.png").ndim == 2


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"model": None}, "--model is missing"),
        ({"model": "no_such"}, "There is no pretrained model and no folder 'no_such'"),
        ({"trust": False}, ".*/saved_model is not a released model, and .*--trust on the command line"),
        ({"model": "dcgan-mnist", "index": "none.json"}, "index: none.json cannot be read"),
        ({"model": "wgan_gp-mnist", "mirror": "nowhere"}, "mirror=nowhere is neither a folder"),
        ({"num": 0}, "--num must be 1 or more, not 0"),
        ({"columns": 0}, "--columns must be 1 or more, not 0"),
        ({"num": 1, "interpolate": True}, "--num must be 2 or more"),
        ({"num": 8, "columns": 3, "interpolate": True}, "--columns must be 2 or more and divide --num=8"),
        ({"num": 8, "columns": 1, "interpolate": True}, "--columns must be 2 or more and divide --num=8"),
        ({"label": "3"}, "--label=3: vanilla_gan was trained without labels: leave --label out"),
        ({"seed": 2**63}, "seed must be a 64-bit integer"),
        ({"output": "a.gif"}, "--output=a.gif must end in .png, .npy or .npz"),
        ({"output": "a"}, "--output=a must end in"),
        ({"output": "folder.png"}, "--output=folder.png is a folder"),
        ({"output": "file/a.png"}, "--output=file/a.png cannot be written: .* is not a folder"),
    ],
)
def test_errors(folder, tmp_path, monkeypatch, kwargs, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))  # a cache without the record of the export
    Path("folder.png").mkdir()
    Path("file").touch()
    with pytest.raises(UserError, match=f"^{sentence}"):
        sample.write_samples(**{"model": folder, "output": "a.png", "trust": True, **kwargs})
    assert {p.name for p in tmp_path.iterdir()} == {"folder.png", "file"}


def test_a_full_disk_is_one_sentence(folder, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "save_png", fail)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        sample.write_samples(folder, tmp_path / "a.png", num=2, trust=True)


def tool(*arguments, cwd):
    command = [sys.executable, "-m", "gan_zoo.sample", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def anywhere(monkeypatch, tmp_path):
    """A folder from which the package can be imported, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(sample.__file__).parents[2]))
    return tmp_path


def test_command_line(folder, model, anywhere):
    result = tool(f"--model={folder}", "--trust", "--num=4", "--seed=9", "--output=a.npy", cwd=anywhere)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "a.npy: 4 samples of vanilla_gan, 8x8x3, seed 9\n"
    np.testing.assert_array_equal(np.load(anywhere / "a.npy"), model.sample(4, seed=9))


def test_releases_come_from_a_mirror(folder, model, tmp_path):
    index = tmp_path / "index.json"
    name = update_index(index, folder.parent).name
    sample.write_samples(name, tmp_path / "a.npy", num=2, seed=9, mirror=folder.parent.parent, index=index)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), model.sample(2, seed=9))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model=no_such"], "There is no pretrained model"),
        (["--model=wgan_gp-mnist", "--mirror=nowhere"], "mirror=nowhere is neither a folder"),
        (["--model=wgan_gp-mnist", "--index=none.json"], "index: none.json cannot be read"),
    ],
)
def test_command_line_errors_are_one_sentence(anywhere, arguments, sentence):
    result = tool(*arguments, cwd=anywhere)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {sentence}")
    assert result.stderr.count("\n") == 1
