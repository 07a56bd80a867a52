"""Streams of training data: values, order, resume, arguments; synthetic distributions; the table."""

import subprocess
import sys
from pathlib import Path

import google_crc32c
import numpy as np
import pytest

import gan_zoo
from gan_zoo import data
from gan_zoo.data import cache, synthetic, tfds_images
from gan_zoo.data import digits as embedded
from gan_zoo.util.errors import UserError

from .waiting import HANGING


def take(dataset, n):
    return list(dataset.take(n).as_numpy_iterator())


@pytest.fixture(scope="module")
def digits():
    return data.open_source("digits")


def test_import_loads_no_framework():
    heavy = "{'tensorflow', 'tensorflow_datasets', 'keras', 'sklearn', 'PIL'}"
    code = f"import sys, gan_zoo.data; gan_zoo.data.DATASETS; sys.exit(str({heavy} & set(sys.modules) or ''))"
    env = {"PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=HANGING)
    assert done.stderr.strip() == ""


class TestTable:
    def test_rows(self):
        assert data.DATASETS["celeb_a"].resolution == 64
        assert data.DATASETS["celeb_a"].crop == 160
        assert data.DATASETS["mnist"].resolution == data.DATASETS["fashion_mnist"].resolution == 28
        assert data.DATASETS["cifar10"].resolution == 32
        assert data.DATASETS["digits"].resolution == 8
        assert data.DATASETS["oxford_flowers102"].resolution == 64
        assert {d.family for d in data.DATASETS.values()} == {"dcgan", "mlp"}
        assert set(synthetic.SYNTHETIC) <= set(data.DATASETS)
        assert all(len(f"{name} {d.description}") < 110 for name, d in data.DATASETS.items())

    @pytest.mark.parametrize(
        ("name", "row"),
        [
            ("celeb_a", "celeb_a"),
            ("celeb_a:2.1.0", "celeb_a"),
            ("lsun/bedroom", "lsun"),
            ("mnist/x:1.0.0", "mnist"),
            ("two_lines(theta=0.5)", "two_lines"),
            ("gaussian_hyperplane (dim=4)", "gaussian_hyperplane"),
        ],
    )
    def test_lookup(self, name, row):
        assert data.lookup(name) is data.DATASETS[row]

    @pytest.mark.parametrize("name", ["svhn_cropped", "folder:/celeb_a", "folder:celeb_a"])
    def test_lookup_of_others(self, name):
        assert data.lookup(name) is data.OTHER
        assert data.OTHER.resolution == 64
        assert data.OTHER.crop is None

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("celeba", " Did you mean 'celeb_a'?"),
            ("CelebA", " Did you mean 'celeb_a'?"),
            ("minst", " Did you mean 'mnist'?"),
            ("ring-8", " Did you mean 'ring8'?"),
            ("zzzzzz", ""),
        ],
    )
    def test_suggest(self, name, hint):
        assert data.suggest(name, data.DATASETS) == hint


class TestSynthetic:
    N = 40_000

    def draw(self, name):
        return synthetic.sample(name, self.N, [3, 5]).numpy()

    @pytest.mark.parametrize(("name", "modes", "std"), [("ring8", 8, 0.02), ("grid25", 25, 0.05 / 2.828)])
    def test_mixtures(self, name, modes, std):
        centres, stated = synthetic.modes(name)
        assert centres.shape == (modes, 2)
        assert stated == pytest.approx(std)
        assert len(np.unique(centres.round(9), axis=0)) == modes
        points = self.draw(name)
        distance = np.linalg.norm(points[:, None] - centres, axis=-1)
        nearest = distance.argmin(axis=1)
        counts = np.bincount(nearest, minlength=modes)
        assert np.abs(counts / self.N * modes - 1).max() < 6 * np.sqrt(modes / self.N)
        spread = (points - centres[nearest]).std(axis=0)
        np.testing.assert_allclose(spread, std, rtol=0.03)

    def test_centres(self):
        ring, _ = synthetic.modes("ring8")
        np.testing.assert_allclose(np.linalg.norm(ring, axis=1), 2)
        grid, _ = synthetic.modes("grid25")
        assert grid.min() == -grid.max() == pytest.approx(-4 / 2.828)

    def test_swiss_roll_has_the_distribution_of_scikit_learn(self):
        from scipy.stats import ks_2samp
        from sklearn.datasets import make_swiss_roll

        points = self.draw("swiss_roll")
        theirs = make_swiss_roll(self.N, noise=0.25, random_state=0)[0][:, [0, 2]] / 7.5
        for angle in np.linspace(0, np.pi, 7):
            axis = [np.cos(angle), np.sin(angle)]
            assert ks_2samp(points @ axis, theirs @ axis).pvalue > 1e-4

    def test_two_lines(self):
        points = self.draw("two_lines")
        assert (points[:, 0] == 0).all()
        assert 0 <= points[:, 1].min() < 0.001
        assert 0.999 < points[:, 1].max() <= 1
        assert points[:, 1].mean() == pytest.approx(0.5, abs=0.01)

    def test_gaussian(self):
        points = self.draw("gaussian")
        np.testing.assert_allclose(points.mean(axis=0), [1, 0], atol=0.015)
        np.testing.assert_allclose(np.cov(points.T), 0.25 * np.eye(2), atol=0.01)

    @pytest.mark.parametrize("name", synthetic.SYNTHETIC)
    def test_stream(self, name):
        dataset = data.load(name, 6, n_critic=2, seed=4)
        assert dataset.element_spec.shape == (12, synthetic.get(name).dim)
        assert dataset.element_spec.dtype == "float32"
        first = take(dataset, 5)
        np.testing.assert_array_equal(first, take(data.load(name, 6, n_critic=2, seed=4), 5))
        np.testing.assert_array_equal(first[3:], take(data.load(name, 6, n_critic=2, seed=4, start_step=3), 2))
        assert not np.array_equal(first[0], first[1])
        assert not np.array_equal(first[0], take(data.load(name, 6, n_critic=2, seed=5), 1)[0])

    def test_source(self):
        source = data.open_source("grid25")
        assert (source.kind, source.shape, source.size, source.num_classes) == ("points", (2,), None, 25)
        assert source.steps_per_epoch(10**9) is None
        assert source.describe() == {
            "name": "grid25",
            "kind": "points",
            "shape": [2],
            "size": None,
            "num_classes": None,
            "split": None,
            "resolution": None,
            "crop": None,
        }
        points = source.sample(7, seed=1)
        assert points.shape == (7, 2)
        np.testing.assert_array_equal(points, source.sample(7, seed=1))
        assert not np.array_equal(points, take(source.batches(7, seed=1), 1)[0])

    @pytest.mark.parametrize("name", ["grid25", "mixture1d(centres=[-1, 4, 1], weights=[1, 5, 2])"])
    def test_labels_are_modes(self, name):
        found = data.find_source(name, labels=True)
        source, plain = found.open(), data.open_source(name)
        centres, _ = source.distribution.modes
        assert found.classes == source.classes == plain.classes == tuple(map(str, range(len(centres))))
        assert source.describe() == found.describe()
        described = {"num_classes": len(centres), "classes": list(source.classes)}
        assert source.describe() == {**plain.describe(), **described}
        elements = take(source.batches(100, n_critic=2, seed=4), 3)
        for x, y in elements:
            assert (y.shape, y.dtype) == ((200,), np.int32)
            np.testing.assert_array_equal(np.abs(x[:, None] - centres).sum(axis=-1).argmin(axis=1), y)
        np.testing.assert_array_equal([x for x, _ in elements], take(plain.batches(100, n_critic=2, seed=4), 3))
        x, y = take(data.load(name, 100, labels=True, n_critic=2, seed=4, start_step=2), 1)[0]
        np.testing.assert_array_equal(x, elements[2][0])
        np.testing.assert_array_equal(y, elements[2][1])

    def test_source_with_arguments(self):
        source = data.open_source("gaussian_hyperplane(rank=1, dim=4)")
        assert source.shape == (4,)
        assert source.distribution is synthetic.get("gaussian_hyperplane(dim=4, rank=1)")
        assert source.describe()["name"] == "gaussian_hyperplane(dim=4, rank=1)"
        assert source.sample(7).shape == (7, 4)
        again = data.open_source(source.describe()["name"])
        np.testing.assert_array_equal(take(again.batches(5, seed=2), 2), take(source.batches(5, seed=2), 2))


class TestDigits:
    def test_values_are_those_of_scikit_learn(self, digits):
        from sklearn.datasets import load_digits

        truth = load_digits()
        assert digits.images.shape == (1797, 8, 8, 1)
        assert digits.images.dtype == np.uint8
        assert (digits.images.min(), digits.images.max()) == (0, 255)
        np.testing.assert_allclose(digits.images[..., 0], truth.images * 255 / 16, atol=0.5)
        np.testing.assert_array_equal(digits.labels, truth.target)
        assert digits.classes == digits.class_names == tuple("0123456789")

    def test_fashion10k(self):
        source = data.open_source("fashion10k", labels=True)
        assert (source.images.shape, source.images.dtype) == ((10_000, 28, 28, 1), np.uint8)
        np.testing.assert_array_equal(source.labels, np.arange(10_000) % 10)
        assert (source.classes[0], source.classes[9]) == ("T-shirt/top", "Ankle boot")
        assert len(np.unique(source.images.reshape(10_000, -1), axis=0)) > 9_990
        # Means of the pixels of each class: trousers and sandals leave most of the picture black.
        means = source.images.reshape(-1, 10, 28 * 28).mean(axis=(0, 2))
        assert (means.argmin(), means.argmax()) == (5, 4)

    def test_elements(self, digits):
        (x, y), *_ = take(digits.batches(100, labels=True), 1)
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((100, 8, 8, 1), np.float32, (100,), np.int32)
        assert (x.min(), x.max()) == (-1, 1)
        rows = {image.tobytes(): label for image, label in zip(digits.images, digits.labels, strict=True)}
        back = np.round((x + 1) * 127.5).astype(np.uint8)
        assert [rows[image.tobytes()] for image in back] == y.tolist()
        np.testing.assert_allclose(x, back / 127.5 - 1, atol=1e-7)

    def test_labels_asked_for_with_the_set_are_yielded(self, digits):
        found = data.find_source("digits", labels=True)
        source = found.open()
        assert (found.labelled, source.labelled, digits.labelled) == (True, True, False)
        assert found.classes == source.classes == tuple("0123456789")
        assert found.describe() == source.describe() == {**digits.describe(), "classes": list("0123456789")}
        how = {"n_critic": 3, "seed": 2, "start_step": 150}
        x, y = take(source.batches(5, **how), 1)[0]
        same, labels = take(digits.batches(5, labels=True, **how), 1)[0]
        np.testing.assert_array_equal(x, same)
        np.testing.assert_array_equal(y, labels)
        np.testing.assert_array_equal(x, take(digits.batches(5, **how), 1)[0])
        assert source.batches(5, labels=False).element_spec.shape == (5, 8, 8, 1)

    def test_checksum(self, digits):
        images, labels, classes = digits.images, digits.labels, ("a", "b")
        plain, settings = digits.checksum(), digits.describe()
        assert plain == google_crc32c.value(images.tobytes())

        def checksum(images=images, labels=labels % 2, classes=classes, labelled=True):
            return data.ImageSource("some", images, labels, classes, settings, labelled).checksum()

        assert checksum(labelled=False) == checksum(labels=1 - labels % 2, labelled=False) == plain
        others = [checksum(255 - images), checksum(labels=1 - labels % 2), checksum(classes=("a", "c"))]
        assert len({plain, checksum(), *others}) == 5
        assert checksum() == checksum()

    def test_checksum_of_images_on_the_disk(self, digits, monkeypatch):
        monkeypatch.setattr(cache, "MEMORY_LIMIT", digits.images.nbytes - 1)
        assert digits.checksum() is None
        one, other = (
            data.ImageSource("some", digits.images, labels, digits.classes, digits.describe(), labelled=True).checksum()
            for labels in (digits.labels, digits.labels[::-1])
        )
        assert one != other

    @pytest.mark.parametrize("wrong", [-1, 10])
    def test_images_without_a_class(self, digits, wrong):
        labels = np.where(digits.labels == 3, wrong, digits.labels)
        unknown = (labels == wrong).sum()
        message = (
            f"labels: {unknown} of the 1797 images of some (split train) belong to no class: their labels, such as "
            f"{wrong}, are not in 0..9. Choose a split in which every image has a class, or leave labels out."
        )
        some = "some", digits.images, labels, digits.classes, digits.describe()
        with pytest.raises(UserError) as error:
            data.ImageSource(*some, labelled=True)
        assert str(error.value) == message
        source = data.ImageSource(*some)
        assert take(source.batches(4), 1)[0].shape == (4, 8, 8, 1)
        with pytest.raises(UserError) as error:
            source.batches(4, labels=True)
        assert str(error.value) == message

    def test_static_shapes(self, digits):
        assert digits.batches(5, n_critic=3).element_spec.shape == (15, 8, 8, 1)
        x, y = digits.batches(5, n_critic=3, labels=True).element_spec
        assert x.shape == (15, 8, 8, 1)
        assert (y.shape, y.dtype) == ((15,), "int32")

    def test_resize(self):
        source = data.open_source("digits", resolution=16)
        assert source.shape == (16, 16, 1)
        small = data.open_source("digits", resolution=4, crop=6)
        assert small.shape == (4, 4, 1)
        assert small.describe()["crop"] == 6

    def test_describe(self, digits):
        assert digits.describe() == {
            "name": "digits",
            "kind": "image",
            "shape": [8, 8, 1],
            "size": 1797,
            "num_classes": 10,
            "split": "train",
            "resolution": 8,
            "crop": 8,
        }

    def test_images_are_read_only(self, digits):
        with pytest.raises(ValueError, match="read-only"):
            digits.images[0] = 0


@pytest.fixture(scope="module")
def source(digits):
    """A source of images that contain their numbers, 0 to 1796."""
    images = np.zeros((1797, 1, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.divmod(np.arange(1797), 256)
    return data.ImageSource("numbered", images, np.arange(1797), tuple(map(str, range(1797))), digits.describe())


class TestOrder:
    @staticmethod
    def numbers(elements):
        back = np.round((np.stack(elements) + 1) * 127.5).astype(int)
        return back[..., 0, 0, 0] * 256 + back[..., 0, 1, 0]

    def test_an_epoch_is_a_permutation_without_its_remainder(self, source):
        steps = source.steps_per_epoch(100)
        assert steps == 17
        seen = self.numbers(take(source.batches(50, n_critic=2), 3 * steps)).reshape(3, -1)
        for epoch in seen:
            assert len(set(epoch.tolist())) == 1700
        assert not np.array_equal(seen[0], seen[1])
        assert set(seen[0].tolist()) != set(seen[1].tolist())

    def test_every_example_comes_up_everywhere(self, source):
        epochs = self.numbers(take(source.batches(1797), 60)).astype(float)
        # A uniform permutation: positions do not prefer numbers, and numbers do not keep their last position.
        assert abs(epochs.mean(axis=0) - 898).max() < 6 * 519 / np.sqrt(60)
        lag = [np.corrcoef(epoch[:-1], epoch[1:])[0, 1] for epoch in epochs]
        assert abs(np.mean(lag)) < 5 / np.sqrt(60 * 1797)
        between = [np.corrcoef(a, b)[0, 1] for a, b in zip(epochs, epochs[1:], strict=False)]
        assert abs(np.mean(between)) < 5 / np.sqrt(59 * 1797)

    def test_deterministic_and_seeded(self, source):
        once = take(source.batches(64, seed=1), 30)
        np.testing.assert_array_equal(once, take(source.batches(64, seed=1), 30))
        assert not np.array_equal(once, take(source.batches(64, seed=2), 30))
        # Epoch and seed are not interchangeable.
        a = self.numbers(take(source.batches(1797, seed=0), 2))
        b = self.numbers(take(source.batches(1797, seed=1), 2))
        assert not np.array_equal(a[1], b[0])

    @pytest.mark.parametrize("step", [1, 16, 17, 18, 50])
    def test_resume(self, source, step):
        whole = take(source.batches(100, seed=3, labels=True), step + 4)[step:]
        resumed = take(source.batches(100, seed=3, labels=True, start_step=step), 4)
        for (x, y), (x2, y2) in zip(whole, resumed, strict=True):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)

    def test_a_far_start_costs_nothing(self, source):
        # 10^13 past epochs are too many to iterate over.
        x = take(source.batches(1797, start_step=10**13), 1)[0]
        assert len(set(self.numbers([x]).ravel().tolist())) == 1797

    def test_labels_stay_with_their_images(self, source):
        x, y = take(source.batches(64, labels=True), 1)[0]
        np.testing.assert_array_equal(self.numbers([x])[0], y)

    def test_n_critic_only_groups(self, source):
        grouped = np.concatenate(take(source.batches(20, n_critic=5), 3))
        np.testing.assert_array_equal(grouped, np.concatenate(take(source.batches(100), 3)))

    def test_options(self, source):
        import tensorflow as tf

        options = source.batches(8).options()
        assert options.experimental_distribute.auto_shard_policy == tf.data.experimental.AutoShardPolicy.DATA
        assert options.deterministic is True


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"batch_size": 0}, "batch_size must be a whole number of at least 1, not 0."),
            ({"batch_size": 2.5}, "batch_size must be a whole number of at least 1, not 2.5."),
            ({"n_critic": 0}, "n_critic must be a whole number of at least 1, not 0."),
            ({"seed": -1}, "seed must be a whole number of at least 0, not -1."),
            ({"start_step": -1}, "start_step must be a whole number of at least 0, not -1."),
            ({"resolution": 3}, "resolution must be a whole number of at least 4, not 3."),
            ({"resolution": 0}, "resolution must be a whole number of at least 4, not 0."),
            ({"resolution": 16.0}, "resolution must be a whole number of at least 4, not 16.0."),
            ({"resolution": True}, "resolution must be a whole number of at least 4, not True."),
            ({"crop": -1}, "crop must be a whole number of at least 0, not -1."),
            ({"max_skipped": -1}, "max_skipped must be a whole number of at least 0, not -1."),
            ({"memory_limit": -1}, "memory_limit must be a whole number of at least 0, not -1."),
            ({"crop": 9}, "crop 9 is larger than the images of digits, which are 8x8: use a crop of at most 8."),
            ({"split": "test"}, "split 'test': digits has only the split 'train', and slices are for TFDS datasets."),
            (
                {"batch_size": 600, "n_critic": 3},
                "batch_size: one step takes n_critic * batch_size = 1800 examples, but digits (split train) has only "
                "1797. Use a smaller batch_size or n_critic, or more data.",
            ),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(UserError) as error:
            data.load("digits", **arguments)
        assert str(error.value) == message

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"resolution": 64}, "ring8 is a set of points in the plane: leave out resolution and crop."),
            ({"split": "test"}, "split 'test': ring8 has only the split 'train', and slices are for TFDS datasets."),
        ],
    )
    def test_refused_for_points(self, arguments, message):
        with pytest.raises(UserError) as error:
            data.load("ring8", **arguments)
        assert str(error.value) == message

    def test_points_without_modes_have_no_labels(self):
        with pytest.raises(UserError) as error:
            data.find_source("four_lines", labels=True)
        assert str(error.value) == (
            "labels: four_lines has none. Choose a set with classes, such as mnist, cifar10 or ring8."
        )
        source = data.open_source("four_lines")
        assert source.classes is None
        with pytest.raises(UserError, match="labels: four_lines has none"):
            source.batches(4, labels=True)
        with pytest.raises(UserError, match="four_lines is not a mixture of Gaussians"):
            source.distribution.sample_labelled(4, (0, 0))

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("two_lines(thta=1)", r"two_lines\(thta=1\): two_lines has no argument 'thta'. Did you mean 'theta'\?"),
            ("cirle(x=1)", "there is no synthetic set 'cirle'. Did you mean 'circle'?"),
            ("circle(", r"'circle\(' has an unmatched bracket or quotation mark"),
        ],
    )
    def test_bad_names_of_points(self, name, message):
        with pytest.raises(UserError, match=message):
            data.load(name)

    @pytest.mark.parametrize("name", [None, "", 7, Path("x")])
    def test_no_name(self, name):
        with pytest.raises(UserError, match="dataset must be a name such as 'celeb_a' or 'folder:/path', not"):
            data.load(name)

    def test_numpy_integers_and_defaults_are_fine(self):
        source = data.open_source("digits", resolution=np.int64(8), crop=0)
        assert source.describe()["crop"] == 8
        assert take(source.batches(np.int32(4)), 1)[0].shape == (4, 8, 8, 1)

    def test_a_whole_epoch_in_one_step(self, digits):
        assert take(digits.batches(1797), 1)[0].shape == (1797, 8, 8, 1)


def test_color_mnist_hands_max_skipped_to_mnist(monkeypatch):
    asked = []

    def fetch(images, *, resolution, crop, max_skipped, **_):
        asked.append(max_skipped)
        return cache.decode(images, resolution=resolution, crop=crop, max_skipped=max_skipped)

    monkeypatch.setattr(tfds_images, "find", lambda *_, **__: embedded.find())
    monkeypatch.setattr(cache, "fetch", fetch)
    assert data.open_source("color_mnist", max_skipped=7).shape == (28, 28, 3)
    assert asked == [7]


@pytest.mark.parametrize("name", ["ring8", "digits"])
def test_no_thread_tunes_a_pipeline(name):
    """The end of `fit` would wait for such a thread, as long again as the training took."""
    assert data.open_source(name).batches(4, seed=0).options().autotune.enabled is False
