"""Every variant on the Dirac-GAN: one step against the paper's update, derived by hand."""

import ast
import inspect
import math
from pathlib import Path

import keras
import numpy as np
import pytest

from gan_zoo import models
from gan_zoo.gan import GAN
from gan_zoo.models import (
    DCGAN,
    DRAGAN,
    EBGAN,
    GANGP,
    KLWGAN,
    LSGAN,
    R1GAN,
    R2GAN,
    RGAN,
    VARIANTS,
    WGAN,
    WGANGP,
    ConsensusGAN,
    GradientRegularizedGAN,
    HingeGAN,
    PrimalDualGAN,
    ProgressiveGAN,
    RaGAN,
    RothGAN,
    UnrolledGAN,
    VanillaGAN,
)

from .dirac import dirac, step

RATE = 0.1


def s(t):
    return 1 / (1 + math.exp(-t))


def sign(t):
    return (t > 0) - (t < 0)


# The derivatives of h and l of the relativistic losses.
H = {
    "standard": lambda t: -s(-t),
    "least_squares": lambda t: 2 * (t - 1),
    "hinge": lambda t: -1.0 if t < 1 else 0.0,
}
L = {
    "standard": s,
    "least_squares": lambda t: 2 * (t + 1),
    "hinge": lambda t: 1.0 if t > -1 else 0.0,
}


def mean(values):
    values = list(values)
    return sum(values) / len(values)


# For each case: the class and its arguments, dL_D/dpsi at (theta, psi, data), dL_G/dtheta at (theta, psi, data). With
# D(x) = psi x the gradient of D is psi everywhere, so a penalty P(||grad D||) equals P(|psi|).
def cross_entropy(theta, psi, data):
    return mean(-c * s(-psi * c) for c in data) + theta * s(psi * theta)


def non_saturating(theta, psi, data):
    return -psi * s(-psi * theta)


def wasserstein(theta, psi, data):
    return theta - mean(data)


def two_sided(psi):
    return 2 * (abs(psi) - 1) * sign(psi)


def relativistic_d(objective):
    return lambda theta, psi, data: mean(H[objective](psi * (c - theta)) * (c - theta) for c in data)


def relativistic_g(objective):
    return lambda theta, psi, data: mean(H[objective](psi * (theta - c)) * psi for c in data)


def average_d(objective, scale=1.0):
    def derivative(theta, psi, data):
        center = mean(data)
        high = mean(H[objective](psi * (c - theta)) * (c - theta) for c in data)
        return scale * (high + L[objective](psi * (theta - center)) * (theta - center))

    return derivative


def average_g(objective, scale=1.0):
    def derivative(theta, psi, data):
        high = H[objective](psi * (theta - mean(data))) * psi
        return scale * (high + mean(-psi * L[objective](psi * (c - theta)) for c in data))

    return derivative


def slope(t):
    """Returns the derivative of the sigmoid."""
    return s(t) * s(-t)


def curvature(theta, psi, data):
    """Returns the derivatives of `cross_entropy` with respect to theta and psi."""
    by_theta = s(psi * theta) + psi * theta * slope(psi * theta)
    return by_theta, mean(c * c * slope(psi * c) for c in data) + theta * theta * slope(psi * theta)


def unrolled(steps, rate):
    """Returns d f_K / d theta, computed with the derivative of psi_k by theta."""

    def derivative(theta, psi, data):
        moved = 0.0
        for _ in range(steps):
            by_theta, by_psi = curvature(theta, psi, data)
            psi, moved = psi - rate * cross_entropy(theta, psi, data), moved - rate * (by_theta + by_psi * moved)
        return -psi * s(psi * theta) - cross_entropy(theta, psi, data) * moved

    return derivative


def gradient_regularized(eta):
    def derivative(theta, psi, data):
        by_theta, _ = curvature(theta, psi, data)
        return -psi * s(psi * theta) + eta * 2 * cross_entropy(theta, psi, data) * by_theta

    return derivative


def primal_dual(alpha, sigma, weight):
    def derivative(theta, psi, data):
        def term(c):
            kernel = math.exp(-((theta - c) ** 2) / (2 * sigma**2))
            return 2 * alpha * math.log(2 * s(-psi * c)) * kernel * (c - theta) / sigma**2

        return -psi * s(psi * theta) + weight * mean(term(c) for c in data)

    return derivative


def consensus(gamma):
    """Returns v + gamma v'^T v of the non-saturating game, with v' derived by hand."""

    def update(theta, psi, data):
        v_theta, v_psi = non_saturating(theta, psi, data), cross_entropy(theta, psi, data)
        psi_by_theta, psi_by_psi = curvature(theta, psi, data)
        theta_by_theta, theta_by_psi = psi**2 * slope(psi * theta), psi * theta * slope(psi * theta) - s(-psi * theta)
        w_theta = v_theta + gamma * (theta_by_theta * v_theta + psi_by_theta * v_psi)
        w_psi = v_psi + gamma * (theta_by_psi * v_theta + psi_by_psi * v_psi)
        return theta - RATE * w_theta, psi - RATE * w_psi

    return update


def js_regularized(theta, psi, data):
    """Returns the derivative of E[(1 - s(r))^2 psi^2] + E[s(f)^2 psi^2]."""
    at_data = mean(2 * s(-psi * c) ** 2 * psi - psi**2 * 2 * s(-psi * c) * slope(psi * c) * c for c in data)
    return at_data + 2 * s(psi * theta) ** 2 * psi + psi**2 * 2 * s(psi * theta) * slope(psi * theta) * theta


def energy_d(margin, energy, derivative):
    """D(x) = psi x as an autoencoder: the energy is a function of (psi - 1) x, whose derivative by psi is x."""

    def by_psi(c, psi):
        return derivative((psi - 1) * c) * c

    def total(theta, psi, data):
        pushed = by_psi(theta, psi) if energy((psi - 1) * theta) < margin else 0.0
        return mean(by_psi(c, psi) for c in data) - pushed

    return total


CASES = {
    "vanilla_gan": (VanillaGAN, {}, cross_entropy, non_saturating),
    "vanilla_gan saturating": (
        *(VanillaGAN, {"saturating": True}, cross_entropy),
        lambda theta, psi, data: -psi * s(psi * theta),
    ),
    "dcgan": (DCGAN, {}, cross_entropy, non_saturating),
    "lsgan": (
        *(LSGAN, {"a": -1.0, "b": 1.5, "c": 0.25}),
        lambda theta, psi, data: mean(c * (psi * c - 1.5) for c in data) + theta * (psi * theta + 1.0),
        lambda theta, psi, data: psi * (psi * theta - 0.25),
    ),
    "wgan": (WGAN, {"n_critic": 1, "clip": 100.0}, wasserstein, lambda theta, psi, data: -psi),
    "wgan_gp": (
        *(WGANGP, {"n_critic": 1, "gp_weight": 3.0}),
        lambda theta, psi, data: wasserstein(theta, psi, data) + 3.0 * two_sided(psi),
        lambda theta, psi, data: -psi,
    ),
    "progressive_gan": (
        *(ProgressiveGAN, {"gp_weight": 3.0, "gp_target": 2.0, "drift_weight": 0.5}),
        lambda theta, psi, data: (
            wasserstein(theta, psi, data)
            + 3.0 * 2 * (abs(psi) - 2.0) * sign(psi) / 4.0
            + 0.5 * 2 * psi * mean(c**2 for c in data)
        ),
        lambda theta, psi, data: -psi,
    ),
    "dragan form 1": (
        *(DRAGAN, {"form": 1, "gp_weight": 0.5}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + 0.5 * 2 * psi,
        non_saturating,
    ),
    "dragan form 2": (
        *(DRAGAN, {"form": 2, "gp_weight": 0.5, "k": 0.3}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + (0.5 * 2 * psi if psi**2 > 0.3 else 0.0),
        non_saturating,
    ),
    "dragan form 3": (
        *(DRAGAN, {"form": 3, "gp_weight": 0.5}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + 0.5 * two_sided(psi),
        non_saturating,
    ),
    "hinge_gan": (
        *(HingeGAN, {}),
        lambda theta, psi, data: mean(-c if psi * c < 1 else 0.0 for c in data) + (theta if psi * theta > -1 else 0.0),
        lambda theta, psi, data: -psi,
    ),
    "rgan penalised": (
        *(RGAN, {"gp_weight": 2.0}),
        lambda theta, psi, data: relativistic_d("standard")(theta, psi, data) + 2.0 * two_sided(psi),
        relativistic_g("standard"),
    ),
    "ragan penalised": (
        *(RaGAN, {"gp_weight": 2.0}),
        lambda theta, psi, data: average_d("standard")(theta, psi, data) + 2.0 * two_sided(psi),
        average_g("standard"),
    ),
    "ragan mean": (RaGAN, {"reduction": "mean"}, average_d("standard", 0.5), average_g("standard", 0.5)),
    "unrolled_gan": (
        *(UnrolledGAN, {"unroll_steps": 3, "inner_learning_rate": 0.4}, cross_entropy),
        unrolled(3, 0.4),
    ),
    "gradient_regularized_gan": (
        *(GradientRegularizedGAN, {"eta": 0.7}, cross_entropy),
        gradient_regularized(0.7),
    ),
    "primal_dual_gan": (
        *(PrimalDualGAN, {"alpha": 0.3, "sigma": 0.8, "penalty_weight": 2.0}, cross_entropy),
        primal_dual(0.3, 0.8, 2.0),
    ),
    "r1_gan": (
        *(R1GAN, {"gamma": 3.0}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + 3.0 * psi,
        non_saturating,
    ),
    "r2_gan": (
        *(R2GAN, {"gamma": 3.0}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + 3.0 * psi,
        non_saturating,
    ),
    "roth_gan": (
        *(RothGAN, {"gamma": 3.0}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + 1.5 * js_regularized(theta, psi, data),
        non_saturating,
    ),
    "gan_gp": (
        *(GANGP, {"gp_weight": 0.5}),
        lambda theta, psi, data: cross_entropy(theta, psi, data) + 0.5 * two_sided(psi),
        non_saturating,
    ),
    # All samples are one point, so their weights are 1.
    **{
        f"kl_wgan {form}": (
            *(KLWGAN, {"n_critic": 1, "temperature": 0.7, "form": form}),
            lambda theta, psi, data: (
                mean(-c if psi * c < 1 else 0.0 for c in data) + (theta if psi * theta > -1 else 0.0)
            ),
            lambda theta, psi, data: -psi,
        )
        for form in ("stop_gradient", "published")
    },
    "kl_wgan linear": (KLWGAN, {"n_critic": 1, "objective": "linear"}, wasserstein, lambda theta, psi, data: -psi),
    "ebgan": (
        *(EBGAN, {"margin": 1.0}, energy_d(1.0, abs, sign)),
        lambda theta, psi, data: sign((psi - 1) * theta) * (psi - 1),
    ),
    "ebgan mse": (
        *(EBGAN, {"margin": 1.0, "distance": "mse"}, energy_d(1.0, lambda e: e**2, lambda e: 2 * e)),
        lambda theta, psi, data: 2 * (psi - 1) ** 2 * theta,
    ),
    **{f"rgan {o}": (RGAN, {"objective": o}, relativistic_d(o), relativistic_g(o)) for o in H},
    **{f"ragan {o}": (RaGAN, {"objective": o}, average_d(o), average_g(o)) for o in H},
}


# Variants whose players do not simply move one after the other, each down its own loss: the class, its arguments, and
# (theta, psi) after one step from (theta, psi) on the data.
UPDATES = {
    "consensus_gan": (ConsensusGAN, {"gamma": 0.6}, consensus(0.6)),
}


def test_every_variant_has_a_case():
    """A closed-form case here, or a file of its own."""
    here = {cls.__name__ for cls, *_ in [*CASES.values(), *UPDATES.values()]}
    others = [name for name, class_name in VARIANTS.items() if class_name not in here]
    assert not [name for name in others if not (Path(__file__).parent / f"test_{name}.py").exists()]


@pytest.mark.parametrize("theta_psi", [(0.8, 0.6), (-0.5, 1.7), (1.2, -0.4)])
@pytest.mark.parametrize("data", [(0.0, 0.0), (0.9, -0.3)])
@pytest.mark.parametrize("case", UPDATES)
def test_one_step_of_both(case, data, theta_psi):
    cls, arguments, update = UPDATES[case]
    actual = step(dirac(cls, *theta_psi, RATE, **arguments), data)
    np.testing.assert_allclose(actual, update(*theta_psi, data), atol=2e-6)


@pytest.mark.parametrize("theta_psi", [(0.8, 0.6), (-0.5, 1.7), (1.2, -0.4)])
@pytest.mark.parametrize("data", [(0.0, 0.0), (0.9, -0.3)])
@pytest.mark.parametrize("case", CASES)
def test_one_step(case, data, theta_psi):
    cls, arguments, d_gradient, g_gradient = CASES[case]
    theta, psi = theta_psi
    new_psi = psi - RATE * d_gradient(theta, psi, data)
    # The generator moves after the discriminator, and uses its new weights.
    new_theta = theta - RATE * g_gradient(theta, new_psi, data)
    actual = step(dirac(cls, theta, psi, RATE, **arguments), data)
    np.testing.assert_allclose(actual, (new_theta, new_psi), atol=2e-6)


@pytest.mark.parametrize("case", CASES)
def test_one_simultaneous_step(case):
    cls, arguments, d_gradient, g_gradient = CASES[case]
    theta, psi, data = 0.8, 0.6, (0.9, -0.3)
    expected = (theta - RATE * g_gradient(theta, psi, data), psi - RATE * d_gradient(theta, psi, data))
    actual = step(dirac(cls, theta, psi, RATE, simultaneous=True, **arguments), data)
    np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_weights_are_clipped_after_the_update():
    theta, psi = step(dirac(WGAN, 0.0, 0.0, RATE, clip=0.05, n_critic=1), [3.0, 3.0])
    assert psi == pytest.approx(0.05)  # clipped at once, not only before the next turn
    assert theta == pytest.approx(0.1 * 0.05)


def test_discriminator_turns_see_strided_minibatches():
    theta, psi, data = 0.8, 0.6, [0.9, -2.0, -0.3, 1.0]
    expected = psi
    for minibatch in ([0.9, -0.3], [-2.0, 1.0]):
        expected -= RATE * cross_entropy(theta, expected, minibatch)
    new_theta = theta - RATE * non_saturating(theta, expected, None)
    actual = step(dirac(VanillaGAN, theta, psi, RATE, n_critic=2), data)
    np.testing.assert_allclose(actual, (new_theta, expected), atol=2e-6)


def test_a_zero_gradient_is_penalised_without_nan():
    # WGAN-GP at psi = 0, where the norm has no derivative: D's step is that of the Wasserstein term only.
    theta, psi = step(dirac(WGANGP, 0.5, 0.0, RATE, n_critic=1), [0.0, 0.0])
    assert psi == pytest.approx(-RATE * 0.5)
    assert math.isfinite(theta)


def test_defaults_are_the_papers():
    adam = {"learning_rate": 1e-4, "beta_1": 0.5, "beta_2": 0.9}
    dcgan = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999}
    ring = {"learning_rate": 1e-4, "beta_1": 0.5, "beta_2": 0.999}
    expected = {
        "vanilla_gan": (1, "normal", keras.optimizers.Adam, dcgan),
        "dcgan": (1, "uniform", keras.optimizers.Adam, dcgan),
        "lsgan": (1, "uniform", keras.optimizers.Adam, dcgan),
        "wgan": (5, "normal", keras.optimizers.RMSprop, {"learning_rate": 5e-5, "rho": 0.99}),
        "wgan_gp": (5, "normal", keras.optimizers.Adam, adam),
        "dragan": (1, "uniform", keras.optimizers.Adam, adam),
        "rgan": (1, "normal", keras.optimizers.Adam, dcgan),
        "ragan": (1, "normal", keras.optimizers.Adam, dcgan),
        "hinge_gan": (1, "normal", keras.optimizers.Adam, dcgan),
        "progressive_gan": (1, "normal", keras.optimizers.Adam, {"learning_rate": 1e-3, "beta_1": 0.0, "beta_2": 0.99}),
        "unrolled_gan": (1, "normal", keras.optimizers.Adam, ring),
        "gradient_regularized_gan": (1, "normal", keras.optimizers.Adam, ring),
        "consensus_gan": (1, "normal", keras.optimizers.RMSprop, {"learning_rate": 1e-4, "rho": 0.9}),
        "primal_dual_gan": (1, "normal", keras.optimizers.Adam, dcgan),
        "r1_gan": (1, "normal", keras.optimizers.RMSprop, {"learning_rate": 1e-4, "rho": 0.99, "epsilon": 1e-8}),
        "r2_gan": (1, "normal", keras.optimizers.RMSprop, {"learning_rate": 1e-4, "rho": 0.99, "epsilon": 1e-8}),
        "r3gan": (1, "normal", keras.optimizers.Adam, {"learning_rate": 2e-4, "beta_1": 0.0, "beta_2": 0.9}),
        "roth_gan": (1, "normal", keras.optimizers.Adam, dcgan),
        "gan_gp": (1, "normal", keras.optimizers.Adam, ring),
        "kl_wgan": (5, "normal", keras.optimizers.RMSprop, {"learning_rate": 2e-4, "rho": 0.99, "epsilon": 1e-8}),
        "ebgan": (1, "normal", keras.optimizers.Adam, {"learning_rate": 1e-3, "beta_1": 0.5, "beta_2": 0.999}),
    }
    for name, (n_critic, prior, optimizer, settings) in expected.items():
        gan = getattr(models, VARIANTS[name]).for_points(width=2)
        assert (gan.n_critic, gan.prior) == (n_critic, prior), name
        for player in ("discriminator", "generator"):
            actual = gan.default_optimizer(player)
            assert isinstance(actual, optimizer)
            for key, value in settings.items():
                assert actual.get_config()[key] == pytest.approx(value), (name, key)


@pytest.mark.parametrize(
    ("cls", "arguments", "sentence"),
    [
        (DRAGAN, {"form": 4}, "form must be 1, 2 or 3, not 4"),
        (RGAN, {"objective": "ls"}, "objective must be one of standard, least_squares, hinge, not 'ls'"),
        (RaGAN, {"objective": "ls"}, "objective must be one of"),
        (RaGAN, {"reduction": "max"}, "reduction must be 'sum' or 'mean', not 'max'"),
        (UnrolledGAN, {"unroll_steps": -1}, "unroll_steps must be a whole number from 0 to 1000, not -1"),
        (UnrolledGAN, {"inner_optimizer": "rmsprop"}, "inner_optimizer must be 'sgd' or 'adam', not 'rmsprop'"),
        (UnrolledGAN, {"inner_learning_rate": 0}, "inner_learning_rate must be a positive number, not 0"),
        (ConsensusGAN, {"simultaneous": False}, "simultaneous must be True"),
        (R1GAN, {"interval": 0}, "interval must be a whole number from 1 up, not 0"),
        (R2GAN, {"interval": 1.5}, "interval must be a whole number from 1 up, not 1.5"),
        (RothGAN, {"anneal_turns": -1}, "anneal_turns must be a whole number from 0 up, not -1"),
        (KLWGAN, {"temperature": 0.0}, "temperature must be a positive number, not 0.0"),
        (KLWGAN, {"form": "through"}, "form must be 'stop_gradient' or 'published', not 'through'"),
        (KLWGAN, {"objective": "wasserstein"}, "objective must be 'hinge' or 'linear', not 'wasserstein'"),
        (EBGAN, {"margin": 0.0}, "margin must be a positive number, not 0.0"),
        (EBGAN, {"distance": "l1"}, "distance must be one of norm, mse, not 'l1'"),
        (PrimalDualGAN, {"sigma": -1.0}, "sigma must be a positive number, not -1.0"),
    ],
)
def test_bad_arguments(cls, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        cls.for_points(width=2, **arguments)


def code_lines(cls) -> int:
    """Returns the lines of a class's body that are not docstrings, comments or blank."""
    source = inspect.getsource(cls)
    skipped = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            skipped.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(bool(t.strip()) and not t.strip().startswith("#") for number, t in lines if number not in skipped) - 1


def test_a_variant_stays_small():
    for name in VARIANTS.values():
        assert code_lines(getattr(models, name)) <= 40, name
    assert code_lines(GAN) <= 200
