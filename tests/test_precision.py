"""Training in half precision: every variant for a while, and the scales without which float16 loses gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import GAN, penalties
from gan_zoo.losses import mean
from gan_zoo.models import R1GAN, ConsensusGAN, GradientRegularizedGAN, UnrolledGAN, VanillaGAN
from gan_zoo.nn import optimizers, precision

from . import variants

STEPS = 200
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, size=(4, 4, 16, 16, 1)).astype("float32")
POINTS = RNG.normal(size=(8, 2)).astype("float32")


def all_finite(values) -> bool:
    return all(np.isfinite(value).all() for value in values)


def length(values) -> float:
    return float(np.sqrt(sum(np.square(value).sum() for value in values)))


# bfloat16 has float32's range of exponents: what trains in float16 trains in it. The conformance suite takes a step of
# every variant in both; here a few train for longer, and with --thorough all of them do.
SOME = ("dcgan", "wgan_gp", "ragan", "consensus_gan")


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        *(pytest.param(n, "mixed_float16", marks=() if n in SOME else pytest.mark.thorough) for n in variants.GAMES),
        *((name, "mixed_bfloat16") for name in SOME[:2]),
    ],
)
def test_every_variant_trains(name, policy):
    keras.config.set_dtype_policy(policy)
    gan = variants.find(name).for_images((16, 16, 1), latent_dim=4, width=4, n_critic=1, seed=0)
    gan.compile()
    players = ((gan.discriminator_variables, gan.d_optimizer), (gan.generator_variables, gan.g_optimizer))
    before = [[weight.numpy() for weight in weights] for weights, _ in players]
    step = tf.function(gan.train_step)
    minibatches = tf.unstack(tf.constant(IMAGES))
    logs = [step(minibatches[k % len(minibatches)]) for k in range(STEPS)]
    for term in logs[0]:
        values = [log[term] for log in logs]
        assert all(value.dtype == tf.float32 for value in values), term
        assert all_finite(values), term
    assert all_finite(variable.numpy() for variable in gan.variables)
    for (weights, optimizer), start in zip(players, before, strict=True):
        assert all_finite(variable.numpy() for variable in optimizer.variables)
        moved = length(weight.numpy() - old for weight, old in zip(weights, start, strict=True))
        assert 0.005 < moved / length(start) < 10
        if policy == "mixed_float16":
            # Each skipped update halves the scale, which starts at 2^15 and grows only after 2000 updates.
            assert float(optimizer.dynamic_scale) == 2.0 ** (15 - (STEPS - int(optimizer.iterations))) > 1
        else:
            assert not isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
            assert int(optimizer.iterations) == STEPS


def perceptron(dtype: str, last: float) -> keras.Model:
    """Returns a network whose scores have gradients of about `last`, with the same weights in each precision."""
    keras.utils.set_random_seed(1)
    x = keras.Input((3,))
    y = keras.layers.Dense(16, "tanh", dtype=dtype)(x)
    y = keras.layers.Dense(16, "tanh", dtype=dtype)(y)
    y = keras.layers.Dense(1, dtype="float32", kernel_initializer=keras.initializers.RandomNormal(0.0, last))(y)
    return keras.Model(x, y)


def penalty_and_gradients(penalty, dtype):
    """Returns a penalty at some points and its gradients in D's weights, under a new optimizer's loss scale."""
    D = perceptron(dtype, 1e-8)
    x = tf.constant(np.random.default_rng(0).normal(size=(4, 3)).astype("float32"))
    weights = [weight.value for weight in D.trainable_variables]
    with tf.GradientTape() as tape:
        value = penalty(D, x)
        scaled = 2.0**15 * value
    gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
    return float(value), np.concatenate([np.ravel(gradient) for gradient in gradients]) / 2.0**15


@pytest.mark.parametrize("penalty", [penalties.gradient_penalty, penalties.zero_centered_penalty])
def test_a_penalty_of_tiny_gradients_survives_float16(penalty, monkeypatch):
    expected, expected_gradients = penalty_and_gradients(penalty, "float32")
    assert length([expected_gradients]) > 0
    value, gradients = penalty_and_gradients(penalty, "mixed_float16")
    np.testing.assert_allclose(value, expected, rtol=0.05)
    assert length([gradients - expected_gradients]) < 0.05 * length([expected_gradients])
    # Without the scale, gradients are lost.
    monkeypatch.setattr(penalties, "INNER_SCALE", 1.0)
    _, lost = penalty_and_gradients(penalty, "mixed_float16")
    assert length([lost]) < 0.2 * length([expected_gradients])


def test_scales_change_nothing_where_exponents_suffice(monkeypatch):
    for dtype in ("float32", "mixed_bfloat16"):
        results = []
        for scale in (1.0, 2.0**8):
            monkeypatch.setattr(penalties, "INNER_SCALE", scale)
            results.append(penalty_and_gradients(penalties.zero_centered_penalty, dtype))
        assert results[0][0] == results[1][0] > 0
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_large_targets_leave_room_for_large_gradients():
    """The targets of progressive GAN's CIFAR-10 run have norms of 750."""
    weight = tf.constant(np.random.default_rng(0).choice([-700.0, 700.0], size=(3, 1)), tf.float16)
    norm = penalties.gradient_norm(lambda x: tf.matmul(tf.cast(x, tf.float16), weight), tf.zeros([2, 3]), usual=750.0)
    np.testing.assert_allclose(norm, [700 * 3**0.5] * 2, rtol=1e-3)


class Whisper(VanillaGAN):
    """Its losses are so small that float16 cannot represent any of their gradients."""

    def discriminator_loss(self, x, z):
        return 1e-6 * super().discriminator_loss(x, z)

    def generator_loss(self, x, z):
        return 1e-6 * super().generator_loss(x, z)


def player_gradients(player: str, scaled: bool):
    """Returns a player's gradients in the current precision, with the scale removed."""
    keras.utils.set_random_seed(1)
    gan = Whisper.for_points(width=16, seed=0)
    gan.compile()
    optimizer = getattr(gan, f"{player[0]}_optimizer") if scaled else keras.optimizers.SGD()
    loss, variables = (getattr(gan, f"{player}_{name}") for name in ("loss", "variables"))
    _, gradients = gan.differentiate(loss, tf.constant(POINTS), variables, optimizer)
    # The last layer of each network is float32.
    hidden = np.concatenate([np.ravel(gradient) for gradient in gradients[:-2]])
    return hidden / float(optimizer.scale_loss(tf.constant(1.0)))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_tiny_gradients_of_a_player_survive_float16(player):
    expected = player_gradients(player, scaled=False)
    keras.config.set_dtype_policy("mixed_float16")
    assert length([player_gradients(player, scaled=True) - expected]) < 0.05 * length([expected])
    assert length([player_gradients(player, scaled=False) - expected]) > 0.2 * length([expected])


@pytest.mark.parametrize("cls", [GradientRegularizedGAN, ConsensusGAN, UnrolledGAN])
def test_steps_through_gradients_are_those_of_float32(cls):
    moved = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        keras.utils.set_random_seed(1)
        gan = cls.for_points(width=16, seed=0)
        gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        before = [weight.numpy() for weight in gan.generator_variables]
        gan.train_step(tf.constant(POINTS))
        after = [weight.numpy() for weight in gan.generator_variables]
        moved.append(np.concatenate([np.ravel(b - a) for a, b in zip(before, after, strict=True)]))
    assert length([moved[1] - moved[0]]) < 0.05 * length([moved[0]])


class Overflowing(GAN):
    """Its gradients overflow where a point of the minibatch is infinite, on the replica that has it."""

    def discriminator_loss(self, x, z):
        return mean(x) * mean(self.D(self.G(z)))

    def generator_loss(self, x, z):
        return mean(x) * mean(self.D(self.G(z)))


def state(gan):
    return [v.numpy() for v in [*gan.trainable_variables, *gan.d_optimizer.inner_optimizer.variables]]


@pytest.mark.parametrize("replica", [0, 1])
def test_a_gradient_that_is_not_finite_on_one_replica_moves_none(two_replicas, replica):
    keras.config.set_dtype_policy("mixed_float16")
    with two_replicas.scope():
        gan = Overflowing.for_points(width=4, seed=0)
        gan.compile()
    data = POINTS.copy()
    data[4 * replica] = np.inf
    before = state(gan)
    for batch, scale, updates in ((data, 2.0**14, 0), (POINTS, 2.0**14, 1)):
        gan.fit(tf.data.Dataset.from_tensors(batch), verbose=0, shuffle=False)
        for optimizer in (gan.d_optimizer, gan.g_optimizer):
            assert int(optimizer.iterations.numpy()) == updates
            copies = two_replicas.experimental_local_results(optimizer.dynamic_scale.value)
            assert [float(copy) for copy in copies] == [scale] * 2
        if not updates:
            for old, new in zip(before, state(gan), strict=True):
                np.testing.assert_array_equal(old, new)
    assert all_finite(state(gan))
    assert (state(gan)[0] != before[0]).any()


def test_the_loss_scale_has_bounds():
    weight = keras.Variable([1.0])
    optimizer = optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=2.0, dynamic_growth_steps=1)
    optimizer.build([weight])
    for _ in range(3):
        optimizer.apply([tf.constant([np.inf])], [weight])
    assert float(optimizer.dynamic_scale) == 1
    optimizer.apply([optimizer.scale_loss(tf.constant([1.0]))], [weight])
    assert float(weight.value[0]) == 0.5
    for _ in range(30):
        optimizer.apply([tf.constant([0.0])], [weight])
    assert float(optimizer.dynamic_scale) == 2.0**24
    assert float(weight.value[0]) == 0.5


def test_a_turn_that_was_left_out_is_due_again():
    keras.config.set_dtype_policy("mixed_float16")
    gan = R1GAN.for_points(width=4, seed=0, interval=2)
    gan.compile()
    data, broken = tf.constant(POINTS), tf.constant(np.full_like(POINTS, np.inf))
    paid = []
    for x in (data, data, broken, data, data):
        paid.append(float(gan.train_step(x)["penalty"]))
    assert [penalty > 0 for penalty in paid[:2] + paid[3:]] == [True, False, True, False]
    assert int(gan.d_optimizer.iterations) == 4


def test_losses_are_scaled_where_a_network_computes_in_float16(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    gan = VanillaGAN.for_points(width=4, seed=0)
    assert precision.computes_in_float16(gan.generator)
    keras.config.set_dtype_policy("float32")
    assert not precision.computes_in_float16(VanillaGAN.for_points(width=4).generator)
    gan.compile()
    gan.train_step(tf.constant(POINTS))
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    for optimizer in (loaded.d_optimizer, loaded.g_optimizer):
        assert type(optimizer) is optimizers.LossScaleOptimizer
        assert int(optimizer.iterations) == 1
    for model in (gan, loaded):
        model.train_step(tf.constant(POINTS))
    np.testing.assert_array_equal(gan.get_weights()[0], loaded.get_weights()[0])
