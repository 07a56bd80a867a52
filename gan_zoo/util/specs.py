"""Parses text such as "warm_up(turns=50)" and "gp_weight=0.1", and checks it against a signature.

    name, assignments = parse("warm_up(turns=50)", "balance")          # "warm_up", ["turns=50"]
    bind(assignments, inspect.signature(WarmUp).parameters, name, "balance")    # {"turns": 50}
    write("warm_up", {"turns": 50})                                    # "warm_up(turns=50)"

Flags, the argument `balance` and names of datasets have this form. A value is a Python literal. Anything else is text,
so objective=hinge needs no quotation marks. `subject` is the flag or argument that contains the text; error messages
begin with it.

Importing this module does not import TensorFlow.
"""

import ast
import collections.abc
import difflib
import inspect
import math
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from gan_zoo.util.errors import UserError

_TOKENS = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|.""", re.DOTALL)
"""Matches a text in quotation marks, or one character."""

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    dict: "a dictionary",
    types.NoneType: "None",
    **dict.fromkeys((list, tuple, collections.abc.Sequence), "a list"),
}


def split(text: str, subject: str) -> list[str]:
    """Splits a text at its commas, except for commas in brackets and quotation marks.

    Empty parts are removed.

    Raises:
        UserError: If a bracket or quotation mark is not closed.
    """
    parts, depth = [""], 0
    for token in _TOKENS.findall(text):
        depth += (token in {"(", "[", "{"}) - (token in {")", "]", "}"})
        if depth < 0 or token in {"'", '"'}:
            break
        if token == "," and not depth:
            parts.append("")
        else:
            parts[-1] += token
    else:
        if not depth:
            return [part.strip() for part in parts if part.strip()]
    raise UserError(f"{subject} has an unmatched bracket or quotation mark.")


def parse(text: str, subject: str) -> tuple[str, list[str]]:
    """Returns the name and the assignments of "name(argument=value, ...)". The parentheses are optional.

    Raises:
        UserError: If the text has another form.
    """
    parts = split(text, subject)
    name, parenthesis, inside = text.strip().partition("(")
    if len(parts) > 1 or (parenthesis and not inside.endswith(")")):
        raise UserError(f"{subject} is not of the form name(argument=value, ...).")
    return name.strip(), split(inside.removesuffix(")"), subject)


def bind(
    assignments: Iterable[str], parameters: Mapping[str, inspect.Parameter], owner: str, subject: str
) -> dict[str, Any]:
    """Returns the values that assignments of the form "name=value" give to parameters.

    A value must have a type of the parameter's annotation, or otherwise the type of its default. Integers are accepted
    for floats. Numbers must be finite, and integers must have at most 63 bits.

    Args:
        assignments: Assignments such as ["gp_weight=0.1", "n_critic=1"].
        parameters: The parameters that may be set, by name.
        owner: Name of their function or class.
        subject: The flag or argument that contains the assignments.

    Raises:
        UserError: If an assignment has another form, a name is unknown or given twice, or a value is not valid.
    """
    values = {}
    for assignment in assignments:
        name, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise UserError(f"{subject}: {assignment!r} is not of the form name=value.")
        if name not in parameters:
            raise UserError(f"{subject}: {unknown(name, parameters, owner)}")
        if name in values:
            raise UserError(f"{subject}: {name} is given twice: give each argument once.")
        values[name] = _convert(f"{subject}: {name}", _read(text), _kinds(parameters[name]))
    return values


def write(name: str, arguments: Mapping[str, Any]) -> str:
    """Returns the text that `parse` and `bind` read: "name(argument=value, ...)", or the name alone."""
    inside = ", ".join(f"{argument}={value!r}" for argument, value in arguments.items())
    return f"{name}({inside})" if inside else name


def unknown(name: str, known: Iterable[str], owner: str) -> str:
    """Returns the message that a function or class has no argument with this name."""
    known = list(known)
    return f"{owner} has no argument {name!r}.{suggest(name, known)} It has {', '.join(known) or 'none'}."


def suggest(name: str, names: Iterable[str]) -> str:
    """Returns a hint for an error about an unknown name.

    Args:
        name: The name that the user gave.
        names: The known names.

    Returns:
        " Did you mean 'celeb_a'?" with the nearest name, or "" if none is near.
    """
    # CelebA, celebA and celeb-a are spellings of celeb_a.
    spellings = {}
    for candidate in names:
        spellings.setdefault(plain(candidate), candidate)
    match = difflib.get_close_matches(plain(name), spellings, n=1)
    return f" Did you mean {spellings[match[0]]!r}?" if match else ""


def plain(name: str) -> str:
    """Returns a name without case, spaces, underscores and hyphens, for comparisons."""
    return "".join(c for c in name.casefold() if c not in " _-")


def _read(text: str) -> Any:
    """Returns the Python literal in a text, or the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # also if it is too deep or too long
        return text


def _kinds(parameter: inspect.Parameter) -> tuple[type, ...]:
    """Returns the types that a parameter takes. Empty if neither its annotation nor its default has one."""
    annotation, default = parameter.annotation, parameter.default
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    kinds = [typing.get_origin(kind) or kind for kind in (typing.get_args(annotation) if union else (annotation,))]
    if any(kind in (typing.Any, object, parameter.empty) or not isinstance(kind, type) for kind in kinds):
        kinds = []
    if default is not parameter.empty and (kinds or default is not None):
        kinds.append(type(default))
    return tuple(dict.fromkeys(kinds))


def _convert(subject: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """Converts a value to a type that a parameter takes."""
    fits = not kinds or type(value) in kinds or (isinstance(value, list | tuple) and collections.abc.Sequence in kinds)
    if not fits and float in kinds and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            value = math.inf
    elif not fits:
        words = dict.fromkeys(_WORDS.get(kind, f"a value of type {kind.__name__}") for kind in kinds)
        raise UserError(f"{subject} must be {' or '.join(words)}, not {reprlib.repr(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{subject} must be a finite number, not {value}.")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise UserError(f"{subject} must be a whole number of at most 63 bits, not {reprlib.repr(value)}.")
    return value
