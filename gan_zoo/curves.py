"""Loss curves of a run as a picture."""

import json
from pathlib import Path

from gan_zoo.images import atomic_file

_NOT_CURVES = ("step", "kimg", "seconds")


def plot(metrics: Path, output: Path) -> None:
    """Draws every series of a `metrics.jsonl` over the steps, one panel each, as a PNG file.

    Args:
        metrics: The file, as `callbacks.MetricsLog` writes it.
        output: Where the picture goes.
    """
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in _NOT_CURVES]
    figure = Figure(figsize=(4.2 * max(len(names), 1), 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False)[0], names, strict=False):
        points = [(row["step"], row[name]) for row in rows if name in row]
        axes.plot(*zip(*points, strict=True), linewidth=1, color="#1f5fbf")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step (generator updates)", fontsize=9)
        axes.grid(alpha=0.3)
    with atomic_file(output) as file:
        figure.savefig(file, format="png", dpi=100)
