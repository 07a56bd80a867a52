"""The report of a comparison: the ranking, a page to read, a table to compute with, and pictures.

    rows = report.ranking(runs, methods, metrics, primary, "at_steps")
    report.write(results, folder)      # report.html, results.csv, curves-steps.png, ...

The page is made in `gan_zoo.compare.page`, the pictures in `gan_zoo.compare.plots`.
"""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_zoo.compare import page, plots
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file

BETTER = ("lower", "higher")


def ranking(
    runs: Sequence[dict[str, Any]],
    methods: Sequence[dict[str, Any]],
    metrics: Sequence[dict[str, Any]],
    primary: str,
    key: str,
) -> list[dict[str, Any]]:
    """The methods in the order of their ranks, with mean and spread of each metric over seeds.

    Ranks go by the number of failed seeds first, then by the mean of the primary metric. A seed fails when its run
    diverges before the budget is spent, or has no finite value of the primary metric there. That is the order of means
    in which a failed seed's value is worse than any number: a mean over survivors alone would reward a method for
    losing its hard seeds.

    Args:
        runs: As in `write`; seeds that have not run yet are simply absent.
        methods: As in `write`: only the names matter here.
        metrics: As in `write`.
        primary: The metric that ranks.
        key: "at_steps" or "at_seconds", the values at one of the two budgets.

    Returns:
        One row for each method, best first, those without a rank last, in the order of `methods` where ranks are
        equal: {"method", "rank", "diverged": number of runs that diverged before the budget was spent, "seconds":
        statistics of the training time, and for each metric its statistics}. Statistics are {"mean", "std", "n"} over
        the n other runs that have a finite value: std is the sample standard deviation, None for n < 2, and mean is
        None for n = 0. Methods of equal failures and mean share a rank, and the next rank is left out; it is None where
        the primary metric has no value.

    Raises:
        UserError: If `primary` is none of the metrics, a metric's "better" is unknown, or `key` is not one of the two.
    """
    better = {metric["name"]: metric["better"] for metric in metrics}
    if primary not in better:
        raise UserError(f"primary must be one of the metrics, {', '.join(better)}, not {primary!r}.")
    for name, direction in better.items():
        if direction not in BETTER:
            raise UserError(f'better of the metric {name} must be "lower" or "higher", not {direction!r}.')
    if key not in ("at_steps", "at_seconds"):
        raise UserError(f'key must be "at_steps" or "at_seconds", not {key!r}.')
    rows, orders = [], []
    for method in methods:
        own = [run for run in runs if run["method"] == method["name"]]
        finished = [run for run in own if run[key] is not None]
        row = {"method": method["name"], "rank": None, "diverged": len(own) - len(finished)}
        row["seconds"] = summarize(run["seconds"] for run in finished)
        for name in better:
            row[name] = summarize((run[key] or {}).get(name) for run in finished)
        rows.append(row)
        mean = row[primary]["mean"]
        if mean is not None:
            orders.append((len(own) - row[primary]["n"], mean if better[primary] == "lower" else -mean))
        else:
            orders.append(None)
    for row, order in zip(rows, orders, strict=True):
        if order is not None:
            row["rank"] = 1 + sum(other is not None and other < order for other in orders)
    return sorted(rows, key=lambda row: math.inf if row["rank"] is None else row["rank"])


def write(results: dict[str, Any], folder: str | Path) -> Path:
    """Writes the report of a comparison, finished or not.

    Files: `report.html`; `results.csv`, one row for each run, with empty cells for what is unknown; and the pictures
    `curves-steps.png`, `curves-seconds.png`, `losses.png` and `samples.png`, on white. Files of the same names are
    replaced, each in one go.

    Args:
        results: The comparison, as JSON holds it; numbers may be None where they are not finite.
            "settings": flat, among them "dataset", "steps", "seconds" (None without a budget of time) and "seeds";
            "environment": flat, among them "gan_zoo", "started" and "command";
            "dataset": "name", "description", "kind" ("points" or "image"), "shape" and "limits" (or None);
            "metrics": each with "name", "label", "better" ("lower" or "higher"), "digits" and "description";
            "primary": the name of the metric that ranks;
            "methods": each with "name", "model", "paper", "arguments", "n_critic" (minibatches in a step) and
            "optimizer";
            "runs": each with "method", "seed", "status" ("done" or "diverged"), "reason", "steps", "seconds" (of
            training), "curve" (rows of "step", "seconds" and metrics), "losses" (rows of "step" and the players'
            losses, "d_loss" and "g_loss" of a GAN), "samples" ([N, D], or uint8 images [N, H, W, C]; None where there
            are none), "at_steps" and "at_seconds" (metrics at the budgets, of time the last that were measured within;
            None if the run diverged);
            "reference" (may be absent): for each metric the statistics of draws of the data in the place of samples;
            "tables": "steps" and, with a budget of time, "seconds", as `ranking` makes them.
        folder: Where the files go; made if it is missing.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: If the folder cannot be written.
    """
    folder = checks.path("folder", folder)
    table = _csv(results)
    reference = plots.reference(results) if results["dataset"]["kind"] == "points" else None
    panels = _panels(results, reference)
    primary = next(metric for metric in results["metrics"] if metric["name"] == results["primary"])
    files = {
        "results.csv": table,
        "curves-steps.png": plots.all_curves(results, results["metrics"], "step"),
        "curves-seconds.png": plots.all_curves(results, [primary], "seconds"),
        "losses.png": plots.all_losses(results),
        "samples.png": plots.all_samples(results, {key: panel for key, (panel, _) in panels.items()}),
        "report.html": page.build(results, panels, reference, table),
    }
    try:
        for name, content in files.items():
            with atomic_file(folder / name) as file:
                file.write(content)
    except OSError as error:
        raise UserError(f"folder {folder} cannot be written: {error.strerror or error}.") from error
    return folder / "report.html"


def summarize(values: Iterable[float | None]) -> dict[str, Any]:
    """The statistics that `ranking` has for each metric, of the values that are finite."""
    values = [float(value) for value in values if value is not None and math.isfinite(value)]
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }


def _csv(results: dict[str, Any]) -> bytes:
    names = [metric["name"] for metric in results["metrics"]]
    keys = ("at_steps", "at_seconds")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    columns = ["method", "seed", "status", "reason", "steps", "seconds"]
    writer.writerow([*columns, *(f"{name}_{key}" for key in keys for name in names)])
    for run in results["runs"]:
        values = [(run[key] or {}).get(name) for key in keys for name in names]
        writer.writerow([*(run[column] for column in columns), *values])
    return file.getvalue().encode()


def _panels(results: dict[str, Any], reference: plots.Reference | None) -> page.Panels:
    """The picture of each run's samples, and what has to be said about it, by method and seed."""
    runs = [run for run in results["runs"] if plots.drawn(run)]
    panels = {}
    if reference is None:
        count = plots.images_shown(runs)
        for run in runs:
            panels[run["method"], run["seed"]] = plots.image_panel(np.asarray(run["samples"], np.uint8), count), ""
        return panels
    for run in runs:
        points = plots.points_of(run)
        lost = plots.outside(points, reference)
        # Rounded up, in whole numbers: where nothing is said, all samples are to be seen.
        note = f"{-(-100 * lost // len(points))} % outside the frame" if lost else ""
        panels[run["method"], run["seed"]] = plots.sample_panel(points, reference), note
    return panels
