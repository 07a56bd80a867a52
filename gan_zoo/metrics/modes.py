"""Coverage of the modes of a mixture of Gaussians by samples."""

import numpy as np

from gan_zoo.metrics.arrays import finite, points
from gan_zoo.util.errors import UserError

FAIR_SHARE = 0.2
"""A mode counts as covered if it gets at least this part of its expected number of samples."""


def coverage(
    x: np.ndarray, centres: np.ndarray, radius: float, weights: np.ndarray | None = None
) -> dict[str, float | int]:
    """Measures how samples are distributed over the K modes of a mixture.

    Args:
        x: Samples, [N, dim].
        centres: Centres of the modes, [K, dim].
        radius: Largest distance of a sample from the centre of its mode, in the units of the points. Usual values are 3
            or 4 standard deviations. In two dimensions 98.9 % of a Gaussian lie within 3.
        weights: Probabilities of the modes, [K]. None makes them equal.

    Returns:
        kl_mode: The reverse KL divergence KL(q || p) in nats, where q is the share of samples nearest to each mode and
            p the weights. The best value is 0; with all samples at one of K equal modes it is log K. NaN if a sample is
            not finite.
        modes: Number of modes with at least 20 % of their expected number of samples within `radius`. 0 if a sample is
            not finite.
        hq: High-quality samples: the share of samples within `radius` of a mode. 0 if a sample is not finite.

    Raises:
        UserError: If the shapes do not match, or `radius` or a weight is not positive.
    """
    centres = points("centres", centres)
    x = points("x", x, centres.shape[1])
    count = len(centres)
    if not radius > 0:
        raise UserError(f"radius must be positive, not {radius!r}.")
    if weights is not None:
        weights = np.asarray(weights, np.float64)
        if weights.shape != (count,) or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-6:
            raise UserError(f"weights must be {count} probabilities above 0 that sum to 1, one for each of centres.")
    if not finite(x):
        return {"kl_mode": float("nan"), "modes": 0, "hq": 0.0}
    distances = np.linalg.norm(x[:, None] - centres[None], axis=-1)
    nearest, near = distances.argmin(axis=1), distances.min(axis=1) < radius
    share = np.bincount(nearest, minlength=count) / len(x)
    close = np.bincount(nearest[near], minlength=count) / len(x)
    expected = np.full(count, 1 / count) if weights is None else weights
    found = share > 0
    kl = float(np.sum(share[found] * np.log(share[found] / expected[found])))
    # A share of exactly a fifth counts, whichever way the product is rounded.
    covered = close >= FAIR_SHARE * expected * (1 - 1e-9)
    return {"kl_mode": kl, "modes": int(covered.sum()), "hq": float(near.mean())}
