"""Names with arguments: from "two_lines(theta=0.5)" to a distribution."""

import inspect
from collections.abc import Callable

from gan_zoo import specs
from gan_zoo.data.synthetic.base import Distribution
from gan_zoo.errors import UserError


def build(name: str, factories: dict[str, Callable[..., Distribution]]) -> Distribution:
    """Makes the distribution that a name describes and sets its canonical name.

    Args:
        name: A name of `factories`, and behind it, in parentheses, arguments as Python writes them.
        factories: By name, functions whose parameters all have defaults.

    Raises:
        UserError: There is no such distribution, it has no such argument, or the argument's value will not do.
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
