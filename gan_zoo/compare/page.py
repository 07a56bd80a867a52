"""The page of a comparison: one HTML file that needs nothing else.

This module computes what the page shows; its elements and words are in the templates `report.html.jinja` and
`macros.html.jinja`. Pictures, style and script are inside the page, and a content security policy keeps the browser
from loading anything. Jinja escapes every text and attribute.
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
"""By method and seed: a PNG file of a run's samples, and a note about it or an empty text."""

_TIME = {"name": "seconds", "better": "lower", "digits": 1}
"""The last column of a ranking, as metrics are described."""


def build(results: dict[str, Any], panels: Panels, reference: plots.Reference | None, table: bytes) -> bytes:
    """The page as a UTF-8 file.

    Args:
        results: As for `report.write`.
        panels: Of the runs that have samples.
        reference: What the samples are drawn over, or None for images.
        table: The CSV file, which the page offers to save.
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
        waiting=[name for name, method in methods.items() if method["runs"] < settings["seeds"]],
    ).encode()


def _methods(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The methods by name, with the look of their lines, the number of their runs, and pictures of their losses."""
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
    """For each budget: its name, the ranking's rows, the first among them, and the best mean of each column."""
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
    """The best mean of a column, or None where all are equal, and none is better than another."""
    means = [row[column["name"]]["mean"] for row in rows if row[column["name"]]["mean"] is not None]
    if len(rows) > 1 and len(set(means)) < 2:
        return None
    return (min if column["better"] == "lower" else max)(means, default=None)


def _curve(results: dict[str, Any], metric: dict[str, Any], axis: str) -> dict[str, Any]:
    """A picture of one metric over the training, in both themes, and each method's last mean in words."""
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


def mean_text(value: dict[str, Any], digits: int) -> str:
    """The statistics of a metric as "0.31 ± 0.02"."""
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
    """A method's name, cut where its line may break: where its arguments begin, rather than amid a word."""
    return re.split(r"(?<=[(,])(?! )", name)


def _plain(value: Any) -> str:
    """A setting's value, or settings by name as "a = 1, b = 2"."""
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_plain(part)}" for name, part in value.items())
    return "none" if value is None else str(value)
