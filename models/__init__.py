"""The zoo's index: one line a variant.

`VARIANTS` maps the name that `--model` takes, which is the name of the variant's file, to the name of its class, and
`PAPERS` to its paper.
Modules are imported on first use.
"""

import importlib

_INDEX = {
    "vanilla_gan": ("VanillaGAN", "Generative Adversarial Networks, Goodfellow et al., 2014"),
    "dcgan": ("DCGAN", "Unsupervised Representation Learning with Deep Convolutional GANs, Radford et al., 2016"),
    "lsgan": ("LSGAN", "Least Squares Generative Adversarial Networks, Mao et al., 2017"),
    "wgan": ("WGAN", "Wasserstein GAN, Arjovsky et al., 2017"),
    "wgan_gp": ("WGANGP", "Improved Training of Wasserstein GANs, Gulrajani et al., 2017"),
    "dragan": ("DRAGAN", "On Convergence and Stability of GANs, Kodali et al., 2017"),
    "rgan": ("RGAN", "The relativistic discriminator (paired), Jolicoeur-Martineau, 2019"),
    "ragan": ("RaGAN", "The relativistic discriminator (average), Jolicoeur-Martineau, 2019"),
    "hinge_gan": ("HingeGAN", "Geometric GAN, Lim and Ye, 2017"),
}

VARIANTS = {name: class_name for name, (class_name, _) in _INDEX.items()}
PAPERS = {name: paper for name, (_, paper) in _INDEX.items()}

__all__ = [*VARIANTS.values(), "VARIANTS", "PAPERS"]

_FILES = {class_name: file for file, class_name in VARIANTS.items()}


def __getattr__(name: str):
    if name in _FILES:
        return getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
