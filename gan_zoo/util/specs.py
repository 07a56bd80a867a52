"""Text such as "warm_up(turns=50)" and "gp_weight=0.1", read and checked against a signature.

    name, assignments = parse("warm_up(turns=50)", "balance")          # "warm_up", ["turns=50"]
    bind(assignments, inspect.signature(WarmUp).parameters, name, "balance")    # {"turns": 50}
    write("warm_up", {"turns": 50})                                    # "warm_up(turns=50)"

Flags, the argument `balance` and names of datasets have this form. A value is a literal of Python; anything else is
text, so objective=hinge needs no quotation marks. `subject` is what an error sentence begins with: the flag or argument
that holds the text.

Importing this module costs no TensorFlow start-up.
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
"""A text in quotation marks, or one character."""

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
    """The parts of a text between its commas, except for commas within brackets and quotation marks.

    Empty parts are left out.

    Raises:
        UserError: If a bracket or quotation mark has no partner.
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
    raise UserError(f"{subject} has a bracket or a quotation mark without its partner.")


def parse(text: str, subject: str) -> tuple[str, list[str]]:
    """The name and the assignments of "name(argument=value, ...)"; the parentheses may be left out.

    Raises:
        UserError: If the text is of another form.
    """
    parts = split(text, subject)
    name, parenthesis, inside = text.strip().partition("(")
    if len(parts) > 1 or (parenthesis and not inside.endswith(")")):
        raise UserError(f"{subject} is not of the form name(argument=value, ...).")
    return name.strip(), split(inside.removesuffix(")"), subject)


def bind(
    assignments: Iterable[str], parameters: Mapping[str, inspect.Parameter], owner: str, subject: str
) -> dict[str, Any]:
    """The values that assignments of the form "name=value" give to parameters.

    A value is of a type that the parameter's annotation names, or else of its default's type. For a float a whole
    number will do. Numbers are finite, and whole numbers have at most 63 bits.

    Args:
        assignments: Such as ["gp_weight=0.1", "n_critic=1"].
        parameters: Those that may be set, by name.
        owner: Name of the function or class that they belong to.
        subject: The flag or argument that holds the assignments.

    Raises:
        UserError: If an assignment is of another form, or a name is unknown or given twice, or a value will not do.
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
    """The text that `parse` and `bind` read: "name(argument=value, ...)", or the name alone."""
    inside = ", ".join(f"{argument}={value!r}" for argument, value in arguments.items())
    return f"{name}({inside})" if inside else name


def unknown(name: str, known: Iterable[str], owner: str) -> str:
    """The sentences that say that a function or class has no argument of a name."""
    known = list(known)
    return f"{owner} has no argument {name!r}.{suggest(name, known)} It has {', '.join(known) or 'none'}."


def suggest(name: str, names: Iterable[str]) -> str:
    """A hint for the end of an error about an unknown name.

    Args:
        name: What the user wrote.
        names: What the user may have meant.

    Returns:
        " Did you mean 'celeb_a'?" with the nearest name, or "" when none is near.
    """
    # CelebA, celebA and celeb-a all mean celeb_a.
    plain = {}
    for candidate in names:
        plain.setdefault(_plain(candidate), candidate)
    match = difflib.get_close_matches(_plain(name), plain, n=1)
    return f" Did you mean {plain[match[0]]!r}?" if match else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _read(text: str) -> Any:
    """The literal that a text is, or the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # also of what is too deep or too long
        return text


def _kinds(parameter: inspect.Parameter) -> tuple[type, ...]:
    """The types that a parameter takes; none where neither its annotation nor its default says so."""
    annotation, default = parameter.annotation, parameter.default
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    kinds = [typing.get_origin(kind) or kind for kind in (typing.get_args(annotation) if union else (annotation,))]
    if any(kind in (typing.Any, object, parameter.empty) or not isinstance(kind, type) for kind in kinds):
        kinds = []
    if default is not parameter.empty and (kinds or default is not None):
        kinds.append(type(default))
    return tuple(dict.fromkeys(kinds))


def _convert(subject: str, value: Any, kinds: tuple[type, ...]) -> Any:
    """A value in the type that a parameter takes."""
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
