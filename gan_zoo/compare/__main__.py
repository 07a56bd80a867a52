"""Compares several methods on one dataset: `python -m gan_zoo.compare --models=... --dataset=ring8`."""

import json
import os
import sys
from pathlib import Path

from absl import flags

from gan_zoo import networks
from gan_zoo.compare.settings import OPTIMIZERS, Settings
from gan_zoo.evaluate.features import NAMES
from gan_zoo.evaluate.measures import DEFAULT, MEASURES
from gan_zoo.util import checks, command_line
from gan_zoo.util.errors import UserError

USAGE = """
Compares methods on one dataset:

    python -m gan_zoo.compare --models=dcgan,wgan_gp --dataset=ring8
    python -m gan_zoo.compare --models=dcgan,wgan_gp --dataset=cifar10 --metrics=frechet,kid

Synthetic data and color_mnist have exact metrics. Other images are measured by gan_zoo.evaluate.
All methods get the same networks with the same initial weights, the same data and the same number of generator updates.
The same command continues an interrupted comparison and does the missing runs. You can add models and seeds to it.
"""

GROUPS = {
    "What": ["models", "dataset", "data_dir", "resolution", "conditional", "seeds", "first_seed"],
    "Budget": ["steps", "seconds", "batch_size"],
    "Networks and optimizers": ["network", "width", "depth", "latent_dim", "optimizer", "learning_rate"],
    "Measuring": ["samples", "evaluate_every", "metrics", "features"],
    "Result": ["output", "workers"],
}


def define_flags() -> None:
    flags.DEFINE_string(
        "models", None, "Variants, with arguments, such as 'dcgan,wgan_gp(gp_weight=0.1)', or all that fit the data."
    )
    flags.DEFINE_string(
        "dataset", "ring8", "Dataset, as for train.py: ring8, grid25, color_mnist, mnist, cifar10, folder:PATH, ..."
    )
    flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS datasets; by default ~/tensorflow_datasets.")
    flags.DEFINE_integer("resolution", None, "Side of the images in pixels; by default that of the dataset.")
    flags.DEFINE_bool("conditional", Settings.conditional, "Train all methods with the labels of the dataset.")
    flags.DEFINE_integer("seeds", 5, "Number of runs of each method, each with another seed.")
    flags.DEFINE_integer("first_seed", 0, "Seed of the first run of each method. The next runs use the next seeds.")
    flags.DEFINE_integer("steps", Settings.steps, "Number of generator updates in each run.")
    flags.DEFINE_float(
        "seconds",
        None,
        "Training time in seconds for the second ranking. Every run trains at least this long. By default the time "
        "that the fastest method needs for its steps.",
    )
    flags.DEFINE_integer("batch_size", Settings.batch_size, "Number of examples in a minibatch.")
    flags.DEFINE_enum(
        "network", None, list(networks.FAMILIES), "Family of networks for images; by default the dataset's own."
    )
    flags.DEFINE_integer("width", None, "Width of the networks; by default 128 units (points) or 64 channels (images).")
    flags.DEFINE_integer("depth", Settings.depth, "Number of hidden layers of the networks for points.")
    flags.DEFINE_integer("latent_dim", None, "Size of the latent vector, Z; by default 2 for points, 128 for images.")
    flags.DEFINE_enum(
        "optimizer",
        Settings.optimizer,
        list(OPTIMIZERS),
        "Each variant's own optimizer, or one for all: Adam (beta_1 0.5, beta_2 0.999), RMSprop (rho 0.9) or SGD.",
    )
    flags.DEFINE_float("learning_rate", None, "Learning rate of all players and methods; default: the optimizers' own.")
    flags.DEFINE_integer("samples", Settings.samples, "Number of samples in each evaluation.")
    flags.DEFINE_integer(
        "evaluate_every", Settings.evaluate_every, "Steps between two evaluations; 0 makes about 20 evaluations in all."
    )
    flags.DEFINE_list(
        "metrics",
        [],
        f"Metrics of images, any of {', '.join(MEASURES)}, or all. The first determines the ranks. By default "
        f"{', '.join(DEFAULT)}.",
    )
    flags.DEFINE_string(
        "features",
        None,
        f"Network for features of these metrics: {', '.join(NAMES)} or module:name. By default inception if its "
        f"weights are here, otherwise efficientnet_lite0.",
    )
    flags.DEFINE_string("output", None, "Folder of the comparison; by default runs/compare-DATASET.")
    flags.DEFINE_integer("workers", 0, "Number of runs at the same time, each in a process; 0 means one for each core.")


def main() -> int:
    values = flags.FLAGS
    if not values.models:
        raise UserError("--models is missing: name some, such as --models=dcgan,wgan_gp,r1_gan, or --models=all.")
    for name, least, most in (("seeds", 1, 10_000), ("first_seed", 0, 2**32 - 1), ("workers", 0, 1000)):
        if values[name].value < least:
            raise UserError(f"--{name} must be {least} or more, not {values[name].value}.")
        if values[name].value > most:
            raise UserError(f"--{name} must be at most {most}, not {values[name].value}.")
    if values.data_dir is not None:
        checks.data_folder("--data_dir", values.data_dir)
    if values.output is not None:
        checks.path("--output", values.output)

    import dataclasses

    from gan_zoo.compare import report, runner
    from gan_zoo.compare.measuring import measuring_of
    from gan_zoo.registry import variant_lists as method_flags
    from gan_zoo.run_folder import ownership
    from gan_zoo.util.files import atomic_file

    settings = Settings(**{field.name: values[field.name].value for field in dataclasses.fields(Settings)})
    settings.check()
    settings = settings.resolved()
    if values.first_seed + values.seeds > 2**32:
        raise UserError(f"--first_seed={values.first_seed} and --seeds={values.seeds}: the largest seed is 4294967295.")
    found = settings.find()

    methods = method_flags.parse(values.models, lambda cls: settings.fits(cls, found))
    # Methods that cannot be built raise an error before any data are decoded or written.
    described = [runner.describe(settings, method, found.shape) for method in methods]
    for method in described:
        found.check(settings.batch_size, n_critic=method["n_critic"])
    measuring = None if settings.exact else measuring_of(settings)
    if measuring:
        first = settings.build(methods[0], found.shape, 0)
        measuring.check(first, methods[0].name, found)
    folder = Path(values.output or f"runs/compare-{runner.plain(settings.dataset)}").expanduser()
    runner.check_folder(folder, settings)
    source = found.open()
    trial = None
    if measuring:
        print(f"measuring the real images of {settings.dataset}; a cache keeps the results", flush=True)
        trial = measuring.trial(first, methods[0].name, source)
    runner.open_folder(folder, settings, trial and trial.protocol)
    wanted = runner.jobs(methods, range(values.first_seed, values.first_seed + values.seeds), folder)
    with ownership.hold(folder, "--output"):
        status = _run_missing(wanted, settings, folder, values.workers or os.cpu_count() or 1)
        if status:
            return status
        results = runner.collect(wanted, settings, source, described, folder, trial)
        with atomic_file(folder / "results.json") as file:
            file.write(json.dumps(results).encode())
        page = report.write(results, folder)
    print(f"\nAfter {settings.steps} steps:\n{runner.text_table(results, 'steps')}")
    if "seconds" in results["tables"]:
        budget = results["settings"]["seconds"]
        print(f"\nAfter {budget:.1f} seconds of training:\n{runner.text_table(results, 'seconds')}")
    if "protocol" in results:
        print(f"\nprotocol: {results['protocol']}")
    print(f"\nreport   {page}\nnumbers  {folder / 'results.csv'}, {folder / 'results.json'}")
    return 0


def _run_missing(wanted, settings, folder: Path, workers: int) -> int:
    """Does the missing runs and shows a progress bar. Returns the exit status, which is 0 if all runs are done."""
    from tqdm import tqdm

    from gan_zoo.compare import runner

    todo = [job for job in wanted if job.result is None]
    if len(todo) < len(wanted):
        print(f"continuing {folder}: {len(wanted) - len(todo)} of {len(wanted)} runs are done", flush=True)
    with tqdm(
        total=len(wanted) * settings.steps,
        initial=(len(wanted) - len(todo)) * settings.steps,
        unit="step",
        unit_scale=True,
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else 15.0,
    ) as bar:
        reached: dict = {}
        finished = len(wanted) - len(todo)

        def progress(job, step, done):
            nonlocal finished
            step = min(step, settings.steps)  # a run with a time budget may take more
            bar.update(step - reached.get(job.path, 0))
            reached[job.path] = step
            finished += done
            bar.set_description(f"{finished}/{len(wanted)} runs, {job.method.name} seed {job.seed}", refresh=False)

        try:
            runner.work(todo, settings, folder, workers, progress)
        except runner.WorkerFailed as error:
            bar.close()
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            bar.close()
            print(
                f"interrupted: {finished} of {len(wanted)} runs are done; the same command continues", file=sys.stderr
            )
            return 130
    return 0


if __name__ == "__main__":
    define_flags()
    command_line.main(main, USAGE, GROUPS)
