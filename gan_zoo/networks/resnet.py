"""The residual networks of WGAN-GP's CIFAR-10 experiment.

They follow Gulrajani et al. (2017), Appendix F, and the authors' gan_cifar_resnet.py: constant width (128 there), 3x3
convolutions, upsampling by nearest neighbours, downsampling by average pooling, batch normalization in the generator
only, and He initialization inside the residual branches. For images of side 32 the networks are the published ones: the
generator has three blocks that double the side; the discriminator has two blocks that halve it and two that keep it.
"""

import keras

from gan_zoo.networks import conditions, nhwc, virtual
from gan_zoo.networks.building_blocks import doublings, inputs, kernel, normalization, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype
from gan_zoo.util.errors import UserError


def generator(
    shape: tuple[int, int, int],
    latent_dim: int,
    width: int,
    classes: int | None = None,
    norm: str | None = None,
    prior: str = "normal",
) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1].

    With `classes` it maps (z, y), and batch normalization has a gain and a bias for each class, as in Miyato & Koyama
    (2018), https://arxiv.org/abs/1802.05637.

    With `norm` "virtual" it has virtual batch normalization, with a reference batch from `prior`, and no labels.
    """
    base, times = doublings(shape)
    z = inputs((latent_dim,))
    labels = None if classes is None else conditions.labels_input()
    scheme = virtual.Normalization(norm, prior)
    if scheme.virtual and labels is not None:
        raise UserError(
            "g_norm='virtual' has no gains and biases for each class, by which this generator reads labels: leave "
            "g_norm out, or take network='dcgan'."
        )

    def norm_relu(x):
        if labels is None:
            return keras.layers.ReLU()(scheme.layer()(x))
        return keras.layers.ReLU()(layers.ConditionalBatchNormalization(classes)((x, labels)))

    x = keras.layers.Dense(base * base * width)(scheme.start(z))
    x = keras.layers.Reshape((base, base, width))(x)
    for _ in range(times):
        shortcut = nhwc.Conv2D(width, 1)(nhwc.UpSampling2D(2)(x))
        y = norm_relu(x)
        y = nhwc.UpSampling2D(2)(y)
        y = nhwc.Conv2D(width, 3, padding="same", use_bias=False, kernel_initializer="he_uniform")(y)
        y = norm_relu(y)
        y = nhwc.Conv2D(width, 3, padding="same", kernel_initializer="he_uniform")(y)
        x = keras.layers.Add()([shortcut, y])
    x = norm_relu(x)
    x = nhwc.Conv2D(shape[-1], 3, padding="same")(x)
    images = scheme.end(keras.layers.Activation("tanh", dtype=interface_dtype())(x))
    return keras.Model(z if labels is None else (z, labels), images, name="generator")


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
        width: Channels of every layer.
        norm: "none" as in the authors' runs; "batch" or "layer", before each activation but the last; or "spectral",
            every kernel divided by its spectral norm (Miyato et al., 2018).
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "projection" or "concat": see `conditions`.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        name: Name of the network.
    """
    _, times = doublings(shape)

    def conv(x, size=3, initializer="he_uniform"):
        return kernel(nhwc.Conv2D(width, size, padding="same", kernel_initializer=initializer), norm)(x)

    def activate(x):
        normalize = normalization(norm)
        return keras.layers.ReLU()(x if normalize is None else normalize(x))

    def pool(x):
        return nhwc.AveragePooling2D(2)(x)

    # The first block takes the images themselves, without normalization or activation.
    images, seen, labels = conditions.examples(shape, classes, condition)
    x = pool(conv(activate(conv(seen))))
    x = keras.layers.Add()([conv(pool(seen), 1, "glorot_uniform"), x])
    for halve in [True] * (times - 2) + [False, False]:
        y = conv(activate(conv(activate(x))))
        shortcut = pool(conv(x, 1, "glorot_uniform")) if halve else x
        x = keras.layers.Add()([shortcut, pool(y) if halve else y])
    x = nhwc.GlobalAveragePooling2D(name="features")(keras.layers.ReLU()(x))
    scores = kernel(keras.layers.Dense(outputs, dtype=interface_dtype()), norm)(scored(x, minibatch_discrimination))
    return keras.Model(images, conditions.project(scores, x, labels, classes, norm), name=name)
