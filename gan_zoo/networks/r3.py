"""The residual networks of R3GAN.

They follow Huang et al. (2024) and the authors' code: no normalization, no activation at the output, and a
residual block that starts as the identity. With C channels, and 2C channels in groups of 16 inside of the block,

    block(x) = x + conv1x1(act(grouped conv3x3(act(conv1x1(x))))),  act(t) = LeakyReLU(t + bias, 0.2)

    G:  z -> linear, times a learned basis of 4 x 4 or 7 x 7 images -> 2 blocks
        -> for each doubling: [conv1x1 if the width changes], binomial x 2 -> 2 blocks
        -> conv1x1 -> images
    D:  images -> conv1x1 -> 2 blocks
        -> for each halving: binomial / 2, [conv1x1 if the width changes] -> 2 blocks
        -> depthwise conv of 4 x 4 or 7 x 7 -> linear -> score

The biases inside of the blocks are the only ones. The last kernel of each block starts at 0. So both networks start
linear: G in z and D in x. All other kernels start from N(0, gain^2 / fan in). The gain is 1 outside of the blocks. In
the blocks it is that of the activation times L^(-1/4), where L is the number of blocks (Zhang et al., 2019, "fix-up").

`width` is the number of channels up to 32 pixels, and each further doubling halves it. The published sizes are 768 for
CIFAR-10 and FFHQ. With a width that is not a multiple of 8, groups have as many channels as the largest power of two
that divides 2C.

The generator joins a linear layer of the one-hot label, as long as z, to z. In D the projection is <V y, A f>, where f
are the features, A is a linear layer and V holds a row for each class. It is the whole score: no other term is added.

Images have no bound, unlike those of networks that end in tanh; they are clipped to [-1, 1] when they are written. In
half precision the blocks at 4 x 4 or 7 x 7 pixels compute in float32, as in the authors' code.

References:
    Huang et al., 2024, https://arxiv.org/abs/2501.05441
    Authors' code, https://github.com/brownvc/R3GAN
    Zhang et al., 2019, https://arxiv.org/abs/1901.09321
"""

import math

import keras

from gan_zoo.networks import conditions, nhwc
from gan_zoo.networks.building_blocks import doublings, inputs, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype, policy
from gan_zoo.nn.resampling import BinomialDownSampling2D, BinomialUpSampling2D, LearnedBasis
from gan_zoo.util.errors import UserError

_BLOCKS = 2
"""Blocks at each side."""
_GROUP = 16
"""Channels of a group of the convolutions inside of blocks."""
_WIDE_UP_TO = 32
"""The largest side with all channels."""
_SLOPE = 0.2


def widths(shape: tuple[int, int, int], width: int) -> list[int]:
    """The number of channels at each side of the networks, the smallest side first."""
    base, times = doublings(shape)
    sides = [base << k for k in range(times + 1)]
    return [max(1, width >> max(0, math.ceil(math.log2(side / _WIDE_UP_TO)))) for side in sides]


def group_size(channels: int) -> int:
    """The number of channels in a group of the inner convolution of a block with `channels` channels outside."""
    return math.gcd(2 * channels, _GROUP)


def generator(shape: tuple[int, int, int], latent_dim: int, width: int, classes: int | None = None) -> keras.Model:
    """A network that maps z, [B, latent_dim], or (z, y) to images, [B, H, W, C], which are not limited to [-1, 1]."""
    base, _ = doublings(shape)
    smallest, *larger = widths(shape, width)
    count = _BLOCKS * (1 + len(larger))
    z = latents = inputs((latent_dim,))
    x = z
    if classes is not None:
        y = conditions.labels_input()
        latents = (z, y)
        x = keras.layers.Concatenate()([z, conditions.table(classes, latent_dim, classes**-0.5)(y)])
    with policy(interface_dtype()):
        x = keras.layers.Dense(smallest, use_bias=False, kernel_initializer=_kernels())(x)
        x = _blocks(LearnedBasis(base)(x), count)
    for channels in larger:
        x = _blocks(BinomialUpSampling2D()(_with_channels(x, channels)), count)
    images = keras.layers.Activation("linear", dtype=interface_dtype())(_conv(shape[-1])(x))
    return keras.Model(latents, images, name="generator")


def discriminator(
    shape: tuple[int, int, int],
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
        width: Channels up to 32 pixels.
        norm: "none" only.
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "projection", as in the module, or "concat": see `conditions`.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        name: Name of the network.

    Raises:
        UserError: If `norm` is not "none".
    """
    if norm != "none":
        raise UserError(f"norm must be 'none' with the networks r3, whose start needs no normalization, not {norm!r}.")
    base, _ = doublings(shape)
    *larger, smallest = reversed(widths(shape, width))
    count = _BLOCKS * (1 + len(larger))
    images, x, labels = conditions.examples(shape, classes, condition)
    x = _conv(larger[0])(x)
    for channels in [*larger[1:], smallest]:
        x = _with_channels(BinomialDownSampling2D()(_blocks(x, count)), channels)
    with policy(interface_dtype()):
        x = nhwc.DepthwiseConv2D(
            base, use_bias=False, depthwise_initializer=keras.initializers.RandomNormal(0.0, 1.0 / base)
        )(_blocks(x, count))
        x = scored(nhwc.Flatten(name="features")(x), minibatch_discrimination)
        size = outputs if labels is None else smallest
        x = keras.layers.Dense(size, use_bias=False, kernel_initializer=_kernels())(x)
        scores = x if labels is None else _projection(x, labels, classes, outputs)
    return keras.Model(images, scores, name=name)


def _projection(x, labels, classes: int, outputs: int):
    """<V y, x> for x, [B, C], with V for each of the outputs: [B, outputs]."""
    size = x.shape[-1]
    rows = keras.initializers.RandomNormal(0.0, (size * classes) ** -0.5)
    table = layers.Embedding(classes, outputs * size, embeddings_initializer=rows, name="projection")
    return keras.layers.Dot(axes=(2, 1))([keras.layers.Reshape((outputs, size))(table(labels)), x])


def _blocks(x, count: int):
    """Applies the blocks of one side; `count` is the number of blocks of the whole network."""
    channels = x.shape[-1]
    gain = math.sqrt(2.0 / (1.0 + _SLOPE**2)) * count**-0.25
    for _ in range(_BLOCKS):
        y = layers.LeakyReLU(_SLOPE)(_conv(2 * channels, kernel_initializer=_kernels(gain), use_bias=True)(x))
        groups = 2 * channels // group_size(channels)
        y = _conv(2 * channels, 3, kernel_initializer=_kernels(gain), use_bias=True, padding="same", groups=groups)(y)
        y = _conv(channels, kernel_initializer="zeros")(layers.LeakyReLU(_SLOPE)(y))
        x = keras.layers.Add()([x, y])
    return x


def _with_channels(x, channels: int):
    """x with this number of channels, by a 1 x 1 convolution if it has another."""
    return x if x.shape[-1] == channels else _conv(channels)(x)


def _conv(channels: int, size: int = 1, **kwargs):
    return nhwc.Conv2D(
        channels, size, **{"padding": "same", "use_bias": False, "kernel_initializer": _kernels(), **kwargs}
    )


def _kernels(gain: float = 1.0):
    """The initializer of kernels, N(0, gain^2 / fan in)."""
    return keras.initializers.VarianceScaling(gain**2, "fan_in", "untruncated_normal")
