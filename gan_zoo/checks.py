"""Checks of arguments: numbers, and paths."""

import operator
import os
from pathlib import Path

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


_LARGEST = float(np.finfo(np.float32).max)


def number(argument: str, value, *, positive: bool = False, least: float | None = None) -> float:
    """Checks that an argument is a finite number.

    Raises:
        UserError: It is not, or not positive, or below `least`.
    """
    try:
        fine = isinstance(value, int | float | np.number) and not isinstance(value, bool) and abs(value) <= _LARGEST
    except OverflowError:  # a whole number beyond all floats
        fine = False
    if not fine or (positive and value <= 0) or (least is not None and value < least):
        what = f"number from {least:g} up" if least is not None else f"{'positive' if positive else 'finite'} number"
        raise UserError(f"{argument} must be a {what}, not {value!r}.")
    return float(value)


def path(argument: str, value: str | Path) -> Path:
    """Checks that an argument can be the path of a file or folder, which need not be there; expands a "~".

    Raises:
        UserError: It cannot.
    """
    text = os.fspath(value)
    if not text:
        raise UserError(f"{argument} is empty: give a path, or leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{argument}={text!r} is not text in UTF-8: give another path.") from None
    if "\0" in text:
        raise UserError(f"{argument}={text!r} holds a NUL character, which no path can have.")
    try:
        found = Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{argument}={text}: there is no home folder of that user.") from None
    try:
        found.resolve().exists()
    except OSError as error:  # a name that is too long
        raise UserError(f"{argument}={text} cannot be used: {error.strerror}.") from None
    except RuntimeError:  # what Python makes of it before version 3.13
        raise UserError(f"{argument}={text} cannot be used: its links lead in a circle.") from None
    return found
