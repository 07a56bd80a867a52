"""Unrolling: exact values, real steps, finite differences of the whole gradient, other losses, random draws."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, losses, testing
from gan_zoo.gan import batch_size
from gan_zoo.models import UnrolledGAN, VanillaGAN
from gan_zoo.nn import optimizers
from gan_zoo.penalties import gradient_penalty, interpolate

from .dirac import dirac
from .thorough import thoroughly

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["unrolled_dirac"]
POINTS = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")


class UnrolledHinge(UnrolledGAN):
    def discriminator_loss(self, x, z):
        return losses.hinge_discriminator(*self.D(x, self.G(z)))


class UnrolledLeastSquares(UnrolledGAN):
    def discriminator_loss(self, x, z):
        return losses.least_squares_discriminator(*self.D(x, self.G(z)))


class UnrolledRelativistic(UnrolledGAN):
    def discriminator_loss(self, x, z):
        return losses.relativistic_average(*self.D(x, self.G(z)))


class UnrolledPenalty(UnrolledGAN):
    """Its loss draws random numbers, and records them."""

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        epsilon = self.random.uniform([batch_size(x)])
        self.drawn = [*getattr(self, "drawn", []), epsilon]
        penalty = gradient_penalty(self.D, interpolate(x, fake, tf.cast(epsilon, x.dtype)))
        return losses.wasserstein_discriminator(*self.D(x, fake)) + tf.cast(penalty, x.dtype)


def value_and_gradient(gan, x, z):
    variables = [variable.value for variable in gan.generator_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        value = gan.generator_loss(x, z)
    return value, tape.gradient(value, variables)


@pytest.mark.parametrize("steps", [0, 1, 5, 10, 20])
def test_value_and_gradient_on_the_dirac_gan(steps):
    expected = VECTORS[f"theta0.8_psi0.3_eta0.5_K{steps}"]
    # In Mescheder et al. (2018) the score is high for generated points, so psi has the opposite sign here.
    gan = dirac(UnrolledGAN, 0.8, -0.3, unroll_steps=steps, inner_learning_rate=0.5)
    x = tf.zeros([4, 1])
    value, (gradient,) = value_and_gradient(gan, x, gan.sample_latent(4))
    np.testing.assert_allclose(value, expected["f_K"], rtol=1e-6)
    np.testing.assert_allclose(gradient[0, 0], expected["df_K_dtheta_full"], rtol=1e-6)
    difference = abs(float(gradient[0, 0]) - expected["df_K_dtheta_first_order_only"])
    assert difference > 1e-2 if steps else difference < 1e-6
    assert gan.discriminator.get_weights()[0][0, 0] == np.float32(-0.3)  # D's own weight is unchanged


def test_without_steps_it_is_the_minimax_game():
    unrolled, minimax = (
        cls.for_points(width=4, seed=0, **arguments)
        for cls, arguments in ((UnrolledGAN, {"unroll_steps": 0}), (VanillaGAN, {"saturating": True}))
    )
    minimax.set_weights(unrolled.get_weights())
    x, z = tf.constant(POINTS), unrolled.sample_latent(8)
    value, gradients = value_and_gradient(unrolled, x, z)
    expected, expected_gradients = value_and_gradient(minimax, x, z)
    # The values differ only by the term of the real examples, which G does not affect.
    real_term = losses.mean(losses.softplus(-unrolled.D(x)))
    np.testing.assert_allclose(value + real_term, expected, rtol=1e-6)
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-7)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("inner", ["sgd", "adam"])
@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
def test_inner_steps_are_the_optimizers_own(norm, inner, scaled):
    arguments = {"unroll_steps": 3, "inner_optimizer": inner, "inner_learning_rate": 0.05}
    gan = UnrolledGAN.for_images((4, 4, 1), network="mlp", norm=norm, width=6, latent_dim=3, seed=0, **arguments)
    optimizer = optimizers.Adam(0.02, beta_1=0.5) if inner == "adam" else keras.optimizers.SGD(0.02)
    gan.compile(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer)
    x = tf.random.stateless_uniform([6, 4, 4, 1], [0, 1], -1.0, 1.0)
    gan.discriminator_step(x)  # makes Adam's moments non-zero
    gan.generator_step(x)
    z = gan.sample_latent(6)
    before = [np.array(array) for array in (*gan.get_weights(), *(v.numpy() for v in gan.d_optimizer.variables))]
    value = gan.generator_loss(x, z)
    after = [*gan.get_weights(), *(v.numpy() for v in gan.d_optimizer.variables)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)  # weights, moments and moving statistics are unchanged
    # Now the real steps, which the unrolled ones predicted.
    optimizer.learning_rate = 0.05
    variables = gan.discriminator_variables
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = gan.discriminator_loss(x, z)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
    np.testing.assert_allclose(value, -gan.discriminator_loss(x, z), rtol=1e-5)


def test_adam_takes_the_rate_of_the_discriminators_optimizer():
    x = tf.constant(POINTS)
    values = []
    for arguments in ({}, {"inner_learning_rate": 0.3}, {"inner_learning_rate": 0.1}):
        gan = UnrolledGAN.for_points(width=4, seed=0, inner_optimizer="adam", **arguments)
        gan.set_weights([np.linspace(-1, 1, w.size).reshape(w.shape) for w in gan.get_weights()])
        gan.compile(keras.optimizers.Adam(0.3))
        values.append(float(gan.generator_loss(x, gan.sample_latent(8, seed=1))))
    assert values[0] == values[1] != values[2]


class Double:
    """Computes in the networks' own precision, float64, instead of the float32 of training."""

    def G(self, z):
        return self.generator(z, training=True)

    def D(self, *xs):
        scores = [self.discriminator(x, training=True) for x in xs]
        return scores[0] if len(scores) == 1 else scores


def double(cls, **kwargs):
    rng = np.random.default_rng(1)
    models = []
    for units in ((3, 2), (4, 1)):
        x = y = keras.Input((2,), dtype="float64")
        for count, activation in zip(units, ("tanh", None), strict=True):
            y = keras.layers.Dense(count, activation, dtype="float64")(y)
        models.append(keras.Model(x, y))
        models[-1].set_weights([rng.normal(size=weight.shape) for weight in models[-1].get_weights()])
    return type(f"Double{cls.__name__}", (Double, cls), {})(*models, seed=0, **kwargs)


@pytest.mark.parametrize("inner", ["sgd", "adam"])
@pytest.mark.parametrize(
    "cls",
    [
        UnrolledGAN,
        UnrolledRelativistic,
        *thoroughly(UnrolledHinge, UnrolledLeastSquares),
    ],
    ids=lambda cls: cls.__name__,
)
def test_the_whole_gradient_by_finite_differences(cls, inner):
    rate = 0.3 if inner == "sgd" else 0.05
    gan = double(cls, unroll_steps=3, inner_optimizer=inner, inner_learning_rate=rate)
    gan.compile(keras.optimizers.Adam(0.01, beta_1=0.5))
    rng = np.random.default_rng(2)
    x, z = (tf.constant(rng.normal(size=(5, 2))) for _ in range(2))
    variables = gan.discriminator_variables
    with tf.GradientTape() as tape:
        loss = gan.discriminator_loss(x, z)
    gan.d_optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
    loss = tf.function(gan.generator_loss)
    _, gradients = value_and_gradient(gan, x, z)
    for variable, gradient in zip(gan.generator_variables, gradients, strict=True):
        start = variable.numpy()
        expected = np.zeros_like(start)
        for index in np.ndindex(*start.shape):
            values = []
            for shift in (1e-5, -1e-5):
                moved = start.copy()
                moved[index] += shift
                variable.assign(moved)
                values.append(float(loss(x, z)))
            expected[index] = (values[0] - values[1]) / 2e-5
        variable.assign(start)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


def test_random_draws_go_on_from_step_to_step():
    gan = UnrolledPenalty.for_points(width=4, seed=0, unroll_steps=3)
    x, z = tf.constant(POINTS), gan.sample_latent(8)
    start = gan.random.state.numpy()
    gan.generator_loss(x, z)
    assert len({epsilon.numpy().tobytes() for epsilon in gan.drawn}) == 4
    assert gan.random.state.numpy().tolist() == [start[0], start[1] + 4]
    # The random numbers equal those of the stream outside.
    gan.random.state.assign(start)
    for epsilon in gan.drawn[:4]:
        np.testing.assert_array_equal(gan.random.uniform([8]), epsilon)


def test_the_generator_makes_its_samples_once():
    gan = UnrolledGAN.for_points(width=4, seed=0, unroll_steps=3)
    made, note = [], gan._note
    gan._note = lambda origin, images: made.append(origin) or note(origin, images)  # called for each pass
    x, z = tf.constant(POINTS), gan.sample_latent(8)
    gan.generator_loss(x, z)
    assert len(made) == 1
    gan.generator_loss(x, z)  # draws its own numbers, although z is the same
    gan.discriminator_loss(x, z)
    assert len(made) == 3


class Everything(UnrolledPenalty):
    """A batch statistic, random numbers and Adam's moments, all in the inner steps."""

    def discriminator_loss(self, x, z):
        return super().discriminator_loss(x, z) + losses.relativistic_average(*self.D(x, self.G(z)))

    def compile(self, d_optimizer, g_optimizer, **kwargs):
        super().compile(keras.optimizers.Adam(0.01, epsilon=1e-2), g_optimizer, **kwargs)


def test_any_loss_is_the_same_on_two_replicas():
    arguments = {"unroll_steps": 2, "inner_optimizer": "adam"}
    testing.check_replicas(lambda: Everything.for_points(width=4, **arguments), POINTS)


def test_adams_formula_has_a_gradient_where_adam_never_moved():
    variable = keras.Variable([0.0, 1.0])
    adam = optimizers.Adam(0.1)
    adam.build([variable])
    weights = tf.constant([0.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch(weights)
        (after,) = optimizers.AdamFormula(adam, [variable])([weights], [weights * [0.0, 1.0]])
        total = tf.reduce_sum(after)
    np.testing.assert_allclose(after, [0.0, 0.9], atol=1e-6)
    assert np.isfinite(tape.gradient(total, weights)).all()


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        (keras.optimizers.SGD(0.1), "compile with one as d_optimizer, not with SGD, or take inner_optimizer='sgd'"),
        (keras.optimizers.Adam(0.1, clipnorm=1.0), "cannot be continued with clipnorm"),
        (keras.optimizers.AdamW(0.1), "cannot be continued with weight_decay"),
    ],
)
def test_adam_continues_adam_only(optimizer, sentence):
    gan = UnrolledGAN.for_points(width=2, inner_optimizer="adam")
    with pytest.raises(UserError, match="not with none"):
        gan.generator_loss(tf.constant(POINTS), gan.sample_latent(8))
    gan.compile(optimizer)
    with pytest.raises(UserError, match=sentence):
        gan.generator_loss(tf.constant(POINTS), gan.sample_latent(8))
