"""How samples are spread over the modes of a mixture of Gaussians."""

import numpy as np

from gan_zoo.errors import UserError
from gan_zoo.metrics.arrays import finite, points

FAIR_SHARE = 0.2
"""A mode counts as covered when it gets this part of the samples that are due to it."""


def coverage(
    x: np.ndarray, centres: np.ndarray, radius: float, weights: np.ndarray | None = None
) -> dict[str, float | int]:
    """How samples are spread over the K modes of a mixture.

    Args:
        x: Samples, [N, dim].
        centres: Of the modes, [K, dim].
        radius: How near a sample has to be to a mode to be one of it, in the units of the points; 3 or 4 standard
            deviations are usual. In two dimensions 98.9 % of a Gaussian lie within 3.
        weights: Probabilities of the modes, [K]; None makes them equal.

    Returns:
        kl_mode: KL(q || p) from the weights p to the share q of samples nearest to each mode, nats: the reverse KL.
            0 is perfect; with all samples at one of K equal modes it is log K. NaN if a sample is not finite.
        modes: How many modes get at least 20 % of their fair share of samples within `radius`. 0 if a sample is not
            finite.
        hq: High-quality samples: the share of samples within `radius` of a mode. 0 if a sample is not finite.

    Raises:
        UserError: The shapes do not fit, or `radius` or a weight is not positive.
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
    # A share of just a fifth counts, whichever way the product rounds.
    covered = close >= FAIR_SHARE * expected * (1 - 1e-9)
    return {"kl_mode": kl, "modes": int(covered.sum()), "hq": float(near.mean())}
