"""Samples of trained GANs: released models by name, samples in files, refinement by the discriminator.

Imports all that models are made of, `run_folder`, `releases` and `callbacks`; not `export` and `training`.
"""
