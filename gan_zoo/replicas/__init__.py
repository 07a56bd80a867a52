"""Training on several replicas: means over the whole batch, random streams, steps, worker processes.

Imports `util`.
"""
