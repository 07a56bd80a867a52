"""docs/lab.md must match the stored comparisons and the current results on the Dirac-GAN."""

import json
from pathlib import Path

import pytest

from gan_zoo import dynamics
from gan_zoo.dynamics import report

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "lab.md").read_text()


@pytest.mark.parametrize("name", ["ring8", "grid25"])
def test_the_page_has_the_tables_of_the_comparison(benchmarks, name):
    results = json.loads((DOCS / f"lab-{name}.json").read_text())
    assert results["settings"]["seeds"] >= 5
    assert len(results["methods"]) >= 10
    lab = benchmarks("lab")
    assert lab.fill(PAGE, lab.blocks(results)) == PAGE
    for picture in lab.PICTURES:
        assert f"](lab-{name}-{picture})" in PAGE
        assert (DOCS / f"lab-{name}-{picture}").exists()


@pytest.mark.thorough
def test_the_dirac_gan_still_moves_so(benchmarks):
    lab = benchmarks("lab")
    some = [method for method in dynamics.METHODS if method.model in ("vanilla_gan", "wgan_gp", "r1_gan")]
    found = [report.examine(method, start=(1.0, -1.0), grid=3, **lab.DIRAC) for method in some]
    rows = lab.dirac(found).splitlines()[2:]
    assert len(rows) == len(some)
    assert set(rows) <= set(PAGE.splitlines())


def test_marks_that_are_missing_are_told(benchmarks):
    lab = benchmarks("lab")
    assert lab.fill("a\n<!-- x -->\nold\n<!-- end -->\nb", {"x": "new"}) == "a\n<!-- x -->\nnew\n<!-- end -->\nb"
    with pytest.raises(SystemExit, match="no mark <!-- y -->"):
        lab.fill("a", {"y": "new"})
