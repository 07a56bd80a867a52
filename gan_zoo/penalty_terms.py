"""Penalties on D's gradient that `GAN(penalties=...)` adds to the discriminator's loss of any variant.

`penalties` is the text of one penalty or several, joined by +: "r1(gamma=0.1)", "gp(weight=10, at=around)",
"r1(gamma=0.1) + r2(gamma=0.1)".
"""

import dataclasses
import inspect
from typing import Any

import tensorflow as tf

from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.penalties import gradient_penalty, interpolate, js_regularizer, perturb, zero_centered_penalty
from gan_zoo.util import specs
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class R1:
    """gamma / 2 E[||grad D(x)||^2]: Mescheder et al. (2018), equation 9, https://arxiv.org/abs/1801.04406.

    Args:
        gamma: Weight, with the paper's factor of 1/2.
    """

    gamma: float = 10.0

    def __post_init__(self):
        number("penalties: gamma", self.gamma, least=0)

    def __call__(self, gan, real: Any, fake: Any) -> tf.Tensor:
        return 0.5 * self.gamma * zero_centered_penalty(gan.D, real)


class R2(R1):
    """gamma / 2 E[||grad D(G(z))||^2], R1 at generated examples."""

    def __call__(self, gan, real: Any, fake: Any) -> tf.Tensor:
        return 0.5 * self.gamma * zero_centered_penalty(gan.D, fake)


@dataclasses.dataclass(frozen=True)
class GP:
    """weight E[(||grad D(u)||_2 - target)^2]: Gulrajani et al. (2017), equation 3, https://arxiv.org/abs/1704.00028.

    Args:
        weight: lambda.
        target: The norm that is not penalised.
        at: The points u: "between" real and generated examples, as in the paper, or "around" real examples, with
            normal noise of half their standard deviation, as Kodali et al. (2017), https://arxiv.org/abs/1705.07215.
        one_sided: Whether only norms above the target are penalised.
    """

    weight: float = 10.0
    target: float = 1.0
    at: str = "between"
    one_sided: bool = False

    def __post_init__(self):
        number("penalties: weight", self.weight, least=0)
        number("penalties: target", self.target, least=0)
        if self.at not in ("between", "around"):
            raise UserError(f"penalties: at must be 'between' or 'around', not {self.at!r}.")

    def __call__(self, gan, real: Any, fake: Any) -> tf.Tensor:
        if self.at == "between":
            points = interpolate(real, fake, gan.random.uniform([batch_size(real)]))
        else:
            points = perturb(real, 0.5, gan.random)
        return self.weight * gradient_penalty(gan.D, points, self.target, self.one_sided)


@dataclasses.dataclass(frozen=True)
class JS:
    """gamma / 2 of the regularizer of Roth et al. (2017) for D as a logit, https://arxiv.org/abs/1705.09367.

    Args:
        gamma: Weight, the variance of the instance noise that it replaces.
    """

    gamma: float = 2.0

    def __post_init__(self):
        number("penalties: gamma", self.gamma, least=0)

    def __call__(self, gan, real: Any, fake: Any) -> tf.Tensor:
        return 0.5 * self.gamma * js_regularizer(gan.D, real, fake)


_KINDS = {"r1": R1, "r2": R2, "gp": GP, "js": JS}


def parse(text: str) -> dict[str, Any]:
    """The penalties that a text describes, by their names; none for "none".

    Raises:
        UserError: If there is no such penalty, it is named twice, or a setting is unknown or out of its range.
    """
    found = {}
    for part in [] if text == "none" else str(text).split("+"):
        name, assignments = specs.parse(part, f"penalties={text!r}")
        if name not in _KINDS:
            raise UserError(
                f"penalties must be 'none' or, joined by +, some of 'r1(gamma=10)', 'r2(gamma=10)', "
                f"'gp(weight=10, target=1, at=between)' and 'js(gamma=2)', with any numbers, not {text!r}."
            )
        if name in found:
            raise UserError(f"penalties={text!r} names {name} twice.")
        kind = _KINDS[name]
        found[name] = kind(**specs.bind(assignments, inspect.signature(kind).parameters, name, "penalties"))
    return found
