"""Multilayer perceptrons with ReLU units, for points and small images."""

import math

import keras

from gan_zoo.networks import kernel, normalization


def generator(shape: tuple[int, ...], latent_dim: int, width: int, depth: int = 2) -> keras.Model:
    """Maps z, [B, latent_dim], to points, [B, D] for shape (D,), or to images, [B, H, W, C] in [-1, 1]."""
    z = x = keras.Input((latent_dim,))
    for _ in range(depth):
        x = keras.layers.Dense(width, "relu")(x)
    x = keras.layers.Dense(math.prod(shape), dtype="float32")(x)
    if len(shape) > 1:
        x = keras.layers.Reshape(shape, dtype="float32")(keras.layers.Activation("tanh", dtype="float32")(x))
    return keras.Model(z, x, name="generator")


def discriminator(shape: tuple[int, ...], width: int, norm: str = "none", depth: int = 2) -> keras.Model:
    """Maps points or images, [B, *shape], to raw scores, [B, 1].

    `norm` is "none", "batch", "layer" or "spectral"; batch and layer normalization lie between a layer and its
    activation.
    """
    x = inputs = keras.Input(shape)
    if len(shape) > 1:
        x = keras.layers.Flatten()(x)
    for _ in range(depth):
        x = kernel(keras.layers.Dense(width), norm)(x)
        normalize = normalization(norm, rank=2)
        x = keras.layers.ReLU()(x if normalize is None else normalize(x))
    return keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(x), name="discriminator")
