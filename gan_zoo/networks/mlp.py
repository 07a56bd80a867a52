"""Multilayer perceptrons with ReLU units, for points and small images."""

import math

import keras

from gan_zoo.networks import conditions
from gan_zoo.networks.building_blocks import kernel, normalization, scored
from gan_zoo.nn.precision import interface_dtype


def generator(
    shape: tuple[int, ...],
    latent_dim: int,
    width: int,
    depth: int = 2,
    classes: int | None = None,
    condition: str | None = None,
    norm: str | None = None,
) -> keras.Model:
    """A network that maps z, [B, latent_dim], to points, [B, D] for shape (D,), or to images, [B, H, W, C] in [-1, 1].

    With `classes` it maps (z, y): see `conditions.latents` and, for the condition "every_layer", `conditions.joiner`.
    With `norm` "batch", batch normalization comes before each activation of the hidden layers, as in the MNIST
    generator of Salimans et al. (2016); None is no normalization.
    """
    latents, x = conditions.latents(latent_dim, classes, condition)
    join, _ = conditions.joiner(latents[1] if classes else None, classes, condition)
    for _ in range(depth):
        x = keras.layers.Dense(width)(join(x))
        normalize = normalization(norm or "none", rank=2)
        x = keras.layers.ReLU()(x if normalize is None else normalize(x))
    x = keras.layers.Dense(math.prod(shape), dtype=interface_dtype())(join(x))
    if len(shape) > 1:
        x = keras.layers.Activation("tanh", dtype=interface_dtype())(x)
        x = keras.layers.Reshape(shape, dtype=interface_dtype())(x)
    return keras.Model(latents, x, name="generator")


def discriminator(
    shape: tuple[int, ...],
    width: int,
    norm: str = "none",
    depth: int = 2,
    outputs: int = 1,
    classes: int | None = None,
    condition: str | None = "projection",
    minibatch_discrimination: bool = False,
    name: str = "discriminator",
) -> keras.Model:
    """A network that maps points or images, [B, *shape], to raw scores, [B, outputs].

    Args:
        shape: (D,) or (H, W, C).
        width: Number of units in every hidden layer.
        norm: "none", "batch", "layer" or "spectral". Batch and layer normalization come before the activations.
        depth: Number of hidden layers.
        outputs: Number of scores for each example.
        classes: Number of classes, for a network that maps (examples, y); None for no labels.
        condition: "projection", "concat" or "every_layer": see `conditions`.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        name: Name of the network.
    """
    examples, x, labels = conditions.examples(shape, classes, condition, flat=True)
    join, labels = conditions.joiner(labels, classes, condition)
    for index in range(depth):
        x = kernel(keras.layers.Dense(width), norm)(join(x))
        normalize = normalization(norm, rank=2)
        last = index == depth - 1 and condition != "every_layer"
        x = keras.layers.ReLU(name="features" if last else None)(x if normalize is None else normalize(x))
    if not depth or condition == "every_layer":
        x = keras.layers.Identity(name="features")(join(x))
    scores = keras.layers.Dense(outputs, dtype=interface_dtype())(scored(x, minibatch_discrimination))
    return keras.Model(examples, conditions.project(scores, x, labels, classes, norm), name=name)


def perceptron(inputs: int, outputs: int, width: int, depth: int = 2, name: str = "mlp") -> keras.Model:
    """A network that maps vectors, [B, inputs], to [B, outputs].

    It has `depth` layers of `width` ReLU units and a linear output layer.
    """
    x = vectors = keras.Input((inputs,), dtype=interface_dtype())
    for _ in range(depth):
        x = keras.layers.Dense(width, "relu")(x)
    return keras.Model(vectors, keras.layers.Dense(outputs, dtype=interface_dtype())(x), name=name)
