"""Recipes: files of this folder that hold the flags of a whole run, and what the run gave.

A recipe is a TOML file with

    title         One line for `--list`.
    source        Papers and code that the settings come from.
    published     Where the published schedule differs from the flags; optional.

    [flags]       Flags of `train.py` by name.

    [result]      What the command gave: optional, because a recipe may be written before it is measured.
    frechet       Frechet distance of the exported model by `protocol`, a list with one value for each seed.
    protocol      The protocol string of `gan_zoo.evaluate`.
    minutes       Time of the training, on `machine`.
    machine       The processor.
"""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from gan_zoo.util import console, specs
from gan_zoo.util.errors import UserError

FOLDER = Path(__file__).parent
_KEYS = {"title", "source", "published", "flags", "result"}
_RESULT = {"frechet", "protocol", "minutes", "machine"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A recipe: see the module for its fields."""

    name: str
    title: str
    source: str
    flags: dict[str, Any]
    published: str = ""
    result: dict[str, Any] = dataclasses.field(default_factory=dict)

    def about(self) -> str:
        """Lines that say what the recipe is, where it comes from, and how the published one differs."""
        rows = {"recipe": f"{self.name}: {self.line()}", "source": self.source, "published": self.published}
        return console.facts({word: text for word, text in rows.items() if text})

    def line(self) -> str:
        """The title and the result in one line."""
        if not self.result:
            return f"{self.title} (not measured)"
        found = self.result
        values = ", ".join(f"{value:.4g}" for value in found["frechet"])
        return f"{self.title} (Frechet distance {values} after {found['minutes']:g} min on {found['machine']})"


def names() -> list[str]:
    """Returns the names of all recipes of the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Recipe:
    """Reads a recipe.

    Args:
        name: Name of a recipe of the package, or path of a file that ends in .toml.

    Raises:
        UserError: If there is no such recipe, or the file is not one.
    """
    own = name.endswith(".toml")
    path = Path(name) if own else FOLDER / f"{name}.toml"
    if not own and name not in names():
        raise UserError(
            f"--recipe={name} is not a recipe.{specs.suggest(name, names())} train.py --list shows all; a file of your "
            f"own is --recipe=PATH.toml."
        )
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--recipe={name} cannot be read as TOML: {error}.") from error
    unknown = [*(set(content) - _KEYS), *(set(content.get("result", {})) - _RESULT)]
    if unknown or not isinstance(content.get("flags"), dict):
        what = f"has the unknown key {sorted(unknown)[0]!r}" if unknown else "has no table [flags]"
        raise UserError(f"--recipe={name} {what}: a recipe has {', '.join(sorted(_KEYS))}.")
    return Recipe(path.stem, **{"title": "", "source": "", **content})


def fill(recipe: Recipe, flags: Any) -> None:
    """Sets the flags of a recipe that the command line does not give.

    An argument of `--set` on the command line replaces the recipe's argument of the same name, and keeps the others.
    The run folder is runs/NAME.

    Args:
        recipe: The recipe.
        flags: The parsed flags of `train.py`, as absl's `FlagValues`.

    Raises:
        UserError: If there is no such flag, or the flag does not take the recipe's value.
    """
    for name, value in {"run_dir": f"runs/{recipe.name}", **recipe.flags}.items():
        if name not in flags or name == "recipe":
            raise UserError(f"--recipe={recipe.name}: {name!r} is not a flag of train.py.")
        flag = flags[name]
        given = flag.value if flag.present else None
        if given is not None and name != "set":
            continue
        if name == "set":
            replaced = {assignment.partition("=")[0] for assignment in given or ()}
            value = [*(v for v in value if v.partition("=")[0] not in replaced), *(given or ())]
        try:
            flag.value = value if isinstance(value, bool | list) else flag.parser.parse(str(value))
        except ValueError as error:
            raise UserError(f"--recipe={recipe.name}: --{name}={value}: {error}.") from error
