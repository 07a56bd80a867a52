"""Synthetic distributions: names, draws, densities, distances and moments, against independent computations."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, optimize, stats

from gan_zoo import data
from gan_zoo.data import synthetic
from gan_zoo.util.errors import UserError

N = 40_000
ALL = (
    *synthetic.SYNTHETIC,
    "two_lines(theta=-0.5)",
    "four_lines(spacing=0.5, length=3)",
    "gaussian_line(angle=0.3, std=2)",
    "gaussian_hyperplane(dim=5, rank=3, seed=1)",
    "gaussian_hyperplane(dim=3, rank=3)",
    "mixture1d(centres=[-1, 2], std=0.1, weights=[1, 3])",
)
WITH_DENSITY = [name for name in ALL if not synthetic.get(name).singular]
SINGULAR = [name for name in ALL if synthetic.get(name).singular]


def draw(name, n=N, seed=(3, 5)):
    return synthetic.get(name).sample(n, seed).numpy().astype(np.float64)


class TestNames:
    @pytest.mark.parametrize(
        ("name", "canonical"),
        [
            ("ring8", "ring8"),
            ("ring8()", "ring8"),
            ("two_lines(theta=0)", "two_lines"),
            ("two_lines( theta = .5 )", "two_lines(theta=0.5)"),
            ("gaussian_hyperplane(rank=2, dim=8)", "gaussian_hyperplane"),
            ("gaussian_hyperplane(rank=1, dim=4)", "gaussian_hyperplane(dim=4, rank=1)"),
            ("mixture1d(std=1, centres=[0])", "mixture1d(centres=(0.0,), std=1.0)"),
            ("mixture1d(weights=[2, 2, 2, 2])", "mixture1d"),
            (
                "mixture1d(centres=[0, 1], weights=[1, 3])",
                "mixture1d(centres=(0.0, 1.0), weights=(0.25, 0.75))",
            ),
        ],
    )
    def test_canonical(self, name, canonical):
        distribution = synthetic.get(name)
        assert distribution.name == canonical
        assert synthetic.get(canonical) is distribution
        assert data.open_source(name).describe()["name"] == canonical

    @pytest.mark.parametrize("weights", [[1, 2], [1, 2, 4], [0.1, 0.2, 0.7], [3, 1, 1]])
    def test_a_canonical_name_is_its_own(self, weights):
        name = synthetic.get(f"mixture1d(centres={list(range(len(weights)))}, weights={weights})").name
        assert synthetic.get(name).name == name

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("ring9", "there is no synthetic set 'ring9'. Did you mean 'ring8'? There are ring8, grid25, "),
            ("cirlce(x=1)", "there is no synthetic set 'cirlce'. Did you mean 'circle'? There are "),
            ("two_lines(thta=1)", "two_lines(thta=1): two_lines has no argument 'thta'. Did you mean 'theta'? It "),
            ("circle(radius=2)", "circle(radius=2): circle has no argument 'radius'. It has none."),
            ("two_lines(1)", "two_lines(1): '1' is not of the form name=value."),
            ("two_lines(theta=1", "'two_lines(theta=1' has an unmatched bracket or quotation mark."),
            ("two_lines(theta=1)+1", "'two_lines(theta=1)+1' is not of the form name(argument=value, ...)."),
            ("two_lines(theta=exit())", "two_lines(theta=exit()): theta must be a number, not 'exit()'."),
            ("two_lines(**{})", "two_lines(**{}): '**{}' is not of the form name=value."),
            (
                "two_lines(theta=1, theta=2)",
                "two_lines(theta=1, theta=2): theta is given twice: give each argument once.",
            ),
            ("two_lines(theta='a')", "two_lines(theta='a'): theta must be a number, not 'a'."),
            ("two_lines(theta=1e999)", "two_lines(theta=1e999): theta must be a finite number, not inf."),
            ("four_lines(length=0)", "four_lines(length=0): length must be a positive number, not 0."),
            ("gaussian_line(std=-1)", "gaussian_line(std=-1): std must be a positive number, not -1."),
            ("gaussian_hyperplane(dim=2, rank=3)", "gaussian_hyperplane(dim=2, rank=3): rank must be a whole number "),
            ("gaussian_hyperplane(dim=1e3)", "gaussian_hyperplane(dim=1e3): dim must be a whole number, not 1000.0."),
            ("gaussian_hyperplane(dim=9999)", "gaussian_hyperplane(dim=9999): dim must be a whole number from 1 to "),
            ("mixture1d(centres=[])", "mixture1d(centres=[]): centres must be a list of numbers such as (-1, 1), not"),
            ("mixture1d(centres=[1, 1])", "mixture1d(centres=[1, 1]): centres must differ from one another, unlike "),
            ("mixture1d(centres=[1, None])", "mixture1d(centres=[1, None]): each of centres must be a finite number"),
            ("mixture1d(weights=[1, 2])", "mixture1d(weights=[1, 2]): weights must be 4 positive numbers, one for "),
            ("mixture1d(weights=[1, 0, 1, 1])", "mixture1d(weights=[1, 0, 1, 1]): weights must be 4 positive numbers"),
            ("mixture1d(std=0)", "mixture1d(std=0): std must be a positive number, not 0."),
        ],
    )
    def test_bad(self, name, message):
        with pytest.raises(UserError) as error:
            synthetic.get(name)
        assert str(error.value).startswith(message)

    def test_no_name(self):
        with pytest.raises(UserError, match="^name must be one of ring8, grid25, .* not None"):
            synthetic.get(None)

    def test_modes_of_what_has_none(self):
        with pytest.raises(UserError, match="circle is not a mixture of Gaussians and has no modes"):
            synthetic.modes("circle")

    @pytest.mark.parametrize(
        ("name", "known"),
        [("ring8", True), ("ring8(", True), ("x(y=1)", True), ("folder:/a(b)", False), ("mnist", False), (")", False)],
    )
    def test_which_names_are_meant(self, name, known):
        assert synthetic.is_synthetic(name) is known


class TestDraws:
    @pytest.mark.parametrize("name", ["ring8", "grid25", "gaussian", "two_lines", "swiss_roll"])
    def test_stay_bit_for_bit(self, name):
        """Earlier runs and measurements depend on these exact numbers."""
        which, noise = tf.unstack(tf.random.split([7, -1], 2))
        normal = tf.random.stateless_normal([500, 2], noise)
        if name == "two_lines":
            expected = tf.stack([tf.zeros([500]), tf.random.stateless_uniform([500], which)], axis=1)
        elif name == "swiss_roll":
            t = 1.5 * math.pi * (1 + 2 * tf.random.stateless_uniform([500], which))
            expected = (tf.stack([t * tf.cos(t), t * tf.sin(t)], axis=1) + 0.25 * normal) / 7.5
        else:
            centres, std = synthetic.modes(name)
            chosen = tf.random.stateless_uniform([500], which, maxval=len(centres), dtype=tf.int32)
            expected = tf.gather(tf.constant(centres, tf.float32), chosen) + std * normal
        np.testing.assert_array_equal(synthetic.sample(name, 500, [7, -1]), expected)

    @pytest.mark.parametrize("name", ALL)
    def test_shape_seed_and_graph(self, name):
        distribution = synthetic.get(name)
        x = distribution.sample(50, (1, 2))
        assert (x.shape, x.dtype) == ((50, distribution.dim), tf.float32)
        np.testing.assert_array_equal(x, distribution.sample(50, [1, 2]))
        assert not np.array_equal(x, distribution.sample(50, [1, 3]))
        compiled = tf.function(distribution.sample)(tf.constant(50), tf.constant([1, 2]))
        np.testing.assert_allclose(compiled, x, rtol=0, atol=1e-5)

    @pytest.mark.parametrize("name", ALL)
    def test_moments(self, name):
        distribution, x = synthetic.get(name), draw(name)
        size = np.sqrt(distribution.covariance.max())
        np.testing.assert_allclose(x.mean(axis=0), distribution.mean, rtol=0, atol=5 * size / np.sqrt(N))
        found = np.atleast_2d(np.cov(x.T))
        np.testing.assert_allclose(found, distribution.covariance, rtol=0, atol=0.03 * size**2)
        assert np.linalg.matrix_rank(distribution.covariance) >= distribution.support_dim

    @pytest.mark.parametrize("name", ALL)
    def test_lie_in_the_box_and_mostly_in_the_picture(self, name):
        distribution, x = synthetic.get(name), draw(name)
        assert (x >= distribution.box[0] - 1e-6).all()
        assert (x <= distribution.box[1] + 1e-6).all()
        low, high = distribution.limits
        assert ((x > low) & (x < high)).all(axis=1).mean() > 0.999

    def test_weights(self):
        x = draw("mixture1d(centres=[-1, 0, 2], std=0.01, weights=[5, 2, 3])")[:, 0]
        share = [np.mean(np.abs(x - centre) < 0.1) for centre in (-1, 0, 2)]
        np.testing.assert_allclose(share, [0.5, 0.2, 0.3], atol=5 * 0.5 / np.sqrt(N))
        assert synthetic.get("mixture1d").weights.tolist() == [0.25] * 4

    def test_circle(self):
        x = draw("circle")
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
        angle = np.arctan2(x[:, 1], x[:, 0])
        assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-4

    def test_four_lines(self):
        x = draw("four_lines(spacing=2, length=3)")
        assert set(x[:, 0]) == {-3, -1, 1, 3}
        for place in (-3, -1, 1, 3):
            on = x[x[:, 0] == place, 1]
            assert len(on) / N == pytest.approx(0.25, abs=0.012)
            assert stats.kstest(on, stats.uniform(-1.5, 3).cdf).pvalue > 1e-4

    def test_segment_and_two_lines(self):
        x = draw("segment")
        assert (x[:, 1] == 0).all()
        assert stats.kstest(x[:, 0], stats.uniform(-1, 2).cdf).pvalue > 1e-4
        x = draw("two_lines(theta=0.25)")
        assert (x[:, 0] == 0.25).all()
        assert stats.kstest(x[:, 1], stats.uniform(0, 1).cdf).pvalue > 1e-4

    def test_gaussian_line(self):
        x = draw("gaussian_line(angle=0.3, std=2)")
        np.testing.assert_allclose(x @ [-math.sin(0.3), math.cos(0.3)], 0, atol=1e-5)
        assert stats.kstest(x @ [math.cos(0.3), math.sin(0.3)], stats.norm(0, 2).cdf).pvalue > 1e-4

    def test_gaussian_hyperplane(self):
        distribution, x = (
            synthetic.get("gaussian_hyperplane(dim=6, rank=2, seed=3)"),
            draw("gaussian_hyperplane(dim=6, rank=2, seed=3)"),
        )
        values = np.linalg.svd(x / np.sqrt(N), compute_uv=False)
        np.testing.assert_allclose(values, [1, 1, 0, 0, 0, 0], atol=0.02)
        np.testing.assert_allclose(np.linalg.eigvalsh(distribution.covariance), [0, 0, 0, 0, 1, 1], atol=1e-12)
        other = synthetic.get("gaussian_hyperplane(dim=6, rank=2, seed=4)").covariance
        assert np.abs(distribution.covariance - other).max() > 0.1

    def test_planes_point_anywhere(self):
        covariances = [synthetic.get(f"gaussian_hyperplane(dim=3, rank=1, seed={k})").covariance for k in range(400)]
        np.testing.assert_allclose(np.mean(covariances, axis=0), np.eye(3) / 3, atol=0.06)


class TestDensity:
    @pytest.mark.parametrize("name", [name for name in WITH_DENSITY if synthetic.get(name).dim <= 2])
    def test_integrates_to_one(self, name):
        distribution = synthetic.get(name)
        spacing = distribution.scale / 1.5
        axes = [np.arange(low, high, spacing) for low, high in distribution.box.T]
        lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, distribution.dim)
        density = np.exp(distribution.log_density(lattice)) * spacing**distribution.dim
        assert density.sum() == pytest.approx(1, abs=1e-8)
        mean = density @ lattice
        np.testing.assert_allclose(mean, distribution.mean, atol=1e-7)
        covariance = (density[:, None] * (lattice - mean)).T @ (lattice - mean)
        np.testing.assert_allclose(covariance, distribution.covariance, atol=1e-7)

    def test_gaussian(self):
        x = np.random.default_rng(0).normal(size=(20, 2))
        expected = stats.multivariate_normal([1, 0], 0.25 * np.eye(2)).logpdf(x)
        np.testing.assert_allclose(synthetic.get("gaussian").log_density(x), expected, rtol=1e-12)

    @pytest.mark.parametrize("name", ["ring8", "grid25"])
    def test_mixtures(self, name):
        centres, std = synthetic.modes(name)
        x = np.concatenate([draw(name, 20), [[0.01, 0.02]]])
        parts = [stats.multivariate_normal(c, std**2 * np.eye(2)).logpdf(x) for c in centres]
        expected = np.logaddexp.reduce(parts) - np.log(len(centres))
        np.testing.assert_allclose(synthetic.get(name).log_density(x), expected, rtol=1e-10)

    def test_weighted_mixture(self):
        x = np.linspace(-3, 4, 15)
        expected = 0.25 * stats.norm(-1, 0.5).pdf(x) + 0.75 * stats.norm(2, 0.5).pdf(x)
        got = synthetic.get("mixture1d(centres=[-1, 2], std=0.5, weights=[1, 3])").log_density(x[:, None])
        np.testing.assert_allclose(np.exp(got), expected, rtol=1e-12)

    def test_full_rank(self):
        x = np.random.default_rng(0).normal(size=(20, 3))
        expected = stats.multivariate_normal(np.zeros(3)).logpdf(x)
        np.testing.assert_allclose(synthetic.get("gaussian_hyperplane(dim=3, rank=3)").log_density(x), expected)

    @pytest.mark.parametrize("x", [[0.0, 0.0], [1.8, 0.1], [0.3, 1.0], [-1.2, 0.2], [3.0, 3.0]])
    def test_swiss_roll(self, x):
        std = 0.25 / 7.5

        def log_joint(t):
            return -((x[0] - t * np.cos(t) / 7.5) ** 2 + (x[1] - t * np.sin(t) / 7.5) ** 2) / (2 * std**2)

        t = np.linspace(1.5 * np.pi, 4.5 * np.pi, 4001)
        top = log_joint(t).max()
        peaks = t[1:-1][(log_joint(t)[1:-1] >= log_joint(t)[2:]) & (log_joint(t)[1:-1] >= log_joint(t)[:-2])]
        ends = (1.5 * np.pi, 4.5 * np.pi)
        integral, _ = integrate.quad(lambda t: np.exp(log_joint(t) - top), *ends, points=peaks, limit=500, epsrel=1e-11)
        expected = top + np.log(integral / (3 * np.pi)) - np.log(2 * np.pi * std**2)
        assert synthetic.get("swiss_roll").log_density([x])[0] == pytest.approx(expected, abs=1e-8)

    @pytest.mark.parametrize("name", SINGULAR)
    def test_refused_where_there_is_none(self, name):
        with pytest.raises(UserError, match=r"^log_density: .* has no density on R\^"):
            synthetic.get(name).log_density(np.zeros((1, synthetic.get(name).dim)))

    @pytest.mark.parametrize("shape", [(2,), (3, 3), (2, 2, 2)])
    def test_shape(self, shape):
        for function in (synthetic.get("ring8").log_density, synthetic.get("ring8").distance):
            with pytest.raises(UserError, match=r"points of ring8 must be of shape \[N, 2\], not"):
                function(np.zeros(shape))

    @pytest.mark.parametrize("name", WITH_DENSITY)
    def test_of_nothing(self, name):
        distribution = synthetic.get(name)
        assert distribution.log_density(np.zeros((0, distribution.dim))).shape == (0,)
        assert distribution.distance(np.zeros((0, distribution.dim))).shape == (0,)


class TestDistance:
    @pytest.mark.parametrize("name", SINGULAR)
    def test_draws_are_on_the_support(self, name):
        assert synthetic.get(name).distance(draw(name, 1000)).max() < 1e-6

    @pytest.mark.parametrize(
        ("name", "x", "distance"),
        [
            ("ring8", [3, 0], 1),
            ("ring8", [0, 0], 2),
            ("gaussian", [1, -2], 2),
            ("mixture1d", [0.5], 0.5),
            ("circle", [0, 0], 1),
            ("circle", [3, 4], 4),
            ("segment", [0.5, -2], 2),
            ("segment", [4, 4], 5),
            ("two_lines(theta=0.5)", [0, 0.3], 0.5),
            ("two_lines(theta=0.5)", [3.5, -4], 5),
            ("four_lines", [0.2, 0.1], 0.3),
            ("four_lines", [1.5, 3], 2),
            ("gaussian_line", [1, -1], math.sqrt(2)),
            ("gaussian_line", [2, 2], 0),
        ],
    )
    def test_by_hand(self, name, x, distance):
        assert synthetic.get(name).distance([x])[0] == pytest.approx(distance, abs=1e-12)

    def test_hyperplane(self):
        distribution = synthetic.get("gaussian_hyperplane(dim=8, rank=3)")
        x = np.random.default_rng(0).normal(size=(30, 8))
        on_plane = draw("gaussian_hyperplane(dim=8, rank=3)", 50)
        coefficients = np.linalg.lstsq(on_plane.T, x.T, rcond=1e-4)[0]
        expected = np.linalg.norm(on_plane.T @ coefficients - x.T, axis=0)
        np.testing.assert_allclose(distribution.distance(x), expected, rtol=1e-5)
        # N(0, I) differs in 5 numbers from a plane of 3 of 8 dimensions: E |.|^2 = 5.
        many = np.random.default_rng(1).normal(size=(20_000, 8))
        assert np.mean(distribution.distance(many) ** 2) == pytest.approx(5, rel=0.02)

    def test_swiss_roll(self):
        x = np.random.default_rng(0).uniform(-2, 2, size=(40, 2))

        def nearest(point):
            def away(t):
                return np.hypot(point[0] - t * np.cos(t) / 7.5, point[1] - t * np.sin(t) / 7.5)

            starts = np.linspace(1.5 * np.pi, 4.5 * np.pi, 61)
            return min(
                optimize.minimize_scalar(away, bounds=pair, method="bounded", options={"xatol": 1e-10}).fun
                for pair in zip(starts, starts[1:], strict=False)
            )

        np.testing.assert_allclose(synthetic.get("swiss_roll").distance(x), [nearest(p) for p in x], atol=2e-6)

    @pytest.mark.parametrize("name", ALL)
    def test_of_what_is_not_finite(self, name):
        distribution = synthetic.get(name)
        x = draw(name, 3)
        x[1] = np.nan
        assert np.isnan(distribution.distance(x)).tolist() == [False, True, False]


class TestSupports:
    @pytest.mark.parametrize(
        ("one", "other", "shared"),
        [
            ("two_lines", "two_lines", True),
            ("two_lines", "two_lines(theta=0.5)", False),
            ("two_lines", "circle", False),
            ("two_lines", "gaussian", False),
            ("ring8", "swiss_roll", True),
            # Segments that overlap, lie side by side, and cross.
            ("two_lines(theta=1.5)", "four_lines", True),
            ("two_lines(theta=1.5)", "four_lines(length=0.5)", True),
            ("two_lines(theta=1.0)", "four_lines", False),
            ("segment", "four_lines", False),
            # A segment on the line of a Gaussian.
            ("segment", "gaussian_line(angle=0)", True),
            ("segment", "gaussian_line(angle=0.1)", False),
            ("gaussian_line(angle=0.1)", "gaussian_line(angle=0.1, std=2)", True),
            ("gaussian_line(angle=0.1)", "gaussian_line(angle=0.2)", False),
            ("gaussian_line", "circle", False),
            ("gaussian_hyperplane(dim=4, rank=2)", "gaussian_hyperplane(dim=4, rank=2, seed=1)", False),
            ("gaussian_hyperplane(dim=4, rank=2)", "gaussian_hyperplane(dim=4, rank=3)", False),
        ],
    )
    def test_shared(self, one, other, shared):
        one, other = synthetic.get(one), synthetic.get(other)
        assert one.shares_support(other) is other.shares_support(one) is shared
