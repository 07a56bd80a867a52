"""The zoo's index: one line a variant.

`VARIANTS` maps the name that `--model` takes, which is the name of the variant's file, to the name of its class.
Modules are imported on first use.
"""

import importlib

VARIANTS = {
    "vanilla_gan": "VanillaGAN",
    "dcgan": "DCGAN",
    "lsgan": "LSGAN",
    "wgan": "WGAN",
    "wgan_gp": "WGANGP",
    "dragan": "DRAGAN",
    "rgan": "RGAN",
    "ragan": "RaGAN",
    "hinge_gan": "HingeGAN",
}

__all__ = [*VARIANTS.values(), "VARIANTS"]

_FILES = {class_name: file for file, class_name in VARIANTS.items()}


def __getattr__(name: str):
    if name in _FILES:
        return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
