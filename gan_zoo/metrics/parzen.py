"""Log-likelihood of test points under a Parzen window estimate: a Gaussian kernel on every sample.

The first papers on GANs reported this number. It is unreliable in many dimensions: see Theis et al.

References:
    Breuleux et al., 2011, Quickly generating representative samples from an RBM-derived process
    Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661, Section 5
    Theis et al., 2016, https://arxiv.org/abs/1511.01844
"""

import math
from typing import NamedTuple

import numpy as np

from gan_zoo.metrics.arrays import finite, points
from gan_zoo.util.errors import UserError

BANDWIDTHS = np.logspace(-1, 0, 10)
"""Candidate bandwidths. The published protocol chooses the one with the highest likelihood of validation points."""


class LogLikelihood(NamedTuple):
    """A Parzen log-likelihood.

    Attributes:
        mean: Mean over the test points, in nats.
        standard_error: Standard error of the mean.
        bandwidth: Standard deviation of the kernels.
    """

    mean: float
    standard_error: float
    bandwidth: float


def parzen_log_likelihood(
    samples: np.ndarray,
    test: np.ndarray,
    *,
    validation: np.ndarray | None = None,
    bandwidth: float | None = None,
    bandwidths: np.ndarray = BANDWIDTHS,
) -> LogLikelihood:
    """Returns the mean log-density of test points under the mean of N(sample, bandwidth^2 I) over all samples.

    Published numbers use 10,000 samples and choose the bandwidth on 1000 validation points.

    Args:
        samples: Samples of the generator, [N, dim], or numbers, [N].
        test: Points of the data, [M, dim], or [M], with M >= 2.
        validation: Points of the data, [V, dim], or [V], on which the bandwidth is chosen. None needs `bandwidth`.
        bandwidth: Fixed bandwidth of the kernels, in the units of the points.
        bandwidths: Candidates for the choice.

    Returns:
        Mean, standard error and bandwidth. The first two are NaN if a sample is not finite.

    Raises:
        UserError: If shapes do not match, data are not finite, a bandwidth is not positive, or not exactly one of
            `validation` and `bandwidth` is given.
    """
    samples = points("samples", samples)
    test = points("test", test, samples.shape[1], least=2)
    if (validation is None) == (bandwidth is None):
        raise UserError("validation, points to choose the bandwidth on, or bandwidth must be given, and not both.")
    candidates = np.atleast_1d(np.asarray(bandwidths if bandwidth is None else bandwidth, np.float64))
    if candidates.ndim != 1 or not len(candidates) or not (candidates > 0).all() or not finite(candidates):
        raise UserError(f"{'bandwidths' if bandwidth is None else 'bandwidth'} must be positive, not {candidates}.")
    held_out = test if validation is None else points("validation", validation, samples.shape[1])
    for name, array in (("test", test), ("validation", held_out)):
        if not finite(array):
            raise UserError(f"{name} must be finite points of the data.")
    if not finite(samples):
        return LogLikelihood(math.nan, math.nan, math.nan if bandwidth is None else float(bandwidth))
    if bandwidth is None:
        likelihoods = [_log_densities(samples, held_out, width).mean() for width in candidates]
        bandwidth = candidates[int(np.argmax(likelihoods))]
    densities = _log_densities(samples, test, bandwidth)
    return LogLikelihood(
        float(densities.mean()), float(densities.std(ddof=1) / math.sqrt(len(densities))), float(bandwidth)
    )


def _log_densities(samples: np.ndarray, x: np.ndarray, bandwidth: float) -> np.ndarray:
    from sklearn.neighbors import KernelDensity

    return KernelDensity(bandwidth=float(bandwidth)).fit(samples).score_samples(x)
