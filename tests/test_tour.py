"""The tour of docs/tour.md: its commands are valid, were run, and the page has their results."""

import json
import re
import shlex
from pathlib import Path

import pytest

from gan_zoo.models import VARIANTS

HOME = Path(__file__).parent.parent
DOCS = HOME / "docs"


@pytest.fixture
def tour(benchmarks):
    return benchmarks("tour")


def test_the_page_is_that_of_the_results(tour):
    assert (DOCS / "tour.md").read_text("utf-8") == tour.page(tour.read_results())


def test_every_command_of_the_page_was_run(tour):
    results = tour.read_results()
    assert all(result["exit"] == 0 and result["result"] for result in results.values())
    page = (DOCS / "tour.md").read_text("utf-8")
    shown = [stop for stop in tour.STOPS if {*stop.commands} <= {*results}]
    assert {command for stop in shown for command in stop.commands} == {*results}
    for stop in shown:
        assert f". {stop.title}\n" in page
        if stop.picture:
            assert (DOCS / "tour" / f"{stop.name}.png").exists()
            assert f"(tour/{stop.name}.png)" in page
    assert {file.stem for file in (DOCS / "tour").iterdir()} <= {stop.name for stop in shown}


def test_the_tour_names_every_variant(tour):
    """Each has a stop of its own, is named as the remedy, or is in the words of a stop."""
    text = " ".join(part for stop in tour.STOPS for part in (stop.problem, stop.remedy, *stop.commands))
    assert [name for name in VARIANTS if not re.search(rf"\b{name}\b", text)] == []


def test_flags_of_commands_exist(tour):
    """The names of flags and of arguments in `--set` are those of the tools; values were tried by running them."""
    from gan_zoo.registry.variants import find_model, parse_arguments

    known = {}
    for tool, file in (("train.py", "gan_zoo/training/command.py"), ("gan_zoo.sample", "gan_zoo/sampling/sample.py")):
        known[tool] = {*re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (HOME / file).read_text("utf-8"))}
    for stop in tour.STOPS:
        for command in stop.commands:
            words = shlex.split(command)
            tool = words[2] if words[1] == "-m" else words[1]
            flags = [word for word in words if word.startswith("--")]
            names = {flag.removeprefix("--").partition("=")[0] for flag in flags}
            if tool in known:
                assert {name for name in names if not name.endswith("_learning_rate")} <= known[tool], command
            if tool == "train.py":
                model = next(flag for flag in flags if flag.startswith("--model=")).partition("=")[2]
                given = [after for before, after in zip(words, words[1:], strict=False) if before == "--set"]
                assert len(parse_arguments(find_model(model), given)) == len(given)


def test_a_failing_command_is_an_error_and_keeps_nothing(tour, tmp_path, monkeypatch):
    from gan_zoo.util.errors import UserError

    monkeypatch.setattr(tour, "DOCS", tmp_path)
    with pytest.raises(UserError, match="python train.py --model=nothing failed"):
        tour.run("python train.py --model=nothing")
    first, second = tour.STOPS[:2]
    (command,) = first.commands
    tour.write_results({command: {"exit": 0, "seconds": 1, "result": "r", "cpu": "c"}, "python gone": {}})
    assert [*json.loads((tmp_path / "tour.json").read_text())] == [command]
    page = tour.page(tour.read_results())
    assert "Last line: `r`" in page
    assert second.title not in page
