"""The base class of GANs: the two-player game of Goodfellow et al. (2014), Algorithm 1. A variant adds two losses."""

import contextlib
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from gan_zoo import networks, penalty_terms
from gan_zoo.losses import feature_matching as features_gap
from gan_zoo.model import GenerativeModel
from gan_zoo.nn import layers
from gan_zoo.nn.image_leaves import batch_size, images_of
from gan_zoo.nn.precision import at_least_float32, cast_floats, dtype_of
from gan_zoo.players import Loss, Player, Variables
from gan_zoo.schedules import balance as balances
from gan_zoo.util.checks import number, whole
from gan_zoo.util.errors import UserError


class GAN(GenerativeModel):
    """Base class of generative adversarial networks: two players, and the loop that trains them in turn.

    A variant subclasses `GAN` and defines the two losses of its paper:

        class MyGAN(GAN):
            def discriminator_loss(self, x, z):
                return mean(softplus(-self.D(x))) + mean(softplus(self.D(self.G(z))))

            def generator_loss(self, x, z):
                return mean(softplus(-self.D(self.G(z))))

    It overrides further methods only if the paper changes more: `default_optimizer` (the optimizers), `sample_latent`
    (the prior), `discriminator_variables` and `generator_variables` (the variables of each player),
    `discriminator_step` and `generator_step` (one player's turn), `players` (more players), `joint_step` (the order of
    the turns).

    The contracts are those of `gan_zoo.GenerativeModel`. In addition:

        Examples: An example is the input of D. `G(z)` has the structure of the data: images, or with `classes`
            (images, labels). So a loss that is written for images also works with labels.
        Data: One dataset batch holds `n_critic` minibatches. So each of the discriminator's turns gets new data, and
            one Keras step is one generator update. A generator loss that reads x gets the minibatch of the
            discriminator's last turn, or one more minibatch if the variant gives the generator its own: see `Player`.
        Logs: "d_loss" (the mean over the discriminator's turns), "g_loss", and the terms that the losses `record`.

    `for_images` and `for_points` build a variant with networks: see `gan_zoo.keras_model.network_building`.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1], or points, [B, 2]; with `classes` it maps (z, y).
        discriminator: Maps the generator's outputs to raw scores, [B, 1], high for real data; with `classes` it maps
            (images, y).
        n_critic: Discriminator turns for each generator turn (k in Algorithm 1). Defaults to 1, as in Section 5 there.
        balance: The rule for G's turns, see `gan_zoo.schedules.balance`: "constant", after every `n_critic` turns of D;
            "warm_up"; or "until(d_loss=...)". A step without a turn of G takes as long as one with it.
        instance_noise: Standard deviation of the normal noise on all inputs of D, real and generated, in both players'
            turns, Sonderby et al. (2017), Section 3. Defaults to 0, no noise.
        noise_turns: Number of turns, of both players together, in which the noise falls linearly to 0. With 0 it is
            constant.
        penalties: Penalties on D's gradient that are added to D's loss: see `gan_zoo.penalty_terms`. D may then not use
            batch normalization. Defaults to "none".
        feature_matching: Weight w of w ||E f(x) - E f(G(z))||_2^2, which is added to G's loss, with f the features of
            D's last hidden layer: Salimans et al. (2016), Section 3.1. Defaults to 0.
        **kwargs: As for `GenerativeModel`: `prior`, `latent_dim`, `classes`, `seed` and `simultaneous`. With
            `simultaneous`, both players move from the same weights (simultaneous gradient descent, SimGD); only the
            last of `n_critic` turns of D is simultaneous. By default, G's turn uses the weights of D after D's turn
            (alternating gradient descent, AltGD). Mescheder et al. (2018), Section 2.

    Raises:
        UserError: If an argument has none of these values, or if Z is not known from the generator.

    References:
        Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
        Sonderby et al., 2017, https://arxiv.org/abs/1610.04490
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        n_critic: int = 1,
        balance: str = "constant",
        instance_noise: float = 0.0,
        noise_turns: int = 0,
        penalties: str = "none",
        feature_matching: float = 0.0,
        **kwargs,
    ):
        super().__init__({"generator": generator, "discriminator": discriminator}, **kwargs)
        if not isinstance(n_critic, int) or n_critic < 1:
            raise UserError(f"n_critic must be a whole number from 1 up, not {n_critic!r}.")
        self.n_critic = n_critic
        self.balance = balance
        self.instance_noise = instance_noise
        self.noise_turns = whole("noise_turns", noise_turns, 0)
        self.penalties = penalties
        self.feature_matching = number("feature_matching", feature_matching, least=0)
        self._added_penalties = penalty_terms.parse(penalties)
        if self._added_penalties and _number_of_outputs(discriminator) not in (1, None):
            raise UserError(
                f"penalties={penalties!r} needs a discriminator with one score, [B, 1], and that of "
                f"{type(self).__name__} returns something else: leave penalties out."
            )
        self._noise = layers.InstanceNoise(instance_noise, noise_turns, self.random) if instance_noise else None
        # MirroredStrategy traces each replica in its own thread.
        self._seen, self._made = threading.local(), threading.local()
        self._balance = balances.parse(balance)
        self._balance.prepare(self)
        if not generator.built:
            generator.build((None, self.latent_size))
        if not discriminator.built:
            discriminator.build((None, *generator.output_shape[1:]))

    # The losses, which a variant defines.

    def discriminator_loss(self, x: Any, z: Any) -> tf.Tensor:
        """The discriminator's loss on a minibatch x and as many latents z: a float32 scalar to minimise."""
        raise NotImplementedError(f"{type(self).__name__} must implement discriminator_loss(x, z).")

    def generator_loss(self, x: Any, z: Any) -> tf.Tensor:
        """The generator's loss on a minibatch x and as many latents z: a float32 scalar to minimise."""
        raise NotImplementedError(f"{type(self).__name__} must implement generator_loss(x, z).")

    @property
    def discriminator_variables(self) -> Variables:
        return self.discriminator.trainable_variables

    @property
    def generator_variables(self) -> Variables:
        return self.generator.trainable_variables

    def discriminator_inputs(self, x: Any, z: Any) -> tuple[Any, Any]:
        """The real and the generated example that D compares, by default x and G(z), for `penalties` and the like."""
        return x, self.G(z)

    def turn_loss(self, player: Player) -> Loss:
        loss = super().turn_loss(player)
        terms = {"discriminator": self._added_penalties, "generator": self.feature_matching}.get(player.name)
        if not terms:
            return loss
        term = self._penalty_term if player.name == "discriminator" else self._feature_term

        def with_term(x, z):
            with self.samples_once():
                value = loss(x, z)
                return value + tf.cast(term(*self.discriminator_inputs(x, z)), value.dtype)

        return with_term

    def _penalty_term(self, real: Any, fake: Any) -> tf.Tensor:
        values = {name: penalty(self, real, fake) for name, penalty in self._added_penalties.items()}
        for name, value in values.items():
            self.record(name, value)
        return tf.add_n([*values.values()])

    def _feature_term(self, real: Any, fake: Any) -> tf.Tensor:
        gap = features_gap(self.features(real), self.features(fake))
        self.record("feature_gap", gap)
        return self.feature_matching * gap

    # Functions for losses.

    def G(self, z: Any) -> Any:
        """Applies the generator in training mode to latents, [B, Z]; returns float32 images, [B, H, W, C].

        With `classes` it maps (z, y) to (images, y), which is the structure of the data.
        """
        made = self._made.__dict__.get("pairs")
        for latents, samples in made or ():
            if latents is z:
                return samples
        images = at_least_float32(self.generator(z, training=True))
        self._note("generated", images)
        samples = images if self.classes is None else (images, z[1])
        if made is not None:
            made.append((z, samples))
        return samples

    @contextlib.contextmanager
    def samples_once(self) -> Iterator[None]:
        """Context in which G applies the generator once for the same latents, and then returns the same tensors."""
        if "pairs" in self._made.__dict__:
            yield
            return
        self._made.pairs = []
        try:
            yield
        finally:
            del self._made.pairs

    def D(self, *xs: Any) -> Any:
        """Applies the discriminator in training mode to examples, [B, H, W, C]; returns float32 raw scores, [B, 1].

        For several minibatches, such as a real and a generated one, it returns a list with the scores of each.
        Convolutional networks that process examples independently score all minibatches in one pass. Other networks use
        one pass for each minibatch, with its own batch statistics.
        """
        xs = [self._augmented(x) for x in xs]
        if len(xs) == 1 or not networks.one_pass_pays(self.discriminator):
            scores = [self._score(x) for x in xs]
            return scores[0] if len(xs) == 1 else scores
        scores = self._score(tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *xs))
        sizes = [batch_size(x) for x in xs]
        outputs = [tf.split(output, sizes) for output in tf.nest.flatten(scores)]
        return [tf.nest.pack_sequence_as(scores, parts) for parts in zip(*outputs, strict=True)]

    def features(self, x: Any, layer: str | None = None) -> tf.Tensor:
        """Returns the activations of a layer of the discriminator in training mode, float32.

        Args:
            x: Examples, [B, H, W, C].
            layer: Name of the layer. Defaults to the one before the last.
        """
        return at_least_float32(networks.features(self.discriminator, self._augmented(x), layer, training=True))

    def augment(self, x: Any, origin: str | None) -> Any:
        """Augments examples before they reach D; by default adds instance noise, if there is any.

        A subclass may override it with any augmentation, which changes image leaves
        (`gan_zoo.nn.image_leaves.map_images`) and draws from `self.random`. Checkpoints save its state if it is in a
        layer that is an attribute of the model.

        Args:
            x: Examples that D is called with.
            origin: "real" for the minibatch of the turn, "generated" for G's output in this turn, None for other
                examples, such as interpolations between the two.
        """
        return x if self._noise is None else self._noise(x)

    def _augmented(self, x: Any) -> Any:
        images = images_of(x)
        origins = (name for name, known in self._seen.__dict__.items() if any(ref() is images for ref in known))
        return self.augment(cast_floats(x, dtype_of(self.discriminator)), next(origins, None))

    def _note(self, origin: str, images: tf.Tensor) -> None:
        """Records the origin of images without keeping them in memory."""
        known = [ref for ref in self._seen.__dict__.get(origin, []) if ref() is not None]
        setattr(self._seen, origin, [*known, weakref.ref(images)])

    def _score(self, x: Any) -> Any:
        return tf.nest.map_structure(at_least_float32, self.discriminator(x, training=True))

    # Algorithm 1.

    def players(self) -> list[Player]:
        """Returns the discriminator, with `n_critic` turns, and the generator."""
        return [
            Player("discriminator", self.discriminator_loss, self.discriminator_variables, turns=self.n_critic),
            Player("generator", self.generator_loss, self.generator_variables),
        ]

    def turn(self, player: Player, x: Any) -> None:
        """Takes one turn of a player. The generator's turn is subject to `balance`."""
        if player.name == "discriminator":
            self.discriminator_step(x)
        elif player.name == "generator":
            self._balance.generator_turn(self, x)
        else:
            super().turn(player, x)

    def discriminator_step(self, x: Any) -> None:
        """Takes the discriminator's turn: one update on the minibatch x and new latents."""
        super().turn(self.player("discriminator"), x)

    def generator_step(self, x: Any) -> None:
        """Takes the generator's turn: one update on new latents."""
        super().turn(self.player("generator"), x)

    def begin_turn(self, x: Any = None) -> None:
        self._seen.__dict__.clear()
        if x is not None:
            self._note("real", images_of(x))
        super().begin_turn(x)


def _number_of_outputs(discriminator: keras.Model) -> int | None:
    """The number of D's outputs for an example; None if it is not known, and 0 if D returns several tensors."""
    try:
        shape = discriminator.output_shape
    except (AttributeError, ValueError):
        return None
    return shape[-1] if isinstance(shape, tuple) and not isinstance(shape[0], tuple) else 0
