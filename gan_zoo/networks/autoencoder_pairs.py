"""Pairs of a generator and an autoencoder in the discriminator's place."""

from gan_zoo import networks


def for_images(network: str, shape: tuple[int, int, int], **kwargs):
    """As `gan_zoo.networks.for_images`, with an autoencoder: a perceptron for "mlp", convolutions for the rest."""
    return _pair(networks.Builder(shape, network=network, **kwargs))


def for_points(dim: int, **kwargs):
    """As `gan_zoo.networks.for_points`, with an autoencoder."""
    return _pair(networks.Builder((dim,), **kwargs))


def _pair(builder):
    generator = builder.generator()
    if builder.classes is None:
        # Takes its random numbers, so that a seed goes on giving an autoencoder the weights that it has always given.
        builder.discriminator()
    return generator, builder.autoencoder()
