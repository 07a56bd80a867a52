"""Small models of any variant, and data for them, by what its class says of itself."""

import numpy as np

from gan_zoo import GAN, models
from gan_zoo.models import VARIANTS

_RNG = np.random.default_rng(0)
POINTS = _RNG.normal(size=(8, 2)).astype("float32")
IMAGES = _RNG.uniform(-1, 1, size=(8, 8, 8, 1)).astype("float32")
LABELS = (np.arange(8) % 3).astype("int32")

ON_POINTS = [name for name in VARIANTS if "points" in getattr(models, VARIANTS[name]).kinds]


def find(name: str) -> type:
    return getattr(models, VARIANTS[name])


GAMES = [
    name
    for name in VARIANTS
    if issubclass(find(name), GAN)
    and find(name).network_names() == ["generator", "discriminator"]
    and find(name).takes_labels != "required"
]
"""Variants with a generator and a discriminator only, which need no labels."""


LIKE = {
    **dict.fromkeys(("vanilla_gan", "lsgan", "hinge_gan", "rgan", "ragan"), "dcgan"),
    **dict.fromkeys(("dragan", "gan_gp", "r1_gan", "r2_gan", "roth_gan"), "wgan_gp"),
    **{"gradient_regularized_gan": "consensus_gan", "feature_matching": "semi_supervised_gan"},
    **{"cat_gan": "semi_supervised_gan", "conditional_gan": "dcgan"},
}
"""Variants that differ from another one in their losses only, with that one.

Where a test of all variants takes long, it runs on these with --thorough.
"""


def kind_of(cls: type) -> str:
    """The examples on which a class is tested where either kind would do: points, if it takes them."""
    return "points" if "points" in cls.kinds else "image"


def small(cls: type, kind: str | None = None, labelled: bool = False, **arguments):
    """A small model of a class; `arguments` that it does not have are left out."""
    if cls.takes_labels == "required" or (labelled and cls.takes_labels == "optional"):
        arguments["classes"] = 3
    own = {name: value for name, value in arguments.items() if name in {*cls.parameters(), "dtype", "norm", "network"}}
    sizes = {name: arguments[name] for name in ("width", "latent_dim") if name in arguments}
    if (kind or kind_of(cls)) == "points":
        return cls.for_points(**{"width": 8, **sizes, **own})
    return cls.for_images((8, 8, 1), **{"width": 4, "latent_dim": 4, **sizes, **own})


def data_for(model, kind: str | None = None):
    """A dataset batch for a model, with labels if it has classes or learns from a few labels.

    It has 8 examples, or the largest smaller number that the model's minibatches share equally.
    """
    count = 8 - 8 % model.minibatches_per_step
    x, labels = (POINTS if (kind or kind_of(type(model))) == "points" else IMAGES)[:count], LABELS[:count]
    if model.takes_few_labels:
        return {"images": x, "labelled": x[::-1], "labels": labels[::-1]}
    return (x, labels) if model.classes else x
