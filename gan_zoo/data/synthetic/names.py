"""Parses names with arguments, such as "two_lines(theta=0.5)"."""

import inspect
from collections.abc import Callable

from gan_zoo.calls import parse_call
from gan_zoo.data.synthetic.base import Distribution
from gan_zoo.data.table import suggest
from gan_zoo.errors import UserError


def build(name: str, factories: dict[str, Callable[..., Distribution]]) -> Distribution:
    """Builds the distribution with the given name and sets its canonical name.

    Args:
        name: A name of `factories`, optionally followed by arguments in parentheses, in Python syntax.
        factories: Functions by name. All their parameters have defaults.

    Raises:
        UserError: If there is no such distribution or argument, or the value of an argument is not valid.
    """
    base, parenthesis, rest = name.partition("(")
    base = base.strip()
    if base not in factories:
        raise UserError(
            f"there is no synthetic set {base!r}.{suggest(base, factories)} There are {', '.join(factories)}."
        )
    make = factories[base]
    signature = inspect.signature(make)
    bound = signature.bind()
    if parenthesis:
        try:
            _, arguments = parse_call(f"{base}({rest}")
        except ValueError:
            raise UserError(
                f"{name!r} cannot be read: arguments are written as in two_lines(theta=0.5), with numbers, None, or "
                f"lists of numbers as values."
            ) from None
        has = ", ".join(signature.parameters) or "none"
        for argument in arguments:
            if argument not in signature.parameters:
                hint = suggest(argument, signature.parameters)
                raise UserError(f"{name}: {base} has no argument {argument!r}.{hint} Its arguments: {has}.")
        bound = signature.bind(**arguments)
    try:
        distribution = make(**bound.arguments)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    changed = {
        argument: value
        for argument, value in distribution.arguments.items()
        if value != signature.parameters[argument].default
    }
    inside = ", ".join(f"{argument}={value!r}" for argument, value in changed.items())
    distribution.name = f"{base}({inside})" if inside else base
    return distribution
