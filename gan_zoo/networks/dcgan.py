"""The convolutional networks of DCGAN.

They follow Radford et al. (2016), figure 1 and Section 3: strided 5x5 convolutions, batch normalization in both
networks except at their outputs and the discriminator's input, ReLU in the generator and LeakyReLU(0.2) in the
discriminator, and weights from N(0, 0.02). The authors' 64x64 network has width 128.
"""

import keras

from gan_zoo.networks import conditions, nhwc, virtual
from gan_zoo.networks.building_blocks import doublings, inputs, kernel, normalization, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype

_MAX_FACTOR = 8  # the paper's deepest layer has 8 times the channels of its shallowest
KERNEL_SIZE = 5
"""Side of the kernels of the published networks."""
_LABEL_SHARE = 4
"""Of the generator's first layer, one channel in so many depends on the label, and the others on z."""


def weights(mean: float = 0.0):
    """The initializer of weights, N(mean, 0.02^2)."""
    return keras.initializers.RandomNormal(mean, 0.02)


def channels_at(width: int, halvings: int) -> int:
    """Number of channels at the images' side divided by 2^halvings. At half the images' side it is `width`."""
    return width * min(2 ** (halvings - 1), _MAX_FACTOR)


def label_channels(channels: int, classes: int | None) -> int:
    """How many of the `channels` of the generator's first layer depend on the label."""
    return 0 if classes is None else max(channels // _LABEL_SHARE, 1)


def generator(
    shape: tuple[int, int, int],
    latent_dim: int,
    width: int,
    classes: int | None = None,
    norm: str | None = None,
    prior: str = "normal",
    condition: str | None = None,
    kernel_size: int = KERNEL_SIZE,
) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1].

    With `classes` it maps (z, y). As in Mirza & Osindero (2014), z and y each have a first layer of their own, whose
    outputs are joined. Both are normalized, so that neither can outgrow the other. If a vector for y is joined to z
    itself, each class collapses to one image: on MNIST (dcgan, width 16) the standard deviation of pixels within a
    class is 0.03 of that of real digits after 1000 steps, and here 0.7 after 3500.

    With `norm` "virtual" it has virtual batch normalization, with a reference batch from `prior`. With the condition
    "every_layer" the one-hot label is also joined to the input of each transposed convolution: see
    `conditions.joiner`.
    """
    base, times = doublings(shape)
    scheme = virtual.Normalization(norm, prior)

    def normalize(x):
        return scheme.layer(gamma_initializer=weights(1.0))(x)

    def first(layer, channels, x):
        return normalize(keras.layers.Reshape((base, base, channels))(layer(x)))

    z = latents = inputs((latent_dim,))
    seen = None
    channels = channels_at(width, times)
    of_label = label_channels(channels, classes)
    of_z = max(channels - of_label, 1)
    x = first(
        keras.layers.Dense(base * base * of_z, use_bias=False, kernel_initializer=weights()), of_z, scheme.start(z)
    )
    if of_label:
        y = conditions.labels_input()
        latents = (z, y)
        seen = scheme.start(y, classes)
        label = first(conditions.table(classes, base * base * of_label), of_label, seen)
        x = keras.layers.Concatenate()([x, label])
    join, _ = conditions.joiner(seen, classes, condition)
    x = keras.layers.ReLU()(x)
    for halvings in range(times - 1, 0, -1):
        x = nhwc.Conv2DTranspose(
            channels_at(width, halvings), kernel_size, 2, "same", use_bias=False, kernel_initializer=weights()
        )(join(x))
        x = keras.layers.ReLU()(normalize(x))
    x = nhwc.Conv2DTranspose(shape[-1], kernel_size, 2, "same", kernel_initializer=weights())(join(x))
    images = scheme.end(keras.layers.Activation("tanh", dtype=interface_dtype())(x))
    return keras.Model(latents, images, name="generator")


def discriminator(
    shape: tuple[int, int, int],
    width: int,
    norm: str = "batch",
    outputs: int = 1,
    classes: int | None = None,
    condition: str | None = "projection",
    minibatch_discrimination: bool = False,
    kernel_size: int = KERNEL_SIZE,
    name: str = "discriminator",
) -> keras.Model:
    """A network that maps images, [B, H, W, C], to raw scores, [B, outputs].

    Args:
        shape: (H, W, C).
        width: Channels at half the images' side.
        norm: "none", "batch", "layer" or "spectral".
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "projection", "concat" or "every_layer": see `conditions`.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        kernel_size: Side of the kernels.
        name: Name of the network.
    """
    _, times = doublings(shape)
    images, x, labels = conditions.examples(shape, classes, condition)
    join, labels = conditions.joiner(labels, classes, condition)
    for halvings in range(1, times + 1):
        # The first layer is not normalized: it would lose the images' own mean and scale (Section 3).
        normalize = normalization(norm) if halvings > 1 else None
        conv = nhwc.Conv2D(
            channels_at(width, halvings),
            kernel_size,
            2,
            "same",
            use_bias=normalize is None,
            kernel_initializer=weights(),
        )
        x = kernel(conv, norm)(join(x))
        if normalize is not None:
            x = normalize(x)
        x = layers.LeakyReLU(0.2)(x)
    if condition == "every_layer" and classes:
        x = keras.layers.Identity(name="features")(join(nhwc.Flatten()(x)))
    else:
        x = nhwc.Flatten(name="features")(x)
    scores = keras.layers.Dense(outputs, kernel_initializer=weights(), dtype=interface_dtype())(
        scored(x, minibatch_discrimination)
    )
    return keras.Model(images, conditions.project(scores, x, labels, classes, norm), name=name)
