"""Samples of trained GANs: released models by name, samples in files, and refinement by the discriminator.

Imports the packages of models, `run_folder`, `releases` and `callbacks`, but not `export` and `training`.
"""
