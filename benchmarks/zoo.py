"""Trains every variant on images, evaluates it, and writes the table of the zoo: docs/zoo.json, docs/zoo.md, pictures.

    python benchmarks/zoo.py --table=fashion_mnist --data_dir=DIR
    python benchmarks/zoo.py --table=cifar10 --data_dir=DIR --minutes=60
    python benchmarks/zoo.py --table=cifar10 --data_dir=DIR --speeds
    python benchmarks/zoo.py                                   # only writes docs/zoo.md again

All runs of a table are shown the same number of real images, so that variants with several discriminator turns take
fewer generator updates. Rows in docs/zoo.json are not trained again. `--minutes` ends the work after the run that is
under way, and the same command goes on from there. `--speeds` measures images a second of the rows, in short runs on
a machine that should do nothing else meanwhile.
"""

import dataclasses
import functools
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from gan_zoo import GenerativeModel, data, evaluate
from gan_zoo.models import VARIANTS
from gan_zoo.registry.variants import find_model
from gan_zoo.sampling.pretrained import load_pretrained
from gan_zoo.training import config, pipeline
from gan_zoo.util import command_line, pictures, versions
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file

DOCS = Path(__file__).parent.parent / "docs"
COMMON = {"learning_rate": 2e-4, "n_critic": 1}
"""The common recipe: one learning rate and one discriminator turn for all. The own recipe is the variant's defaults."""


@dataclasses.dataclass(frozen=True)
class Table:
    """What one table trains.

    Attributes:
        dataset: Name of the dataset.
        resolution: Side of the images.
        width: Width of the networks.
        images: Number of real images that each run is shown.
        seeds: Number of runs of each variant.
        variants: Names of the variants.
        samples: Number of samples that are evaluated.
    """

    dataset: str
    resolution: int
    width: int
    images: int
    seeds: int
    variants: tuple[str, ...]
    samples: int = 10_000


_FIXED = tuple(name for name in VARIANTS if not hasattr(find_model(name), "growth"))
"""Variants whose networks do not grow: growing ones make sides of 4 * 2^k pixels, and Fashion-MNIST has 28."""

TABLES = {
    "fashion_mnist": Table("fashion_mnist", 28, 32, 192_000, 2, _FIXED),
    "cifar10": Table(
        "cifar10", 32, 32, 320_000, 1, ("dcgan", "wgan_gp", "hinge_gan", "r1_gan", "ragan", "lsgan", "dragan")
    ),
    "digits": Table("digits", 8, 8, 6400, 1, ("dcgan", "wgan_gp"), 500),  # a trial of this script
}
REMARKS = {
    ("fashion_mnist", "own"): """What surprised:

- **`ebgan` leads.** Its rate of 1e-3 is five to ten times that of most others, which were chosen for longer runs. This
  table does not separate the rate from the loss.
- **Pairing real and generated scores pays.** `rgan` and `ragan` have the rates, networks and updates of `vanilla_gan`,
  and are well ahead of it.
- **Equal images are not equal updates.** `wgan`, `wgan_gp` and `kl_wgan` spend four of five minibatches on the critic,
  so that their generators have 600 updates instead of 3,000. They are among the last here.
- **R1 and R2 are behind the GAN without a penalty, and a weaker penalty does not help.** D's loss stays close to
  2 log 2, so that it hardly tells real from generated. With `gamma=0.5` the distance of `r1_gan` is 559, with
  `gamma=0.12` it is 616 (one run each): worse than with 10. They also differ from the rest by RMSprop with a rate of
  1e-4, and by a D without normalization. What matters has not been measured.
- **A VAE is ahead of half of the GANs** at this budget, although its samples are blurred.
- **`primal_dual_gan` makes noise.** Its generator minimises the saturating minimax loss, and D wins in the first few
  hundred steps. The density term, which should help, has a kernel far narrower than the distance of two images. With
  `sigma=7` (a trial of 800 steps on `fashion10k`) the samples become grey shapes: better, and still no clothes.
- **`semi_supervised_gan` and `cat_gan` are methods for classifiers.** Here they have no labels. The generator of the
  first only has to match the mean features of a minibatch, and its samples are blobs. `cat_gan` is far better at images
  with `--norm=batch`, 255 (one run), and far worse at classes: see [classes.md](classes.md).
- **`aae` makes blotches** from its prior of 128 dimensions. Why has not been measured.
""",
}
"""What to say below a table, by its dataset and recipe."""

BATCH, LOG_EVERY = 64, 10
METRICS = ("frechet", "kid", "precision", "recall")
SHOWN = 8
"""Number of samples of each variant in the picture."""

GROUPS = {"What": ["table", "recipe", "variants", "data_dir", "minutes", "speeds", "docs"]}


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_enum("table", None, list(TABLES), "The table whose missing rows are trained.")
    flags.DEFINE_enum("recipe", None, ["own", "common"], "Only this recipe; by default both, the own one first.")
    flags.DEFINE_list("variants", [], "Only these variants, in this order; by default all of the table.")
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets.")
    flags.DEFINE_float("minutes", None, "Starts no new run after this time.")
    flags.DEFINE_bool("speeds", False, "Measures the missing speeds instead of training the missing rows.")
    flags.DEFINE_string("docs", str(DOCS), "Folder of zoo.json, zoo.md and the pictures.")


def missing(
    table: Table, name: str, rows: list[dict], recipe: str | None, only: Sequence[str] = ()
) -> Iterator[tuple[str, str, int]]:
    """Yields the recipes, variants and seeds of a table that have no row: the first seed of all first, the own recipe.

    A variant whose own recipe is the common one has no rows of the common recipe.
    """
    there = {(row["table"], row["recipe"], row["variant"], row["seed"]) for row in rows}
    for seed in range(table.seeds):
        for kind in ("own", "common"):
            for variant in only or table.variants:
                wanted = recipe in (None, kind) and (kind == "own" or not own_is_common(variant))
                if wanted and (name, kind, variant, seed) not in there:
                    yield kind, variant, seed


def small(variant: str, **settings) -> GenerativeModel:
    """Returns a small model of a variant, compiled with its defaults."""
    cls = find_model(variant)
    settings |= {"classes": 2} if cls.takes_labels == "required" else {}
    gan = cls.for_images((8, 8, 1), width=2, latent_dim=2, **settings)
    gan.compile()
    return gan


def turns(variant: str, recipe: str) -> int:
    """Returns the number of real minibatches that a step of a variant takes."""
    common = recipe == "common" and "n_critic" in find_model(variant).parameters()
    return small(variant, **({"n_critic": 1} if common else {})).minibatches_per_step


@functools.cache
def own_is_common(variant: str) -> bool:
    """Returns whether the defaults of a variant are the common recipe, so that both runs are the same."""
    gan = small(variant)
    rates = {round(float(optimizer.learning_rate), 9) for optimizer in gan.optimizers().values()}
    return rates == {COMMON["learning_rate"]} and getattr(gan, "n_critic", 1) == COMMON["n_critic"]


def train(table: Table, recipe: str, variant: str, seed: int, steps: int, data_dir: str | None, run_dir: Path) -> None:
    """Trains one run."""
    cls = find_model(variant)
    settings = dict(COMMON) if recipe == "common" else {}
    if "n_critic" not in cls.parameters():
        settings.pop("n_critic", None)
    settings["conditional"] = cls.takes_labels == "required"
    pipeline.run(
        config.Config(
            **dict(model=variant, dataset=table.dataset, resolution=table.resolution, width=table.width),
            **dict(batch_size=BATCH, steps=steps, seed=seed, data_dir=data_dir, run_dir=str(run_dir)),
            **dict(sample_every=0, checkpoint_every=0, health_every=0, precision="float32", log_every=LOG_EVERY),
            **settings,
        )
    )


def images_per_second(table: Table, recipe: str, variant: str, data_dir: str | None) -> float:
    """Returns the real images a second of training after the first steps: the median of short intervals."""
    intervals = 7
    with tempfile.TemporaryDirectory(prefix="gan_zoo-zoo-") as folder:
        run_dir = Path(folder) / "run"
        train(table, recipe, variant, 0, LOG_EVERY * (intervals + 1), data_dir, run_dir)
        seconds = [json.loads(line)["seconds"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    images = LOG_EVERY * BATCH * turns(variant, recipe)
    return images / statistics.median(after - before for before, after in itertools.pairwise(seconds[-intervals:]))


def add_speeds(name: str, data_dir: str | None, docs: Path) -> None:
    """Measures the speed of each recipe and variant of a table that has rows without it."""
    rows = read_rows(docs)
    ours = [row for row in rows if row["table"] == name]
    for kind, variant in dict.fromkeys((row["recipe"], row["variant"]) for row in ours if "cpu" not in row):
        speed = images_per_second(TABLES[name], kind, variant, data_dir)
        for row in ours:
            if (row["recipe"], row["variant"]) == (kind, variant):
                row |= {"images_per_second": speed, "cpu": versions.cpu_model()}
        write_rows(rows, docs)


def add_rows(
    name: str,
    recipe: str | None,
    data_dir: str | None,
    minutes: float | None,
    docs: Path,
    variants: Sequence[str] = (),
) -> None:
    """Trains and evaluates the missing rows of a table, and writes each to zoo.json when it is complete."""
    table, start = TABLES[name], time.monotonic()
    rows = read_rows(docs)
    source = data.open_source(table.dataset, resolution=table.resolution, data_dir=data_dir)
    judge = evaluate.Judge(
        source, evaluate.find_features("efficientnet_lite0"), metrics=METRICS, num=table.samples, resamples=0
    )
    for kind, variant, seed in missing(table, name, rows, recipe, variants):
        if minutes is not None and time.monotonic() - start > 60 * minutes:
            return
        folder = Path(tempfile.mkdtemp(prefix="gan_zoo-zoo-"))
        try:
            steps = table.images // (BATCH * turns(variant, kind))
            train(table, kind, variant, seed, steps, data_dir, folder / "run")
            found = judge.evaluate(evaluate.open_subject(folder / "run"))
            model = load_pretrained(folder / "run")
            if seed == 0:
                picture = docs / "zoo" / name / kind / f"{variant}.png"
                pictures.save_png(pictures.grid(model.sample_uint8(SHOWN, seed=0), columns=SHOWN, scale=1), picture)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        rows.append(
            {
                **{"table": name, "recipe": kind, "variant": variant, "seed": seed, "steps": steps},
                "metrics": {metric: result.value for metric, result in found.metrics.items()},
                "real": {metric: result.floor for metric, result in found.metrics.items()},
                "protocol": found.protocol.line(),
            }
        )
        write_rows(rows, docs)


def write_rows(rows: list[dict], docs: Path) -> None:
    """Writes the rows to zoo.json, and the page."""
    with atomic_file(docs / "zoo.json") as file:
        file.write((json.dumps(rows, indent=1) + "\n").encode())
    write_page(docs)


def read_rows(docs: Path) -> list[dict]:
    """Returns the rows in zoo.json."""
    path = docs / "zoo.json"
    return json.loads(path.read_text()) if path.exists() else []


def cell(values: list[float], digits: int) -> str:
    """Returns the mean over seeds, with the standard deviation if there are several."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def block(name: str, recipe: str, rows: list[dict]) -> str:
    """Returns the table of one dataset and recipe, the lowest Frechet distance first."""
    table = TABLES[name]
    labels = ["Fréchet distance (EfficientNet-Lite0)", "kernel distance × 1000", "precision", "recall"]
    lines = [f"| variant | {' | '.join(labels)} | images/s | samples |", "|---|---|---|---|---|---|---|"]
    variants = {variant: [row for row in rows if row["variant"] == variant] for variant in table.variants}
    present = {variant: found for variant, found in variants.items() if found}

    def column(found: list[dict], metric: str) -> list[float]:
        return [row["metrics"][metric] for row in found]

    for variant in sorted(present, key=lambda v: statistics.mean(column(present[v], "frechet"))):
        found = present[variant]
        numbers = [cell(column(found, m), evaluate.MEASURES[m].digits) for m in METRICS]
        speed = f"{found[0]['images_per_second']:,.0f}" if "cpu" in found[0] else ""
        picture = f"![{variant}](zoo/{name}/{found[0]['recipe']}/{variant}.png)"
        lines.append(f"| `{variant}` | {' | '.join(numbers)} | {speed} | {picture} |")
    real = [f"{rows[0]['real'][m]:.{evaluate.MEASURES[m].digits}f}" for m in METRICS]
    lines.append(f"| real images | {' | '.join(real)} | | |")
    steps = f"{table.images:,} real images shown, batches of 64, width {table.width}, {table.seeds} seed(s)"
    cpus = ", ".join(sorted({row["cpu"] for row in rows if "cpu" in row}))
    speed = f" Images a second: real images shown in training, in float32 on two cores of {cpus}." if cpus else ""
    total = len(table.variants) * table.seeds
    progress = "" if len(rows) == total else f" {len(rows)} of {total} runs so far."
    return f"{steps}.{progress}{speed}\n\n" + "\n".join(lines)


def write_page(docs: Path) -> None:
    """Writes zoo.md from zoo.json."""
    rows = read_rows(docs)
    parts = [
        "# The zoo on images\n",
        "Made by `benchmarks/zoo.py`. Samples are of the moving average of the generator's weights. *Own recipe*: the "
        "defaults of each variant, which are those of its paper where it has them. *Common recipe*: learning rate "
        f"{COMMON['learning_rate']:g} and one discriminator turn for all; variants with these defaults have the same "
        "rows in both tables. Recipes of papers were chosen for other data "
        "and longer training, so this is not a ranking of methods.\n",
    ]
    for name in TABLES:
        for recipe in ("own", "common"):
            found = [row for row in rows if (row["table"], row["recipe"]) == (name, recipe)]
            if recipe == "common" and found:
                found += [row for row in rows if row["table"] == name and own_is_common(row["variant"])]
            protocols = sorted({row["protocol"] for row in found})
            if len(protocols) > 1:
                raise SystemExit(f"zoo.json: rows of {name} have different protocols: remove the older ones.")
            if found:
                parts.append(f"## {name}, {recipe} recipe\n\n{block(name, recipe, found)}\n")
                parts.append(f"Protocol: {protocols[0]}\n")
                parts.append(REMARKS.get((name, recipe), ""))
    with atomic_file(docs / "zoo.md") as file:
        file.write("\n".join(parts).encode())


def main() -> None:
    values = flags.FLAGS
    docs = Path(values.docs)
    if values.table and values.speeds:
        add_speeds(values.table, values.data_dir, docs)
    elif values.table:
        unknown = set(values.variants) - set(TABLES[values.table].variants)
        if unknown:
            raise UserError(f"--variants={unknown.pop()} is not in the table {values.table}.")
        add_rows(values.table, values.recipe, values.data_dir, values.minutes, docs, values.variants)
    write_page(docs)


if __name__ == "__main__":
    define_flags()
    command_line.main(main, __doc__, GROUPS)
