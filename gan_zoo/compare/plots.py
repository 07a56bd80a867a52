"""Pictures of a comparison: metrics over the training, samples over the true density, and losses.

The drawing functions use numpy and Matplotlib without pyplot, and return the bytes of a PNG file. Curves and losses
have a light and a dark theme, because no text colour is easy to read on both white and black. Sample panels have no
text and a transparent background, and their colours are easy to see on both.
"""

import dataclasses
import io
import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.util import pictures
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Theme:
    """Colours as "#rrggbb". Each of `lines` has a contrast of at least 3 to the background, and `text` of 4.5.

    The colours of lines differ by at least 20 in CIELAB, also for readers with protanopia, deuteranopia or tritanopia
    (simulated after Machado et al., 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency").
    Lines also differ in their dashes: see `style`.
    """

    text: str
    background: str
    grid: str
    alarm: str
    lines: tuple[str, ...]


LIGHT = Theme(
    text="#1c2024",
    background="#ffffff",
    grid="#d5d9de",
    alarm="#b3261e",
    lines=("#0b63a8", "#b38734", "#9c5af7", "#df6781", "#24292e", "#792c05"),
)
DARK = Theme(
    text="#e6e8ea",
    background="#16191d",
    grid="#3a4048",
    alarm="#ff8a80",
    lines=("#56b4e9", "#e9c338", "#9352ee", "#dc2c7a", "#f2f4f5", "#ae652c"),
)

DASHES = ((), (5, 2), (1.2, 1.4), (6, 2, 1.2, 2), (9, 3), (6, 2, 1.2, 2, 1.2, 2))
"""Lengths of strokes and gaps, in line widths."""

SAMPLES, TRUTH, DATA = "#2f80d0", "#c0711a", "#888888"
"""Colours in sample panels: samples, the true density or its modes, draws of the data."""

_PANEL = 288
"""Side of a sample panel in pixels: about twice its size in the report, for high-resolution screens."""

_IMAGE_BYTES = 1_500_000
"""Largest size of all sample images in the report, in bytes before compression, which hardly reduces it."""

_LOG_RATIO = 30
"""Ratio of the largest to the smallest mean above which an axis is logarithmic, so that small means stay distinct."""


def style(index: int) -> tuple[int, tuple[float, ...]]:
    """Returns the colour of a method's line, as an index into `Theme.lines`, and its dashes. There are 36 pairs.

    Args:
        index: Index of the method, from 0 up.
    """
    colours = len(LIGHT.lines)
    # The dashes shift by one in every round, so that neighbours differ in both, and pairs repeat only after all 36.
    return index % colours, DASHES[(index + index // colours) % len(DASHES)]


def band(runs: Sequence[dict[str, Any]], axis: str, metric: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the mean and the standard deviation of a metric over seeds, along the training.

    Seeds are measured at different times, so values between two measurements are interpolated linearly. The band covers
    only the range that all seeds cover, because the mean would jump at the end of a shorter seed.

    Args:
        runs: Runs of one method, each with a "curve", as in `report.write`.
        axis: "step" or "seconds".
        metric: Name of the metric. A point without this metric makes a gap in the curve of its seed.

    Returns:
        The places on the axis in increasing order, the mean over seeds, and the sample standard deviation, all [P]. The
        mean is NaN where no seed has a value. The deviation is NaN where fewer than two seeds have one.
    """
    curves = []
    for run in runs:
        points = [(row[axis], np.nan if row.get(metric) is None else row[metric]) for row in run["curve"]]
        if points:
            curves.append(np.array(points, np.float64).T)
    if not curves:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    low, high = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    places = np.unique(np.concatenate([x for x, _ in curves]))
    places = places[(places >= low) & (places <= high)]
    values = np.ma.masked_invalid([np.interp(places, x, y) for x, y in curves])
    return places, values.mean(axis=0).filled(np.nan), values.std(axis=0, ddof=1).filled(np.nan)


def curve(results: dict[str, Any], metric: dict[str, Any], axis: str, theme: Theme = LIGHT) -> bytes:
    """Draws one metric of all methods over the training, without a legend: the report has one for all panels.

    Args:
        results: As for `report.write`.
        metric: One of the metrics in `results`.
        axis: "step" or "seconds".
        theme: Colours.
    """
    figure = _figure(4.8, 3.0, 160, theme)
    _draw_curves(figure.add_subplot(), results, metric, axis, theme)
    return pictures.figure_png(figure)


def all_curves(results: dict[str, Any], metrics: Sequence[dict[str, Any]], axis: str) -> bytes:
    """Draws several metrics of all methods over the training, and a legend, in a separate picture.

    Args:
        results: As for `report.write`.
        metrics: The metrics to draw, one panel each.
        axis: "step" or "seconds".
    """
    from matplotlib.lines import Line2D

    columns = min(3, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    names = [textwrap.fill(method["name"], 30) for method in results["methods"]]
    lines = sum(name.count("\n") + 1.3 for name in names)
    figure = _figure(4.2 * columns + 3, max(2.9 * rows, 0.17 * lines + 0.3), 110, LIGHT)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        _draw_curves(panel, results, metric, axis, LIGHT)
    for panel in panels[len(metrics) :]:
        panel.remove()
    handles = [_line(Line2D, [], [], k, LIGHT) for k in range(len(names))]
    legend = figure.legend(handles, names, loc="outside right upper", fontsize=8, frameon=False, handlelength=4)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name is not a formula
    return pictures.figure_png(figure)


def losses(results: dict[str, Any], method: str, theme: Theme = LIGHT) -> bytes:
    """Draws the losses of one method's runs over the steps, D above and G below, one thin line for each seed.

    A model with other players has a panel for each of them. Each panel has its own vertical axis, because a critic's
    loss may be a thousand times the generator's.

    Args:
        results: As for `report.write`.
        method: The method's name.
        theme: Colours.
    """
    figure = _figure(3.8, 2.7, 150, theme)
    _draw_losses(figure, results, method, theme)
    return pictures.figure_png(figure)


def all_losses(results: dict[str, Any]) -> bytes:
    """Draws the losses of all methods in a separate picture.

    Args:
        results: As for `report.write`.
    """
    names = [method["name"] for method in results["methods"]]
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = _figure(3.4 * columns, 2.7 * rows, 100, LIGHT)
    panels = figure.subfigures(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        panel.set_facecolor(LIGHT.background)
        panel.suptitle(textwrap.fill(name, 44), fontsize=8, color=LIGHT.text, parse_math=False)
        _draw_losses(panel, results, name, LIGHT)
    return pictures.figure_png(figure)


# Samples.


@dataclasses.dataclass(frozen=True)
class Reference:
    """The background of sample panels, in the coordinates of the picture. It is the same for all runs.

    Args:
        limits: Lowest and highest coordinate of the frame.
        origin: Point that is subtracted from points before they are projected, [D]; None without a projection.
        axes: Directions of the picture's axes as rows, [2, D]; None without a projection.
        draws: Draws of the data, [M, 1 or 2], or None if the distribution of the data is unknown.
        centres: Centres of the data's modes, [K, 2], or None.
        radius: Radius of the circles around the centres: three standard deviations.
        density: Places and density of one-dimensional data, [2, P], or None.
    """

    limits: tuple[float, float]
    origin: np.ndarray | None = None
    axes: np.ndarray | None = None
    draws: np.ndarray | None = None
    centres: np.ndarray | None = None
    radius: float = 0.0
    density: np.ndarray | None = None

    def place(self, points: np.ndarray) -> np.ndarray:
        """Maps points, [N, D], to the picture, [N, 1 or 2]. Points that are not finite are left out."""
        points = points[np.isfinite(points).all(axis=1)]
        return points if self.axes is None else (points - self.origin) @ self.axes.T


def reference(results: dict[str, Any]) -> Reference:
    """Returns the background of the sample panels of a comparison on points.

    Data with more than two dimensions are projected on their first two principal axes. If the distribution of the data
    is unknown, the samples of all finished runs determine the axes and the limits.

    Args:
        results: As for `report.write`, with a dataset of kind "points".
    """
    from gan_zoo.data import synthetic

    dataset = results["dataset"]
    try:
        distribution = synthetic.get(dataset["name"])
    except UserError:
        distribution = None
    if distribution is not None:
        data = np.asarray(distribution.sample(2000, (0, 0)), np.float64)
    else:
        pools = [points_of(run) for run in results["runs"] if run["status"] == "done" and drawn(run)]
        data = np.concatenate(pools) if pools else np.zeros((0, dataset["shape"][0]))
        data = data[np.isfinite(data).all(axis=1)]
    modes = None if distribution is None else distribution.modes
    dimensions = dataset["shape"][0]
    if dimensions == 1:
        limits = tuple(dataset["limits"] or _limits(data))
        return Reference(
            limits,
            draws=None if distribution is None else data,
            density=None if distribution is None else _density(distribution, limits),
        )
    origin = axes = None
    if dimensions > 2:
        origin, axes = pictures.principal_axes(data if len(data) else np.zeros((1, dimensions)))
    projection = Reference((0, 1), origin, axes)
    placed = projection.place(data)
    known = dataset["limits"] if dimensions == 2 else None
    return dataclasses.replace(
        projection,
        limits=tuple(known or _limits(placed)),
        draws=None if distribution is None else placed,
        centres=None if modes is None else projection.place(np.asarray(modes[0], np.float64)),
        radius=0.0 if modes is None else 3 * float(modes[1]),
    )


def points_of(run: dict[str, Any]) -> np.ndarray:
    """Returns a run's samples as float64 [N, D]; null becomes NaN."""
    return np.array(run["samples"], np.float64)


def drawn(run: dict[str, Any]) -> bool:
    """Returns whether a run has samples."""
    return run["samples"] is not None and len(run["samples"]) > 0


def outside(points: np.ndarray, reference: Reference) -> int:
    """Returns the number of points, [N, D], that are outside the frame or not finite."""
    placed = reference.place(points)
    low, high = reference.limits
    return len(points) - int(((placed >= low) & (placed <= high)).all(axis=1).sum())


def sample_panel(points: np.ndarray, reference: Reference) -> bytes:
    """Draws the samples of one run over the true density, on a transparent background.

    Two-dimensional samples are points. The panel also shows circles of three standard deviations around the data's
    modes or, for data without modes, draws of the data in grey. One-dimensional samples are a histogram, and the true
    density is a curve. Its panel is twice as high as the maximum of the density, and taller bars are cut.

    Args:
        points: The samples, [N, D].
        reference: The background of the comparison's panels.
    """
    from matplotlib.figure import Figure

    side = _PANEL / 144
    figure = Figure(figsize=(side, side * 0.7 if points.shape[1] == 1 else side), dpi=144)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98), xlim=reference.limits)
    axes.patch.set_alpha(0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(DATA)
    placed = reference.place(points)
    if points.shape[1] == 1:
        _draw_histogram(axes, placed[:, 0], reference)
    else:
        _draw_points(axes, placed, reference)
    return pictures.figure_png(figure)


def image_panel(samples: np.ndarray, count: int, columns: int | None = None) -> bytes:
    """Draws a grid of a run's first images, or of the first images of each class.

    Args:
        samples: The images, uint8 [N, H, W, C].
        count: Largest number of images in the grid. But each class has at least one.
        columns: Number of consecutive images of each class, which become a row; None without classes.
    """
    if columns is None:
        return pictures.png(pictures.grid(samples[:count], pad=1, scale=1))
    classes = samples.reshape(-1, columns, *samples.shape[1:])
    columns = max(1, min(columns, count // len(classes)))
    return pictures.png(pictures.grid(np.concatenate(classes[:, :columns]), columns, pad=1, scale=1))


def images_shown(runs: Iterable[dict[str, Any]]) -> int:
    """Returns the number of images of each run, from 4 to all, that keeps the report below a few megabytes."""
    samples = [np.asarray(run["samples"], np.uint8) for run in runs if drawn(run)]
    most = max(map(len, samples), default=16)
    return max(4, min(most, _IMAGE_BYTES // max(sum(images[0].size for images in samples), 1)))


def all_samples(results: dict[str, Any], panels: dict[tuple[str, int], bytes]) -> bytes:
    """Draws the panels of all runs in one separate picture, with methods as rows and seeds as columns.

    Args:
        results: As for `report.write`.
        panels: PNG files by method and seed. The place of a run without a file stays empty.
    """
    from PIL import Image

    names = [method["name"] for method in results["methods"]]
    seeds = sorted({run["seed"] for run in results["runs"]})
    status = {(run["method"], run["seed"]): run["status"] for run in results["runs"]}
    opened = {key: Image.open(io.BytesIO(png)).convert("RGBA") for key, png in panels.items()}
    sizes = [image.size for image in opened.values()] or [(_PANEL, _PANEL)]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    scale = max(1, 160 // width)
    width, height, gap, label, top = width * scale, height * scale, 12, 240, 36
    sheet_width = label + len(seeds) * (width + gap)
    sheet_height = top + len(names) * (height + gap)
    figure = _figure(sheet_width / 100, sheet_height / 100, 100, LIGHT)
    text = dict(transform=None, color=LIGHT.text, parse_math=False, fontsize=10)
    for column, seed in enumerate(seeds):
        figure.text(
            label + column * (width + gap) + width / 2, sheet_height - top / 2, f"seed {seed}", ha="center", **text
        )
    for row, name in enumerate(names):
        bottom = sheet_height - top - row * (height + gap) - height
        figure.text(12, bottom + height / 2, textwrap.fill(name, 28), va="center", **text)
        for column, seed in enumerate(seeds):
            left = label + column * (width + gap)
            if (name, seed) in opened:
                image = opened[name, seed]
                image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
                figure.figimage(np.asarray(image), left, bottom + height - image.height)
            word = status.get((name, seed), "not run yet")
            look = dict(text, ha="center", bbox=dict(color=LIGHT.background, pad=1))
            if word == "diverged":
                look |= dict(color=LIGHT.alarm, weight="bold")
            if word == "diverged" or (name, seed) not in opened:
                word = "no samples" if word == "done" else word
                figure.text(left + width / 2, bottom + height - 24, word, **look)
    return pictures.figure_png(figure)


# Parts.


def _figure(width: float, height: float, dpi: int, theme: Theme) -> "Figure":
    # A figure made without pyplot does not affect other users of Matplotlib in the process, and needs no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor=theme.background)


def _line(make: Callable[..., Any], x: Any, y: Any, index: int, theme: Theme) -> Any:
    """Draws the line of a method with `make`: `Line2D` or the `plot` of axes."""
    colour, dashes = style(index)
    # With round caps, the dots of a dotted line would overlap.
    look = dict(linestyle=(0, dashes) if dashes else "solid", dash_capstyle="butt", linewidth=1.7)
    return make(x, y, color=theme.lines[colour], **look)


def _dress(axes: "Axes", theme: Theme) -> None:
    """Sets the colours, the text size and the grid of one panel."""
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(theme.background)
    axes.tick_params(colors=theme.text, labelsize=9, which="both")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}")
    axes.grid(color=theme.grid, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.grid)


def _draw_curves(axes: "Axes", results: dict[str, Any], metric: dict[str, Any], axis: str, theme: Theme) -> None:
    name, means = metric["name"], []
    ends = []
    for k, method in enumerate(results["methods"]):
        colour = theme.lines[style(k)[0]]
        runs = [run for run in results["runs"] if run["method"] == method["name"]]
        x, mean, std = band([run for run in runs if run["status"] == "done"], axis, name)
        if np.isfinite(mean).any():
            _line(axes.plot, x, mean, k, theme)
            axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.14, linewidth=0)
            means.append(mean[np.isfinite(mean)])
        for run in runs:
            points = [(row[axis], row[name]) for row in run["curve"] if row.get(name) is not None]
            if run["status"] == "diverged" and points:
                ends.append((*points[-1], colour))
    _dress(axes, theme)
    if means:
        values = np.concatenate(means)
        if values.min() > 0 and values.max() > _LOG_RATIO * values.min():
            # A band may reach below zero, which a logarithmic axis cannot show: so the means determine the limits.
            axes.set(yscale="log", ylim=(values.min() / 2, values.max() * 2))
    low, high = axes.get_ylim()
    for x, y, colour in ends:
        # The finished runs determine the frame. A point outside of it is drawn at its edge.
        axes.plot(x, min(max(y, low), high), "X", color=colour, markersize=7, clip_on=False, zorder=3)
        axes.set_ylim(low, high)
    budget = results["settings"].get({"step": "steps"}.get(axis, axis))
    if budget:
        axes.axvline(budget, color=theme.text, linewidth=0.8, linestyle=(0, (1, 2)))
    label = {"step": "generator updates", "seconds": "training time in seconds"}[axis]
    axes.set_xlabel(label, fontsize=10, color=theme.text)
    better = "" if metric["better"] == "none" else f"({metric['better']} is better)"
    label = metric["label"]
    title = f"{label} {better}" if len(label + better) < 50 else f"{label}\n{better}"  # a panel is not wider
    axes.set_title(title.rstrip(), fontsize=11, color=theme.text, parse_math=False, loc="left", weight="bold")


def _loss_names(results: dict[str, Any], method: str) -> list[str]:
    """Returns the names of the losses in a method's runs; those of a GAN if no run has any yet."""
    rows = (row for run in results["runs"] if run["method"] == method for row in run["losses"])
    return list(dict.fromkeys(name for row in rows for name in row if name != "step")) or ["d_loss", "g_loss"]


def _draw_losses(figure: Any, results: dict[str, Any], method: str, theme: Theme) -> None:
    names = _loss_names(results, method)
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False).ravel()
    for axes, key, colour in zip(panels, names, itertools.cycle(theme.lines), strict=False):
        player = {"d_loss": "D", "g_loss": "G"}.get(key, key.removesuffix("_loss"))
        values = [np.zeros(0)]
        for run in (run for run in results["runs"] if run["method"] == method):
            y = np.array([row.get(key) for row in run["losses"]], np.float64)
            x = np.array([row["step"] for row in run["losses"]], np.float64)
            axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.7)
            finite = np.flatnonzero(np.isfinite(y))
            values.append(y[finite])
            if run["status"] == "diverged" and len(finite):
                axes.plot(x[finite[-1]], y[finite[-1]], "X", color=theme.alarm, markersize=7, zorder=3)
        _dress(axes, theme)
        everything = np.concatenate(values)
        if len(everything):
            # One value of a diverging run would make all other values look constant.
            low, high = np.percentile(everything, (1, 99))
            margin = 0.15 * (high - low) or 1.0
            axes.set_ylim(low - margin, high + margin)
        axes.set_ylabel(player, fontsize=9, color=theme.text, rotation=0, ha="right", va="center", weight="bold")
    panels[-1].set_xlabel("generator updates", fontsize=9, color=theme.text)


def _draw_points(axes: "Axes", points: np.ndarray, reference: Reference) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle

    axes.set(ylim=reference.limits, aspect="equal")
    if reference.centres is None and reference.draws is not None:
        axes.scatter(*reference.draws.T, s=2, c=DATA, alpha=0.5, linewidths=0)
    axes.scatter(*points.T, s=3, c=SAMPLES, alpha=0.7, linewidths=0)
    if reference.centres is not None:
        circles = [Circle(centre, reference.radius) for centre in reference.centres]
        axes.add_collection(PatchCollection(circles, facecolors="none", edgecolors=TRUTH, linewidths=0.9))


def _draw_histogram(axes: "Axes", points: np.ndarray, reference: Reference) -> None:
    low, high = reference.limits
    bins = np.linspace(low, high, 61)
    width = bins[1] - bins[0]
    # Bars show shares of all samples, including those outside the frame.
    heights = np.histogram(points, bins)[0] / max(len(points), 1) / width
    axes.bar(bins[:-1], heights, width, align="edge", color=SAMPLES, alpha=0.75)
    if reference.density is not None:
        axes.plot(*reference.density, color=TRUTH, linewidth=1.4)
        axes.set_ylim(0, 2 * reference.density[1].max())


def _density(distribution: Any, limits: tuple[float, float]) -> np.ndarray:
    """Returns places and density of a one-dimensional distribution, [2, 512]."""
    places = np.linspace(*limits, 512)
    return np.stack([places, np.exp(np.asarray(distribution.log_density(places[:, None]), np.float64))])


def _limits(points: np.ndarray) -> tuple[float, float]:
    """Returns limits around nearly all points, because a few distant points would make the others too small."""
    if not len(points):
        return -1.0, 1.0
    low, high = np.percentile(points, 0.5, axis=0).min(), np.percentile(points, 99.5, axis=0).max()
    margin = 0.15 * (high - low) or 1.0
    return float(low - margin), float(high + margin)
