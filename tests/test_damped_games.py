"""The variants that damp the circling of the players: steps and fields against exact values. See also test_dynamics."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, dynamics, losses, testing
from gan_zoo.models import ConsensusGAN, GradientRegularizedGAN, UnrolledGAN, VanillaGAN

from .dirac import dirac, step

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
DIRAC = VECTORS["dirac"]
DATA = tf.zeros([2, 1])


def point(gan) -> list[float]:
    return [float(model.get_weights()[0][0, 0]) for model in (gan.generator, gan.discriminator)]


def test_consensus_takes_the_whole_gradient_of_the_energy():
    # With half of one of its terms, as in a published notebook, the eigenvalues are the same but the step is this one.
    wrong = DIRAC["trajectories"]["consensus_gamma1_as_in_repo"]["sim"]["step1"]
    theta, psi = step(dirac(ConsensusGAN, 1.0, -1.0, 0.2, gamma=1.0, saturating=True), [0.0, 0.0])
    assert np.abs(np.subtract((theta, -psi), wrong)).min() > 5e-3


class Quadratic(ConsensusGAN):
    """f = A phi^2 / 2 + B phi theta - C theta^2 / 2. D's weight phi maximises it, and theta minimises it."""

    a, b, c = (VECTORS["consensus"]["quadratic"][name] for name in "ABC")

    def f(self, z):
        phi, theta = losses.mean(self.D(tf.ones_like(z))), losses.mean(self.G(z))
        return self.a * tf.square(phi) / 2 + self.b * phi * theta - self.c * tf.square(theta) / 2

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
    updates = [dynamics.dirac(Bilinear, gamma=gamma).update_jacobian(step_size=0.1) for gamma in (1.0, 0.0)]
    expected = VECTORS["consensus_bilinear_h0.1_g1_spectral_radius"]
    radii = [dynamics.spectral_radius(update) for update in updates]
    np.testing.assert_allclose(radii, [expected, np.hypot(1, 0.1)], atol=1e-9)


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
    (x0, z0), (x1, z1), (x2, z2) = seen  # a plain turn of D, then the joint step
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
