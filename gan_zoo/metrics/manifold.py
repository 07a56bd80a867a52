"""Metrics of nearest neighbours among features: precision and recall, density and coverage, and the nearest images.

Pairs are compared with float32 matrix products of centred features. Where these are not certain, the distance is
computed again from differences in float64. So the results are those of exact distances, also for copies of images.

References:
    Kynkaanniemi et al., 2019, Improved precision and recall, https://arxiv.org/abs/1904.06991, Section 2
    Naeem et al., 2020, Reliable fidelity and diversity metrics, https://arxiv.org/abs/2002.09797, Section 3
"""

from typing import NamedTuple

import numpy as np

from gan_zoo.metrics.arrays import centre, row_pair
from gan_zoo.metrics.threads import parallel
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

_ROWS = 2048
_PAIRS = 4096
_SPARE = 3
"""Number of further neighbours that are candidates, because float32 cannot order almost equal distances."""
_ERROR = 4e-6
"""Bound of the error of a squared distance in float32, as a part of the sum of both squared norms."""


class PrecisionRecall(NamedTuple):
    """Improved precision and recall, from 0 to 1.

    Attributes:
        precision: Share of fake features in the neighbourhoods of real ones: fidelity.
        recall: Share of real features in the neighbourhoods of fake ones: diversity.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density and coverage.

    Attributes:
        density: Mean number of real neighbourhoods that a fake feature is in, divided by k: fidelity. About 1 for
            equal distributions, and it can be more.
        coverage: Share of real neighbourhoods with a fake feature: diversity. For equal distributions and equal numbers
            of both it is about 1 - 2^-k.
    """

    density: float
    coverage: float


class Nearest(NamedTuple):
    """The k nearest real images of M fake ones, the nearest first.

    Attributes:
        index: Rows among the real ones, [M, k].
        distance: Euclidean distances, [M, k].
    """

    index: np.ndarray
    distance: np.ndarray


def precision_recall(real: np.ndarray, fake: np.ndarray, *, k: int = 3) -> PrecisionRecall:
    """Returns improved precision and recall.

    The neighbourhood of a feature is the closed ball that reaches to its k-th nearest neighbour in its own set, itself
    not counted. Published numbers use 50,000 features of VGG-16 each and k = 3. Both depend on N and M.

    Args:
        real: Features of real images, [N, D] with N > k, also a memory-mapped file.
        fake: Features of generated images, [M, D] with M > k.
        k: Which neighbour bounds the ball.

    Raises:
        UserError: If the shapes do not match, there are too few rows, or a value is not finite.
    """
    real, fake, shift = _features(real, fake, k)
    _more_than("real", real, k)
    _more_than("fake", fake, k)
    inside = [
        parallel(lambda part, a=a, b=b, r=r: _inside(part, a, b, r, shift, closed=True)[0] > 0, _parts(a))
        for a, b, r in ((fake, real, _radii(real, k, shift)), (real, fake, _radii(fake, k, shift)))
    ]
    return PrecisionRecall(*(float(np.concatenate(found).mean()) for found in inside))


def density_coverage(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> DensityCoverage:
    """Returns density and coverage.

    The neighbourhood of a real feature is the open ball to its k-th nearest real neighbour, itself not counted.
    Published numbers use 10,000 features each and k = 5.

    Args:
        real: Features of real images, [N, D] with N > k, also a memory-mapped file.
        fake: Features of generated images, [M, D].
        k: Which neighbour bounds the ball.

    Raises:
        UserError: If the shapes do not match, there are too few rows, or a value is not finite.
    """
    real, fake, shift = _features(real, fake, k)
    _more_than("real", real, k)
    radii = _radii(real, k, shift)
    found = parallel(lambda part: _inside(part, fake, real, radii, shift, closed=False), _parts(fake))
    counts, reached = zip(*found, strict=True)
    return DensityCoverage(
        float(np.concatenate(counts).mean() / k), float(np.logical_or.reduce(reached, axis=0).mean())
    )


def nearest(real: np.ndarray, fake: np.ndarray, *, k: int = 1) -> Nearest:
    """Returns the k nearest real images of each fake one. Distances near 0 are copies.

    Args:
        real: Features or images, [N, ...] with N >= k, also a memory-mapped file. Images are compared by their pixels.
        fake: Features or images, [M, ...].
        k: Number of neighbours.

    Raises:
        UserError: If the shapes do not match, `real` has fewer than k rows, or a value is not finite.
    """
    real, fake = (np.asanyarray(x) for x in (real, fake))
    if real.shape[1:] != fake.shape[1:]:
        raise UserError(f"fake must be of shape {['M', *real.shape[1:]]}, as real has it, not {list(fake.shape)}.")
    real, fake, shift = _features(*(x.reshape(len(x), -1) if x.ndim > 2 else x for x in (real, fake)), k)
    if len(real) < k:
        raise UserError(f"k must be at most the number of real rows, {len(real)}, not {k}.")
    index, squared = _neighbours(fake, real, k, shift)
    return Nearest(index, np.sqrt(squared))


def _features(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns both sets, and the mean of the real ones."""
    checks.whole("k", k, 1)
    real, fake = row_pair(("real", "fake"), real, fake)
    centre("fake", fake)
    return real, fake, centre("real", real)


def _more_than(name: str, x: np.ndarray, k: int) -> None:
    if len(x) <= k:
        raise UserError(f"{name} has {len(x)} rows: k must be smaller than this number, not {k}.")


def _parts(x: np.ndarray) -> list[slice]:
    return [slice(start, min(start + _ROWS, len(x))) for start in range(0, len(x), _ROWS)]


def _centred(x: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns centred rows and their squared norms in float32."""
    centred = (x - shift).astype(np.float32)
    return centred, np.einsum("nd,nd->n", centred, centred)


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the exact squared distances of rows of x and y, [N]."""
    difference = np.subtract(x, y, dtype=np.float64)
    return np.einsum("nd,nd->n", difference, difference)


def _radii(x: np.ndarray, k: int, shift: np.ndarray) -> np.ndarray:
    """Returns the squared distances to the k-th neighbour in the same set, [N]."""
    return _neighbours(x, x, k, shift)[1][:, -1]


def _neighbours(x: np.ndarray, y: np.ndarray, k: int, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns indices and squared distances of the k nearest rows of y for each of x, [N, k]; a row is not its own."""
    found = parallel(lambda part: _neighbours_of(part, x, y, k, shift), _parts(x))
    return tuple(np.concatenate(arrays) for arrays in zip(*found, strict=True))


def _neighbours_of(
    part: slice, x: np.ndarray, y: np.ndarray, k: int, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    same = y is x
    keep = min(k + _SPARE, len(y) - same)
    rows = x[part]
    a, a_norms = _centred(rows, shift)
    index, values = np.empty((len(a), 0), np.intp), np.empty((len(a), 0), np.float32)
    for other in _parts(y):
        b, b_norms = _centred(y[other], shift)
        squared = a @ b.T
        squared *= -2
        squared += a_norms[:, np.newaxis]
        squared += b_norms
        if same and other == part:
            np.fill_diagonal(squared, np.inf)
        near = _smallest(squared, keep)
        index = np.concatenate([index, near + other.start], axis=1)
        values = np.concatenate([values, np.take_along_axis(squared, near, axis=1)], axis=1)
        best = _smallest(values, keep)
        index, values = (np.take_along_axis(array, best, axis=1) for array in (index, values))
    exact = np.stack([_squared(rows, y[column]) for column in index.T], axis=1)
    order = np.argsort(exact, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(exact, order, axis=1)


def _smallest(values: np.ndarray, count: int) -> np.ndarray:
    """Returns the columns of the smallest values of each row, in any order."""
    if values.shape[1] <= count:
        return np.broadcast_to(np.arange(values.shape[1]), values.shape)
    return np.argpartition(values, count - 1, axis=1)[:, :count]


def _inside(
    part: slice, x: np.ndarray, y: np.ndarray, radii: np.ndarray, shift: np.ndarray, closed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Tests which rows of x are in the balls around rows of y.

    Args:
        part: The rows of x to test.
        x: [N, D].
        y: Centres, [M, D].
        radii: Squared radii, [M].
        shift: See `_centred`.
        closed: Whether the surface belongs to a ball.

    Returns:
        The number of balls that each row of the part is in, and whether each ball has a row of it, [M].
    """
    rows = x[part]
    a, a_norms = _centred(rows, shift)
    counts, reached = np.zeros(len(a), np.int64), np.zeros(len(y), bool)
    for other in _parts(y):
        b, b_norms = _centred(y[other], shift)
        # Half of radius^2 - |a - b|^2, which is positive inside.
        depth = a @ b.T
        depth -= (a_norms / 2)[:, np.newaxis]
        depth += ((radii[other] - b_norms) / 2).astype(np.float32)
        inside = depth > 0
        distance = np.abs(depth, out=depth)
        distance -= (_ERROR * a_norms)[:, np.newaxis]
        unsure = np.nonzero(distance <= _ERROR * b_norms)
        for start in range(0, len(unsure[0]), _PAIRS):
            i, j = (where[start : start + _PAIRS] for where in unsure)
            squared, limit = _squared(rows[i], y[other][j]), radii[other][j]
            inside[i, j] = squared <= limit if closed else squared < limit
        counts += inside.sum(axis=1)
        reached[other] |= inside.any(axis=0)
    return counts, reached
