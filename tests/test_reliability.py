"""The page on faults must name existing tests and match the measurements; and a short soak."""

import json
import re
from pathlib import Path

import pytest

from gan_zoo.training import pipeline

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_test_on_the_page_exists():
    named = re.findall(r"`(tests/[\w.]+)((?:::\w+)*)`", PAGE)
    assert len(named) > 60
    for path, parts in named:
        source = (ROOT / path).read_text()
        for part in parts.split("::")[1:]:
            assert re.search(rf"(def|class) {part}\b", source), f"{path}{parts}"


def test_the_soak_on_the_page_is_the_one_that_was_measured():
    measured = json.loads((ROOT / "docs" / "soak.json").read_text())
    assert set(measured) == {"dcgan-digits", "wgan_gp-ring8"}
    for name, result in measured.items():
        last = result["rows"][-1]
        assert f"| {name.replace('-', ' on ')} | {last['seconds'] / 60:.0f} | {last['step']:,} |" in PAGE
        assert f"| {result['memory_growth']:+.1%} |" in PAGE
        assert last["seconds"] >= 29 * 60
        assert result["memory_growth"] <= 0.03
        assert result["files"][0] == result["files"][1]
        assert result["traces"] == 1


@pytest.mark.slow
@pytest.mark.thorough
def test_a_short_soak(benchmarks):
    """The run of half an hour is started by hand."""
    soak = benchmarks("soak")
    rows = soak.watch(pipeline.Config("lsgan", "ring8", width=8, batch_size=8), every=20, chunk=25, looks=10)
    assert len(rows) == 10
    assert rows[-1]["traces"] == 1
    assert rows[-1]["files"] == rows[1]["files"]
    assert rows[-1]["threads"] == rows[1]["threads"]
    assert soak.growth(rows) < 0.05  # more than for a long run, because the warm-up is short
    assert rows[-1]["w1"] > 0
    assert [row["step"] for row in rows] == list(range(500, 5500, 500))
