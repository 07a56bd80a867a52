"""Schedules of training: the balance of turns, the stages of growing networks, learning rates.

Imports `util`, `replicas`, `nn` and `networks`.
"""
