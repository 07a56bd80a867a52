"""The page of a run, index.html: samples, earlier ones, curves, settings, and commands to go on with.

It is one file that contains its pictures and loads nothing. Training writes it at its end.
"""

import base64
import functools
import shlex
import sys
from pathlib import Path
from typing import Any

import jinja2

from gan_zoo.run_folder.run_json import read_run
from gan_zoo.util.class_names import shown_classes
from gan_zoo.util.files import atomic_file

NAME = "index.html"
_EARLIER = 5
"""Largest number of earlier grids on the page."""
_NOT_SHOWN = ("data", "arguments", "run_dir")


def write(run_dir: Path) -> Path:
    """Writes the page of a run folder, from the files that training has written to it, and returns its path."""
    run = read_run(run_dir)
    settings = run["settings"]
    pictures = sorted((run_dir / "samples").glob("step-*.png"))
    curves = run_dir / "curves.png"
    data = settings["data"]
    page = _templates().get_template("page.html.jinja")
    text = page.render(
        settings=settings,
        data=data,
        is_image=data["kind"] == "image",
        last=pictures[-1] if pictures else None,
        earlier=_spread(pictures[:-1], _EARLIER),
        classes=_rows(settings),
        curves=curves if curves.exists() else None,
        commands=next_commands(settings, run_dir),
        command=_longer(run),
        facts={
            "Settings": {n: value for n, value in settings.items() if n not in _NOT_SHOWN and value is not None},
            "Arguments of the model": settings["arguments"],
            "Data": data,
        },
    )
    with atomic_file(run_dir / NAME) as file:
        file.write(text.encode(errors="backslashreplace"))  # names of folders may hold bytes that are not UTF-8
    return run_dir / NAME


def next_commands(settings: dict[str, Any], run_dir: Path) -> dict[str, str]:
    """Commands that a user may want after training, as they can be pasted into a shell, by what they do.

    Args:
        settings: Those of `run.json`.
        run_dir: The run folder.
    """
    data = settings["data"]
    folder = shlex.quote(str(run_dir))
    tool = f"{shlex.quote(_python())} -m gan_zoo"
    rows = _rows(settings)
    commands = {
        "Draw more samples": f"{tool}.sample --model={folder} --num=64 --output={shlex.quote(f'{run_dir.name}.png')}"
    }
    if rows:
        label, name = shlex.quote(rows[0]), shlex.quote(f"{run_dir.name}-class.png")
        commands["Draw samples of one class"] = (
            f"{tool}.sample --model={folder} --label={label} --num=64 --output={name}"
        )
    if data["kind"] == "image":
        usual = {"split": "train", "crop": data["shape"][0]}
        place = {name: data[name] for name, value in usual.items() if data.get(name) not in (None, value)}
        place |= {"data_dir": settings["data_dir"]} if settings.get("data_dir") else {}
        flags = "".join(f" --{name}={shlex.quote(str(value))}" for name, value in place.items())
        dataset = shlex.quote(settings["dataset"])
        commands["Measure the samples"] = f"{tool}.evaluate --model={folder} --dataset={dataset}{flags} --num=5000"
    return commands


def _longer(run: dict[str, Any]) -> str | None:
    """The command of the run, if it can continue with more steps; a schedule of rates has a fixed end."""
    if not run.get("command") or run["settings"].get("rate_schedule"):
        return None
    return shlex.join([_python(), *run["command"]])


def _python() -> str:
    """The interpreter as a user of the current folder would call it."""
    here, executable = Path.cwd(), Path(sys.executable)
    return str(executable.relative_to(here)) if executable.is_relative_to(here) else "python"


def _rows(settings: dict[str, Any]) -> list[str]:
    """The names of the classes that the rows of a grid show; empty if rows are not classes."""
    classes = settings["arguments"].get("classes")
    if not classes or settings["data"]["kind"] != "image":
        return []
    names = settings["data"].get("classes") or [str(label) for label in range(classes)]
    return [names[label] for label in shown_classes(classes)]


def _spread(paths: list[Path], most: int) -> list[Path]:
    """At most so many of the paths, at equal distances, with the first and the last."""
    if len(paths) <= most:
        return paths
    return [paths[round(k * (len(paths) - 1) / (most - 1))] for k in range(most)]


def _picture(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _words(value: Any) -> str:
    """A setting as a reader would write it: without the brackets and quotes of JSON."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step-"))


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"picture": _picture, "step": _step, "words": _words}
    return templates
