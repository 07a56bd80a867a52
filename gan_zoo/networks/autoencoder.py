"""Autoencoders in the discriminator's place: networks that map their input to a pair (reconstruction, code).

The reconstruction has the examples' shape; the code is what the encoder hands to the decoder, before its activation. It
comes from the layer "features". With `classes` the input is a pair (examples, y), the label joined to the example as
`conditions.examples` does with "concat", and the reconstruction that of the example.
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
    """A perceptron for points, [B, D] for shape (D,), or images, [B, H, W, C] in [-1, 1].

    `depth` layers of `width` ReLU units lead to a code of `width` / 4 numbers, two at least, and as many back. `norm`
    is "none", "batch", "layer" or "spectral".
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
    """Strided 4x4 convolutions down to 8 x 8 (or 7 x 7) positions, but at least once, and transposed ones back.

    `width` channels at half the images' side, twice as many at a quarter, and so on: width 64 gives, for 64 x 64
    images, 64, 128, 256 channels, and back 128, 64, C. LeakyReLU(0.2) in the encoder, ReLU in the decoder, and weights
    from N(0, 0.02), as in DCGAN. `norm` is "none", or "batch", "layer" or "spectral" on all layers but the first and
    the last.
    """
    base, times = doublings(shape)
    halvings = max(1, times - (base == 4))

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
