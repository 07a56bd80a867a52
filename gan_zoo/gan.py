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
from gan_zoo.losses import lecam as lecam_regularizer
from gan_zoo.model import GenerativeModel
from gan_zoo.nn import layers
from gan_zoo.nn.augment import specification
from gan_zoo.nn.image_leaves import batch_size, images_of
from gan_zoo.nn.precision import at_least_float32, cast_floats, dtype_of
from gan_zoo.nn.score_averages import ScoreAverages
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
        augmentation: Random transforms of all images that D sees, real, generated and others, in both players' turns,
            so that D does not memorise small data: "diffaugment(color, translation, cutout)", with some of these
            operations, see `gan_zoo.nn.augment.diffaugment`; "ada(target=0.6, kimg=500, pipe=bgc)", whose probability
            follows the overfitting of D, or with a constant one "ada(p=0.2)", see `gan_zoo.nn.augment.ada`. Penalties
            take the gradient at the image before its augmentation. Defaults to "none".
        penalties: Penalties on D's gradient that are added to D's loss: see `gan_zoo.penalty_terms`. D may then not use
            batch normalization. Defaults to "none".
        feature_matching: Weight w of w ||E f(x) - E f(G(z))||_2^2, which is added to G's loss, with f the features of
            D's last hidden layer: Salimans et al. (2016), Section 3.1. Defaults to 0.
        lecam: Weight of `gan_zoo.losses.lecam`, which is added to D's loss and draws the scores of real and generated
            examples to running means of each other: Tseng et al. (2021). D then overfits small data less. The authors
            use 0.3 with the hinge loss. Defaults to 0.
        **kwargs: As for `GenerativeModel`: `prior`, `latent_dim`, `classes`, `seed` and `simultaneous`. With
            `simultaneous`, both players move from the same weights (simultaneous gradient descent, SimGD); only the
            last of `n_critic` turns of D is simultaneous. By default, G's turn uses the weights of D after D's turn
            (alternating gradient descent, AltGD). Mescheder et al. (2018), Section 2.

    Attributes:
        score_threshold: The score at which D is undecided, and above which it takes an example for real: 0 for logits.
            None if the losses only compare scores with each other, so that there is no such score. `lecam` and an
            adaptive augmentation then raise an error.

    Logs:
        augment_p: The probability of an adaptive augmentation, in D's turns.
        lecam: The regularizer without its weight, if it has one, in D's turns.

    Raises:
        UserError: If an argument has none of these values, or if Z is not known from the generator.

    References:
        Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
        Sonderby et al., 2017, https://arxiv.org/abs/1610.04490
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
        Zhao et al., 2020, https://arxiv.org/abs/2006.10738
        Karras et al., 2020, https://arxiv.org/abs/2006.06676
        Tseng et al., 2021, https://arxiv.org/abs/2104.03310
    """

    score_threshold: float | None = 0.0

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        n_critic: int = 1,
        balance: str = "constant",
        instance_noise: float = 0.0,
        noise_turns: int = 0,
        augmentation: str = "none",
        penalties: str = "none",
        feature_matching: float = 0.0,
        lecam: float = 0.0,
        **kwargs,
    ):
        super().__init__({"generator": generator, "discriminator": discriminator}, **kwargs)
        if not isinstance(n_critic, int) or n_critic < 1:
            raise UserError(f"n_critic must be a whole number from 1 up, not {n_critic!r}.")
        self.n_critic = n_critic
        self.balance = balance
        self.instance_noise = instance_noise
        self.noise_turns = whole("noise_turns", noise_turns, 0)
        self.augmentation = augmentation
        self.penalties = penalties
        self.lecam = number("lecam", lecam, least=0)
        self.feature_matching = number("feature_matching", feature_matching, least=0)
        self._added_penalties = penalty_terms.parse(penalties)
        if self._added_penalties:
            _require_one_score(self, "penalties")
        self._noise = layers.InstanceNoise(instance_noise, noise_turns, self.random) if instance_noise else None
        # MirroredStrategy traces each replica in its own thread.
        self._seen, self._made = threading.local(), threading.local()
        self._balance = balances.parse(balance)
        self._balance.prepare(self)
        if not generator.built:
            generator.build((None, self.latent_size))
        if not discriminator.built:
            discriminator.build((None, *generator.output_shape[1:]))
        self._transform = specification.parse(augmentation, generator.output_shape[1:], self.random)
        if self._transform and _makes_images(discriminator):
            raise UserError(
                f"augmentation={augmentation!r} needs a discriminator of images, and that of {type(self).__name__} "
                f"reconstructs them: leave augmentation out."
            )
        if self._adapts:
            _require_one_score(self, "augmentation")
        self._averages = None
        if lecam:
            _require_one_score(self, "lecam")
            self._averages = ScoreAverages(dtype_of(discriminator))

    @property
    def _adapts(self) -> bool:
        """Whether the augmentation depends on the scores of real examples."""
        return self._transform is not None and self._transform.adapts

    def compile(self, *args, **kwargs) -> None:
        """Sets the players' optimizers: see `GenerativeModel.compile`.

        Raises:
            UserError: Also if `lecam` or an adaptive augmentation needs scores with a threshold, and there is none.
        """
        for argument, needs_threshold in (("lecam", self.lecam), ("augmentation", self._adapts)):
            if needs_threshold and self.score_threshold is None:
                instead = " or give a constant probability, 'ada(p=0.2)'" if argument == "augmentation" else ""
                raise UserError(
                    f"{argument}={getattr(self, argument)!r} needs scores with a threshold between real and generated, "
                    f"and {type(self).__name__} only compares scores with each other: leave it out{instead}."
                )
        super().compile(*args, **kwargs)

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
        terms = {
            "discriminator": [
                *([self._penalty_term] if self._added_penalties else []),
                *([self._score_term] if self._averages or self._adapts else []),
            ],
            "generator": [self._feature_term] if self.feature_matching else [],
        }.get(player.name)
        if not terms:
            return loss

        def with_terms(x, z):
            with self.samples_once(), self._keep_scores():
                value = loss(x, z)
                for term in terms:
                    value += tf.cast(term(x, z), value.dtype)
                return value

        return with_terms

    def _penalty_term(self, x: Any, z: Any) -> tf.Tensor:
        real, fake = self.discriminator_inputs(x, z)
        values = {name: penalty(self, real, fake) for name, penalty in self._added_penalties.items()}
        for name, value in values.items():
            self.record(name, value)
        return tf.add_n([*values.values()])

    def _feature_term(self, x: Any, z: Any) -> tf.Tensor:
        real, fake = self.discriminator_inputs(x, z)
        gap = features_gap(self.features(real), self.features(fake))
        self.record("feature_gap", gap)
        return self.feature_matching * gap

    def _score_term(self, x: Any, z: Any) -> tf.Tensor:
        """The LeCam term, or 0; also adapts the augmentation."""
        kept = self._made.scores
        if "real" not in kept or "generated" not in kept:
            kept |= zip(("real", "generated"), self.D(*self.discriminator_inputs(x, z)), strict=True)
        real, fake = kept["real"], kept["generated"]
        if self._adapts:
            self.record("augment_p", self._transform.adapt(real - self.score_threshold))
        if self._averages is None:
            return tf.zeros([], real.dtype)
        term = lecam_regularizer(real, fake, *self._averages.update(real, fake))
        self.record("lecam", term)
        return self.lecam * term

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

    @contextlib.contextmanager
    def _keep_scores(self) -> Iterator[None]:
        """Context in which D keeps the first scores of real and of generated examples in `_made.scores`."""
        outer = self._made.__dict__.get("scores")
        self._made.scores = {}
        try:
            yield
        finally:
            self._made.scores = outer

    def D(self, *xs: Any) -> Any:
        """Applies the discriminator in training mode to examples, [B, H, W, C]; returns float32 raw scores, [B, 1].

        For several minibatches, such as a real and a generated one, it returns a list with the scores of each.
        Convolutional networks that process examples independently score all minibatches in one pass. Other networks use
        one pass for each minibatch, with its own batch statistics.
        """
        origins = [self._origin(x) for x in xs]
        xs = [self._augmented(x) for x in xs]
        if len(xs) == 1 or not networks.one_pass_pays(self.discriminator):
            scores = [self._score(x) for x in xs]
        else:
            together = self._score(tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *xs))
            sizes = [batch_size(x) for x in xs]
            outputs = [tf.split(output, sizes) for output in tf.nest.flatten(together)]
            scores = [tf.nest.pack_sequence_as(together, parts) for parts in zip(*outputs, strict=True)]
        kept = self._made.__dict__.get("scores")
        if kept is not None:
            for origin, score in zip(origins, scores, strict=True):
                kept.setdefault(origin, score)
        return scores[0] if len(xs) == 1 else scores

    def features(self, x: Any, layer: str | None = None) -> tf.Tensor:
        """Returns the activations of a layer of the discriminator in training mode, float32.

        Args:
            x: Examples, [B, H, W, C].
            layer: Name of the layer. Defaults to the one before the last.
        """
        return at_least_float32(networks.features(self.discriminator, self._augmented(x), layer, training=True))

    def augment(self, x: Any, origin: str | None) -> Any:
        """Augments examples before they reach D; by default as `augmentation` and `instance_noise` say.

        A subclass may override it with any other augmentation, which changes image leaves
        (`gan_zoo.nn.image_leaves.map_images`) and draws from `self.random`. Checkpoints save its state if it is in a
        layer that is an attribute of the model.

        Args:
            x: Examples that D is called with.
            origin: "real" for the minibatch of the turn, "generated" for G's output in this turn, None for other
                examples, such as interpolations between the two.
        """
        for change in (self._transform, self._noise):
            x = x if change is None else change(x)
        return x

    def _augmented(self, x: Any) -> Any:
        return self.augment(cast_floats(x, dtype_of(self.discriminator)), self._origin(x))

    def _origin(self, x: Any) -> str | None:
        images = images_of(x)
        origins = (name for name, known in self._seen.__dict__.items() if any(ref() is images for ref in known))
        return next(origins, None)

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


def _require_one_score(gan: GAN, argument: str) -> None:
    if _number_of_outputs(gan.discriminator) not in (1, None):
        raise UserError(
            f"{argument}={getattr(gan, argument)!r} needs a discriminator with one score, [B, 1], and that of "
            f"{type(gan).__name__} returns something else: leave {argument} out."
        )


def _number_of_outputs(discriminator: keras.Model) -> int | None:
    """The number of D's outputs for an example; None if it is not known, and 0 if D returns several tensors."""
    try:
        shape = discriminator.output_shape
    except (AttributeError, ValueError):
        return None
    return shape[-1] if isinstance(shape, tuple) and not isinstance(shape[0], tuple) else 0


def _makes_images(network: keras.Model) -> bool:
    """Whether an output of the network is a batch of images."""
    try:
        shapes = network.output_shape
    except (AttributeError, ValueError):
        return False
    return any(len(shape) == 4 for shape in (shapes if isinstance(shapes[0], tuple | list) else [shapes]))
