"""The report of a comparison: the ranking, an HTML page, a CSV table, and pictures.

    rows = report.ranking(runs, methods, metrics, primary, "at_steps")
    report.write(results, folder)      # report.html, results.csv, curves-steps.png, ...

`gan_zoo.compare.page` builds the page, and `gan_zoo.compare.plots` draws the pictures.
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

BETTER = ("lower", "higher", "none")


def ranking(
    runs: Sequence[dict[str, Any]],
    methods: Sequence[dict[str, Any]],
    metrics: Sequence[dict[str, Any]],
    primary: str,
    key: str,
) -> list[dict[str, Any]]:
    """Returns the methods in the order of their ranks, with mean and standard deviation of each metric over seeds.

    Methods are ranked by the number of failed seeds, then by the mean of the primary metric. A seed fails if its run
    diverges before the budget is spent, or if it has no finite value of the primary metric at the budget. So a failed
    seed is worse than any value: a mean over the other seeds alone would favour methods that fail on difficult seeds.

    Args:
        runs: As in `write`. Seeds that have not run yet are absent.
        methods: As in `write`. Only the names are used.
        metrics: As in `write`.
        primary: Name of the metric that determines the ranks.
        key: "at_steps" or "at_seconds": the budget at which values are compared.

    Returns:
        One row for each method: {"method", "rank", "diverged": number of runs that diverged before the budget was
        spent, "seconds": statistics of the training time, and for each metric its statistics}. The best method is
        first, and methods without a rank are last. Methods of equal rank are in the order of `methods`.

        Statistics are {"mean", "std", "n"} over the n other runs that have a finite value. std is the sample standard
        deviation, None for n < 2; mean is None for n = 0. Methods with equal numbers of failures and equal means share
        a rank, and the next rank is left out. The rank is None if the primary metric has no value.

    Raises:
        UserError: If `primary` is not one of the metrics, a metric's "better" is unknown, or `key` is not one of these.
    """
    better = {metric["name"]: metric["better"] for metric in metrics}
    if primary not in better:
        raise UserError(f"primary must be one of the metrics, {', '.join(better)}, not {primary!r}.")
    for name, direction in better.items():
        if direction not in BETTER:
            raise UserError(f'better of the metric {name} must be "lower", "higher" or "none", not {direction!r}.')
    if better[primary] == "none":
        raise UserError(f"primary must be a metric with a better direction, not {primary!r}.")
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

    The files are `report.html`; `results.csv`, with one row for each run and empty cells for unknown values; and the
    pictures `curves-steps.png`, `curves-seconds.png`, `losses.png` and `samples.png`, on a white background. Existing
    files of the same names are replaced, each in one atomic operation.

    Args:
        results: The comparison, in JSON types. Numbers that are not finite may be None.
            "settings": a flat dict that contains "dataset", "steps", "seconds" (None without a time budget) and
            "seeds";
            "environment": a flat dict that contains "gan_zoo", "started" and "command";
            "dataset": "name", "description", "kind" ("points" or "image"), "shape", "limits" (or None) and
            "shown_classes" (may be absent): names of the classes of the rows of samples, or None;
            "metrics": each with "name", "label", "better" ("lower", "higher" or "none"), "digits" and "description";
            "primary": the name of the metric that determines the ranks;
            "methods": each with "name", "model", "paper", "arguments", "n_critic" (minibatches in a step) and
            "optimizer";
            "runs": each with "method", "seed", "status" ("done" or "diverged"), "reason", "steps", "seconds" (of
            training), "curve" (rows of "step", "seconds" and metrics), "losses" (rows of "step" and the players'
            losses, "d_loss" and "g_loss" of a GAN), "samples" ([N, D], or uint8 images [N, H, W, C]; None if there
            are none), "columns" (number of consecutive images of each class; absent without classes), "at_steps" and
            "at_seconds" (metrics at the budgets: for the time budget, the last values that were measured within it;
            None if the run diverged);
            "reference" (may be absent): for each metric, the statistics of draws of the data instead of samples;
            "reference_size" (may be absent): if these are real images against the others, their number;
            "protocol" (may be absent): what the metrics depend on, in one line;
            "tables": the rows from `ranking` as "steps" and, with a time budget, "seconds".
        folder: Folder for the files; created if missing.

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
    """Returns the statistics of the finite values, in the form that `ranking` uses."""
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
    """Returns a picture of each run's samples, and a note about it, by method and seed."""
    runs = [run for run in results["runs"] if plots.drawn(run)]
    panels = {}
    if reference is None:
        count = plots.images_shown(runs)
        for run in runs:
            samples = np.asarray(run["samples"], np.uint8)
            panels[run["method"], run["seed"]] = plots.image_panel(samples, count, run.get("columns")), ""
        return panels
    for run in runs:
        points = plots.points_of(run)
        lost = plots.outside(points, reference)
        # The percentage is rounded up: if a panel has no note, all of its samples are visible.
        note = f"{-(-100 * lost // len(points))} % outside the frame" if lost else ""
        panels[run["method"], run["seed"]] = plots.sample_panel(points, reference), note
    return panels
