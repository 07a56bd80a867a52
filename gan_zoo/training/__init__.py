"""From the flags of `train.py` to a trained, exported generator: configuration, devices, the run.

May import every package but `compare` and `dynamics`.
"""
