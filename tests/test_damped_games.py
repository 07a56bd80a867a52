"""The variants that damp the players' circling: eigenvalues, trajectories and vector fields against exact values."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from gan_zoo.models import ConsensusGAN, GradientRegularizedGAN, UnrolledGAN, VanillaGAN

from gan_zoo import UserError, losses, testing

from .dirac import dirac, step

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
DIRAC = VECTORS["dirac"]
DATA = tf.zeros([2, 1])


def point(gan) -> list[float]:
    return [float(model.get_weights()[0][0, 0]) for model in (gan.generator, gan.discriminator)]


def place(gan, theta, psi) -> None:
    for model, value in ((gan.generator, theta), (gan.discriminator, psi)):
        model.set_weights([np.full((1, 1), value, "float32")])


def eigenvalues(gan, delta=1e-3) -> np.ndarray:
    """Of the derivative of one training step at (0, 0)."""
    columns = []
    for direction in np.eye(2) * delta:
        ends = []
        for sign in (1, -1):
            place(gan, *(sign * direction))
            gan.train_step(DATA)
            ends.append(np.array(point(gan)))
        columns.append((ends[0] - ends[1]) / (2 * delta))
    return np.sort_complex(np.linalg.eigvals(np.stack(columns, axis=1)))


@pytest.mark.parametrize("rate", [0.1, 0.2])
@pytest.mark.parametrize(
    ("name", "cls", "arguments"),
    [
        ("gan", VanillaGAN, {"saturating": True}),
        ("nagarajan_kolter_eta0.5", GradientRegularizedGAN, {"eta": 0.5}),
        ("nagarajan_kolter_eta1", GradientRegularizedGAN, {"eta": 1.0}),
        ("unrolled_K1_eta0.2", UnrolledGAN, {"unroll_steps": 1, "inner_learning_rate": 0.2}),
        ("unrolled_K5_eta0.2", UnrolledGAN, {"unroll_steps": 5, "inner_learning_rate": 0.2}),
        ("unrolled_K10_eta0.2", UnrolledGAN, {"unroll_steps": 10, "inner_learning_rate": 0.2}),
        ("consensus_gamma0.3", ConsensusGAN, {"gamma": 0.3, "saturating": True}),
        ("consensus_gamma1", ConsensusGAN, {"gamma": 1.0, "saturating": True}),
    ],
)
def test_eigenvalues_of_a_simultaneous_step(name, cls, arguments, rate):
    expected = DIRAC["simgd"][f"h{rate}"][name]
    actual = eigenvalues(dirac(cls, 0.0, 0.0, rate, simultaneous=True, **arguments))
    # Two equal ones part by the square root of an error.
    tolerance = 1e-3 if name == "unrolled_K10_eta0.2" else 1e-5
    np.testing.assert_allclose(actual, [e["re"] + 1j * e["im"] for e in expected["eig"]], atol=tolerance)
    np.testing.assert_allclose(np.abs(actual).max(), expected["spectral_radius"], atol=tolerance)
    assert (np.abs(actual).max() < 1) == (name != "gan")


def walk(gan, take, steps=(1, 2, 10, 500)):
    take, points = tf.function(take), {}
    for k in range(1, max(steps) + 1):
        take()
        if k in steps:
            points[f"step{k}"] = point(gan)
    return points


@pytest.mark.parametrize(
    ("name", "cls", "arguments"),
    [
        ("nagarajan_kolter_eta0.5", GradientRegularizedGAN, {"eta": 0.5}),
        ("consensus_gamma1", ConsensusGAN, {"gamma": 1.0, "saturating": True}),
    ],
)
def test_trajectories_of_simultaneous_steps(name, cls, arguments):
    expected = DIRAC["trajectories"][name]["sim"]
    # Where these points come from the score is high for generated ones: psi has the other sign here.
    gan = dirac(cls, 1.0, -1.0, 0.2, simultaneous=True, **arguments)
    for key, (theta, psi) in walk(gan, lambda: gan.train_step(DATA)).items():
        np.testing.assert_allclose((theta, -psi), expected[key], atol=1e-5)


def test_a_trajectory_of_alternating_steps():
    expected = DIRAC["trajectories"]["nagarajan_kolter_eta0.5"]["alt1"]
    gan = dirac(GradientRegularizedGAN, 1.0, -1.0, 0.2)

    def generator_first():
        gan.generator_step(DATA)
        gan.discriminator_step(DATA)

    for key, (theta, psi) in walk(gan, generator_first).items():
        np.testing.assert_allclose((theta, -psi), expected[key], atol=1e-5)


def test_consensus_takes_the_whole_gradient_of_the_energy():
    # Half of one of its terms, as in a published notebook, gives the same eigenvalues and this step.
    wrong = DIRAC["trajectories"]["consensus_gamma1_as_in_repo"]["sim"]["step1"]
    theta, psi = step(dirac(ConsensusGAN, 1.0, -1.0, 0.2, gamma=1.0, saturating=True), [0.0, 0.0])
    assert np.abs(np.subtract((theta, -psi), wrong)).min() > 5e-3


class Quadratic(ConsensusGAN):
    """f = A phi^2 / 2 + B phi theta - C theta^2 / 2, which phi, D's weight, maximises, and theta minimises."""

    a, b, c = (VECTORS["consensus"]["quadratic"][name] for name in "ABC")

    def f(self, z):
        phi, theta = losses.mean(self.D(tf.ones_like(z))), losses.mean(self.G(z))
        return self.a * phi**2 / 2 + self.b * phi * theta - self.c * theta**2 / 2

    def discriminator_loss(self, x, z):
        return -self.f(z)

    def generator_loss(self, x, z):
        return self.f(z)


class Bilinear(Quadratic):
    a, b, c = 0.0, 1.0, 0.0


def wrapped(gan, rate):
    gan.compile(*(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(rate)) for _ in range(2)))
    return gan


@pytest.mark.parametrize("scaled", [False, True])
def test_consensus_on_a_quadratic_game(scaled):
    expected = VECTORS["consensus"]["quadratic"]
    gan = dirac(Quadratic, expected["theta"], expected["phi"], 0.1, gamma=expected["gamma"])
    if scaled:
        gan = wrapped(gan, 0.1)
    logs = gan.train_step(DATA)
    np.testing.assert_allclose(logs["field_energy"], expected["L"], rtol=1e-6)
    np.testing.assert_allclose(logs["g_loss"], -logs["d_loss"])
    theta, phi = point(gan)
    w = [(phi - expected["phi"]) / 0.1, (theta - expected["theta"]) / 0.1]
    np.testing.assert_allclose(w, expected["w"], atol=2e-6)


def test_consensus_on_a_bilinear_game():
    radii = [np.abs(eigenvalues(dirac(Bilinear, 0.0, 0.0, 0.1, gamma=gamma))).max() for gamma in (1.0, 0.0)]
    expected = VECTORS["consensus_bilinear_h0.1_g1_spectral_radius"]
    np.testing.assert_allclose(radii, [expected, np.hypot(1, 0.1)], atol=1e-6)


def test_consensus_sees_one_minibatch_and_one_latent():
    seen = []

    class Watched(ConsensusGAN):
        def discriminator_loss(self, x, z):
            seen.append((x, z))
            return super().discriminator_loss(x, z)

        def generator_loss(self, x, z):
            seen.append((x, z))
            return super().generator_loss(x, z)

    gan = Watched.for_points(width=4, n_critic=2)
    gan.compile()
    gan.train_step(tf.random.stateless_normal([8, 2], [0, 0]))
    (x0, z0), (x1, z1), (x2, z2) = seen  # a plain turn of D, then the step of both
    np.testing.assert_array_equal(x1, x2)
    np.testing.assert_array_equal(z1, z2)
    assert (x0 != x1).numpy().any() and (z0 != z1).numpy().any()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"simultaneous": False}, "simultaneous must be True"),
        ({"balance": "warm_up"}, "leave out balance='warm_up'"),
    ],
)
def test_consensus_is_simultaneous(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        ConsensusGAN.for_points(width=2, **arguments)


def test_consensus_on_two_replicas_with_loss_scaling():
    class Scaled(ConsensusGAN):
        def compile(self, d_optimizer, g_optimizer, **kwargs):
            scaled = (keras.optimizers.LossScaleOptimizer(optimizer) for optimizer in (d_optimizer, g_optimizer))
            super().compile(*scaled, **kwargs)

    data = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    testing.check_replicas(lambda: Scaled.for_points(width=4, gamma=1.0), data)


def test_the_penalty_is_one_unrolled_step_to_first_order():
    gradients = {}
    for eta in (0.02, 0.01):
        for cls, arguments in (
            (GradientRegularizedGAN, {"eta": eta}),
            (UnrolledGAN, {"unroll_steps": 1, "inner_learning_rate": eta}),
            (VanillaGAN, {"saturating": True}),
        ):
            gan = dirac(cls, 0.8, 1.5, **arguments)
            variables = [variable.value for variable in gan.generator_variables]
            with tf.GradientTape() as tape:
                loss = gan.generator_loss(tf.fill([2, 1], 2.0), gan.sample_latent(2))
            gradients[cls, eta] = float(tape.gradient(loss, variables)[0][0, 0])
    penalised, unrolled, plain = (
        [gradients[cls, eta] for eta in (0.02, 0.01)] for cls in (GradientRegularizedGAN, UnrolledGAN, VanillaGAN)
    )
    first = np.subtract(penalised, plain)
    second = np.subtract(penalised, unrolled)
    np.testing.assert_allclose(first[0] / first[1], 2, rtol=1e-3)
    np.testing.assert_allclose(second[0] / second[1], 4, rtol=0.05)


def test_the_penalty_is_over_all_of_ds_weights():
    gan = GradientRegularizedGAN.for_points(width=4, seed=0, eta=3.0)
    x = tf.random.stateless_normal([6, 2], [0, 0])
    z = gan.sample_latent(6)
    variables = [variable.value for variable in gan.discriminator_variables]
    with tf.GradientTape() as tape:
        loss = gan.discriminator_loss(x, z)
    expected = sum(np.square(gradient).sum() for gradient in tape.gradient(loss, variables))
    np.testing.assert_allclose((gan.generator_loss(x, z) + loss) / 3.0, expected, rtol=1e-5)
