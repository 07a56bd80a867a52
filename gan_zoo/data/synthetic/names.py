"""Parses names with arguments, such as "two_lines(theta=0.5)"."""

import inspect
from collections.abc import Callable

from gan_zoo.data.synthetic.base import Distribution
from gan_zoo.util import specs
from gan_zoo.util.errors import UserError


def build(name: str, factories: dict[str, Callable[..., Distribution]]) -> Distribution:
    """Builds the distribution with the given name and sets its canonical name.

    Args:
        name: A name of `factories`, optionally followed by arguments in parentheses, in Python syntax.
        factories: Functions by name. All their parameters have defaults.

    Raises:
        UserError: If there is no such distribution or argument, or the value of an argument is not valid.
    """
    base = name.partition("(")[0].strip()
    if base not in factories:
        hint = specs.suggest(base, factories)
        raise UserError(f"there is no synthetic set {base!r}.{hint} There are {', '.join(factories)}.")
    make = factories[base]
    parameters = inspect.signature(make).parameters
    _, assignments = specs.parse(name, repr(name))
    arguments = specs.bind(assignments, parameters, base, name)
    try:
        distribution = make(**arguments)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    made_with = distribution.arguments.items()
    distribution.name = specs.write(base, {key: value for key, value in made_with if value != parameters[key].default})
    return distribution
