"""Labels in the networks: joined to the latents, joined to the examples, or projected on the features.

A conditional network takes a pair, (z, y) or (x, y). The labels y are int32, [B], from 0 to the number of classes - 1:
neither [B, 1] nor one-hot. What a network makes of another number is not defined.
"""

import keras

from gan_zoo.networks import nhwc
from gan_zoo.networks.building_blocks import inputs
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

LEAST_LATENT_LABEL = 16
"""The numbers of a label that are joined to z, at least."""
EXAMPLE_LABEL = 8
"""The numbers of a label that are joined to an example."""


def labels_input():
    """A network's symbolic labels, [B]."""
    return keras.Input((), dtype="int32", name="labels")


def latents(latent_dim: int, classes: int | None):
    """A generator's symbolic input, z or (z, y), and the vector that its first layer takes, z or z joined with y's.

    A label becomes a vector from a learned table: as many numbers as z, but 16 at least, from N(0, 1) at the start, so
    that label and noise have the same share in the first layer. Differs from Mirza & Osindero (2014), who join the
    outputs of a layer for z and of one for y.
    """
    z = inputs((latent_dim,))
    if classes is None:
        return z, z
    y = labels_input()
    return (z, y), keras.layers.Concatenate()([z, _table(classes, max(latent_dim, LEAST_LATENT_LABEL))(y)])


def examples(shape: tuple[int, ...], classes: int | None, condition: str | None, flat: bool = False):
    """A discriminator's symbolic input, x or (x, y), what its first layer takes, and y if `project` is to take it.

    With the condition "concat" a label becomes a vector of 8 numbers from a learned table, which starts as N(0, 1). It
    is joined to a vector as it is, and to an image as 8 channels, each of which is constant. Spectral normalization
    does not scale the table: it bounds the slope of the score as a function of the image alone. Differs from Mirza &
    Osindero (2014), who join the outputs of a layer for x and of one for y.

    Args:
        shape: Of x without the batch, (D,) or (H, W, C).
        classes: Number of classes; None for no labels.
        condition: "projection" or "concat".
        flat: Whether the first layer takes images as vectors.
    """
    x = seen = inputs(shape)
    if flat and len(shape) > 1:
        seen = nhwc.Flatten()(x)
    if classes is None:
        return x, seen, None
    y = labels_input()
    if condition == "projection":
        return (x, y), seen, y
    label = _table(classes, EXAMPLE_LABEL)(y)
    if len(seen.shape) > 2:
        label = nhwc.UpSampling2D(shape[:2])(keras.layers.Reshape((1, 1, EXAMPLE_LABEL))(label))
    return (x, y), keras.layers.Concatenate()([seen, label]), None


def project(scores, features, labels, classes: int | None, norm: str):
    """scores + <V y, features>: the projection discriminator of Miyato & Koyama (2018), equation 3.

    Args:
        scores: psi(features), [B, outputs].
        features: phi(x), [B, F], what the last layer takes.
        labels: y, [B]; None returns the scores as they are.
        classes: Number of classes, the rows of V.
        norm: With "spectral" V is divided by its largest singular value, too, as in the authors' code.

    Each of several outputs has a V of its own; spectral normalization takes them side by side, as one matrix.

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


def _table(classes: int, size: int) -> layers.Embedding:
    return layers.Embedding(classes, size, embeddings_initializer=keras.initializers.RandomNormal(0.0, 1.0))
