"""What networks and models are made of: layers, convolution, optimizers, precision, saving by arguments.

Imports `util` and `replicas`.
"""
