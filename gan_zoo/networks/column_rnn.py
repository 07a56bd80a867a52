"""A recurrent generator that writes an image column by column, as in the MNIST experiment of unrolled GANs.

The generator follows figure 3 of Metz et al. (2017). A dense layer with ReLU computes the initial state of an LSTM from
z. The LSTM takes one step for each column, from left to right. A dense layer with tanh computes the column from the
LSTM's output. The LSTM has no input, so z affects a column through the state alone. The bias of the forget gates starts
at 1, and all kernels use Glorot's initializer.

The discriminator takes the whole image: three strided convolutions with LeakyReLU(0.3) and a linear output.

The paper does not specify some details. In this module, the LSTM's output h and its cell c start with the same value,
convolutions are 3x3, and `norm` comes before the activation of all convolutions but the first.
"""

import keras

from gan_zoo.networks import conditions, nhwc
from gan_zoo.networks.building_blocks import kernel, normalization, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype


def generator(shape: tuple[int, int, int], latent_dim: int, width: int, classes: int | None = None) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1], of any shape.

    `width` is the number of LSTM units. With `classes` it maps (z, y): see `conditions.latents`.
    """
    height, columns, channels = shape
    latents, z = conditions.latents(latent_dim, classes)
    state = keras.layers.Dense(width, "relu")(z)
    nothing = keras.layers.RepeatVector(columns)(z[:, :0])
    # Unrolled, because XLA does not finish compiling second derivatives of a loop.
    lstm = keras.layers.LSTM(
        width, return_sequences=True, unroll=True, use_cudnn=False, recurrent_initializer="glorot_uniform"
    )
    x = lstm(nothing, initial_state=[state, state])
    x = keras.layers.Dense(height * channels, "tanh", dtype=interface_dtype())(x)
    x = keras.layers.Reshape((columns, height, channels), dtype=interface_dtype())(x)
    return keras.Model(latents, keras.layers.Permute((2, 1, 3), dtype=interface_dtype())(x), name="generator")


def discriminator(
    shape: tuple[int, int, int],
    width: int,
    norm: str = "batch",
    outputs: int = 1,
    classes: int | None = None,
    condition: str | None = "projection",
    minibatch_discrimination: bool = False,
    name: str = "discriminator",
) -> keras.Model:
    """A network that maps images, [B, H, W, C], to raw scores, [B, outputs].

    Args:
        shape: (H, W, C).
        width: The convolutions have width / 16, width / 8 and width / 8 channels: 16, 32 and 32 at width 256.
        norm: "none", "batch", "layer" or "spectral".
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "projection" or "concat": see `conditions`.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        name: Name of the network.
    """
    images, x, labels = conditions.examples(shape, classes, condition)
    for index, share in enumerate((16, 8, 8)):
        # The first layer is not normalized: it would lose the images' own mean and scale.
        normalize = normalization(norm) if index else None
        conv = nhwc.Conv2D(max(1, width // share), 3, 2, "same", use_bias=normalize is None)
        x = kernel(conv, norm)(x)
        if normalize is not None:
            x = normalize(x)
        x = layers.LeakyReLU(0.3)(x)
    x = nhwc.Flatten(name="features")(x)
    scores = keras.layers.Dense(outputs, dtype=interface_dtype())(scored(x, minibatch_discrimination))
    return keras.Model(images, conditions.project(scores, x, labels, classes, norm), name=name)
