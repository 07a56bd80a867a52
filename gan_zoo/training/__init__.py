"""Trains and exports a generator from the flags of `train.py`: configuration, devices, the run.

May import every package except `compare` and `dynamics`.
"""
