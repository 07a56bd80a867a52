"""Construction of models together with their networks, from the shape of the examples and a few settings."""

import inspect
from typing import Any

import keras

from gan_zoo import networks
from gan_zoo.networks import independence
from gan_zoo.nn.precision import policy
from gan_zoo.util.errors import UserError

_KINDS = {"image": "images", "points": "points"}


class BuildsNetworks:
    """A mixin for a `GenerativeModel`: `for_images` and `for_points`, and class attributes for their defaults.

    Attributes:
        kinds: The examples for which the class can build networks: "image" and "points", or one of them.
        takes_labels: Whether a model has `classes`: "optional", "required" or "never". Unless it is "optional", other
            models raise an error.
        takes_few_labels: Whether a model also takes data of which only a few examples have labels: see
            `gan_zoo.keras_model.few_labels`.
        discriminator_norm: Normalization of the paper's discriminator: "none", "batch", "layer" or "spectral".
        default_network: The family of networks that the method needs, or None.
        gradient_penalty_argument: Name of the argument with the weight of a penalty on the discriminator's gradient at
            each example; None if the losses have no such penalty. Unless the weight is 0, the discriminator may not use
            batch normalization: `for_images` builds it without, and training raises an error.
    """

    kinds = ("image", "points")
    takes_labels = "optional"
    takes_few_labels = False
    discriminator_norm = "batch"
    default_network = None
    gradient_penalty_argument = None

    @classmethod
    def build_networks(cls, builder: networks.Builder) -> dict[str, keras.Model]:
        """The networks by the names of the constructor's arguments.

        `for_images`, `for_points` and `train.py` call this. A class with networks of its own overrides it:

            return {**super().build_networks(builder), "encoder": builder.encoder(builder.latent_dim)}

        It may have more parameters, with defaults, which are arguments of the constructor that the networks depend on:

            def build_networks(cls, builder, time_steps=3): ...

        Args:
            builder: Builds networks for the examples: see `gan_zoo.networks.Builder`.

        Returns:
            A generator and a discriminator, if they are arguments of the constructor.
        """
        makers = {"generator": builder.generator, "discriminator": builder.discriminator}
        return {name: make() for name, make in makers.items() if name in cls.network_names()}

    @classmethod
    def for_images(
        cls,
        shape: tuple[int, int, int],
        *,
        network: str | None = None,
        latent_dim: int = 128,
        width: int = 64,
        norm: str | None = None,
        condition: str | None = None,
        minibatch_discrimination: bool = False,
        g_norm: str | None = None,
        kernel_size: int | None = None,
        **kwargs,
    ) -> Any:
        """Returns a model of this class with networks for images.

        Args:
            shape: (H, W, C) of the images.
            network: One of `gan_zoo.networks.FAMILIES`; by default the variant's own, or the first.
            latent_dim: Z.
            width: Channels at the images' own resolution.
            norm: The discriminator's normalization, "none", "batch", "layer" or "spectral"; by default the variant's
                own. But if that is "batch" and the network is a perceptron, the default is "none".
            condition: With `classes`, how the networks read labels: "projection", "concat" or "every_layer"; None is
                the default of the class or the family. See `gan_zoo.networks.Builder`.
            minibatch_discrimination: Whether the discriminator compares each example with its minibatch.
            g_norm: The generator's normalization, "batch" or "virtual"; None is that of its family.
            kernel_size: Side of the kernels of the family "dcgan"; None is the published one, 5.
            **kwargs: The class's own arguments. `dtype`, a Keras dtype policy, also applies to the networks.
        """
        network = network or cls.default_network or networks.FAMILIES[0]
        norm = norm or cls.default_norm(network, kwargs)
        settings = dict(network=network, latent_dim=latent_dim, width=width, norm=norm, condition=condition)
        settings |= dict(minibatch_discrimination=minibatch_discrimination, g_norm=g_norm, kernel_size=kernel_size)
        return cls._with_networks(tuple(shape), kwargs, **settings)

    @classmethod
    def _with_networks(cls, shape: tuple[int, ...], arguments: dict[str, Any], **settings) -> Any:
        kind = "points" if len(shape) == 1 else "image"
        if kind not in cls.kinds:
            raise UserError(f"{cls.__name__} is for {_KINDS[cls.kinds[0]]}, and these examples are {_KINDS[kind]}.")
        cls.check_classes(arguments.get("classes"))
        if "latent_dim" in cls.parameters():
            arguments = {"latent_dim": settings["latent_dim"], **arguments}
        with policy(arguments.get("dtype")):
            prior = arguments.get("prior", cls.parameters()["prior"].default)
            builder = networks.Builder(shape, classes=arguments.get("classes"), prior=prior, **settings)
            more = [name for name in inspect.signature(cls.build_networks).parameters if name in arguments]
            built = cls.build_networks(builder, **{name: arguments[name] for name in more})
            missing = [name for name in cls.network_names() if name not in built]
            if missing:
                raise UserError(
                    f"{cls.__name__} does not say how to build its {missing[0]}: override build_networks(builder), "
                    f"which returns the networks {', '.join(cls.network_names())} by name."
                )
            return cls(**built, **arguments)

    @classmethod
    def check_classes(cls, classes: int | None) -> None:
        """Checks that a model of this class may have, or lack, labels.

        Raises:
            UserError: If not: see `takes_labels`.
        """
        if cls.takes_labels == "never" and classes is not None:
            raise UserError(f"classes: {cls.__name__} is a method for data without labels: leave classes out.")
        if cls.takes_labels == "required" and classes is None:
            raise UserError(f"classes: {cls.__name__} is a method for data with labels: give their number, classes=K.")

    @classmethod
    def default_norm(cls, network: str, arguments: dict[str, Any]) -> str:
        """The discriminator's normalization if the caller does not choose one.

        Args:
            network: The family of networks.
            arguments: The variant's own arguments, other than the defaults.
        """
        norm = networks.default_norm(network, cls.discriminator_norm)
        name = cls.gradient_penalty_argument
        penalized = (name and arguments.get(name, cls.parameters()[name].default)) or (
            arguments.get("penalties", "none") != "none"
        )
        return "none" if penalized and norm == "batch" else norm

    def check_penalty(self) -> None:
        """Checks that the discriminator scores each example alone if the losses penalise its gradient.

        With batch normalization or minibatch discrimination each score depends on all examples, so no gradient belongs
        to one example's score only.

        Raises:
            UserError: If there are both a penalty and one of these.
        """
        discriminator = self.networks().get("discriminator")
        mixing = discriminator and independence.mixing_layer(discriminator)
        if not mixing:
            return
        name = self.gradient_penalty_argument
        if name and getattr(self, name):
            penalty = f"{name}={getattr(self, name):g}"
        elif getattr(self, "penalties", "none") != "none":
            penalty = f"penalties={self.penalties!r}"
        else:
            penalty = None
        if penalty:
            raise UserError(
                f"{type(self).__name__}: {penalty} penalizes the discriminator's gradient at each example, and "
                f"{mixing} mixes the examples of a minibatch: {independence.WITHOUT[mixing]}."
            )

    @classmethod
    def for_points(
        cls,
        dim: int = 2,
        *,
        latent_dim: int = 2,
        width: int = 128,
        depth: int = 2,
        condition: str | None = None,
        minibatch_discrimination: bool = False,
        g_norm: str | None = None,
        kernel_size: int | None = None,
        **kwargs,
    ) -> Any:
        """Returns a model with perceptrons for points, [B, dim]; see `for_images` and `gan_zoo.networks.mlp`."""
        settings = dict(network="mlp", latent_dim=latent_dim, width=width, depth=depth, condition=condition)
        settings |= dict(minibatch_discrimination=minibatch_discrimination, g_norm=g_norm, kernel_size=kernel_size)
        return cls._with_networks((dim,), kwargs, **settings)

    def make_train_function(self, force: bool = False):
        """Calls `check_penalty`, then makes the function that `fit` and `train_on_batch` call."""
        self.check_penalty()
        return super().make_train_function(force)
