"""The claims: their measures, the storage of results, the page, which must match the results, and the fastest runs."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.dynamics.dirac_gan import players
from gan_zoo.models import VanillaGAN

HOME = Path(__file__).parent.parent
DOCS = HOME / "docs"


@pytest.fixture
def run(benchmarks):
    """Measures some runs of a claim and returns {run: result}, as stored in the file."""
    claims = benchmarks("claims")

    def measure(name, *runs):
        claim = claims.known()[name]
        return {of: claims.measure(claim, of, 0) for of in runs or claim.runs}

    return measure


def test_the_field_is_that_of_both_players(benchmarks):
    """On the non-saturating Dirac-GAN v = (theta s(psi theta), -psi s(-psi theta))."""
    toys = benchmarks("toys")
    gan = toys.build(VanillaGAN, players(0.8, 0.6), 0, {}, ["sgd", 0.1])
    s = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    expected = 0.5 * ((0.8 * s(0.48)) ** 2 + (0.6 * s(-0.48)) ** 2)
    assert toys.squared_field(gan, tf.zeros([4, 1])) == pytest.approx(expected, rel=1e-5)


def test_a_path_starts_where_the_players_do(benchmarks):
    toys = benchmarks("toys")
    gan = toys.build(VanillaGAN, players(0.8, 0.6), 0, {}, ["sgd", 0.1])
    variables = [*gan.generator_variables, *gan.discriminator_variables]
    path = toys.trajectory(gan.train_step, tf.zeros([2, 1]), variables, 3)
    assert path.shape == (4, 2)
    np.testing.assert_allclose(path[0], [0.8, 0.6], rtol=1e-6)
    np.testing.assert_allclose(path[-1], [float(v.numpy().item()) for v in variables], rtol=1e-6)


def test_a_run_is_kept_once(benchmarks, tmp_path):
    claims = benchmarks("claims")
    path = tmp_path / "found.json"
    for seed, value in ((0, 1), (1, 2), (0, 3)):
        claims.save(path, {"claim": "a", "run": "b", "seed": seed, "value": value})
    assert [(r["seed"], r["value"]) for r in claims.load(path)["runs"]] == [(0, 3), (1, 2)]


def test_what_is_there_is_not_run_again(benchmarks, tmp_path, monkeypatch, capsys):
    claims = benchmarks("claims")
    claim = dataclasses.replace(claims.known()["bilinear"], common={"rate": 0.1, "steps": 3, "start": [1.0, 1.0]})
    claim.runs = {"simultaneous": claim.runs["simultaneous"]}
    claim.criteria = {}
    monkeypatch.setattr(claims, "CLAIMS", [claim])
    path = tmp_path / "found.json"
    runs = []
    for more in ([], [], ["--again"]):
        monkeypatch.setattr(sys, "argv", ["claims.py", "--claims=bilinear", f"--json={path}", *more])
        claims.main()
        runs.append("seed 0:" in capsys.readouterr().out)
    assert runs == [True, False, True]
    claim.common["steps"] = 4
    monkeypatch.setattr(sys, "argv", ["claims.py", "--claims=bilinear", f"--json={path}"])
    claims.main()
    assert "seed 0:" in capsys.readouterr().out  # other settings make it another run


def test_what_is_not_finite_passes_nothing(benchmarks):
    claims, page = benchmarks("claims"), benchmarks("claims_page")
    claim = claims.known()["grid25"]
    results = [
        {"claim": "grid25", "run": run, "seed": 0, "settings": claim.recorded(run), "kl_mode": None, "modes": 0}
        for run in claim.runs
    ]
    seeds = page.present(claim, results)
    assert list(seeds) == [0]
    assert not any(any(held) for held in page.passed(claim, seeds).values())
    assert page.verdict(claim, seeds) == "not reproduced"
    results[0]["settings"] = {}
    assert page.present(claim, results) == {}  # runs with other settings do not belong to this claim


def test_the_page_is_made_of_the_results(benchmarks):
    claims, page = benchmarks("claims"), benchmarks("claims_page")
    results = json.loads((DOCS / "claims.json").read_text())
    assert (DOCS / "claims.md").read_text() == page.markdown(claims.CLAIMS, results)
    for claim in claims.CLAIMS:
        assert page.present(claim, results["runs"]), f"{claim.name} has no seed with all its runs"
        assert claim.figure is None or (DOCS / f"claims-{claim.figure}.png").exists()


@pytest.mark.slow
def test_exact_claims(run, benchmarks):
    claims = benchmarks("claims")
    found = run("bilinear")
    assert all(test(found) for test in claims.known()["bilinear"].criteria.values())
    exact = run("density_ratio", "exact")["exact"]
    assert exact["bound"] == pytest.approx(0.5, abs=0.01)
    assert exact["mean_weight"] == pytest.approx(1.0, abs=1e-5)
    assert exact["mean_ratio"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.slow
def test_who_converges(run, benchmarks):
    claims = benchmarks("claims")
    found = run("dirac", "minimax GAN", "WGAN-GP", "R1, gamma 1", "consensus, gamma 1")
    for method in ("minimax GAN", "WGAN-GP"):
        assert found[method]["simultaneous"]["radius"] > 0.1
        expected = claims.AUTHORS_RADII["simultaneous"][method]
        assert found[method]["simultaneous"]["radius"] == pytest.approx(expected, rel=1e-3)
    for method in ("R1, gamma 1", "consensus, gamma 1"):
        assert found[method]["simultaneous"]["radius"] < 0.01


@pytest.mark.slow
def test_a_short_training(run):
    found = run("lines", "R1")["R1"]
    assert found["first"] < 1500
    assert found["mean_end"] < 0.1
