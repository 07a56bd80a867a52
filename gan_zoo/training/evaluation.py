"""The evaluation of samples while training: what `--evaluate_every` measures, for images and for points."""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.util.errors import UserError, in_flags
from gan_zoo.util.seeds import stream

if TYPE_CHECKING:
    from gan_zoo.training.job import Job

_POINTS = 10_000
"""Default number of samples of points."""
_IMAGES = 5000
"""Default number of samples of images: an evaluation should take a small part of the time of training."""
_DEFAULT = ("frechet", "kid")

_log = logging.getLogger("gan_zoo")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured while training.

    Attributes:
        measure: Function of a model that returns numbers by name.
        primary: The number that decides which checkpoint is the best.
        better: Whether "lower" or "higher" values of it are better.
        protocol: How the numbers are computed, in one line.
        check: Checks that the model can be evaluated with these data, which must be decoded. It raises a UserError if
            it cannot, so that the error comes before training and not at its first evaluation.
    """

    measure: Callable[[Any], dict[str, float]]
    primary: str
    better: str
    protocol: str
    check: Callable[[], None] = lambda: None


def evaluation_of(job: "Job") -> Evaluation | None:
    """Returns what the flags of a job ask to measure; None without `--evaluate_every`.

    Raises:
        UserError: If the metrics or the network are not available for the data.
    """
    config = job.config
    if not config.evaluate_every:
        return None
    return _of_points(job) if job.points else _of_images(job)


def _of_points(job: "Job") -> Evaluation:
    from gan_zoo import metrics

    config = job.config
    for flag in ("evaluate_metrics", "evaluate_features"):
        if getattr(config, flag):
            raise UserError(f"--{flag} is for images, and {config.dataset} has points: leave it out.")
    target, number = metrics.target(config.dataset), config.evaluate_num or _POINTS
    primary, seed = metrics.primary(target), stream(config.seed, "evaluation")

    def measure(model) -> dict[str, float]:
        samples = np.asarray(model(model.sample_latent(number, seed=seed)), np.float32)
        return metrics.evaluate(target, samples, config.seed)

    protocol = f"{config.dataset}: {number} samples, seed {config.seed}"
    return Evaluation(measure, primary, metrics.METRICS[primary].better, protocol)


def _of_images(job: "Job") -> Evaluation:
    from gan_zoo.evaluate import MEASURES, Judge, find_features, of_model
    from gan_zoo.evaluate.measures import check_possible, primary_of

    config, number = job.config, job.config.evaluate_num or _IMAGES
    names, classes = config.evaluate_metrics or _DEFAULT, job.found.classes if job.found.labelled else None

    @functools.cache  # one graph for all evaluations
    def subject_of(model):
        return of_model(model, classes=classes)

    with _flags():
        primary = primary_of(names)
        features = find_features(config.evaluate_features)
        check_possible(names, features, job.found, subject_of(job.gan))

    @functools.cache
    def judge() -> Judge:
        settings = {"num": number, "seed": config.seed, "resamples": 0, "floor": False}
        return Judge(job.schedule.source, features, metrics=names, **settings)

    def check() -> None:
        with _flags():
            judge().check(subject_of(job.gan))

    def measure(model) -> dict[str, float]:
        if tuple(model(model.sample_latent(1, seed=0)).shape[1:]) != tuple(job.found.shape):
            return {}  # the networks are still growing
        try:
            with _flags():
                found = judge().evaluate(subject_of(model))
        except UserError as error:
            # For example, a generator may make no sample of some class yet. This must not end the training.
            _log.warning("This step is not evaluated: %s", error)
            return {}
        return {name: result.value for name, result in found.metrics.items()}

    protocol = f"{features.title} {features.fingerprint}: {number} samples, seed {config.seed}"
    return Evaluation(measure, primary, MEASURES[primary].better, protocol, check)


def _flags() -> contextlib.AbstractContextManager[None]:
    """Makes errors of `gan_zoo.evaluate` name the flags of training, which has none for a file of weights."""
    names = ("metrics", "num", "features")
    own = {name: f"--evaluate_{name}" for name in names}
    return in_flags(**own, source="--dataset", resolution="--resolution", seed="--seed", file=None)
