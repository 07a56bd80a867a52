"""Checks of the arrays that metrics take, and their blocks."""

from collections.abc import Iterator

import numpy as np

from gan_zoo.util.errors import UserError


def points(argument: str, x: np.ndarray, dim: int | None = None, least: int = 1) -> np.ndarray:
    """Returns points as float64 [N, dim]. Numbers, [N], are points on the line.

    Args:
        argument: Name of the argument, for messages.
        x: [N, dim] or [N].
        dim: Required `dim`; None accepts any.
        least: Smallest number of points.

    Raises:
        UserError: If `x` has another shape, or too few points.
    """
    x = np.asarray(x, np.float64)
    x = x[:, np.newaxis] if x.ndim == 1 else x
    if x.ndim != 2 or not x.shape[1] or dim not in (None, x.shape[1]):
        raise UserError(f"{argument} must be of shape [N, {dim or 'dim'}], not {list(x.shape)}.")
    if len(x) < least:
        raise UserError(f"{argument} must be {least} or more points, not {len(x)}.")
    return x


def pair(x: np.ndarray, y: np.ndarray, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns two sets of points of the same space, as `points` does. The arguments are called x and y.

    Raises:
        UserError: As for `points`, or if the spaces differ.
    """
    x = points("x", x, least=least)
    return x, points("y", y, x.shape[1], least)


def finite(*arrays: np.ndarray) -> bool:
    """Returns whether all numbers in all arrays are finite."""
    return all(np.isfinite(array).all() for array in arrays)


BLOCK = 2**22
"""Largest number of values of a block: 32 MiB in float64."""


def rows(argument: str, x: np.ndarray, dim: int | None = None, least: int = 1) -> np.ndarray:
    """Returns an array of real numbers of shape [N, D] as it is: memory-mapped files are neither read nor copied.

    Args:
        argument: Name of the argument, for messages.
        x: [N, D], of integers or floats.
        dim: Required D; None accepts any.
        least: Smallest N.

    Raises:
        UserError: If `x` has another shape or type, or too few rows.
    """
    x = x if isinstance(x, np.ndarray) else np.asarray(x)
    if x.ndim != 2 or not x.shape[1] or dim not in (None, x.shape[1]):
        raise UserError(f"{argument} must be of shape [N, {dim or 'D'}], not {list(x.shape)}.")
    if x.dtype.kind not in "iuf":
        raise UserError(f"{argument} must be numbers, not of type {x.dtype}.")
    if len(x) < least:
        raise UserError(f"{argument} must have {least} or more rows, not {len(x)}.")
    return x


def row_pair(
    names: tuple[str, str], x: np.ndarray, y: np.ndarray, least: int = 1, dim: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns two arrays with the same number of columns, as `rows` does.

    Raises:
        UserError: As for `rows`, or if the numbers of columns differ.
    """
    x = rows(names[0], x, dim, least)
    return x, rows(names[1], y, x.shape[1], least)


def blocks(argument: str, x: np.ndarray, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Yields the rows of an array [N, D] in float64, in blocks of at most `size` values.

    Raises:
        UserError: If a value is not finite.
    """
    step = max(1, size // x.shape[1])
    for start in range(0, len(x), step):
        # np.array always copies, so that a caller may change the block.
        block = np.array(x[start : start + step], np.float64)
        if not finite(block):
            raise UserError(
                f"{argument} must be finite; NaN or infinity is among rows {start} to {start + len(block)}."
            )
        yield block


def centre(argument: str, x: np.ndarray) -> np.ndarray:
    """Returns the mean of the rows of an array, [D], in float64, and reads it in blocks.

    Raises:
        UserError: If a value is not finite.
    """
    return sum(block.sum(axis=0) for block in blocks(argument, x)) / len(x)


def labels_of(argument: str, labels: np.ndarray, count: int, of: str) -> np.ndarray:
    """Returns labels as an array of integers, [N].

    Args:
        argument: Name of the argument, for messages.
        labels: [N].
        count: Required N.
        of: Name of the argument with the N rows that the labels belong to.

    Raises:
        UserError: If `labels` has another shape or other numbers than integers.
    """
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise UserError(f"{argument} must be of shape [{count}], one label a row of {of}, not {list(labels.shape)}.")
    if labels.dtype.kind not in "iu":
        raise UserError(f"{argument} must be whole numbers, not of type {labels.dtype}.")
    return labels


def images_of(argument: str, images: np.ndarray, least: int = 1) -> np.ndarray:
    """Returns images, uint8 [N, H, W, C], as they are: memory-mapped files are neither read nor copied.

    Raises:
        UserError: If `images` has another shape or type, or too few images.
    """
    images = images if isinstance(images, np.ndarray) else np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise UserError(
            f"{argument} must be uint8 images of shape [N, H, W, C], not {images.dtype} {list(images.shape)}."
        )
    if len(images) < least:
        raise UserError(f"{argument} must be {least} or more images, not {len(images)}.")
    return images


def image_pair(names: tuple[str, str], a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns two arrays of images of the same height, width and channels, as `images_of` does.

    Raises:
        UserError: As for `images_of`, or if the shapes of an image differ.
    """
    a, b = images_of(names[0], a), images_of(names[1], b)
    if a.shape[1:] != b.shape[1:]:
        raise UserError(
            f"{names[1]} must be images of shape {list(a.shape[1:])}, as {names[0]} has them, not {list(b.shape[1:])}."
        )
    return a, b
