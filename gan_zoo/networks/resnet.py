"""The residual networks of WGAN-GP's CIFAR-10 experiment.

Gulrajani et al. (2017), Appendix F, and the authors' gan_cifar_resnet.py: constant width (128 there), 3x3 convolutions,
nearest-neighbour up- and average-pool downsampling, batch normalization in the generator only, He initialization inside
the residual branches. A side of 32 gives the published networks: three blocks that double; two that halve and two that
keep the side.
"""

import keras

from gan_zoo import layers
from gan_zoo.networks import doublings, inputs, kernel, nhwc, normalization
from gan_zoo.precision import interface_dtype


def generator(shape: tuple[int, int, int], latent_dim: int, width: int) -> keras.Model:
    """Maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1]."""
    base, times = doublings(shape)
    z = inputs((latent_dim,))
    x = keras.layers.Dense(base * base * width)(z)
    x = keras.layers.Reshape((base, base, width))(x)
    for _ in range(times):
        shortcut = nhwc.Conv2D(width, 1)(nhwc.UpSampling2D(2)(x))
        y = keras.layers.ReLU()(layers.BatchNormalization()(x))
        y = nhwc.UpSampling2D(2)(y)
        y = nhwc.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_uniform")(y)
        y = keras.layers.ReLU()(layers.BatchNormalization()(y))
        y = nhwc.Conv2D(width, 3, padding="same", kernel_initializer="he_uniform")(y)
        x = keras.layers.Add()([shortcut, y])
    x = keras.layers.ReLU()(layers.BatchNormalization()(x))
    x = nhwc.Conv2D(shape[-1], 3, padding="same")(x)
    return keras.Model(z, keras.layers.Activation("tanh", dtype=interface_dtype())(x), name="generator")


def discriminator(shape: tuple[int, int, int], width: int, norm: str = "none") -> keras.Model:
    """Maps images, [B, H, W, C], to raw scores, [B, 1].

    Args:
        shape: (H, W, C).
        width: Channels of every layer.
        norm: "none" as in the authors' runs; "batch" or "layer", before each activation but the last; or "spectral",
            every kernel divided by its spectral norm (Miyato et al., 2018).
    """
    _, times = doublings(shape)

    def conv(x, size=3, initializer="he_uniform"):
        return kernel(nhwc.Conv2D(width, size, padding="same", kernel_initializer=initializer), norm)(x)

    def activate(x):
        normalize = normalization(norm)
        return keras.layers.ReLU()(x if normalize is None else normalize(x))

    def pool(x):
        return nhwc.AveragePooling2D(2)(x)

    # The first block sees the images themselves, which are neither normalized nor rectified.
    images = inputs(shape)
    x = pool(conv(activate(conv(images))))
    x = keras.layers.Add()([conv(pool(images), 1, "glorot_uniform"), x])
    for halve in [True] * (times - 2) + [False, False]:
        y = conv(activate(conv(activate(x))))
        shortcut = pool(conv(x, 1, "glorot_uniform")) if halve else x
        x = keras.layers.Add()([shortcut, pool(y) if halve else y])
    x = nhwc.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    score = kernel(keras.layers.Dense(1, dtype=interface_dtype()), norm)(x)
    return keras.Model(images, score, name="discriminator")
