"""Log-likelihood of test points under a mixture of Gaussians that is fitted to samples.

Like the Parzen estimate, it is unreliable in many dimensions: reduce the dimension of images first.

References:
    Dempster et al., 1977, Maximum likelihood from incomplete data via the EM algorithm
    Richardson and Weiss, 2018, On GANs and GMMs, https://arxiv.org/abs/1805.12462
"""

import math
import warnings
from typing import NamedTuple

import numpy as np

from gan_zoo.metrics.arrays import finite, points
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError


class MixtureLogLikelihood(NamedTuple):
    """A log-likelihood under a mixture of Gaussians.

    Attributes:
        mean: Mean over the test points, in nats.
        standard_error: Standard error of the mean.
        converged: Whether the fit converged within 200 iterations.
    """

    mean: float
    standard_error: float
    converged: bool


def gmm_log_likelihood(
    samples: np.ndarray, test: np.ndarray, *, components: int = 10, seed: int = 0
) -> MixtureLogLikelihood:
    """Fits a mixture of Gaussians to samples, and returns the mean log-density of test points.

    The components have full covariances, plus 1e-6 on the diagonal. The fit starts from k-means.

    Args:
        samples: Samples of the generator, [N, dim] with N >= `components` and N >= 2, or numbers, [N].
        test: Points of the data, [M, dim], or [M], with M >= 2.
        components: Number of Gaussians.
        seed: Seed of k-means.

    Raises:
        UserError: If the shapes do not match, there are too few points, or a point is not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    checks.whole("components", components, 1)
    samples = points("samples", samples, least=max(components, 2))
    test = points("test", test, samples.shape[1], least=2)
    for name, array in (("samples", samples), ("test", test)):
        if not finite(array):
            raise UserError(f"{name} must be finite points.")
    mixture = GaussianMixture(components, max_iter=200, random_state=seed)
    with warnings.catch_warnings():
        # The result says whether it converged. Fewer distinct samples than components give the same warning.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(samples)
    densities = mixture.score_samples(test)
    return MixtureLogLikelihood(
        float(densities.mean()), float(densities.std(ddof=1) / math.sqrt(len(densities))), bool(mixture.converged_)
    )
