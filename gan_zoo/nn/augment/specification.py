"""Reads the text that names an augmentation: "none", "diffaugment(translation, cutout)", "ada(target=0.6)"."""

import inspect

from gan_zoo.nn.augment.ada import ADA
from gan_zoo.nn.augment.diffaugment import OPERATIONS, DiffAugment
from gan_zoo.replicas.distribution import RandomStream
from gan_zoo.util import specs
from gan_zoo.util.errors import UserError


def parse(text: str, shape: tuple[int | None, ...], random: RandomStream) -> "DiffAugment | ADA | None":
    """The augmentation that a text describes; None for "none".

    Args:
        text: "none", "diffaugment", or with some of its operations, "diffaugment(translation, cutout)"; "ada", or with
            settings, "ada(target=0.6, kimg=500, pipe=bgc)" and "ada(p=0.2)".
        shape: Shape of one example.
        random: The stream to draw from.

    Raises:
        UserError: If there is no such augmentation, if a setting is unknown or out of its range, or if the augmentation
            does not act on such examples.
    """
    name, settings = specs.parse(str(text), f"augmentation={text!r}")
    if name == "none" and not settings:
        return None
    if name not in ("diffaugment", "ada"):
        raise UserError(
            f"augmentation must be 'none', 'diffaugment({', '.join(OPERATIONS)})' with any of these operations, "
            f"'ada(target=0.6, kimg=500, pipe=bgc)' or 'ada(p=0.2)', with any numbers, not {text!r}."
        )
    if len(shape) != 3:
        raise UserError(
            f"augmentation={text!r} moves pixels and changes colours, and these examples are points: leave it out. "
            f"instance_noise is for points too."
        )
    if name == "diffaugment":
        return DiffAugment(tuple(settings) or OPERATIONS, random)
    parameters = {n: p for n, p in inspect.signature(ADA).parameters.items() if n in ("p", "target", "kimg", "pipe")}
    values = specs.bind(settings, parameters, name, "augmentation")
    if values.get("p") is not None and {"target", "kimg"} & values.keys():
        raise UserError(f"augmentation={text!r}: p is constant, so target and kimg have no effect: leave them out.")
    found = ADA(random, **values)
    if "c" in found.pipe and shape[-1] not in (1, 3):
        raise UserError(f"augmentation={text!r} changes colours of 1 or 3 channels, not {shape[-1]}: add pipe=bg.")
    return found
