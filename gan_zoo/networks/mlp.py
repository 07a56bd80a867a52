"""Multilayer perceptrons with ReLU units, for points and small images."""

import math

import keras

from gan_zoo.networks import inputs, kernel, nhwc, normalization
from gan_zoo.precision import interface_dtype


def generator(shape: tuple[int, ...], latent_dim: int, width: int, depth: int = 2) -> keras.Model:
    """Maps z, [B, latent_dim], to points, [B, D] for shape (D,), or to images, [B, H, W, C] in [-1, 1]."""
    z = x = inputs((latent_dim,))
    for _ in range(depth):
        x = keras.layers.Dense(width, "relu")(x)
    x = keras.layers.Dense(math.prod(shape), dtype=interface_dtype())(x)
    if len(shape) > 1:
        x = keras.layers.Activation("tanh", dtype=interface_dtype())(x)
        x = keras.layers.Reshape(shape, dtype=interface_dtype())(x)
    return keras.Model(z, x, name="generator")


def discriminator(shape: tuple[int, ...], width: int, norm: str = "none", depth: int = 2) -> keras.Model:
    """Maps points or images, [B, *shape], to raw scores, [B, 1].

    `norm` is "none", "batch", "layer" or "spectral"; batch and layer normalization lie between a layer and its
    activation.
    """
    x = examples = inputs(shape)
    if len(shape) > 1:
        x = nhwc.Flatten()(x)
    for _ in range(depth):
        x = kernel(keras.layers.Dense(width), norm)(x)
        normalize = normalization(norm, rank=2)
        x = keras.layers.ReLU()(x if normalize is None else normalize(x))
    return keras.Model(examples, keras.layers.Dense(1, dtype=interface_dtype())(x), name="discriminator")
