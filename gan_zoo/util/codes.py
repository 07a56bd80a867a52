"""Codes: parts of a latent vector that have names, such as a category or a position, and can be set when sampling.

    codes = layout(62, categorical=(10,), continuous=2)
    codes["category_0"].slice                                   # slice(62, 72): the category as a one-hot vector
    place(codes, z, {"category_0": 3, "continuous_0": 0.5})     # z with these codes
    parse("category_0=3,continuous_0=0.5", "--codes")           # the same dictionary from a command line

Importing this module does not import TensorFlow.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gan_zoo.util import specs
from gan_zoo.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Code:
    """One code of a latent vector.

    Attributes:
        kind: "categorical", a one-hot vector of uniform categories, or "continuous", a number from U[low, high).
        start: Index of its first number in the latent vector.
        size: Number of categories, which is the length of the one-hot vector; 1 for a continuous code.
        low: The lowest value of a continuous code.
        high: The highest value of a continuous code.
    """

    kind: str
    start: int
    size: int = 1
    low: float = -1.0
    high: float = 1.0

    @property
    def slice(self) -> slice:
        """The place of the code in the latent vector."""
        return slice(self.start, self.start + self.size)

    def values(self, count: int) -> list[float]:
        """Returns the values of a walk along the code: every category, or `count` values from low to high."""
        return (
            list(range(self.size)) if self.kind == "categorical" else np.linspace(self.low, self.high, count).tolist()
        )

    def columns(self, value: Any, n: int | None, name: str) -> np.ndarray:
        """Returns the code's part of latent vectors, float32: [1, size] for one value, [n, size] for n values.

        Args:
            value: A category or a number, or one for each sample, [n].
            n: Number of samples; None if it is not known.
            name: The name of the code in error messages.

        Raises:
            UserError: If a value is not of this code, or there is another number of values.
        """
        found = np.asarray(value)
        if found.ndim > 1 or (found.ndim == 1 and n not in (None, len(found))):
            many = "each sample" if n is None else f"each of {n} samples"
            raise UserError(f"{name} must be one value, or one for {many}, not values of shape {list(found.shape)}.")
        flat = found.reshape(-1)
        if self.kind == "categorical":
            if flat.dtype.kind not in "iu" or ((flat < 0) | (flat >= self.size)).any():
                raise UserError(f"{name} must be a whole number from 0 to {self.size - 1}, not {_shown(value)}.")
            return np.eye(self.size, dtype=np.float32)[flat]
        if flat.dtype.kind not in "iuf" or not ((flat >= self.low) & (flat <= self.high)).all():
            raise UserError(f"{name} must be a number from {self.low:g} to {self.high:g}, not {_shown(value)}.")
        return flat.astype(np.float32)[:, np.newaxis]


def layout(start: int, *, categorical: Sequence[int] = (), continuous: int = 0) -> dict[str, Code]:
    """Returns codes that follow one another: "category_0", ..., then "continuous_0", ... from U[-1, 1).

    Args:
        start: Index of the first number.
        categorical: Number of categories of each categorical code.
        continuous: Number of continuous codes.
    """
    found = {}
    for index, size in enumerate(categorical):
        found[f"category_{index}"] = Code("categorical", start, size)
        start += size
    return found | {f"continuous_{index}": Code("continuous", start + index) for index in range(continuous)}


def length(codes: Mapping[str, Code]) -> int:
    """Returns the number of a latent vector's numbers that are codes."""
    return sum(code.size for code in codes.values())


def columns(codes: Mapping[str, Code], given: Mapping[str, Any] | None, n: int | None) -> dict[str, np.ndarray]:
    """Returns the parts of latent vectors that some codes have with given values: see `Code.columns`.

    Args:
        codes: All codes of the model.
        given: Values by the names of codes. None for none.
        n: Number of samples; None if it is not known.

    Raises:
        UserError: If there is no such code, or a value is not valid.
    """
    if given is not None and not isinstance(given, Mapping):
        raise UserError(f"codes must be a dictionary such as {{'category_0': 3}}, not {given!r}.")
    found = {}
    for name, value in (given or {}).items():
        find(codes, name)
        found[name] = codes[name].columns(value, n, f"codes: {name}")
    return found


def find(codes: Mapping[str, Code], name: str, argument: str = "codes") -> Code:
    """Returns the code of this name.

    Raises:
        UserError: If there is none.
    """
    if not codes:
        raise UserError(f"{argument}: the latent vector of this model has no codes: leave {argument} out.")
    if name not in codes:
        raise UserError(
            f"{argument}: there is no code {name!r}.{specs.suggest(str(name), codes)} There are {_all(codes)}."
        )
    return codes[name]


def place(codes: Mapping[str, Code], z: np.ndarray, given: Mapping[str, Any] | None) -> np.ndarray:
    """Returns latents, [n, Z], in which some codes have given values.

    Args:
        codes: All codes of the model.
        z: Latents, [n, Z].
        given: As for `columns`.

    Raises:
        UserError: As for `columns`.
    """
    z = np.array(z)
    for name, part in columns(codes, given, len(z)).items():
        z[:, codes[name].slice] = part
    return z


def parse(text: str, subject: str) -> dict[str, float]:
    """Returns the values of codes in a text such as "category_0=3,continuous_0=0.5".

    Args:
        text: Names and numbers.
        subject: The flag that contains the text, for error messages.

    Raises:
        UserError: If the text has another form, or a code is given twice.
    """
    found = {}
    for part in specs.split(text, f"{subject}={text!r}"):
        name, _, value = (piece.strip() for piece in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            raise UserError(f"{subject}: {part!r} is not of the form name=number, such as category_0=3.") from None
        if name in found:
            raise UserError(f"{subject}: {name} is given twice: give each code once.")
        found[name] = int(number) if number.is_integer() else number
    return found


def describe(codes: Mapping[str, Code]) -> dict[str, dict[str, Any]]:
    """Returns the codes as JSON types, which `from_description` reads."""
    return {name: dataclasses.asdict(code) for name, code in codes.items()}


def from_description(description: Mapping[str, Mapping[str, Any]]) -> dict[str, Code]:
    """Returns the codes that `describe` has described."""
    return {name: Code(**facts) for name, facts in description.items()}


def _all(codes: Mapping[str, Code]) -> str:
    names = list(codes)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _shown(value: Any) -> str:
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
