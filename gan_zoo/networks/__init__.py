"""Networks, each sized from the examples' shape, the latent size and one width.

`Builder` makes them: generators, discriminators, encoders, perceptrons and autoencoders for one kind of examples. A
family is a module with `generator(shape, latent_dim, width, classes)` and `discriminator(shape, width, norm, ...)`.

Images are [B, H, W, C] whatever Keras's `image_data_format` is: layers that have a `data_format` come from `nhwc`.
Layers take Keras's dtype policy. Inputs and outputs are float32, or float64 under that policy: see `inputs` and
`precision.interface_dtype`. Labels are int32, [B]: see `conditions`.
"""

from typing import Any

from gan_zoo.networks.builder import CONDITIONS, FAMILIES, NORMS, Builder
from gan_zoo.networks.building_blocks import doublings, inputs, kernel, normalization

__all__ = [
    "CONDITIONS",
    "FAMILIES",
    "NORMS",
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
    """The discriminator's normalization in a family where the paper has `norm`: some families have no "batch"."""
    if network == "growing":
        return "none"
    return "none" if network == "mlp" and norm == "batch" else norm


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
    """The activations inside a network: what its last layer takes, or what another layer makes.

    In the zoo's discriminators and encoders the layer before the last is named "features": it makes [B, F]. In an
    autoencoder that name is the code's. In a functional or sequential network of another kind, which has no such layer,
    it is the input of the last layer with weights.

    Args:
        network: A functional, sequential or growing network, or one with a method `features(x, layer, training)`.
        x: The network's input; a conditional network's is a pair (x, y).
        layer: Name of the layer whose output to take. Of growing networks, also "block_0", "block_1", ...
        training: Whether the network runs in training mode. By default it does, as in the losses.

    Raises:
        UserError: If the network has no layer of that name, or is of another kind.
    """
    from gan_zoo.networks import activations

    return activations.at(network, x, layer, training)


def one_pass_pays(network) -> bool:
    """Whether several minibatches may go through the network as one, and are faster so.

    They may if no example can influence what the network makes of another: see `independence.is_by_example`.
    Perceptrons are slower so on a CPU: their separate passes run side by side.
    """
    import keras

    from gan_zoo.networks import independence

    convolutional = any(isinstance(layer, keras.layers.Conv2D) for layer in network._flatten_layers())
    return convolutional and independence.is_by_example(network)
