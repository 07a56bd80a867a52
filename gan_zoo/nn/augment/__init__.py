"""Augmentations of the discriminator's input: DiffAugment and ADA, the resampling of images, the text that names them.

Modules of this folder import only each other, and `gan_zoo.nn`, `gan_zoo.replicas` and `gan_zoo.util`.
"""
