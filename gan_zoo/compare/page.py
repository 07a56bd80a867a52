"""The page of a comparison: one HTML file that needs nothing else.

Pictures, style and script are inside, and a content security policy keeps the browser from loading anything. The tree
of elements is built with the standard library's ElementTree, which escapes every text and attribute.
"""

import base64
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from importlib import resources
from typing import Any

from gan_zoo.compare import plots

Panels = dict[tuple[str, int], tuple[bytes, str]]
"""By method and seed: a PNG file of a run's samples, and what has to be said about it or an empty text."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'"

_RANKS = (
    "A method's value is the mean over its finished seeds, and the number after ± is the sample standard deviation "
    "over them (with n − 1). Methods are ranked by the mean of {primary}, {direction} first. A seed that diverged "
    "before the budget was spent, or has no finite value there, counts as worse than any number, because a mean over "
    "surviving seeds alone flatters: a method with fewer such seeds ranks before all methods with more of them, "
    "whatever their means. Equal methods share a rank, and a method without any value has none. The mark ★ goes by the "
    "mean alone, column by column. Where two means differ by less than their standard deviations, their order says "
    "little."
)


def _e(tag: str, /, *children: Any, **attributes: Any) -> ET.Element:
    """An element. Children are elements, texts, or lists of them; None is left out. `class_` stands for class."""
    element = ET.Element(tag, {key.rstrip("_").replace("_", "-"): str(value) for key, value in attributes.items()})
    last = None
    pending = list(children)
    while pending:
        child = pending.pop(0)
        if isinstance(child, list | tuple):
            pending = [*child, *pending]
        elif isinstance(child, ET.Element):
            element.append(child)
            last = child
        elif child is not None and last is None:
            element.text = (element.text or "") + str(child)
        elif child is not None:
            last.tail = (last.tail or "") + str(child)
    return element


def build(results: dict[str, Any], panels: Panels, reference: plots.Reference | None, table: bytes) -> bytes:
    """The page as a UTF-8 file.

    Args:
        results: As for `report.write`.
        panels: Of the runs that have samples.
        reference: What the samples are drawn over, or None for images.
        table: The CSV file, which the page offers to save.
    """
    title = f"{_count(len(results['methods']), 'GAN')} compared on {results['dataset']['name']}"
    source = resources.files("gan_zoo.compare")
    sections = [
        *_rankings(results),
        _curves(results),
        _samples(results, panels, reference),
        _losses(results),
        _methods(results),
        _conditions(results, table),
    ]
    links = [_e("li", _e("a", section.find("h2").text, href="#" + section.get("id"))) for section in sections]
    page = _e(
        "html",
        _e(
            "head",
            _e("meta", charset="utf-8"),
            _e("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            _e("meta", name="viewport", content="width=device-width, initial-scale=1"),
            _e("meta", name="color-scheme", content="light dark"),
            _e("link", rel="icon", href="data:,"),
            _e("title", title),
            _e("style", _colours(), (source / "report.css").read_text("utf-8")),
        ),
        _e(
            "body",
            _e("header", _e("h1", title), _summary(results), _e("nav", _e("ul", links), aria_label="Contents")),
            _e("main", sections),
            _e("script", (source / "report.js").read_text("utf-8")),
        ),
        lang="en",
    )
    return b"<!DOCTYPE html>\n" + ET.tostring(page, encoding="utf-8", method="html") + b"\n"


def _colours() -> str:
    """The themes of the pictures as variables of the style sheet; print takes the light one."""

    def variables(theme: plots.Theme) -> str:
        names = {"text": theme.text, "background": theme.background, "grid": theme.grid, "alarm": theme.alarm}
        names |= {f"line-{k}": colour for k, colour in enumerate(theme.lines)}
        return "".join(f"--{name}:{value};" for name, value in names.items())

    marks = f"--samples:{plots.SAMPLES};--truth:{plots.TRUTH};--data:{plots.DATA};"
    return (
        f":root{{{variables(plots.LIGHT)}{marks}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{variables(plots.DARK)}}}}}\n"
    )


def _summary(results: dict[str, Any]) -> list[ET.Element]:
    dataset, settings, methods = results["dataset"], results["settings"], results["methods"]
    primary = _primary(results)
    budgets = [f"after {_count(settings['steps'], 'update')} of the generator"]
    if results["tables"].get("seconds"):
        budgets.append(f"after {_seconds(settings['seconds'])} of training")
    said = [
        f"{_count(len(methods), 'GAN')} learned the dataset {dataset['name']}, each from "
        f"{_count(settings['seeds'], 'seed')}. All had the same networks, data, batch size and budget; what differs is "
        "the method: its losses and penalties, how often its discriminator moves, and whatever else is listed under "
        f"Methods. They are ranked by {primary['label']}, {' and '.join(budgets)}."
    ]
    for key, budget in zip(("steps", "seconds"), budgets, strict=False):
        leaders = [row for row in results["tables"][key] if row["rank"] == 1]
        if leaders:
            names = [part for row in leaders for part in (" and ", _e("strong", row["method"]))][1:]
            value = mean_text(leaders[0][primary["name"]], primary["digits"])
            said.append([f" First {budget}: ", names, f", with {value}."])
    notes = []
    diverged = [run for run in results["runs"] if run["status"] == "diverged"]
    if diverged:
        losers = dict.fromkeys(run["method"] for run in diverged)
        total = _count(len(results["runs"]), "run")
        notes.append(f"{len(diverged)} of {total} diverged: {', '.join(losers)}.")
    open_ = [method["name"] for method in methods if len(_runs(results, method["name"])) < settings["seeds"]]
    if open_:
        notes.append(f"Not all seeds have run yet: {', '.join(open_)}.")
    return [
        _e("p", said, class_="summary"),
        _e("p", f"{dataset['name']}: {dataset['description']}"),
        *(_e("p", _e("strong", "Note: "), note, class_="note") for note in notes),
    ]


def _rankings(results: dict[str, Any]) -> list[ET.Element]:
    settings = results["settings"]
    titles = {"steps": f"Ranking after {_count(settings['steps'], 'generator update')}"}
    explained = {"seconds": "Of each seed, the last measurement before the time was up."}
    if results["tables"].get("seconds"):
        titles["seconds"] = f"Ranking after {_seconds(settings['seconds'])} of training"
    sections = [
        _e(
            "section",
            _e("h2", title),
            _e("p", explained[key]) if key in explained else None,
            _ranking_table(results, key, title),
            id=f"ranking-{key}",
        )
        for key, title in titles.items()
    ]
    primary = _primary(results)
    direction = {"lower": "lowest", "higher": "highest"}[primary["better"]]
    terms = [
        (
            _e("dt", metric["label"], id=f"metric-{k}"),
            _e("dd", _direction(metric).capitalize(), ". ", metric["description"]),
        )
        for k, metric in enumerate(results["metrics"])
    ]
    sections[-1].extend(
        [
            _e("h3", "What the columns say"),
            _e(
                "dl",
                terms,
                _e("dt", "Diverged"),
                _e("dd", "Seeds whose training ended because a number ceased to be finite; the others finished."),
                _e("dt", "Training time"),
                _e("dd", "Seconds that a finished seed trained, without compilation and measuring."),
                (
                    _e("dt", "The data themselves"),
                    _e("dd", "Fresh draws of the true distribution in the place of samples: no generator is better."),
                )
                if results.get("reference")
                else None,
                class_="terms",
            ),
            _e("h3", "How ranks are made"),
            _e("p", _RANKS.format(primary=primary["label"], direction=direction)),
        ]
    )
    return sections


def _ranking_table(results: dict[str, Any], key: str, title: str) -> ET.Element:
    rows, metrics, seeds = results["tables"][key], results["metrics"], results["settings"]["seeds"]
    columns = [(metric["name"], metric["better"], metric["digits"]) for metric in metrics] + [("seconds", "lower", 1)]
    best = {}
    for name, better, _ in columns:
        means = [row[name]["mean"] for row in rows if row[name]["mean"] is not None]
        # Where all are equal, none is better than another.
        apart = len(rows) == 1 or len(set(means)) > 1
        best[name] = (min if better == "lower" else max)(means, default=None) if apart else None
    head = [
        _header("Rank", sort="ascending"),
        _header("Method", kind="text"),
        _header("Diverged", "of the seeds"),
        [
            _header(metric["label"], _direction(metric), metric["description"], metric["better"], f"metric-{k}")
            for k, metric in enumerate(metrics)
        ],
        _header("Training time", "seconds, lower is better"),
    ]
    body = []
    for row in rows:
        index = next(k for k, method in enumerate(results["methods"]) if method["name"] == row["method"])
        count, diverged = len(_runs(results, row["method"])), row["diverged"]
        missing = _e("small", f"{seeds - count} not run yet") if count < seeds else None
        failed = _e("span", f"{diverged} of {count} diverged", class_="alarm") if diverged else f"0 of {count}"
        body.append(
            _e(
                "tr",
                _e("td", _unknown() if row["rank"] is None else row["rank"], data_value=_number(row["rank"])),
                _e("th", _swatch(index), _name(row["method"]), scope="row"),
                _e("td", failed, missing, class_="seeds", data_value=diverged),
                [
                    _cell(
                        row[name],
                        digits,
                        row[name]["mean"] is not None and row[name]["mean"] == best[name],
                        count - diverged,
                    )
                    for name, _, digits in columns
                ],
            )
        )
    width = "many" if len(metrics) > 4 else "few"
    table = _e(
        "table",
        _e("caption", title),
        _e("thead", _e("tr", head)),
        _e("tbody", body),
        _e("tfoot", _truth_row(results, columns)) if results.get("reference") else None,
        class_=f"sortable ranking {width}",
    )
    return _scroll(table, title)


def _truth_row(results: dict[str, Any], columns: Sequence[tuple[str, str, int]]) -> ET.Element:
    """What draws of the data themselves measure, below the methods."""
    reference = results["reference"]
    cells = [
        _cell(reference[name], digits, False, reference[name]["n"]) if name in reference else _e("td")
        for name, _, digits in columns
    ]
    return _e("tr", _e("td"), _e("th", "the data themselves", scope="row"), _e("td"), cells)


def _header(
    label: str,
    below: str = "",
    tip: str = "",
    better: str = "lower",
    describes: str = "",
    kind: str = "",
    sort: str = "",
) -> ET.Element:
    """The head of a column that a click sorts, at first from the better end."""
    button = _e("button", _e("span", label), _e("span", class_="arrow", aria_hidden="true"), type="button")
    if tip:
        button.set("title", tip)
        button.set("aria-describedby", describes)
    cell = _e("th", button, _e("small", below) if below else None, scope="col", aria_sort=sort or "none")
    cell.set("data-label", label)  # a head that print repeats on every page loses its button
    cell.set("data-first", {"lower": "ascending", "higher": "descending"}[better])
    if kind:
        cell.set("data-kind", kind)
    return cell


def _cell(value: dict[str, Any], digits: int, best: bool, finished: int) -> ET.Element:
    """Mean ± standard deviation of one method; says over how many seeds where not all finished ones have a value."""
    if value["mean"] is None:
        return _e("td", _unknown(), data_value="")
    mark = [_e("span", "★", class_="star", aria_hidden="true"), _e("span", "best: ", class_="hidden")] if best else None
    spread = None if value["std"] is None else _e("span", f" ± {value['std']:.{digits}f}", class_="spread")
    part = _e("small", f"of {_count(value['n'], 'seed')}") if value["n"] < finished else None
    cell = _e("td", mark, f"{value['mean']:.{digits}f}", spread, part, data_value=_number(value["mean"]))
    if best:
        cell.set("class", "best")
    return cell


def _unknown() -> list[ET.Element]:
    return [_e("span", "–", aria_hidden="true"), _e("span", "unknown", class_="hidden")]


def _curves(results: dict[str, Any]) -> ET.Element:
    legend = [_e("li", _swatch(k), _name(method["name"])) for k, method in enumerate(results["methods"])]
    steps = [_curve(results, metric, "step") for metric in results["metrics"]]
    return _e(
        "section",
        _e("h2", "Curves"),
        _e(
            "p",
            "Lines are means over finished seeds, bands reach one sample standard deviation to both sides, and the "
            "dotted upright line is the budget. A cross is where a seed diverged; it lies on the frame where the seed "
            "had left it. Axes are logarithmic where values spread widely.",
        ),
        _e("ul", legend, class_="legend"),
        _e("h3", "Over the generator's updates"),
        _e("div", steps, class_="figures"),
        _e("h3", "Over the training time"),
        _e("div", _curve(results, _primary(results), "seconds"), class_="figures"),
        id="curves",
    )


def _curve(results: dict[str, Any], metric: dict[str, Any], axis: str) -> ET.Element:
    over = {"step": "generator updates", "seconds": "seconds of training"}[axis]
    ends = []
    for method in results["methods"]:
        runs = [run for run in results["runs"] if run["method"] == method["name"] and run["status"] == "done"]
        mean = plots.band(runs, axis, metric["name"])[1]
        last = f"{mean[-1]:.{metric['digits']}f}" if len(mean) and math.isfinite(mean[-1]) else "unknown"
        ends.append(f"{method['name']} {last}")
    return _e(
        "figure",
        _themed(
            plots.curve(results, metric, axis),
            plots.curve(results, metric, axis, plots.DARK),
            f"{metric['label']} over {over}, one line for each method. Last means: {', '.join(ends)}.",
        ),
    )


def _samples(results: dict[str, Any], panels: Panels, reference: plots.Reference | None) -> ET.Element:
    seeds = sorted({run["seed"] for run in results["runs"]})
    runs = {(run["method"], run["seed"]): run for run in results["runs"]}
    look = "pixels" if reference is None else "points"
    body = [
        _e(
            "tr",
            _e("th", _name(method["name"]), scope="row"),
            [_sample(method["name"], seed, runs.get((method["name"], seed)), panels, look) for seed in seeds],
        )
        for method in results["methods"]
    ]
    head = _e("tr", _e("th", "Method", scope="col"), [_e("th", f"seed {seed}", scope="col") for seed in seeds])
    table = _e("table", _e("caption", "Samples of every run"), _e("thead", head), _e("tbody", body), class_="samples")
    return _e(
        "section",
        _e("h2", "Samples"),
        _e("p", _samples_explained(results["dataset"], reference)),
        _scroll(table, "Samples of every run"),
        id="samples",
    )


def _samples_explained(dataset: dict[str, Any], reference: plots.Reference | None) -> list[Any]:
    if reference is None:
        return ["What each run's generator makes at the end, the first images of its draws."]
    low, high = reference.limits
    frame = f" Every frame reaches from {low:.3g} to {high:.3g}, and says where it leaves samples out."
    blue = _e("span", "Blue", class_="key-samples")
    if list(dataset["shape"]) == [1]:
        truth = _e("span", "the line in orange", class_="key-truth")
        return [
            blue,
            " is the histogram of what each run's generator makes at the end, ",
            ["and ", truth, " is the true density. The height is twice that of the density; taller bars are cut."]
            if reference.density is not None
            else "all on one scale of their own.",
            frame,
        ]
    parts: list[Any] = [blue, " points are what each run's generator makes at the end."]
    if reference.centres is not None:
        parts += [" Circles in ", _e("span", "orange", class_="key-truth"), " lie around the modes of the data, "]
        parts += ["three standard deviations wide to each side."]
    elif reference.draws is not None:
        parts += [" Points in ", _e("span", "grey", class_="key-data"), " below them are draws of the data."]
    if reference.axes is not None:
        of = "the data" if reference.draws is not None else "all samples"
        parts += [f" Shown are the first two principal axes of {of}, of {dataset['shape'][0]} dimensions."]
    return [*parts, frame]


def _sample(method: str, seed: int, run: dict[str, Any] | None, panels: Panels, look: str) -> ET.Element:
    if run is None:
        return _e("td", "not run yet", class_="absent")
    failed = run["status"] == "diverged"
    words = (
        [_e("strong", "diverged", class_="alarm"), f": {run['reason']}" if run["reason"] else None] if failed else []
    )
    image = None
    if (method, seed) in panels:
        png, note = panels[method, seed]
        alt = f"Samples of {method}, seed {seed}{', which diverged' if failed else ''}"
        image = _e("img", src=_uri(png), alt=alt, class_=look)
    else:
        note = "no samples"
    if note:
        words.append(_e("small", note))
    return _e("td", image, _e("p", words) if words else None, class_="failed" if failed else "sound")


def _losses(results: dict[str, Any]) -> ET.Element:
    figures = [
        _e(
            "figure",
            _e("figcaption", _name(method["name"])),
            _themed(
                plots.losses(results, method["name"]),
                plots.losses(results, method["name"], plots.DARK),
                f"Losses of {method['name']} over the generator's updates: the discriminator's and the generator's.",
            ),
        )
        for method in results["methods"]
    ]
    return _e(
        "section",
        _e("h2", "Losses"),
        _e(
            "p",
            "The discriminator's above, the generator's below; one thin line for each seed, and a cross where a seed "
            "diverged. Losses of different methods are different quantities: their values cannot be compared. Frames "
            "leave out the outermost hundredth of the values on either side.",
        ),
        _e("div", figures, class_="figures small"),
        id="losses",
    )


def _methods(results: dict[str, Any]) -> ET.Element:
    rows = [
        _e(
            "tr",
            _e("th", _name(method["name"]), scope="row"),
            _e("td", _e("code", _name(method["model"]))),
            _e("td", method["paper"]),
            _e("td", _pairs(method["arguments"]) or "none"),
            _e("td", _plain(method["n_critic"])),
            _e("td", _pairs(method["optimizer"])),
        )
        for method in results["methods"]
    ]
    names = ("Method", "Model", "Paper", "Arguments", "Discriminator turns", "Optimizer")
    head = _e("tr", [_e("th", name, scope="col") for name in names])
    table = _e("table", _e("caption", "Methods"), _e("thead", head), _e("tbody", rows), class_="text")
    return _e("section", _e("h2", "Methods"), _scroll(table, "Methods"), id="methods")


def _conditions(results: dict[str, Any], table: bytes) -> ET.Element:
    environment = {key: value for key, value in results["environment"].items() if key != "command"}
    download = _e("a", "results.csv", download="results.csv", href=_uri(table, "text/csv"))
    return _e(
        "section",
        _e("h2", "Settings and environment"),
        _e("p", "The same comparison, given the same versions and machine:"),
        _e("pre", _e("code", results["environment"]["command"])),
        _e("p", "The values of every run as a table: ", download),
        _e("div", _facts("Settings", results["settings"]), _facts("Environment", environment), class_="facts"),
        id="settings",
    )


def _facts(title: str, values: dict[str, Any]) -> ET.Element:
    rows = [_e("tr", _e("th", _e("code", key), scope="row"), _e("td", _plain(value))) for key, value in values.items()]
    return _scroll(_e("table", _e("caption", title), _e("tbody", rows), class_="text"), title)


def _scroll(child: ET.Element, label: str) -> ET.Element:
    """A box that scrolls what is wider than the page, also by the keyboard."""
    return _e("div", child, class_="scroll", tabindex=0, role="region", aria_label=label)


def _themed(light: bytes, dark: bytes, alt: str) -> ET.Element:
    return _e(
        "picture",
        _e("source", media="screen and (prefers-color-scheme: dark)", srcset=_uri(dark)),
        _e("img", src=_uri(light), alt=alt),
    )


def _uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _swatch(index: int) -> ET.Element:
    """A piece of a method's line, as the curves draw it."""
    colour, dashes = plots.style(index)
    line = _e("line", x1=0, y1=5, x2=40, y2=5, style=f"stroke:var(--line-{colour})")
    if dashes:
        line.set("stroke-dasharray", " ".join(f"{2 * length:g}" for length in dashes))
    return _e("svg", line, class_="swatch", viewBox="0 0 40 10", aria_hidden="true")


def _name(name: str) -> ET.Element:
    """A method's name, which may break where its arguments begin rather than amid a word."""
    parts = re.split(r"(?<=[(,])(?! )", name)
    return _e("span", [(part, _e("wbr")) for part in parts[:-1]], parts[-1], class_="name")


def _runs(results: dict[str, Any], method: str) -> list[dict[str, Any]]:
    return [run for run in results["runs"] if run["method"] == method]


def _primary(results: dict[str, Any]) -> dict[str, Any]:
    return next(metric for metric in results["metrics"] if metric["name"] == results["primary"])


def _direction(metric: dict[str, Any]) -> str:
    return f"{metric['better']} is better"


def mean_text(value: dict[str, Any], digits: int) -> str:
    """The statistics of a metric as "0.31 ± 0.02"."""
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


def _number(value: float | None) -> str:
    """For the script that sorts: all digits, or nothing."""
    return "" if value is None else repr(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _seconds(value: float) -> str:
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {'second' if number == '1' else 'seconds'}"


def _pairs(value: Any) -> str:
    """Settings by name as "a = 1, b = 2"."""
    return ", ".join(f"{k} = {_plain(v)}" for k, v in value.items()) if isinstance(value, dict) else _plain(value)


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
