"""The report of a comparison: ranks against hand-made ones, the contents of its files, and the page in a browser."""

import base64
import csv
import html.parser
import io
import json
import math
import shutil
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from gan_zoo.compare import page, plots, report
from gan_zoo.data import synthetic
from gan_zoo.util.errors import UserError

METRICS = [
    {"name": "w1", "label": "Wasserstein-1", "better": "lower", "digits": 3, "description": 'Moving <mass>, "cost".'},
    {"name": "modes", "label": "Modes", "better": "higher", "digits": 1, "description": "Modes with samples."},
]


def make_results(
    methods=("gan", "wgan_gp(gp_weight=<b>0.1</b>)", "lsgan"),
    seeds=2,
    *,
    dataset="ring8",
    shape=(2,),
    kind="points",
    limits=(-2.8, 2.8),
    metrics=METRICS,
    points=6,
    samples=100,
    diverged=(("gan", 1),),
    absent=(("lsgan", 1),),
):
    """Returns artificial results: the number of the method is its quality, and noise comes from a fixed seed."""
    random = np.random.default_rng(0)
    runs = []
    for k, method in enumerate(methods):
        for seed in range(seeds):
            if (method, seed) in absent:
                continue
            failed = (method, seed) in diverged
            level = 0.3 * (k + 1) + 0.01 * seed
            values = {m["name"]: level if m["better"] == "lower" else 8 - level for m in metrics}
            curve = []
            for j in range(points // 2 if failed else points):
                factor = 1 + 5 * math.exp(-6 * j / points) * random.uniform(0.5, 1)
                row = {name: value * factor for name, value in values.items()}
                curve.append({"step": j * 2000, "seconds": j * 2.5 * (1 + 0.2 * k), **row})
            steps = range(0, 4000 if failed else 10000, 10000 // (points * 5))
            losses = [{"step": s, "d_loss": random.normal(1, 0.1), "g_loss": random.normal(2, 0.3)} for s in steps]
            if kind == "image":
                drawn = random.integers(0, 256, (16, *shape)).tolist()
            else:
                angle = random.integers(0, 8 - k % 6, samples) * math.pi / 4
                drawn = np.zeros((samples, *shape))
                drawn[:, 0] = 2 * np.cos(angle)
                drawn[:, -1] = 2 * np.sin(angle)
                drawn = (drawn + random.normal(0, 0.05 * (k + 1), drawn.shape)).tolist()
            runs.append(
                {
                    "method": method,
                    "seed": seed,
                    "status": "diverged" if failed else "done",
                    "reason": "d_loss = nan at step 4000" if failed else None,
                    "steps": 4000 if failed else 10000,
                    "seconds": 3.0 if failed else 8.5 + 2 * k + seed,
                    "curve": curve,
                    "losses": losses,
                    "samples": drawn,
                    "at_steps": None if failed else values,
                    "at_seconds": None if failed else {name: 2 * value for name, value in values.items()},
                }
            )
    methods = [
        {
            "name": name,
            "model": name.partition("(")[0],
            "paper": "Someone & Co., 2017",
            "arguments": {"gp_weight": 0.1} if "(" in name else {},
            "n_critic": 1,
            "optimizer": "Adam(learning_rate=0.0002)",
        }
        for name in methods
    ]
    tables = {
        budget: report.ranking(runs, methods, metrics, metrics[0]["name"], f"at_{budget}")
        for budget in ("steps", "seconds")
    }
    return {
        "settings": {
            "dataset": dataset,
            "steps": 10000,
            "seconds": 12.5,
            "seeds": seeds,
            "batch_size": 256,
            "width": 128,
        },
        "environment": {
            "gan_zoo": "1.0",
            "tensorflow": "2.21.0",
            "cpu": "A & B <C>",
            "cores": 2,
            "started": "2030-01-01T00:00:00",
            "command": "python -m gan_zoo.compare --dataset=ring8 --steps=10000 --methods='gan,wgan_gp(gp_weight=0.1)'",
        },
        "dataset": {
            "name": dataset,
            "description": "made-up <data>",
            "kind": kind,
            "shape": list(shape),
            "limits": limits and list(limits),
        },
        "metrics": list(metrics),
        "primary": metrics[0]["name"],
        "methods": methods,
        "runs": runs,
        "tables": tables,
    }


# Ranks.


def run(method, seed, value, *, status="done", seconds=1.0):
    return {"method": method, "seed": seed, "status": status, "seconds": seconds, "at_steps": value, "at_seconds": None}


def named(*names):
    return [{"name": name} for name in names]


W1, MODES = METRICS


def test_ranking_gives_mean_and_sample_deviation():
    runs = [
        run("a", 0, {"w1": 1.0, "modes": 8}, seconds=10.0),
        run("a", 1, {"w1": 2.0, "modes": 6}, seconds=14.0),
        run("a", 2, {"w1": 6.0, "modes": 7}, seconds=12.0),
        run("b", 0, {"w1": 0.5, "modes": 3}),
    ]
    b, a = report.ranking(runs, named("a", "b"), METRICS, "w1", "at_steps")
    assert (b["method"], b["rank"], a["method"], a["rank"]) == ("b", 1, "a", 2)
    assert a["w1"] == {"mean": 3.0, "std": pytest.approx(math.sqrt(7)), "n": 3}  # (4 + 1 + 9) / 2
    assert a["modes"] == {"mean": 7.0, "std": 1.0, "n": 3}
    assert a["seconds"] == {"mean": 12.0, "std": 2.0, "n": 3}
    assert b["w1"] == {"mean": 0.5, "std": None, "n": 1}
    assert list(a) == ["method", "rank", "diverged", "seconds", "w1", "modes"]


def test_ranking_goes_in_the_better_direction():
    runs = [run("a", 0, {"modes": 3, "w1": 1}), run("b", 0, {"modes": 8, "w1": 2})]
    for primary, order in (("modes", ["b", "a"]), ("w1", ["a", "b"])):
        rows = report.ranking(runs, named("a", "b"), METRICS, primary, "at_steps")
        assert [row["method"] for row in rows] == order


def test_ranking_takes_the_budget_asked_for():
    runs = [
        {**run("a", 0, {"w1": 1.0}), "at_seconds": {"w1": 9.0}},
        {**run("b", 0, {"w1": 2}), "at_seconds": {"w1": 4}},
    ]
    first = {
        key: report.ranking(runs, named("a", "b"), [W1], "w1", key)[0]["method"] for key in ("at_steps", "at_seconds")
    }
    assert first == {"at_steps": "a", "at_seconds": "b"}


def test_a_failed_seed_is_worse_than_any_value():
    runs = [
        run("one lost", 0, {"w1": 0.1}),
        run("one lost", 1, None, status="diverged"),
        run("poor", 0, {"w1": 100.0}),
        run("poor", 1, {"w1": 100.0}),
        run("no number", 0, {"w1": 0.2}),
        run("no number", 1, {"w1": None}),
        run("dead", 0, None, status="diverged"),
        run("blank", 0, {"w1": math.nan}),
        run("two lost", 0, {"w1": 0.01}),
        run("two lost", 1, None, status="diverged"),
        run("two lost", 2, None, status="diverged"),
    ]
    names = ["dead", "two lost", "no number", "one lost", "blank", "poor", "waiting"]
    rows = report.ranking(runs, named(*names), [W1], "w1", "at_steps")
    assert [(row["method"], row["rank"], row["diverged"], row["w1"]["n"]) for row in rows] == [
        ("poor", 1, 0, 2),
        ("one lost", 2, 1, 1),
        ("no number", 3, 0, 1),
        ("two lost", 4, 2, 1),
        ("dead", None, 1, 0),
        ("blank", None, 0, 0),
        ("waiting", None, 0, 0),
    ]
    assert rows[-1]["w1"] == rows[-1]["seconds"] == {"mean": None, "std": None, "n": 0}


def test_equal_methods_share_a_rank():
    runs = [run(name, 0, {"w1": value}) for name, value in (("a", 2.0), ("b", 1.0), ("c", 2.0), ("d", 3.0))]
    rows = report.ranking(runs, named("a", "b", "c", "d"), [W1], "w1", "at_steps")
    assert [(row["method"], row["rank"]) for row in rows] == [("b", 1), ("a", 2), ("c", 2), ("d", 4)]


@pytest.mark.parametrize(
    ("metrics", "primary", "key", "words"),
    [
        ([W1], "fid", "at_steps", "primary must be one of the metrics, w1, not 'fid'"),
        ([{**W1, "better": "more"}], "w1", "at_steps", "better of the metric w1 must be"),
        ([{**W1, "better": "none"}], "w1", "at_steps", "primary must be a metric with a better direction"),
        ([W1], "w1", "at_end", "key must be"),
    ],
)
def test_ranking_errors(metrics, primary, key, words):
    with pytest.raises(UserError, match=words):
        report.ranking([], [], metrics, primary, key)


# Curves.


def curve(*points):
    return {"curve": [{"step": step, "w1": value} for step, value in points]}


def test_band_interpolates_and_spans_what_all_seeds_cover():
    runs = [curve((0, 1.0), (10, 3.0), (20, 5.0)), curve((5, 4.0), (15, 6.0), (30, 9.0))]
    x, mean, std = plots.band(runs, "step", "w1")
    assert x.tolist() == [5, 10, 15, 20]
    # The first has 2, 3, 4, 5 there, the second 4, 5, 6, 7. Two numbers with distance 2 have deviation sqrt(2).
    assert mean.tolist() == [3, 4, 5, 6]
    assert std == pytest.approx(np.full(4, math.sqrt(2)))


def test_band_leaves_gaps_where_values_are_unknown():
    runs = [curve((0, 1.0), (1, None), (2, 3.0)), curve((0, 3.0), (1, 5.0), (2, 7.0))]
    x, mean, std = plots.band(runs, "step", "w1")
    assert (x.tolist(), mean.tolist()) == ([0, 1, 2], [2, 5, 5])
    assert std == pytest.approx([math.sqrt(2), math.nan, math.sqrt(8)], nan_ok=True)
    x, mean, std = plots.band(runs[:1], "step", "w1")
    assert mean == pytest.approx([1, math.nan, 3], nan_ok=True)
    assert np.isnan(std).all()
    assert all(len(part) == 0 for part in plots.band([curve()], "step", "w1"))


def test_styles_of_36_methods_differ():
    styles = [plots.style(k) for k in range(36)]
    assert len(set(styles)) == 36
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in zip(styles[:6], styles[1:6], strict=False))


def contrast(a, b):
    """Returns the contrast ratio of WCAG 2.2 of two sRGB colours with channels from 0 to 255."""

    def luminance(colour):
        linear = [c / 3294.6 if c <= 10.0164 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def channels(colour):
    return tuple(bytes.fromhex(colour[1:]))


@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK], ids=["light", "dark"])
def test_colours_stand_out(theme):
    background = channels(theme.background)
    assert contrast(channels(theme.text), background) >= 7
    assert contrast(channels(theme.alarm), background) >= 4.5
    for colour in (*theme.lines, plots.SAMPLES, plots.TRUTH, plots.DATA):
        assert contrast(channels(colour), background) >= 3, colour


# Linear sRGB as seen with protanopia, deuteranopia and tritanopia: Machado et al., 2009, severity 1.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def cielab(colours, sight):
    """Returns L, a and b, [K, 3], of "#rrggbb" under D65, as seen with `sight`."""
    values = np.array([channels(colour) for colour in colours]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(sight).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = seen @ to_xyz.T / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("sight", SIGHT.values(), ids=SIGHT)
@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK], ids=["light", "dark"])
def test_lines_stay_apart_for_colour_blind_readers(theme, sight):
    colours = cielab(theme.lines, sight)
    distances = np.linalg.norm(colours[:, None] - colours, axis=-1)
    assert distances[~np.eye(len(colours), dtype=bool)].min() > 20


# Samples.


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


def near(picture, colour, tolerance=60):
    """Returns where a picture shows a colour."""
    return (np.abs(picture[..., :3] - channels(colour)).max(axis=-1) < tolerance) & (picture[..., 3] > 100)


def test_points_lie_where_they_should_over_the_modes():
    reference = plots.reference(make_results())
    assert reference.limits == (-2.8, 2.8)
    assert reference.radius == pytest.approx(0.06)  # three standard deviations of 0.02
    assert (reference.centres == synthetic.modes("ring8")[0]).all()
    picture = pixels(plots.sample_panel(np.full((200, 2), (1.4, -1.4)) + np.eye(2)[0] * 1e-3, reference))
    rows, columns = np.nonzero(near(picture, plots.SAMPLES))
    # A quarter of the frame from the right and from the bottom; the frame covers 0.98 of the picture.
    assert columns.mean() / picture.shape[1] == pytest.approx(0.01 + 0.98 * 0.75, abs=0.01)
    assert rows.mean() / picture.shape[0] == pytest.approx(0.01 + 0.98 * 0.75, abs=0.01)
    right = near(picture, plots.TRUTH)[:, int((0.01 + 0.98 * (2 / 5.6 + 0.5)) * picture.shape[1])]
    assert right.any()
    assert picture[5, picture.shape[1] // 2, 3] == 0  # transparent


def test_samples_outside_the_frame_are_counted():
    reference = plots.Reference((-1.0, 1.0))
    points = np.array([[0.0, 0.0], [0.0, 1.5], [-2.0, 0.0], [np.nan, 0.0]])
    assert plots.outside(points, reference) == 3
    assert plots.outside(points[:1], reference) == 0


def test_histogram_has_the_scale_of_the_density():
    results = make_results(dataset="mixture1d", shape=(1,), limits=(-4.0, 4.0))
    reference = plots.reference(results)
    peak = math.exp(synthetic.get("mixture1d").log_density(reference.density[0][:, None]).max())
    points = np.linspace(-4, 4, 6001)[:-1, None]
    picture = pixels(plots.sample_panel(points, reference))
    blue = near(picture, plots.SAMPLES, 90)[:, : picture.shape[1]]
    height = np.median(blue.sum(axis=0)[10:-10]) / (0.98 * picture.shape[0])
    assert height == pytest.approx(1 / 8 / (2 * peak), abs=0.02)  # uniform on eight units, in a frame of twice the peak


def test_many_dimensions_are_shown_on_the_data_s_principal_axes():
    name = "gaussian_hyperplane(dim=8, rank=2)"
    results = make_results(dataset=name, shape=(8,), limits=None)
    reference = plots.reference(results)
    draws = np.asarray(synthetic.get(name).sample(50, (1, 2)), np.float64)
    placed = reference.place(draws)
    assert placed.shape == (50, 2)
    # The data fill a plane, which the two axes span: distances in the plane are kept, others shrink.
    assert np.linalg.norm(placed - placed[0], axis=1) == pytest.approx(
        np.linalg.norm(draws - draws[0], axis=1), abs=1e-4
    )
    assert reference.draws.var(axis=0)[0] >= reference.draws.var(axis=0)[1]
    assert near(pixels(plots.sample_panel(draws, reference)), plots.SAMPLES).any()


def test_points_of_unknown_datasets_have_a_frame_of_their_own():
    results = make_results(dataset="my points", limits=None, diverged=(), absent=())
    everything = np.concatenate([np.array(run["samples"]) for run in results["runs"]])
    reference = plots.reference(results)
    assert reference.draws is reference.centres is reference.density is None
    low, high = reference.limits
    assert low < np.percentile(everything, 1) < np.percentile(everything, 99) < high
    assert near(pixels(plots.sample_panel(everything, reference)), plots.SAMPLES).any()
    nothing = {**results, "runs": []}
    assert plots.reference(nothing).limits == (-1, 1)
    line = make_results(dataset="my numbers", shape=(1,), limits=None)
    assert near(
        pixels(plots.sample_panel(np.array(line["runs"][0]["samples"]), plots.reference(line))), plots.SAMPLES
    ).any()


def test_image_panels_hold_the_pixels():
    samples = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    picture = pixels(plots.image_panel(samples, 4))
    assert picture.shape[:2] == (2 * 7 + 1, 2 * 8 + 1)
    assert (picture[8:14, 9:16, :3] == samples[3]).all()


def test_each_class_has_a_row():
    samples = np.random.default_rng(0).integers(0, 256, (12, 6, 7, 3), dtype=np.uint8)  # three classes
    picture = pixels(plots.image_panel(samples, 12, 4))
    assert picture.shape[:2] == (3 * 7 + 1, 4 * 8 + 1)
    assert (picture[8:14, 9:16, :3] == samples[5]).all()
    picture = pixels(plots.image_panel(samples, 7, 4))  # two of each class
    assert picture.shape[:2] == (3 * 7 + 1, 2 * 8 + 1)
    assert (picture[8:14, 9:16, :3] == samples[5]).all()
    assert pixels(plots.image_panel(samples, 2, 4)).shape[:2] == (3 * 7 + 1, 8 + 1)


def test_large_images_are_fewer():
    def runs(side, count):
        return [{"samples": np.zeros((16, side, side, 3), np.uint8)}] * count

    assert plots.images_shown(runs(16, 60)) == 16  # 60 * 768 bytes for each place
    assert plots.images_shown(runs(32, 60)) == 8  # 1,500,000 / (60 * 3072) = 8.1
    assert plots.images_shown(runs(128, 60)) == 4
    assert plots.images_shown([{"samples": np.zeros((40, 8, 8, 1), np.uint8)}]) == 40
    assert plots.images_shown([{"samples": None}, {"samples": []}]) == 16


# Files.


@pytest.fixture(scope="module")
def results():
    """Results of three methods: one misses a seed, and one always diverges and has no samples."""
    dead = (("gan", 1), ("dead", 0), ("dead", 1))
    made = make_results(("gan", "wgan_gp(gp_weight=<b>0.1</b>)", "lsgan", "dead"), diverged=dead)
    for run in made["runs"]:
        if run["method"] == "dead":
            run.update(samples=None, curve=[], losses=[{"step": 1, "d_loss": None, "g_loss": None}])
    made["runs"][2]["curve"][3]["w1"] = None
    made["runs"][2]["samples"][0] = [None, 1.0]
    return json.loads(json.dumps(made))


@pytest.fixture(scope="module")
def folder(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "new"
    assert report.write(results, folder) == folder / "report.html"
    return folder


def test_csv_has_a_row_for_each_run(folder, results):
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("method", "seed", "status", "reason", "steps", "seconds"),
        *("w1_at_steps", "modes_at_steps", "w1_at_seconds", "modes_at_seconds"),
    ]
    assert [(row["method"], row["seed"]) for row in rows] == [
        (run["method"], str(run["seed"])) for run in results["runs"]
    ]
    assert list(rows[0].values()) == ["gan", "0", "done", "", "10000", "8.5", "0.3", "7.7", "0.6", "15.4"]
    assert list(rows[1].values()) == [*("gan", "1", "diverged", "d_loss = nan at step 4000", "4000", "3.0"), *[""] * 4]


def test_pictures_are_files_of_their_own(folder):
    files = {path.name for path in folder.iterdir()}
    pictures = {"curves-steps.png", "curves-seconds.png", "losses.png", "samples.png"}
    assert files == {"report.html", "results.csv", *pictures}
    for name in pictures:
        with Image.open(folder / name) as image:
            picture = np.asarray(image.convert("RGB"))
        assert min(picture.shape[:2]) > 150
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
        assert (picture[0, 0] == 255).all()
    with Image.open(folder / "samples.png") as image:
        assert near(np.asarray(image.convert("RGBA")).astype(int), plots.LIGHT.alarm).sum() > 100  # "diverged"


class Reader(html.parser.HTMLParser):
    """Extracts tags and text of a page, without style and script."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.inside = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside = tag if tag in ("style", "script") else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if not self.inside:
            self.texts.append(data)


@pytest.fixture(scope="module")
def read(folder):
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def test_page_escapes_all_text(read):
    assert not {tag for tag, _ in read.tags} & {"b", "data", "mass", "c"}
    text = "".join(read.texts)
    for words in (
        "wgan_gp(gp_weight=<b>0.1</b>)",
        "made-up <data>",
        'Moving <mass>, "cost".',
        "A & B <C>",
        "Someone & Co.",
    ):
        assert words in text
    assert 'Moving <mass>, "cost".' in {attributes.get("title") for _, attributes in read.tags}


def test_page_needs_nothing_else(read):
    for tag, attributes in read.tags:
        for name in ("src", "srcset", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#")), (tag, name)
    (csv_link,) = [attributes for _, attributes in read.tags if "download" in attributes]
    assert base64.b64decode(csv_link["href"].partition(",")[2]).startswith(b"method,seed,")
    assert all(attributes["alt"].strip() for tag, attributes in read.tags if tag == "img")


def test_page_says_what_happened(read):
    text = " ".join("".join(read.texts).split())
    assert "4 GANs were trained on the dataset ring8, each with 2 seeds." in text
    assert "ranked by Wasserstein-1, after 10,000 updates of the generator and after 12.5 seconds of training." in text
    assert "3 of 7 runs diverged: gan, dead." in text
    assert "Not all seeds have run yet: lsgan." in text
    # The seeds of wgan_gp have 0.6 and 0.61, the best among methods without a failure.
    assert "First after 10,000 updates of the generator: wgan_gp(gp_weight=<b>0.1</b>), with 0.605 ± 0.007." in text
    assert "diverged: d_loss = nan at step 4000" in text
    assert "1 % outside the frame" in text  # the non-finite sample
    assert "python -m gan_zoo.compare --dataset=ring8" in text


def test_equal_methods_are_not_marked_best(tmp_path, monkeypatch):
    results = make_results(("a", "b"), 1, metrics=[W1], diverged=(), absent=())
    results["runs"] = [{**run, "at_steps": {"w1": 0.5}, "seconds": 1.0 + run["seed"]} for run in results["runs"]]
    rows = report.ranking(results["runs"], results["methods"], [W1], "w1", "at_steps")
    results["tables"] = {"steps": rows, "seconds": None}
    for name in ("curve", "losses"):
        monkeypatch.setattr(plots, name, lambda *_: b"")
    made = Reader(page.build(results, {}, plots.Reference((0, 1)), b"").decode())
    assert "best" not in {attributes.get("class") for _, attributes in made.tags}
    assert "First after 10,000 updates of the generator: a and b, with 0.500." in "".join(made.texts)


def test_unknown_numbers_do_not_reach_the_page(read):
    assert not {"nan", "None", "inf"} & set("".join(read.texts).replace("d_loss = nan", "").split())


def test_images_and_a_single_budget(tmp_path):
    results = make_results(
        ("a",), 1, dataset="digits", shape=(8, 8, 1), kind="image", limits=None, metrics=[MODES], diverged=(), absent=()
    )
    results["tables"].pop("seconds")
    results["settings"]["seconds"] = None
    path = report.write(results, tmp_path)
    read = Reader(path.read_text(encoding="utf-8"))
    (panel,) = [attributes for tag, attributes in read.tags if attributes.get("class") == "pixels"]
    shown = pixels(base64.b64decode(panel["src"].partition(",")[2]))
    assert shown.shape[:2] == (4 * 9 + 1, 4 * 9 + 1)
    assert (shown[1:9, 1:9, 0] == np.array(results["runs"][0]["samples"][0])[..., 0]).all()
    text = "".join(read.texts)
    assert "Ranking after 10,000 generator updates" in text
    assert "Ranking after 12.5" not in text


def test_metrics_of_images(tmp_path, monkeypatch):
    metrics = [
        {**W1, "name": "kid", "label": "Kernel distance"},
        {"name": "nearest", "label": "Nearest", "better": "none", "digits": 2, "description": "Distance."},
    ]
    results = make_results(
        ("a", "b"),
        1,
        dataset="faces",
        shape=(8, 8, 1),
        kind="image",
        limits=None,
        metrics=metrics,
        diverged=(),
        absent=(),
    )
    results["dataset"]["shown_classes"] = ["cat", "<dog>"]
    results |= {"protocol": "digits & more | 5000 samples", "reference_size": 5000}
    results["reference"] = {"kid": report.summarize([0.01])}
    for run in results["runs"]:
        run.update(samples=run["samples"][:8], columns=4)
    for name in ("curve", "losses", "all_curves", "all_losses"):
        monkeypatch.setattr(plots, name, lambda *_: b"")
    read = Reader(report.write(results, tmp_path).read_text(encoding="utf-8"))
    text = " ".join("".join(read.texts).split())
    assert "Protocol of the metrics: digits & more | 5000 samples" in text
    assert "Each row of a panel shows one class, from top to bottom: cat, <dog>." in text
    assert "5,000 real images 0.010" in text
    assert "The metrics of 5,000 real images in the place of samples" in text
    assert "Nearest Distance." in text and "none is better" not in text.lower()
    (best, *_) = [k for k, (_, attributes) in enumerate(read.tags) if attributes.get("class") == "best"]
    assert read.tags[best][1]["data-value"] == "0.3"
    panel = next(attributes for _, attributes in read.tags if attributes.get("class") == "pixels")
    assert pixels(base64.b64decode(panel["src"].partition(",")[2])).shape[:2] == (2 * 9 + 1, 4 * 9 + 1)


def test_folder_that_cannot_be_written(results, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for name in ("all_curves", "all_losses", "all_samples"):
        monkeypatch.setattr(plots, name, lambda *_: b"")
    monkeypatch.setattr(page, "build", lambda *_: b"")
    with pytest.raises(UserError, match="^folder .*file/report cannot be written"):
        report.write(results, tmp_path / "file" / "report")


# In a browser.


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium that records its console and its requests."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    service = shutil.which("chromedriver")
    if not (program and service):
        pytest.skip("Chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (
        *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"),
        *("disable-background-networking", "disable-component-update", "hide-scrollbars", "disable-dev-shm-usage"),
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(service))
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, folder):
    """Opens the report with a given scheme, width and medium."""

    def show(scheme="light", *, width=1280, media="screen"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get((folder / "report.html").as_uri())
        return browser

    return show


def test_browser_loads_the_page_alone(show, folder):
    browser = show()
    assert browser.get_log("browser") == []
    requests = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [request["params"] for request in requests if request["method"] == "Network.requestWillBeSent"]
    uri = (folder / "report.html").as_uri()
    urls = {entry["request"]["url"] for entry in sent if entry["documentURL"] == uri}  # without the browser's own pages
    assert {url for url in urls if not url.startswith("data:")} == {uri}
    images = browser.execute_script("return [...document.images].map((i) => [i.complete, i.naturalWidth, i.alt])")
    # Two metrics over steps and one over seconds, the losses of four methods, and the samples of five runs.
    assert len(images) == 3 + 4 + 5
    assert all(complete and width > 0 and alt for complete, width, alt in images)


def column(browser, label):
    """Returns the header with this label, and the values of its column in the first table, from top to bottom."""
    return browser.execute_script(
        "const table = document.querySelector('table.sortable'), heads = [...table.tHead.rows[0].cells];"
        "const k = heads.findIndex((h) => h.dataset.label === arguments[0]);"
        "return [heads[k].querySelector('button'), heads[k].ariaSort,"
        "[...table.tBodies[0].rows].map((r) => r.cells[k].dataset.value ?? r.cells[k].textContent.trim())]",
        label,
    )


def test_a_click_sorts_and_another_turns_round(show):
    browser = show()
    assert column(browser, "Rank")[1:] == ["ascending", ["1", "2", "3", ""]]
    button, direction, _ = column(browser, "Training time")
    assert direction == "none"
    button.click()
    # Sorted as numbers: as texts, 12.5 would come before 8.5.
    assert column(browser, "Training time")[1:] == ["ascending", ["8.5", "11.0", "12.5", ""]]
    assert column(browser, "Rank")[1] == "none"
    button.click()
    assert column(browser, "Training time")[1:] == ["descending", ["12.5", "11.0", "8.5", ""]]
    # Where higher is better, the best come first.
    button, *_ = column(browser, "Modes")
    button.click()
    _, direction, values = column(browser, "Modes")
    assert direction == "descending"
    assert values[-1] == ""
    assert [float(v) for v in values[:-1]] == pytest.approx([7.7, 7.395, 7.1])


def test_the_keyboard_sorts(show):
    from selenium.webdriver.common.keys import Keys

    browser = show()
    button, *_ = column(browser, "Method")
    button.send_keys(Keys.ENTER)
    names = column(browser, "Method")[2]
    assert names == sorted(names) == ["dead", "gan", "lsgan", "wgan_gp(gp_weight=<b>0.1</b>)"]
    button.send_keys(Keys.SPACE)
    assert column(browser, "Method")[1:] == ["descending", names[::-1]]


def test_best_values_are_marked_in_words(show):
    best = show().execute_script(
        "return [...document.querySelector('table.sortable').querySelectorAll('.best')].map((c) => c.textContent)"
    )
    assert best == ["★best: 0.300", "★best: 7.7", "★best: 8.5"]


TEXTS = """
const seen = new Set();
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('.hidden, script')) continue;
  let below = element;
  while (below && getComputedStyle(below).backgroundColor === 'rgba(0, 0, 0, 0)') below = below.parentElement;
  seen.add(getComputedStyle(element).color + '|' + getComputedStyle(below ?? document.body).backgroundColor);
}
return [...seen];
"""


def rgb(colour):
    return tuple(float(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3])


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_texts_are_readable_in_both_schemes(show, scheme, dark):
    browser = show(scheme)
    pairs = [[rgb(colour) for colour in pair.split("|")] for pair in browser.execute_script(TEXTS)]
    assert len(pairs) > 5
    assert min(contrast(*pair) for pair in pairs) >= 4.5
    assert (sum(rgb(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))) < 150) == dark
    # The pictures change too: a corner of the first has the page's colour.
    url = browser.execute_script("return document.querySelector('picture img').currentSrc")
    corner = pixels(base64.b64decode(urllib.parse.unquote(url.partition(",")[2])))[0, 0, :3]
    assert tuple(corner) == channels((plots.DARK if dark else plots.LIGHT).background)


def test_print_is_light_and_cuts_nothing(show):
    browser = show("dark", media="print")
    assert browser.execute_script("return getComputedStyle(document.body).color") == "rgb(28, 32, 36)"
    assert browser.execute_script("return getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
    assert browser.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    light = browser.execute_script("const i = document.querySelector('picture img'); return i.currentSrc === i.src")
    assert light
    pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF")


def test_a_narrow_page_scrolls_only_in_its_tables(show):
    browser = show(width=400)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 400
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')]"
        ".map((b) => [b.scrollWidth > b.clientWidth, b.tabIndex, b.ariaLabel])"
    )
    assert any(wide for wide, *_ in boxes)
    assert all(index == 0 and label for _, index, label in boxes)
