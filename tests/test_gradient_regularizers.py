"""R1, R2, the Jensen-Shannon regularizer and GAN-GP: exact losses and gradients, lazy turns, and their effects."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import penalties, testing
from gan_zoo.models import GANGP, R1GAN, R2GAN, RothGAN, VanillaGAN
from gan_zoo.nn.optimizers import updates

from .dirac import dirac, step
from .test_penalties import EPSILON, FAKE, INPUTS, REAL, VECTORS, Drawn, Quadratic

DIRAC = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["dirac"]
REGULARIZED = [R1GAN, R2GAN, RothGAN, GANGP]
# D's cross entropy at the scores of the test vectors.
CROSS_ENTROPY = np.mean(np.log1p(np.exp(-np.array(VECTORS["D_real"])))) + np.mean(
    np.log1p(np.exp(np.array(VECTORS["D_fake"])))
)


def analytic(cls, **kwargs):
    """Returns a GAN with the discriminator of the test vectors and G(z) = z, not compiled."""
    z, x = keras.Input((2,)), keras.Input((2,))
    discriminator = keras.Model(x, Quadratic()(x))
    discriminator.set_weights([np.float32(INPUTS["a"]), np.float32(INPUTS["b"])])
    gan = cls(keras.Model(z, keras.layers.Identity()(z)), discriminator, **kwargs)
    gan.random = Drawn(uniform=EPSILON)
    return gan


def d_loss_and_gradients(gan):
    """Returns L_D, its gradients for (a0, a1, b0, b1), and those for the generated points."""
    z = tf.constant(FAKE)
    weights = [v.value for v in gan.discriminator_variables]
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = gan.discriminator_loss(tf.constant(REAL), z)
    a, b, points = tape.gradient(loss, [*weights, z])
    return float(loss), np.concatenate([a, b]), points.numpy()


def none(cls):
    return analytic(cls, **({"gp_weight": 0.0} if cls is GANGP else {"gamma": 0.0}))


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (R1GAN, CROSS_ENTROPY + VECTORS["r1_gamma10_half"]),
        (R2GAN, CROSS_ENTROPY + VECTORS["r2_gamma10_half"]),
        (RothGAN, CROSS_ENTROPY + VECTORS["roth_js_gamma2_half"]),
        (GANGP, VECTORS["nsgan_gp_full_d_loss_logit"]),
    ],
)
def test_whole_losses(cls, expected):
    gan = analytic(cls)
    np.testing.assert_allclose(gan.discriminator_loss(tf.constant(REAL), tf.constant(FAKE)), expected, rtol=1e-6)
    loss = gan.generator_loss(tf.constant(REAL), tf.constant(FAKE))
    np.testing.assert_allclose(loss, VECTORS["nsgan_gp_g_loss"], rtol=1e-6)


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (R1GAN, "r1_code_regparam10_nohalf"),
        (R2GAN, "r2_code_regparam10_nohalf"),
        (R1GAN, "r2_gamma10_half"),
        (R2GAN, "r1_gamma10_half"),
        (GANGP, "gan_gp_on_probability_lambda10"),
        (GANGP, "wgan_gp_eps_on_fake_lambda10"),
        (GANGP, "wgan_gp_norm_of_mean_WRONG_lambda10"),
    ],
)
def test_known_mistakes_give_other_values(cls, wrong):
    penalty = d_loss_and_gradients(analytic(cls))[0] - CROSS_ENTROPY
    assert abs(penalty - VECTORS[wrong]) > 1


def test_the_authors_code_is_twice_gamma():
    for cls, name in ((R1GAN, "r1"), (R2GAN, "r2")):
        penalty = d_loss_and_gradients(analytic(cls, gamma=20.0))[0] - CROSS_ENTROPY
        np.testing.assert_allclose(penalty, VECTORS[f"{name}_code_regparam10_nohalf"], rtol=1e-6)


@pytest.mark.parametrize(
    ("cls", "name"), [(R1GAN, "r1_gamma10_half"), (R2GAN, "r2_gamma10_half"), (GANGP, "wgan_gp_lambda10")]
)
def test_parameter_gradients(cls, name):
    _, with_penalty, _ = d_loss_and_gradients(analytic(cls))
    _, without, _ = d_loss_and_gradients(none(cls))
    np.testing.assert_allclose(with_penalty - without, VECTORS["dparams_[a0,a1,b0,b1]"][name], rtol=1e-4)


def js_regularizer(parameters):
    """Returns the regularizer on the points of the test vectors, by NumPy in float64."""
    a, b = parameters[:2], parameters[2:]

    def weighted(points, sign):
        scores = (a * points**2 + b * points).sum(axis=1)
        return np.mean(((2 * a * points + b) ** 2).sum(axis=1) / (1 + np.exp(-sign * scores)) ** 2)

    return weighted(REAL.astype(float), -1) + weighted(FAKE.astype(float), 1)


def test_parameter_gradients_of_the_js_regularizer():
    parameters = np.array([*INPUTS["a"], *INPUTS["b"]])
    np.testing.assert_allclose(js_regularizer(parameters), VECTORS["roth_js_gamma2_half"], rtol=1e-9)
    shifts = 1e-5 * np.eye(4)
    expected = [(js_regularizer(parameters + d) - js_regularizer(parameters - d)) / 2e-5 for d in shifts]
    _, with_penalty, _ = d_loss_and_gradients(analytic(RothGAN))
    _, without, _ = d_loss_and_gradients(none(RothGAN))
    np.testing.assert_allclose(with_penalty - without, expected, rtol=1e-4)


@pytest.mark.parametrize("cls", REGULARIZED)
def test_the_penalty_does_not_reach_the_generator(cls):
    np.testing.assert_allclose(d_loss_and_gradients(analytic(cls))[2], d_loss_and_gradients(none(cls))[2], atol=1e-6)


# Lazy regularization.


def s(t):
    return 1 / (1 + np.exp(-t))


def psi_after(turns, interval, gamma, theta, psi, rate):
    """Returns psi of D(x) = psi x after several of its turns, data 0, with the penalty in every `interval`-th."""
    for turn in range(turns):
        strength = 0 if turn % interval else interval * gamma
        psi -= rate * (theta * s(psi * theta) + strength * psi)
    return psi


@pytest.mark.parametrize(("cls", "graph"), [(R1GAN, True), (R2GAN, False)])
def test_every_intervalth_turn_is_regularized(cls, graph):
    # Two turns of D a step: the penalty falls on turns 0, 3 and 6, in steps 0, 1 and 3.
    gan = dirac(cls, 0.7, 0.9, 0.1, gamma=0.5, interval=3, n_critic=2)
    data = np.zeros((4, 1), "float32")
    train_step = tf.function(gan.train_step) if graph else gan.train_step
    penalties_seen = []
    for number in range(1, 5):
        gan.generator.set_weights([np.full((1, 1), 0.7, "float32")])
        penalties_seen.append(float(train_step(data)["penalty"]))
        expected = psi_after(2 * number, 3, 0.5, 0.7, 0.9, 0.1)
        np.testing.assert_allclose(gan.discriminator.get_weights()[0][0, 0], expected, rtol=1e-5)
    assert [p > 0 for p in penalties_seen] == [True, True, False, True]
    np.testing.assert_allclose(penalties_seen[0], (3 * 0.9**2 + 0) / 2, rtol=1e-6)


def test_lazy_turns_are_not_computed():
    calls = []

    def penalty():
        calls.append(None)
        return tf.constant(2.0)

    values = [float(penalties.lazily(penalty, tf.constant(turn), 4)) for turn in range(9)]
    assert values == [8, 0, 0, 0, 8, 0, 0, 0, 8] and len(calls) == 3


def test_the_count_of_turns_is_the_optimizers_own():
    gan = dirac(R1GAN, 0.7, 0.9)
    assert int(updates(None)) == int(updates(gan.d_optimizer)) == 0
    step(gan, [0.0, 0.0])
    assert int(updates(gan.d_optimizer)) == 1
    assert int(updates(keras.optimizers.LossScaleOptimizer(gan.d_optimizer))) == 1


def test_an_uncompiled_lazy_gan_is_regularized():
    lazy, eager = (d_loss_and_gradients(analytic(R1GAN, gamma=10.0 / n, interval=n)) for n in (5, 1))
    for actual, expected in zip(lazy, eager, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


POINTS = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
IMAGES = np.random.default_rng(0).uniform(-1, 1, size=(8, 8, 8, 1)).astype("float32")


@pytest.mark.parametrize(
    ("cls", "check"),
    [
        (R1GAN, testing.check_weights),
        pytest.param(R1GAN, testing.check_xla, marks=pytest.mark.thorough),
        pytest.param(R2GAN, testing.check_replicas, marks=pytest.mark.thorough),
    ],
    ids=lambda value: value.__name__,
)
def test_lazy_gans_conform(cls, check):
    check(lambda: cls.for_points(width=8, interval=2, instance_noise=0.1, seed=0), POINTS)


def test_lazy_convolutional_gans_conform():
    testing.check_replicas(lambda: R1GAN.for_images((8, 8, 1), latent_dim=4, width=4, n_critic=2, interval=2), IMAGES)


def test_an_annealed_gan_conforms():
    testing.check_replicas(lambda: RothGAN.for_points(width=4, anneal_turns=3), POINTS)


def test_gamma_is_annealed():
    assert RothGAN.for_points(width=2, gamma=3.0).current_gamma() == 3.0
    gan = dirac(RothGAN, 0.5, 0.5, gamma=3.0, anneal_turns=100)
    for turn, expected in ((0, 3.0), (50, 0.3), (100, 0.03), (1000, 0.03)):
        gan.d_optimizer.iterations.assign(turn)
        np.testing.assert_allclose(gan.current_gamma(), expected, rtol=1e-5)


# Effects of the regularizers.


def spectral_radius(cls, rate, **kwargs):
    """Returns the spectral radius of a training step, linearised at the solution of the Dirac-GAN."""
    tiny = 1e-3
    columns = [step(dirac(cls, *start, rate, **kwargs), [0.0]) for start in ((tiny, 0.0), (0.0, tiny))]
    return np.abs(np.linalg.eigvals(np.array(columns).T / tiny)).max()


@pytest.mark.parametrize(("simultaneous", "key"), [(True, "simgd"), (False, "altgd_nd1")])
@pytest.mark.parametrize(
    ("cls", "kwargs", "row"),
    [
        (VanillaGAN, {}, "nsgan"),
        (R1GAN, {"gamma": 0.3}, "nsgan_r1_gamma0.3"),
        (R2GAN, {"gamma": 2.0}, "r1_gamma2"),
        # Roth's regularizer acts like the noise that it replaces.
        (RothGAN, {"gamma": 0.7**2}, "instance_noise_s0.7"),
        (RothGAN, {"gamma": 2.0**2}, "instance_noise_s2"),
    ],
)
def test_convergence_on_the_dirac_gan(cls, kwargs, row, simultaneous, key):
    radius = spectral_radius(cls, 0.1, simultaneous=simultaneous, **kwargs)
    np.testing.assert_allclose(radius, DIRAC[key]["h0.1"][row]["spectral_radius"], rtol=2e-5)


def test_the_js_regularizer_is_the_effect_of_a_little_noise():
    # Data N(0, 1), samples N(1, 1), D at its optimum, 1/2 - x. Quadrature computes integrals over all three Gaussians.
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()

    def score(x):
        return 0.5 - x

    def d_loss(std):
        noisy = nodes[:, None] + std * nodes[None, :]
        each = weights[:, None] * weights[None, :]
        return (each * np.logaddexp(0, -score(noisy))).sum() + (each * np.logaddexp(0, score(noisy + 1))).sum()

    # The function averages, so nodes are repeated in proportion to their weights.
    counts = np.round(weights * 2e4).astype(int)
    points = np.repeat(nodes, counts).astype("float32")[:, None]
    omega = float(penalties.js_regularizer(score, tf.constant(points), tf.constant(points + 1)))
    for gamma in (0.01, 0.04):
        effect = d_loss(np.sqrt(gamma)) - d_loss(0.0)
        np.testing.assert_allclose(effect, 0.5 * gamma * omega, rtol=3 * gamma)
