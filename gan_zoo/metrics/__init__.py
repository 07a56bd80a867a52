"""How near samples are to a distribution of which the truth is known.

    target = metrics.target("ring8")
    metrics.evaluate(target, gan(gan.sample_latent(10_000)))    # {"w1": 0.31, "modes": 8, ...}

`evaluate` takes all metrics that apply. Each is a function of its own, too, of arrays of any origin, and computed in
float64. Importing this package costs no TensorFlow start-up.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from gan_zoo.data import synthetic
from gan_zoo.data.synthetic import Distribution
from gan_zoo.errors import UserError
from gan_zoo.metrics.arrays import finite, points
from gan_zoo.metrics.divergences import js, kl, total_variation
from gan_zoo.metrics.frechet import squared_frechet, squared_frechet_of_samples
from gan_zoo.metrics.mmd import median_bandwidth, squared_mmd
from gan_zoo.metrics.modes import coverage
from gan_zoo.metrics.parzen import LogLikelihood, parzen_log_likelihood
from gan_zoo.metrics.wasserstein import sliced_wasserstein, wasserstein1
from gan_zoo.specs import suggest

if TYPE_CHECKING:
    from gan_zoo.metrics.digits import ColorMNIST

# A module that is run as a command must not have been imported before.
_LAZY = dict.fromkeys(("ColorMNIST", "color_modes", "load_classifier"), "gan_zoo.metrics.digits")

__all__ = [
    "METRICS",
    "LogLikelihood",
    "Metric",
    "coverage",
    "evaluate",
    "js",
    "kl",
    "median_bandwidth",
    "mode_coverage",
    "parzen_log_likelihood",
    "primary",
    "sliced_wasserstein",
    "squared_frechet",
    "squared_frechet_of_samples",
    "squared_mmd",
    "target",
    "total_variation",
    "wasserstein1",
    *_LAZY,
]

MODE_RADIUS = 3.0
"""Standard deviations around a centre within which a sample is of that mode."""
DRAWS = 1000
"""Fresh draws that samples are compared with, and samples that are compared with them, where every pair counts."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a number that `evaluate` returns is.

    Attributes:
        label: For the head of a column.
        better: Whether samples are the better the "lower" or the "higher" it is.
        digits: Decimals worth showing.
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
            "Modes", "higher", 0, "Modes that get samples; of a mixture, at least 20 % of their fair share of them."
        ),
        "hq": Metric("HQ", "higher", 3, "High-quality samples: the share within 3 standard deviations of a mode."),
        "kl_mode": Metric("KL of modes", "lower", 3, "KL divergence from the true modes to the samples', in nats."),
        "mmd": Metric("MMD²", "lower", 4, "Squared maximum mean discrepancy to fresh draws, unbiased."),
        "distance": Metric("Distance", "lower", 3, "Mean distance of samples to the support or the nearest centre."),
        "frechet": Metric("Fréchet²", "lower", 3, "Squared Fréchet distance to the true mean and covariance."),
        "confidence": Metric("Confidence", "higher", 3, "Mean probability of the digit that the classifier reads."),
    }
)
"""Every number that `evaluate` can return, by its key."""


def target(dataset: str) -> "Distribution | ColorMNIST":
    """What to give to `evaluate` for samples of a GAN that was trained on a dataset.

    Args:
        dataset: Its name, as `gan_zoo.data.load` takes it.

    Raises:
        UserError: The truth about this dataset is not known; the message lists those of which it is. Or the arguments
            in a name will not do.
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
    """The key of the one number of `evaluate` to rank by: "w1" for points, "kl_mode" for colour MNIST."""
    return "w1" if isinstance(distribution, Distribution) else "kl_mode"


def evaluate(
    distribution: "Distribution | ColorMNIST", samples: np.ndarray, seed: int = 0, *, radius: float = MODE_RADIUS
) -> dict[str, float]:
    """Measures how near samples are to a distribution.

    Args:
        distribution: See `target`.
        samples: Points, [N, dim] with N from 2 up, or images, [N, 28, 28, 3] in [-1, 1]. All numbers but "distance"
            depend on N: compare at one N only. "w1" and "mmd" take the first 1000 points.
        seed: Of the fresh draws.
        radius: Of a mode of a mixture, in its standard deviations; for "modes" and "hq".

    Returns:
        For points, of the keys of `METRICS`,
        w1: `wasserstein1` to as many fresh draws, at most 1000.
        mmd: `squared_mmd`, unbiased and with the median heuristic, to the same draws.
        distance: The mean of `Distribution.distance`. For a mixture of Gaussians it is not 0 for its own draws.
        frechet: `squared_frechet` from the samples' mean and unbiased covariance to the true ones.
        modes, hq, kl_mode: For mixtures of Gaussians, see `coverage`.
        For images, see `color_modes`.
        Where a sample is not finite, modes and hq are 0 and the others NaN.

    Raises:
        UserError: Samples are of another shape, `radius` is not positive, or there is no classifier of digits.
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
    """Of what `evaluate` measures, how samples are spread over modes: a small part of its time.

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
        raise UserError(f"distribution: {distribution.name} is no mixture of Gaussians, and has no modes to count.")
    centres, std = distribution.modes
    return coverage(points("samples", samples, distribution.dim), centres, radius * std, distribution.weights)


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gan_zoo.metrics' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
