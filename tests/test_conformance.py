"""The public conformance suite, run on the whole zoo and on GANs that it must reject."""

import pytest
import tensorflow as tf

from gan_zoo import models, testing
from gan_zoo.losses import mean, softplus
from gan_zoo.models import VARIANTS, VanillaGAN

from . import variants
from .thorough import marks
from .variants import IMAGES, LABELS, POINTS

# Each variant passes all checks on points, or on images if it takes no points, with labels where the check writes a
# file or uses replicas. Then one variant for each kind of network writes a file and uses replicas on images:
# convolutions with batch, spectral and no normalization, an autoencoder, and growing networks. The tests of networks
# compile convolutional networks with XLA, those of exports export them.
LABELLED_CHECKS = (testing.check_keras_file, testing.check_replicas)
ON_IMAGES = {"dcgan": 2, "kl_wgan": 1, "wgan_gp": 1, "ebgan": 1, "progressive_gan": 1}
"""Variants with their discriminator turns. One splits a batch of images: the graph of more turns takes long to make."""

# What these checks find in a variant they also find in the one that stands for it. A new variant passes all checks.
REPEATED = (testing.check_xla, testing.check_weights, testing.check_export)
CASES = [
    pytest.param(name, check, id=f"{name}-{check.__name__}", marks=marks(check in REPEATED and name in variants.LIKE))
    for name in VARIANTS
    for check in testing.CHECKS
]

ON_FOUR = ("dcgan", "ragan")
"""Variants of which four replicas are compared: with batch normalization, and with statistics of the whole batch in the
losses. The rest have two, or four with --thorough."""


def points(cls):
    return lambda: cls.for_points(width=4)


def test_a_variant_that_stands_for_others_passes_all_checks():
    assert {*variants.LIKE} <= {*VARIANTS} and {*variants.LIKE.values()} <= {*VARIANTS} - {*variants.LIKE}


@pytest.mark.parametrize(("name", "check"), CASES)
def test_a_variant(name, check, monkeypatch, request):
    if name in ON_FOUR or request.config.getoption("--thorough"):
        monkeypatch.setattr(testing, "REPLICAS", (2, 4))
    cls, labelled = variants.find(name), check in LABELLED_CHECKS
    make = lambda: variants.small(cls, labelled=labelled, n_critic=1, unroll_steps=2)  # noqa: E731
    check(make, variants.data_for(make()))


@pytest.mark.parametrize("check", LABELLED_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(
    ("name", "n_critic"),
    [pytest.param(name, turns, marks=marks(name != "dcgan")) for name, turns in ON_IMAGES.items()],
)
def test_on_images_with_labels(name, n_critic, check):
    cls = getattr(models, VARIANTS[name])
    make = lambda: cls.for_images((8, 8, 1), latent_dim=4, width=4, n_critic=n_critic, classes=3)  # noqa: E731
    check(make, (IMAGES, LABELS))


class Greedy(VanillaGAN):
    """Its generator's turn trains the discriminator too."""

    @property
    def generator_variables(self):
        return [*self.generator.trainable_variables, *self.discriminator.trainable_variables]


class Idle(VanillaGAN):
    """Its generator's loss does not depend on the generator."""

    def generator_loss(self, x, z):
        return mean(softplus(-self.D(tf.stop_gradient(self.G(z))))) + 0.0 * mean(self.G(z))


class OwnStatistic(VanillaGAN):
    """Compares with the mean over the replica's part of the batch only."""

    def discriminator_loss(self, x, z):
        real, fake = self.D(x), self.D(self.G(z))
        return mean(tf.square(real - mean(fake) - 1.0)) + mean(tf.square(fake - mean(real) + 1.0))


class Summed(VanillaGAN):
    """Sums over the batch instead of averaging."""

    def discriminator_loss(self, x, z):
        return tf.reduce_sum(softplus(-self.D(x))) + tf.reduce_sum(softplus(self.D(self.G(z))))


class Unseeded(VanillaGAN):
    """Draws noise from a source that checkpoints do not save."""

    def discriminator_loss(self, x, z):
        return super().discriminator_loss(x + 0.1 * tf.random.normal(x.shape), z)


class Counting(VanillaGAN):
    """Counts steps of a schedule in a Python attribute."""

    def discriminator_loss(self, x, z):
        self.calls = getattr(self, "calls", 0) + 1
        return super().discriminator_loss(x, z) / self.calls


class Forgetful(VanillaGAN):
    """Does not store its argument."""

    def __init__(self, generator, discriminator, *, weight=2.0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)


class Deaf(VanillaGAN):
    """Does not pass on the arguments of its base class."""

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(generator, discriminator)


class Omitting(VanillaGAN):
    """Omits its argument from its configuration."""

    def __init__(self, generator, discriminator, *, weight=2.0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.weight = weight

    def get_config(self):
        config = super().get_config()
        del config["weight"]
        return config


class Infinite(VanillaGAN):
    """Has an infinite loss."""

    def generator_loss(self, x, z):
        return super().generator_loss(x, z) + tf.math.log(0.0 * mean(self.D(x)))


class Silent(VanillaGAN):
    """Logs nothing about its generator."""

    def generator_step(self, x):
        self.minimize(self.generator_loss, x, self.generator_variables, self.g_optimizer)


class Stubborn(VanillaGAN):
    """Draws latents that ignore the seed."""

    def sample_latent(self, n, seed=None):
        return self.random.normal([n, self.latent_dim])


class Undivided(VanillaGAN):
    """Passes the whole batch to every turn."""

    def split(self, data):
        return [data] * self.n_critic


class Rounded(VanillaGAN):
    """Computes its loss in the precision of the networks."""

    def discriminator_loss(self, x, z):
        return tf.cast(super().discriminator_loss(x, z), self.compute_dtype)


@pytest.mark.parametrize(
    ("cls", "check", "sentence"),
    [
        (Forgetful, testing.check_config, "'weight' must be kept in an attribute of that name"),
        (Deaf, testing.check_config, "the constructor's argument 'saturating' was True, but the attribute is False"),
        (Omitting, testing.check_config, "lost by get_config and from_config: weight"),
        (Stubborn, testing.check_latents, "must give the same latents each time"),
        (Greedy, testing.check_turns, "the generator's turn moved variables of the other player: dense"),
        (Idle, testing.check_turns, "the generator's turn moved no variable of the generator"),
        (Undivided, testing.check_batch_split, "with n_critic=9, a batch of 8 examples must raise a UserError"),
        (Rounded, testing.check_mixed_precision, "discriminator_loss must be float32 under mixed_bfloat16, not bfloat"),
        (Infinite, testing.check_logs, "the log 'g_loss' must be finite, not -inf"),
        (Silent, testing.check_logs, "train_step must log 'g_loss'; it logs d_loss"),
        (Unseeded, testing.check_weights, "differs 1 step after save_weights"),
        (Counting, testing.check_keras_file, "differs 1 step after save and load_model"),
        (OwnStatistic, testing.check_replicas, "5 steps on 2 replicas differ .* by gan_zoo.distribution.global_mean"),
        (Summed, testing.check_replicas, "5 steps on 2 replicas differ .* must average over the batch"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_broken_gans_are_caught(cls, check, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check(points(cls), POINTS)


def test_check_gan_runs_every_check(monkeypatch):
    every = [value for name, value in vars(testing).items() if name.startswith("check_") and name != "check_gan"]
    assert list(testing.CHECKS) == every
    ran = []
    checks = [lambda make, data, k=k: ran.append((k, make, data)) for k in range(2)]
    monkeypatch.setattr(testing, "CHECKS", checks)
    testing.check_gan("make", "data")
    assert ran == [(0, "make", "data"), (1, "make", "data")]


def test_one_logical_device_is_not_enough(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["CPU:0"])
    with pytest.raises(ValueError, match="set_logical_device_configuration"):
        testing.check_replicas(points(VanillaGAN), POINTS)


def test_replicas_must_have_equal_parts(four_replicas):
    with pytest.raises(ValueError, match="a number of examples that 4 divides .* not 6"):
        testing.check_replicas(points(VanillaGAN), POINTS[:6])
