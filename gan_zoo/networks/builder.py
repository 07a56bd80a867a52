"""Builds the networks of a model for examples of one shape."""

import dataclasses
import importlib
import numbers
from typing import TYPE_CHECKING

from gan_zoo.util.checks import whole
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    import keras

FAMILIES = ("dcgan", "resnet", "r3", "growing", "column_rnn", "mlp", "maxout")
NORMS = ("none", "batch", "layer", "spectral")
CONDITIONS = ("projection", "concat", "every_layer")
EVERY_LAYER = ("dcgan", "mlp")
"""Families whose networks take the condition "every_layer"."""
WITHOUT_NORM = ("growing", "r3")
"""Families whose discriminators take no normalization."""
G_NORMS = ("batch", "virtual")
G_NORMALIZED = {"dcgan": G_NORMS, "resnet": G_NORMS, "mlp": ("batch",)}
"""Families whose generators take `g_norm`, and its values."""
KERNEL_SIZES = (3, 4, 5, 6, 7)
CHOOSES_KERNELS = ("dcgan",)
"""Families whose convolutions take `kernel_size`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Builder:
    """Builds networks for examples of one shape: images, [B, H, W, C] in [-1, 1], or points, [B, D].

    Each method returns a new network with its own weights, under Keras's current dtype policy.

    With `classes` the examples have labels y. Generators then take a pair (z, y), and discriminators and autoencoders
    take a pair (x, y): see `gan_zoo.networks.conditions`. Encoders, joint discriminators and perceptrons take no
    labels.

    Args:
        shape: Shape of one example, (H, W, C) or (D,).
        network: The family, one of `FAMILIES`. Defaults to "dcgan" for images, and to "mlp", the only choice, for
            points.
        latent_dim: Size Z of the latent vector.
        width: Number of channels near the images' resolution, or of units in a layer: see the module of the family.
        norm: The normalization of discriminators, encoders and autoencoders: "none", "batch", "layer" or "spectral".
        depth: Number of hidden layers of perceptrons, including the networks of the family "mlp".
        classes: Number of classes, from 2 up; None for examples without labels.
        condition: How networks use labels. Discriminators use "projection" on their features, the default, or "concat"
            to the example, and generators join labels to z in both cases. With "every_layer", for the families "dcgan"
            and "mlp", the labels are joined to the input of every layer of both. Autoencoders always use "concat".
        minibatch_discrimination: Whether discriminators compare each example with its minibatch, before the last layer:
            see `gan_zoo.nn.minibatch_discrimination`.
        g_norm: The normalization of generators: "batch" or, for convolutions, "virtual", where a sample does not depend
            on its batch: see `gan_zoo.nn.virtual_batch_normalization`. Defaults to the family's own: "batch" for
            "dcgan" and "resnet", none for "mlp".
        kernel_size: Side of the kernels of the family "dcgan", one of `KERNEL_SIZES`. Defaults to 5, as published. Many
            later implementations have 4, which a stride of 2 divides: every output pixel is then the sum of equally
            many terms, and a step takes about 1.5 times less work.
        prior: Distribution of the latents, "normal" or "uniform", for the reference batch of "virtual".

    Raises:
        UserError: If an argument is not valid.
    """

    shape: tuple[int, ...] = dataclasses.field(kw_only=False)
    network: str | None = None
    latent_dim: int
    width: int
    norm: str = "none"
    depth: int = 2
    classes: int | None = None
    condition: str | None = None
    minibatch_discrimination: bool = False
    g_norm: str | None = None
    kernel_size: int | None = None
    prior: str = "normal"

    def __post_init__(self):
        shape = tuple(self.shape)
        if len(shape) not in (1, 3) or not all(isinstance(side, numbers.Integral) and side > 0 for side in shape):
            raise UserError(
                f"shape must be (height, width, channels) of images or (dimensions,) of points, whole numbers from 1 "
                f"up, not {self.shape!r}."
            )
        network = self.network or (FAMILIES[0] if len(shape) == 3 else "mlp")
        object.__setattr__(self, "shape", tuple(map(int, shape)))
        object.__setattr__(self, "network", network)
        if network not in FAMILIES:
            raise UserError(f"network must be one of {', '.join(FAMILIES)}, not {network!r}.")
        if len(shape) == 1 and network != "mlp":
            raise UserError(f"network={network!r} is for images: points need network='mlp'.")
        if self.norm not in NORMS:
            raise UserError(f"norm must be one of {', '.join(NORMS)}, not {self.norm!r}.")
        for name in ("latent_dim", "width"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, not {getattr(self, name)}.")
        whole("depth", self.depth, 0)
        if self.classes is not None:
            whole("classes", self.classes, 2)
        if self.condition is not None and self.condition not in CONDITIONS:
            raise UserError(f"condition must be one of {', '.join(CONDITIONS)}, not {self.condition!r}.")
        if self.g_norm not in (None, *G_NORMS):
            raise UserError(f"g_norm must be one of {', '.join(G_NORMS)} or None, not {self.g_norm!r}.")
        if self.g_norm is not None and self.g_norm not in G_NORMALIZED.get(network, ()):
            families = [family for family, norms in G_NORMALIZED.items() if self.g_norm in norms]
            raise UserError(
                f"g_norm={self.g_norm!r} is for generators of the networks {', '.join(families)}, not {network!r}: "
                f"leave g_norm out, or take one of these networks."
            )
        if self.kernel_size not in (None, *KERNEL_SIZES):
            raise UserError(
                f"kernel_size must be one of {', '.join(map(str, KERNEL_SIZES))} or None, not {self.kernel_size!r}."
            )
        if self.kernel_size is not None and network not in CHOOSES_KERNELS:
            raise UserError(
                f"kernel_size is for the networks {', '.join(CHOOSES_KERNELS)}, and {network!r} has kernels of its "
                f"own: leave kernel_size out."
            )
        if self.condition is not None and self.classes is None:
            raise UserError(f"condition={self.condition!r} says how networks use labels: give classes as well.")
        if self.condition == "every_layer" and network not in EVERY_LAYER:
            raise UserError(
                f"condition='every_layer' is for the networks {' and '.join(EVERY_LAYER)}, not {network!r}: take one "
                f"of them, or another condition."
            )

    def generator(self) -> "keras.Model":
        """A network that maps z, [B, Z], or (z, y) to examples, [B, *shape]: images in [-1, 1], or points.

        The images of the family "r3" have no bound.
        """
        labels = {"classes": self.classes}
        norm = {"norm": self.g_norm} if self.network in G_NORMALIZED else {}
        if "virtual" in G_NORMALIZED.get(self.network, ()):
            norm["prior"] = self.prior
        if self.condition == "every_layer":
            labels["condition"] = self.condition
        return self._family().generator(self.shape, self.latent_dim, self.width, **self._own(), **labels, **norm)

    def discriminator(self, outputs: int = 1) -> "keras.Model":
        """A network that maps examples, [B, *shape], or (examples, y) to raw scores, [B, outputs]."""
        condition = (self.condition or "projection") if self.classes else None
        labels = {"classes": self.classes, "condition": condition}
        minibatch = {"minibatch_discrimination": self.minibatch_discrimination}
        return self._scorer(outputs, name="discriminator", **labels, **minibatch)

    def encoder(self, outputs: int) -> "keras.Model":
        """A network like the discriminator that maps examples, [B, *shape], without labels, to [B, outputs]."""
        return self._scorer(outputs, name="encoder")

    def joint_discriminator(self) -> "keras.Model":
        """A network that maps pairs (examples, z), [B, *shape] and [B, Z], without labels, to raw scores, [B, 1].

        See `gan_zoo.networks.joint`.
        """
        from gan_zoo.networks import joint

        minibatch = {"minibatch_discrimination": self.minibatch_discrimination}
        if self.network == "mlp":
            return joint.perceptron(self.shape, self.latent_dim, self.width, self.norm, depth=self.depth, **minibatch)
        trunk = self.encoder(joint.WIDER * self.width)
        return joint.discriminator(trunk, self.shape, self.latent_dim, self.norm, **minibatch)

    def mlp(self, inputs: int, outputs: int, name: str = "mlp") -> "keras.Model":
        """A network that maps vectors, [B, inputs], to [B, outputs].

        It has `depth` layers of `width` ReLU units and a linear output layer.
        """
        from gan_zoo.networks import mlp

        return mlp.perceptron(
            whole("inputs", inputs, 1), whole("outputs", outputs, 1), self.width, depth=self.depth, name=name
        )

    def autoencoder(self) -> "keras.Model":
        """A network that maps examples, [B, *shape], or (examples, y) to a pair (reconstruction, code).

        It is a perceptron for the family "mlp", and convolutional for all others: see `gan_zoo.networks.autoencoder`.

        Raises:
            UserError: If `condition` is "projection", which needs scores, or "every_layer".
        """
        from gan_zoo.networks import autoencoder

        if self.minibatch_discrimination:
            raise UserError(
                "minibatch_discrimination adds features to a score, and an autoencoder returns none: leave it out."
            )
        if self.condition == "projection":
            raise UserError(
                "condition='projection' adds to a score, and an autoencoder returns none: use condition='concat'."
            )
        if self.condition == "every_layer":
            raise UserError("condition='every_layer' is not available for autoencoders: use condition='concat'.")
        if self.network == "mlp":
            return autoencoder.perceptron(self.shape, self.width, self.norm, depth=self.depth, classes=self.classes)
        return autoencoder.convolutional(self.shape, self.width, self.norm, classes=self.classes)

    def _scorer(self, outputs: int, **kwargs):
        outputs = whole("outputs", outputs, 1)
        family = self._family()
        return family.discriminator(self.shape, self.width, self.norm, **self._own(), outputs=outputs, **kwargs)

    def _family(self):
        return importlib.import_module(f"gan_zoo.networks.{self.network}")

    def _own(self) -> dict[str, int]:
        """Settings that only some families have."""
        depth = {"depth": self.depth} if self.network == "mlp" else {}
        return depth | ({"kernel_size": self.kernel_size} if self.kernel_size else {})
