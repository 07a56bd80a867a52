"""Metrics: known results, the results of POT, SciPy and scikit-learn, biases and invariances."""

import json
import math
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, linalg, optimize, spatial, stats

import gan_zoo
from gan_zoo import metrics
from gan_zoo.data import synthetic
from gan_zoo.data.synthetic.mixtures import Mixture
from gan_zoo.util.errors import UserError

from .waiting import HANGING

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["metrics"]
X_REAL = np.array([[1, 2], [0, -1], [-0.5, 0.5], [2, 0]])
X_FAKE = np.array([[0.5, -1], [1.5, 0.25], [-1, -2], [0, 0]])
RNG = np.random.default_rng(0)
CLOUD, OTHER = RNG.normal(size=(60, 3)), 1.5 * RNG.normal(size=(40, 3)) + [1, 0, 0]


def test_import_loads_no_framework():
    heavy = "{'tensorflow', 'keras', 'sklearn', 'ot', 'scipy', 'matplotlib', 'PIL'}"
    code = f"import sys, gan_zoo.metrics as m; m.METRICS; sys.exit(str({heavy} & set(sys.modules) or ''))"
    env = {"PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=HANGING)
    assert done.stderr.strip() == ""


def test_all_names_are_there():
    assert gan_zoo.metrics is metrics
    assert all(getattr(metrics, name) is not None for name in metrics.__all__)
    assert set(metrics.__all__) <= set(dir(metrics))
    with pytest.raises(AttributeError, match="no attribute 'no_metric'"):
        metrics.no_metric  # noqa: B018


class TestCoverage:
    CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])

    def test_counts(self):
        spread = metrics.coverage(np.repeat(self.CENTRES, 10, axis=0), self.CENTRES, 0.1)
        assert spread == {"kl_mode": 0.0, "modes": 4, "hq": 1.0}
        piled = metrics.coverage(np.full([40, 2], 0.05), self.CENTRES, 0.1)
        assert piled == {"kl_mode": pytest.approx(math.log(4)), "modes": 1, "hq": 1.0}
        # 2 of 40 are a fifth of a fair share of 10; 1 is less. Samples between the modes are near no mode.
        few = [self.CENTRES[0]] * 20 + [self.CENTRES[1]] * 2 + [self.CENTRES[2]] + [[0.8, 0.8]] * 17
        few = metrics.coverage(np.array(few), self.CENTRES, 0.1)
        assert (few["modes"], few["hq"]) == (2, pytest.approx(23 / 40))

    def test_unequal_weights(self):
        # Shares 0.4, 0.56 and 0.04 for weights 0.7, 0.1 and 0.2: exactly a fifth of 0.2, so the mode is covered.
        x = np.array([0.0] * 10 + [1.0] * 14 + [2.0])[:, None]
        got = metrics.coverage(x, np.array([[0.0], [1.0], [2.0]]), 0.1, [0.7, 0.1, 0.2])
        assert got["kl_mode"] == pytest.approx(0.4 * math.log(4 / 7) + 0.56 * math.log(5.6) + 0.04 * math.log(0.2))
        assert (got["modes"], got["hq"]) == (3, 1)
        assert metrics.coverage(x, np.array([[0.0], [1.0], [2.0]]), 0.1)["modes"] == 2

    def test_fair_draws_of_unequal_modes(self):
        distribution = synthetic.get("mixture1d(centres=[-1, 0, 2], std=0.05, weights=[0.9, 0.06, 0.04])")
        x = distribution.sample(10_000, (0, 0)).numpy()
        fair = metrics.coverage(x, *distribution.modes, distribution.weights)
        assert fair["modes"] == 3
        assert 0 <= fair["kl_mode"] < 0.001
        # The expected value of the plug-in divergence is about (K - 1) / (2 N).
        assert metrics.coverage(x, *distribution.modes)["kl_mode"] > 0.6

    def test_share_within_three_deviations(self):
        distribution = synthetic.get("ring8")
        centres, std = distribution.modes
        x = distribution.sample(20_000, (0, 0)).numpy()
        assert metrics.coverage(x, centres, 3 * std)["hq"] == pytest.approx(1 - math.exp(-4.5), abs=0.003)

    def test_not_finite(self):
        lost = metrics.coverage(np.array([[0, 0], [np.nan, 0]]), self.CENTRES, 0.1)
        assert (lost["modes"], lost["hq"]) == (0, 0)
        assert math.isnan(lost["kl_mode"])

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"radius": 0}, "radius must be positive, not 0"),
            ({"radius": math.nan}, "radius must be positive, not nan"),
            ({"x": np.zeros((2, 3))}, r"x must be of shape \[N, 2\], not \[2, 3\]"),
            ({"x": np.zeros((0, 2))}, "x must be 1 or more points, not 0"),
            ({"weights": [0.5, 0.5]}, "weights must be 4 probabilities above 0 that sum to 1"),
            ({"weights": [0.5, 0.5, 0, 0]}, "weights must be 4 probabilities above 0 that sum to 1"),
        ],
    )
    def test_bad_arguments(self, change, message):
        with pytest.raises(UserError, match=message):
            metrics.coverage(**{"x": self.CENTRES, "centres": self.CENTRES, "radius": 1.0, **change})


class TestWasserstein:
    def test_vector(self):
        assert metrics.wasserstein1(X_REAL, X_FAKE) == pytest.approx(VECTORS["w1_xr_xf"], rel=1e-12)

    @pytest.mark.parametrize("theta", [0.5, -0.25, 3.0])
    def test_parallel_lines(self, theta):
        y = RNG.uniform(size=200)
        line = np.stack([np.zeros(200), y], axis=1)
        assert metrics.wasserstein1(line, line + [theta, 0]) == pytest.approx(abs(theta), rel=1e-12)
        assert abs(VECTORS["parallel_lines_theta0.5"]["W1"]) == 0.5

    def test_shift_is_its_length(self):
        assert metrics.wasserstein1(CLOUD, CLOUD + [2, -1, 2]) == pytest.approx(3, rel=1e-9)
        assert metrics.wasserstein1(CLOUD, CLOUD[::-1]) == pytest.approx(0, abs=1e-12)

    def test_assignment_is_the_best(self):
        costs = spatial.distance.cdist(CLOUD[:40], OTHER)
        expected = costs[optimize.linear_sum_assignment(costs)].mean()
        assert metrics.wasserstein1(CLOUD[:40], OTHER) == pytest.approx(expected, rel=1e-9)

    def test_unequal_numbers(self):
        # Duplicating each point gives the same distribution.
        expected = metrics.wasserstein1(CLOUD[:40], OTHER)
        assert metrics.wasserstein1(np.repeat(CLOUD[:40], 2, axis=0), OTHER) == pytest.approx(expected, rel=1e-9)
        assert metrics.wasserstein1([[0.0, 0.0]], [[1.0, 0.0], [0.0, 3.0]]) == pytest.approx(2)

    @pytest.mark.parametrize("sizes", [(50, 50), (50, 31), (1, 7)])
    def test_line(self, sizes):
        x, y = RNG.normal(size=sizes[0]), RNG.exponential(size=sizes[1])
        expected = stats.wasserstein_distance(x, y)
        assert metrics.wasserstein1(x, y) == pytest.approx(expected, rel=1e-9)
        assert metrics.wasserstein1(x[:, None], y[:, None]) == pytest.approx(expected, rel=1e-9)
        # The same on a line in the plane, with another algorithm.
        flat = [np.stack([a * 0.6, a * 0.8], axis=1) for a in (x, y)]
        assert metrics.wasserstein1(*flat) == pytest.approx(expected, rel=1e-9)

    def test_is_a_metric_that_scales(self):
        third = RNG.normal(size=(50, 3)) - 1
        one, two, three = (metrics.wasserstein1(a, b) for a, b in ((CLOUD, OTHER), (OTHER, third), (CLOUD, third)))
        assert three <= one + two
        assert metrics.wasserstein1(OTHER, CLOUD) == pytest.approx(one, rel=1e-9)
        rotation = linalg.expm(np.array([[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]))
        assert metrics.wasserstein1(CLOUD @ rotation, OTHER @ rotation) == pytest.approx(one, rel=1e-9)
        assert metrics.wasserstein1(5 * CLOUD, 5 * OTHER) == pytest.approx(5 * one, rel=1e-9)

    def test_not_finite(self):
        assert math.isnan(metrics.wasserstein1([[np.inf, 0]], [[0, 0]]))
        assert math.isnan(metrics.sliced_wasserstein([np.nan], [0]))

    @pytest.mark.parametrize("function", [metrics.wasserstein1, metrics.sliced_wasserstein, metrics.squared_mmd])
    def test_shapes(self, function):
        with pytest.raises(UserError, match=r"^y must be of shape \[N, 2\], not \[3, 3\]"):
            function(np.zeros((3, 2)), np.zeros((3, 3)))
        with pytest.raises(UserError, match=r"^x must be of shape \[N, dim\], not \[3, 2, 1\]"):
            function(np.zeros((3, 2, 1)), np.zeros((3, 2)))


class TestSlicedWasserstein:
    def test_shift(self):
        # The mean over directions of |cos|, for this number of directions.
        x = RNG.normal(size=(200, 2))
        assert metrics.sliced_wasserstein(x + [3.0, 0.0], x) == pytest.approx(3 * 2 / math.pi, rel=1e-3)
        assert metrics.sliced_wasserstein(x, x[::-1]) == 0.0

    def test_is_the_mean_of_projections(self):
        x, y = RNG.normal(size=(30, 2)), RNG.normal(size=(45, 2)) + 1
        angles = np.pi * np.arange(8) / 8
        expected = np.mean([stats.wasserstein_distance(*(a @ [np.cos(t), np.sin(t)] for a in (x, y))) for t in angles])
        assert metrics.sliced_wasserstein(x, y, directions=8) == pytest.approx(expected, rel=1e-9)

    def test_line_and_space(self):
        x = RNG.normal(size=300)
        assert metrics.sliced_wasserstein(x, x + 2) == pytest.approx(2)
        # E |u_1| of a random unit vector in R^3 is 1/2.
        got = metrics.sliced_wasserstein(CLOUD, CLOUD + [4, 0, 0], directions=4000)
        assert got == pytest.approx(2, rel=0.03)
        assert metrics.sliced_wasserstein(CLOUD, OTHER) == metrics.sliced_wasserstein(CLOUD, OTHER, seed=0)
        assert metrics.sliced_wasserstein(CLOUD, OTHER) != metrics.sliced_wasserstein(CLOUD, OTHER, seed=1)

    def test_is_at_most_the_exact_one(self):
        assert metrics.sliced_wasserstein(CLOUD, OTHER) <= metrics.wasserstein1(CLOUD, OTHER)

    @pytest.mark.parametrize("directions", [0, 2.5, True])
    def test_directions(self, directions):
        with pytest.raises(UserError, match="^directions must be a whole number from 1 up"):
            metrics.sliced_wasserstein(CLOUD, OTHER, directions)


class TestDiscreteDivergences:
    P, Q = VECTORS["discrete_pq"]["p"], VECTORS["discrete_pq"]["q"]

    def test_vector(self):
        expected = VECTORS["discrete_pq"]
        assert metrics.kl(self.P, self.Q) == pytest.approx(expected["KL_pq"], rel=1e-12)
        assert metrics.kl(self.Q, self.P) == pytest.approx(expected["KL_qp"], rel=1e-12)
        assert metrics.js(self.P, self.Q) == metrics.js(self.Q, self.P) == pytest.approx(expected["JS"], rel=1e-12)
        assert metrics.total_variation(self.P, self.Q) == pytest.approx(expected["TV"], rel=1e-12)

    def test_scipy(self):
        p, q = RNG.dirichlet(np.ones(9), size=2)
        assert metrics.kl(p, q) == pytest.approx(stats.entropy(p, q))
        assert metrics.js(p, q) == pytest.approx(spatial.distance.jensenshannon(p, q) ** 2)

    def test_extremes(self):
        one, other, both = [1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]
        assert metrics.kl(one, other) == metrics.kl(both, one) == math.inf
        assert metrics.kl(one, both) == pytest.approx(math.log(2))
        assert metrics.js(one, other) == math.log(2)
        assert metrics.total_variation(one, other) == 1
        assert metrics.kl(one, one) == metrics.js(both, both) == metrics.total_variation(both, both) == 0

    @pytest.mark.parametrize(
        ("p", "q", "message"),
        [
            ([0.5, 0.6], [0.5, 0.5], "^p must be probabilities"),
            ([0.5, 0.5], [1.5, -0.5], "^q must be probabilities"),
            ([0.5, np.nan], [0.5, 0.5], "^p must be probabilities"),
            ([[1.0]], [1.0], "^p must be probabilities"),
            ([0.5, 0.5], [0.5, 0.25, 0.25], "^q must be 2 probabilities, as many as p, not 3"),
            ([1.0], synthetic.get("circle"), "both probabilities or both distributions"),
        ],
    )
    def test_bad_arguments(self, p, q, message):
        for function in (metrics.kl, metrics.js, metrics.total_variation):
            with pytest.raises(UserError, match=message):
                function(p, q)


class TestDivergencesOfDistributions:
    @pytest.mark.parametrize(
        ("p", "q"),
        [
            ("two_lines", "two_lines(theta=0.5)"),
            ("two_lines", "gaussian"),
            ("circle", "four_lines"),
            ("gaussian_hyperplane(dim=50, rank=2)", "gaussian_hyperplane(dim=50, rank=2, seed=1)"),
        ],
    )
    def test_mutually_singular(self, p, q):
        p, q = synthetic.get(p), synthetic.get(q)
        expected = VECTORS["parallel_lines_theta0.5"]
        assert metrics.kl(p, q) == metrics.kl(q, p) == float(expected["KL"]) == math.inf
        assert metrics.js(p, q) == pytest.approx(expected["JS"], rel=1e-15)
        assert metrics.js(p, q) == math.log(2)
        assert metrics.total_variation(p, q) == expected["TV"]

    @pytest.mark.parametrize("name", ["two_lines(theta=0.5)", "ring8", "gaussian_hyperplane(dim=50, rank=2)"])
    def test_equal(self, name):
        p = synthetic.get(name)
        assert metrics.kl(p, p) == metrics.js(p, p) == metrics.total_variation(p, p) == 0

    @pytest.mark.parametrize(("shift", "std", "other"), [(1, 1, 1), (3, 0.5, 0.5), (0.3, 1, 2), (2, 2, 0.5)])
    def test_gaussians_on_the_line(self, shift, std, other):
        p = synthetic.get(f"mixture1d(centres=[0], std={std})")
        q = synthetic.get(f"mixture1d(centres=[{shift}], std={other})")
        expected = math.log(other / std) + (std**2 + shift**2) / (2 * other**2) - 0.5
        assert metrics.kl(p, q) == pytest.approx(expected, rel=1e-9)
        if std == other:
            assert metrics.total_variation(p, q) == pytest.approx(2 * stats.norm.cdf(shift / (2 * std)) - 1, abs=1e-6)

        def integrand(x):
            a, b = stats.norm.pdf(x, 0, std), stats.norm.pdf(x, shift, other)
            return sum(c * math.log(2 * c / (a + b)) / 2 for c in (a, b) if c > 0)

        reference, _ = integrate.quad(integrand, -20, 20, limit=500, points=[0, shift])
        assert metrics.js(p, q) == pytest.approx(reference, abs=1e-7)

    def test_far_modes_have_bernoulli_divergences(self):
        p = synthetic.get("mixture1d(centres=[-50, 50], std=0.5, weights=[0.3, 0.7])")
        q = synthetic.get("mixture1d(centres=[-50, 50], std=0.5, weights=[0.6, 0.4])")
        assert metrics.kl(p, q) == pytest.approx(0.3 * math.log(0.5) + 0.7 * math.log(1.75), rel=1e-9)
        assert metrics.total_variation(p, q) == pytest.approx(0.3, rel=1e-9)
        assert metrics.js(p, q) == pytest.approx(metrics.js([0.3, 0.7], [0.6, 0.4]), rel=1e-9)

    def test_in_the_plane(self):
        p, q = synthetic.get("gaussian"), synthetic.get("gaussian_hyperplane(dim=2, rank=2)")
        # N((1, 0), I / 4) and N(0, I).
        assert metrics.kl(p, q) == pytest.approx(0.5 * (0.5 + 1 - 2 + math.log(16)), rel=1e-9)
        assert metrics.kl(q, p) == pytest.approx(0.5 * (8 + 4 - 2 - math.log(16)), rel=1e-9)
        x = np.concatenate([p.sample(50_000, (0, 0)), q.sample(50_000, (1, 0))]).astype(np.float64)
        ratio = 1 / (1 + np.exp(q.log_density(x) - p.log_density(x)))
        js = math.log(2) + np.mean(np.log(ratio[:50_000])) / 2 + np.mean(np.log(1 - ratio[50_000:])) / 2
        assert metrics.js(p, q) == pytest.approx(js, abs=0.01)
        tv = np.mean(ratio[:50_000] > 0.5) - np.mean(ratio[50_000:] > 0.5)
        assert metrics.total_variation(p, q) == pytest.approx(tv, abs=0.01)

    def test_pinsker_and_bounds(self):
        p, q = synthetic.get("mixture1d"), synthetic.get("mixture1d(centres=[0], std=2)")
        tv, js = metrics.total_variation(p, q), metrics.js(p, q)
        assert 0.3 < tv < 1
        assert tv**2 / 2 <= metrics.kl(p, q)
        assert js <= math.log(2) * tv

    @pytest.mark.parametrize(
        ("p", "q", "message"),
        [
            ("ring8", "mixture1d", r"^q must be on the space of p: ring8 is on R\^2, mixture1d is on R\^1"),
            ("segment", "gaussian_line(angle=0)", "lie on one set without a density, and no closed form is known"),
            ("gaussian_line", "gaussian_line(std=2)", "lie on one set without a density"),
            (
                "mixture1d(centres=[0], std=1e-9)",
                "mixture1d(centres=[0, 1])",
                "vary on lengths of 1e-09, too short for quadrature over their extent of",
            ),
        ],
    )
    def test_impossible(self, p, q, message):
        for function in (metrics.kl, metrics.js, metrics.total_variation):
            with pytest.raises(UserError, match=message):
                function(synthetic.get(p), synthetic.get(q))

    @staticmethod
    def gaussians(p, q, std=1.0):
        """Returns N(p, std^2 I) and N(q, std^2 I) of any dimension."""
        pair = [Mixture(np.array([centre], np.float64), std) for centre in (p, q)]
        for distribution, name in zip(pair, "pq", strict=True):
            distribution.name = name
        return pair

    @pytest.mark.parametrize(("shift", "std"), [([1.0, 0.0], 1.0), ([0.3, 0.4], 0.2), ([0.0, 0.1], 1.0)])
    def test_shifted_in_the_plane(self, shift, std):
        p, q = self.gaussians([0, 0], shift, std)
        distance = np.linalg.norm(shift) / std
        assert metrics.kl(p, q) == pytest.approx(distance**2 / 2, rel=1e-6)
        expected = 2 * stats.norm.cdf(distance / 2) - 1
        assert metrics.total_variation(p, q) == pytest.approx(expected, abs=1e-5)
        # The divergence does not depend on directions orthogonal to the shift.
        assert metrics.js(p, q) == pytest.approx(metrics.js(*self.gaussians([0], [np.linalg.norm(shift)], std)))

    def test_many_dimensions(self):
        p, q = self.gaussians(np.zeros(3), np.ones(3))
        with pytest.raises(UserError, match=r"p and q are on R\^3, where quadrature ends at 2"):
            metrics.kl(p, q)


class TestFrechet:
    def test_vectors(self):
        inputs = VECTORS["fid_inputs"]
        got = metrics.squared_frechet(inputs["mu1"], inputs["cov1"], inputs["mu2"], inputs["cov2"])
        assert got == pytest.approx(VECTORS["fid_gaussians"], rel=1e-10)
        got = metrics.squared_frechet_of_samples(X_REAL, X_FAKE)
        assert got == pytest.approx(VECTORS["fid_xr_xf_sample_cov_ddof1"], rel=1e-10)
        biased = [(x.mean(axis=0), np.cov(x.T, ddof=0)) for x in (X_REAL, X_FAKE)]
        assert metrics.squared_frechet(*biased[0], *biased[1]) == pytest.approx(
            VECTORS["fid_xr_xf_pop_cov_ddof0"], rel=1e-10
        )

    def test_matrix_root(self):
        a, b = (x.T @ x for x in RNG.normal(size=(2, 7, 5)))
        expected = np.trace(a + b - 2 * linalg.sqrtm(a @ b).real) + 5
        assert metrics.squared_frechet(np.zeros(5), a, np.ones(5), b) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(("mean", "std", "expected"), [(0, 1, 0), (3, 1, 9), (0, 4, 9), (1, 0, 2)])
    def test_on_the_line(self, mean, std, expected):
        assert metrics.squared_frechet(0, 1, mean, std**2) == pytest.approx(expected, abs=1e-12)
        assert metrics.squared_frechet([0], [[1]], [mean], [[std**2]]) == pytest.approx(expected, abs=1e-12)

    def test_singular(self):
        # Gaussians on two orthogonal lines: the roots do not overlap. On one line: as on the real line.
        x, y = np.diag([4.0, 0.0]), np.diag([0.0, 9.0])
        assert metrics.squared_frechet(np.zeros(2), x, np.zeros(2), y) == pytest.approx(13)
        assert metrics.squared_frechet(np.zeros(2), x, np.zeros(2), 4 * x) == pytest.approx(4)
        assert metrics.squared_frechet(np.zeros(2), x, np.zeros(2), np.zeros((2, 2))) == pytest.approx(4)
        covariance = synthetic.get("gaussian_hyperplane(dim=20, rank=2)").covariance
        assert metrics.squared_frechet(np.zeros(20), covariance, np.zeros(20), covariance) == pytest.approx(0, abs=1e-9)

    def test_invariances(self):
        one = metrics.squared_frechet_of_samples(CLOUD, OTHER)
        rotation = linalg.expm(np.array([[0, 1, 2], [-1, 0, 3], [-2, -3, 0]]))
        assert metrics.squared_frechet_of_samples(CLOUD @ rotation + 5, OTHER @ rotation + 5) == pytest.approx(one)
        assert metrics.squared_frechet_of_samples(OTHER, CLOUD) == pytest.approx(one)
        assert metrics.squared_frechet_of_samples(3 * CLOUD, 3 * OTHER) == pytest.approx(9 * one)
        assert metrics.squared_frechet_of_samples(CLOUD, CLOUD) == pytest.approx(0, abs=1e-12)
        assert metrics.squared_frechet_of_samples(CLOUD, CLOUD + [1, 2, 2]) == pytest.approx(9)

    def test_numbers(self):
        x = np.array([0.0, 2.0])
        assert metrics.squared_frechet_of_samples(x, 2 * x + 1) == pytest.approx(2**2 + 2)

    def test_not_finite(self):
        assert math.isnan(metrics.squared_frechet([np.nan], [[1]], [0], [[1]]))
        assert math.isnan(metrics.squared_frechet_of_samples([[np.inf], [0]], [[0], [1]]))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([0, 0], np.eye(3), [0, 0], np.eye(2)), r"^cov1 must be of shape \[2, 2\], to match mean1, not \[3, 3\]"),
            (([0, 0], np.eye(2), [0], np.eye(2)), r"^mean2 must be of shape \[2\]"),
            (([0, 0], np.eye(2), [0, 0], [[1, 2], [0, 1]]), "^cov2 must be a covariance: symmetric"),
            (([0, 0], -np.eye(2), [0, 0], np.eye(2)), "^cov1 must be a covariance: symmetric"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(UserError, match=message):
            metrics.squared_frechet(*arguments)

    def test_too_few(self):
        with pytest.raises(UserError, match="^x must be 2 or more points, not 1"):
            metrics.squared_frechet_of_samples(CLOUD[:1], CLOUD)


class TestMMD:
    def test_by_hand(self):
        # k = e^(-d^2 / 2): points 0, 1 and 0, 2.
        one, two = math.exp(-0.5), math.exp(-2)
        cross = (1 + two + one + one) / 4
        assert metrics.squared_mmd([0, 1], [0, 2], 1.0) == pytest.approx(one + two - 2 * cross)
        biased = (2 + 2 * one) / 4 + (2 + 2 * two) / 4 - 2 * cross
        assert metrics.squared_mmd([0, 1], [0, 2], 1.0, biased=True) == pytest.approx(biased)

    def test_scikit_learn(self):
        from sklearn.metrics.pairwise import rbf_kernel

        gamma = 1 / (2 * 0.7**2)
        xx, yy, xy = (rbf_kernel(a, b, gamma) for a, b in ((CLOUD, CLOUD), (OTHER, OTHER), (CLOUD, OTHER)))
        expected = xx.mean() + yy.mean() - 2 * xy.mean()
        assert metrics.squared_mmd(CLOUD, OTHER, 0.7, biased=True) == pytest.approx(expected, rel=1e-10)
        expected = (xx.sum() - 60) / (60 * 59) + (yy.sum() - 40) / (40 * 39) - 2 * xy.mean()
        assert metrics.squared_mmd(CLOUD, OTHER, 0.7) == pytest.approx(expected, rel=1e-10)

    def test_bias(self):
        """Over many pairs of N points the unbiased one has the true mean, the biased one 2 (1 - E k) / N more."""
        rng = np.random.default_rng(0)
        pairs = [(rng.normal(size=10), rng.normal(size=10) + 0.5) for _ in range(4000)]
        # E k(x, y) of N(0, 1) and N(m, 1) with bandwidth 1, where x - y is N(-m, 2).
        within, across = 1 / math.sqrt(3), math.exp(-(0.5**2) / 6) / math.sqrt(3)
        truth = 2 * within - 2 * across
        unbiased = [metrics.squared_mmd(x, y, 1.0) for x, y in pairs]
        assert np.mean(unbiased) == pytest.approx(truth, abs=4 * np.std(unbiased) / math.sqrt(4000))
        biased = [metrics.squared_mmd(x, y, 1.0, biased=True) for x, y in pairs]
        expected = truth + 2 * (1 - within) / 10
        assert np.mean(biased) == pytest.approx(expected, abs=4 * np.std(biased) / math.sqrt(4000))
        assert min(biased) >= 0 > min(unbiased)

    def test_median_heuristic(self):
        assert metrics.median_bandwidth([0.0, 1.0], [3.0]) == 2.0
        both = np.concatenate([CLOUD, OTHER])
        expected = np.median([np.linalg.norm(a - b) for i, a in enumerate(both) for b in both[:i]])
        assert metrics.median_bandwidth(CLOUD, OTHER) == pytest.approx(expected)
        assert metrics.squared_mmd(CLOUD, OTHER) == metrics.squared_mmd(CLOUD, OTHER, expected)
        # With this bandwidth the result does not depend on units.
        assert metrics.squared_mmd(100 * CLOUD, 100 * OTHER) == pytest.approx(metrics.squared_mmd(CLOUD, OTHER))
        assert metrics.median_bandwidth(np.zeros(3), np.zeros(3)) == 1.0
        assert metrics.squared_mmd(np.zeros(3), np.zeros(3)) == 0

    def test_extremes(self):
        assert metrics.squared_mmd([0, 0], [1000, 1000], 1.0) == pytest.approx(2)
        assert math.isnan(metrics.squared_mmd([0, np.nan], [0, 1]))
        with pytest.raises(UserError, match="^bandwidth must be positive, not 0"):
            metrics.squared_mmd(CLOUD, OTHER, 0)
        with pytest.raises(UserError, match="^x must be 2 or more points, not 1"):
            metrics.squared_mmd(CLOUD[:1], OTHER)


class TestParzen:
    @pytest.mark.parametrize(("key", "bandwidth"), [("parzen_sigma0.3", 0.3), ("parzen_sigma1", 1.0)])
    def test_vectors(self, key, bandwidth):
        vector = VECTORS[key]
        got = metrics.parzen_log_likelihood(vector["centres"], vector["test_points"], bandwidth=bandwidth)
        assert got.mean == pytest.approx(vector["mean"], rel=1e-10)
        assert got.standard_error == pytest.approx(stats.sem(vector["log_density"]), rel=1e-9)
        assert got.bandwidth == bandwidth

    def test_scipy(self):
        test = RNG.normal(size=(30, 3))
        parts = [stats.multivariate_normal(c, 0.5**2 * np.eye(3)).logpdf(test) for c in CLOUD]
        expected = np.logaddexp.reduce(parts) - np.log(len(CLOUD))
        got = metrics.parzen_log_likelihood(CLOUD, test, bandwidth=0.5)
        assert got == pytest.approx((expected.mean(), stats.sem(expected), 0.5), rel=1e-9)

    def test_bandwidth_is_the_best_on_validation_points(self):
        validation, test = RNG.normal(size=(2, 200, 3))
        got = metrics.parzen_log_likelihood(CLOUD, test, validation=validation)
        widths = np.logspace(-1, 0, 10)
        means = [metrics.parzen_log_likelihood(CLOUD, validation, bandwidth=w).mean for w in widths]
        assert got.bandwidth == widths[np.argmax(means)]
        assert 0.1 < got.bandwidth < 1
        assert got.mean == metrics.parzen_log_likelihood(CLOUD, test, bandwidth=got.bandwidth).mean
        other = metrics.parzen_log_likelihood(CLOUD, test, validation=validation, bandwidths=[2.0, 3.0])
        assert other.bandwidth == 2.0

    def test_many_samples_find_the_entropy(self):
        rng = np.random.default_rng(1)
        samples, validation, test = rng.normal(size=5000), rng.normal(size=300), rng.normal(size=1000)
        got = metrics.parzen_log_likelihood(samples, test, validation=validation)
        assert got.mean == pytest.approx(-stats.norm.entropy(), abs=4 * got.standard_error + 0.01)
        assert got.standard_error == pytest.approx(math.sqrt(0.5 / 1000), rel=0.15)

    def test_not_finite(self):
        got = metrics.parzen_log_likelihood([np.nan, 0], [0, 1], bandwidth=0.5)
        assert math.isnan(got.mean)
        assert math.isnan(got.standard_error)
        assert math.isnan(metrics.parzen_log_likelihood([np.inf], [0, 1], validation=[0]).bandwidth)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "^validation, points to choose the bandwidth on, or bandwidth must be given"),
            ({"bandwidth": 1, "validation": [0.0]}, "^validation, points .* and not both"),
            ({"bandwidth": 0}, "^bandwidth must be positive"),
            ({"validation": [0.0], "bandwidths": []}, "^bandwidths must be positive"),
            ({"validation": [np.nan]}, "^validation must be finite points of the data"),
            ({"bandwidth": 1, "test": [0.0, np.inf]}, "^test must be finite points of the data"),
            ({"bandwidth": 1, "test": [0.0]}, "^test must be 2 or more points"),
            ({"bandwidth": 1, "test": [[0.0, 0.0]]}, r"^test must be of shape \[N, 1\]"),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        with pytest.raises(UserError, match=message):
            metrics.parzen_log_likelihood(**{"samples": [0.0, 1.0], "test": [0.0, 1.0], **arguments})


class TestEvaluate:
    @pytest.mark.parametrize("name", synthetic.SYNTHETIC)
    def test_own_draws_are_good(self, name):
        target = metrics.target(name)
        got = metrics.evaluate(target, target.sample(2000, (5, 0)).numpy())
        mixture = {"modes", "hq", "kl_mode"} if target.modes is not None else set()
        assert set(got) == {"w1", "mmd", "distance", "frechet"} | mixture
        assert set(got) <= set(metrics.METRICS)
        size = math.sqrt(np.trace(target.covariance))
        assert got["w1"] < 0.25 * size
        assert abs(got["mmd"]) < 0.01
        assert got["frechet"] < 0.01 * size**2
        if target.singular:
            assert got["distance"] < 1e-6
        if mixture:
            assert got["modes"] == len(target.weights)
            assert got["hq"] > 0.98
            assert got["kl_mode"] < 0.01

    def test_a_shifted_line(self):
        target = metrics.target("two_lines")
        got = metrics.evaluate(target, metrics.target("two_lines(theta=0.5)").sample(1000, (0, 0)))
        assert got["w1"] == pytest.approx(0.5, abs=0.005)
        assert got["distance"] == pytest.approx(0.5)
        assert got["frechet"] == pytest.approx(0.25, abs=0.01)
        assert got["mmd"] > 0.1

    def test_numbers_are_those_of_the_metrics(self):
        target = metrics.target("ring8")
        samples = target.sample(1500, (3, 0)).numpy() * 0.9
        got = metrics.evaluate(target, samples, seed=7, radius=4.0)
        fresh = target.sample(1000, (7, -1)).numpy()
        assert got["w1"] == metrics.wasserstein1(samples[:1000], fresh)
        assert got["mmd"] == metrics.squared_mmd(samples[:1000], fresh)
        coverage = metrics.coverage(samples, target.modes[0], 0.08)
        assert {key: got[key] for key in coverage} == coverage
        assert got["distance"] == pytest.approx(target.distance(samples).mean())
        assert got["w1"] != metrics.evaluate(target, samples, seed=8)["w1"]
        assert got == metrics.evaluate(target, samples, seed=7, radius=4.0)

    def test_collapse(self):
        target = metrics.target("ring8")
        got = metrics.evaluate(target, np.tile([2.0, 0.0], (100, 1)))
        assert (got["modes"], got["hq"]) == (1, 1)
        assert got["kl_mode"] == pytest.approx(math.log(8))
        assert got["distance"] == 0
        # The covariance of the ring is (2 + 0.02^2) I, and its mean is at distance 2.
        assert got["frechet"] == pytest.approx(4 + 2 * (2 + 0.02**2))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("name", synthetic.SYNTHETIC)
    def test_not_finite(self, name, bad):
        target = metrics.target(name)
        samples = target.sample(100, (5, 0)).numpy()
        samples[50] = bad
        got = metrics.evaluate(target, samples)
        assert set(got) == set(metrics.evaluate(target, samples[:50]))
        expected = {key: 0 if key in ("modes", "hq") else pytest.approx(math.nan, nan_ok=True) for key in got}
        assert got == expected

    @pytest.mark.parametrize("name", ["ring8", "swiss_roll", "four_lines", "mixture1d", "gaussian_hyperplane"])
    def test_samples_far_off(self, name):
        target = metrics.target(name)
        got = metrics.evaluate(target, 1e12 * target.sample(200, (5, 0)).numpy())
        assert all(np.isfinite(value) for value in got.values())
        assert got["w1"] > 1e10

    @pytest.mark.parametrize("shape", [(10, 3), (10,), (1, 2), (10, 2, 1)])
    def test_shape(self, shape):
        with pytest.raises(UserError, match="^samples must be"):
            metrics.evaluate(metrics.target("ring8"), np.zeros(shape))

    def test_no_matrix_of_all_pairs(self):
        target = metrics.target("grid25")
        samples = target.sample(10_000, (0, 0)).numpy()
        tracemalloc.start()
        try:
            metrics.evaluate(target, samples)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 10_000**2  # an eighth of such a matrix


class TestTable:
    def test_metrics(self):
        assert {m.better for m in metrics.METRICS.values()} == {"lower", "higher"}
        assert metrics.METRICS["modes"].better == metrics.METRICS["hq"].better == "higher"
        assert metrics.METRICS["w1"].better == metrics.METRICS["kl_mode"].better == "lower"
        assert metrics.METRICS["modes"].digits == 0
        assert all(m.label and m.description.endswith(".") for m in metrics.METRICS.values())

    def test_primary(self):
        for name in (*synthetic.SYNTHETIC, "color_mnist"):
            assert metrics.primary(metrics.target(name)) in metrics.METRICS
        assert metrics.primary(metrics.target("circle")) == "w1"
        assert metrics.primary(metrics.target("color_mnist")) == "kl_mode"

    def test_target(self):
        assert metrics.target("two_lines(theta=0.5)") is synthetic.get("two_lines(theta=0.5)")
        assert metrics.target("color_mnist").name == "color_mnist"
        for name in ("mnist", "folder:/x", None):
            with pytest.raises(UserError, match="^dataset: there are no exact metrics for .* There are for ring8, "):
                metrics.target(name)
        with pytest.raises(UserError, match="Did you mean 'ring8'"):
            metrics.target("rng8")
        with pytest.raises(UserError, match="theta must be a number, not None"):
            metrics.target("two_lines(theta=None)")
