"""What a comparison measures: exact metrics where the distribution is known, and `gan_zoo.evaluate` for other images.

Both classes have `primary` and `describe`, which say what the numbers are, `look`, which measures a model in training,
and `reference`, which measures the data themselves. For images, `trial` comes before all training: it measures the real
images, and returns the protocol.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo import data, evaluate, metrics
from gan_zoo.compare.report import summarize
from gan_zoo.evaluate.measures import check_possible, label_of, primary_of
from gan_zoo.metrics import digits
from gan_zoo.util.class_names import shown_classes
from gan_zoo.util.errors import NonFiniteLoss, NonFiniteSamples, UserError, in_flags
from gan_zoo.util.pictures import to_uint8
from gan_zoo.util.seeds import stream

if TYPE_CHECKING:
    from gan_zoo.compare.settings import Settings

POINTS_KEPT, IMAGES_KEPT, COLUMNS = 1000, 16, 4
"""Numbers of samples, points or images, that a result contains for pictures; with classes, images of each class."""

Look = Callable[[Any], tuple[dict[str, float], np.ndarray]]
"""Function of a model that returns its metrics by name, and samples for pictures: points or uint8 images.

It raises `NonFiniteLoss` if samples are not finite.
"""

_find_features = functools.cache(evaluate.find_features)


class ExactMetrics:
    """The metrics of `gan_zoo.metrics.evaluate`, for data whose distribution is known.

    Args:
        settings: Settings of the comparison.

    Attributes:
        primary: Name of the metric that determines the ranks.
        limits: Lowest and highest coordinate of pictures of points; None for images.

    Raises:
        UserError: If the dataset has no such metrics, or a setting is for images only.
    """

    def __init__(self, settings: "Settings"):
        self._settings = settings
        try:
            self._target = metrics.target(settings.dataset)
        except UserError as error:
            raise UserError(f"--dataset: {str(error).removeprefix('dataset: ')}") from None
        for name in ("metrics", "features", "resolution"):
            if getattr(settings, name):
                raise UserError(f"--{name} is for other images: {settings.dataset} has exact metrics: leave it out.")
        if not settings.points and not digits.has_classifier():
            digits.load_classifier()  # its error says what to do
        self.primary = metrics.primary(self._target)
        self.limits = self._target.limits if settings.points else None

    def resolved(self) -> dict[str, Any]:
        """Returns the settings whose defaults depend on what is installed: none."""
        return {}

    def describe(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """Returns what the report says about metrics: "name", "label", "better", "digits" and "description"."""
        return [{"name": n, **dataclasses.asdict(m)} for n, m in metrics.METRICS.items() if n in names]

    def look(self, source: data.Source, seed: int) -> Look:
        """Returns a function that measures a model in training.

        Args:
            source: The data.
            seed: Seed of the run.
        """
        number, latents = self._settings.samples, stream(seed, "measured samples")

        def measure(model):
            samples = np.asarray(model(model.sample_latent(number, seed=latents)), np.float32)
            if not np.isfinite(samples).all():
                raise NonFiniteLoss("samples are not finite")
            values = metrics.evaluate(self._target, samples, seed=seed)
            if samples.ndim == 2:
                return values, np.round(samples[:POINTS_KEPT].astype("float64"), 4)
            return values, _pictures(model, seed) if model.classes else to_uint8(samples[:IMAGES_KEPT])

        return measure

    def reference(self, source: data.Source, seeds: Sequence[int], trial: None = None) -> dict[str, Any]:
        """Returns the metrics of draws of the data, over the same seeds: the values of a perfect generator."""
        measured = []
        for seed in seeds:
            batches = source.batches(self._settings.samples, seed=stream(seed, "reference"), labels=False)
            measured.append(metrics.evaluate(self._target, next(batches.as_numpy_iterator()), seed=seed))
        return {"reference": {name: summarize([row[name] for row in measured]) for name in measured[0]}}


class ImageMetrics:
    """The metrics of `gan_zoo.evaluate`, for images of any dataset. The first of `--metrics` determines the ranks.

    Args:
        settings: Settings of the comparison.

    Attributes:
        primary: Name of the metric that determines the ranks.
        limits: None.

    Raises:
        UserError: If a metric or the network for features is not known or not available.
    """

    limits = None

    def __init__(self, settings: "Settings"):
        self._settings = settings
        self._metrics = tuple(settings.metrics or evaluate.measures.DEFAULT)
        with _flags():
            self.primary = primary_of(self._metrics)
            self._features = _find_features(settings.features)

    def resolved(self) -> dict[str, Any]:
        """Returns the settings whose defaults depend on what is installed."""
        return {"metrics": self._metrics, "features": self._features.name}

    def describe(self, names: Iterable[str]) -> list[dict[str, Any]]:
        """See `ExactMetrics.describe`."""
        return [
            {
                **{"name": name, "label": label_of(name, self._features), "better": measure.better},
                **{"digits": measure.digits, "description": measure.description},
            }
            for name, measure in evaluate.MEASURES.items()
            if name in names
        ]

    def look(self, source: data.Source, seed: int) -> Look:
        """See `ExactMetrics.look`. All methods whose latents have the same size and prior get the same latents."""
        judge = self._judge(source, seed, floor=False)
        subject_of = functools.cache(self._subject)  # one graph for all evaluations

        def measure(model):
            try:
                with _flags():
                    found = judge.evaluate(subject_of(model, "the model", source))
            except NonFiniteSamples:
                raise NonFiniteLoss("samples are not finite") from None
            return {name: result.value for name, result in found.metrics.items()}, _pictures(model, seed)

        return measure

    def check(self, gan, name: str, found: data.Found) -> None:
        """Checks, before images are decoded, that the metrics can be computed of a method.

        Raises:
            UserError: If one cannot.
        """
        with _flags():
            check_possible(self._metrics, self._features, found, self._subject(gan, name, found))

    def trial(self, gan, name: str, source: data.Source) -> evaluate.Evaluation:
        """Evaluates a method before its training: for the protocol, the noise floor, and errors.

        The features of the real images are then in the cache, where all workers find them.

        Raises:
            UserError: If a metric cannot be computed.
        """
        with _flags():
            found = self._judge(source, 0, floor=True).evaluate(self._subject(gan, name, source))
        samples = {**found.protocol.samples, "seed": "of the run"}
        return dataclasses.replace(found, protocol=dataclasses.replace(found.protocol, samples=samples))

    def reference(self, source: data.Source, seeds: Sequence[int], trial: evaluate.Evaluation) -> dict[str, Any]:
        """Returns the noise floor, the number of its real images, and the protocol.

        The floor is left out if there are not enough real images for one of as many images as there are samples.

        Args:
            source: The data.
            seeds: Seeds of the runs.
            trial: The result of `trial`.
        """
        number = self._settings.samples
        floors = {name: result.floor for name, result in trial.metrics.items() if result.floor_size == number}
        return {
            "reference": {name: summarize([floor]) for name, floor in floors.items()},
            "reference_size": number,
            "protocol": trial.protocol.line(),
            "protocol_details": dataclasses.asdict(trial.protocol),
        }

    def _judge(self, source: data.Source, seed: int, *, floor: bool) -> evaluate.Judge:
        how = {"num": self._settings.samples, "seed": seed, "resamples": 0, "floor": floor}
        return evaluate.Judge(source, self._features, metrics=self._metrics, **how)

    @staticmethod
    def _subject(gan, name: str, outline: data.Found | data.Source) -> evaluate.Subject:
        return evaluate.of_model(gan, name, classes=outline.classes if outline.labelled else None)


def measuring_of(settings: "Settings") -> ExactMetrics | ImageMetrics:
    """Returns what a comparison measures.

    Raises:
        UserError: If this is not available.
    """
    return (ExactMetrics if settings.exact else ImageMetrics)(settings)


def _pictures(model, seed: int) -> np.ndarray:
    """Returns the images for a picture, uint8 [N, H, W, C]: `IMAGES_KEPT`, or `COLUMNS` of each shown class, in order.

    All methods whose latents have the same size and prior get the same latents.
    """
    seed = stream(seed, "pictures")
    if model.classes is None:
        return to_uint8(model(model.sample_latent(IMAGES_KEPT, seed=seed)))
    labels = np.repeat(shown_classes(model.classes), COLUMNS)
    return to_uint8(model(model.sample_latent(len(labels), seed=seed, label=labels)))


def _flags() -> contextlib.AbstractContextManager[None]:
    """Makes errors of `gan_zoo.evaluate` name the flags of comparisons, which have none for a file of weights."""
    names = ("metrics", "features", "resolution")
    return in_flags(**{name: f"--{name}" for name in names}, source="--dataset", num="--samples", file=None)
