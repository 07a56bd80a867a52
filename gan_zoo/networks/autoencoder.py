"""Autoencoders that replace the discriminator: networks that map examples to a pair (reconstruction, code).

The reconstruction has the shape of the examples. The code is the output of the encoder without an activation, from the
layer "features". With `classes` the input is a pair (examples, y). The label is then joined to the example as in
`conditions.examples` with "concat", and the reconstruction is that of the example alone.
"""

import math

import keras

from gan_zoo.networks import conditions, nhwc
from gan_zoo.networks.building_blocks import doublings, kernel, normalization
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

_MAX_FACTOR = 8  # the deepest layer has at most 8 times the channels of the shallowest


def perceptron(
    shape: tuple[int, ...], width: int, norm: str = "none", depth: int = 2, classes: int | None = None
) -> keras.Model:
    """An autoencoder of dense layers for points, [B, D] for shape (D,), or images, [B, H, W, C] in [-1, 1].

    The encoder and the decoder have `depth` layers of `width` ReLU units each. The code has `width` / 4 numbers, but at
    least 2. `norm` is "none", "batch", "layer" or "spectral".
    """

    def hidden(x):
        x = kernel(keras.layers.Dense(width), norm)(x)
        normalize = normalization(norm, rank=2)
        return keras.layers.ReLU()(x if normalize is None else normalize(x))

    examples, x, _ = conditions.examples(shape, classes, "concat", flat=True)
    for _ in range(depth):
        x = hidden(x)
    x = code = keras.layers.Identity(name="features")(kernel(keras.layers.Dense(max(2, width // 4)), norm)(x))
    for _ in range(depth):
        x = hidden(x)
    x = keras.layers.Dense(math.prod(shape), dtype=interface_dtype())(x)
    if len(shape) > 1:
        x = keras.layers.Activation("tanh", dtype=interface_dtype())(x)
        x = keras.layers.Reshape(shape, dtype=interface_dtype())(x)
    return keras.Model(examples, [x, code], name="discriminator")


def convolutional(
    shape: tuple[int, int, int], width: int, norm: str = "none", classes: int | None = None
) -> keras.Model:
    """An autoencoder of 4x4 convolutions with stride 2, for images, [B, H, W, C] in [-1, 1].

    The encoder halves the side until it is from 7 to 12, but at least once. The decoder doubles it with transposed
    convolutions. There are `width` channels at half the images' side, twice as many at a quarter, and so on. For
    example, with width 64 and 64 x 64 images the encoder has 64, 128 and 256 channels, and the decoder 128, 64 and C.
    As in DCGAN, the encoder has LeakyReLU(0.2), the decoder has ReLU, and weights start from N(0, 0.02). `norm` is
    "none"; "batch" or "layer", on all layers but the first and the last; or "spectral", on all layers but the last.
    """
    base, times = doublings(shape)
    halvings = max(1, times - (base < 7))

    def channels(k):
        return width * min(2 ** (k - 1), _MAX_FACTOR)

    def weights():
        return keras.initializers.RandomNormal(0.0, 0.02)

    def normalized(layer, size, x, norm):
        normalize = normalization(norm)
        make = layer(size, 4, 2, "same", use_bias=normalize is None, kernel_initializer=weights())
        x = kernel(make, norm)(x)
        return x if normalize is None else normalize(x)

    images, x, _ = conditions.examples(shape, classes, "concat")
    for k in range(1, halvings + 1):
        x = layers.LeakyReLU(0.2)(x) if k > 1 else x
        x = normalized(nhwc.Conv2D, channels(k), x, norm if k > 1 or norm == "spectral" else "none")
    x = code = keras.layers.Identity(name="features")(x)
    for k in range(halvings - 1, 0, -1):
        x = normalized(nhwc.Conv2DTranspose, channels(k), keras.layers.ReLU()(x), norm)
    x = keras.layers.ReLU()(x)
    x = nhwc.Conv2DTranspose(shape[-1], 4, 2, "same", kernel_initializer=weights())(x)
    reconstruction = keras.layers.Activation("tanh", dtype=interface_dtype())(x)
    return keras.Model(images, [reconstruction, code], name="discriminator")
