"""Early errors: bad input is refused before an image is decoded, a dataset is downloaded, or anything is written."""

import json

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from gan_zoo import data
from gan_zoo.compare import __main__ as compare
from gan_zoo.data import cache, tfds_images
from gan_zoo.training import fine_tuning, job_report, pipeline
from gan_zoo.util.errors import UserError

OWN = """
from gan_zoo.models import LSGAN, ProgressiveGAN

class Growing(ProgressiveGAN):
    pass

class Broken(LSGAN):
    def generator_loss(self, x, z):
        return self.D(self.G(z))
"""


class Decoded(Exception):  # noqa: N818
    """Raised instead of decoding an image."""


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    root.mkdir()
    for k in range(12):
        pixels = np.random.default_rng(k).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{k}.png")
    return root


@pytest.fixture
def closed_eyes(monkeypatch):
    def decode(*_):
        raise Decoded

    monkeypatch.setattr(cache, "decode_all", decode)


def config(folder, **changes):
    settings = dict(model="lsgan", dataset=f"folder:{folder}", resolution=8, batch_size=4, width=4, latent_dim=4)
    return pipeline.Config(**{**settings, "steps": 2, "run_dir": str(folder.parent / "run"), **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"resolution": 18},
            "convolutional networks need square images with a side of 4, 5, 6 or 7 times a power of two",
        ),
        ({"resolution": 1024}, "convolutional networks need square images"),
        ({"network": "growing", "resolution": 12}, "growing networks need images with a side of 4, 8, 16"),
        ({"network": "growing", "norm": "batch"}, "norm must be 'none' with growing networks"),
        ({"model": "progressive_gan", "resolution": 28}, "growing networks need images"),
        ({"model": "ebgan", "resolution": 22}, "convolutional networks need square images"),
        ({"batch_size": 13}, "n_critic \\* batch_size = 13 examples, but .* has only 12"),
        ({"n_critic": 4}, "n_critic \\* batch_size = 16 examples"),
        ({"model": "progressive_gan", "steps": 10**6, "set": ("batch_sizes={8: 32}",)}, "batch_size = 32 examples"),
        ({"set": ("slope=1",)}, "has no argument 'slope'"),
        ({"set": ("a=one",)}, "a must be a number, not 'one'"),
        ({"model": "dragan", "set": ("form=7",)}, "form must be 1, 2 or 3"),
        ({"balance": "sometimes"}, "balance"),
        ({"n_critic": 0}, "--n_critic"),
        ({"steps": 5, "steps_per_execution": 2}, "--steps=5 is not a multiple"),
        ({"sync_batch_norm": True, "network": "mlp"}, "--sync_batch_norm: these networks have no batch normalization"),
        ({"network": "mlp", "width": 2**14, "latent_dim": 2**20}, "memory"),
        ({"model": "own:Broken"}, "generator_loss must return a real number"),
        ({"model": "own:Missing"}, "has no subclass"),
        ({"run_dir": "pictures/1.png/run"}, "cannot be written"),
        ({"crop": -1}, "--crop must be 0"),
    ],
)
@pytest.mark.usefixtures("closed_eyes")
def test_settings(folder, tmp_path, monkeypatch, changes, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own.py").write_text(OWN)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(UserError, match=sentence):
        pipeline.run(config(folder, cache_dir=str(tmp_path / "cache"), **changes))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == before


@pytest.mark.usefixtures("closed_eyes")
def test_good_settings_come_to_the_images(folder):
    with pytest.raises(Decoded):
        pipeline.run(config(folder))
    assert not (folder.parent / "run").exists()


@pytest.mark.usefixtures("closed_eyes")
def test_a_class_of_ones_own_that_grows(folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own.py").write_text(OWN)
    with pytest.raises(Decoded):
        pipeline.run(config(folder, model="own:Growing"))


@pytest.mark.usefixtures("closed_eyes")
def test_replicas(folder):
    with pytest.raises(UserError, match="--batch_size=6 cannot be divided evenly among 4 replicas"):
        pipeline.run(config(folder, batch_size=6, strategy="mirrored", num_virtual_devices=4))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": 8}, "holds a run with other settings: width \\(4, now 8\\)"),
        ({"resolution": 16}, "holds a run with other settings: data"),
        ({"steps": 1}, "holds a run of 2 steps: --steps=1 cannot make it shorter"),
    ],
)
def test_a_run_folder_of_other_settings(folder, monkeypatch, changes, sentence):
    (folder / "broken.png").write_bytes(b"no image")  # so the number of examples is known only after decoding
    asked = config(folder, sample_every=0, health_every=0)
    job = pipeline.Job(asked)
    run_dir = folder.parent / "run"
    run_dir.mkdir()
    written = json.dumps({"settings": job_report.settings(job, run_dir)})
    (run_dir / "run.json").write_text(written)
    (folder / "12.png").write_bytes((folder / "1.png").read_bytes())  # a later state of the folder, not in the cache

    def decode(*_):
        raise Decoded

    monkeypatch.setattr(cache, "decode_all", decode)
    with pytest.raises(UserError, match=sentence):
        pipeline.run(config(folder, sample_every=0, health_every=0, **changes))
    with pytest.raises(Decoded):
        pipeline.run(asked)
    assert (run_dir / "run.json").read_text() == written


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batch_size": 13}, "has only 12"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"n_critic": 4}, "has only 12"),
        ({"n_critic": 1.5}, "n_critic must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"start_step": -1}, "start_step must be a whole number"),
        ({"labels": True}, "labels: .* has none"),
        ({"max_skipped": -1}, "max_skipped must be a whole number"),
    ],
)
@pytest.mark.usefixtures("closed_eyes")
def test_load(folder, tmp_path, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        data.load(f"folder:{folder}", **{"batch_size": 4, "resolution": 8, **arguments}, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


class FarAway(tfds.core.GeneratorBasedBuilder):
    """A dataset that is not downloaded yet."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {"image": tfds.features.Image(shape=(8, 8, 1)), "label": tfds.features.ClassLabel(names=["a", "b"])}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for k in range(6):
            yield k, {"image": np.full((8, 8, 1), k, np.uint8), "label": k % 2}


def test_a_set_that_is_still_to_be_downloaded(tmp_path, monkeypatch):
    place = {"data_dir": tmp_path / "tfds", "cache_dir": tmp_path / "cache", "resolution": 8}
    found = data.find_source("far_away", **place)
    assert (found.shape, found.size, found.class_names) == ((8, 8, 1), None, ("a", "b"))
    with monkeypatch.context() as patched:
        patched.setattr(tfds_images, "_prepare", lambda *_: pytest.fail("it was downloaded"))
        with pytest.raises(UserError, match="convolutional networks need square images"):
            pipeline.Job(pipeline.Config("lsgan", "far_away", data_dir=str(tmp_path / "tfds"), resolution=18))
        with pytest.raises(UserError, match="seed must be a whole number"):
            data.load("far_away", 2, seed=-1, **place)
    assert not (tmp_path / "tfds" / "far_away").exists()
    source = found.open()
    assert (source.shape, source.size, source.class_names) == ((8, 8, 1), 6, ("a", "b"))
    again = data.find_source("far_away", **place)
    assert again.size == 6
    assert again.describe() == source.describe()
    with pytest.raises(UserError, match="has only 6"):
        pipeline.Job(pipeline.Config("lsgan", "far_away", data_dir=str(tmp_path / "tfds"), resolution=8))


@pytest.mark.parametrize("name", ["digits", "ring8"])
def test_what_is_known_before_is_what_is_there(name):
    found, source = data.find_source(name), data.open_source(name)
    assert found.describe() == source.describe()
    assert (found.kind, found.shape, found.size, found.num_classes) == (
        *(source.kind, source.shape, source.size),
        source.num_classes,
    )


def test_compare(tmp_path, monkeypatch, capsys):
    def opened(self):
        raise Decoded

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data.Found, "open", opened)
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "notes.txt").write_text("mine")
    small = ["--models=lsgan", "--width=4", "--steps=20", "--batch_size=8", "--samples=10"]
    compare.define_flags()
    try:
        for more, sentence in (
            (["--output=found"], "holds other files"),
            (["--models=dragan(form=9)"], "form must be 1, 2 or 3"),
        ):
            compare.flags.FLAGS(["compare", *small, *more])
            with pytest.raises(UserError, match=sentence):
                compare.main()
        compare.flags.FLAGS(["compare", *small, "--models=lsgan", "--output=new"])
        with pytest.raises(Decoded):
            compare.main()
        assert not (tmp_path / "new").exists()
    finally:
        for name in [name for names in compare.GROUPS.values() for name in names]:
            delattr(compare.flags.FLAGS, name)


def test_fine_tuning(folder, tmp_path, monkeypatch):
    pipeline.run(config(folder, steps=1, sample_every=0, health_every=0, cache_dir=str(tmp_path / "cache")))
    monkeypatch.setattr(data.Found, "open", lambda self: pytest.fail("the data were opened"))
    for arguments, sentence in (
        ({"steps": 0}, "steps must be a whole number"),
        ({"turns": 0}, "turns must be a whole number"),
        ({"score_weight": -1.0}, "score_weight must be a number from 0 up"),
    ):
        with pytest.raises(UserError, match=sentence):
            fine_tuning.fine_tune_run(tmp_path / "run", tmp_path / "new", **{"steps": 1, **arguments})
    for name in ("11.png", "10.png", "9.png", "8.png", "7.png", "6.png", "5.png", "4.png", "3.png"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="has only 3"):
        fine_tuning.fine_tune_run(tmp_path / "run", tmp_path / "new", steps=1)
    assert not (tmp_path / "new").exists()
    assert keras.config.dtype_policy().name == "float32"
