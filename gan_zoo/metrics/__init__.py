"""Metrics of the distance between samples and a known distribution, or between generated and real images.

    target = metrics.target("ring8")
    metrics.evaluate(target, gan(gan.sample_latent(10_000)))    # {"w1": 0.31, "modes": 8, ...}

`evaluate` computes all metrics that apply to a known distribution. Each metric is also a separate function of arrays,
computed in float64. Importing this package does not import TensorFlow.

Metrics of images follow their published protocols. Some take uint8 images [N, H, W, C], and others features of a
network, [N, D], or its logits. The arrays may be memory-mapped files, which are read in blocks:

    real, fake = metrics.Moments(2048).update(real_features), metrics.Moments(2048).update(fake_features)
    metrics.FrechetReference(real.mean, real.covariance).distance(fake.mean, fake.covariance)    # FID, for Inception
    metrics.kernel_distance(real_features, fake_features)                                        # KID, for Inception
    metrics.precision_recall(real_features, fake_features)
"""

import dataclasses
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from gan_zoo.data import synthetic
from gan_zoo.data.synthetic import Distribution
from gan_zoo.metrics.arrays import finite, points
from gan_zoo.metrics.battle import Battle, battle
from gan_zoo.metrics.conditional import IntraClassFrechet, intra_class_frechet, label_accuracy
from gan_zoo.metrics.divergences import js, kl, total_variation
from gan_zoo.metrics.frechet import FrechetReference, squared_frechet, squared_frechet_of_samples
from gan_zoo.metrics.inception_score import InceptionScore, inception_score
from gan_zoo.metrics.kernel import KernelDistance, kernel_distance, unbiased_kernel_distance
from gan_zoo.metrics.manifold import (
    DensityCoverage,
    Nearest,
    PrecisionRecall,
    density_coverage,
    nearest,
    precision_recall,
    radii,
)
from gan_zoo.metrics.mixture import MixtureLogLikelihood, gmm_log_likelihood
from gan_zoo.metrics.mmd import median_bandwidth, squared_mmd
from gan_zoo.metrics.modes import coverage
from gan_zoo.metrics.moments import Moments
from gan_zoo.metrics.ms_ssim import ms_ssim, ms_ssim_diversity
from gan_zoo.metrics.parzen import LogLikelihood, parzen_log_likelihood
from gan_zoo.metrics.patches import laplacian_sliced_wasserstein
from gan_zoo.metrics.path_length import PathLength, perceptual_path_length
from gan_zoo.metrics.wasserstein import sliced_wasserstein, wasserstein1
from gan_zoo.util.errors import UserError
from gan_zoo.util.specs import suggest

if TYPE_CHECKING:
    from gan_zoo.metrics.digits import ColorMNIST

# A module that is run as a command must not be imported before it runs.
_LAZY = dict.fromkeys(("ColorMNIST", "color_modes", "load_classifier"), "gan_zoo.metrics.digits")

__all__ = [
    "METRICS",
    "Battle",
    "DensityCoverage",
    "FrechetReference",
    "InceptionScore",
    "IntraClassFrechet",
    "KernelDistance",
    "LogLikelihood",
    "Metric",
    "MixtureLogLikelihood",
    "Moments",
    "Nearest",
    "PathLength",
    "PrecisionRecall",
    "battle",
    "coverage",
    "density_coverage",
    "evaluate",
    "gmm_log_likelihood",
    "inception_score",
    "intra_class_frechet",
    "js",
    "kernel_distance",
    "kl",
    "label_accuracy",
    "laplacian_sliced_wasserstein",
    "median_bandwidth",
    "mode_coverage",
    "ms_ssim",
    "ms_ssim_diversity",
    "nearest",
    "parzen_log_likelihood",
    "perceptual_path_length",
    "precision_recall",
    "primary",
    "radii",
    "sliced_wasserstein",
    "squared_frechet",
    "squared_frechet_of_samples",
    "squared_mmd",
    "target",
    "total_variation",
    "unbiased_kernel_distance",
    "wasserstein1",
    *_LAZY,
]

MODE_RADIUS = 3.0
"""Radius of a mode in standard deviations. Samples within it belong to the mode."""
DRAWS = 1000
"""Number of new draws, and of samples, for metrics that use all pairs."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """Description of a number that `evaluate` returns.

    Attributes:
        label: Header of a table column.
        better: Whether "lower" or "higher" values are better.
        digits: Number of decimals to show.
        description: One sentence.
    """

    label: str
    better: Literal["lower", "higher"]
    digits: int
    description: str


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "w1": Metric("W1", "lower", 3, "Exact Wasserstein-1 distance of 1000 samples to as many fresh draws."),
        "modes": Metric(
            "Modes", "higher", 0, "Modes with samples; in a mixture, with at least 20 % of their expected number."
        ),
        "hq": Metric("HQ", "higher", 3, "High-quality samples: the share within 3 standard deviations of a mode."),
        "kl_mode": Metric("KL of modes", "lower", 3, "KL divergence from the true modes to the samples', in nats."),
        "mmd": Metric("MMD²", "lower", 4, "Squared maximum mean discrepancy to fresh draws, unbiased."),
        "distance": Metric("Distance", "lower", 3, "Mean distance of samples to the support or the nearest centre."),
        "frechet": Metric("Fréchet²", "lower", 3, "Squared Fréchet distance to the true mean and covariance."),
        "confidence": Metric("Confidence", "higher", 3, "Mean probability of the digit that the classifier reads."),
    }
)
"""All numbers that `evaluate` can return, by key."""


def target(dataset: str) -> "Distribution | ColorMNIST":
    """Returns the first argument of `evaluate` for samples of a GAN that was trained on a dataset.

    Args:
        dataset: Name of the dataset, as for `gan_zoo.data.load`.

    Raises:
        UserError: If the true distribution of this dataset is not known; the message lists the known ones. Or if the
            arguments in the name are not valid.
    """
    from gan_zoo.metrics.digits import ColorMNIST

    if dataset == ColorMNIST.name:
        return ColorMNIST()
    if not isinstance(dataset, str) or not synthetic.is_synthetic(dataset):
        known = (*synthetic.SYNTHETIC, ColorMNIST.name)
        raise UserError(
            f"dataset: there are no exact metrics for {dataset!r}.{suggest(str(dataset), known)} There are for "
            f"{', '.join(known)}."
        )
    return synthetic.get(dataset)


def primary(distribution: "Distribution | ColorMNIST") -> str:
    """Returns the key of the number of `evaluate` for rankings: "w1" for points, "kl_mode" for colour MNIST."""
    return "w1" if isinstance(distribution, Distribution) else "kl_mode"


def evaluate(
    distribution: "Distribution | ColorMNIST", samples: np.ndarray, seed: int = 0, *, radius: float = MODE_RADIUS
) -> dict[str, float]:
    """Measures the distance between samples and a distribution.

    Args:
        distribution: See `target`.
        samples: Points, [N, dim] with N >= 2, or images, [N, 28, 28, 3] in [-1, 1]. All numbers except "distance"
            depend on N: compare them only at equal N. "w1" and "mmd" use the first 1000 points.
        seed: Seed of the new draws.
        radius: Radius of a mode of a mixture, in standard deviations, for "modes" and "hq".

    Returns:
        For points, these keys of `METRICS`:
        w1: `wasserstein1` to the same number of new draws, at most 1000.
        mmd: `squared_mmd`, unbiased and with the median heuristic, to the same draws.
        distance: The mean of `Distribution.distance`. For a mixture of Gaussians it is not 0 for its own draws.
        frechet: `squared_frechet` from the samples' mean and unbiased covariance to the true ones.
        modes, hq, kl_mode: For mixtures of Gaussians, see `coverage`.
        For images, see `color_modes`.
        If a sample is not finite, modes and hq are 0 and the others NaN.

    Raises:
        UserError: If samples have another shape, `radius` is not positive, or there is no classifier of digits.
    """
    if not isinstance(distribution, Distribution):
        return mode_coverage(distribution, samples)
    samples = points("samples", samples, distribution.dim, least=2)
    measured = {} if distribution.modes is None else mode_coverage(distribution, samples, radius)
    if not finite(samples):
        return {**measured, "w1": np.nan, "mmd": np.nan, "distance": np.nan, "frechet": np.nan}
    few = samples[:DRAWS]
    fresh = np.asarray(distribution.sample(len(few), (seed, -1)), np.float64)
    spread = np.cov(samples.T)
    return {
        **measured,
        "w1": wasserstein1(few, fresh),
        "mmd": squared_mmd(few, fresh),
        "distance": float(distribution.distance(samples).mean()),
        "frechet": squared_frechet(samples.mean(axis=0), spread, distribution.mean, distribution.covariance),
    }


def mode_coverage(
    distribution: "Distribution | ColorMNIST", samples: np.ndarray, radius: float = MODE_RADIUS
) -> dict[str, float]:
    """Computes only the mode coverage of `evaluate`, in a small part of its time.

    Args:
        distribution: A mixture of Gaussians, or colour MNIST.
        samples: As for `evaluate`.
        radius: As for `evaluate`.

    Returns:
        See `coverage`, or `color_modes`.
    """
    if not isinstance(distribution, Distribution):
        from gan_zoo.metrics.digits import color_modes

        return color_modes(samples)
    if distribution.modes is None:
        raise UserError(f"distribution: {distribution.name} is not a mixture of Gaussians and has no modes to count.")
    centres, std = distribution.modes
    return coverage(points("samples", samples, distribution.dim), centres, radius * std, distribution.weights)


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gan_zoo.metrics' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
