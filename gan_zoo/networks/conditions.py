"""How networks use labels: joined to the latents, to the examples or to every layer, or projected on the features.

A conditional network takes a pair, (z, y) or (x, y). The labels y are int32, [B], from 0 to the number of classes - 1.
They are neither [B, 1] nor one-hot. The output for a number outside of this range is not defined.
"""

import keras

from gan_zoo.networks import nhwc
from gan_zoo.networks.building_blocks import inputs
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

LEAST_LATENT_LABEL = 16
"""Minimum length of the vector that stands for a label and is joined to z."""
EXAMPLE_LABEL = 8
"""Length of the vector that stands for a label and is joined to an example."""
_LATENT_LABEL_STDDEV = 0.1
"""Standard deviation of the generator's table of labels at the start of training.

From N(0, 1) the labels dominate the first layer, whose weights for them grow from step to step while those for z do
not. Each class then collapses to nearly one sample. On the digits (mlp, width 128, 3000 steps) the standard deviation
of pixels within a class, relative to that of real digits, was 0.12, 0.17 and 0.24 for dcgan, ragan and hinge_gan with
N(0, 1), and 0.52, 0.63 and 0.59 with N(0, 0.1^2).
"""


def labels_input():
    """A network's symbolic input for labels, [B]."""
    return keras.Input((), dtype="int32", name="labels")


def latents(latent_dim: int, classes: int | None, condition: str | None = None):
    """A generator's symbolic input, z or (z, y), and the input of its first layer.

    The input of the first layer is z, or z joined with a vector for the label. This vector is a row of a learned table.
    It has as many numbers as z, but at least 16. Mirza & Osindero (2014) instead join the outputs of one layer for z
    and one for y.

    Networks with batch normalization need another first layer: see `dcgan.generator`. With the condition "every_layer"
    the input of the first layer is z alone: see `joiner`.
    """
    z = inputs((latent_dim,))
    if classes is None:
        return z, z
    y = labels_input()
    if condition == "every_layer":
        return (z, y), z
    return (z, y), keras.layers.Concatenate()(
        [z, table(classes, max(latent_dim, LEAST_LATENT_LABEL), _LATENT_LABEL_STDDEV)(y)]
    )


def examples(shape: tuple[int, ...], classes: int | None, condition: str | None, flat: bool = False):
    """A discriminator's symbolic input, x or (x, y), the input of its first layer, and y if `joiner` needs it.

    With the condition "concat" a label becomes a vector of 8 numbers, a row of a learned table that starts from
    N(0, 1). A vector is joined with these numbers, and an image with 8 constant channels. Spectral normalization does
    not change the table, because it bounds the slope of the score as a function of the image alone. Mirza & Osindero
    (2014) instead join the outputs of one layer for x and one for y.

    Args:
        shape: Shape of one example, (D,) or (H, W, C).
        classes: Number of classes; None for no labels.
        condition: "projection", "concat" or "every_layer".
        flat: Whether the first layer takes images as vectors.
    """
    x = seen = inputs(shape)
    if flat and len(shape) > 1:
        seen = nhwc.Flatten()(x)
    if classes is None:
        return x, seen, None
    y = labels_input()
    if condition != "concat":
        return (x, y), seen, y
    label = table(classes, EXAMPLE_LABEL)(y)
    if len(seen.shape) > 2:
        label = nhwc.UpSampling2D(shape[:2])(keras.layers.Reshape((1, 1, EXAMPLE_LABEL))(label))
    return (x, y), keras.layers.Concatenate()([seen, label]), None


def joiner(labels, classes: int | None, condition: str | None):
    """Returns a function that joins labels to the input of a layer, and the labels that `project` needs.

    With the condition "every_layer" the function maps the input of a layer, [B, F] or [B, H, W, F], to that input and
    the one-hot label, [B, F + K] or, as K constant maps, [B, H, W, F + K]. This is how the authors of DCGAN condition
    their networks for MNIST on labels. With any other condition the function changes nothing.

    Args:
        labels: y, [B], or None.
        classes: K.
        condition: "projection", "concat" or "every_layer".

    References:
        Radford et al., 2016, https://github.com/Newmu/dcgan_code
    """
    if labels is None or condition != "every_layer":
        return (lambda x: x), labels
    one_hot = layers.OneHot(classes)(labels)

    def join(x):
        label = one_hot
        if len(x.shape) > 2:
            label = nhwc.UpSampling2D(x.shape[1:3])(keras.layers.Reshape((1, 1, classes))(one_hot))
        return keras.layers.Concatenate()([x, label])

    return join, None


def project(scores, features, labels, classes: int | None, norm: str):
    """scores + <V y, features>: the projection discriminator of Miyato & Koyama (2018), equation 3.

    Args:
        scores: psi(features), [B, outputs].
        features: phi(x), [B, F], what the last layer takes.
        labels: y, [B]; None returns the scores unchanged.
        classes: Number of classes, the rows of V.
        norm: With "spectral" V is also divided by its largest singular value, as in the authors' code.

    If there are several outputs, each has its own V. Spectral normalization treats them as one matrix.

    References:
        Miyato & Koyama, 2018, https://arxiv.org/abs/1802.05637
        Authors' code, https://github.com/pfnet-research/sngan_projection
    """
    if labels is None:
        return scores
    outputs, size, dtype = scores.shape[-1], features.shape[-1], interface_dtype()
    table = layers.Embedding(
        classes, outputs * size, embeddings_initializer="glorot_uniform", dtype=dtype, name="projection"
    )
    if norm == "spectral":
        table = layers.SpectralNormalization(table, dtype=dtype)
    rows = keras.layers.Reshape((outputs, size), dtype=dtype)(table(labels))
    projections = keras.layers.Dot(axes=(2, 1), dtype=dtype)([rows, features])
    return keras.layers.Add(dtype=dtype)([scores, projections])


def table(classes: int, size: int, stddev: float = 1.0) -> layers.Embedding:
    """A layer that maps labels, [B], to rows of a learned table, [B, size], which starts from N(0, stddev^2)."""
    return layers.Embedding(classes, size, embeddings_initializer=keras.initializers.RandomNormal(0.0, stddev))
