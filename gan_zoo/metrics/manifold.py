"""Metrics of nearest neighbours among features: precision and recall, density and coverage, and the nearest images.

Pairs are compared with float32 matrix products of centred features. Where these are not certain, the distance is
computed again from differences in float64. So the results are those of exact distances, also for copies of images.

References:
    Kynkaanniemi et al., 2019, Improved precision and recall, https://arxiv.org/abs/1904.06991, Section 2
    Naeem et al., 2020, Reliable fidelity and diversity metrics, https://arxiv.org/abs/2002.09797, Section 3
"""

import dataclasses
from collections.abc import Iterator
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


def radii(real: np.ndarray, k: int) -> np.ndarray:
    """Returns the squared distance of each feature to its k-th nearest neighbour in the same set, float64 [N].

    `precision_recall` and `density_coverage` take it, so that several sets can be compared with the same real one.

    Args:
        real: Features, [N, D] with N > k, also a memory-mapped file.
        k: Which neighbour.

    Raises:
        UserError: If there are too few rows, or a value is not finite.
    """
    checks.whole("k", k, 1)
    real, _ = row_pair(("real", "real"), real, real)
    shift = centre("real", real)
    _more_than("real", real, k)
    return _radii(real, k, shift)


def precision_recall(
    real: np.ndarray, fake: np.ndarray, *, k: int = 3, real_radii: np.ndarray | None = None
) -> PrecisionRecall:
    """Returns improved precision and recall.

    The neighbourhood of a feature is the closed ball that reaches to its k-th nearest neighbour in its own set, itself
    not counted. Published numbers use 50,000 features of VGG-16 each and k = 3. Both depend on N and M.

    Args:
        real: Features of real images, [N, D] with N > k, also a memory-mapped file.
        fake: Features of generated images, [M, D] with M > k.
        k: Which neighbour bounds the ball.
        real_radii: The result of `radii(real, k)`, if it is known already.

    Raises:
        UserError: If the shapes do not match, there are too few rows, or a value is not finite.
    """
    real, fake, shift = _features(real, fake, k)
    _more_than("real", real, k)
    _more_than("fake", fake, k)
    real_radii = _radii(real, k, shift) if real_radii is None else real_radii
    fake_radii = _radii(fake, k, shift)

    def found(part: slice) -> tuple[np.ndarray, np.ndarray]:
        precise, recalled = np.zeros(part.stop - part.start, bool), np.zeros(len(real), bool)
        for block in _blocks(part, fake, real, shift):
            precise |= block.inside(real_radii[block.columns], closed=True).any(axis=1)
            recalled[block.columns] = block.inside(fake_radii[part, np.newaxis], closed=True).any(axis=0)
        return precise, recalled

    precise, recalled = zip(*parallel(found, _parts(fake)), strict=True)
    return PrecisionRecall(float(np.concatenate(precise).mean()), float(np.logical_or.reduce(recalled, axis=0).mean()))


def density_coverage(
    real: np.ndarray, fake: np.ndarray, *, k: int = 5, real_radii: np.ndarray | None = None
) -> DensityCoverage:
    """Returns density and coverage.

    The neighbourhood of a real feature is the open ball to its k-th nearest real neighbour, itself not counted.
    Published numbers use 10,000 features each and k = 5.

    Args:
        real: Features of real images, [N, D] with N > k, also a memory-mapped file.
        fake: Features of generated images, [M, D].
        k: Which neighbour bounds the ball.
        real_radii: The result of `radii(real, k)`, if it is known already.

    Raises:
        UserError: If the shapes do not match, there are too few rows, or a value is not finite.
    """
    counts, covered = neighbourhoods(real, fake, k=k, real_radii=real_radii)
    return DensityCoverage(int(counts.sum()) / (k * len(fake)), float(covered.mean()))


def neighbourhoods(
    real: np.ndarray, fake: np.ndarray, *, k: int = 5, real_radii: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the number of real neighbourhoods that each fake feature is in, [M], and which real ones have one, [N].

    Args:
        real: As for `density_coverage`; likewise the other arguments.
        fake: [M, D].
        k: Which neighbour bounds the ball.
        real_radii: The result of `radii(real, k)`, if it is known already.

    Raises:
        UserError: As for `density_coverage`.
    """
    real, fake, shift = _features(real, fake, k)
    _more_than("real", real, k)
    real_radii = _radii(real, k, shift) if real_radii is None else real_radii

    def found(part: slice) -> tuple[np.ndarray, np.ndarray]:
        counts, covered = np.zeros(part.stop - part.start, np.int64), np.zeros(len(real), bool)
        for block in _blocks(part, fake, real, shift):
            inside = block.inside(real_radii[block.columns], closed=False)
            counts += np.count_nonzero(inside, axis=1)
            covered[block.columns] = inside.any(axis=0)
        return counts, covered

    counts, covered = zip(*parallel(found, _parts(fake)), strict=True)
    return np.concatenate(counts), np.logical_or.reduce(covered, axis=0)


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


def _squared(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the exact squared distances of rows of x and y, [N]."""
    difference = np.subtract(x, y, dtype=np.float64)
    return np.einsum("nd,nd->n", difference, difference)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Approximate distances between some rows of two arrays.

    Attributes:
        columns: The rows of the second array.
        x: Rows of the first array, [n, D].
        y: Rows of the second array, [m, D].
        halves: Half of the squared distances, float32 [n, m].
        norms: Squared norms of the centred rows of both arrays, float32 [n, 1] and [m].
    """

    columns: slice
    x: np.ndarray
    y: np.ndarray
    halves: np.ndarray
    norms: tuple[np.ndarray, np.ndarray]

    def inside(self, radii: np.ndarray, closed: bool) -> np.ndarray:
        """Returns whether each distance is below a radius, [n, m]. This is exact.

        Args:
            radii: Squared radii, float64, [m] or [n, 1].
            closed: Whether an equal distance counts.
        """
        depth = (radii / 2).astype(np.float32) - self.halves
        inside = depth > 0
        np.abs(depth, out=depth)
        for norms in self.norms:
            depth -= _ERROR * norms
        rows, columns = np.nonzero(depth <= 0)
        radii = np.broadcast_to(radii, inside.shape)
        for start in range(0, len(rows), _PAIRS):
            i, j = (where[start : start + _PAIRS] for where in (rows, columns))
            squared = _squared(self.x[i], self.y[j])
            inside[i, j] = squared <= radii[i, j] if closed else squared < radii[i, j]
        return inside


def _blocks(part: slice, x: np.ndarray, y: np.ndarray, shift: np.ndarray) -> Iterator[_Block]:
    """Yields the distances between a part of x and all of y."""
    a, a_norms = _centred(x[part], shift)
    a_norms = a_norms[:, np.newaxis]
    for columns in _parts(y):
        b, b_norms = _centred(y[columns], shift)
        halves = a @ b.T
        np.subtract(a_norms / 2, halves, out=halves)
        halves += b_norms / 2
        yield _Block(columns, x[part], y[columns], halves, (a_norms, b_norms))


def _centred(x: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns centred rows and their squared norms in float32."""
    centred = (x - shift).astype(np.float32)
    return centred, np.einsum("nd,nd->n", centred, centred)


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
    index, values = np.empty((len(rows), 0), np.intp), np.empty((len(rows), 0), np.float32)
    for block in _blocks(part, x, y, shift):
        if same and block.columns == part:
            np.fill_diagonal(block.halves, np.inf)
        near = _smallest(block.halves, keep)
        index = np.concatenate([index, near + block.columns.start], axis=1)
        values = np.concatenate([values, np.take_along_axis(block.halves, near, axis=1)], axis=1)
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
