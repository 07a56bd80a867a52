"""InfoGAN: codes in the latent vector that a second head of D recognises in samples."""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from gan_zoo import networks
from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, mean, non_saturating_generator
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.util.checks import number, whole
from gan_zoo.util.codes import layout
from gan_zoo.util.errors import UserError


class _RecognizesCodes:
    """A mixin for a `GAN` whose latents hold codes, with a network that recognises them from D's features."""

    def __init__(
        self,
        generator,
        discriminator,
        recognition,
        *,
        categorical: Sequence[int] = (10,),
        continuous=2,
        code_std="fixed",
        **kwargs,
    ):
        self.categorical, self.continuous = _sizes(categorical, continuous)  # which the base class needs
        super().__init__(generator, discriminator, **kwargs)
        self.code_std = _one_of("code_std", code_std, "fixed", "learned")
        self.recognition = recognition
        given, wanted = recognition.output_shape[-1], sum(self._output_sizes)
        if given != wanted:
            raise UserError(f"recognition must return {wanted} numbers for these codes, not {given}.")

    def codes_from(self, start):
        return layout(start, categorical=self.categorical, continuous=self.continuous)

    @property
    def _output_sizes(self) -> list[int]:
        return _output_sizes(self.categorical, self.continuous, self.code_std)

    def _posteriors(self, features: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Q's outputs for each code."""
        outputs = at_least_float32(self.recognition(features, training=training))
        return dict(zip(self.codes, tf.split(outputs, self._output_sizes, axis=-1), strict=True))

    def information(self, fake, z):
        """L_I of each code in nats, by name, for samples of the latents z."""
        bounds = {"categorical": categorical_information, "continuous": continuous_information}
        outputs = self._posteriors(self.features(fake), training=True)
        return {n: bounds[code.kind](z[:, code.slice], outputs[n]) for n, code in self.codes.items()}

    def recognize(self, x):
        """The codes that Q recognises in examples x, in inference mode, by name.

        A category has its probabilities, [B, K]; a continuous code has its mean, [B, 1].
        """
        features = networks.features(self.discriminator, images_of(x), training=False)
        found = self._posteriors(features, training=False).items()
        return {n: tf.nn.softmax(o) if self.codes[n].kind == "categorical" else o[:, :1] for n, o in found}

    @classmethod
    def build_networks(cls, builder, categorical=(10,), continuous=2, code_std="fixed"):
        """A generator with inputs for the codes, a discriminator, and a perceptron on its features."""
        categorical, continuous = _sizes(categorical, continuous)
        if builder.g_norm == "virtual":
            raise UserError(
                "g_norm='virtual' draws a reference batch from the prior of the noise, and codes have another: leave "
                "g_norm out."
            )
        inputs = builder.latent_dim + sum(categorical) + continuous
        built = super().build_networks(dataclasses.replace(builder, latent_dim=inputs))
        features = networks.features(built["discriminator"], tf.zeros([1, *builder.shape]), training=False)
        outputs = sum(_output_sizes(categorical, continuous, code_std))
        return {**built, "recognition": builder.mlp(features.shape[-1], outputs, name="recognition")}

    @classmethod
    def for_points(cls, dim=2, *, categorical=(8,), continuous=0, **kwargs):
        """Like `GAN.for_points`, with one code of 8 categories by default."""
        return super().for_points(dim, categorical=categorical, continuous=continuous, **kwargs)


class InfoGAN(_RecognizesCodes, CrossEntropyGAN):
    """Information maximizing GAN.

    Chen et al. (2016), equations 5 and 6. The latent vector holds noise z and codes c. A network Q, which shares all
    layers of D but the last, estimates the codes of a sample. L_I is a lower bound of the mutual information
    I(c; G(z, c)), and equals it for the best Q:

        L_I = E[log Q(c | G(z, c))] + H(c)

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z, c))))] - sum of lambda L_I of each code
        L_G = -E[log s(D(G(z, c)))]                       - sum of lambda L_I of each code

    Why: nothing in a GAN's objective makes single latents mean anything. Here G loses information, and so L_I, if it
    ignores a code or mixes it with others. Codes therefore come to stand for the properties that samples differ in
    most, such as the digit, its slant and its width, without any label.

    Q(c | x) of a category is a softmax. For a continuous code it is N(mean, std^2). H(c) is log K for K categories and
    log 2 for U(-1, 1), in nats. With K categories L_I is at most log K. For a continuous code with std = 1 it is at
    most log 2 - log(2 pi) / 2 = -0.226, so a negative value does not mean that the code is ignored: a Q that knows
    nothing has log 2 - log(2 pi) / 2 - 1 / 6 = -0.392.

    Latents are [noise, one-hot categories, continuous codes]. `codes` names the parts "category_0", "continuous_0" and
    so on, and `sample_latent(n, codes={"category_0": 3})` sets them.

    Who trains Q: D and Q share layers, the trunk. In both schedules the trunk moves in D's turns only, down L_D with
    both of its terms. With "official" the head of Q also trains in D's turns, by D's optimizer, as in the authors'
    code. With "paper" it trains in G's turns, by G's optimizer, as equation 6 groups the players.

    Args:
        generator: Maps noise and codes, [B, Z + codes], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1]. Its `features` are the trunk.
        recognition: The head of Q: maps the trunk's features, [B, F], to logits of each category, then one mean for
            each continuous code or, with code_std="learned", a mean and the logarithm of a standard deviation.
        categorical: Numbers of categories, one for each categorical code; may be empty. Defaults to (10,), as for MNIST
            in the paper. The default of `for_points` is (8,).
        continuous: Number of codes from U(-1, 1). Defaults to 2, as for MNIST. The default of `for_points` is 0.
        code_weight: lambda of categorical codes. Defaults to 1, Appendix C.
        continuous_weight: lambda of continuous codes. Defaults to 1, as in the authors' code.
        code_std: "fixed", std = 1, as in the authors' script for MNIST, or "learned". Defaults to "fixed".
        schedule: "official" or "paper". Defaults to "official".
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`. `latent_dim` is the number of noise
            inputs, without the codes; 62 for MNIST in the paper. `prior` is that of the noise, by default "uniform".

    Raises:
        UserError: If an argument has none of these values, if there is no code, or if a network has another size.

    Logs:
        information_<code>: L_I of each code in nats, in both players' turns.

    Differs from the paper: Q is a perceptron of the networks' width and depth. A learned std is exp(output), as in the
    paper; in the authors' code it is exp(output / 2). Their logs use the density of N(0, 1) for the entropy of
    continuous codes, which makes their L_I 0.393 higher for each; the gradients are equal.

    References:
        Chen et al., 2016, https://arxiv.org/abs/1606.03657
        Authors' code, https://github.com/openai/InfoGAN
    """

    takes_labels = "never"

    def __init__(
        self,
        generator,
        discriminator,
        recognition,
        *,
        code_weight=1.0,
        continuous_weight=1.0,
        schedule="official",
        prior="uniform",
        **kwargs,
    ):
        super().__init__(generator, discriminator, recognition, prior=prior, **kwargs)
        self.code_weight = number("code_weight", code_weight, least=0)
        self.continuous_weight = number("continuous_weight", continuous_weight, least=0)
        self.schedule = _one_of("schedule", schedule, "official", "paper")

    def default_optimizer(self, player):
        return optimizers.Adam(1e-3 if player == "generator" else 2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    @property
    def discriminator_variables(self):
        head = self.recognition.trainable_variables if self.schedule == "official" else []
        return [*self.discriminator.trainable_variables, *head]

    @property
    def generator_variables(self):
        head = self.recognition.trainable_variables if self.schedule == "paper" else []
        return [*self.generator.trainable_variables, *head]

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        return cross_entropy_discriminator(*self.D(x, fake), self.real_label) - self.weighted_information(fake, z)

    def generator_loss(self, x, z):
        fake = self.G(z)
        return non_saturating_generator(self.D(fake)) - self.weighted_information(fake, z)

    def weighted_information(self, fake, z):
        """The sum of lambda L_I of all codes, for samples of the latents z. Records L_I of each code."""
        weights, total = {"categorical": self.code_weight, "continuous": self.continuous_weight}, 0.0
        for name, value in self.information(fake, z).items():
            self.record(f"information_{name}", value)
            total += weights[self.codes[name].kind] * value
        return total


def categorical_information(one_hot, logits):
    """L_I of a code with K uniform categories: E[log q(c)] + log K, in nats.

    Args:
        one_hot: The categories, [B, K].
        logits: The logits of q, [B, K].
    """
    log_q = tf.nn.log_softmax(logits)
    return mean(tf.reduce_sum(tf.cast(one_hot, log_q.dtype) * log_q, axis=-1)) + math.log(logits.shape[-1])


def continuous_information(c, output):
    """L_I of a code from U(-1, 1): E[log N(c; mean, std^2)] + log 2, in nats.

    Args:
        c: The codes, [B, 1].
        output: Means, [B, 1], for std = 1, or means and logarithms of the std, [B, 2].
    """
    log_std = output[:, 1:] if output.shape[-1] == 2 else tf.zeros_like(output)
    standard = (tf.cast(c, output.dtype) - output[:, :1]) * tf.exp(-log_std)
    return mean(-0.5 * math.log(2.0 * math.pi) - log_std - 0.5 * tf.square(standard)) + math.log(2.0)


def _output_sizes(categorical: tuple[int, ...], continuous: int, code_std: str) -> list[int]:
    return [*categorical, *[2 if code_std == "learned" else 1] * continuous]


def _sizes(categorical: Sequence[int], continuous: int) -> tuple[tuple[int, ...], int]:
    if not isinstance(categorical, list | tuple):
        raise UserError(f"categorical must be a list of numbers of categories such as (10,), not {categorical!r}.")
    sizes = tuple(whole("each of categorical", size, 2) for size in categorical)
    if not sizes and not whole("continuous", continuous, 0):
        raise UserError("InfoGAN needs a code: give categorical=(10,), or continuous=1.")
    return sizes, whole("continuous", continuous, 0)


def _one_of(argument: str, value: str, *values: str) -> str:
    if value not in values:
        raise UserError(f"{argument} must be {' or '.join(map(repr, values))}, not {value!r}.")
    return value
