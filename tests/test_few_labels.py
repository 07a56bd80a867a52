"""Data of which a few examples have labels: the stream, its resume, `fit`, runs of train.py, and bad input."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, data
from gan_zoo.data import few_labels
from gan_zoo.data.color_mnist import ColorMNISTSource
from gan_zoo.data.sources import ImageSource
from gan_zoo.models import CatGAN, SemiSupervisedGAN, VanillaGAN
from gan_zoo.run_folder.trained_gan import load_gan
from gan_zoo.training import job_report, pipeline
from gan_zoo.training.job import Job

from .variants import IMAGES, LABELS, POINTS
from .weights import arrays, assert_same, checkpoint

BATCH = {"images": IMAGES, "labelled": IMAGES, "labels": LABELS}


def elements(name, count, **how):
    return list(data.load(name, 24, **how).take(count).as_numpy_iterator())


def rows(x):
    return [tuple(np.round(row.ravel(), 4)) for row in x]


# The stream.


@pytest.mark.parametrize(("name", "labelled"), [("digits", 50), ("ring8", 20)])
def test_the_stream(name, labelled):
    found = elements(name, 9, labelled=labelled, n_critic=2, seed=3)
    plain = elements(name, 9, n_critic=2, seed=3)
    for one, other in zip(found, plain, strict=True):
        assert {*one} == {"images", "labelled", "labels"}
        np.testing.assert_array_equal(one["images"], other)
        assert one["labelled"].shape == other.shape and one["labels"].shape == (48,)
        assert one["labels"].dtype == np.int32 and one["labelled"].dtype == np.float32
    chosen, classes = data.open_source(name, labels=True).labelled_examples(labelled, seed=3)
    counts = np.bincount(classes)
    assert counts.sum() == labelled and counts.max() - counts.min() <= 1
    label_of = dict(zip(rows(chosen), classes, strict=True))
    assert len(label_of) == labelled
    stream, labels = (np.concatenate([e[key] for e in found]) for key in ("labelled", "labels"))
    assert [label_of[row] for row in rows(stream)] == labels.tolist()
    first, second = (rows(stream[k * labelled : (k + 1) * labelled]) for k in (0, 1))
    assert {*first} == {*second} == {*label_of}  # permutations of all labelled examples
    assert first != second


@pytest.mark.parametrize(("name", "labelled"), [("digits", 50), ("ring8", 20)])
def test_the_stream_continues(name, labelled):
    whole = elements(name, 8, labelled=labelled, seed=1)
    rest = elements(name, 3, labelled=labelled, seed=1, start_step=5)
    for one, other in zip(whole[5:], rest, strict=True):
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])
    # After elements of other sizes, as those of growing networks.
    source = data.open_source(name, labels=True)
    how = {"seed": 1, "labelled": labelled}
    small = [*source.batches(8, **how).take(5).as_numpy_iterator()]
    small += [*source.batches(24, before=[(8, 5)], **how).take(3).as_numpy_iterator()]
    labels = np.concatenate([e["labels"] for e in small])
    np.testing.assert_array_equal(labels, np.concatenate([e["labels"] for e in whole])[: len(labels)])


def test_seeds():
    source = data.open_source("digits", labels=True)
    (first, _), (again, _), (other, _) = (source.labelled_examples(30, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert {*rows(first)} != {*rows(other)}
    one = next(source.batches(30, seed=5, labelled=30, labelled_seed=0).as_numpy_iterator())
    assert {*rows(one["labelled"])} == {*rows(first)}


def test_classes_that_cannot_be_equal():
    source = data.open_source("digits", labels=True)
    _, labels = source.labelled_examples(25, seed=0)
    assert sorted(np.bincount(labels)) == [2] * 5 + [3] * 5
    order = np.concatenate([few_labels.positions(5, 3, tf.constant(3 * k, tf.int64), 0) for k in range(5)])
    assert sorted(order) == sorted([*range(5)] * 3)


def test_triples_of_digits():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
    settings = {"split": "train", "resolution": 8, "crop": None}
    digits = ImageSource("mnist", pixels, np.arange(40) % 10, tuple(map(str, range(10))), settings)
    images, labels = ColorMNISTSource(digits, True).labelled_examples(1000)
    np.testing.assert_array_equal(labels, np.arange(1000))
    known = {row: k % 10 for k, row in enumerate(rows(pixels))}
    images = np.round((images + 1) * 127.5)
    for channel, unit in enumerate((100, 10, 1)):
        read = [known[row] for row in rows(images[:30, ..., channel])]
        np.testing.assert_array_equal(read, labels[:30] // unit % 10)


@pytest.mark.parametrize(
    ("name", "how", "sentence"),
    [
        ("swiss_roll", {"labelled": 10}, "labels: swiss_roll has none"),
        ("digits", {"labelled": 9}, "labelled: 9 examples cannot show all 10 classes of digits .*: take 10 or more"),
        ("digits", {"labelled": 1798}, "labelled: digits .* has only 1797 examples, fewer than 1798"),
        ("digits", {"labelled": 1750}, "labelled: 1750 examples, .* are 175 of class '8', but digits .* has only 174"),
        ("digits", {"labelled": 0}, "labelled must be a whole number of at least 1, not 0"),
        ("digits", {"labelled": 20, "labels": True}, "labels and labelled exclude each other"),
    ],
)
def test_bad_numbers(name, how, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        data.load(name, **how)


def test_a_rare_mode():
    name = "mixture1d(centres=(-1, 1), weights=(1, 10000))"
    _, labels = data.open_source(name, labels=True).labelled_examples(20)
    assert np.bincount(labels).tolist() == [10, 10]


# fit.


def small(cls=CatGAN, **kwargs):
    gan = cls.for_images((8, 8, 1), network="mlp", width=4, latent_dim=2, **{"categories": 3, "seed": 0, **kwargs})
    gan.compile(run_eagerly=True)
    return gan


def logs(x, gan=None, **kwargs):
    return {*(gan or small()).fit(x, verbose=0, **kwargs).history}


def test_fit_takes_both_kinds_of_data():
    assert "labelled_loss" not in logs(IMAGES)
    assert "labelled_loss" in logs(tf.data.Dataset.from_tensors(BATCH))
    assert "labelled_loss" in logs(BATCH, batch_size=4)
    assert "labelled_loss" in logs(tf.data.Dataset.from_tensor_slices(BATCH).batch(4))
    assert "labelled_loss" in logs(iter([BATCH]), steps_per_epoch=1)
    wide = {**BATCH, "images": IMAGES.astype("float64"), "labels": LABELS.astype("int64")}
    assert "labelled_loss" in logs(tf.data.Dataset.from_tensors(wide))
    assert "labelled_loss" in logs(data.load("digits", 8, labelled=10), small(categories=10), steps_per_epoch=1)
    gan = small(n_critic=2)
    assert "labelled_loss" in gan.train_on_batch(BATCH, return_dict=True)
    assert "labelled_loss" in gan.evaluate(tf.data.Dataset.from_tensors(BATCH), verbose=0, return_dict=True)


@pytest.mark.parametrize("cls", [CatGAN, SemiSupervisedGAN])
def test_fifty_labels_sort_digits(cls):
    """With batch normalization in D it is 0.71 to 0.82: in inference its averages mix data and samples."""
    source = data.open_source("digits", labels=True, resolution=8)
    x, labels = next(iter(source.batches(source.size).as_numpy_iterator()))
    gan = cls.for_images((8, 8, 1), network="mlp", width=64, latent_dim=16, seed=0)
    gan.compile()
    gan.fit(source.batches(64, labelled=50), steps_per_epoch=400, verbose=0)
    assert np.mean(gan.classify(x) == labels) > 0.8


def test_points():
    gan = SemiSupervisedGAN.for_points(width=4, categories=3)
    gan.compile(run_eagerly=True)
    assert "labelled_loss" in logs(tf.data.Dataset.from_tensors({**BATCH, "images": POINTS, "labelled": POINTS}), gan)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        ({**BATCH, "labels": LABELS + 1}, "has labels from 1 to 3, and this model has categories=3, .* categories=4"),
        ({**BATCH, "labels": LABELS.astype("float32")}, "has labels that are float32"),
        ({**BATCH, "labels": np.eye(3, dtype="int32")[LABELS]}, r"takes whole numbers, \[B\].*tf.argmax"),
        ({**BATCH, "images": IMAGES[:, :4]}, r"x\['images'\] has shape|The dataset \(images\) has batches of shape"),
        ({**BATCH, "labelled": np.uint8(IMAGES)}, r"x\['labelled'\] holds integers|The dataset \(labelled\) holds int"),
        ({**BATCH, "labelled": 100 * IMAGES}, "has values from .* work in"),
        (
            {"images": IMAGES, "labels": LABELS},
            "keys 'images', 'labels', and this model takes examples alone or a",
        ),
        ((IMAGES, LABELS), "the networks take the images alone"),
    ],
)
def test_bad_batches(x, sentence):
    for call in (
        lambda: small().fit(tf.data.Dataset.from_tensors(x), verbose=0),
        lambda: small().train_on_batch(x),
    ):
        with pytest.raises(UserError, match=sentence):
            call()


def test_other_models_take_no_few_labels():
    gan = VanillaGAN.for_images((8, 8, 1), network="mlp", width=4, latent_dim=2)
    gan.compile()
    with pytest.raises(UserError, match="the networks take the images alone"):
        gan.train_on_batch(BATCH)


def test_a_users_class_may_read_other_dictionaries():
    class Own(CatGAN):
        def parts(self, x):
            return x["x"], None, None

        def discriminator_loss(self, x, z):
            return super().discriminator_loss(x, z)

        def latents_for(self, x):
            return self.sample_latent(8)

    gan = small(Own)
    assert "d_loss" in gan.train_on_batch({"x": IMAGES}, return_dict=True)


# Runs.


def config(folder, **more):
    settings = {"model": "semi_supervised_gan", "dataset": "digits", "width": 4, "latent_dim": 4, "batch_size": 16}
    settings |= {
        "network": "mlp" if more.get("dataset") is None else None,
        "labelled": 20,
        "steps": 4,
        "log_every": 1,
        "health_every": 2,
        "precision": "float32",
    }
    return pipeline.Config(**{**settings, "run_dir": str(folder), **more})


def test_a_run_continues_bit_for_bit(tmp_path):
    pipeline.run(config(tmp_path / "whole"))
    pipeline.run(config(tmp_path / "parts", steps=2))
    pipeline.run(config(tmp_path / "parts"))
    assert_same(*(arrays(checkpoint(tmp_path / name, 4)) for name in ("parts", "whole")))
    last = json.loads((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"labelled_loss", "labelled_accuracy", "d_auc", "duplicates"} <= last.keys()
    settings = json.loads((tmp_path / "whole" / "run.json").read_text())["settings"]
    assert settings["labelled"] == 20 and settings["arguments"]["categories"] == 10
    with pytest.raises(UserError, match=r"labelled \(20, now 30\)"):
        pipeline.run(config(tmp_path / "parts", labelled=30, steps=6))
    gan, _, _ = load_gan(tmp_path / "whole")
    images = data.open_source("digits").images[:5] / 127.5 - 1
    assert gan.classify(images.astype("float32")).shape == (5,)


def test_points_get_as_many_categories_as_modes(tmp_path):
    job = Job(config(tmp_path / "run", model="cat_gan", dataset="ring8", labelled=8))
    assert job.gan.categories == 8
    assert Job(config(tmp_path, model="cat_gan", dataset="ring8", labelled=None)).gan.categories == 10
    few, _ = job.schedule.source.labelled_examples(8, seed=0)
    for batch in (next(iter(job.schedule.dataset(0))), job.schedule.real_examples(0)):
        assert {*rows(batch["labelled"].numpy())} <= {*rows(few)}
    assert job.schedule.real_points().shape == (2048, 2)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"model": "dcgan"}, "--labelled: DCGAN does not learn from a few labels: leave the flag out"),
        ({"dataset": "swiss_roll", "model": "cat_gan"}, "--labelled: swiss_roll has none"),
        ({"labelled": 0}, "--labelled must be 1 or more, not 0"),
        ({"labelled": 5}, "--labelled: 5 examples cannot show all 10 classes"),
        ({"labelled": 2000}, "--labelled: digits .* has only 1797 examples"),
        ({"labelled": 1750}, "--labelled: 1750 examples, as many of each class, are 175 of class '8'"),
        ({"conditional": True}, "--labelled and --conditional exclude each other"),
        ({"set": ("categories=4",)}, "--set categories=4: digits has 10 classes: take as many categories, or more"),
    ],
)
def test_bad_flags(tmp_path, more, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        pipeline.run(config(tmp_path / "run", **more))
    assert not (tmp_path / "run").exists()


def test_a_run_says_how_many_labels_it_has(tmp_path):
    assert "1,797 examples, 20 of them with labels" in job_report.describe(Job(config(tmp_path / "run")))


def test_keras_files_keep_the_categories(tmp_path):
    gan = small(SemiSupervisedGAN)
    gan.fit(tf.data.Dataset.from_tensors(BATCH), verbose=0)
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(loaded.classify(IMAGES), gan.classify(IMAGES))
