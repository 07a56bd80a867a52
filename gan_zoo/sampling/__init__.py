"""Samples of trained models: released models by name, samples and reconstructions in files, and refinement by D.

Imports the packages of models, `run_folder`, `releases` and `callbacks`, but not `export` and `training`.
"""
