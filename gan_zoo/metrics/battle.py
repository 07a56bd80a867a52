"""The generative adversarial metric: two GANs compete, each discriminator judging the other generator's samples.

References:
    Im et al., 2016, Generating images with recurrent adversarial networks, https://arxiv.org/abs/1602.05110, Section 4
    Authors' code, https://github.com/jiwoongim/GRAN
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gan_zoo.util.checks import number, whole
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    from gan_zoo.gan import GAN


class Battle(NamedTuple):
    """The result of a battle of two models.

    Attributes:
        test_ratio: a_1(x) / a_2(x): the first discriminator's accuracy on test data, divided by the second's.
        sample_ratio: a_1(G_2(z)) / a_2(G_1(z)): the share of the second generator's samples that the first
            discriminator recognises, divided by the share of the first generator's that the second recognises.
        winner: 1 or 2; None if no model wins, or if the discriminators are not comparable.
    """

    test_ratio: float
    sample_ratio: float
    winner: int | None


def battle(
    first: "GAN", second: "GAN", x: Any, *, samples: int = 1000, tolerance: float = 0.1, seed: int = 0, size: int = 100
) -> Battle:
    """Lets two GANs compete.

    D_1 and D_2 judge the samples of the other model and the same test data. The accuracy a of a discriminator is the
    share of real examples with a score above 0, or of samples with a score of 0 or below: scores are logits, as in the
    cross-entropy game. The first model wins if the sample ratio is above 1, and the second if it is below 1, but only
    if the test ratio is near 1. Otherwise one discriminator is better, or more inclined to say "real", and the sample
    ratio measures this.

    Generators run in inference mode, and discriminators in training mode, as in their turns: batch normalization uses
    the statistics of the examples of one pass, as in the authors' code. Nothing in the models changes. The ratios
    compare two models on one task, and have no scale of quality.

    Args:
        first: A model with a generator and a discriminator of raw scores, [B, 1].
        second: Another one, for the same examples.
        x: Test data, which neither model was trained on: images, [N, H, W, C], or points, or (images, labels) for
            models with classes.
        samples: Number of samples of each model. Defaults to 1000, as in the authors' code.
        tolerance: The test ratio is near 1 if it is in [1 / (1 + tolerance), 1 + tolerance].
        seed: Seed of the latents, which are the same for both models if their priors and sizes are.
        size: Number of examples in one pass of a network. Defaults to 100, the authors' minibatch.

    Returns:
        The two ratios and the winner. A ratio of two zeros is NaN, and that of a number and zero is infinite.

    Raises:
        UserError: If a model's discriminator does not score examples, or a number is not in its range.
    """
    number("tolerance", tolerance, least=0)
    whole("samples", samples, 1)
    whole("size", size, 1)
    test = [_share(gan, x, size) for gan in (first, second)]
    drawn = [_samples(gan, samples, seed, size) for gan in (first, second)]
    recognized = [1.0 - _share(first, drawn[1], size), 1.0 - _share(second, drawn[0], size)]
    return judge(_ratio(*test), _ratio(*recognized), tolerance)


def judge(test_ratio: float, sample_ratio: float, tolerance: float = 0.1) -> Battle:
    """Returns the battle with these ratios, and its winner: see `battle`."""
    comparable = 1.0 / (1.0 + tolerance) <= test_ratio <= 1.0 + tolerance
    winner = 1 if sample_ratio > 1.0 else 2 if sample_ratio < 1.0 else None
    return Battle(test_ratio, sample_ratio, winner if comparable else None)


def _ratio(a: float, b: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(a) / np.float64(b))


def _parts(x: Any, size: int):
    """Yields parts of examples of any structure, of `size` or fewer."""
    import tensorflow as tf

    count = len(tf.nest.flatten(x)[0])
    for start in range(0, count, size):
        yield tf.nest.map_structure(lambda leaf, start=start: leaf[start : start + size], x)


def _samples(gan: "GAN", samples: int, seed: int, size: int) -> Any:
    """Samples of a model as arrays, with their labels if the model has classes."""
    z = gan.sample_latent(samples, seed=seed)
    images = np.concatenate([np.asarray(gan(part)) for part in _parts(z, size)])
    return images if gan.classes is None else (images, np.asarray(z[1]))


def _share(gan: "GAN", x: Any, size: int) -> float:
    """The share of examples whose score is above 0."""
    discriminator = gan.networks().get("discriminator")
    if discriminator is None:
        raise UserError(f"{type(gan).__name__} has no discriminator, so it cannot compete.")
    found, trainable = [], {id(variable) for variable in discriminator.trainable_variables}
    kept = [(v, np.array(v.numpy())) for v in discriminator.variables if id(v) not in trainable]
    for part in _parts(x, size):
        scores = np.asarray(discriminator(part, training=True))
        for variable, value in kept:
            variable.assign(value)
        if scores.shape not in ((len(scores),), (len(scores), 1)):
            raise UserError(
                f"the discriminator of {type(gan).__name__} must return one score for each example, [B, 1], not "
                f"{list(scores.shape)}."
            )
        found.append(scores.ravel())
    return float(np.mean(np.concatenate(found) > 0))
