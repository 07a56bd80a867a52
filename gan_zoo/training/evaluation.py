"""The evaluation of samples while training: what `--evaluate_every` measures, for images and for points."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.util.errors import UserError
from gan_zoo.util.seeds import stream

if TYPE_CHECKING:
    from gan_zoo.training.job import Job

_POINTS = 10_000
"""Default number of samples of points."""
_IMAGES = 5000
"""Default number of samples of images: an evaluation should take a small part of the time of training."""
_DEFAULT = ("frechet", "kid")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is measured while training.

    Attributes:
        measure: Function of a model that returns numbers by name.
        primary: The number that decides which checkpoint is the best.
        better: Whether "lower" or "higher" values of it are better.
        protocol: How the numbers are computed, in one line.
    """

    measure: Callable[[Any], dict[str, float]]
    primary: str
    better: str
    protocol: str


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
    from gan_zoo.evaluate.measures import check_names

    config, number = job.config, job.config.evaluate_num or _IMAGES
    try:
        names = check_names(tuple(config.evaluate_metrics or _DEFAULT))
        features = find_features(config.evaluate_features)
    except UserError as error:
        raise UserError(_with_flags(str(error))) from None
    for name in names:
        lacks = {"logits": features.outputs is None, "labels": not job.found.labelled}
        for need in MEASURES[name].needs:
            if lacks.get(need):
                raise UserError(f"--evaluate_metrics={name} needs {need}, which this run does not have: leave it out.")
    primary = next((name for name in config.evaluate_metrics if name in names), names[0])
    if MEASURES[primary].better == "none":
        raise UserError(
            f"--evaluate_metrics={primary} has no better or worse, so it cannot choose the best checkpoint: name "
            f"another metric first."
        )
    classes = job.found.classes if job.found.labelled else None

    @functools.cache  # one graph for all evaluations
    def subject_of(model):
        return of_model(model, classes=classes)

    @functools.cache
    def judge() -> Judge:
        settings = {"num": number, "seed": config.seed, "resamples": 0, "floor": False}
        return Judge(job.schedule.source, features, metrics=names, **settings)

    def measure(model) -> dict[str, float]:
        if tuple(model(model.sample_latent(1, seed=0)).shape[1:]) != tuple(job.found.shape):
            return {}  # the networks are still growing
        found = judge().evaluate(subject_of(model))
        return {name: result.value for name, result in found.metrics.items()}

    protocol = f"{features.title} {features.fingerprint}: {number} samples, seed {config.seed}"
    return Evaluation(measure, primary, MEASURES[primary].better, protocol)


def _with_flags(message: str) -> str:
    """Returns a message of `gan_zoo.evaluate` with the names of the flags of training."""
    for name in ("metrics", "num"):
        message = message.replace(f"--{name}", f"--evaluate_{name}")
    return f"--evaluate_{message}" if message.startswith("features=") else message
