"""Recurrent generators that draw a sample in several steps on one canvas.

They follow Im et al. (2016). In step t = 1 ... T, a decoder f makes an increment C_t of the canvas from z and from what
an encoder g reads in the increment before:

    h_z = tanh(W_z z),  h_c,1 = 0
    C_t = f([h_z, h_c,t]),  h_c,t+1 = tanh(W_c g(C_t))
    image = tanh(C_1 + ... + C_T)

All steps share the weights of f and g. The paper has images in [0, 1] and a sigmoid, s; here they are in [-1, 1], and
tanh(a) = 2 s(2 a) - 1. f is linear at its output. With T = 1 there is no g, and the generator is a plain one of h_z.

The first layer of f is the sum of a linear map of h_z and one of h_c, which is equal to one map of the joined vector.
The sum of the increments up to step t is the output of the layer "canvas_<t>".

References:
    Im et al., 2016, https://arxiv.org/abs/1602.05110
    Authors' code, https://github.com/jiwoongim/GRAN
"""

import math

import keras

from gan_zoo.networks import conditions, nhwc, virtual
from gan_zoo.networks.building_blocks import doublings, inputs
from gan_zoo.networks.dcgan import KERNEL_SIZE, channels_at, label_channels, weights
from gan_zoo.nn.precision import interface_dtype


def name_of(step: int) -> str:
    """The name of the layer whose output is the sum of the increments of the steps 1 to `step`."""
    return f"canvas_{step}"


def convolutional(
    shape: tuple[int, int, int],
    latent_dim: int,
    width: int,
    time_steps: int,
    classes: int | None = None,
    norm: str | None = None,
    prior: str = "normal",
    kernel_size: int | None = None,
) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, H, W, C] in [-1, 1].

    f is the generator of `gan_zoo.networks.dcgan`, of a vector of size `latent_dim`. g mirrors it: convolutions
    of stride 2, ReLU, and a dense layer. There is batch normalization in all layers but the last one of f and the first
    one of g. It is not shared: each step has statistics, gains and biases of its own, because the activations of the
    steps differ and samples use moving statistics.

    Args:
        shape: (H, W, C).
        latent_dim: Z, and the size of h_z and h_c.
        width: Channels at half the images' side.
        time_steps: T, from 1 up.
        classes: Number of classes, for a network that maps (z, y); None for no labels.
        norm: "virtual" for virtual batch normalization, with a reference batch from `prior`.
        prior: Distribution of the latents.
        kernel_size: Side of the kernels; None is that of DCGAN.
    """
    base, times = doublings(shape)
    channels = channels_at(width, times)
    of_label = label_channels(channels, classes)
    of_z = max(channels - of_label, 1)
    scheme = virtual.Normalization(norm, prior)

    def normalize(x):
        return scheme.layer(gamma_initializer=weights(1.0))(x)

    def dense(units, **kwargs):
        return keras.layers.Dense(units, use_bias=False, kernel_initializer=weights(), **kwargs)

    def conv(layer, size, **kwargs):
        return layer(size, kernel_size or KERNEL_SIZE, 2, "same", kernel_initializer=weights(), **kwargs)

    def first(units, x):
        return normalize(keras.layers.Reshape((base, base, units))(x))

    z = latents = inputs((latent_dim,))
    label = None
    if classes is not None:
        y = conditions.labels_input()
        latents = (z, y)
        label = first(of_label, conditions.table(classes, base * base * of_label)(scheme.start(y, classes)))
    sizes = [channels_at(width, halvings) for halvings in range(1, times + 1)]
    up = [conv(nhwc.Conv2DTranspose, size, use_bias=False) for size in sizes[-2::-1]]
    to_image = conv(nhwc.Conv2DTranspose, shape[-1])
    from_z = dense(base * base * of_z)(keras.layers.Activation("tanh")(normalize(dense(latent_dim)(scheme.start(z)))))
    if time_steps > 1:
        down = [conv(nhwc.Conv2D, size, use_bias=k == 0) for k, size in enumerate(sizes)]
        to_code, from_code = dense(latent_dim), dense(base * base * of_z)

    def decode(code):
        x = first(of_z, from_z if code is None else keras.layers.Add()([from_z, from_code(code)]))
        x = x if label is None else keras.layers.Concatenate()([x, label])
        x = keras.layers.ReLU()(x)
        for layer in up:
            x = keras.layers.ReLU()(normalize(layer(x)))
        return to_image(x)

    def encode(x):
        for k, layer in enumerate(down):
            x = keras.layers.ReLU()(normalize(layer(x)) if k else layer(x))
        return keras.layers.Activation("tanh")(normalize(to_code(nhwc.Flatten()(x))))

    x = keras.layers.Activation("tanh", dtype=interface_dtype())(_draw(decode, encode, scheme.end, time_steps))
    return keras.Model(latents, x, name="generator")


def perceptron(
    shape: tuple[int, ...], latent_dim: int, width: int, time_steps: int, depth: int = 2, classes: int | None = None
) -> keras.Model:
    """A network that maps z, [B, latent_dim], to points, [B, D] for shape (D,), or to images, [B, H, W, C] in [-1, 1].

    f and g have `depth` layers of `width` ReLU units each, without normalization. Points are the sum of the increments
    itself, without tanh. With `classes` it maps (z, y), and h_z also depends on y: see `conditions.latents`.
    """
    latents, x = conditions.latents(latent_dim, classes)
    h_z = keras.layers.Dense(latent_dim, "tanh")(x)
    first, *others = [keras.layers.Dense(width) for _ in range(depth)] + [
        keras.layers.Dense(math.prod(shape), dtype=interface_dtype())
    ]
    from_z = first(h_z)
    if time_steps > 1:
        read = [keras.layers.Dense(width, "relu") for _ in range(depth)]
        to_code, from_code = keras.layers.Dense(latent_dim, "tanh"), keras.layers.Dense(first.units, use_bias=False)

    def decode(code):
        x = from_z if code is None else keras.layers.Add()([from_z, from_code(code)])
        for layer in others:
            x = layer(keras.layers.ReLU()(x))
        return x

    def encode(x):
        for layer in read:
            x = layer(x)
        return to_code(x)

    x = _draw(decode, encode, lambda x: x, time_steps)
    if len(shape) > 1:
        x = keras.layers.Activation("tanh", dtype=interface_dtype())(x)
        x = keras.layers.Reshape(shape, dtype=interface_dtype())(x)
    return keras.Model(latents, x, name="generator")


def _draw(decode, encode, end, time_steps: int):
    """Sums the increments of all steps. The layers of the partial sums have the names of `name_of`."""
    dtype = interface_dtype()
    increment = decode(None)
    canvas = keras.layers.Identity(name=name_of(1), dtype=dtype)(end(increment))
    for step in range(2, time_steps + 1):
        increment = decode(encode(increment))
        canvas = keras.layers.Add(name=name_of(step), dtype=dtype)([canvas, end(increment)])
    return canvas
