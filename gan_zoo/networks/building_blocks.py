"""Common parts of the families of networks: inputs, normalizations, and the number of doublings."""

from gan_zoo.util.errors import UserError


def doublings(shape: tuple[int, int, int]) -> tuple[int, int]:
    """The side from which a generator starts, 4 or 7 pixels, and the number of doublings to the side of the images.

    Raises:
        UserError: If the images are not square, or their side is neither 4 * 2^k nor 7 * 2^k from 8 to 256.
    """
    height, side, _ = shape
    for base in (4, 7):
        for times in range(1, 7):
            if height == side == base * 2**times <= 256:
                return base, times
    raise UserError(
        f"convolutional networks need square images with a side of 4 or 7 times a power of two from 8 to 256 "
        f"(8, 14, 16, 28, 32, 56, 64, ...), not {height} x {side}: set the resolution to one of these."
    )


def inputs(shape: tuple[int, ...]):
    """A network's symbolic input, [B, *shape], in the dtype of the current policy: see `precision`."""
    import keras

    from gan_zoo.nn import precision

    return keras.Input(shape, dtype=precision.interface_dtype())


def normalization(norm: str, rank: int = 4):
    """A new normalization layer for activations, [B, H, W, C] or [B, C] (rank 2); None for "none" and "spectral"."""
    import keras

    from gan_zoo.nn import layers

    if norm == "batch":
        return layers.BatchNormalization(gamma_initializer=keras.initializers.RandomNormal(1.0, 0.02))
    if norm == "layer":
        return keras.layers.LayerNormalization(axis=tuple(range(1, rank)), epsilon=1e-5)
    return None


def kernel(layer, norm: str):
    """The layer itself, or with norm "spectral" a layer that divides its kernel by the kernel's spectral norm."""
    from gan_zoo.nn import layers

    return layers.SpectralNormalization(layer) if norm == "spectral" else layer


def scored(features, minibatch_discrimination: bool):
    """What the last layer of a discriminator takes: the features, with minibatch discrimination if asked for."""
    from gan_zoo.nn.minibatch_discrimination import MinibatchDiscrimination

    return MinibatchDiscrimination()(features) if minibatch_discrimination else features
