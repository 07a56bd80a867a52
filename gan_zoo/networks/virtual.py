"""The parts of a generator with virtual batch normalization: see `gan_zoo.nn.virtual_batch_normalization`."""

from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype
from gan_zoo.nn.virtual_batch_normalization import DropReference, ReferenceBatch, VirtualBatchNormalization

SIZE = 64
"""Number of examples in the reference batch."""


class Normalization:
    """The normalization of one generator: batch normalization, or the virtual one with a reference batch.

    Args:
        norm: None for batch normalization, or "virtual".
        prior: Distribution of the latents, "normal" or "uniform".
        batch: Makes the layer that is used without `norm`.
    """

    def __init__(self, norm: str | None, prior: str, batch=layers.BatchNormalization):
        self.virtual, self._prior, self._batch = norm == "virtual", prior, batch

    def start(self, x, classes: int | None = None):
        """What the first layer takes, for a network's input: latents, or labels of `classes`."""
        if not self.virtual:
            return x
        return ReferenceBatch(SIZE, self._prior, classes, dtype=interface_dtype())(x)

    def layer(self, **kwargs):
        """A new normalization layer; the arguments are for batch normalization."""
        return VirtualBatchNormalization(SIZE) if self.virtual else self._batch(**kwargs)

    def end(self, x):
        """The network's output, for the output of the last layer."""
        return DropReference(SIZE, dtype=interface_dtype())(x) if self.virtual else x
