"""Divergences between two known distributions, in nats: Kullback-Leibler, Jensen-Shannon and total variation.

Both arguments are probabilities of discrete distributions, or both are synthetic distributions. For synthetic
distributions the divergences are computed

- exactly if the two are mutually singular, such as two parallel lines: KL is infinite, JS is log 2, TV is 1 (Arjovsky
  et al. 2017, Example 1);
- by quadrature if both have densities, in one or two dimensions: KL and JS to about 1e-6, TV to about 1e-5. This takes
  some seconds for narrow modes in a wide plane.

References:
    Arjovsky et al., 2017, https://arxiv.org/abs/1701.07875
    Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661 (JS in Section 4.1)
"""

import math
from collections.abc import Callable

import numpy as np

from gan_zoo.data.synthetic import Distribution
from gan_zoo.util.errors import UserError

MAX_POINTS = 2**22
"""Largest number of points of a quadrature. Structure that is too fine for it is an error."""

# Number of quadrature points on the shortest length on which a density varies: the minimum; for smooth integrands; and
# by dimension for integrands with kinks, whose error falls only with the square of the spacing.
_COARSEST = 3
_SMOOTH = 4
_KINKED = {1: 256, 2: 12}

Discrete = np.ndarray


def kl(p: Discrete | Distribution, q: Discrete | Distribution) -> float:
    """Returns the Kullback-Leibler divergence KL(p || q) = E_p log p / q.

    Args:
        p: Probabilities, [K], or a distribution.
        q: Probabilities, [K], or a distribution, like `p`.

    Returns:
        Nats, from 0 to infinity.

    Raises:
        UserError: If the two are not both probabilities of the same number of outcomes, or not both distributions on
            one space; or if neither the exact method nor quadrature applies to them.
    """
    return _divergence(p, q, _kl, singular=math.inf)


def js(p: Discrete | Distribution, q: Discrete | Distribution) -> float:
    """Returns the Jensen-Shannon divergence (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2.

    Args:
        p: Probabilities, [K], or a distribution.
        q: Probabilities, [K], or a distribution, like `p`.

    Returns:
        Nats, from 0 to log 2. (SciPy's `jensenshannon` is its square root.)

    Raises:
        UserError: As for `kl`.
    """

    def divergence(log_p, log_q, volume):
        log_m = np.logaddexp(log_p, log_q) - math.log(2)
        return (_kl(log_p, log_m, volume) + _kl(log_q, log_m, volume)) / 2

    return _divergence(p, q, divergence, singular=math.log(2))


def total_variation(p: Discrete | Distribution, q: Discrete | Distribution) -> float:
    """Returns the total variation distance: half the integral of |p - q|, the largest difference of probabilities.

    Args:
        p: Probabilities, [K], or a distribution.
        q: Probabilities, [K], or a distribution, like `p`.

    Returns:
        From 0 to 1.

    Raises:
        UserError: As for `kl`.
    """

    def divergence(log_p, log_q, volume):
        return volume * np.abs(np.exp(log_p) - np.exp(log_q)).sum() / 2

    return _divergence(p, q, divergence, singular=1.0, smooth=False)


def _kl(log_p: np.ndarray, log_q: np.ndarray, volume: float) -> float:
    p = np.exp(log_p)
    found = p > 0
    return volume * np.sum(p[found] * (log_p[found] - log_q[found]))


def _divergence(
    p, q, divergence: Callable[[np.ndarray, np.ndarray, float], float], *, singular: float, smooth: bool = True
) -> float:
    """Applies `divergence` to two log-densities on points of equal volume; `singular` if mutually singular."""
    if not isinstance(p, Distribution) and not isinstance(q, Distribution):
        log_p, log_q, volume = *_discrete(p, q), 1.0
    elif not isinstance(p, Distribution) or not isinstance(q, Distribution):
        raise UserError("p and q must be both probabilities or both distributions.")
    elif p.dim != q.dim:
        raise UserError(f"q must be on the space of p: {p.name} is on R^{p.dim}, {q.name} is on R^{q.dim}.")
    elif p.name == q.name:
        return 0.0
    elif not p.shares_support(q):
        return singular
    elif p.singular or p.dim > 2:
        reason = "lie on one set without a density" if p.singular else f"are on R^{p.dim}, where quadrature ends at 2"
        raise UserError(f"p and q: {p.name} and {q.name} {reason}, and no closed form is known.")
    else:
        log_p, log_q, volume = _quadrature(p, q, _SMOOTH if smooth else _KINKED[p.dim])
    # Rounding can give slightly less than 0, or more than the maximum.
    return min(max(float(divergence(log_p, log_q, volume)), 0.0), singular)


def _discrete(p, q) -> tuple[np.ndarray, np.ndarray]:
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    for name, array in (("p", p), ("q", q)):
        if array.ndim != 1 or not (array >= 0).all() or abs(array.sum() - 1) > 1e-6:
            raise UserError(f"{name} must be probabilities, [K]: from 0 up, with the sum 1.")
    if len(p) != len(q):
        raise UserError(f"q must be {len(p)} probabilities, as many as p, not {len(q)}.")
    with np.errstate(divide="ignore"):
        return np.log(p), np.log(q)


def _quadrature(p: Distribution, q: Distribution, per_scale: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns both log-densities on a lattice that covers both distributions, and the volume of its cells.

    For smooth densities that vanish towards the ends, the sum over a lattice converges faster than any power of its
    spacing.
    """
    low, high = np.minimum(p.box[0], q.box[0]), np.maximum(p.box[1], q.box[1])
    scale = min(p.scale, q.scale)
    affordable = (np.prod(high - low) / MAX_POINTS) ** (1 / p.dim)
    if affordable > scale / _COARSEST:
        raise UserError(
            f"p and q: {p.name} and {q.name} vary on lengths of {scale:g}, too short for quadrature over "
            f"their extent of {float((high - low).max()):g}."
        )
    spacing = max(scale / per_scale, affordable)
    points = _lattice(low, high, spacing)
    return p.log_density(points), q.log_density(points), spacing**p.dim


def _lattice(low: np.ndarray, high: np.ndarray, spacing: float) -> np.ndarray:
    """Returns the points of a square lattice in a box, [N, dim]. In the plane the lattice has an irrational slope.

    Otherwise a line of kinks along an axis would cross all cells at the same position, and the errors would add up.
    """
    if len(low) == 1:
        return np.arange(low[0], high[0] + spacing, spacing)[:, np.newaxis]
    angle = math.atan((math.sqrt(5) - 1) / 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    axes = [np.arange(-reach, reach + spacing, spacing) for reach in np.abs(turn) @ (high - low) / 2]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2) @ turn + (low + high) / 2
    return points[((points >= low) & (points <= high)).all(axis=1)]
