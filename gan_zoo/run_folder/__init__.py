"""Run folders: `run.json`, checkpoints, loss curves, TensorBoard files, and the GAN of a run.

Imports `util`, `nn` and `registry`; `callbacks`, `sampling`, `export` and `training` import it.
"""
