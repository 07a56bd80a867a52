"""Balance of the players: simultaneous steps, warm-up, the dynamic schedule, and noise before the discriminator."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import networks, testing
from gan_zoo.distribution import RandomStream
from gan_zoo.layers import InstanceNoise, SpectralNormalization
from gan_zoo.models import WGAN, WGANGP, HingeGAN, VanillaGAN
from gan_zoo.schedules import balance
from gan_zoo.util.errors import UserError

from .dirac import dirac, step
from .thorough import thoroughly

DATA = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")


def moved(gan, data, steps):
    """Returns for each step whether theta changed, and whether psi did."""
    found = []
    before = [model.get_weights()[0].copy() for model in (gan.generator, gan.discriminator)]
    for _ in range(steps):
        step(gan, data)
        now = [model.get_weights()[0].copy() for model in (gan.generator, gan.discriminator)]
        found.append(tuple(not np.array_equal(a, b) for a, b in zip(now, before, strict=True)))
        before = now
    return found


def test_warm_up_is_the_authors_schedule():
    gan = dirac(WGAN, 0.8, 0.6, n_critic=2, clip=100.0, balance="warm_up(turns=6, first=2, every=4)")
    data = [0.0, 0.0, 0.3, 0.3]
    # Updates 0 and 1 come after 6 turns, three steps of two; 2 and 3 after two turns; 4 to 7 after 6; 8 after 6.
    waits = [3, 3, 1, 1, 3, 1, 1, 1, 3]
    expected = [k == wait - 1 for wait in waits for k in range(wait)]
    found = moved(gan, data, sum(waits))
    assert [g for g, _ in found] == expected
    assert all(d for _, d in found)
    assert int(gan.g_optimizer.iterations) == len(waits)
    assert int(gan.d_optimizer.iterations) == 2 * sum(waits)


def test_warm_up_without_a_period():
    due = balance.WarmUp(turns=10, first=2, every=0).due
    turns, updates = tf.constant(3, tf.int64), [tf.constant(k, tf.int64) for k in (0, 1, 2, 500)]
    assert [bool(due(turns, u, 0.0)) for u in updates] == [False, False, True, True]


def test_the_generator_waits_until_the_discriminator_is_good_enough():
    gan = dirac(VanillaGAN, 2.0, 0.0, rate=0.2, balance="until(d_loss=1.0, turns=50)")
    losses, theta = [], 2.0
    while theta == 2.0:
        psi = float(gan.discriminator.get_weights()[0][0, 0])
        losses.append(np.log(2) + np.log1p(np.exp(2.0 * psi)))
        theta, _ = step(gan, [0.0, 0.0])
    assert losses[-1] <= 1.0 < losses[-2]
    assert len(losses) > 3


def test_the_wait_is_bounded():
    gan = dirac(VanillaGAN, 0.5, 0.1, balance="until(d_loss=0.0, turns=3)")
    assert [g for g, _ in moved(gan, [0.0, 0.0], 7)] == [False, False, True, False, False, True, False]


def test_a_turn_that_is_not_due_leaves_nothing_behind():
    gan = VanillaGAN.for_points(width=4, seed=0, balance="until(d_loss=0.0, turns=2)")
    gan.compile()
    before = [v.numpy() for v in [*gan.generator.variables, *gan.g_optimizer.variables]]
    logs = gan.train_step(tf.constant(DATA))
    after = [*gan.generator.variables, *gan.g_optimizer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))
    assert float(logs["g_turns"]) == 0.0
    assert float(gan.train_step(tf.constant(DATA))["g_turns"]) == 1.0
    assert int(gan.g_optimizer.iterations) == 1


BALANCES = ["warm_up(turns=4, first=1, every=3)", "until(d_loss=1.35, turns=3)"]


@pytest.mark.parametrize("text", BALANCES)
@pytest.mark.parametrize(
    "check", [testing.check_replicas, testing.check_xla, testing.check_weights], ids=lambda check: check.__name__
)
def test_balances_conform(check, text):
    check(lambda: VanillaGAN.for_points(width=4, balance=text), DATA)


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (WGANGP, testing.check_replicas),
        pytest.param(WGAN, testing.check_replicas, marks=pytest.mark.thorough),
        pytest.param(WGANGP, testing.check_xla, marks=pytest.mark.thorough),
    ],
    ids=lambda value: value.__name__,
)
def test_simultaneous_steps_conform(check, cls):
    check(lambda: cls.for_points(width=4, n_critic=2, simultaneous=True), DATA)


def test_simultaneous_steps_are_exact_on_the_dirac_gan():
    # Mescheder et al. (2018), Lemma 2.4 and its proof: |x'|^2 = |x|^2 (1 + h^2 f'(psi theta)^2).
    h, theta, psi = 0.2, 1.0, 1.0
    gan = dirac(VanillaGAN, theta, psi, h, saturating=True, simultaneous=True)
    radius = theta**2 + psi**2
    for _ in range(20):
        slope = 1 / (1 + np.exp(-psi * theta))
        theta, psi = step(gan, [0.0, 0.0])
        assert theta**2 + psi**2 == pytest.approx(radius * (1 + (h * slope) ** 2), rel=1e-5)
        radius = theta**2 + psi**2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant", balance.Constant()),
        ("warm_up", balance.WarmUp(100, 25, 500)),
        (" warm_up(every=0) ", balance.WarmUp(100, 25, 0)),
        ("until(d_loss=-0.5)", balance.Until(-0.5, 10)),
        ("until(turns=3, d_loss=1)", balance.Until(1, 3)),
    ],
)
def test_descriptions(text, expected):
    assert balance.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("slow", "balance must be 'constant', 'warm_up.*not 'slow'"),
        ("", "balance must be 'constant'"),
        ("warm_up(100)", "balance: '100' is not of the form name=value"),
        ("warm_up(turns=x)", "balance: turns must be a whole number, not 'x'"),
        ("__import__('os')", "balance must be 'constant'"),
        ("constant(turns=1)", "balance: constant has no argument 'turns'. It has none"),
        ("warm_up(loss=1)", "balance: warm_up has no argument 'loss'. It has turns, first, every"),
        ("warm_up(turns=0)", "balance: turns must be a whole number of at least 1, not 0"),
        ("warm_up(first=-1)", "balance: first must be a whole number of at least 0, not -1"),
        ("until(turns=1.5)", "balance: turns must be a whole number, not 1.5"),
        ("until(d_loss='low')", "balance: d_loss must be a number, not 'low'"),
        ("until(d_loss=True)", "balance: d_loss must be a number, not True"),
    ],
)
def test_descriptions_that_make_no_sense(text, sentence):
    with pytest.raises(UserError, match=sentence):
        VanillaGAN.for_points(width=2, balance=text)


def test_simultaneous_steps_have_no_balance():
    with pytest.raises(UserError, match="leave out balance='warm_up'"):
        VanillaGAN.for_points(width=2, simultaneous=True, balance="warm_up")


def noise_layer(stddev, turns):
    layer = keras.layers.Layer()
    state = layer.add_weight((2,), "zeros", dtype="int64")
    return InstanceNoise(stddev, turns, RandomStream(state))


def test_noise_is_normal_and_falls_linearly():
    noise = noise_layer(0.5, turns=4)
    x = tf.ones([20000, 2])
    deviations = []
    for _ in range(6):
        noise.begin_turn()
        y = noise(x) - x
        assert abs(float(tf.reduce_mean(y))) < 0.02
        deviations.append(float(tf.math.reduce_std(y)))
    np.testing.assert_allclose(deviations, [0.5, 0.375, 0.25, 0.125, 0, 0], atol=0.01)


def test_noise_without_an_end():
    noise = noise_layer(0.5, turns=0)
    for _ in range(3):
        noise.begin_turn()
    images, labels = noise((tf.zeros([4, 3]), tf.range(4)))
    assert float(tf.reduce_max(tf.abs(images))) > 0
    np.testing.assert_array_equal(labels, range(4))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"instance_noise": -0.5}, "instance_noise must be 0 or more, not -0.5"),
        ({"instance_noise": 0.5, "noise_turns": -1}, "noise_turns must be a whole number of at least 0, not -1"),
    ],
)
def test_noise_that_makes_no_sense(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        VanillaGAN.for_points(width=2, **arguments)


class Recorder(keras.layers.Layer):
    """Records its inputs."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x):
        self.seen.append(x)
        return x


def test_real_and_generated_points_get_fresh_noise_in_both_turns():
    recorder = Recorder()
    x = keras.Input((2,))
    discriminator = keras.Model(x, keras.layers.Dense(1)(recorder(x)))
    generator = networks.for_points(2, latent_dim=2, width=4, depth=1)[0]
    gan = VanillaGAN(generator, discriminator, instance_noise=0.5, noise_turns=2, seed=0)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    recorder.seen.clear()
    z = gan.sample_latent(8, seed=0)
    made = generator(z).numpy()
    gan.sample_latent = lambda n, seed=None: z
    gan.train_step(tf.constant(DATA))
    real, fake, again = (seen.numpy() for seen in recorder.seen)
    noises = [real - DATA, fake - made, again - made]
    # The noise has half of its size in the second turn.
    np.testing.assert_allclose([n.std() for n in noises], [0.5, 0.5, 0.25], rtol=0.35)
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.7
    assert not np.allclose(noises[1], 2 * noises[2])
    recorder.seen.clear()
    gan.train_step(tf.constant(DATA))
    np.testing.assert_array_equal(recorder.seen[0], DATA)  # annealed


@pytest.mark.parametrize(
    "check",
    [
        *(testing.check_keras_file, testing.check_mixed_precision),
        *thoroughly(testing.check_replicas, testing.check_xla),
    ],
    ids=lambda check: check.__name__,
)
def test_noise_conforms(check):
    check(lambda: WGANGP.for_points(width=4, n_critic=1, instance_noise=0.3, noise_turns=6), DATA)


def test_noise_on_convolutions_conforms():
    images = np.random.default_rng(0).uniform(-1, 1, size=(8, 8, 8, 1)).astype("float32")
    make = lambda: VanillaGAN.for_images((8, 8, 1), width=2, latent_dim=2, norm="none", instance_noise=0.3)  # noqa: E731
    assert networks.one_pass_pays(make().discriminator)
    testing.check_replicas(make, images)


def test_one_power_iteration_for_each_turn_of_a_player():
    gan = HingeGAN.for_images((8, 8, 1), width=2, latent_dim=2, seed=0)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    layer = next(k for k in gan.discriminator.layers if isinstance(k, SpectralNormalization))
    kernel = layer.layer.kernel.numpy().reshape(-1, layer.layer.kernel.shape[-1])
    u = layer.u.numpy()
    gan.train_step(tf.zeros([4, 8, 8, 1]))
    for _ in range(2):  # one turn each
        v = u @ kernel.T
        u = v / np.linalg.norm(v) @ kernel
        u /= np.linalg.norm(u)
    np.testing.assert_allclose(layer.u, u, rtol=1e-4, atol=1e-6)


def test_real_and_generated_points_see_the_same_spectral_weights():
    discriminator = networks.for_images("mlp", (2, 2, 1), latent_dim=2, width=4, norm="spectral")[1]
    generator = networks.for_images("mlp", (2, 2, 1), latent_dim=2, width=4)[0]
    gan = VanillaGAN(generator, discriminator, seed=0)
    x = tf.constant(np.random.default_rng(1).normal(size=(4, 2, 2, 1)), tf.float32)
    first, second = gan.D(x, x)
    np.testing.assert_array_equal(first, second)
    gan.begin_turn()
    assert not np.allclose(gan.D(x), first)
