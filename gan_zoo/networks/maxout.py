"""Perceptrons with maxout discriminators, as in the MNIST experiments of the first GAN papers.

The networks follow Goodfellow et al. (2014) without labels, and Mirza & Osindero (2014), Section 4.1, with labels. With
`width` 240 they have the published sizes:

    G:  z -> 1200 ReLU -> 1200 ReLU -> image             with labels: (z -> 200 ReLU, y -> 1000 ReLU) -> 1200 ReLU
    D:  x -> 240 maxout of 5 -> 240 maxout of 5 -> score
        with labels: (x -> 240 maxout of 5, y -> 50 maxout of 5) -> 240 maxout of 4 -> score

A maxout unit of k is the largest of k linear functions (Goodfellow et al., 2013). The published networks have dropout
and start from uniform weights. These have no dropout, whose masks would differ between replicas, and Glorot's weights.

References:
    Goodfellow et al., 2013, Maxout networks, https://arxiv.org/abs/1302.4389
    Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
    Mirza & Osindero, 2014, https://arxiv.org/abs/1411.1784
"""

import math

import keras

from gan_zoo.networks import conditions, nhwc
from gan_zoo.networks.building_blocks import inputs, kernel, normalization, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

_WIDTH = 240
"""Width of the published networks."""


def _units(published: int, width: int) -> int:
    return max(1, round(published * width / _WIDTH))


def maxout(x, units: int, pieces: int, norm: str = "none"):
    """Returns a layer of maxout units of x, [B, F]: [B, units], each the largest of `pieces` linear functions."""
    x = kernel(keras.layers.Dense(units * pieces), norm)(x)
    normalize = normalization(norm, rank=2)
    x = keras.layers.Reshape((pieces, units))(x if normalize is None else normalize(x))
    return keras.layers.GlobalMaxPooling1D(data_format="channels_last")(x)


def generator(shape: tuple[int, ...], latent_dim: int, width: int, classes: int | None = None) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1]; with `classes` it maps (z, y).

    `width` is the number of maxout units of the discriminator; see the module.
    """
    z = latents = inputs((latent_dim,))
    if classes is None:
        x = keras.layers.Dense(_units(1200, width), "relu")(z)
    else:
        y = conditions.labels_input()
        latents = (z, y)
        of_z = keras.layers.Dense(_units(200, width), "relu")(z)
        of_y = keras.layers.Dense(_units(1000, width), "relu")(layers.OneHot(classes)(y))
        x = keras.layers.Concatenate()([of_z, of_y])
    x = keras.layers.Dense(_units(1200, width), "relu")(x)
    x = keras.layers.Dense(math.prod(shape), "tanh", dtype=interface_dtype())(x)
    return keras.Model(latents, keras.layers.Reshape(shape, dtype=interface_dtype())(x), name="generator")


def discriminator(
    shape: tuple[int, ...],
    width: int,
    norm: str = "none",
    outputs: int = 1,
    classes: int | None = None,
    condition: str | None = "projection",
    minibatch_discrimination: bool = False,
    name: str = "discriminator",
) -> keras.Model:
    """A network that maps images, [B, H, W, C], to raw scores, [B, outputs].

    Args:
        shape: (H, W, C).
        width: Number of maxout units.
        norm: "none", "batch", "layer" or "spectral". Batch and layer normalization come before the maximum.
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "concat", the published way, which joins units of y to units of x; or "projection" on the features.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        name: Name of the network.
    """
    x = examples = inputs(shape)
    labels = None
    if classes is not None:
        labels = conditions.labels_input()
        examples = (x, labels)
    x = maxout(nhwc.Flatten()(x), width, 5, norm)
    if labels is not None and condition == "concat":
        of_y = maxout(layers.OneHot(classes)(labels), _units(50, width), 5, norm)
        x = maxout(keras.layers.Concatenate()([x, of_y]), width, 4, norm)
        labels = None
    else:
        x = maxout(x, width, 5, norm)
    x = keras.layers.Identity(name="features")(x)
    scores = keras.layers.Dense(outputs, dtype=interface_dtype())(scored(x, minibatch_discrimination))
    return keras.Model(examples, conditions.project(scores, x, labels, classes, norm), name=name)
