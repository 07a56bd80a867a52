"""Every dtype policy of Keras, for every family of networks, norm and variant: training, files and samples."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import callbacks, layers, load_pretrained, models, networks, refine
from gan_zoo.export import saved_model
from gan_zoo.models import DCGAN, EBGAN, VARIANTS, WGAN, ProgressiveGAN, RothGAN, UnrolledGAN, VanillaGAN
from gan_zoo.nn import optimizers, precision
from gan_zoo.run_folder import checkpoints
from gan_zoo.util.errors import UserError

from . import variants
from .thorough import thoroughly

POLICIES = ("float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, size=(4, 8, 8, 1))
POINTS = RNG.normal(size=(4, 2))
FAMILIES = [(family, norm) for family in networks.FAMILIES for norm in networks.NORMS]
FAMILIES = [pair for pair in FAMILIES if pair[0] not in networks.WITHOUT_NORM or pair[1] == "none"]
AUTOENCODERS = [(family, norm) for family in ("dcgan", "mlp") for norm in networks.NORMS]


def loss_dtype(policy: str) -> str:
    return "float64" if policy == "float64" else "float32"


def steps(gan, data, policy, count=2):
    """Takes a few eager steps, and checks that all values are finite and both players change."""
    dtype = loss_dtype(policy)
    before = [v.numpy() for v in gan.trainable_variables]

    def most_have_moved():
        moved = [(v.numpy() != old).any() for v, old in zip(gan.trainable_variables, before, strict=True)]
        return sum(moved) > len(moved) / 2

    for taken in range(6 if policy == "float16" else count):  # a loss scale that is too large skips updates
        if taken >= count and most_have_moved():
            break
        logs = gan.train_step(precision.cast_floats(tf.nest.map_structure(tf.constant, data), dtype))
    for name, value in logs.items():
        assert value.dtype.name == ("float32" if name == "g_turns" else dtype), name
        assert np.isfinite(value), name
    for variable in [*gan.variables, *(v for optimizer in gan.optimizers().values() for v in optimizer.variables)]:
        assert np.isfinite(variable.numpy().astype("float64")).all(), variable.path
    assert most_have_moved()
    return logs


# test_precision.py has the mixed policies. bfloat16 has fewer digits than float16 and a wider range: the tests below of
# files, samples and optimizers use it.
@pytest.mark.parametrize("policy", [*thoroughly("float64"), "float16"])
@pytest.mark.parametrize(("family", "norm"), FAMILIES, ids=str)
def test_every_family_with_every_norm(family, norm, policy):
    keras.config.set_dtype_policy(policy)
    cls = ProgressiveGAN if family == "growing" else DCGAN
    gan = cls.for_images((8, 8, 1), network=family, norm=norm, width=16, latent_dim=3, seed=0)
    gan.compile()
    steps(gan, IMAGES, policy)
    samples = gan(gan.sample_latent(2))
    assert samples.dtype.name == loss_dtype(policy)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("policy", ["float64", "float16"])
@pytest.mark.parametrize(("family", "norm"), AUTOENCODERS, ids=str)
@pytest.mark.thorough
def test_every_autoencoder_with_every_norm(family, norm, policy):
    keras.config.set_dtype_policy(policy)
    gan = EBGAN.for_images((8, 8, 1), network=family, norm=norm, width=4, latent_dim=3, seed=0, pt_weight=0.1)
    gan.compile()
    steps(gan, IMAGES, policy)


@pytest.mark.parametrize("policy", ["float64", "float16"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_with_its_own_optimizers(name, policy):
    keras.config.set_dtype_policy(policy)
    gan = variants.small(variants.find(name), seed=0, n_critic=1)
    gan.compile()
    steps(gan, variants.data_for(gan), policy)


ARGUMENTS = [
    (UnrolledGAN, {"inner_optimizer": "adam", "unroll_steps": 1}),
    (RothGAN, {"anneal_turns": 10}),
    (models.R1GAN, {"interval": 2}),
    (models.R1GAN, {"interval": 2, "simultaneous": True}),
    (models.RaGAN, {"gp_weight": 10.0, "objective": "hinge"}),
    (models.DRAGAN, {"form": 2, "instance_noise": 0.1, "noise_turns": 3}),
    (models.KLWGAN, {"form": "published"}),
    (VanillaGAN, {"balance": "until(d_loss=9.0)", "prior": "uniform", "instance_noise": 0.1}),
    (models.PrimalDualGAN, {"normalized": True}),
    (models.GANGP, {"balance": "warm_up(turns=2)"}),
]


@pytest.mark.parametrize("policy", ["float64", "float16"])
@pytest.mark.parametrize(("cls", "arguments"), ARGUMENTS, ids=str)
@pytest.mark.thorough
def test_terms_of_losses_that_are_not_on_by_default(cls, arguments, policy):
    keras.config.set_dtype_policy(policy)
    gan = cls.for_points(width=8, seed=0, **arguments)
    gan.compile()
    steps(gan, np.tile(POINTS, [gan.n_critic, 1]), policy, 3)


def test_float64_is_float64_throughout():
    """The derivative of the loss agrees with differences of the loss to many more digits than float32 has."""
    keras.config.set_dtype_policy("float64")
    for family, norm in [*FAMILIES, ("growing", "none")]:
        D = networks.for_images(family, (8, 8, 1), latent_dim=3, width=16, norm=norm)[1]
        x = tf.constant(IMAGES)
        shift = tf.constant(RNG.normal(size=IMAGES.shape))
        for layer in D._flatten_layers():  # smooth everywhere, so that differences are accurate
            if isinstance(layer, layers.LeakyReLU | keras.layers.ReLU):
                layer.negative_slope = 1.0

        def score(h, D=D, x=x, shift=shift):
            y = D(x + h * shift, training=False)
            assert y.dtype == tf.float64
            return float(tf.reduce_sum(y))

        h = 1e-6
        # A float32 anywhere between input and score gives errors of 1e-7, which the division increases to 1e-1.
        second = (score(h) - 2 * score(0.0) + score(-h)) / h
        scale = max(1.0, abs((score(1e-3) - score(0.0)) / 1e-3))
        assert abs(second) < 2e-3 * scale, (family, norm)


def test_penalties_and_gradients_are_those_of_float64():
    keras.config.set_dtype_policy("float64")
    for name in ("wgan_gp", "r1_gan", "roth_gan", "consensus_gan", "gradient_regularized_gan", "unrolled_gan"):
        gan = getattr(models, VARIANTS[name]).for_points(width=8, seed=0)
        gan.compile()
        z = gan.sample_latent(4)
        state = gan.random.state.numpy()
        weight = gan.discriminator.trainable_variables[0]
        with tf.GradientTape() as tape:
            loss = gan.discriminator_loss(tf.constant(POINTS), z)
        gradient = float(tape.gradient(loss, weight.value)[0, 0])
        start, values = weight.numpy(), []
        for h in (1e-5, -1e-5):
            moved = start.copy()
            moved[0, 0] += h
            weight.assign(moved)
            gan.random.state.assign(state)
            values.append(float(gan.discriminator_loss(tf.constant(POINTS), z)))
        assert gradient == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-9), name


def computes_in(gan) -> list[str]:
    # Functional models and their inputs also have policies, which no computation uses.
    kinds = keras.Model | keras.layers.InputLayer
    return [layer.compute_dtype for layer in gan.generator._flatten_layers() if not isinstance(layer, kinds)]


FILES = [(DCGAN, policy) for policy in POLICIES] + [(WGAN, "bfloat16"), (ProgressiveGAN, "float64")]


@pytest.mark.parametrize(("cls", "policy"), [*FILES, (ProgressiveGAN, "mixed_bfloat16")], ids=str)
def test_files_keep_the_policy(cls, policy, tmp_path):
    """A GAN that is saved under one policy and loaded under another continues in its own policy."""
    gan = cls.for_images((8, 8, 1), width=4, latent_dim=3, seed=0, n_critic=1, dtype=policy)
    assert keras.config.dtype_policy().name == "float32"  # the global policy
    gan.compile()
    data = tf.constant(IMAGES, loss_dtype(policy))
    gan.train_step(data)
    gan.save(tmp_path / "gan.keras")
    gan.save_weights(tmp_path / "gan.weights.h5")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    other = cls.for_images((8, 8, 1), width=4, latent_dim=3, seed=1, n_critic=1, dtype=keras.DTypePolicy(policy))
    other.compile()
    other.load_weights(tmp_path / "gan.weights.h5")
    for model in (gan, loaded, other):
        assert computes_in(model) == computes_in(gan)
        model.train_step(data)
    for twin in (loaded, other):
        for expected, value in zip(gan.variables, twin.variables, strict=True):
            assert value.dtype == expected.dtype, expected.path
            np.testing.assert_array_equal(value.numpy(), expected.numpy(), err_msg=expected.path)


@pytest.mark.parametrize("policy", ["float64", "float16", "bfloat16"])
def test_samples_exports_and_averages(policy, tmp_path):
    gan = DCGAN.for_images((8, 8, 1), width=4, latent_dim=3, seed=0, dtype=policy)
    gan.compile()
    ema = callbacks.GeneratorEMA(0.5)
    grid = callbacks.SampleGrid(tmp_path / "samples", every=1, n=4, ema=ema)
    gan.fit(tf.data.Dataset.from_tensors(IMAGES), verbose=0, callbacks=[ema, grid])
    assert precision.computes_in_half(ema.generator) == precision.computes_in_half(gan.generator)
    assert {v.dtype for v in ema.generator.trainable_variables} == {loss_dtype(policy)}
    saved_model.export(gan, tmp_path / "model", generator=ema.generator)
    exported = load_pretrained(tmp_path / "model", trust=True)
    expected = ema.generator(gan.sample_latent(4, seed=1), training=False)
    tolerance = 1e-6 if policy == "float64" else 0.05
    np.testing.assert_allclose(exported.sample(4, seed=1), expected, atol=tolerance)
    checkpoints.save(tmp_path / "checkpoints", gan, 1, ema.generator)
    assert checkpoints.restore(tmp_path / "checkpoints", gan, ema.generator) == 1
    weight = gan.generator.trainable_variables[0]
    weight.assign(np.nan * weight.numpy())
    with pytest.raises(FloatingPointError, match="is not finite"):
        checkpoints.save(tmp_path / "checkpoints", gan, 2)


def test_an_average_of_half_precision_weights_moves():
    gan = VanillaGAN.for_points(width=4, seed=0, dtype="bfloat16")
    gan.compile()
    ema = callbacks.GeneratorEMA(0.999, step=10**6)
    ema.set_model(gan)
    weight = gan.generator.trainable_variables[0]
    start = weight.numpy().astype("float32")
    weight.assign(start + 0.5)
    for _ in range(100):
        ema.on_train_batch_end(0, {})
    moved = ema.generator.trainable_variables[0].numpy() - start
    np.testing.assert_allclose(moved, 0.5 * (1 - 0.999**100), rtol=0.05)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_keras_optimizers_that_cannot_train_half_precision_say_so(policy):
    lost = {"float16": "epsilon=1e-08 is 0", "bfloat16": "beta_2=0.999 is 1"}[policy]
    gan = VanillaGAN.for_points(width=4, dtype=policy)
    with pytest.raises(UserError, match=f"Adam cannot train weights in {policy}, in which its {lost}"):
        gan.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8))
    gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    steps(gan, POINTS, policy)


@pytest.mark.parametrize("make", [optimizers.Adam, optimizers.RMSprop])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_weights_take_the_steps_of_float32(make, dtype):
    """They agree up to the rounding of the weights."""
    results = []
    for variable_dtype in ("float32", dtype):
        weight = keras.Variable([0.01, -0.02], dtype=variable_dtype)
        optimizer = make(1e-3)
        optimizer.build([weight])
        for k in range(10):
            optimizer.apply([tf.constant([1e-6, -1e-3 * k], variable_dtype)], [weight])
        results.append(weight.numpy().astype("float32"))
    np.testing.assert_allclose(results[1], results[0], rtol=0.05, atol=1e-4)


def test_normalization_along_other_axes_and_of_other_ranks():
    """Keras's implementation handles the cases that the fused kernel does not support."""
    for shape, axis in (((4, 3, 5, 5), 1), ((4, 6, 3), -1), ((4, 2, 3, 3, 2), -1)):
        x = RNG.normal(size=shape).astype("float32")
        ours, theirs = layers.BatchNormalization(axis=axis), keras.layers.BatchNormalization(-1, 0.9, 1e-5)
        moved = np.moveaxis(x, axis, -1)
        y = np.moveaxis(np.asarray(ours(x, training=True)), axis, -1)
        np.testing.assert_allclose(y, theirs(moved, training=True), atol=1e-5)


def test_refinement_of_a_float64_gan():
    gan = models.WGANGP.for_points(width=4, seed=0, dtype="float64")
    for space in refine.SPACES:
        samples = refine.refine(gan, gan.sample_latent(4, seed=1), space=space, steps=2)
        assert np.isfinite(samples).all()


def test_pairs_of_different_precision_have_float32_losses():
    generator, _ = networks.for_points(2, latent_dim=2, width=4, depth=1)
    keras.config.set_dtype_policy("float64")
    _, discriminator = networks.for_points(2, latent_dim=2, width=4, depth=1)
    assert precision.dtype_of(generator, discriminator) == "float32"
    gan = VanillaGAN(generator, discriminator, seed=0)
    gan.compile()
    assert np.isfinite(gan.train_step(tf.constant(POINTS))["d_loss"])
