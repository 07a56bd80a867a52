"""Every variant on the Dirac-GAN: one step against the paper's update, written out by hand."""

import ast
import inspect
import math

import keras
import numpy as np
import pytest
from gan_zoo.models import DCGAN, DRAGAN, LSGAN, RGAN, VARIANTS, WGAN, WGANGP, HingeGAN, RaGAN, VanillaGAN

from gan_zoo import models
from gan_zoo.gan import GAN

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
# D(x) = psi x the gradient of D is psi everywhere, so that a penalty P(||grad D||) is P(|psi|).
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
    **{f"rgan {o}": (RGAN, {"objective": o}, relativistic_d(o), relativistic_g(o)) for o in H},
    **{f"ragan {o}": (RaGAN, {"objective": o}, average_d(o), average_g(o)) for o in H},
}


# Variants whose players do not simply move one after the other, each down its own loss: the class, its arguments, and
# (theta, psi) after one step from (theta, psi) on the data.
UPDATES = {}


def test_every_variant_has_a_case():
    assert {cls.__name__ for cls, *_ in [*CASES.values(), *UPDATES.values()]} == set(VARIANTS.values())


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
    # The generator moves after the discriminator, and sees where that has gone.
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
    assert psi == pytest.approx(0.05)  # not 0.3, nor 0.3 until the next turn
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
    # WGAN-GP at psi = 0, where the norm has no derivative: D's step is that of the Wasserstein term alone.
    theta, psi = step(dirac(WGANGP, 0.5, 0.0, RATE, n_critic=1), [0.0, 0.0])
    assert psi == pytest.approx(-RATE * 0.5)
    assert math.isfinite(theta)


def test_defaults_are_the_papers():
    adam = {"learning_rate": 1e-4, "beta_1": 0.5, "beta_2": 0.9}
    dcgan = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999}
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
    }
    assert expected.keys() == VARIANTS.keys()
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
    ],
)
def test_bad_arguments(cls, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        cls.for_points(width=2, **arguments)


def code_lines(cls) -> int:
    """Lines of a class's body that are neither docstrings, comments nor blank."""
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
