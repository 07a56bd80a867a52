"""Plots the loss curves of a run."""

import json
import math
from pathlib import Path

from gan_zoo.util import checks
from gan_zoo.util.files import atomic_file

_NOT_CURVES = ("step", "kimg", "seconds")
_COLUMNS = 4


def plot(metrics: str | Path, output: str | Path) -> None:
    """Plots every series of a `metrics.jsonl` over the steps, one panel each, as a PNG file.

    Args:
        metrics: The file, as written by `callbacks.MetricsLog`.
        output: Path of the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = _rows(checks.path("metrics", metrics))
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in _NOT_CURVES]
    columns = min(_COLUMNS, max(len(names), 1))
    rows_of_panels = math.ceil(max(len(names), 1) / columns)
    figure = Figure(figsize=(4.2 * columns, 3 * rows_of_panels), dpi=100, layout="constrained")
    panels = figure.subplots(rows_of_panels, columns, squeeze=False).ravel()
    for spare in panels[len(names) :]:
        spare.set_visible(False)
    for axes, name in zip(panels, names, strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), linewidth=1, color="#1f5fbf")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step (generator updates)", fontsize=9)
        axes.grid(alpha=0.3)
    with atomic_file(output) as file:
        FigureCanvasAgg(figure).print_png(file)  # Figure.savefig draws everything twice


def _rows(metrics: Path) -> list[dict[str, float]]:
    """Returns the complete lines of a file. A killed process or an editor may have left incomplete ones."""
    rows = []
    for line in metrics.read_text("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and "step" in row and all(isinstance(v, int | float) for v in row.values()):
            rows.append(row)
    return rows
