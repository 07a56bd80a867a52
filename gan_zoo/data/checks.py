"""Checks of arguments that are numbers."""

import operator

import numpy as np

from gan_zoo.errors import UserError


def whole(argument: str, value, least: int, most: int | None = None) -> int:
    """Checks that an argument is a whole number, not too small and not too large.

    Raises:
        UserError: It is not.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least or (most is not None and number > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise UserError(f"{argument} must be a whole number {bounds}, not {value!r}.")
    return number


def number(argument: str, value, *, positive: bool = False) -> float:
    """Checks that an argument is a finite number.

    Raises:
        UserError: It is not, or not positive.
    """
    fine = isinstance(value, int | float | np.number) and not isinstance(value, bool) and np.isfinite(value)
    if not fine or (positive and value <= 0):
        raise UserError(f"{argument} must be a {'positive' if positive else 'finite'} number, not {value!r}.")
    return float(value)
