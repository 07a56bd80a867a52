"""The evaluation of images: what it measures, its protocol, its cache, its command, and its use in training."""

import concurrent.futures
import dataclasses
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gan_zoo
from gan_zoo import data, evaluate, models
from gan_zoo.callbacks.evaluate import read_best
from gan_zoo.evaluate import measures, open_subject, protocol
from gan_zoo.evaluate.features import Features, find_features
from gan_zoo.export import saved_model
from gan_zoo.run_folder import checkpoints
from gan_zoo.training import config, pipeline
from gan_zoo.util.errors import UserError

ROOT = Path(gan_zoo.__file__).parent.parent
FAST = {"resamples": 3}


def pixels(images):
    """Features of 8 x 8 images: the pixels, in half the resolution, and class scores."""
    halved = images[..., 0].reshape(len(images), 4, 2, 4, 2).mean(axis=(2, 4)).reshape(len(images), 16) / 255
    return halved, halved[:, :10]


PIXELS = Features(
    "tests:pixels", "pixels", "Frechet distance (pixels)", "0" * 16, "halved", 16, 10,
    lambda images: tuple(np.float32(part) for part in pixels(images)),
)  # fmt: skip


@pytest.fixture(scope="module")
def source():
    return data.open_source("digits", labels=True)


@pytest.fixture(scope="module")
def gan():
    gan = models.VanillaGAN.for_images((8, 8, 1), network="mlp", width=8, latent_dim=4, seed=0)
    gan.compile()
    return gan


@pytest.fixture(scope="module")
def conditional():
    return models.VanillaGAN.for_images((8, 8, 1), network="mlp", width=8, latent_dim=4, classes=10, seed=0)


def value(images, source, name, features=PIXELS, **settings):
    found = evaluate.evaluate(open_subject(images), source, features, metrics=[name], **{**FAST, **settings})
    return found.metrics[name]


# What is measured.


def test_the_reference_itself_is_perfect(source):
    found = evaluate.evaluate(
        open_subject(source.images.copy()),
        source,
        PIXELS,
        metrics=["frechet", "precision", "recall", "nearest"],
        **FAST,
    )
    numbers = {name: result.value for name, result in found.metrics.items()}
    assert numbers == pytest.approx({"frechet": 0, "precision": 1, "recall": 1, "nearest": 0}, abs=1e-9)


def test_frechet_is_that_of_all_features(source):
    images = source.images[::3]
    expected = gan_zoo.metrics.squared_frechet_of_samples(PIXELS(source.images)[0], PIXELS(images)[0])
    found = value(images, source, "frechet")
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.low < found.value < found.high


def degraded(images, kind):
    """Versions of images, each worse than the one before."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    return {
        "blur": [np.uint8(gaussian_filter(np.float32(images), (0, s, s, 0))) for s in (0.6, 1.0, 1.5)],
        "noise": [np.uint8(np.clip(images + rng.normal(0, s, images.shape), 0, 255)) for s in (5.0, 25.0, 80.0)],
        "duplicates": [np.repeat(images[:k], len(images) // k, axis=0) for k in (400, 50, 5)],
    }[kind]


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        *(("frechet", kind) for kind in ("blur", "noise", "duplicates")),
        ("kid", "noise"),
        *(pytest.param("kid", kind, marks=pytest.mark.thorough) for kind in ("blur", "duplicates")),
    ],
)
def test_degradations_rank(source, metric, kind):
    images = source.images[:800]
    fast = {"resamples": 0, "floor": False}
    clean = value(images, source, metric, **fast).value
    found = [clean, *(value(version, source, metric, **fast).value for version in degraded(images, kind))]
    assert found == sorted(found)


def test_half_the_classes_cost_recall_and_duplicates_cost_coverage(source):
    half = source.images[source.labels < 5]
    assert value(half, source, "precision").value > 0.95
    assert value(half, source, "recall").value < 0.75
    few = np.repeat(source.images[:20], 20, axis=0)
    assert value(few, source, "coverage").value < 0.2 < value(source.images[:400], source, "coverage").value
    assert value(few, source, "precision").value > 0.95


def test_similarity_of_pairs():
    larger = data.open_source("digits", resolution=16)
    means = dataclasses.replace(PIXELS, compute=lambda images: (np.float32(images.mean(axis=(1, 2))), None))
    varied, repeated = larger.images[:100], np.repeat(larger.images[:4], 25, axis=0)
    found = [value(images, larger, "ms_ssim", means, floor=False).value for images in (varied, repeated)]
    assert found[0] + 0.1 < found[1]


def test_labels_are_read(source, tmp_path):
    for k, name in enumerate(source.classes):
        for i, image in enumerate(source.images[source.labels == k][:20]):
            # In the second folder, the images of a class are those of the next one.
            for folder, label in (("right", name), ("wrong", source.classes[(k + 1) % 10])):
                path = tmp_path / folder / label / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image[..., 0]).save(path)
    settings = {"metrics": ["label_accuracy", "intra_frechet"], "floor": False}
    right, wrong = (
        evaluate.evaluate(open_subject(f"folder:{tmp_path / name}"), source, PIXELS, **settings).metrics
        for name in ("right", "wrong")
    )
    assert right["label_accuracy"].value > 0.85
    assert wrong["label_accuracy"].value < 0.1
    assert 3 * right["intra_frechet"].value < wrong["intra_frechet"].value


def test_the_noise_floor_is_that_of_real_images(source):
    found = value(source.images[:300], source, "kid")
    assert found.floor_size == 300
    order = np.random.default_rng(0).permutation(len(source.images))
    held, rest = (PIXELS(source.images[part])[0] for part in (order[:300], order[300:]))
    expected = gan_zoo.metrics.kernel_distance(rest, held, subset_size=300, seed=0).mean
    assert found.floor == pytest.approx(1000 * expected, rel=1e-4)


def test_all_metrics_of_a_conditional_model(conditional, source, monkeypatch):
    monkeypatch.setattr(measures, "PATHS", 20)
    found = evaluate.evaluate(evaluate.of_model(conditional), source, PIXELS, metrics=["all"], num=200, **FAST)
    # 8 x 8 images have no pyramid.
    assert {*found.metrics} == {*measures.MEASURES} - {"swd"}
    assert all(np.isfinite(result.value) for result in found.metrics.values())
    assert all(result.low <= result.value <= result.high for result in found.metrics.values())
    assert found.metrics["path_length"].floor is None


def test_intervals_for_the_randomness_of_samples(source, monkeypatch):
    """Few samples make recall uncertain, however many real images there are."""
    few = value(source.images[:40], source, "recall")
    assert few.high - few.low > 0.1
    zero = value(np.full((40, 8, 8, 1), 7, np.uint8), source, "precision")
    assert zero.value == zero.low == 0 < zero.high < 0.1
    monkeypatch.setattr(measures, "SUBSETS", 3)
    # All subsets of samples and of real images are almost equal here.
    kid = value(source.images[:1200], source, "kid")
    assert kid.low < kid.value < kid.high


def test_the_sliced_distance_has_an_interval():
    larger = data.open_source("digits", resolution=16)
    rows = dataclasses.replace(PIXELS, compute=lambda images: (np.float32(images[:, 0, :, 0]), None))
    found = value(larger.images[:40], larger, "swd", rows)
    assert 0 < found.low < found.value < found.high


def test_all_leaves_out_what_cannot_be_computed(conditional, source, caplog):
    """A class with one sample, a function that takes no floats, and a noise floor of too few real images."""
    features = dataclasses.replace(PIXELS, takes_floats=False)
    settings = {"num": 15, **FAST}
    found = evaluate.evaluate(evaluate.of_model(conditional), source, features, metrics=["all"], **settings)
    assert {*measures.MEASURES} - {*found.metrics} == {"swd", "intra_frechet", "path_length"}
    assert " metrics=intra_frechet is left out: fake has 1 rows of class" in caplog.text
    with pytest.raises(UserError, match="^metrics=intra_frechet: fake has 1 rows of class"):
        evaluate.evaluate(evaluate.of_model(conditional), source, features, metrics=["intra_frechet"], **settings)
    few = source.images[np.concatenate([np.flatnonzero(source.labels == k)[:2] for k in range(10)])]
    labelled = dataclasses.replace(
        open_subject(few), classes=source.classes, draw=lambda n, seed: iter([(few, np.repeat(np.arange(10), 2))])
    )
    result = evaluate.evaluate(labelled, source, PIXELS, metrics=["intra_frechet"], **FAST).metrics["intra_frechet"]
    assert result.value > 0 and result.floor is None and result.floor_size is None


def test_large_seeds(gan, source):
    settings = {"metrics": ["gmm"], "num": 40, "floor": False}
    found = evaluate.evaluate(evaluate.of_model(gan), source, PIXELS, seed=2**40, **settings)
    assert np.isfinite(found.metrics["gmm"].value)


def test_functions_tell_their_sizes_when_they_are_called(source):
    unknown = dataclasses.replace(PIXELS, size=None, outputs=None)
    found = [value(source.images[:40], source, "inception_score", one, floor=False) for one in (PIXELS, unknown)]
    assert found[0] == found[1]


# What is evaluated.


def test_the_same_samples_in_any_form(gan, source, tmp_path):
    """A model in memory, its SavedModel, its samples in a folder and in an array."""
    saved_model.export(gan, tmp_path / "model")
    drawn = list(evaluate.of_model(gan).draw(300, 5))
    images = np.concatenate([part for part, _ in drawn])
    for i, image in enumerate(images):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / "images" / f"{i:04}.png")
    settings = {"metrics": ["frechet", "kid"], "num": 300, "seed": 5, "floor": False, **FAST}
    found = [
        evaluate.evaluate(open_subject(subject), source, PIXELS, **settings)
        for subject in (gan, tmp_path / "model", f"folder:{tmp_path / 'images'}", images)
    ]
    assert [one.description["kind"] for one in found] == ["model", "model", "folder", "array"]
    for one in found[1:]:
        for name in ("frechet", "kid"):
            assert one.metrics[name].value == pytest.approx(found[0].metrics[name].value, rel=1e-3)
    again = evaluate.evaluate(open_subject(gan), source, PIXELS, **settings)
    assert again.metrics == found[0].metrics
    other = evaluate.evaluate(open_subject(gan), source, PIXELS, **{**settings, "seed": 6})
    assert other.metrics != found[0].metrics


def test_a_set_of_images_is_used_whole_or_in_part(source):
    subject = open_subject(source.images[:50])
    assert evaluate.evaluate(subject, source, PIXELS, metrics=["nearest"]).protocol.samples["number"] == 50
    assert evaluate.evaluate(subject, source, PIXELS, metrics=["nearest"], num=20).protocol.samples["number"] == 20


def test_folders_are_decoded_as_for_training(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        kind, size = (np.uint16, (8, 8)) if i % 2 else (np.uint8, (8, 8, 4))
        pixels = rng.integers(0, np.iinfo(kind).max, size, kind)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")  # 16 bits, or with transparency
    name = f"folder:{tmp_path}"
    images = data.open_source(name, resolution=8, cache_dir=tmp_path / "cache")
    assert value(images.images, images, "nearest").value == 0
    found = evaluate.evaluate(open_subject(name), images, PIXELS, metrics=["nearest"], floor=False)
    assert found.metrics["nearest"].value == 0


# The protocol.


def test_numbers_of_different_protocols_are_not_ranked(source, tmp_path):
    def measured(**settings):
        subject = open_subject(source.images[:100])
        return evaluate.evaluate(subject, source, PIXELS, **{"metrics": ["frechet"], "floor": False, **settings})

    base, same = measured(), measured(seed=3)
    table = evaluate.ranking([base, same])
    assert "Frechet distance (pixels)" in table and "FID" not in table
    other_features = dataclasses.replace(PIXELS, fingerprint="1" * 16)
    for other, what in (
        (measured(num=50), "number of samples differs"),
        (evaluate.evaluate(open_subject(source.images[:100]), source, other_features, metrics=["frechet"], floor=False),
         "network for features differs"),
        (evaluate.evaluate(open_subject(source.images[:100]), data.open_source("digits", crop=7), PIXELS,
                           metrics=["frechet"], floor=False), "reference differs"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=f"cannot be ranked together: their {what}"):
            evaluate.ranking([base, other])
    older = protocol.Protocol(**{**dataclasses.asdict(base.protocol), "metrics": {"frechet": "ddof 0"}})
    with pytest.raises(UserError, match="the settings of frechet differ"):
        evaluate.ranking([base, dataclasses.replace(same, protocol=older)])


def test_only_inception_gives_an_fid():
    for name in ("efficientnet_lite0", "digits"):
        try:
            features = find_features(name)
        except UserError:  # without the extra
            continue
        assert measures.label_of("frechet", features).startswith("Frechet distance (")
    assert measures.label_of("frechet", PIXELS) == "Frechet distance (pixels)"
    published = dataclasses.replace(PIXELS, frechet_name="FID")
    names = [[measures.label_of(n, f) for n in ("kid", "inception_score")] for f in (PIXELS, published)]
    assert names == [["Kernel distance x 1000", "Class score"], ["KID x 1000", "Inception Score"]]


def test_files_of_results(source, tmp_path):
    found = evaluate.evaluate(open_subject(source.images[:60]), source, PIXELS, metrics=["frechet", "density"], **FAST)
    evaluate.write([found], tmp_path / "one.json")
    plain = json.loads((tmp_path / "one.json").read_text())
    assert {*plain["metrics"]["frechet"]} == {"value", "low", "high", "floor", "floor_size"}
    assert plain["protocol"] == found.protocol.line() and "\n" not in plain["protocol"]
    assert evaluate.read(tmp_path / "one.json") == [found]
    evaluate.write([found, found], tmp_path / "two.json")
    assert evaluate.read(tmp_path / "two.json") == [found, found]
    with pytest.raises(UserError, match="have no metric in common"):
        evaluate.ranking([dataclasses.replace(found, metrics={}), found])
    broken = {
        "bad.json": {"subject": 1},
        "text.json": "text",
        "value.json": {**plain, "metrics": {"frechet": {**plain["metrics"]["frechet"], "value": None}}},
        "label.json": {**plain, "labels": {}},
        "protocol.json": {**plain, "protocol_details": {**plain["protocol_details"], "code": {}}},
    }
    for name, content in broken.items():
        (tmp_path / name).write_text(json.dumps(content))
    for name, what in (
        *((name, "is not a file of gan_zoo.evaluate") for name in broken),
        ("none.json", "cannot be read: No such file"),
    ):
        with pytest.raises(UserError, match=what):
            evaluate.read(tmp_path / name)


# The cache.


def test_features_of_the_reference_are_cached_by_content(source, tmp_path):
    calls = []

    def counted(images):
        calls.append(len(images) if images.any() else 0)  # the network is first tried with a black image
        return PIXELS.compute(images)

    features = dataclasses.replace(PIXELS, compute=counted)

    def measured(**settings):
        calls.clear()
        subject = open_subject(source.images[:40])
        settings = {"metrics": ["nearest"], "cache_dir": tmp_path, **settings}
        return evaluate.evaluate(subject, source, features, **settings).metrics["nearest"], sum(calls)

    first, count = measured()
    assert count == len(source.images) + 40
    assert measured() == (first, 40)
    (folder,) = tmp_path.glob("[!.]*")
    (folder / "features.npy").write_bytes(b"damaged")
    assert measured() == (first, len(source.images) + 40)
    (folder / "floor-40-0.json").write_text("[]")
    assert measured() == (first, 40)
    features = dataclasses.replace(features, fingerprint="2" * 16)
    assert measured() == (first, len(source.images) + 40)
    assert len(list(tmp_path.glob("[!.]*"))) == 2


def test_a_cache_that_cannot_be_written(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="features cannot be cached in .* GAN_ZOO_CACHE"):
        evaluate.evaluate(open_subject(source.images[:40]), source, PIXELS, cache_dir=tmp_path / "file" / "x")


def test_two_processes_with_one_cache(tmp_path):
    """The second waits for the first, and takes its features; what a killed one has left is removed."""
    from gan_zoo.evaluate import reference

    filled, may_end = [], threading.Event()

    def fill(part):
        filled.append(part)
        assert may_end.wait(60) and not [*part.iterdir()]
        np.save(part / "features.npy", np.ones((3, 2), np.float32))
        (part / "meta.json").write_text("{}")

    final = tmp_path / "features"
    (tmp_path / "features.partial").mkdir()
    (tmp_path / "features.partial" / "features.npy").write_bytes(b"of a killed process")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(reference._filled, final, 3, fill) for _ in range(2)]
        may_end.set()
        for job in jobs:
            np.testing.assert_array_equal(job.result(60)[0], np.ones((3, 2)))
    assert len(filled) == 1 and sorted(path.name for path in tmp_path.glob("[!.]*")) == ["features"]


def test_full_disks(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    evaluate.evaluate(open_subject(source.images[:40]), source, PIXELS, metrics=["nearest"], cache_dir=tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(UserError, match="temporary files in .* cannot be written .*No space left.* TMPDIR"):
        evaluate.evaluate(open_subject(source.images[:40]), source, PIXELS, metrics=["nearest"], cache_dir=tmp_path)
    with pytest.raises(UserError, match="features cannot be cached in .*No space left.* GAN_ZOO_CACHE"):
        evaluate.evaluate(open_subject(source.images[:40]), source, PIXELS, cache_dir=tmp_path / "other")


# Bad input.


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"metrics": ["fid"]}, "metrics=fid is not one of frechet, kid"),
        ({"metrics": []}, "metrics is empty"),
        ({"num": 0}, "num must be a whole number"),
        ({"num": 101}, "num=101: array has only 100 images"),
        ({"num": 5}, "num=5 is too few samples to measure: 10 are the least"),
        ({"metrics": ["path_length"]}, "metrics=path_length needs a generator, and array is a set of images"),
        ({"metrics": ["label_accuracy"]}, "metrics=label_accuracy needs labels, and array has none"),
        ({"metrics": ["swd"]}, "metrics=swd needs square images"),
        ({"resamples": -1}, "resamples must be a whole number"),
        ({"resamples": 1}, "resamples=1: one resample has no spread"),
    ],
)
def test_bad_settings(source, settings, what):
    with pytest.raises(UserError, match=f"^{what}"):
        evaluate.evaluate(open_subject(source.images[:100]), source, PIXELS, **settings)


def test_a_metric_of_logits_needs_a_classifier(source):
    features = dataclasses.replace(PIXELS, outputs=None, compute=lambda images: (PIXELS.compute(images)[0], None))
    with pytest.raises(UserError, match="^metrics=inception_score needs the classes of a classifier"):
        evaluate.evaluate(open_subject(source.images[:40]), source, features, metrics=["inception_score"])


@pytest.mark.parametrize(
    ("images", "what"),
    [
        (
            np.zeros((20, 9, 9, 1), np.uint8),
            "array has images of 9x9x1, and source=digits of 8x8x1: give the dataset the same res",
        ),
        (
            np.zeros((20, 8, 8, 3), np.uint8),
            "array has images of 8x8x3, and source=digits of 8x8x1: use a dataset with as many channels",
        ),
        (np.zeros((20, 8, 8), np.uint8), "model: images must be uint8"),
        (np.zeros((20, 8, 8, 1)), "model: images must be uint8"),
    ],
)
def test_images_of_another_form(source, images, what):
    with pytest.raises(UserError, match=what):
        evaluate.evaluate(open_subject(images), source, PIXELS)


def test_a_diverged_generator(gan, source):
    broken = gan.rebuilt(generator=gan.generator)
    subject = evaluate.of_model(broken)
    nan = dataclasses.replace(subject, generate=None, draw=_generator_of_nan(subject))
    with pytest.raises(UserError, match="samples that are not finite: its training has diverged"):
        evaluate.evaluate(nan, source, PIXELS, num=20)


def _generator_of_nan(subject):
    from gan_zoo.evaluate.subjects import _of_generator

    def generate(z):
        return np.full((len(z), *subject.shape), np.nan, np.float32)

    return _of_generator("model", {}, subject.shape, subject.latents, generate, None, "normal", False).draw


def test_folders_that_cannot_be_evaluated(source, tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        open_subject(f"folder:{tmp_path / 'none'}")
    with pytest.raises(UserError, match="holds no .jpg"):
        open_subject(f"folder:{tmp_path}")
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("L", (8, 9)).save(tmp_path / "b.png")
    for i in range(10):
        Image.new("L", (8, 8)).save(tmp_path / f"c{i}.png")
    with pytest.raises(UserError, match="b.png is 8x9, and a.png is 8x8: all images must have one size"):
        evaluate.evaluate(open_subject(f"folder:{tmp_path}"), source, PIXELS)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="b.png cannot be decoded"):
        evaluate.evaluate(open_subject(f"folder:{tmp_path}"), source, PIXELS)


def test_points_are_not_images():
    gan = models.VanillaGAN.for_points(width=4, seed=0)
    with pytest.raises(UserError, match="makes points, not images"):
        open_subject(gan)
    subject = open_subject(np.zeros((20, 8, 8, 1), np.uint8))
    points = dataclasses.replace(subject, shape=(2,))
    for one in (points, subject):
        with pytest.raises(UserError, match="^source=ring8 has no images"):
            evaluate.evaluate(one, data.open_source("ring8"), PIXELS)


def test_labels_of_other_classes(source, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.fromarray(source.images[i, ..., 0]).save(tmp_path / name / f"{i}.png")
    subject = open_subject(f"folder:{tmp_path}")
    with pytest.raises(UserError, match="^metrics=label_accuracy needs the same classes .* has cat, dog and the data"):
        evaluate.evaluate(subject, source, PIXELS, metrics=["label_accuracy"])
    (tmp_path / "one" / "cat").mkdir(parents=True)
    for i in range(12):
        Image.fromarray(source.images[i, ..., 0]).save(tmp_path / "one" / "cat" / f"{i}.png")
    one = f"folder:{tmp_path / 'one'}"
    images = data.open_source(one, resolution=8, labels=True, cache_dir=tmp_path / "cache")
    with pytest.raises(UserError, match="^metrics=label_accuracy: the real images are all of one class"):
        evaluate.evaluate(open_subject(one), images, PIXELS, metrics=["label_accuracy"])


def test_features_that_are_not_finite(source):
    features = dataclasses.replace(PIXELS, compute=lambda images: (np.full((len(images), 4), np.nan, "f"), None))
    with pytest.raises(UserError, match="features=tests:pixels: the features of image 0 to 31 are not all finite"):
        evaluate.evaluate(open_subject(source.images[:40]), source, features, cache_dir=None)


def test_few_samples_for_many_features_are_said(source, caplog):
    evaluate.evaluate(open_subject(source.images[:12]), source, PIXELS, metrics=["frechet"], floor=False)
    assert "12 samples are not more than the 16 features" in caplog.text


# The command.


def test_command_line(gan, tmp_path):
    saved_model.export(gan, tmp_path / "model")
    (tmp_path / "mine.py").write_text(
        "def pixels(images):\n    return images.reshape(len(images), -1)[:, ::4] / 255.0\n"
    )

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*arguments):
        command = [sys.executable, "-m", "gan_zoo.evaluate", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)

    done = run("--model=model", "--dataset=digits", "--features=mine:pixels", "--num=100", "--json=a.json",
               "--metrics=kid,precision", "--trust")  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "model" and lines[1].split()[0] == "metric" and lines[-1].startswith("protocol: mine:pixels")
    assert {*json.loads((tmp_path / "a.json").read_text())["metrics"]} == {"kid", "precision"}
    bad = run("--model=model", "--dataset=digits", "--features=mine:other", "--trust")
    assert bad.returncode == 2 and bad.stderr.splitlines()[-1].startswith("error: --features=mine:other: mine has no")


def test_the_command_checks_before_it_works(source, tmp_path):
    from gan_zoo.evaluate import __main__ as command

    (tmp_path / "file").write_text("")
    for path, what in ((tmp_path, "it is a folder"), (tmp_path / "file" / "x.json", "file is not a folder")):
        with pytest.raises(UserError, match=f"--json=.* cannot be written: .*{what}"):
            command._check_writable(str(path))
    referee = evaluate.Judge(source, PIXELS)
    subjects = [open_subject(source.images[:count]) for count in (30, 20)]
    with pytest.raises(UserError, match="array would have 30 samples and array 20.* give both --num=20"):
        command._check_numbers(referee, subjects)


# In training.


def settings(run_dir, **changed):
    return config.Config(
        **{
            **dict(model="vanilla_gan", dataset="ring8", width=4, batch_size=8, steps=8, run_dir=str(run_dir)),
            **dict(log_every=2, sample_every=0, checkpoint_every=4, health_every=0, steps_per_execution=2),
            **dict(evaluate_every=2, evaluate_num=50),
            **changed,
        }
    )


def logged(run_dir, name):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def test_training_keeps_and_exports_the_best(tmp_path, monkeypatch):
    values = iter([3.0, 1.0, 2.0, float("nan")])
    monkeypatch.setattr(gan_zoo.metrics, "evaluate", lambda target, samples, seed: {"w1": next(values), "mmd": 0.0})
    path = pipeline.run(settings(tmp_path / "run", export="best"))
    assert read_best(tmp_path / "run" / "best")["step"] == 4
    assert [p.name for p in checkpoints.list_checkpoints(tmp_path / "run" / "best")] == ["00000004"]
    metadata = json.loads((path / saved_model.METADATA).read_text())
    assert metadata["step"] == 4
    found = logged(tmp_path / "run", "w1")
    assert [*found] == [2, 4, 6, 8] and found[4] == 1.0


def test_evaluation_does_not_change_training_and_resumes_exactly(tmp_path, monkeypatch):
    plain, whole, parts = (tmp_path / name for name in ("plain", "whole", "parts"))
    pipeline.run(settings(plain, evaluate_every=0, evaluate_num=None))
    pipeline.run(settings(whole))
    pipeline.run(settings(parts, steps=4))
    pipeline.run(settings(parts))
    assert _same_weights(plain, whole, parts)
    assert logged(whole, "w1") == logged(parts, "w1")
    assert read_best(whole / "best") == read_best(parts / "best")


def _same_weights(*runs):
    from gan_zoo.run_folder.trained_gan import load_gan

    found = [load_gan(run)[0].get_weights() for run in runs]
    return all(np.array_equal(a, b) for one in found[1:] for a, b in zip(found[0], one, strict=True))


def test_training_measures_the_logits_of_a_users_function(tmp_path):
    run = settings(
        tmp_path, dataset="digits", network="mlp", steps=2, steps_per_execution=1, evaluate_num=60,
        evaluate_features="tests.test_evaluate:pixels", evaluate_metrics=("inception_score",),
    )  # fmt: skip
    pipeline.run(run)
    assert {*logged(tmp_path, "inception_score")} == {2}


def test_training_on_images(tmp_path):
    run = settings(
        tmp_path, dataset="digits", network="mlp", steps=2, steps_per_execution=1, conditional=True,
        evaluate_num=60, evaluate_features="digits", evaluate_metrics=("precision", "label_accuracy"),
    )  # fmt: skip
    pipeline.run(run)
    assert {*logged(tmp_path, "precision")} == {*logged(tmp_path, "label_accuracy")} == {2}
    assert read_best(tmp_path / "best")["metric"] == "precision"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"evaluate_metrics": ("kid",)}, "--evaluate_metrics is for images, and ring8 has points"),
        ({"evaluate_every": 0}, "--evaluate_num says how samples are evaluated in training: add --evaluate_every"),
        ({"evaluate_every": 0, "evaluate_num": None, "export": "best"}, "--export=best .* add --evaluate_every"),
        ({"evaluate_num": 3}, "--evaluate_num must be 10 or more, not 3"),
        ({"dataset": "digits", "network": "mlp", "evaluate_metrics": ("fid",)}, "--evaluate_metrics=fid is not one of"),
        ({"dataset": "digits", "network": "mlp", "evaluate_features": "vgg"}, "--evaluate_features=vgg is not one of"),
        (
            {"dataset": "digits", "network": "mlp", "evaluate_features": "digits", "evaluate_metrics": ("swd",)},
            "--evaluate_metrics=swd needs square images with a side",
        ),
        (
            {"dataset": "digits", "network": "mlp", "evaluate_features": "digits", "evaluate_metrics": ("ms_ssim",)},
            "--evaluate_metrics=ms_ssim has no better or worse",
        ),
        (
            {
                "dataset": "digits",
                "network": "mlp",
                "evaluate_features": "digits",
                "evaluate_metrics": ("intra_frechet",),
            },
            "--evaluate_metrics=intra_frechet needs labels",
        ),
    ],
)
def test_bad_flags_of_training(tmp_path, changed, what):
    with pytest.raises(UserError, match=what):
        pipeline.run(settings(tmp_path, **changed))
    assert not list(tmp_path.iterdir())


def test_the_last_step_is_exported_if_the_best_is_damaged(tmp_path, caplog):
    run = settings(tmp_path / "run", steps=4, evaluate_every=4, export="best")
    pipeline.run(run)
    (checkpoint,) = checkpoints.list_checkpoints(tmp_path / "run" / "best")
    (checkpoint / checkpoints.EMA).write_bytes(b"damaged")
    assert read_best(tmp_path / "run" / "best") is None
    path = pipeline.run(run)
    assert json.loads((path / saved_model.METADATA).read_text())["step"] == 4
    assert "--export=best: no step was evaluated" in caplog.text


def test_training_goes_on_if_a_step_cannot_be_evaluated(tmp_path, caplog):
    run = settings(
        tmp_path, dataset="digits", network="mlp", steps=1, steps_per_execution=1, conditional=True, export="last",
        evaluate_every=1, evaluate_num=12, evaluate_features="digits", evaluate_metrics=("intra_frechet",),
    )  # fmt: skip
    assert (pipeline.run(run) / "saved_model.pb").exists()
    assert "12 samples are not more than the 1568 features" in caplog.text and "raise --evaluate_num" in caplog.text
    assert "This step is not evaluated: --evaluate_metrics=intra_frechet: fake has" in caplog.text
    assert read_best(tmp_path / "best") is None
