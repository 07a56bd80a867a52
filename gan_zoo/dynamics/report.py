"""Reports of methods on the Dirac-GAN: a table of eigenvalues and verdicts, a figure, and an animation."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gan_zoo.dynamics import game as games
from gan_zoo.dynamics.dirac_gan import dirac
from gan_zoo.registry.variant_lists import Method
from gan_zoo.util import command_line
from gan_zoo.util.files import atomic_file
from gan_zoo.util.pictures import figure_png

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#9a9a9a"
_ON_AXIS = 1e-9
"""A spectral radius counts as 1 if it differs from 1 by less than this. Eigenvalues are exact to about 1e-12."""

_AT_REST = 1e-6
_CONVERGES = "converges linearly"


def _fate(radius: float) -> str:
    """Returns what happens to a small distance from the equilibrium: see `games.spectral_radius`."""
    if radius < 1 - _ON_AXIS:
        return _CONVERGES
    return "moves away" if radius > 1 + _ON_AXIS else "undecided, not linear"


@dataclasses.dataclass
class Found:
    """The results of a method on the Dirac-GAN.

    Attributes:
        name: Name of the method.
        eigenvalues: Eigenvalues of the field's derivative at (0, 0), complex [2]; None if there is no derivative.
        radii: Spectral radius of the update's derivative, by schedule; empty if there is no derivative.
        paths: Points of gradient descent, [steps + 1, 2], by schedule.
        arrows: The field at a grid of points: (points, [M, 2]; values, [M, 2]).
    """

    name: str
    eigenvalues: np.ndarray | None
    radii: dict[str, float]
    paths: dict[str, np.ndarray]
    arrows: tuple[np.ndarray, np.ndarray]

    def distance(self, schedule: str) -> float:
        """Returns the distance from the equilibrium at the end of the path."""
        return float(np.hypot(*self.paths[schedule][-1]))

    @property
    def verdict(self) -> str:
        """The behaviour of gradient descent near the equilibrium, according to the update's derivative."""
        if self.eigenvalues is None:
            return "the field jumps at the equilibrium: no linear convergence"
        at_once, in_turns = (_fate(self.radii[schedule]) for schedule in games.SCHEDULES)
        if at_once != in_turns:
            return f"at once: {at_once}; in turns: {in_turns}"
        if at_once != _CONVERGES:
            return at_once
        circles = np.abs(self.eigenvalues.imag).max() > 1e-6
        return f"{at_once}, {'in a spiral' if circles else 'without circling'}"


def examine(
    method: Method,
    *,
    start: Sequence[float],
    step_size: float,
    steps: int,
    d_steps: int = 1,
    limit: float = 3.0,
    grid: int = 15,
) -> Found:
    """Computes the eigenvalues, paths and field of a method on the Dirac-GAN.

    Args:
        method: The method.
        start: Starting point of the paths, (theta, psi).
        step_size: Step size h.
        steps: Number of steps of the paths.
        d_steps: Steps of D for each step of G in the alternating paths.
        limit: The field is evaluated on [-limit, limit]^2.
        grid: Number of points in each direction at which the field is evaluated.
    """
    game = dirac(method.model, **method.arguments)
    smooth = game.is_differentiable()
    schedules = {name: dict(schedule=name, d_steps=d_steps) for name in games.SCHEDULES}
    side = np.linspace(-limit, limit, grid)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    radius = lambda how: games.spectral_radius(game.update_jacobian(step_size=step_size, **how))  # noqa: E731
    return Found(
        method.name,
        games.eigenvalues(game.jacobian()) if smooth else None,
        {name: radius(how) for name, how in schedules.items()} if smooth else {},
        {n: game.trajectory(start, step_size=step_size, steps=steps, **how) for n, how in schedules.items()},
        (points, game.fields(points)),
    )


def complex_text(values: np.ndarray | None, digits: int = 6) -> str:
    """Returns eigenvalues as text, "-0.15 ± 0.477i" or "-1.866, -0.134", or the reason why there are none."""
    if values is None:
        return "none: the field jumps"
    rounded = [complex(round(v.real, digits) + 0.0, round(v.imag, digits) + 0.0) for v in values]
    if rounded[0].imag and rounded[0] == rounded[1].conjugate():
        real = f"{rounded[0].real:.6g} " if rounded[0].real else ""
        return f"{real}± {abs(rounded[0].imag):.6g}i"
    return ", ".join(f"{v.real:.6g}" + (f" + {v.imag:.6g}i" if v.imag else "") for v in rounded)


def rows(found: Sequence[Found], step_size: float, steps: int) -> list[tuple[str, ...]]:
    """Returns a table of eigenvalues, factors, distances and verdicts: a head, and a row for each method."""
    head = ("method", "eigenvalues", f"|F'| h={step_size:g}", "alt.", f"|w| at {steps}", "alt.", "verdict")
    cells = [head]
    for one in found:
        factors = [f"{one.radii[name]:.6f}" if one.radii else "none" for name in games.SCHEDULES]
        distances = [one.distance(name) for name in games.SCHEDULES]
        ends = [f"< {_AT_REST:g}" if distance < _AT_REST else f"{distance:.4g}" for distance in distances]
        cells.append((one.name, complex_text(one.eigenvalues), *factors, *ends, one.verdict))
    return cells


def table(found: Sequence[Found], step_size: float, steps: int) -> str:
    """Returns `rows` as aligned text."""
    return command_line.aligned(rows(found, step_size, steps))


def _figure(found: Sequence[Found], limit: float):
    """Draws a panel with the field for each method, and a legend. Returns the figure and its panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns = min(6, max(1, math.ceil(math.sqrt(len(found)))))
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(2.25 * columns, 2.55 * rows + 0.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = grid.ravel()[: len(found)]
    for spare in grid.ravel()[len(found) :]:
        spare.set_visible(False)
    for axes, one in zip(panels, found, strict=True):
        points, values = one.arrows
        length = np.linalg.norm(values, axis=1, keepdims=True)
        # Arrows show directions, and are only a little longer where the field is stronger: its strength spans decades.
        unit = np.divide(values, length, out=np.zeros_like(values), where=length > 0) * np.tanh(2 * length + 0.3)
        axes.quiver(*points.T, *unit.T, color=GREY, angles="xy", scale=22, width=0.006, zorder=1)
        axes.plot(0, 0, "+", color="black", markersize=9, zorder=5)
        axes.set_title(f"{one.name}\n{complex_text(one.eigenvalues, digits=3)}", fontsize=8.5)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axes.tick_params(labelsize=7)
    for row in range(rows):
        grid[row, 0].set_ylabel("ψ", fontsize=9)
    for column in range(columns):
        below = grid[max(row for row in range(rows) if row * columns + column < len(found)), column]
        below.set_xlabel("θ", fontsize=9)
        below.tick_params(labelbottom=True)
    marks = [
        Line2D([], [], color=BLUE, label="both at once (SimGD)"),
        Line2D([], [], color=ORANGE, label="G, then D (AltGD)"),
        Line2D([], [], color="black", marker="o", linestyle="", label="start"),
        Line2D([], [], color="black", marker="s", linestyle="", markersize=5, label="end, in its path's colour"),
        Line2D([], [], color="black", marker="+", linestyle="", markersize=9, label="equilibrium"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(5, 2 * columns), fontsize=8.5, frameon=False)
    return figure, panels


def _curves(axes, one: Found, end: int):
    """Draws the paths up to a step, with their marks, and returns the drawn objects."""
    artists = []
    for schedule, colour, width in (("simultaneous", BLUE, 1.1), ("alternating", ORANGE, 0.8)):
        path = one.paths[schedule][: end + 1]
        artists += axes.plot(*path.T, color=colour, linewidth=width, zorder=2)
        artists += axes.plot(*path[-1], "s", color=colour, markersize=5, markeredgecolor="white", zorder=4)
    artists += axes.plot(*one.paths["simultaneous"][0], "o", color="black", markersize=4.5, zorder=3)
    return artists


def draw(found: Sequence[Found], output: Path, limit: float = 3.0) -> None:
    """Writes the paths over the field, one panel for each method on shared axes, as a PNG file.

    Args:
        found: The methods.
        output: The file.
        limit: The axes go from -limit to limit.
    """
    figure, panels = _figure(found, limit)
    for axes, one in zip(panels, found, strict=True):
        _curves(axes, one, len(one.paths["simultaneous"]))
    with atomic_file(output) as file:
        file.write(figure_png(figure))


def animate(found: Sequence[Found], output: Path, frames: int = 60, seconds: float = 6.0, limit: float = 3.0) -> None:
    """Writes the same panels with the paths growing, as a GIF file that repeats.

    Args:
        found: The methods.
        output: The file.
        frames: Number of pictures. The first steps have more pictures than the last steps.
        seconds: Time in seconds in which the paths grow. Then the last picture stays for two seconds.
        limit: The axes go from -limit to limit.
    """
    from PIL import Image

    figure, panels = _figure(found, limit)
    canvas = figure.canvas
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    steps = len(found[0].paths["simultaneous"]) - 1
    pictures = []
    for end in np.unique(np.round(steps * np.linspace(0.0, 1.0, frames) ** 2).astype(int)):
        canvas.restore_region(background)
        for axes, one in zip(panels, found, strict=True):
            for artist in _curves(axes, one, end):
                axes.draw_artist(artist)
                artist.remove()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    palette = pictures[-1].quantize(64, dither=Image.Dither.NONE)
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    durations = [round(1000 * seconds / len(pictures))] * (len(pictures) - 1) + [2000]
    with atomic_file(output) as file:
        pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
