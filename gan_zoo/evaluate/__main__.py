"""Measures the quality of images: `python -m gan_zoo.evaluate --model=runs/wgan_gp-cifar10 --dataset=cifar10`."""

import contextlib
import errno
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator

from absl import flags

from gan_zoo.data import MAX_SKIPPED, find_source, synthetic
from gan_zoo.evaluate import features, judge, measures, subjects, tables
from gan_zoo.util import checks, command_line, console
from gan_zoo.util.errors import UserError, in_flags

USAGE = """
Compares generated images with the real images of a dataset:

    python -m gan_zoo.evaluate --model=runs/wgan_gp-cifar10 --dataset=cifar10
    python -m gan_zoo.evaluate --model=folder:my_samples --dataset=folder:my_images --resolution=64 --metrics=all
    python -m gan_zoo.evaluate --results=a.json,b.json

Every table names its protocol. Numbers of different protocols are never ranked together.
"""

GROUPS = {
    "What": ["model", "dataset", "results"],
    "Real images": ["data_dir", "split", "resolution", "crop", "cache_dir", "max_skipped"],
    "Protocol": ["metrics", "num", "seed", "features", "features_file", "features_resolution", "resamples", "floor"],
    "Models": ["trust", "mirror", "index"],
    "Result": ["json"],
}


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_multi_string(
        "model",
        [],
        "A released model, the path of a SavedModel or a run folder, or folder:PATH for images. May be repeated.",
    )
    flags.DEFINE_string("dataset", None, "The real images: a dataset, as for train.py, or folder:PATH.")
    flags.DEFINE_list("results", [], "JSON files of earlier evaluations, which are ranked in one table.")
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets; by default ~/tensorflow_datasets.")
    flags.DEFINE_string("split", "train", "Split of the dataset.")
    flags.DEFINE_integer("resolution", None, "Side of the real images in pixels; by default that of the model.")
    flags.DEFINE_integer("crop", None, "Side of the centred square that is cut out before resizing, in pixels.")
    flags.DEFINE_string("cache_dir", None, "Folder of decoded images; by default ~/.cache/gan_zoo/data.")
    flags.DEFINE_integer("max_skipped", MAX_SKIPPED, "Largest number of real images that may be skipped.")
    flags.DEFINE_list("metrics", list(measures.DEFAULT), f"Any of {', '.join(measures.MEASURES)}, or all.")
    flags.DEFINE_integer("num", None, "Number of samples; by default 50000, or all images of a folder.")
    flags.DEFINE_integer("seed", 0, "Seed of the samples and of all else that is random.")
    flags.DEFINE_string(
        "features",
        None,
        f"Network: {', '.join(features.NAMES)} or module:name. By default inception if its weights are here, otherwise "
        f"efficientnet_lite0.",
    )
    flags.DEFINE_string("features_file", None, "Weights of the network, if you have the file.")
    flags.DEFINE_integer("features_resolution", None, "Side to which efficientnet_lite0 resizes images, 128 or 224.")
    flags.DEFINE_integer("resamples", judge.RESAMPLES, "Resamples for the interval of the Frechet distance.")
    flags.DEFINE_bool("floor", True, "Also measure real images against real images: the noise floor.")
    flags.DEFINE_bool("trust", False, "Load SavedModels of others: their graphs are code that runs with your rights.")
    flags.DEFINE_string("mirror", None, "Where released models come from: an address or a folder.")
    flags.DEFINE_string("index", None, "Index of the releases, in place of the package's own.")
    flags.DEFINE_string("json", None, "File for the numbers and their protocol; with several models a list.")


@contextlib.contextmanager
def _progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar on a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    if total is None:
        with tqdm(total=1, desc=title, leave=False, disable=None, bar_format="{desc} ..."):
            yield lambda count: None
        return
    with tqdm(total=total, desc=title, unit="image", leave=False, disable=None) as bar:
        yield bar.update


def main() -> int:
    names = ("model", "metrics", "num", "seed", "features", "resolution", "resamples")
    with in_flags(**{name: f"--{name}" for name in names}, source="--dataset", path="--json"):
        return _main(flags.FLAGS)


def _main(values) -> int:
    if values.results:
        for name in ("model", "dataset", "json"):
            if values[name].value:
                raise UserError(f"--results ranks earlier evaluations: leave --{name} out.")
        with in_flags(path="--results"):
            return console.finish(tables.ranking([one for path in values.results for one in judge.read(path)]))
    for name in ("model", "dataset"):
        if not values[name].value:
            raise UserError(
                f"--{name} is missing: give {'what to evaluate' if name == 'model' else 'the real images'}."
            )
    if synthetic.is_synthetic(values.dataset):
        raise UserError(f"--dataset={values.dataset} has points, and this compares images: name a dataset of images.")
    if values.json is not None:
        _check_writable(values.json)
    measures.check_names(tuple(values.metrics))
    # Python would end without removing its temporary files, which can be large.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    return _evaluate(values)


def _evaluate(values) -> int:
    found = [
        subjects.open_subject(model, trust=values.trust, mirror=values.mirror, index=values.index)
        for model in values.model
    ]
    source = find_source(
        values.dataset,
        split=values.split,
        data_dir=values.data_dir,
        resolution=values.resolution or found[0].shape[0],
        crop=values.crop,
        cache_dir=values.cache_dir,
        max_skipped=values.max_skipped,
    ).open()
    network = _network(values)
    referee = judge.Judge(
        source,
        network,
        metrics=values.metrics,
        num=values.num,
        seed=values.seed,
        resamples=values.resamples,
        floor=values.floor,
        progress=_progress,
    )
    _check_numbers(referee, found)
    evaluations = []
    for subject in found:
        evaluations.append(referee.evaluate(subject))
        if values.json is not None:  # after each model, so that an error of the next one loses nothing
            judge.write(evaluations, values.json)
    return console.finish(tables.ranking(evaluations) if len(evaluations) > 1 else tables.table(evaluations[0]))


def _check_numbers(referee: judge.Judge, found: list[subjects.Subject]) -> None:
    """Checks that all models can be evaluated, and with as many samples, before the first one is.

    Raises:
        UserError: If not.
    """
    numbers = [referee.check(subject)[1] for subject in found]
    for subject, number in zip(found, numbers, strict=True):
        if number != numbers[0]:
            raise UserError(
                f"{found[0].name} would have {numbers[0]} samples and {subject.name} {number}, and these cannot be "
                f"ranked together: give both --num={min(numbers)}."
            )


def _check_writable(path: str) -> None:
    """Checks that a file can be written, before hours of work, and creates its folder.

    Raises:
        UserError: If it cannot.
    """
    file = checks.path("--json", path)
    try:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except FileExistsError as error:
        raise UserError(f"--json={path} cannot be written: {file.parent} is not a folder.") from error
    except OSError as error:
        raise UserError(f"--json={path} cannot be written: {error.strerror or error}.") from error


def _network(values) -> features.Features:
    """Returns the network for features. Errors about its file and its resolution name the flags."""
    file = values.features_file
    try:
        with in_flags(file="--features_file", resolution="--features_resolution"):
            return features.find_features(values.features, file=file, resolution=values.features_resolution)
    except UserError as error:
        if file is not None and str(error).startswith(str(checks.path("--features_file", file))):
            raise UserError(f"--features_file={error}") from error
        raise


if __name__ == "__main__":
    define_flags()
    command_line.main(main, USAGE, GROUPS)
