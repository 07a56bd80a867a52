"""Colour MNIST: its stream, compared with MNIST's own digits, and the classifier that counts its modes."""

import functools
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

import gan_zoo
from gan_zoo import data, metrics, releases
from gan_zoo.metrics import digits
from gan_zoo.sampling import pretrained
from gan_zoo.util.errors import UserError

from .waiting import HANGING

FIRST = 30
"""Number of examples of the training split. The class of example i is i mod 10."""


def picture(i):
    """Returns a picture whose first pixel gives its number."""
    pixels = np.random.default_rng(i).integers(0, 256, (28, 28, 1), np.uint8)
    pixels[0, 0] = i
    return pixels


class TinyDigits(tfds.core.GeneratorBasedBuilder):
    """A small dataset with MNIST's features."""

    VERSION = tfds.core.Version("1.2.3")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, FIRST), "test": self._generate_examples(FIRST, FIRST + 10)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield i, {"image": picture(i), "label": i % 10}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A TFDS folder in which the tiny digits replace MNIST."""
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    TinyDigits(data_dir=folder / "made").download_and_prepare()
    mnist = folder / "mnist" / "1.0.0"
    mnist.mkdir(parents=True)
    for file in (folder / "made" / "tiny_digits" / "1.2.3").iterdir():
        content = file.read_bytes().replace(b"tiny_digits", b"mnist").replace(b"1.2.3", b"1.0.0")
        (mnist / file.name.replace("tiny_digits", "mnist")).write_bytes(content)
    return folder


@pytest.fixture
def source(data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    return data.open_source("color_mnist", data_dir=data_dir)


def take(dataset, n):
    return list(dataset.take(n).as_numpy_iterator())


class TestSource:
    def test_describe(self, source, data_dir):
        assert (source.kind, source.shape, source.size, source.num_classes) == ("image", (28, 28, 3), None, 1000)
        assert source.classes[7] == "007"
        assert source.checksum() is None
        assert source.steps_per_epoch(10**9) is None
        assert source.describe() == {
            "name": "color_mnist",
            "kind": "image",
            "shape": [28, 28, 3],
            "size": None,
            "num_classes": 1000,
            "split": "train",
            "resolution": 28,
            "crop": 28,
            "tfds": "mnist/1.0.0",
            "path": str(data_dir / "mnist" / "1.0.0"),
        }

    def test_channels_are_digits(self, source):
        x, y = take(source.batches(40, n_critic=2, labels=True), 1)[0]
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((80, 28, 28, 3), np.float32, (80,), np.int32)
        levels = np.round((x + 1) * 127.5).astype(np.uint8)
        np.testing.assert_allclose(x, levels / 127.5 - 1, atol=1e-7)
        which = levels[:, 0, 0].astype(int)
        assert which.max() < FIRST
        for image, numbers in zip(levels, which, strict=True):
            for channel, number in enumerate(numbers):
                np.testing.assert_array_equal(image[..., channel], picture(number)[..., 0])
        np.testing.assert_array_equal(y, which % 10 @ [100, 10, 1])

    def test_labels_asked_for_with_the_set(self, source, data_dir, tmp_path):
        found = data.find_source("color_mnist", data_dir=data_dir, cache_dir=tmp_path / "cache", labels=True)
        labelled = found.open()
        assert found.describe() == labelled.describe()
        assert labelled.describe() == {**source.describe(), "classes": [f"{k:03}" for k in range(1000)]}
        assert labelled.checksum() == labelled.digits.checksum() != source.digits.checksum()
        x, y = take(labelled.batches(4, seed=1), 1)[0]
        same = take(source.batches(4, seed=1, labels=True), 1)[0]
        np.testing.assert_array_equal(x, same[0])
        np.testing.assert_array_equal(y, same[1])

    def test_draws_are_uniform_and_independent(self, source):
        x = np.concatenate(take(source.batches(500), 20))
        which = np.round((x[:, 0, 0] + 1) * 127.5).astype(int)
        for channel in which.T:
            counts = np.bincount(channel, minlength=FIRST)
            assert np.abs(counts / len(which) * FIRST - 1).max() < 6 * np.sqrt(FIRST / len(which))
        correlations = np.corrcoef(which.T)[np.triu_indices(3, 1)]
        assert np.abs(correlations).max() < 5 / np.sqrt(len(which))

    def test_elements_depend_on_seed_and_step_alone(self, source):
        whole = take(source.batches(6, seed=3), 5)
        np.testing.assert_array_equal(whole, take(source.batches(6, seed=3), 5))
        np.testing.assert_array_equal(whole[3:], take(source.batches(6, seed=3, start_step=3), 2))
        np.testing.assert_array_equal(whole, [x for x, _ in take(source.batches(6, seed=3, labels=True), 5)])
        assert not np.array_equal(whole[0], whole[1])
        assert not np.array_equal(whole[0], take(source.batches(6, seed=4), 1)[0])
        take(source.batches(1, start_step=10**13), 1)

    def test_load_split_and_resolution(self, data_dir, tmp_path):
        settings = {"data_dir": data_dir, "cache_dir": tmp_path}
        dataset = data.load("color_mnist", 8, labels=True, split="test", **settings)
        assert dataset.element_spec[0].shape == (8, 28, 28, 3)
        x, _ = take(dataset, 1)[0]
        assert np.round((x[:, 0, 0] + 1) * 127.5).min() >= FIRST
        assert data.load("color_mnist", 8, resolution=32, **settings).element_spec.shape == (8, 32, 32, 3)

    def test_only_the_digits_take_memory(self, source):
        assert source.digits.images.shape == (FIRST, 28, 28, 1)
        assert source.digits.images.dtype == np.uint8

    def test_row(self):
        row = data.DATASETS["color_mnist"]
        assert (row.resolution, row.crop, row.family) == (28, None, "dcgan")

    def test_offline(self, tmp_path, monkeypatch):
        def refuse(*arguments, **_):
            raise OSError("no network")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        with pytest.raises(UserError, match=f"mnist is not in {tmp_path}, and TFDS could not download and prepare it"):
            data.load("color_mnist", data_dir=tmp_path)


@pytest.fixture(scope="module")
def classifier():
    return digits.load_classifier()


@pytest.fixture(scope="module")
def handwriting():
    """Returns scikit-learn's digits in MNIST's format: 20 x 20 pixels in the middle of 28 x 28."""
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.full((len(found.images), 28, 28, 1), 0, np.uint8)
    for k, image in enumerate(found.images):
        small = Image.fromarray(np.round(image * 255 / 16).astype(np.uint8))
        pixels[k, 4:24, 4:24, 0] = small.resize((20, 20), Image.Resampling.BICUBIC)
    return pixels.astype(np.float32) / 127.5 - 1, found.target


class TestClassifier:
    def test_is_small_and_is_plain_keras(self, classifier):
        file = releases.clone_folder() / "digit_classifier" / "classifier.keras"
        assert file.stat().st_size <= 300 * 1024
        assert classifier.count_params() <= 60_000
        assert (classifier.input_shape, classifier.output_shape) == ((None, 28, 28, 1), (None, 10))
        assert all(type(layer).__module__.startswith("keras.") for layer in classifier.layers)
        assert {layer.dtype_policy.name for layer in classifier.layers} == {"float32"}

    def test_record(self):
        folder = releases.clone_folder() / "digit_classifier"
        record = json.loads((folder / "run.json").read_text())
        assert record["accuracy"]["test"] >= 0.99
        assert f"{record['accuracy']['test']:.2%} on the 10,000 test digits" in (folder / "card.md").read_text()
        assert set(record["versions"]) == {"python", "tensorflow", "keras", "numpy"}

    def test_reads_the_handwriting_of_others(self, classifier, handwriting):
        # The digits are 8 x 8 pixels, enlarged: worse than MNIST's own test digits, and far above a tenth by chance.
        images, labels = handwriting
        read, probability = digits.read(images, classifier)
        assert (read == labels).mean() > 0.85
        assert probability[read == labels].mean() > probability[read != labels].mean()
        assert ((probability > 0.1) & (probability <= 1)).all()

    def test_is_not_offered_as_a_generator(self):
        assert "digit_classifier" not in pretrained.released()
        with pytest.raises(UserError, match="digit_classifier"):
            pretrained.find("digit_classifier")

    def test_is_loaded_once(self, classifier):
        assert metrics.load_classifier() is classifier

    def test_absent(self, tmp_path, monkeypatch):
        monkeypatch.setattr(releases, "clone_folder", lambda: tmp_path)
        monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
        digits._released.cache_clear()
        assert not digits.has_classifier()
        with pytest.raises(UserError, match="no classifier of digits: .* are not here.* with mirror"):
            digits.load_classifier()
        with pytest.raises(UserError, match="no classifier of digits in .*: train one .* -m gan_zoo.metrics.digits"):
            digits.load_classifier(tmp_path)
        with pytest.raises(UserError, match="no classifier of digits"):
            metrics.evaluate(metrics.target("color_mnist"), np.zeros((2, 28, 28, 3)))

    def test_broken(self, tmp_path):
        (tmp_path / "classifier.keras").write_bytes(b"nonsense")
        with pytest.raises(UserError, match="cannot be read as a Keras model in safe mode .*: train one"):
            digits.load_classifier(tmp_path)

    def test_code_in_a_file_is_refused(self, tmp_path):
        ran = str(tmp_path / "ran")
        image = keras.Input((28, 28, 1))
        layer = keras.layers.Lambda(lambda x: x if Path(ran).touch() is None else 0)
        keras.Model(image, layer(image)).save(tmp_path / digits.FILE)
        Path(ran).unlink()
        with pytest.raises(UserError, match=r"classifier.keras cannot be read as a Keras model in safe mode .*Lambda"):
            digits.load_classifier(tmp_path)
        assert not Path(ran).exists()

    def test_the_release_is_verified(self, tmp_path, monkeypatch):
        shutil.copytree(releases.clone_folder() / digits.FOLDER, tmp_path / digits.FOLDER)
        monkeypatch.setenv("GAN_ZOO_MIRROR", str(tmp_path))
        digits._released.cache_clear()
        assert digits.load_classifier().output_shape == (None, 10)
        file = tmp_path / digits.FOLDER / digits.FILE
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        digits._released.cache_clear()
        assert digits.has_classifier()
        with pytest.raises(UserError, match="no classifier of digits: .*classifier.keras has another SHA-256"):
            digits.load_classifier()

    def test_training(self, data_dir, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
        settings = {"data_dir": str(data_dir), "epochs": 2, "batch_size": 10, "seed": 1}
        record = digits.train(tmp_path / "new" / "folder", **settings)
        folder = tmp_path / "new" / "folder"
        assert json.loads((folder / "run.json").read_text()) == record
        assert record["settings"]["epochs"] == 2
        assert sorted(p.name for p in folder.iterdir()) == ["card.md", "classifier.keras", "run.json"]
        assert str(data_dir) not in (folder / "run.json").read_text() + (folder / "card.md").read_text()
        trained = digits.load_classifier(folder)
        assert not trained.compiled
        x = np.stack([picture(i) for i in range(FIRST, FIRST + 10)]).astype(np.float32) / 127.5 - 1
        read, _ = digits.read(x, trained)
        assert record["accuracy"]["test"] == (read == np.arange(10)).mean()
        digits.train(tmp_path / "again", **settings)
        for one, other in zip(trained.weights, digits.load_classifier(tmp_path / "again").weights, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_command(self):
        command = [sys.executable, "-W", "error", "-m", "gan_zoo.metrics.digits"]
        env = {"PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
        run = functools.partial(subprocess.run, env=env, capture_output=True, text=True, timeout=HANGING)
        help_text = run([*command, "--help"])
        assert (help_text.returncode, help_text.stderr) == (0, "")
        assert "--data_dir" in help_text.stdout
        missing = run(command)
        assert (missing.returncode, missing.stderr[:28]) == (2, "error: --output is missing: ")

    @pytest.mark.parametrize("change", [{"epochs": 0}, {"batch_size": -1}, {"learning_rate": 0.0}])
    def test_bad_settings(self, tmp_path, change):
        with pytest.raises(UserError, match=f"^--{next(iter(change))} must be positive"):
            digits.train(tmp_path, **change)


def code(image):
    """A classifier of pictures whose first pixel gives the digit. It is exact, with high confidence."""
    return keras.ops.one_hot(keras.ops.cast(keras.ops.round((image[:, 0, 0, 0] + 1) * 4.5), "int32"), 10) * 30.0


@pytest.fixture(scope="module")
def exact():
    image = keras.Input((28, 28, 1))
    return keras.Model(image, keras.layers.Lambda(code, output_shape=(10,))(image))


def stacks(triples):
    """Returns pictures of triples of digits for `exact`."""
    return np.tile((np.array(triples, np.float32) / 4.5 - 1)[:, None, None, :], (1, 28, 28, 1))


class TestColorModes:
    def test_all_modes(self, exact):
        every = stacks(np.stack(np.unravel_index(np.arange(1000), (10, 10, 10)), axis=1))
        got = metrics.color_modes(every, classifier=exact)
        assert got == {"modes": 1000, "kl_mode": pytest.approx(0, abs=1e-12), "confidence": pytest.approx(1)}

    def test_channels_are_told_apart(self, exact):
        got = metrics.color_modes(stacks([[1, 2, 3], [3, 2, 1], [1, 2, 3], [2, 1, 3]]), classifier=exact)
        assert got["modes"] == 3
        assert got["kl_mode"] == pytest.approx(0.5 * np.log(500) + 0.5 * np.log(250))

    def test_one_mode(self, exact):
        got = metrics.color_modes(stacks([[9, 0, 9]] * 5), classifier=exact)
        assert (got["modes"], got["kl_mode"]) == (1, pytest.approx(np.log(1000)))

    def test_number(self, exact):
        images = stacks([[0, 0, 0], [0, 0, 1], [0, 0, 2]])
        assert [metrics.color_modes(images, n, exact)["modes"] for n in (1, 2, 3, None)] == [1, 2, 3, 3]
        for number in (0, 4, 2.0):
            with pytest.raises(UserError, match="^number must be a whole number from 1 to that of images, which is 3"):
                metrics.color_modes(images, number, exact)

    def test_what_draws_of_the_data_give(self, exact):
        triples = np.random.default_rng(0).integers(0, 10, (3000, 3))
        got = metrics.color_modes(stacks(triples), classifier=exact)
        assert got["modes"] == len(np.unique(triples, axis=0)) == pytest.approx(1000 * (1 - np.exp(-3)), abs=25)
        assert got["kl_mode"] == pytest.approx(1000 / (2 * 3000), abs=0.03)

    def test_real_digits(self, classifier, handwriting):
        images, labels = handwriting
        read, probability = digits.read(images, classifier)
        right = np.where(read == labels, probability, 0.0)
        best = [images[np.argmax(right * (labels == digit))] for digit in range(10)]
        triples = [(r, g, b) for r in (0, 3, 6) for g in (1, 4) for b in (2, 5, 7)]
        stacked = np.stack([np.concatenate([best[digit] for digit in triple], axis=-1) for triple in triples])
        got = metrics.evaluate(metrics.target("color_mnist"), stacked)
        assert set(got) <= set(metrics.METRICS)
        assert got["modes"] == 18
        assert got["kl_mode"] == pytest.approx(np.log(1000 / 18))
        assert got["confidence"] > 0.99
        noise = np.random.default_rng(0).uniform(-1, 1, (50, 28, 28, 3))
        assert metrics.color_modes(noise)["confidence"] < 0.9

    def test_not_finite(self, exact):
        images = stacks([[0, 0, 0], [0, 0, 1]])
        images[1, 5, 5, 1] = np.nan
        got = metrics.color_modes(images, classifier=exact)
        assert got["modes"] == 0
        assert np.isnan(got["kl_mode"])
        assert np.isnan(got["confidence"])

    @pytest.mark.parametrize("shape", [(2, 28, 28, 1), (2, 32, 32, 3), (28, 28, 3), (0, 28, 28, 3)])
    def test_shape(self, exact, shape):
        with pytest.raises(UserError, match=r"^images must be \[N, 28, 28, 3\]"):
            metrics.color_modes(np.zeros(shape), classifier=exact)
