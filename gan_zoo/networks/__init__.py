"""Networks, each sized from the examples' shape, the latent size and one width.

`Builder` builds generators, discriminators, encoders, perceptrons and autoencoders for examples of one shape. A family
is a module with `generator(shape, latent_dim, width, classes)` and `discriminator(shape, width, norm, ...)`.

Images are always [B, H, W, C], whatever Keras's `image_data_format` is: layers with a `data_format` come from `nhwc`.
Layers use Keras's current dtype policy. Inputs and outputs are float32, or float64 under the policy float64: see
`inputs` and `precision.interface_dtype`. Labels are int32, [B]: see `conditions`.
"""

from typing import Any

from gan_zoo.networks.builder import CONDITIONS, FAMILIES, G_NORMS, NORMS, WITHOUT_NORM, Builder
from gan_zoo.networks.building_blocks import doublings, inputs, kernel, normalization

__all__ = [
    "CONDITIONS",
    "FAMILIES",
    "G_NORMS",
    "NORMS",
    "WITHOUT_NORM",
    "Builder",
    "default_norm",
    "doublings",
    "features",
    "for_images",
    "for_points",
    "inputs",
    "kernel",
    "normalization",
    "one_pass_pays",
]


def for_images(
    network: str,
    shape: tuple[int, int, int],
    *,
    latent_dim: int,
    width: int,
    norm: str = "none",
    classes: int | None = None,
    condition: str | None = None,
):
    """A (generator, discriminator) pair of the family `network` for images of `shape`, (H, W, C): see `Builder`.

    Raises:
        UserError: If there is no such family, it cannot make that shape, or another argument is not valid.
    """
    builder = Builder(
        shape, network=network, latent_dim=latent_dim, width=width, norm=norm, classes=classes, condition=condition
    )
    return builder.generator(), builder.discriminator()


def default_norm(network: str, norm: str) -> str:
    """The default normalization of a discriminator: the paper's `norm`, or "none" if the family does not suit it."""
    if network in WITHOUT_NORM:
        return "none"
    return "none" if network in ("mlp", "maxout") and norm == "batch" else norm


def for_points(
    dim: int,
    *,
    latent_dim: int,
    width: int,
    depth: int,
    classes: int | None = None,
    condition: str | None = None,
):
    """A (generator, discriminator) pair of multilayer perceptrons for points, [B, dim]: see `Builder`."""
    builder = Builder((dim,), latent_dim=latent_dim, width=width, depth=depth, classes=classes, condition=condition)
    return builder.generator(), builder.discriminator()


def features(network, x: Any, layer: str | None = None, training: bool = True) -> Any:
    """The activations inside a network: by default the input of its last layer, or else the output of another layer.

    In the zoo's discriminators and encoders, the layer before the last one is named "features". Its output is [B, F].
    In an autoencoder, the layer of this name returns the code. In other functional and sequential networks, which have
    no layer of this name, the default is the input of the last layer with weights.

    Args:
        network: A functional, sequential or growing network, or one with a method `features(x, layer, training)`.
        x: The input of the network; for a conditional network a pair (x, y).
        layer: Name of the layer whose output is returned. Growing networks also have "block_0", "block_1", ...
        training: Whether the network runs in training mode. Defaults to True, as in the losses.

    Raises:
        UserError: If the network has no layer of that name, or is of another kind.
    """
    from gan_zoo.networks import activations

    return activations.at(network, x, layer, training)


def one_pass_pays(network) -> bool:
    """Whether one pass of several minibatches through the network is faster than separate passes, with equal results.

    The results are equal if the output for one example does not depend on other examples: see
    `independence.is_by_example`. Perceptrons are not faster: on a CPU their separate passes run in parallel.
    """
    import keras

    from gan_zoo.networks import independence

    convolutional = any(isinstance(layer, keras.layers.Conv2D) for layer in network._flatten_layers())
    return convolutional and independence.is_by_example(network)
