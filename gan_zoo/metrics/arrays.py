"""Checks of the arrays of points that metrics take."""

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
