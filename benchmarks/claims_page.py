"""Writes docs/claims.md and its figures from docs/claims.json, the results of claims.py."""

import math
import textwrap
from pathlib import Path

import numpy as np

from gan_zoo.data import synthetic

HEAD = """# Claims of the papers, measured

`python benchmarks/claims.py --page` makes this page from [claims.json](claims.json), which holds every run with all its
settings: {runs} runs, on {cores} cores of {cpu} shared with much other work. The seconds are the fewest of a run's
seeds and are not precise. TensorFlow {tensorflow}, Keras {keras}. All runs use the zoo's own classes, losses and
updates.

    python benchmarks/claims.py --claims=all --seeds=3 --json=docs/claims.json

These are small games of a few numbers or two coordinates, on which a claim can be tested in minutes. They do not test
claims about images. Where a setting had to be chosen, the text says how, and on which seeds. The reported seeds are 0,
1, ..., with none left out. A cell holds one value for each seed. A claim counts only seeds for which all its runs
exist: claims with long runs have fewer than three. "In part" means that some criterion fails for some seed: the tables
say which. Running the command again adds the missing runs.

| claim | verdict | seeds |
|---|---|---|
{verdicts}
"""

SETTINGS_LEFT_OUT = ("keep", "figure")


def present(claim, results: list[dict]) -> dict[int, dict[str, dict]]:
    """Returns {seed: {run: result}} for the seeds that have all runs of a claim with its current settings."""
    seeds = {}
    for result in results:
        if result["claim"] == claim.name and result["run"] in claim.runs:
            if result["settings"] != claim.recorded(result["run"]):
                continue
            seeds.setdefault(result["seed"], {})[result["run"]] = _with_nan(result)
    return {seed: runs for seed, runs in sorted(seeds.items()) if len(runs) == len(claim.runs)}


def _with_nan(value):
    """Replaces None with NaN, which passes no criterion."""
    if isinstance(value, dict):
        return {k: _with_nan(v) for k, v in value.items()}
    return math.nan if value is None else value


def passed(claim, seeds: dict) -> dict[str, list[bool]]:
    """Returns for each criterion whether it holds, one value per seed."""
    return {text: [bool(test(runs)) for runs in seeds.values()] for text, test in claim.criteria.items()}


def verdict(claim, seeds: dict) -> str:
    held = [all(of) for of in passed(claim, seeds).values()]
    if not seeds:
        return "not run"
    if all(held):
        return "reproduced"
    return "in part" if any(any(of) for of in passed(claim, seeds).values()) else "not reproduced"


def _cell(result: dict, key: str, form: str) -> str:
    value = result
    for part in key.split("."):
        value = value.get(part, math.nan) if isinstance(value, dict) else math.nan
    return "-" if math.isnan(value) else format(value, form)


def _setting(value) -> str:
    if isinstance(value, list | tuple):
        first, *rest = [_setting(v) for v in value]
        call = isinstance(value[0], str) and rest and not isinstance(value[1], str)
        return f"{first}({', '.join(rest)})" if call else f"[{', '.join([first, *rest])}]" if rest else first
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_setting(v)}" for k, v in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _settings(settings: dict) -> str:
    pairs = dict(settings)
    pairs |= pairs.pop("arguments", {})
    return ", ".join(f"{k}={_setting(v)}" for k, v in pairs.items() if k not in SETTINGS_LEFT_OUT)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_on_hyphens=False)


def section(claim, results: list[dict]) -> str:
    """Returns the section of a claim."""
    seeds = present(claim, results)
    head = " | ".join(claim.columns)
    lines = [f"\n## {claim.title}\n", _wrapped(claim.text) + "\n"]
    lines += [
        f"    python benchmarks/claims.py --claims={claim.name} --seeds={min(3, claim.seeds)} --json=docs/claims.json\n"
    ]
    lines += [f"| run | {head} | seconds |", f"|---|{'---|' * len(claim.columns)}---|"]
    for run in claim.runs:
        runs = [of[run] for of in seeds.values()]
        cells = [", ".join(_cell(r, key, form) for r in runs) for key, form in claim.columns.values()]
        seconds = f"{min(r['seconds'] for r in runs):.0f}" if runs else "-"
        lines.append(f"| {run} | {' | '.join(cells)} | {seconds} |")
    lines += ["", "| criterion | holds for |", "|---|---|"]
    for text, held in passed(claim, seeds).items():
        lines.append(f"| {text} | {sum(held)} of {len(held)} seeds |".replace("1 of 1 seeds", "1 of 1"))
    if claim.note:
        lines += ["", _wrapped(claim.note)]
    if claim.figure:
        lines += ["", f"![{claim.title}](claims-{claim.figure}.png)", "", _wrapped(claim.caption)]
    lines += ["", f"Settings: `{_settings(claim.common)}`", ""]
    lines += [f"- {run}: `{_settings(own)}`" for run, own in claim.runs.items() if own]
    return "\n".join(lines) + "\n"


def markdown(claims: list, results: dict) -> str:
    """Returns the page."""
    rows = []
    for claim in claims:
        seeds = present(claim, results["runs"])
        anchor = "".join(c for c in claim.title.lower().replace(" ", "-") if c.isalnum() or c == "-")
        rows.append(f"| [{claim.title}](#{anchor}) | {verdict(claim, seeds)} | {len(seeds)} |")
    head = HEAD.format(
        verdicts="\n".join(rows),
        runs=len(results["runs"]),
        **results["machine"],
    )
    return head + "".join(section(claim, results["runs"]) for claim in claims)


# Figures. Each shows the first seed.

BLUE, RED, GREY = "#1f5fbf", "#c0392b", "#bbbbbb"


def _kept(results: list[dict], claim: str) -> dict[str, dict]:
    """Returns {run: data for the figure} of a claim."""
    return {r["run"]: r["figure"] for r in results if r["claim"] == claim and r["seed"] == 0 and "figure" in r}


def _bare(axes, limit: float | None = None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
    if limit:
        axes.set_xlim(-limit, limit)
        axes.set_ylim(-limit, limit)


def ring8(figure, claim, results: list[dict]) -> None:
    """Draws samples at several steps, as in figure 2 of Metz et al."""
    kept = _kept(results, claim.name)
    runs = {run: kept[run]["samples"] for run in claim.runs if run in kept and run != "K = 5"}
    centers = synthetic.modes("ring8")[0]
    rows = figure.subplots(len(runs), len(next(iter(runs.values()))), squeeze=False)
    figure.set_size_inches(9, 1.9 * len(runs))
    for row, (run, clouds) in zip(rows, runs.items(), strict=True):
        for axes, (step, points) in zip(row, sorted(clouds.items(), key=lambda kv: int(kv[0])), strict=True):
            axes.scatter(*centers.T, s=60, facecolors="none", edgecolors=RED, linewidths=0.8)
            axes.scatter(*np.transpose(points), s=3, alpha=0.4, color=BLUE, linewidths=0)
            _bare(axes, 2.8)
            if axes.get_subplotspec().is_first_row():
                axes.set_title(f"step {int(step):,}", fontsize=9)
        row[0].set_ylabel(run, fontsize=9)


def critics(figure, claim, results: list[dict]) -> None:
    """Draws value surfaces and the norms of gradients by layer, as in figure 1 of Gulrajani et al."""
    kept = _kept(results, "surfaces")
    figure.set_size_inches(10, 5)
    grid = figure.add_gridspec(2, 4)
    side = np.linspace(-2.5, 2.5, 48)
    places = [(row, column) for row in range(2) for column in range(2)]
    for (run, surface), place in zip(sorted(kept.items()), places, strict=True):
        axes = figure.add_subplot(grid[place])
        axes.contourf(side, side, surface["values"], levels=14, cmap="viridis")
        axes.scatter(*np.transpose(surface["real"]), s=2, color="white", linewidths=0)
        axes.set_title(run, fontsize=9)
        _bare(axes, 2.0)
    axes = figure.add_subplot(grid[:, 2:])
    for run in claim.runs:
        for result in results:
            if (result["claim"], result["run"], result["seed"]) != (claim.name, run, 0):
                continue
            norms = np.array(result["log10_norms"])
            norms[norms <= -40] = np.nan
            axes.plot(range(1, len(norms) + 1), norms, "o-", markersize=3, label=run)
    axes.set_xlabel("hidden layer", fontsize=9)
    axes.set_title("log10 of the norm of the critic's gradient", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def dirac(figure, claim, results: list[dict]) -> None:
    """Draws paths of (theta, psi) on shared axes."""
    kept = _kept(results, claim.name)
    columns = 5
    rows = -(-len(kept) // columns)
    figure.set_size_inches(10, 2.15 * rows)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True).ravel()
    for axes in panels[len(kept) :]:
        axes.set_visible(False)
    panels[-columns].set_xlabel("theta", fontsize=8)
    panels[-columns].set_ylabel("psi", fontsize=8)
    for axes, run in zip(panels, (run for run in claim.runs if run in kept), strict=False):
        for schedule, color in (("alternating", GREY), ("simultaneous", BLUE)):
            if schedule in kept[run]["paths"]:
                path = np.array(kept[run]["paths"][schedule])
                axes.plot(*path.T, color=color, linewidth=0.7)
                axes.plot(*path[-1], "s", color=color if schedule == "alternating" else RED, markersize=4)
        axes.plot(1, -1, "o", color="black", markersize=4)
        axes.plot(0, 0, "+", color="black", markersize=8)
        axes.set_title(run, fontsize=9)
        axes.set_xlim(-3.2, 3.2)
        axes.set_ylim(-3.2, 3.2)
        axes.set_aspect("equal")
        axes.tick_params(labelsize=7)


def games(figure, claim, results: list[dict]) -> None:
    """Draws the bilinear game in its plane, and the first player's strategy in the triangle of mixed strategies."""
    figure.set_size_inches(9, 6)
    rows = figure.subplots(2, 3)
    names = ("simultaneous", "alternating", "consensus")
    corners = np.array([[0, 0], [1, 0], [0.5, 3**0.5 / 2]])
    bilinear, hands = _kept(results, "bilinear"), _kept(results, "rock_paper_scissors")
    for name, upper, lower in zip(names, *rows, strict=True):
        path = np.array(bilinear[name]["path"])
        upper.plot(*path.T, color=BLUE, linewidth=0.7)
        upper.plot(*path[0], "o", color="black", markersize=5)
        upper.plot(*path[-1], "s", color=RED, markersize=5)
        upper.plot(0, 0, "+", color="black", markersize=9)
        upper.set_title(f"xy, {name}", fontsize=9)
        upper.set_aspect("equal")
        upper.set_xlim(-18, 18) if name == "simultaneous" else upper.set_xlim(-2, 2)
        upper.set_ylim(*upper.get_xlim())
        upper.tick_params(labelsize=7)
        path = np.array(hands[name]["path"]) @ corners
        lower.plot(*np.vstack([corners, corners[:1]]).T, color=GREY, linewidth=1)
        lower.plot(*path.T, color=BLUE, linewidth=0.5)
        lower.plot(*path[0], "o", color="black", markersize=5)
        lower.plot(*path[-1], "s", color=RED, markersize=5)
        for corner, hand, shift in zip(corners, ("rock", "paper", "scissors"), (-0.06, -0.06, 0.03), strict=True):
            lower.text(corner[0], corner[1] + shift, hand, fontsize=8, ha="center", va="center")
        lower.set_title(f"rock-paper-scissors, {name}", fontsize=9)
        lower.set_aspect("equal")
        lower.axis("off")


def lines(figure, claim, results: list[dict]) -> None:
    """Draws theta at each step."""
    figure.set_size_inches(7, 3.2)
    axes = figure.subplots()
    for run, kept in _kept(results, claim.name).items():
        theta = kept["theta"]
        axes.plot(np.linspace(1, 2000, len(theta)), theta, linewidth=1.2, label=run)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel("theta", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2)


def figures(claims: list, results: dict, folder: Path) -> None:
    """Draws the figure of each claim that has one."""
    from matplotlib.figure import Figure

    draw = {"ring8": ring8, "critics": critics, "dirac": dirac, "games": games, "lines": lines}
    for claim in claims:
        if claim.figure and present(claim, results["runs"]):
            figure = Figure(layout="constrained", dpi=90)
            draw[claim.figure](figure, claim, results["runs"])
            figure.savefig(folder / f"claims-{claim.figure}.png", pil_kwargs={"optimize": True})
