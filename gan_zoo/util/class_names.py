"""Labels of classes from names that users write, such as "ankle boot" for "Ankle_boot"."""

import difflib
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from gan_zoo.util.errors import UserError
from gan_zoo.util.specs import plain

_MOST_ROWS = 16
"""Largest number of classes in a picture."""


def find_label(label: Any, names: Sequence[str], argument: str = "label") -> int:
    """Returns the label of a class.

    Args:
        label: The label, a whole number from 0 to K - 1, or the name of the class. Case, spaces, underscores and
            hyphens of a name do not matter. A string of digits that is not a name is a label.
        names: Names of the K classes, by label.
        argument: Name of the argument in error messages.

    Raises:
        UserError: If there is no such class, or a name matches several.
    """
    if isinstance(label, str):
        return _find_name(label, names, argument)
    try:
        number = operator.index(label)
    except TypeError:
        number = -1
    if isinstance(label, bool) or not 0 <= number < len(names):
        raise UserError(f"{argument} must be the name of a class or a label from 0 to {len(names) - 1}, not {label!r}.")
    return number


def find_labels(label: Any, names: Sequence[str], n: int, argument: str = "label") -> np.ndarray:
    """Returns the labels of n samples, int32 [n].

    Args:
        label: One class for all samples, or one class for each, [n]: see `find_label`.
        names: Names of the K classes, by label.
        n: Number of samples.
        argument: Name of the argument in error messages.

    Raises:
        UserError: As for `find_label`, or if there are not n labels.
    """
    if np.ndim(label) == 0:  # also 0 for a string
        return np.full(n, find_label(np.asarray(label).item(), names, argument), "int32")
    found = [find_label(one, names, argument) for one in list(label)]
    if len(found) != n:
        raise UserError(f"{argument} must be one class, or one for each of {n} samples, not {len(found)} classes.")
    return np.array(found, "int32")


def _find_name(label: str, names: Sequence[str], argument: str) -> int:
    if label in names:
        return list(names).index(label)
    wanted = plain(label)
    found = [k for k, name in enumerate(names) if plain(name) == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(repr(names[k]) for k in found)
        raise UserError(f"{argument}={label}: the classes {several} differ only in case or hyphens: write one exactly.")
    if label.strip().isdecimal() and int(label) < len(names):
        return int(label)
    by_plain = {plain(name): name for name in names}
    near = [by_plain[name] for name in difflib.get_close_matches(wanted, by_plain, n=3, cutoff=0.5)]
    which = f"the nearest are {', '.join(near)}" if near else f"the classes are {_listed(names)}"
    raise UserError(f"{argument}={label} is not one of the {len(names)} classes: {which}.")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"


def shown_classes(classes: int) -> list[int]:
    """Returns the labels of the classes with a row in a picture: all K, or 16 at equal distances."""
    rows = min(classes, _MOST_ROWS)
    return [classes * row // rows for row in range(rows)]
