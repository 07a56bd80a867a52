"""The metrics of `evaluate`: what each needs, and how it is computed from real and generated examples.

All of them compare N generated with M real images, so the same function gives the noise floor, with real images in the
place of generated ones.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from gan_zoo import metrics
from gan_zoo.evaluate.examples import Examples
from gan_zoo.evaluate.features import Features
from gan_zoo.evaluate.subjects import Subject
from gan_zoo.metrics import manifold, patches
from gan_zoo.metrics.conditional import moments_of
from gan_zoo.metrics.ms_ssim import SMALLEST
from gan_zoo.util.errors import UserError, argument

SUBSETS, SUBSET_SIZE = 100, 1000
"""Number and size of the subsets of the kernel distance, as published (Binkowski et al., 2018)."""
SPLITS = 10
NEIGHBOURS = 3
"""Neighbours of precision and recall (Kynkaanniemi et al., 2019)."""
COVERAGE_NEIGHBOURS = 5
"""Neighbours of density and coverage (Naeem et al., 2020)."""
PAIRS = 10_000
_SWD_IMAGES = 16_384
"""Largest number of images of each set in the sliced Wasserstein distance (Karras et al., 2018)."""
PATHS = 2000
VALIDATION, TEST, KERNELS = 1000, 2000, 10_000
"""Real images that choose the bandwidth and that are measured, and samples, of the log-likelihoods."""
PROBE = 10_000
"""Largest number of real images that the classifier of labels learns from."""
_BLOCK = 4096
_NAMED = 4
"""Number of classes that a message names."""


_PARTS = 10
"""Parts of the samples whose spread gives a standard error."""
_QUANTILE = 1.96
"""Half the width of a 95 % interval in standard errors."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with a 95 % interval for the randomness of the samples; None if the interval is not known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a metric is computed from.

    Attributes:
        real: Real examples.
        fake: Generated examples, or real ones for the noise floor.
        features: The network for features.
        seed: Seed of everything random.
        resamples: Number of resamples for the error of the Frechet distance; 0 for no error.
        subject: The generator of `fake`; None for the noise floor.
        gaussian: The Gaussian of `real`, if it is known already: see `gaussian_of`.
        radii: Function of k that returns `gan_zoo.metrics.radii` of the real features. None if they are not kept.
    """

    real: Examples
    fake: Examples
    features: Features
    seed: int
    resamples: int
    subject: Subject | None = None
    gaussian: metrics.FrechetReference | None = None
    radii: Callable[[int], np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Measure:
    """A metric.

    Attributes:
        label: Name in tables. That of the Frechet distance is the network's.
        better: Whether "lower" or "higher" values are better; "none" if neither is.
        digits: Number of decimals to show.
        protocol: Settings that numbers depend on, for the protocol line.
        description: One sentence.
        group: Name of the function in `_GROUPS` that computes it.
        needs: What it needs besides features: "images", "logits", "labels", "generator".
    """

    label: str
    better: Literal["lower", "higher", "none"]
    digits: int
    protocol: str
    description: str
    group: str
    needs: tuple[str, ...] = ()
    published: str = ""
    """Name in tables for the features of Inception, if the literature has one."""


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "frechet": Measure(
            "",
            "lower",
            2,
            "ddof 1, float64",
            "Squared Frechet distance between Gaussians fitted to features.",
            "frechet",
        ),
        "kid": Measure(
            "Kernel distance x 1000",
            "lower",
            3,
            f"cubic, unbiased, {SUBSETS} subsets of {SUBSET_SIZE}, or of all if there are fewer",
            "Squared maximum mean discrepancy of features, times 1000 (of Inception: KID x 1000).",
            "kid",
            published="KID x 1000",
        ),
        "inception_score": Measure(
            "Class score",
            "higher",
            3,
            f"{SPLITS} splits",
            "exp(E KL(p(y|x) || p(y))) of the network's classes (of Inception: the Inception Score).",
            "inception_score",
            ("logits",),
            "Inception Score",
        ),
        "precision": Measure(
            "Precision", "higher", 3, f"k = {NEIGHBOURS}", "Share of samples near real images.", "precision_recall"
        ),
        "recall": Measure(
            "Recall", "higher", 3, f"k = {NEIGHBOURS}", "Share of real images near samples.", "precision_recall"
        ),
        "density": Measure(
            "Density",
            "higher",
            3,
            f"k = {COVERAGE_NEIGHBOURS}",
            "Mean number of real neighbourhoods that a sample is in, divided by k.",
            "density_coverage",
        ),
        "coverage": Measure(
            "Coverage",
            "higher",
            3,
            f"k = {COVERAGE_NEIGHBOURS}",
            "Share of real neighbourhoods with a sample.",
            "density_coverage",
        ),
        "swd": Measure(
            "Sliced Wasserstein x 1000",
            "lower",
            2,
            f"up to {_SWD_IMAGES} images, Laplacian patches 7x7, 128 an image, 4 x 128 directions",
            "Sliced Wasserstein distance of patches, mean over the levels of a Laplacian pyramid.",
            "swd",
            ("images",),
        ),
        "ms_ssim": Measure(
            "MS-SSIM",
            "none",
            4,
            f"{PAIRS} pairs",
            "Mean similarity of pairs of samples: high means little diversity.",
            "ms_ssim",
            ("images",),
        ),
        "intra_frechet": Measure(
            "Frechet within classes",
            "lower",
            2,
            "mean over classes",
            "Mean of the Frechet distances of each class.",
            "intra_frechet",
            ("labels",),
        ),
        "label_accuracy": Measure(
            "Label accuracy",
            "higher",
            3,
            f"logistic regression on features of up to {PROBE} real images",
            "Share of samples in which a classifier of real images reads the wanted class.",
            "label_accuracy",
            ("labels",),
        ),
        "nearest": Measure(
            "Nearest real image",
            "none",
            3,
            "mean Euclidean distance of features",
            "Mean distance of a sample to the nearest real image: far below the floor means memorised images.",
            "nearest",
        ),
        "path_length": Measure(
            "Path length",
            "lower",
            2,
            f"{PATHS} paths, squared distance of features",
            "Perceptual path length: how evenly samples change with the latents.",
            "path_length",
            ("generator",),
        ),
        "parzen": Measure(
            "Parzen log-likelihood",
            "higher",
            1,
            f"up to {KERNELS} kernels, {VALIDATION} validation and {TEST} test images, pixels in [0, 1]",
            "Log-likelihood of real images in nats. It does not agree with quality (Theis et al., 2016).",
            "parzen",
            ("images",),
        ),
        "gmm": Measure(
            "GMM log-likelihood",
            "higher",
            1,
            f"up to {KERNELS} samples, {TEST} test images, 32 principal components",
            "Log-likelihood of real images under a mixture of Gaussians. It does not agree with quality either.",
            "gmm",
            ("images",),
        ),
    }
)
"""The metrics by name."""

DEFAULT = ("frechet", "kid", "precision", "recall")


def label_of(name: str, features: Features) -> str:
    """Returns the name of a metric in tables. Only features of Inception give an FID, a KID or an Inception Score."""
    if name == "frechet":
        return features.frechet_name
    measure = MEASURES[name]
    return measure.published if measure.published and features.frechet_name == "FID" else measure.label


def compute(
    names: tuple[str, ...], inputs: Inputs, failed: Callable[[str, UserError], None] | None = None
) -> dict[str, Estimate]:
    """Returns the estimates of metrics. Metrics of one group are computed together.

    Args:
        names: The metrics.
        inputs: What they are computed from.
        failed: Called with the name of a metric that cannot be computed, which is then left out. None raises the error.

    Raises:
        UserError: If a metric cannot be computed, for example because a class has too few images.
    """
    found: dict[str, Estimate] = {}
    for group in dict.fromkeys(MEASURES[name].group for name in names):
        try:
            found |= _GROUPS[group](inputs)
        except UserError as error:
            for name in (name for name in names if MEASURES[name].group == group):
                if failed is None:
                    raise UserError(f"{argument('metrics')}={name}: {error}") from error
                failed(name, error)
    return {name: found[name] for name in names if name in found}


def gaussian_of(real: Examples) -> metrics.FrechetReference:
    """Returns the Gaussian fitted to the features of real examples, which Frechet distances start from."""
    moments = metrics.Moments(real.features.shape[1]).update(real.features)
    return metrics.FrechetReference(moments.mean, moments.covariance)


def _frechet(inputs: Inputs) -> dict[str, Estimate]:
    dim = inputs.real.features.shape[1]
    reference = gaussian_of(inputs.real) if inputs.gaussian is None else inputs.gaussian
    fake = inputs.fake.features

    def distance(order: np.ndarray | None) -> float:
        moments = metrics.Moments(dim)
        for start in range(0, len(fake), _BLOCK * 2):
            part = slice(start, start + _BLOCK * 2)
            moments.update(fake[part] if order is None else fake[order[part]])
        return reference.distance(moments.mean, moments.covariance)

    value = distance(None)
    if not inputs.resamples:
        return {"frechet": Estimate(value)}
    rng = np.random.default_rng(inputs.seed)
    n = len(fake)
    # A resample repeats images, which adds to the bias of the distance. So only the spread of resamples is used.
    drawn = [distance(np.sort(rng.integers(n, size=n))) for _ in range(inputs.resamples)]
    return {"frechet": _with_error(value, float(np.std(drawn, ddof=1)), least=0.0)}


def _with_error(value: float, error: float, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Returns an estimate with a standard error. The interval stays within the range of the metric."""
    return Estimate(value, max(value - _QUANTILE * error, least), min(value + _QUANTILE * error, most))


def _spread(count: int, measured: Callable[[slice], float]) -> float:
    """Returns the standard error of a metric of `count` samples: that of the mean over disjoint parts of them."""
    bounds = [k * count // _PARTS for k in range(_PARTS + 1)]
    found = [measured(slice(*pair)) for pair in zip(bounds, bounds[1:], strict=False)]
    return float(np.std(found, ddof=1) / math.sqrt(_PARTS))


def _kid(inputs: Inputs) -> dict[str, Estimate]:
    x, y = inputs.real.features, inputs.fake.features
    size = min(SUBSET_SIZE, len(x), len(y))
    found = metrics.kernel_distance(x, y, subsets=SUBSETS, subset_size=size, seed=inputs.seed)
    if min(len(x), len(y)) >= 2 * size or not inputs.resamples:
        # Subsets overlap if there are few images, and only disjoint ones are independent.
        error = found.std / math.sqrt(max(min(SUBSETS, len(y) // size), 1))
    elif len(y) >= 2 * _PARTS:  # all subsets are almost the same, so that they have no spread
        error = _spread(len(y), lambda part: metrics.unbiased_kernel_distance(x[:size], y[part]))
    else:
        return {"kid": Estimate(1000 * found.mean)}
    return {"kid": _with_error(1000 * found.mean, 1000 * error)}


def _inception_score(inputs: Inputs) -> dict[str, Estimate]:
    found = metrics.inception_score(inputs.fake.logits, SPLITS)
    # The published deviation is divided by the number of splits, and not by one less.
    return {"inception_score": _with_error(found.mean, found.std / math.sqrt(SPLITS - 1), least=1.0)}


def _share(value: float, count: int) -> Estimate:
    """Returns the estimate of a share of `count` samples, with the interval of Wilson (1927).

    It has a width for shares of 0 and 1 too.
    """
    square = _QUANTILE**2 / count
    middle = (value + square / 2) / (1 + square)
    half = math.sqrt(max(value * (1 - value), 0.0) * square + square**2 / 4) / (1 + square)
    return Estimate(value, max(min(middle - half, value), 0.0), min(max(middle + half, value), 1.0))


def _precision_recall(inputs: Inputs) -> dict[str, Estimate]:
    known = inputs.radii and inputs.radii(NEIGHBOURS)
    found = metrics.precision_recall(inputs.real.features, inputs.fake.features, k=NEIGHBOURS, real_radii=known)
    # The real images are fixed. So the number of samples, and not that of real images, bounds how certain recall is.
    count = len(inputs.fake)
    return {
        "precision": _share(found.precision, count),
        "recall": _share(found.recall, min(count, len(inputs.real))),
    }


def _density_coverage(inputs: Inputs) -> dict[str, Estimate]:
    k, known = COVERAGE_NEIGHBOURS, inputs.radii and inputs.radii(COVERAGE_NEIGHBOURS)
    counts, covered = manifold.neighbourhoods(inputs.real.features, inputs.fake.features, k=k, real_radii=known)
    each = counts / k
    return {
        "density": _with_error(float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))), least=0.0),
        "coverage": _share(float(covered.mean()), min(len(counts), len(covered))),
    }


def _swd(inputs: Inputs) -> dict[str, Estimate]:
    real, fake = inputs.real.images, inputs.fake.images[:_SWD_IMAGES]

    def distance(part: slice) -> float:
        return metrics.laplacian_sliced_wasserstein(real, fake[part], images=_SWD_IMAGES, seed=inputs.seed)["mean"]

    value = distance(slice(None))
    if not inputs.resamples:
        return {"swd": Estimate(value)}
    return {"swd": _with_error(value, _spread(len(fake), distance), least=0.0)}


def _ms_ssim(inputs: Inputs) -> dict[str, Estimate]:
    images = inputs.fake.images
    value = metrics.ms_ssim_diversity(images, pairs=PAIRS, seed=inputs.seed)
    if not inputs.resamples or len(images) < 2 * _PARTS:
        return {"ms_ssim": Estimate(value)}

    def similarity(part: slice) -> float:
        return metrics.ms_ssim_diversity(images[part], pairs=PAIRS // _PARTS, seed=inputs.seed)

    return {"ms_ssim": _with_error(value, _spread(len(images), similarity), 0.0, 1.0)}


def _intra_frechet(inputs: Inputs) -> dict[str, Estimate]:
    real, fake = inputs.real, inputs.fake
    value = metrics.intra_class_frechet(real.features, real.labels, fake.features, fake.labels).mean
    if not inputs.resamples:
        return {"intra_frechet": Estimate(value)}
    rng = np.random.default_rng(inputs.seed)
    drawn = np.zeros(inputs.resamples)
    classes = np.unique(fake.labels)
    for label in classes:  # one at a time, because each covariance of Inception's features takes 32 MiB
        truth = moments_of(real.features, np.flatnonzero(real.labels == label))
        reference, places = metrics.FrechetReference(truth.mean, truth.covariance), np.flatnonzero(fake.labels == label)
        for k in range(inputs.resamples):
            moments = moments_of(fake.features, np.sort(rng.choice(places, len(places))))
            drawn[k] += reference.distance(moments.mean, moments.covariance) / len(classes)
    return {"intra_frechet": _with_error(value, float(np.std(drawn, ddof=1)), least=0.0)}


def _label_accuracy(inputs: Inputs) -> dict[str, Estimate]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(inputs.real.labels[:PROBE])) < 2:
        raise UserError("the real images are all of one class, and this metric needs two or more.")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200, tol=1e-3))
    with warnings.catch_warnings():
        # A fit that is not at its optimum is a classifier too, and the same for all subjects.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(inputs.real.features[:PROBE], inputs.real.labels[:PROBE])
    right = [
        probe.predict(inputs.fake.features[start : start + _BLOCK]) == inputs.fake.labels[start : start + _BLOCK]
        for start in range(0, len(inputs.fake), _BLOCK)
    ]
    return {"label_accuracy": _share(float(np.concatenate(right).mean()), len(inputs.fake))}


def _nearest(inputs: Inputs) -> dict[str, Estimate]:
    distance = metrics.nearest(inputs.real.features, inputs.fake.features).distance[:, 0]
    error = float(distance.std(ddof=1) / math.sqrt(len(distance)))
    return {"nearest": _with_error(float(distance.mean()), error, least=0.0)}


def _path_length(inputs: Inputs) -> dict[str, Estimate]:
    subject, features = inputs.subject, inputs.features

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # Not rounded to uint8, which would hide the small step.
        first, second = (features((images + 1) * np.float32(127.5))[0].astype(np.float64) for images in (a, b))
        return np.square(first - second).sum(axis=1)

    prior = subject.prior if subject.prior == "normal" else "uniform"
    found = metrics.perceptual_path_length(
        subject.generate, subject.latents, distance, n=PATHS, seed=inputs.seed, prior=prior
    )
    return {"path_length": _with_error(found.mean, found.standard_error, least=0.0)}


def _pixels(images: np.ndarray) -> np.ndarray:
    """Returns images as points in [0, 1], float64 [N, H * W * C]."""
    return np.reshape(images, (len(images), -1)) / 255.0


def _real_points(inputs: Inputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns samples, validation points and test points for log-likelihoods."""
    real = inputs.real.images
    validation = min(VALIDATION, len(real) // 3)
    test = real[validation : validation + TEST]
    return _pixels(inputs.fake.images[:KERNELS]), _pixels(real[:validation]), _pixels(test)


def _parzen(inputs: Inputs) -> dict[str, Estimate]:
    samples, validation, test = _real_points(inputs)
    found = metrics.parzen_log_likelihood(samples, test, validation=validation)
    return {"parzen": _with_error(found.mean, found.standard_error)}


def _gmm(inputs: Inputs) -> dict[str, Estimate]:
    from sklearn.decomposition import PCA

    samples, _, test = _real_points(inputs)
    axes = PCA(min(32, *test.shape), random_state=0).fit(test)
    found = metrics.gmm_log_likelihood(axes.transform(samples), axes.transform(test), seed=inputs.seed % 2**32)
    return {"gmm": _with_error(found.mean, found.standard_error)}


_GROUPS: dict[str, Callable[[Inputs], dict[str, Estimate]]] = {
    "frechet": _frechet,
    "kid": _kid,
    "inception_score": _inception_score,
    "precision_recall": _precision_recall,
    "density_coverage": _density_coverage,
    "swd": _swd,
    "ms_ssim": _ms_ssim,
    "intra_frechet": _intra_frechet,
    "label_accuracy": _label_accuracy,
    "nearest": _nearest,
    "path_length": _path_length,
    "parzen": _parzen,
    "gmm": _gmm,
}


def check_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Checks names of metrics, and returns them in the order of `MEASURES`. "all" stands for all of them.

    Raises:
        UserError: If one is not known.
    """
    from gan_zoo.util.specs import suggest

    for name in names:
        if name not in (*MEASURES, "all"):
            raise UserError(
                f"{argument('metrics')}={name} is not one of {', '.join(MEASURES)} and "
                f"all.{suggest(str(name), [*MEASURES])}"
            )
    if not names:
        raise UserError(f"{argument('metrics')} is empty: name one of {', '.join(MEASURES)}, or all.")
    return tuple(name for name in MEASURES if name in names or "all" in names)


def primary_of(metrics: Sequence[str]) -> str:
    """Returns the metric that ranks models: the first one that is asked for.

    Args:
        metrics: Names of `MEASURES`, or "all".

    Raises:
        UserError: If a metric is not known, or the first one has no better and worse.
    """
    names = check_names(tuple(metrics))
    primary = next((name for name in metrics if name in names), names[0])
    if MEASURES[primary].better == "none":
        raise UserError(
            f"{argument('metrics')}={primary} has no better or worse, so it cannot rank models: name another metric "
            "first."
        )
    return primary


def check_possible(names: Iterable[str], features: Features, real: Any, subject: Subject) -> None:
    """Checks that metrics can be computed of a subject. "all" stands for those that can.

    Raises:
        UserError: If one cannot.
    """
    for name in names:
        reason = None if name == "all" else missing(name, features, real, subject)
        if reason:
            raise UserError(f"{argument('metrics')}={name} {reason}: leave it out.")


def missing(name: str, features: Features, real: Any, subject: Subject) -> str | None:
    """Returns what a metric needs and does not get, as the end of a sentence; None if it can be computed."""
    needs = MEASURES[name].needs
    known = features.size is not None  # a user's function says it when it is called
    if "logits" in needs and known and features.outputs is None:
        return f"needs the classes of a classifier, and {features.title} has none"
    if "labels" in needs and (real.classes is None or subject.classes is None):
        which = "the dataset" if real.classes is None else subject.name
        return f"needs labels, and {which} has none"
    if "labels" in needs and not _same_classes(real.classes, subject.classes):
        return (
            f"needs the same classes in the samples and in the dataset, and {subject.name} has "
            f"{_listed(subject.classes)} and the dataset {_listed(real.classes)}"
        )
    if name == "swd":
        try:
            patches.padded_side(*subject.shape[:2])
        except UserError:
            return f"needs square images with a side of about a power of two from 16 up, and these are {subject.shape}"
    if "generator" in needs and subject.generate is None:
        return f"needs a generator, and {subject.name} is a set of images"
    if name == "path_length" and not features.takes_floats:
        return f"needs a network for images that are not rounded, and {features.title} is a function of uint8 images"
    if name == "ms_ssim" and min(subject.shape[:2]) < SMALLEST:
        return f"needs images with a side of {SMALLEST} or more, and these are {subject.shape}"
    return None


def _same_classes(real: tuple[str, ...], fake: tuple[str, ...]) -> bool:
    """Returns whether labels mean the same. Classes that are called 0, 1, ... are compared by their number only."""
    numbered = tuple(map(str, range(len(fake))))
    return len(real) == len(fake) and (fake in (real, numbered) or real == numbered)


def _listed(classes: tuple[str, ...]) -> str:
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    return f"{', '.join(classes[:_NAMED])}{more}"
