"""Discriminators of pairs (x, z): an example and a latent vector.

As in the network for MNIST of Donahue et al. (2017), the first layers see x alone. From then on, each hidden layer
adds a linear map of z to that of the layer before it:

    h_0 = act(trunk(x)),  h_k = act(norm(A_k h_k-1 + B_k z)),  score = a h_K

with act = LeakyReLU(0.2). So every layer can compare x with z. The first layers are not normalized.
"""

import keras

from gan_zoo.networks import nhwc
from gan_zoo.networks.building_blocks import inputs, kernel, normalization, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

WIDER = 8
"""The joint layers of convolutional networks have so many times the width of the networks."""


def perceptron(
    shape: tuple[int, ...],
    latent_dim: int,
    width: int,
    norm: str = "none",
    depth: int = 2,
    minibatch_discrimination: bool = False,
) -> keras.Model:
    """A joint network of dense layers: one of `width` units for x alone, and the others, at least one, for x and z.

    Args:
        shape: Shape of one example, (D,) or (H, W, C).
        latent_dim: Z.
        width: Number of units in every hidden layer; the authors' network has 1024.
        norm: "none", "batch", "layer" or "spectral".
        depth: Number of hidden layers; the authors' network has 2.
        minibatch_discrimination: As for `discriminator`.
    """
    x = inputs(shape)
    trunk = keras.Model(x, kernel(keras.layers.Dense(width), norm)(nhwc.Flatten()(x) if len(shape) > 1 else x))
    count = max(1, depth - 1)
    return discriminator(trunk, shape, latent_dim, norm, count, minibatch_discrimination=minibatch_discrimination)


def discriminator(
    trunk: keras.Model,
    shape: tuple[int, ...],
    latent_dim: int,
    norm: str = "none",
    count: int = 2,
    minibatch_discrimination: bool = False,
) -> keras.Model:
    """A network that maps pairs (x, z), [B, *shape] and [B, latent_dim], to raw scores, [B, 1].

    Args:
        trunk: Network that maps examples to [B, units], without an activation at its end. The joint layers have as many
            units.
        shape: Shape of one example, (D,) or (H, W, C).
        latent_dim: Z.
        norm: Normalization of the joint layers: "none", "batch", "layer" or "spectral".
        count: K, the number of joint layers.
        minibatch_discrimination: Whether the last layer takes h_K through `MinibatchDiscrimination`.
    """
    x, z = inputs(shape), inputs((latent_dim,))
    h = trunk(x)
    units = h.shape[-1]
    h = layers.LeakyReLU(0.2)(h)
    for index in range(count):
        from_z = kernel(keras.layers.Dense(units, use_bias=False), norm)
        h = keras.layers.Add()([kernel(keras.layers.Dense(units), norm)(h), from_z(z)])
        normalize = normalization(norm, rank=2)
        h = h if normalize is None else normalize(h)
        h = layers.LeakyReLU(0.2, name="features" if index == count - 1 else None)(h)
    scores = keras.layers.Dense(1, dtype=interface_dtype())(scored(h, minibatch_discrimination))
    return keras.Model((x, z), scores, name="discriminator")
