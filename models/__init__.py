"""Index of the variants: one entry for each.

`VARIANTS` maps each `--model` name to the name of its class, and `PAPERS` maps it to the paper. The `--model` name is
also the name of the variant's file. Modules are imported on first use.
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
    "feature_matching": ("FeatureMatchingGAN", "Improved Techniques for Training GANs, Salimans et al., 2016"),
    "progressive_gan": ("ProgressiveGAN", "Progressive Growing of GANs, Karras et al., 2018"),
    "unrolled_gan": ("UnrolledGAN", "Unrolled Generative Adversarial Networks, Metz et al., 2017"),
    "gradient_regularized_gan": (
        "GradientRegularizedGAN",
        "Gradient descent GAN optimization is locally stable, Nagarajan and Kolter, 2017",
    ),
    "consensus_gan": ("ConsensusGAN", "The Numerics of GANs, Mescheder et al., 2017"),
    "primal_dual_gan": ("PrimalDualGAN", "Training GANs via Primal-Dual Subgradient Methods, Chen et al., 2018"),
    "r1_gan": ("R1GAN", "Which Training Methods for GANs Do Actually Converge? (R1), Mescheder et al., 2018"),
    "r2_gan": ("R2GAN", "Which Training Methods for GANs Do Actually Converge? (R2), Mescheder et al., 2018"),
    "roth_gan": ("RothGAN", "Stabilizing Training of GANs through Regularization, Roth et al., 2017"),
    "r3gan": ("R3GAN", "The GAN is dead; long live the GAN!, Huang et al., 2024"),
    "gan_gp": ("GANGP", "Many Paths to Equilibrium, Fedus et al., 2018"),
    "kl_wgan": ("KLWGAN", "Bridging the Gap Between f-GANs and Wasserstein GANs, Song and Ermon, 2020"),
    "ebgan": ("EBGAN", "Energy-based Generative Adversarial Network, Zhao et al., 2017"),
    "vae": ("VAE", "Auto-Encoding Variational Bayes, Kingma and Welling, 2014"),
    "aae": ("AAE", "Adversarial Autoencoders, Makhzani et al., 2016"),
    "bigan": ("BiGAN", "Adversarial Feature Learning, Donahue et al., 2017"),
    "info_gan": ("InfoGAN", "InfoGAN: Interpretable Representation Learning, Chen et al., 2016"),
    "cat_gan": ("CatGAN", "Unsupervised and Semi-supervised Learning with Categorical GANs, Springenberg, 2016"),
    "semi_supervised_gan": ("SemiSupervisedGAN", "Improved Techniques for Training GANs, Salimans et al., 2016"),
    "lapgan": (
        "LAPGAN",
        "Deep Generative Image Models using a Laplacian Pyramid of Adversarial Networks, Denton et al., 2015",
    ),
    "gran": ("GRAN", "Generating Images with Recurrent Adversarial Networks, Im et al., 2016"),
    "conditional_gan": ("ConditionalGAN", "Conditional Generative Adversarial Nets, Mirza and Osindero, 2014"),
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
