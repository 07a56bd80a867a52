"""Common parts of the families of networks: inputs, normalizations, and the number of doublings."""

from gan_zoo.util.errors import UserError

_BASES = (4, 5, 6, 7)
"""Sides in pixels from which generators start."""


def doublings(shape: tuple[int, int, int]) -> tuple[int, int]:
    """The side from which a generator starts, 4 to 7 pixels, and the number of doublings to the side of the images.

    Raises:
        UserError: If the images are not square, or their side is not 4, 5, 6 or 7 times a power of two from 8 to 512.
    """
    height, side, _ = shape
    for base in _BASES:
        for times in range(1, 8):
            if height == side == base * 2**times <= 512:
                return base, times
    raise UserError(
        f"convolutional networks need square images with a side of 4, 5, 6 or 7 times a power of two from 8 to 512 "
        f"(8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, ...), not {height} x {side}: set the resolution "
        f"to one of these."
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
