"""Metrics of images and their features: vectors, other libraries' results, protocols, memory, and hand-made damage."""

import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy import linalg, ndimage, spatial, stats

from gan_zoo import metrics
from gan_zoo.metrics import manifold
from gan_zoo.metrics.patches import laplacian_level
from gan_zoo.metrics.path_length import slerp
from gan_zoo.util.errors import UserError

from .oracle import tfgan_metrics, tfgan_pyramid

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["metrics"]
RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(300, 8))
FAKE = 1.2 * RNG.normal(size=(250, 8)) + 0.3
NOT_FINITE = np.where(np.arange(16).reshape(8, 2) == 9, np.inf, 0.0)


def moments(x):
    return metrics.Moments(x.shape[1]).update(x)


def mapped(folder, x):
    """Returns an array that is memory-mapped."""
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


class TestMoments:
    def test_parts(self):
        parts = metrics.Moments(8)
        for start, stop in ((0, 1), (1, 1), (1, 3), (3, 300)):
            parts.update(REAL[start:stop])
        for got in (parts, moments(REAL)):
            assert got.count == 300
            np.testing.assert_allclose(got.mean, REAL.mean(axis=0), rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(got.covariance, np.cov(REAL.T), rtol=1e-12, atol=1e-14)

    def test_merge_and_remove(self):
        both, fake = moments(REAL), moments(FAKE)
        both.merge(fake).merge(metrics.Moments(8))
        np.testing.assert_allclose(both.covariance, np.cov(np.concatenate([REAL, FAKE]).T), rtol=1e-12, atol=1e-14)
        both.remove(metrics.Moments(8)).remove(moments(REAL))
        assert both.count == 250
        np.testing.assert_allclose(both.mean, fake.mean, rtol=1e-12)
        np.testing.assert_allclose(both.covariance, fake.covariance, rtol=1e-11, atol=1e-13)
        both.remove(fake)
        assert both.count == 0
        np.testing.assert_array_equal(both.update(REAL).covariance, moments(REAL).covariance)

    def test_far_from_zero(self):
        far = moments(REAL + 1e7)
        np.testing.assert_allclose(far.covariance, np.cov(REAL.T), atol=1e-8)

    def test_memory(self, tmp_path):
        x = mapped(tmp_path, RNG.normal(size=(40_000, 16)).astype(np.float32))
        tracemalloc.start()
        got = moments(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The whole in float64 is 5 MB.
        assert peak < 1.5e6
        np.testing.assert_allclose(got.covariance, np.cov(x.T.astype(np.float64)), rtol=1e-10, atol=1e-12)

    def test_bad(self):
        empty = metrics.Moments(2)
        with pytest.raises(UserError, match="^Moments has no features yet"):
            empty.mean  # noqa: B018
        with pytest.raises(UserError, match="^A covariance needs 2 or more features, not 1"):
            metrics.Moments(2).update([[1, 2]]).covariance  # noqa: B018
        with pytest.raises(UserError, match=r"^x must be of shape \[N, 2\], not \[300, 8\]"):
            empty.update(REAL)
        with pytest.raises(UserError, match="^x must be finite; NaN or infinity is among rows 0 to 8"):
            empty.update(NOT_FINITE)
        with pytest.raises(UserError, match="^x must be numbers, not of type <U1"):
            empty.update([["a", "b"]])
        with pytest.raises(UserError, match="^other must have features of dimension 2, not 8"):
            empty.merge(moments(REAL))
        with pytest.raises(UserError, match="^other: 300 features cannot be removed from 0"):
            metrics.Moments(8).remove(moments(REAL))


class TestFrechetReference:
    def test_vectors(self):
        inputs = VECTORS["fid_inputs"]
        reference = metrics.FrechetReference(inputs["mu1"], inputs["cov1"])
        assert reference.distance(inputs["mu2"], inputs["cov2"]) == pytest.approx(VECTORS["fid_gaussians"], rel=1e-12)

    def test_others(self):
        one, two = moments(REAL), moments(FAKE)
        got = metrics.FrechetReference(one.mean, one.covariance).distance(two.mean, two.covariance)
        root = linalg.sqrtm(one.covariance @ two.covariance).real
        expected = np.sum((one.mean - two.mean) ** 2) + np.trace(one.covariance + two.covariance - 2 * root)
        assert got == pytest.approx(expected, rel=1e-9)
        assert got == pytest.approx(metrics.squared_frechet_of_samples(REAL, FAKE), rel=1e-9)
        expected = tfgan_metrics().frechet_classifier_distance_from_activations(REAL, FAKE)
        assert got == pytest.approx(float(expected), rel=1e-9)

    @pytest.mark.parametrize(("n", "m"), [(40, 200), (200, 40), (40, 30), (65, 65)])
    def test_singular(self, n, m):
        """Fewer samples than dimensions. The centred samples themselves are factors of the covariances."""
        scales = np.exp(-np.linspace(0, 8, 64))
        x, y = (RNG.normal(size=(count, 64)) * scales for count in (n, m))
        one, two = moments(x), moments(y)
        factors = [(a - a.mean(axis=0)) / math.sqrt(len(a) - 1) for a in (x, y)]
        roots = linalg.svdvals(factors[0] @ factors[1].T).sum()
        expected = np.sum((one.mean - two.mean) ** 2) + np.trace(one.covariance + two.covariance) - 2 * roots
        reference = metrics.FrechetReference(one.mean, one.covariance)
        assert reference.distance(two.mean, two.covariance) == pytest.approx(expected, rel=1e-9)
        assert metrics.squared_frechet(one.mean, one.covariance, two.mean, two.covariance) == pytest.approx(
            expected, rel=1e-9
        )
        assert reference.distance(one.mean, one.covariance) == pytest.approx(0, abs=1e-9)

    def test_large_uses_one_thread(self):
        cov = np.cov(RNG.normal(size=(300, 260)).T)
        reference = metrics.FrechetReference(np.zeros(260), cov)
        assert reference.distance(np.ones(260), 4 * cov) == pytest.approx(260 + np.trace(cov), rel=1e-9)

    def test_bad(self):
        reference = metrics.FrechetReference([0, 0], np.eye(2))
        assert math.isnan(reference.distance([0, np.nan], np.eye(2)))
        with pytest.raises(
            UserError, match=r"^covariance must be of shape \[2, 2\], to match the reference, not \[3, 3"
        ):
            reference.distance([0, 0], np.eye(3))
        for cov in ([[1, 2], [0, 1]], -np.eye(2)):
            with pytest.raises(UserError, match="^covariance must be a covariance: symmetric"):
                reference.distance([0, 0], cov)
        with pytest.raises(UserError, match="^mean and covariance of the reference must be finite"):
            metrics.FrechetReference([0, 0], [[np.nan, 0], [0, 1]])


class TestKernelDistance:
    @staticmethod
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def test_by_hand(self):
        # D = 1: k(0, y) = 1, k(1, 1) = 8, k(1, 2) = 27, k(2, 2) = 125.
        x, y = np.array([[0.0], [1.0]]), np.array([[1.0], [2.0]])
        assert metrics.unbiased_kernel_distance(x, y) == pytest.approx(1 + 27 - 2 * (1 + 1 + 8 + 27) / 4)

    def test_tfgan(self):
        x, y = tf.constant(REAL), tf.constant(FAKE)
        expected = tfgan_metrics().kernel_classifier_distance_from_activations(
            x, y, max_block_size=1000, dtype=tf.float64
        )
        assert metrics.unbiased_kernel_distance(REAL, FAKE) == pytest.approx(float(expected), rel=1e-10)

    def test_blocks(self, monkeypatch):
        whole = metrics.unbiased_kernel_distance(REAL, FAKE)
        monkeypatch.setattr("gan_zoo.metrics.kernel._ROWS", 64)
        assert metrics.unbiased_kernel_distance(REAL, FAKE) == pytest.approx(whole, rel=1e-12)

    def test_float32(self):
        """A mean far from 0, as that of features after a ReLU, costs few digits."""
        x, y = (a / 10 + 2 for a in (REAL, FAKE))
        exact = metrics.unbiased_kernel_distance(x.astype(np.float32).astype(float), y.astype(np.float32).astype(float))
        got = metrics.unbiased_kernel_distance(x.astype(np.float32), y.astype(np.float32))
        assert got == pytest.approx(exact, rel=1e-6)

    def test_subsets(self):
        got = metrics.kernel_distance(REAL, FAKE, subsets=20, subset_size=50, seed=3)
        rng = np.random.default_rng(3)
        values = []
        for _ in range(20):
            a, b = (x[rng.choice(len(x), 50, replace=False)] for x in (REAL, FAKE))
            within = [(self.kernel(c, c).sum() - np.trace(self.kernel(c, c))) / (50 * 49) for c in (a, b)]
            values.append(sum(within) - 2 * self.kernel(a, b).mean())
        assert got == pytest.approx((np.mean(values), np.std(values)), rel=1e-10)
        assert got == metrics.kernel_distance(REAL, FAKE, subsets=20, subset_size=50, seed=3)
        assert got != metrics.kernel_distance(REAL, FAKE, subsets=20, subset_size=50, seed=4)

    def test_unbiased(self):
        found = [metrics.unbiased_kernel_distance(*RNG.normal(size=(2, 20, 4))) for _ in range(400)]
        assert abs(np.mean(found)) < 4 * np.std(found) / 20
        assert min(found) < 0

    def test_bad(self):
        with pytest.raises(UserError, match="^y has 250 rows: subset_size must be at most this number, not 300"):
            metrics.kernel_distance(REAL, FAKE, subset_size=300)
        with pytest.raises(UserError, match="^x must have 2 or more rows, not 1"):
            metrics.unbiased_kernel_distance(REAL[:1], FAKE)
        with pytest.raises(UserError, match=r"^y must be of shape \[N, 8\], not \[8, 2\]"):
            metrics.unbiased_kernel_distance(REAL, NOT_FINITE)
        with pytest.raises(UserError, match="^x must be finite"):
            metrics.kernel_distance(NOT_FINITE, NOT_FINITE, subset_size=4)


class TestInceptionScore:
    LOGITS = 2 * RNG.normal(size=(101, 7))

    def test_vectors(self):
        logits = np.log(VECTORS["is_inputs_p_y_given_x"]) + 5
        assert metrics.inception_score(logits, 1) == pytest.approx((VECTORS["is_1split"], 0), rel=1e-12)
        assert metrics.inception_score(logits, 2) == pytest.approx(VECTORS["is_2splits_mean_popstd"], rel=1e-12)

    def test_tfgan(self):
        expected = tfgan_metrics().classifier_score_from_logits(tf.constant(self.LOGITS))
        assert metrics.inception_score(self.LOGITS, 1).mean == pytest.approx(float(expected), rel=1e-10)

    def test_splits_are_consecutive(self):
        parts = [self.LOGITS[i * 101 // 4 : (i + 1) * 101 // 4] for i in range(4)]
        scores = [metrics.inception_score(part, 1).mean for part in parts]
        assert metrics.inception_score(self.LOGITS, 4) == pytest.approx((np.mean(scores), np.std(scores)))

    def test_extremes(self):
        certain = np.tile(1000 * np.eye(5), (4, 1))
        assert metrics.inception_score(certain, 2) == pytest.approx((5, 0))
        assert metrics.inception_score(np.tile(self.LOGITS[:1], (8, 1)), 2) == pytest.approx((1, 0))

    def test_bad(self):
        with pytest.raises(UserError, match="^logits must have a row or more for each of 10 splits, not 4 rows"):
            metrics.inception_score(self.LOGITS[:4])
        with pytest.raises(UserError, match="^splits must be a whole number of at least 1, not 0"):
            metrics.inception_score(self.LOGITS, 0)
        with pytest.raises(UserError, match="^logits must be finite"):
            metrics.inception_score(NOT_FINITE, 2)


class TestManifold:
    @pytest.fixture(autouse=True, params=[2048, 64])
    def rows(self, request, monkeypatch):
        monkeypatch.setattr(manifold, "_ROWS", request.param)

    @staticmethod
    def radii(x, k):
        return np.sort(spatial.distance.cdist(x, x), axis=1)[:, k]

    def test_brute_force(self):
        distances = spatial.distance.cdist(REAL, FAKE)
        for k in (1, 3, 10):
            real, fake = self.radii(REAL, k), self.radii(FAKE, k)
            expected = (distances <= real[:, None]).any(axis=0).mean(), (distances <= fake).any(axis=1).mean()
            assert metrics.precision_recall(REAL, FAKE, k=k) == expected
            inside = distances < real[:, None]
            expected = inside.sum(axis=0).mean() / k, inside.any(axis=1).mean()
            assert metrics.density_coverage(REAL, FAKE, k=k) == pytest.approx(expected)

    def test_radii_that_are_known(self):
        radii = metrics.radii(REAL, 3)
        np.testing.assert_allclose(radii, self.radii(REAL, 3) ** 2)
        for of in (metrics.precision_recall, metrics.density_coverage):
            assert of(REAL, FAKE, k=3, real_radii=radii) == of(REAL, FAKE, k=3)
            assert of(REAL, FAKE, k=3, real_radii=np.zeros(len(REAL))) != of(REAL, FAKE, k=3)

    def test_defaults(self):
        assert metrics.precision_recall(REAL, FAKE) == metrics.precision_recall(REAL, FAKE, k=3)
        assert metrics.density_coverage(REAL, FAKE) == metrics.density_coverage(REAL, FAKE, k=5)

    def test_prdc(self, capsys):
        expected = pytest.importorskip("prdc").compute_prdc(REAL, FAKE, 5)
        got = {**metrics.precision_recall(REAL, FAKE, k=5)._asdict()}
        got.update(metrics.density_coverage(REAL, FAKE, k=5)._asdict())
        assert got == pytest.approx(expected)

    def test_nearest(self):
        from sklearn.neighbors import NearestNeighbors

        distance, index = NearestNeighbors(n_neighbors=4).fit(REAL).kneighbors(FAKE)
        got = metrics.nearest(REAL, FAKE, k=4)
        np.testing.assert_array_equal(got.index, index)
        np.testing.assert_allclose(got.distance, distance, rtol=1e-12)
        assert metrics.nearest(REAL, FAKE).index.shape == (250, 1)

    def test_copies_far_from_zero(self):
        """float32 products alone would give distances of about 1 here."""
        x = (REAL + 1000).astype(np.float32)
        got = metrics.nearest(x, x[100:110], k=2)
        assert got.index[:, 0].tolist() == list(range(100, 110))
        assert not got.distance[:, 0].any()
        np.testing.assert_allclose(got.distance[:, 1], self.radii(x.astype(np.float64), 1)[100:110], rtol=1e-12)

    def test_images(self):
        images = RNG.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
        changed = images[[7, 3]].copy()
        changed[1, 0, 0, 0] ^= 3
        got = metrics.nearest(images, changed)
        assert got.index[:, 0].tolist() == [7, 3]
        difference = abs(int(changed[1, 0, 0, 0]) - int(images[3, 0, 0, 0]))
        assert got.distance[:, 0].tolist() == [0, difference]

    def test_surfaces(self):
        """On the line of whole numbers many points lie on surfaces of balls: closed balls have them, open ones not."""
        real, fake = np.arange(5.0)[:, None], np.array([[-1.0], [-1.5], [2.0], [2.5]])
        assert metrics.precision_recall(real, fake, k=1) == (3 / 4, 2 / 5)
        assert metrics.density_coverage(real, fake, k=1) == (3 / 4, 2 / 5)

    def test_duplicates(self):
        """A copy of a point whose neighbours are copies is in its closed ball of radius 0, and not in the open one."""
        real = np.repeat(REAL[:20], 4, axis=0)
        assert metrics.precision_recall(real, REAL[:20], k=3).precision == 1
        assert metrics.density_coverage(real, REAL[:20], k=3) == (0, 0)
        assert metrics.density_coverage(real, REAL[:20], k=4).coverage == 1

    def test_same_set(self):
        assert metrics.precision_recall(REAL, REAL) == (1, 1)
        got = metrics.density_coverage(REAL, REAL)
        assert got == (1, 1)  # an open ball has the point itself and k - 1 others

    def test_expected_values(self):
        """Naeem et al., Section 3.3: for equal distributions, density 1 and coverage 1 minus this product."""
        x, y = RNG.normal(size=(2, 600, 6))
        got = metrics.density_coverage(x, y, k=5)
        missed = math.prod((600 - 1 - j) / (1200 - 1 - j) for j in range(5))
        assert got.coverage == pytest.approx(1 - missed, abs=0.03)
        assert got.density == pytest.approx(1, abs=0.1)

    def test_bad(self):
        with pytest.raises(UserError, match="^fake has 3 rows: k must be smaller than this number, not 3"):
            metrics.precision_recall(REAL, FAKE[:3])
        with pytest.raises(UserError, match="^real has 5 rows: k must be smaller than this number, not 5"):
            metrics.density_coverage(REAL[:5], FAKE)
        with pytest.raises(UserError, match="^k must be at most the number of real rows, 300, not 301"):
            metrics.nearest(REAL, FAKE, k=301)
        with pytest.raises(UserError, match=r"^fake must be of shape \['M', 8\], as real has it, not \[8, 2\]"):
            metrics.nearest(REAL, NOT_FINITE)
        with pytest.raises(UserError, match="^fake must be finite"):
            metrics.precision_recall(np.zeros((8, 2)), NOT_FINITE)
        with pytest.raises(UserError, match="^k must be a whole number of at least 1, not 0"):
            metrics.nearest(REAL, FAKE, k=0)


def pictures(count, side=32, channels=3, seed=0):
    """Returns smooth pictures with some noise."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 255, (count, side // 8, side // 8, channels))
    noise = rng.normal(0, 10, (count, side, side, channels))
    return np.clip(small.repeat(8, axis=1).repeat(8, axis=2) + noise, 0, 255).astype(np.uint8)


class TestPatches:
    FAST = dict(patches=16, repeats=1, directions=32)

    def test_pyramid(self):
        images = pictures(3, 64).astype(np.float32)
        for level, expected in enumerate(tfgan_pyramid().laplacian_pyramid(images, 3)):
            np.testing.assert_allclose(laplacian_level(images, level, level == 2), expected, atol=1e-4)

    def test_levels(self):
        x, y = pictures(20, 64), pictures(20, 64, seed=1)
        got = metrics.laplacian_sliced_wasserstein(x, y, **self.FAST)
        assert list(got) == ["64", "32", "16", "mean"]
        assert got["mean"] == pytest.approx(np.mean([got["64"], got["32"], got["16"]]))
        assert got == metrics.laplacian_sliced_wasserstein(x, y, **self.FAST)
        assert got != metrics.laplacian_sliced_wasserstein(x, y, **self.FAST, seed=1)

    def test_flat_images(self):
        """Patches of flat images do not depend on their place, so that the distance is known.

        A projection is v times the sum of a random unit vector in 49 dimensions, whose mean size is 7 Gamma(49/2) /
        (sqrt(pi) Gamma(25)).
        """
        values = [RNG.uniform(0, 255, 200).astype(np.uint8), 255 * RNG.binomial(1, 0.3, 200).astype(np.uint8)]
        x, y = (np.broadcast_to(v[:, None, None, None], (200, 16, 16, 1)) for v in values)
        got = metrics.laplacian_sliced_wasserstein(x, y, patches=2)
        distance = stats.wasserstein_distance(*(stats.zscore(v.astype(float)) for v in values))
        size = 7 * math.exp(math.lgamma(24.5) - math.lgamma(25)) / math.sqrt(math.pi)
        # The relative deviation of the mean over 512 directions is 0.76 / sqrt(512).
        assert got["16"] == pytest.approx(1000 * distance * size, rel=4 * 0.76 / math.sqrt(512))

    def test_transport(self):
        """The projections of both sets are compared as POT does."""
        from gan_zoo.metrics import patches

        a, b = (RNG.normal(size=(100, 49)).astype(np.float32) for _ in range(2))
        lines = np.random.default_rng((5,)).normal(size=(70, 49))
        lines /= np.linalg.norm(lines, axis=1, keepdims=True)
        expected = np.mean([stats.wasserstein_distance(a @ line, b @ line) for line in lines])
        assert patches._sliced(a, b, 70, (5,)) == pytest.approx(expected, rel=1e-5)

    def test_tfgan(self):
        """TF-GAN's pyramid, patches and distance, with other draws, and each channel normalised over all patches."""
        real, fake = pictures(100), pictures(100, seed=1)[..., :1].repeat(3, axis=-1)
        got = metrics.laplacian_sliced_wasserstein(real, fake, patches=16)
        oracle = tfgan_pyramid()
        levels = [oracle.laplacian_pyramid(images.astype(np.float32), 2) for images in (real, fake)]
        for level, side in enumerate(("32", "16")):
            drawn = [oracle._batch_to_patches(pyramid[level], 16, 7).numpy() for pyramid in levels]
            sets = [tf.constant(stats.zscore(x, axis=(0, 1, 2)).reshape(len(x), -1)) for x in drawn]
            # The spread of one draw is 4 %.
            assert got[side] == pytest.approx(1000 * float(oracle._sliced_wasserstein(*sets, 4, 128)), rel=0.2)

    def test_descriptors(self):
        from gan_zoo.metrics import patches

        images = pictures(5, 16)
        got = patches._descriptors(images, 16, 0, True, 6, (0,)).reshape(5, 6, 7, 7, 3)
        flat = got.reshape(-1, 3).astype(np.float64)
        np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(flat.std(axis=0), 1, rtol=1e-5)
        # Each is one of the windows of its own image, up to a scale and a shift of each channel.
        windows = np.lib.stride_tricks.sliding_window_view(images[4].astype(float), (7, 7), axis=(0, 1)).reshape(
            -1, 3, 49
        )
        for channel in range(3):
            patch = got[4, 2, ..., channel].ravel()
            correlations = [np.corrcoef(window[channel], patch)[0, 1] for window in windows]
            assert max(correlations) == pytest.approx(1, abs=1e-5)

    def test_degradations(self):
        real, good = pictures(200), pictures(200, seed=1)
        clean = metrics.laplacian_sliced_wasserstein(real, good, **self.FAST)
        blurred = ndimage.gaussian_filter(good.astype(np.float32), (0, 2, 2, 0)).astype(np.uint8)
        for damaged, factor_32, factor_16 in (
            (good[..., :1].repeat(3, axis=-1), 2, 2),
            (good[:4].repeat(50, axis=0), 1, 2),
            (blurred, 3, 1),
        ):
            found = metrics.laplacian_sliced_wasserstein(real, damaged, **self.FAST)
            assert found["32"] > factor_32 * clean["32"]
            assert found["16"] > factor_16 * clean["16"]

    def test_border(self):
        small = pictures(10)[:, 2:30, 2:30]
        got = metrics.laplacian_sliced_wasserstein(small, small, **self.FAST)
        border = np.pad(small, ((0, 0), (2, 2), (2, 2), (0, 0)))
        assert got == metrics.laplacian_sliced_wasserstein(border, border, **self.FAST)
        assert list(got) == ["32", "16", "mean"]

    def test_number(self):
        x, y = pictures(30), pictures(20, seed=1)
        expected = metrics.laplacian_sliced_wasserstein(x[:10], y[:10], **self.FAST)
        assert metrics.laplacian_sliced_wasserstein(x, y, images=10, **self.FAST) == expected

    def test_black(self):
        black = np.zeros((4, 16, 16, 3), np.uint8)
        assert metrics.laplacian_sliced_wasserstein(black, black, **self.FAST) == {"16": 0, "mean": 0}

    def test_bad(self):
        x = pictures(2)
        for bad in (x[:, :24, :24], x[:, :8, :8], x[:, :16]):
            with pytest.raises(
                UserError, match="^real must be square images with a side of 16, 32, 64 .* crop or resize"
            ):
                metrics.laplacian_sliced_wasserstein(bad, bad)
        with pytest.raises(
            UserError, match=r"^fake must be images of shape \[32, 32, 3\], as real has them, not \[32, 32"
        ):
            metrics.laplacian_sliced_wasserstein(x, x[..., :1])
        with pytest.raises(UserError, match=r"^real must be uint8 images of shape \[N, H, W, C\], not float64 \[2, 32"):
            metrics.laplacian_sliced_wasserstein(x / 255, x)
        with pytest.raises(UserError, match="^patches must be a whole number"):
            metrics.laplacian_sliced_wasserstein(x, x, patches=0)


class TestSimilarity:
    @staticmethod
    def pair(side, channels=1):
        a = pictures(3, side, channels)
        return a, np.clip(0.8 * a + RNG.normal(10, 20, a.shape), 0, 255).astype(np.uint8)

    def test_five_scales(self):
        a, b = self.pair(176)
        expected = tf.image.ssim_multiscale(a, b, 255).numpy()
        np.testing.assert_allclose(metrics.ms_ssim(a, b), expected, rtol=1e-4)

    def test_three_scales_with_an_odd_side(self):
        a, b = (x[:, :47, :44] for x in self.pair(48))
        weights = np.array([0.0448, 0.2856, 0.3001]) / 0.6305
        expected = tf.image.ssim_multiscale(a, b, 255, weights).numpy()
        np.testing.assert_allclose(metrics.ms_ssim(a, b, scales=3), expected, rtol=1e-4)

    def test_small_window(self):
        a, b = self.pair(8)
        expected = tf.image.ssim(a, b, 255, filter_size=8, filter_sigma=1.5 * 8 / 11).numpy()
        np.testing.assert_allclose(metrics.ms_ssim(a, b), np.maximum(expected, 0), rtol=1e-4)

    def test_channels_are_averaged_at_each_scale(self):
        a, b = self.pair(24, 3)
        scales = [tf.image.ssim(*x, 255).numpy() for x in ((a, b),)]
        np.testing.assert_allclose(metrics.ms_ssim(a, b, scales=1), scales[0], rtol=1e-4)
        grey = [x[..., :1].repeat(3, axis=-1) for x in (a, b)]
        np.testing.assert_allclose(metrics.ms_ssim(*grey), metrics.ms_ssim(a[..., :1], b[..., :1]))

    @pytest.mark.parametrize(("side", "scales"), [(128, 5), (64, 4), (32, 3), (28, 2), (16, 2), (8, 1)])
    def test_number_of_scales(self, side, scales):
        a, b = (x[:, :side, :side] for x in self.pair(max(side, 32)))
        np.testing.assert_array_equal(metrics.ms_ssim(a, b), metrics.ms_ssim(a, b, scales=scales))

    def test_extremes(self):
        a, _ = self.pair(32)
        np.testing.assert_allclose(metrics.ms_ssim(a, a), 1)
        assert (metrics.ms_ssim(a, 255 - a) == 0).all()

    def test_diversity(self):
        images = pictures(40)
        assert metrics.ms_ssim_diversity(images[:1].repeat(5, axis=0), pairs=10) == pytest.approx(1)
        a, b = np.triu_indices(40, 1)
        every = metrics.ms_ssim(images[a], images[b])
        got = metrics.ms_ssim_diversity(images, pairs=400, seed=1)
        assert got == pytest.approx(every.mean(), abs=4 * every.std() / 20)
        assert got == metrics.ms_ssim_diversity(images, pairs=400, seed=1)
        collapsed = metrics.ms_ssim_diversity(images[:2].repeat(20, axis=0), pairs=400)
        assert collapsed > got + 0.3

    def test_two_images_are_never_paired_with_themselves(self):
        images = pictures(2)
        expected = float(metrics.ms_ssim(images[:1], images[1:])[0])
        assert metrics.ms_ssim_diversity(images, pairs=9) == pytest.approx(expected)

    def test_bad(self):
        a, b = self.pair(32)
        with pytest.raises(UserError, match="^b must be as many images as a, 3, not 2"):
            metrics.ms_ssim(a, b[:2])
        with pytest.raises(UserError, match="^MS-SSIM needs images with a side of 8 or more, not 4"):
            metrics.ms_ssim(a[:, :4], b[:, :4])
        with pytest.raises(UserError, match="^scales must be fewer for images with a side of 4, not 4"):
            metrics.ms_ssim(a[:, :4], b[:, :4], scales=4)
        with pytest.raises(UserError, match="^images must be 2 or more images, not 1"):
            metrics.ms_ssim_diversity(a[:1])


class TestConditional:
    def test_classes(self):
        real_labels, fake_labels = RNG.integers(3, 6, 300), RNG.integers(3, 6, 250)
        got = metrics.intra_class_frechet(REAL, real_labels, FAKE, fake_labels)
        expected = {
            c: metrics.squared_frechet_of_samples(REAL[real_labels == c], FAKE[fake_labels == c]) for c in (3, 4, 5)
        }
        assert got.classes == pytest.approx(expected, rel=1e-9)
        assert got.mean == pytest.approx(np.mean(list(expected.values())), rel=1e-9)

    def test_finds_exchanged_classes(self):
        """The distance of all images cannot see that a generator ignores its labels."""
        labels = np.arange(400) % 2
        real = RNG.normal(size=(400, 3)) + 4 * labels[:, None]
        fake = RNG.normal(size=(400, 3)) + 4 * labels[:, None]
        right = metrics.intra_class_frechet(real, labels, fake, labels)
        wrong = metrics.intra_class_frechet(real, labels, fake, 1 - labels)
        assert right.mean < 0.2
        assert wrong.mean == pytest.approx(48, rel=0.1)

    def test_accuracy(self):
        from sklearn.metrics import accuracy_score

        logits, labels = RNG.normal(size=(90, 4)), RNG.integers(0, 4, 90)
        assert metrics.label_accuracy(logits, labels) == accuracy_score(labels, logits.argmax(axis=1))

    def test_bad(self):
        labels = np.arange(8) // 4
        with pytest.raises(UserError, match="^fake has 1 rows of class 1: each class needs 2 or more"):
            metrics.intra_class_frechet(REAL[:8], labels, FAKE[:5], labels[:5])
        with pytest.raises(UserError, match="^real has 0 rows of class 1"):
            metrics.intra_class_frechet(REAL[:4], labels[:4], FAKE[:8], labels)
        with pytest.raises(
            UserError, match=r"^real_labels must be of shape \[300\], one label a row of real, not \[8\]"
        ):
            metrics.intra_class_frechet(REAL, labels, FAKE, labels)
        with pytest.raises(UserError, match="^labels must be whole numbers, not of type float64"):
            metrics.label_accuracy(REAL[:8], labels / 1)
        with pytest.raises(UserError, match="^labels must be from 0 to 7, as logits has columns, not from 0 to 8"):
            metrics.label_accuracy(REAL[:9], np.arange(9))


class TestPathLength:
    MATRIX = RNG.normal(size=(4, 6))

    def generate(self, z):
        return (z @ self.MATRIX).reshape(-1, 1, 2, 3)

    @staticmethod
    def draw(n, seed):
        return np.random.default_rng(seed).normal(size=(n, 4))

    @staticmethod
    def distance(a, b):
        return np.square(a - b).sum(axis=(1, 2, 3))

    def test_lines(self):
        """A linear generator moves at the same speed everywhere on a line."""
        got = metrics.perceptual_path_length(self.generate, self.draw, self.distance, n=200, prior="uniform", seed=4)
        rng, lengths = np.random.default_rng(4), []
        for count in (64, 64, 64, 8):
            z = self.draw(2 * count, int(rng.integers(2**31)))
            rng.uniform(size=(count, 1))
            lengths += np.square((z[count:] - z[:count]) @ self.MATRIX).sum(axis=1).tolist()
        # numpy's "lower" and "higher" percentiles keep the values at the ranks 1 and 198 of 0 to 199.
        kept = np.sort(lengths)[1:199]
        assert got == pytest.approx((kept.mean(), stats.sem(kept), 198), rel=1e-6)

    def test_arcs(self):
        """With the identity the length of an arc between latents of one length is angle^2."""

        def draw(n, seed):
            z = self.draw(n, seed)
            return 5 * z / np.linalg.norm(z, axis=1, keepdims=True)

        drawn = []
        got = metrics.perceptual_path_length(
            lambda z: z.reshape(-1, 1, 1, 4), lambda *a: drawn.append(draw(*a)) or drawn[-1], self.distance, n=50
        )
        a, b = drawn[0][:50], drawn[0][50:]
        angles = np.arccos(np.sum(a * b, axis=1) / 25)
        assert got.mean == pytest.approx(np.mean(25 * np.sort(angles**2)), rel=1e-3)

    def test_slerp(self):
        a, b = (x / np.linalg.norm(x) for x in RNG.normal(size=(2, 4)))
        for t in (0, 0.25, 1):
            expected = spatial.geometric_slerp(a, b, t)
            np.testing.assert_allclose(slerp(a[None], b[None], np.array([[t]]))[0], expected, atol=1e-12)
            longer = slerp(2 * a[None], 6 * b[None], np.array([[t]]))[0]
            np.testing.assert_allclose(longer, (2 + 4 * t) * expected, atol=1e-12)
        np.testing.assert_allclose(slerp(a[None], 3 * a[None], np.array([[0.5]]))[0], 2 * a)

    def test_labels_stay(self):
        seen = []

        def generate(latents):
            z, y = latents
            assert z.dtype == np.float32
            seen.append(y)
            return z.reshape(-1, 1, 1, 4) * (1 + y.reshape(-1, 1, 1, 1))

        def draw(n, seed):
            return self.draw(n, seed).astype(np.float32), np.random.default_rng(seed).integers(0, 3, n)

        got = metrics.perceptual_path_length(generate, draw, self.distance, n=10, epsilon=1e-2)
        np.testing.assert_array_equal(seen[0], seen[1])
        assert got == metrics.perceptual_path_length(generate, draw, self.distance, n=10, epsilon=1e-2)

    def test_bad(self):
        with pytest.raises(UserError, match="^prior must be one of normal, uniform, style, not 'gamma'"):
            metrics.perceptual_path_length(self.generate, self.draw, self.distance, n=2, prior="gamma")
        with pytest.raises(UserError, match=r"^distance must return 2 numbers for 2 pairs, not shape \[\]"):
            metrics.perceptual_path_length(self.generate, self.draw, lambda a, b: 1.0, n=2)
        with pytest.raises(UserError, match="^distance must return finite numbers that are not negative"):
            metrics.perceptual_path_length(self.generate, self.draw, lambda a, b: [1, -1], n=2)
        with pytest.raises(UserError, match="^epsilon must be a positive number, not 0"):
            metrics.perceptual_path_length(self.generate, self.draw, self.distance, n=2, epsilon=0)


class TestMixture:
    def test_one_gaussian(self):
        got = metrics.gmm_log_likelihood(REAL, FAKE, components=1)
        cov = np.cov(REAL.T, ddof=0) + 1e-6 * np.eye(8)
        expected = stats.multivariate_normal(REAL.mean(axis=0), cov).logpdf(FAKE)
        assert got == pytest.approx((expected.mean(), stats.sem(expected), True), rel=1e-9)

    def test_finds_modes(self):
        def draw(n):
            return RNG.normal(size=(n, 2)) * 0.1 + RNG.choice([-1, 1], (n, 1))

        test = draw(200)
        two = metrics.gmm_log_likelihood(draw(300), test, components=2)
        # log(1/2) + the negative entropy of a Gaussian
        truth = math.log(0.5) - math.log(2 * math.pi * math.e * 0.01)
        assert two.mean == pytest.approx(truth, abs=0.3)
        assert two.mean > metrics.gmm_log_likelihood(draw(300), test, components=1).mean + 1
        assert two.mean > metrics.gmm_log_likelihood(np.abs(draw(300)), test, components=2).mean + 10

    def test_seed(self):
        one, two = (metrics.gmm_log_likelihood(REAL[:60], FAKE, components=2, seed=1) for _ in range(2))
        assert one == two

    def test_few_distinct_samples(self):
        got = metrics.gmm_log_likelihood(np.zeros((5, 1)), [[0.0], [0.0]], components=2)
        assert got.mean == pytest.approx(stats.norm(0, 1e-3).logpdf(0))

    def test_bad(self):
        with pytest.raises(UserError, match="^samples must be 10 or more points, not 4"):
            metrics.gmm_log_likelihood(REAL[:4], FAKE)
        with pytest.raises(UserError, match="^test must be finite points"):
            metrics.gmm_log_likelihood(np.zeros((12, 2)), NOT_FINITE)


class TestDegradations:
    """Each damage to samples of four classes makes the metrics worse that are meant to see it."""

    @staticmethod
    def draw(n, seed, classes=4):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, classes, n)
        centres = 3 * np.eye(4, 8)
        return rng.normal(size=(n, 8)) + centres[labels]

    def measure(self, fake):
        real = self.draw(400, 0)
        logits = fake[:, :4] * 3
        return {
            "frechet": metrics.squared_frechet_of_samples(real, fake),
            "kernel": metrics.unbiased_kernel_distance(real, fake),
            "score": metrics.inception_score(logits).mean,
            **metrics.precision_recall(real, fake)._asdict(),
            **metrics.density_coverage(real, fake)._asdict(),
            "copies": float(np.median(metrics.nearest(real, fake).distance)),
        }

    def test_ranks(self):
        good = self.measure(self.draw(400, 1))
        for sizes, damage, worse in (
            ((0.5, 1, 2), lambda s: self.draw(400, 1) + s, {"frechet": 1, "kernel": 1, "precision": -1, "density": -1}),
            ((0.8, 0.5, 0.2), lambda s: s * self.draw(400, 1), {"frechet": 1, "kernel": 1, "recall": -1, "score": -1}),
            (
                (2, 8, 40),
                lambda s: self.draw(400, 1)[::s].repeat(s, axis=0),
                {"frechet": 1, "recall": -1, "coverage": -1},
            ),
            ((3, 2, 1), lambda s: self.draw(400, 1, s), {"frechet": 1, "kernel": 1, "coverage": -1, "score": -1}),
        ):
            rows = [good, *(self.measure(damage(size)) for size in sizes)]
            for key, sign in worse.items():
                values = [sign * row[key] for row in rows]
                assert values == sorted(values), (key, sizes, values)
                assert values[-1] > values[0], key

    def test_copies_of_the_training_images(self):
        """Fréchet, precision and recall are best for copies. Only the distance to the nearest image tells."""
        copied, good = self.measure(self.draw(400, 0)[:200]), self.measure(self.draw(200, 1))
        assert copied["copies"] == 0 < good["copies"]
        assert copied["frechet"] < good["frechet"]
        assert copied["precision"] == 1


def test_benchmark(benchmarks):
    distances = benchmarks("distances")
    x = distances.features(50, 4, 1)
    assert (x.shape, x.dtype) == ((50, 4), np.float32)
    assert x.min() >= 0
    calls = []
    elapsed, busy = distances.seconds(lambda: calls.append(moments(x)), 3)
    assert len(calls) == 3
    assert elapsed > 0
    assert busy >= 0
    assert distances.processor()


class TestTorchFidelity:
    """Agreement with the functions of features of torch-fidelity, where it is installed."""

    FEATURES = [scale * RNG.normal(size=(n, 32)).astype(np.float32) for n, scale in ((400, 1), (300, 1.3))]

    @pytest.fixture
    def torch(self):
        pytest.importorskip("torch_fidelity")
        return pytest.importorskip("torch")

    def test_frechet(self, torch):
        from torch_fidelity import metric_fid

        one, two = (metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in self.FEATURES)
        expected = metric_fid.fid_statistics_to_metric(one, two, verbose=False)["frechet_inception_distance"]
        assert metrics.squared_frechet_of_samples(*self.FEATURES) == pytest.approx(expected, rel=1e-5)

    def test_kernel(self, torch):
        from torch_fidelity import metric_kid

        # Subsets of all rows: the draws do not matter.
        x, y = (torch.from_numpy(x[:300]) for x in self.FEATURES)
        expected = metric_kid.kid_features_to_metric(x, y, kid_subsets=2, kid_subset_size=300, verbose=False)
        got = metrics.kernel_distance(*(x[:300] for x in self.FEATURES), subsets=2, subset_size=300)
        assert got.mean == pytest.approx(expected["kernel_inception_distance_mean"], abs=1e-6)

    def test_score(self, torch):
        from torch_fidelity import metric_isc

        expected = metric_isc.isc_features_to_metric(torch.from_numpy(self.FEATURES[0]), splits=3, shuffle=False)
        got = metrics.inception_score(self.FEATURES[0], 3)
        assert got.mean == pytest.approx(expected["inception_score_mean"], rel=1e-5)
        assert got.std == pytest.approx(expected["inception_score_std"], rel=1e-4)

    def test_precision_recall(self, torch):
        from torch_fidelity import metric_prc

        x, y = map(torch.from_numpy, self.FEATURES)
        expected = metric_prc.prc_features_to_metric(y, x, prc_neighborhood=3, prc_batch_size=100, verbose=False)
        got = metrics.precision_recall(*self.FEATURES)
        assert got == pytest.approx((expected["precision"], expected["recall"]), abs=1e-6)
