"""Parses lists of methods on a command line: variants by name, with optional arguments in parentheses.

--models=dcgan,wgan_gp(gp_weight=0.1, n_critic=1),my_gan:MyGAN
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from gan_zoo.models import VARIANTS
from gan_zoo.registry.variants import find_model, parse_arguments
from gan_zoo.util import specs
from gan_zoo.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Method:
    """A variant with its arguments.

    Attributes:
        name: Name for display. Defaults to the text of the flag.
        model: Name of the variant, as for `--model`.
        arguments: Arguments of the class's constructor that differ from the defaults.
    """

    name: str
    model: str
    arguments: dict[str, Any]

    @property
    def cls(self) -> type:
        return find_model(self.model)


def parse(text: str, fits: Callable[[type], bool] = lambda cls: True) -> list[Method]:
    """Returns the methods of a flag, in its order: "all", or names with arguments, separated by commas.

    Args:
        text: The flag.
        fits: Whether "all" includes a class.

    Raises:
        UserError: If there is no such variant or argument, a method is listed twice, or the list is empty.
    """
    if text.strip() == "all":
        return [method for method in (Method(name, name, {}) for name in VARIANTS) if fits(method.cls)]
    found = []
    for part in specs.split(text, f"--models={text}"):
        subject = f"--models={part}"
        model, assignments = specs.parse(part, subject)
        arguments = parse_arguments(find_model(model, "--models"), assignments, subject)
        if "seed" in arguments:
            raise UserError(f"{subject}: all methods get the same seeds: leave seed out.")
        found.append(Method(specs.write(model, arguments), model, arguments))
    names = [method.name for method in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--models has {name} twice: name each method once.")
    if not found:
        raise UserError("--models is empty: name some, such as --models=dcgan,wgan_gp, or --models=all.")
    return found
