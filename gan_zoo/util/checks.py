"""Checks of arguments: numbers, and paths."""

import operator
import os
import re
import urllib.parse
from pathlib import Path

import numpy as np

from gan_zoo.util.errors import UserError


def whole(argument: str, value, least: int, most: int | None = None) -> int:
    """Checks that an argument is a whole number from `least` to `most`, and returns it.

    Raises:
        UserError: If it is not.
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
    """Checks that an argument is a finite number, and returns it.

    Args:
        argument: Name of the argument, for the error message.
        value: Its value.
        positive: Whether it must be above 0.
        least: The smallest allowed value; None for no bound.

    Raises:
        UserError: If it is not finite, or is outside of these bounds.
    """
    try:
        fine = isinstance(value, int | float | np.number) and not isinstance(value, bool) and abs(value) <= _LARGEST
    except OverflowError:  # a whole number that is too large for a float
        fine = False
    if not fine or (positive and value <= 0) or (least is not None and value < least):
        what = f"number from {least:g} up" if least is not None else f"{'positive' if positive else 'finite'} number"
        raise UserError(f"{argument} must be a {what}, not {value!r}.")
    return float(value)


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
"""Matches the scheme of an address. It has at least two letters, because C:// is a drive of Windows."""
_SCHEMES = "abfs|abfss|adl|az|dbfs|file|ftp|ftps|gcs|gs|hdfs|hf|http|https|s3|s3a|s3n|sftp|viewfs|wasb|wasbs"
_SHORT_SCHEME = re.compile(rf"({_SCHEMES}):/", re.IGNORECASE)
"""Matches the scheme of an address that was a `Path`, which replaces two slashes by one."""


def scheme(value: str | Path) -> str | None:
    """The scheme of an address such as gs://bucket/folder; None if `value` is the path of a local file or folder."""
    text = os.fsdecode(value)
    found = _SCHEME.match(text) or _SHORT_SCHEME.match(text)
    return found and found[1].lower()


def path(argument: str, value: str | Path) -> Path:
    """Checks that an argument is a path of a local file or folder, which need not exist; expands a "~".

    Raises:
        UserError: If it cannot be such a path.
    """
    try:
        text = os.fsdecode(value)
    except TypeError:
        raise UserError(f"{argument} must be a path, not {value!r}.") from None
    if not text:
        raise UserError(f"{argument} is empty: give a path, or leave it out.")
    if "\0" in text:
        raise UserError(f"{argument}={text!r} contains a NUL character, which is not allowed in paths.")
    remote = scheme(text)
    if remote == "file":
        plain = urllib.parse.unquote(re.sub(r"^file:(//[^/]*)?(?=/)", "", text, flags=re.IGNORECASE))
        raise UserError(f"{argument}={text} is an address: write the plain path, {argument}={plain}.")
    if remote:
        raise UserError(
            f"{argument}={text} is an address of {remote}, and this must be a path on this machine: give a local path, "
            f"and copy between it and the address with the tool of that storage, or mount that storage here."
        )
    try:
        found = Path(text).expanduser()
    except RuntimeError:
        whom = "that user" if re.match("~[^/]", text) else "this user, and the variable HOME is not set"
        raise UserError(f"{argument}={text}: there is no home folder of {whom}: write the whole path.") from None
    try:
        found.resolve().exists()
    except ValueError:  # the file system cannot encode the name
        raise UserError(f"{argument}={text!r} cannot be the name of a file here: give another path.") from None
    except OSError as error:  # a name that is too long
        raise UserError(f"{argument}={text} cannot be used: {error.strerror}.") from None
    except RuntimeError:  # Python's error for this before version 3.13
        raise UserError(f"{argument}={text} cannot be used: its links lead in a circle.") from None
    return found


def data_folder(argument: str, value: str | Path) -> str:
    """Checks a folder of TFDS datasets, which may also be an address such as gs://bucket/folder; expands a "~".

    Raises:
        UserError: If it is neither a path nor such an address.
    """
    remote = scheme(value)
    if remote not in (None, "file"):
        return re.sub(r":/+", "://", os.fsdecode(value), count=1)  # a `Path` has replaced two slashes by one
    found = str(path(argument, value))
    try:
        found.encode()
    except UnicodeEncodeError:
        raise UserError(f"{argument}={found!r} is not text in UTF-8, which TFDS needs: link to it.") from None
    return found
