"""The convolutional networks of DCGAN.

They follow Radford et al. (2016), figure 1 and Section 3: strided 5x5 convolutions, batch normalization in both
networks except at their outputs and the discriminator's input, ReLU in the generator and LeakyReLU(0.2) in the
discriminator, and weights from N(0, 0.02). The authors' 64x64 network has width 128.
"""

import keras

from gan_zoo.networks import conditions, nhwc
from gan_zoo.networks.building_blocks import doublings, kernel, normalization
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

_MAX_FACTOR = 8  # the paper's deepest layer has 8 times the channels of its shallowest


def _weights(mean: float = 0.0):
    return keras.initializers.RandomNormal(mean, 0.02)


def _channels(width: int, halvings: int) -> int:
    """Number of channels at the images' side divided by 2^halvings. At half the images' side it is `width`."""
    return width * min(2 ** (halvings - 1), _MAX_FACTOR)


def generator(shape: tuple[int, int, int], latent_dim: int, width: int, classes: int | None = None) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1].

    With `classes` it maps (z, y): see `conditions.latents`.
    """
    base, times = doublings(shape)

    def norm_relu(x):
        x = layers.BatchNormalization(gamma_initializer=_weights(1.0))(x)
        return keras.layers.ReLU()(x)

    latents, x = conditions.latents(latent_dim, classes)
    channels = _channels(width, times)
    x = keras.layers.Dense(base * base * channels, use_bias=False, kernel_initializer=_weights())(x)
    x = norm_relu(keras.layers.Reshape((base, base, channels))(x))
    for halvings in range(times - 1, 0, -1):
        x = nhwc.Conv2DTranspose(
            _channels(width, halvings), 5, 2, "same", use_bias=False, kernel_initializer=_weights()
        )(x)
        x = norm_relu(x)
    x = nhwc.Conv2DTranspose(shape[-1], 5, 2, "same", kernel_initializer=_weights())(x)
    return keras.Model(latents, keras.layers.Activation("tanh", dtype=interface_dtype())(x), name="generator")


def discriminator(
    shape: tuple[int, int, int],
    width: int,
    norm: str = "batch",
    outputs: int = 1,
    classes: int | None = None,
    condition: str | None = "projection",
    name: str = "discriminator",
) -> keras.Model:
    """A network that maps images, [B, H, W, C], to raw scores, [B, outputs].

    Args:
        shape: (H, W, C).
        width: Channels at half the images' side.
        norm: "none", "batch", "layer" or "spectral".
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "projection" or "concat": see `conditions`.
        name: Name of the network.
    """
    _, times = doublings(shape)
    images, x, labels = conditions.examples(shape, classes, condition)
    for halvings in range(1, times + 1):
        # The first layer is not normalized: it would lose the images' own mean and scale (Section 3).
        normalize = normalization(norm) if halvings > 1 else None
        conv = nhwc.Conv2D(
            _channels(width, halvings), 5, 2, "same", use_bias=normalize is None, kernel_initializer=_weights()
        )
        x = kernel(conv, norm)(x)
        if normalize is not None:
            x = normalize(x)
        x = layers.LeakyReLU(0.2)(x)
    x = nhwc.Flatten(name="features")(x)
    scores = keras.layers.Dense(outputs, kernel_initializer=_weights(), dtype=interface_dtype())(x)
    return keras.Model(images, conditions.project(scores, x, labels, classes, norm), name=name)
