"""The page of a comparison: one HTML file that contains everything it needs.

This module computes what the page shows. The elements and the text of the page are in the templates
`report.html.jinja` and `macros.html.jinja`. Pictures, style and script are inside the page, and a content security
policy keeps the browser from loading anything. Jinja escapes every text and attribute.
"""

import base64
import collections
import functools
import math
import re
from typing import Any

import jinja2

from gan_zoo.compare import plots

Panels = dict[tuple[str, int], tuple[bytes, str]]
"""For each method and seed, a PNG file of the run's samples, and a note about it, which may be empty."""

_TIME = {"name": "seconds", "better": "lower", "digits": 1}
"""The last column of a ranking, described like a metric."""


def build(results: dict[str, Any], panels: Panels, reference: plots.Reference | None, table: bytes) -> bytes:
    """Returns the page, a UTF-8 file.

    Args:
        results: As for `report.write`.
        panels: Pictures of the runs that have samples.
        reference: The background of the sample panels, or None for images.
        table: The CSV file, which readers can download from the page.
    """
    settings, runs, metrics = results["settings"], results["runs"], results["metrics"]
    primary = next(metric for metric in metrics if metric["name"] == results["primary"])
    environment = dict(results["environment"])
    command = environment.pop("command")
    methods = _methods(results)
    columns = [*metrics, _TIME]
    steps = [_curve(results, metric, "step") for metric in metrics]
    curves = [
        ("Over the generator's updates", "generator updates", steps),
        ("Over the training time", "seconds of training", [_curve(results, primary, "seconds")]),
    ]
    page = _templates().get_template("report.html.jinja")
    return page.render(
        columns=columns,
        command=command,
        curves=curves,
        dataset=results["dataset"],
        diverged=[run for run in runs if run["status"] == "diverged"],
        facts={"Settings": settings, "Environment": environment},
        methods=methods,
        metrics=metrics,
        panels=panels,
        protocol=results.get("protocol"),
        plots=plots,
        primary=primary,
        rankings=_rankings(results, columns),
        reference=reference,
        run_of={(run["method"], run["seed"]): run for run in runs},
        runs=runs,
        seeds=sorted({run["seed"] for run in runs}),
        settings=settings,
        table=table,
        truth=results.get("reference"),
        truth_name=reference_name(results),
        truth_size=results.get("reference_size"),
        waiting=[name for name, method in methods.items() if method["runs"] < settings["seeds"]],
    ).encode()


def _methods(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the methods by name, with their line styles, numbers of runs, and pictures of their losses."""
    runs = collections.Counter(run["method"] for run in results["runs"])
    methods = {}
    for index, method in enumerate(results["methods"]):
        name = method["name"]
        colour, dashes = plots.style(index)
        line = {"colour": colour, "dashes": " ".join(f"{2 * length:g}" for length in dashes)}
        losses = {"light": plots.losses(results, name), "dark": plots.losses(results, name, plots.DARK)}
        methods[name] = {**method, "line": line, "runs": runs[name], "losses": losses}
    return methods


def _rankings(results: dict[str, Any], columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns for each budget its name, the rows of its ranking, the rows of rank 1, and each column's best mean."""
    settings, tables = results["settings"], results["tables"]
    names = {
        "steps": (
            f"after {_counted(settings['steps'], 'update')} of the generator",
            f"Ranking after {_counted(settings['steps'], 'generator update')}",
        )
    }
    if tables.get("seconds"):
        after = f"after {_duration(settings['seconds'])} of training"
        names["seconds"] = after, f"Ranking {after}"
    return [
        {
            "key": key,
            "after": after,
            "title": title,
            "rows": tables[key],
            "leaders": [row for row in tables[key] if row["rank"] == 1],
            "best": {column["name"]: _best(tables[key], column) for column in columns},
        }
        for key, (after, title) in names.items()
    ]


def _best(rows: list[dict[str, Any]], column: dict[str, Any]) -> float | None:
    """Returns the best mean of a column, or None if all means are equal or no direction is better."""
    if column["better"] == "none":
        return None
    means = [row[column["name"]]["mean"] for row in rows if row[column["name"]]["mean"] is not None]
    if len(rows) > 1 and len(set(means)) < 2:
        return None
    return (min if column["better"] == "lower" else max)(means, default=None)


def _curve(results: dict[str, Any], metric: dict[str, Any], axis: str) -> dict[str, Any]:
    """Returns a picture of one metric over the training, in both themes, and each method's last mean as text."""
    last = []
    for method in results["methods"]:
        runs = [run for run in results["runs"] if run["method"] == method["name"] and run["status"] == "done"]
        mean = plots.band(runs, axis, metric["name"])[1]
        known = len(mean) and math.isfinite(mean[-1])
        last.append(f"{method['name']} {mean[-1]:.{metric['digits']}f}" if known else f"{method['name']} unknown")
    return {
        "label": metric["label"],
        "last": last,
        "light": plots.curve(results, metric, axis),
        "dark": plots.curve(results, metric, axis, plots.DARK),
    }


def reference_name(results: dict[str, Any]) -> str:
    """Returns the name of the row of the data themselves."""
    size = results.get("reference_size")
    return "the data themselves" if size is None else f"{size:,} real images"


def mean_text(value: dict[str, Any], digits: int) -> str:
    """Returns the mean and the standard deviation of a metric as text: "0.31 ± 0.02"."""
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


@functools.cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("gan_zoo.compare", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "counted": _counted,
        "data_uri": _data_uri,
        "mean": mean_text,
        "name_parts": _name_parts,
        "plain": _plain,
    }
    return templates


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    number = f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.3g}"
    return f"{number} {'second' if number == '1' else 'seconds'}"


def _data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _name_parts(name: str) -> list[str]:
    """Splits a method's name at the places where a line may break: before each of its arguments."""
    return re.split(r"(?<=[(,])(?! )", name)


def _plain(value: Any) -> str:
    """Returns the value of a setting as text; a dict of settings becomes "a = 1, b = 2", and a list "a, b"."""
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return "none" if value is None else str(value)
