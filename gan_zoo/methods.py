"""Methods on a command line: variants by name, with arguments of their own in parentheses.

--models=dcgan,wgan_gp(gp_weight=0.1, n_critic=1),my_gan:MyGAN
"""

import dataclasses
from typing import Any

from gan_zoo.errors import UserError
from gan_zoo.models import VARIANTS
from gan_zoo.variants import find_model, parse_arguments


@dataclasses.dataclass(frozen=True)
class Method:
    """A variant with its arguments.

    Attributes:
        name: As it is shown; by default as it was written.
        model: As for `--model`.
        arguments: Of the class's constructor, other than the defaults.
    """

    name: str
    model: str
    arguments: dict[str, Any]

    @property
    def cls(self) -> type:
        return find_model(self.model)


def parse(text: str) -> list[Method]:
    """The methods that a flag names, in its order: "all", or names with arguments, separated by commas.

    Raises:
        UserError: If there is no such variant or argument, a method stands there twice, or there are none.
    """
    if text.strip() == "all":
        return [Method(name, name, {}) for name in VARIANTS]
    found = []
    for part in _split("--models", text):
        model, parenthesis, rest = part.partition("(")
        if parenthesis and not rest.endswith(")"):
            raise UserError(f"--models={part} is not of the form name(argument=value, ...).")
        assignments = tuple(_split("--models", rest.removesuffix(")")))
        arguments = parse_arguments(find_model(model.strip(), "--models"), assignments, "--models")
        if "seed" in arguments:
            raise UserError(f"--models={part}: seeds are given to all methods alike: leave seed out.")
        plain = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        found.append(Method(f"{model.strip()}({plain})" if plain else model.strip(), model.strip(), arguments))
    names = [method.name for method in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--models has {name} twice: name each method once.")
    if not found:
        raise UserError("--models is empty: name some, such as --models=dcgan,wgan_gp, or --models=all.")
    return found


def _split(flag: str, text: str) -> list[str]:
    """`text` at its commas, those within brackets and quotes aside."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    if depth or quote:
        raise UserError(f"{flag}={text} has a bracket or a quotation mark without its partner.")
    return [part.strip() for part in parts if part.strip()]
