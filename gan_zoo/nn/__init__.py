"""Building blocks of networks and models: layers, convolution, optimizers, precision, saving by arguments.

Imports `util` and `replicas`.
"""
