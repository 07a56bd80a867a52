"""Evaluates generators and sets of images against real ones: `evaluate`."""

import contextlib
import dataclasses
import functools
import json
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gan_zoo.data.sources import Source
from gan_zoo.evaluate import measures, protocol
from gan_zoo.evaluate.examples import BATCH_SIZE, IMAGES, Examples, create, extract_to, temporary_files
from gan_zoo.evaluate.features import Features
from gan_zoo.evaluate.reference import Reference, check_images, open_reference
from gan_zoo.evaluate.subjects import Subject
from gan_zoo.util import checks, files
from gan_zoo.util.errors import UserError, argument

MOST = 50_000
"""Default number of samples of a generator, as published."""
RESAMPLES = 10
_LEAST = 10
"""Fewest samples that any metric takes."""

_log = logging.getLogger("gan_zoo")

Progress = Callable[[str, int | None], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Takes a title and a total, or None; its context gives a function to call with the number that is done."""


@dataclasses.dataclass(frozen=True)
class Result:
    """A number of an evaluation.

    Attributes:
        value: The number.
        low: Lower end of a 95 % interval for the randomness of the samples; None if it is not known.
        high: Upper end.
        floor: The same number of real images in the place of samples; None if there is none.
        floor_size: Number of these real images.
    """

    value: float
    low: float | None
    high: float | None
    floor: float | None
    floor_size: int | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        subject: What was evaluated.
        description: "kind" of the subject and, if known, "model", "step" and more.
        metrics: Results by the name of the metric.
        labels: Names of the metrics in tables.
        protocol: How they were computed.
    """

    subject: str
    description: dict[str, Any]
    metrics: dict[str, Result]
    labels: dict[str, str]
    protocol: protocol.Protocol

    def to_json(self) -> dict[str, Any]:
        """Returns the evaluation as JSON types, for `write`."""
        return {
            "subject": self.subject,
            "description": self.description,
            "metrics": {name: dataclasses.asdict(result) for name, result in self.metrics.items()},
            "labels": self.labels,
            "protocol": self.protocol.line(),
            "protocol_details": dataclasses.asdict(self.protocol),
        }


def write(evaluations: Sequence[Evaluation], path: str | Path) -> None:
    """Writes evaluations to a JSON file: one as an object, several as a list.

    Raises:
        UserError: If the file cannot be written.
    """
    found = [evaluation.to_json() for evaluation in evaluations]
    try:
        with files.atomic_file(path) as file:
            file.write((json.dumps(found[0] if len(found) == 1 else found, indent=1) + "\n").encode())
    except OSError as error:
        raise UserError(f"{argument('path')}={path} cannot be written: {error.strerror or error}.") from error


def read(path: str | Path) -> list[Evaluation]:
    """Reads the evaluations in a file of `write`.

    Raises:
        UserError: If it is not such a file.
    """
    path = checks.path(argument("path"), path)
    try:
        found = json.loads(path.read_text("utf-8"))
        return [_evaluation(one) for one in (found if isinstance(found, list) else [found])]
    except OSError as error:
        raise UserError(f"{argument('path')}={path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{argument('path')}={path} is not a file of gan_zoo.evaluate: name one that --json wrote."
        ) from error


def _evaluation(found: dict[str, Any]) -> Evaluation:
    """Returns an evaluation from JSON types. Metrics that only a later version knows are left out.

    Raises:
        ValueError, KeyError, TypeError or AttributeError: If it is not an evaluation.
    """
    evaluation = Evaluation(
        found["subject"],
        found["description"],
        {name: Result(**result) for name, result in found["metrics"].items() if name in measures.MEASURES},
        found["labels"],
        protocol.Protocol(**found["protocol_details"]),
    )
    numbers = [number for result in evaluation.metrics.values() for number in dataclasses.astuple(result)]
    sound = isinstance(evaluation.subject, str) and evaluation.labels.keys() >= evaluation.metrics.keys()
    if not sound or not all(number is None or isinstance(number, int | float) for number in numbers):
        raise TypeError
    if any(result.value is None for result in evaluation.metrics.values()):
        raise TypeError
    evaluation.protocol.key()
    evaluation.protocol.line()
    return evaluation


@contextlib.contextmanager
def silent(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Shows no progress."""
    yield lambda count: None


class Judge:
    """Compares generated images with the real images of one dataset, by one protocol.

    Args:
        source: The real images: see `gan_zoo.data.open_source`.
        features: The network for features: see `find_features`.
        metrics: Names of `MEASURES`, or "all" for those that can be computed.
        num: Number of samples. None is 50,000, or all images of a folder. Most metrics depend on it.
        seed: Seed of the samples and of all else that is random. The same arguments give the same numbers.
        resamples: Number of resamples for the interval of the Frechet distance; 0 for none.
        floor: Whether to compute the noise floor: the same metrics of real images against other real images, as many as
            there are samples, but at most half of the real images. The cache keeps it.
        cache_dir: Folder of the cache. None is `$GAN_ZOO_CACHE/references`, or `~/.cache/gan_zoo/references`.
        progress: Shows progress.

    Arrays are kept in files, so that memory does not grow with the number of images.

    Raises:
        UserError: If a metric is not known or an argument is out of range, or the data are not images.
    """

    def __init__(
        self,
        source: Source,
        features: Features,
        *,
        metrics: Sequence[str] = measures.DEFAULT,
        num: int | None = None,
        seed: int = 0,
        resamples: int = RESAMPLES,
        floor: bool = True,
        cache_dir: str | Path | None = None,
        progress: Progress = silent,
    ):
        self.names = measures.check_names(tuple(metrics))
        self._only_possible = "all" in metrics
        self._num = None if num is None else checks.whole(argument("num"), num, 1)
        self._seed = checks.whole(argument("seed"), seed, 0, 2**63 - 1)
        self._resamples = checks.whole(argument("resamples"), resamples, 0, 10_000)
        if self._resamples == 1:
            raise UserError(
                f"{argument('resamples')}=1: one resample has no spread: give 2 or more, or 0 for no interval."
            )
        check_images(source)
        if source.size is not None and source.size < _LEAST:
            raise UserError(
                f"{argument('source')}={source.name} has {source.size} images, too few to compare with: {_LEAST} are "
                "the least."
            )
        self._source, self._features, self._floor = source, _probed(features, source.shape), floor
        self._cache_dir, self._progress = cache_dir, progress
        self._work = Path(tempfile.mkdtemp(prefix="gan_zoo-"))
        weakref.finalize(self, shutil.rmtree, self._work, ignore_errors=True)
        self._warned: set[int] = set()
        self._with_images = any("images" in measures.MEASURES[name].needs for name in self.names)

    @functools.cached_property
    def _reference(self) -> Reference:
        return open_reference(
            self._source,
            self._features,
            work=self._work,
            with_images=self._with_images,
            cache_dir=self._cache_dir,
            progress=self._progress,
        )

    @functools.cached_property
    def _gaussian(self):
        return measures.gaussian_of(self._reference.examples)

    def evaluate(self, subject: Subject) -> Evaluation:
        """Returns the evaluation of a generator or a set of images: see `open_subject`.

        Raises:
            UserError: If a metric cannot be computed, sizes or channels differ, samples are not finite, or there are
                too few images.
        """
        names, number = self.check(subject)
        if {"frechet", "intra_frechet"} & {*names}:
            self._warn_of_few(number)
        reference = self._reference
        with temporary_files(self._work):
            fake = self._samples(subject, number)
        with self._progress(f"{', '.join(names)} of {number} samples", None):
            gaussian = self._gaussian if "frechet" in names else None
            inputs = (reference.examples, fake, self._features, self._seed, self._resamples, subject, gaussian)
            skip = self._skip if self._only_possible else None
            estimates = measures.compute(names, measures.Inputs(*inputs, reference.radii), skip)
        names = tuple(estimates)
        floors, floor_size = self._floors(names, number) if self._floor else ({}, None)
        samples = {"number": number, "seed": self._seed, "ema": subject.description.get("ema")}
        return Evaluation(
            subject.name,
            subject.description,
            {name: _result(estimates[name], floors.get(name), floor_size) for name in names},
            {name: measures.label_of(name, self._features) for name in names},
            protocol.describe(names, self._features, samples, reference.description),
        )

    def check(self, subject: Subject) -> tuple[tuple[str, ...], int]:
        """Checks that a subject can be evaluated, and returns the metrics and the number of samples. Draws none.

        Raises:
            UserError: If a metric cannot be computed, sizes or channels differ, or there are too few images.
        """
        if tuple(self._source.shape) != tuple(subject.shape):
            same_side = tuple(self._source.shape[:2]) == tuple(subject.shape[:2])
            same = f"give the dataset the same {argument('resolution')}"
            advice = "use a dataset with as many channels" if same_side else same
            raise UserError(
                f"{subject.name} has images of {_size(subject.shape)}, and {argument('source')}={self._source.name} of "
                f"{_size(self._source.shape)}: {advice}."
            )
        return self._possible(subject), _number(subject, self._num)

    def _warn_of_few(self, number: int) -> None:
        """Warns, once, if a Frechet distance has fewer samples than features."""
        size = self._features.size
        if size is not None and number <= size and number not in self._warned:
            self._warned.add(number)
            _log.warning(
                "%d samples are not more than the %d features, so their covariance is singular and the Frechet "
                "distance is far from its value for many samples: compare it only at equal numbers, or raise %s.",
                number,
                size,
                argument("num"),
            )

    @staticmethod
    def _skip(name: str, error: UserError) -> None:
        _log.warning("%s=%s is left out: %s", argument("metrics"), name, error)

    def _possible(self, subject: Subject) -> tuple[str, ...]:
        """Returns the metrics that can be computed of a subject.

        Raises:
            UserError: If one cannot, unless "all" were requested.
        """
        given = self._features, self._source, subject
        if not self._only_possible:
            measures.check_possible(self.names, *given)
        return tuple(name for name in self.names if measures.missing(name, *given) is None)

    def _samples(self, subject: Subject, number: int) -> Examples:
        """Draws samples, and computes their features."""
        images = None
        if self._with_images:
            images = create(self._work / f"samples-{IMAGES}", np.uint8, (number, *subject.shape))
        labels: list[np.ndarray] = []

        def batches():
            done = 0
            for drawn, drawn_labels in subject.draw(number, self._seed):
                if images is not None:
                    images[done : done + len(drawn)] = drawn
                done += len(drawn)
                if drawn_labels is not None:
                    labels.append(np.asarray(drawn_labels))
                for start in range(0, len(drawn), BATCH_SIZE):
                    yield drawn[start : start + BATCH_SIZE]

        title = f"{self._features.title}: {number} images of {subject.name}"
        with self._progress(title, number) as done:
            found = extract_to(self._work, self._features, batches(), number, done)
        return Examples(images, np.concatenate(labels) if labels else None, *found)

    def _floors(self, names: tuple[str, ...], number: int) -> tuple[dict[str, float], int]:
        """Returns the metrics of real images against the other real images, and the number of the former.

        The reference's folder keeps them, by number and seed.
        """
        examples = self._reference.examples
        names = tuple(name for name in names if "generator" not in measures.MEASURES[name].needs)
        count = min(number, len(examples) // 2)
        kept = self._reference.folder / f"floor-{count}-{self._seed}.json"
        key = {name: f"{protocol.VERSION} {measures.MEASURES[name].protocol}" for name in names}
        known = _read_floors(kept)
        new = tuple(name for name in names if known.get(name, {}).get("key") != key[name])
        if new:
            # The reference is in a random order, so its first images are a random sample.
            held, rest = examples.part(0, count), examples.part(count, len(examples))
            with self._progress(f"noise floor: {count} real images against the others", None):
                inputs = measures.Inputs(rest, held, self._features, self._seed, 0)
                # A class may have too few real images for a floor, but enough for the metric itself.
                found = measures.compute(new, inputs, lambda name, error: None)
            known |= {name: {"key": key[name], "value": found[name].value} for name in found}
            with contextlib.suppress(OSError), files.atomic_file(kept) as file:  # only a cache
                file.write((json.dumps(known, indent=1) + "\n").encode())
        return {name: known[name]["value"] for name in names if known.get(name, {}).get("key") == key[name]}, count


def evaluate(subject: Subject, source: Source, features: Features, **settings: Any) -> Evaluation:
    """Returns the evaluation of one subject: see `Judge`, which takes `settings`, and `Judge.evaluate`."""
    return Judge(source, features, **settings).evaluate(subject)


def _result(estimate: measures.Estimate, floor: float | None, floor_size: int | None) -> Result:
    return Result(estimate.value, estimate.low, estimate.high, floor, None if floor is None else floor_size)


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _number(subject: Subject, num: int | None) -> int:
    """Returns the number of samples, and checks that there are as many, and enough."""
    if num is not None and num < _LEAST:
        raise UserError(f"{argument('num')}={num} is too few samples to measure: {_LEAST} are the least.")
    if subject.count is None:
        return MOST if num is None else num
    if subject.count < _LEAST:
        raise UserError(
            f"{argument('model')}={subject.name} has {subject.count} images, too few to measure: {_LEAST} are the "
            "least."
        )
    if num is not None and num > subject.count:
        raise UserError(
            f"{argument('num')}={num}: {subject.name} has only {subject.count} images: leave {argument('num')} out to "
            "use them all."
        )
    return subject.count if num is None else num


def _probed(features: Features, shape: Sequence[int]) -> Features:
    """Returns features with known numbers of features and classes. A user's function tells them when it is called.

    Raises:
        UserError: If the network cannot take images of this shape.
    """
    found = features(np.zeros((1, *shape), np.uint8))
    sizes = [None if part is None else part.shape[1] for part in found]
    return dataclasses.replace(features, size=sizes[0], outputs=sizes[1])


def _read_floors(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        return found if all(isinstance(entry, dict) and "value" in entry for entry in found.values()) else {}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
