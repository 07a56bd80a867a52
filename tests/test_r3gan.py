"""R3GAN: its game in closed form, its schedules, and the identities of its networks."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, dynamics, layers, networks, testing
from gan_zoo.models import R3GAN
from gan_zoo.networks import Builder, r3
from gan_zoo.nn import optimizers, resampling
from gan_zoo.penalties import scores_and_squared_norms

from . import variants
from .dirac import dirac, step
from .test_penalties import FAKE, INPUTS, REAL, Quadratic, Table
from .thorough import thoroughly

T = 40_000


def s(t):
    return 1 / (1 + math.exp(-t))


def mean(values):
    return sum(values) / len(values)


# The game.


@pytest.mark.parametrize("simultaneous", [False, True])
@pytest.mark.parametrize("theta_psi", [(0.8, 0.6), (-0.5, 1.7), (1.2, -0.4)])
def test_one_step_on_the_dirac_gan(theta_psi, simultaneous):
    """D's examples are the even ones, and G's are the odd ones."""
    theta, psi = theta_psi
    data, rate, gamma = [0.9, 0.2, -0.3, -1.1], 0.1, 0.7
    d_gradient = mean([-s(-psi * (c - theta)) * (c - theta) for c in data[::2]]) + 2 * gamma * psi
    new_psi = psi - rate * d_gradient
    seen = psi if simultaneous else new_psi
    new_theta = theta - rate * mean([-s(-seen * (theta - c)) * seen for c in data[1::2]])
    gan = dirac(R3GAN, theta, psi, rate, gamma=gamma, simultaneous=simultaneous)
    np.testing.assert_allclose(step(gan, data), (new_theta, new_psi), atol=2e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0])
def test_eigenvalues(gamma):
    """-gamma +- sqrt(gamma^2 - 1/4): each of the two penalties damps like R1 alone. Without them the game circles."""
    game = dynamics.dirac("r3gan", gamma=gamma)
    np.testing.assert_allclose(game.jacobian(), [[0.0, 0.5], [-0.5, -2 * gamma]], atol=1e-9)
    root = np.sqrt(complex(gamma**2 - 0.25))
    np.testing.assert_allclose(
        dynamics.eigenvalues(game.jacobian()), np.sort_complex([-gamma - root, -gamma + root]), atol=1e-6
    )


def quadratic(gamma):
    z, x = keras.Input((1,)), keras.Input((2,))
    generator, discriminator = keras.Model(z, Table()(z)), keras.Model(x, Quadratic()(x))
    generator.set_weights([FAKE])
    discriminator.set_weights([np.float32(INPUTS["a"]), np.float32(INPUTS["b"])])
    return R3GAN(generator, discriminator, gamma=gamma)


@pytest.mark.parametrize(("gamma", "expected"), [(0.0, 1.274116), (0.05, 1.381573), (1.0, 3.423257), (2.0, 5.572398)])
def test_losses_of_a_quadratic_critic(gamma, expected):
    gan, x, z = quadratic(gamma), tf.constant(REAL), tf.zeros([4, 1])
    variables = [variable.value for variable in gan.discriminator_variables]
    with gan.recording() as recorded, tf.GradientTape() as tape:
        loss = gan.discriminator_loss(x, z)
    assert float(loss) == pytest.approx(expected, abs=1e-5)
    assert [float(recorded[name][0]) for name in ("r1", "r2")] == pytest.approx([2.858125, 1.440156], abs=1e-5)
    assert float(gan.generator_loss(x, z)) == pytest.approx(0.849898, abs=1e-5)
    if gamma == 1.0:
        gradient = np.concatenate(tape.gradient(loss, variables))
        np.testing.assert_allclose(gradient, [5.202360, -2.299873, 1.503505, -2.164061], atol=2e-5)


def test_scores_and_norms_are_those_of_each_minibatch_alone():
    gan = R3GAN.for_images((8, 8, 1), width=4, latent_dim=3, seed=0)
    for variable in gan.discriminator.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(0, 0.3, variable.shape))
    x, fake = tf.constant(variants.IMAGES), gan.G(gan.sample_latent(8))
    scores, norms = scores_and_squared_norms(gan.D, x, fake)
    for images, score, norm in zip((x, fake), scores, norms, strict=True):
        with tf.GradientTape() as tape:
            tape.watch(images)
            expected = gan.discriminator(images)
        gradient = tape.gradient(expected, images)
        np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm, tf.reduce_sum(gradient**2, [1, 2, 3]), rtol=1e-4)


def test_a_constant_on_all_scores_changes_no_loss():
    gan = variants.small(R3GAN, seed=0)
    x, z = tf.constant(variants.POINTS), gan.sample_latent(8, seed=1)
    before = [float(loss(x, z)) for loss in (gan.discriminator_loss, gan.generator_loss)]
    bias = gan.discriminator.layers[-1].bias
    bias.assign(bias.value + 5.0)
    after = [float(loss(x, z)) for loss in (gan.discriminator_loss, gan.generator_loss)]
    assert after == pytest.approx(before, abs=1e-5)


class Watched(R3GAN):
    """Keeps the minibatches of each player's turns."""

    def begin_turn(self, x=None):
        self.seen.append(x.numpy()[:, 0].tolist())
        super().begin_turn(x)


@pytest.mark.parametrize(("simultaneous", "order"), [(False, [0, 1, 2]), (True, [0, 2, 1])])
def test_the_generator_takes_a_minibatch_of_its_own(simultaneous, order):
    gan = Watched.for_points(width=4, n_critic=2, simultaneous=simultaneous)
    gan.compile()
    gan.seen = []
    assert gan.minibatches_per_step == 3
    gan.train_step(tf.reshape(tf.range(12, dtype=tf.float32), [6, 2]))
    expected = [[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]]  # strided; G's is the last
    assert gan.seen == [expected[k] for k in order]
    with pytest.raises(UserError, match="4 examples cannot be divided by turns=3"):
        gan.train_step(tf.zeros([4, 2]))


# Schedules.


@pytest.mark.parametrize(
    ("share", "rate", "gamma", "beta_2"),
    [
        (0.0, 2e-4, 0.05, 0.9),
        (0.25, 1.78033e-4, 0.0434099, 0.913180),
        (0.5, 1.25e-4, 0.0275, 0.945),
        (0.75, 7.19670e-5, 0.0115901, 0.976820),
        (1.0, 5e-5, 0.005, 0.99),
        (1.5, 5e-5, 0.005, 0.99),
    ],
)
def test_schedules(share, rate, gamma, beta_2):
    gan = R3GAN.for_points(width=2, gamma=0.05, anneal_steps=T, n_critic=2)
    gan.compile()
    gan.d_optimizer.iterations.assign(int(2 * T * share))
    gan.g_optimizer.iterations.assign(int(T * share))
    assert float(gan.current_gamma()) == pytest.approx(gamma, abs=1e-6)
    for optimizer in gan.optimizers().values():
        assert float(optimizer.learning_rate) == pytest.approx(rate, abs=1e-9)
        assert float(optimizer.beta_2) == pytest.approx(beta_2, abs=1e-5)


def test_values_are_constant_by_default():
    gan = R3GAN.for_points(width=2)
    adam = gan.default_optimizer("discriminator")
    assert (gan.gamma, gan.current_gamma()) == (0.05, 0.05)
    assert [adam.get_config()[name] for name in ("beta_1", "beta_2", "epsilon")] == [0.0, 0.9, 1e-8]
    assert float(adam.learning_rate) == pytest.approx(2e-4)


def test_adam_with_a_schedule_is_pytorchs_formula():
    rng, variable = np.random.default_rng(0), keras.Variable(np.float32([1.0, -2.0, 0.5]))
    schedule = keras.optimizers.schedules.CosineDecay(0.9, 5, alpha=1.1)
    optimizer = optimizers.ScheduledAdam(0.1, beta_1=0.3, beta_2=schedule, epsilon=1e-8)
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    w, m, v = variable.numpy().astype("float64"), 0.0, 0.0
    for t in range(6):
        gradient = rng.normal(size=3)
        beta_2 = 0.99 + 0.5 * (1 + math.cos(math.pi * min(t, 5) / 5)) * (0.9 - 0.99)
        m, v = 0.3 * m + 0.7 * gradient, beta_2 * v + (1 - beta_2) * gradient**2
        scale = np.sqrt(v) / math.sqrt(1 - beta_2 ** (t + 1)) + 1e-8
        w = w - 0.1 / (1 - 0.3 ** (t + 1)) * m / scale
        apply(tf.constant(gradient, tf.float32))
        np.testing.assert_allclose(variable.numpy(), w, atol=2e-6)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    again.build([variable])
    again.iterations.assign(3)
    assert float(again.beta_2) == pytest.approx(float(schedule(3)))


@pytest.mark.parametrize(
    "check",
    [
        *(testing.check_keras_file, testing.check_replicas),
        *thoroughly(testing.check_weights, testing.check_xla),
    ],
    ids=lambda check: check.__name__,
)
def test_schedules_conform(check, two_replicas):
    check(lambda: R3GAN.for_points(width=4, gamma=1.0, anneal_steps=4), variants.POINTS)


@pytest.mark.parametrize(
    "check",
    [pytest.param(testing.check_replicas, marks=pytest.mark.thorough), testing.check_mixed_precision],
    ids=lambda check: check.__name__,
)
def test_its_networks_conform_with_labels(check, two_replicas):
    make = lambda: R3GAN.for_images((8, 8, 1), width=8, latent_dim=4, classes=3)  # noqa: E731
    check(make, (variants.IMAGES, variants.LABELS))


def test_bad_arguments():
    for arguments, sentence in (
        ({"gamma": -1.0}, "gamma must be a number from 0 up"),
        ({"anneal_steps": 0.5}, "anneal_steps must be a whole number"),
    ):
        with pytest.raises(UserError, match=sentence):
            R3GAN.for_points(width=2, **arguments)
    with pytest.raises(UserError, match="norm must be 'none' with the networks r3"):
        R3GAN.for_images((8, 8, 1), width=4, norm="spectral")


# The networks.


def build(shape=(8, 8, 2), width=8, **kwargs):
    builder = Builder(shape, network="r3", latent_dim=5, width=width, **kwargs)
    return builder.generator(), builder.discriminator()


def count_of(channels, latent_dim=64, base=4, pixels=3):
    """The numbers of parameters of G and D with these channels at each side, the smallest first, by hand."""
    blocks = sum(2 * (2 * c * c + 2 * c + 9 * 16 * 2 * c + 2 * c + 2 * c * c) for c in channels)
    changes = sum(a * b for a, b in zip(channels, channels[1:], strict=False) if a != b)
    shared = blocks + changes + base**2 * channels[0] + pixels * channels[-1]
    return shared + latent_dim * channels[0], shared + channels[0]


def test_published_sizes():
    assert r3.widths((32, 32, 3), 768) == [768] * 4
    assert r3.widths((256, 256, 3), 768) == [768, 768, 768, 768, 384, 192, 96]
    assert r3.widths((56, 56, 1), 96) == [96, 96, 96, 48]
    # Groups: 96 of 768 channels outside, 48 of 384, and so on.
    assert [2 * c // r3.group_size(c) for c in (768, 384, 192, 96)] == [96, 48, 24, 12]
    for shape, millions in (
        ((32, 32, 3), (20.73, 20.68)),
        ((64, 64, 3), (22.43, 22.38)),
        ((256, 256, 3), (23.06, 23.01)),
    ):
        assert [count / 1e6 for count in count_of(r3.widths(shape, 768))] == pytest.approx(millions, abs=5e-3)
    for width, millions in ((192, (1.64, 1.63)), (96, (0.527, 0.521))):
        pair = networks.for_images("r3", (32, 32, 3), latent_dim=64, width=width)
        counts = [network.count_params() for network in pair]
        assert tuple(counts) == count_of([width] * 4)
        assert [count / 1e6 for count in counts] == pytest.approx(millions, abs=5e-3)
    labelled = networks.for_images("r3", (32, 32, 3), latent_dim=64, width=96, classes=10)
    more = [network.count_params() for network in labelled]
    assert more[0] - counts[0] == 64 * 96 + 10 * 64
    assert more[1] - counts[1] == 96 * 96 - 96 + 10 * 96


def test_only_blocks_have_biases_and_kernels_start_by_their_rule():
    generator, discriminator = build((16, 16, 3), width=64)
    gain = math.sqrt(2 / 1.04) * 6**-0.25
    for network in (generator, discriminator):
        kernels = {v.path: v.numpy() for v in network.trainable_variables if v.path.endswith("kernel")}
        biases = [v.numpy() for v in network.trainable_variables if v.path.endswith("bias")]
        assert len(biases) == 2 * 6 and not np.any(biases)
        assert sum(not kernel.any() for kernel in kernels.values()) == 6
        inner = [kernel for kernel in kernels.values() if kernel.shape == (3, 3, 16, 128)]
        assert len(inner) == 6
        for kernel in inner:
            assert kernel.std() == pytest.approx(gain / math.sqrt(9 * 16), rel=0.05)
    assert [math.sqrt(2 / 1.04) * count**-0.25 for count in (8, 10, 14)] == pytest.approx(
        [0.824567, 0.779827, 0.716913], abs=1e-6
    )


def test_networks_start_linear():
    gan = R3GAN.for_images((8, 8, 1), width=8, latent_dim=5, gamma=1.0, seed=0)
    gan.compile()
    z, x = gan.sample_latent(8), tf.constant(variants.IMAGES)

    def gaps():
        doubled = gan.generator(2 * z) - 2 * gan.generator(z)
        added = gan.discriminator(x + x[::-1]) - gan.discriminator(x) - gan.discriminator(x[::-1])
        _, (norms, _) = scores_and_squared_norms(gan.D, x, x)
        return [float(tf.reduce_max(tf.abs(gap))) for gap in (doubled, added, norms - norms[0])]

    assert max(gaps()) < 1e-5
    for _ in range(2):  # the first step moves the last kernel of each block only, and no bias
        gan.train_step(x)
    assert min(gaps()) > 1e-5


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
def test_resampling_is_the_binomial_filter(shape):
    """Against the FIR filter [1, 3, 3, 1] with zeros outside, and by hand."""
    rng = np.random.default_rng(0)
    taps = np.array([1.0, 3.0, 3.0, 1.0]) / 4

    def up(x):
        zeros = np.zeros(2 * len(x))
        zeros[::2] = x
        return np.convolve(np.pad(zeros, 2), taps)[3 : 3 + len(zeros)]

    def down(x):
        return np.convolve(np.pad(x, 2), taps / 2)[4 : 4 + len(x) : 2]

    np.testing.assert_allclose(up([1.0, 10.0])[:2], [0.75, 0.75 + 2.5])
    np.testing.assert_allclose(down(np.ones(6))[:2], [0.875, 1.0])
    x = rng.normal(size=(2, *shape, 3)).astype("float32")
    expected = np.apply_along_axis(up, 2, np.apply_along_axis(up, 1, x))
    larger = resampling.BinomialUpSampling2D()(x)
    np.testing.assert_allclose(larger, expected, atol=1e-5)
    expected = np.apply_along_axis(down, 2, np.apply_along_axis(down, 1, larger))
    np.testing.assert_allclose(resampling.BinomialDownSampling2D()(larger), expected, atol=1e-5)
    y = rng.normal(size=larger.shape).astype("float32")
    transposed = tf.reduce_sum(resampling.BinomialDownSampling2D()(y) * x)  # the two are transposes, up to 4
    assert float(tf.reduce_sum(larger * y)) == pytest.approx(4 * float(transposed), rel=1e-4)


@pytest.mark.parametrize("kernel_size", [1, 3, (3, 5)])
def test_a_convolution_in_groups_is_one_with_a_block_diagonal_kernel(kernel_size):
    """Values, gradients, and the gradient of a penalty on the gradient, eager, in a graph and compiled."""
    layer = layers.Conv2D(6, kernel_size, padding="same", groups=3)
    x = tf.random.stateless_normal([2, 4, 5, 12], [1, 2])
    layer(x)
    layer.bias.assign([0.1, -0.2, 0.3, 0.0, 0.5, 1.0])
    kernel, bias = (tf.convert_to_tensor(weight.value) for weight in (layer.kernel, layer.bias))

    def dense(x, kernel, bias):
        parts = tf.split(kernel, 3, axis=-1)
        zeros = tf.zeros_like(parts[0])
        rows = [tf.concat([parts[g] if g == k else zeros for k in range(3)], axis=-1) for g in range(3)]
        return tf.nn.conv2d(x, tf.concat(rows, axis=2), 1, "SAME") + bias

    def grouped(x, kernel, bias):
        with keras.StatelessScope([(layer.kernel, kernel), (layer.bias, bias)]):
            return layer(x)

    def derivatives(function, x, kernel, bias):
        with tf.GradientTape() as outer:
            outer.watch([x, kernel, bias])
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x, kernel, bias)
                total = tf.reduce_sum(tf.nn.leaky_relu(y) * y)
            penalty = tf.reduce_sum(tf.square(tape.gradient(total, x)))
        return [y, penalty, *outer.gradient(penalty, [x, kernel, bias])]

    expected = derivatives(dense, x, kernel, bias)
    for options in (None, {}, {"jit_compile": True}):
        compute = derivatives if options is None else tf.function(derivatives, autograph=False, **options)
        for actual, value in zip(compute(grouped, x, kernel, bias), expected, strict=True):
            np.testing.assert_allclose(actual, value, rtol=1e-4, atol=1e-4 * np.abs(value).max())


def test_convolutions_that_only_keras_computes():
    x = tf.random.stateless_normal([2, 4, 4, 4], [1, 2])
    for options in ({"strides": 2}, {"padding": "valid"}, {"dilation_rate": 2}):
        ours, theirs = (
            kind(4, 3, groups=2, **{"padding": "same", **options}) for kind in (layers.Conv2D, keras.layers.Conv2D)
        )
        expected = theirs(x)
        ours(x)
        ours.set_weights(theirs.get_weights())
        np.testing.assert_allclose(ours(x), expected, atol=1e-5)


def test_the_score_of_a_label_is_a_product_with_its_row():
    _, discriminator = build(classes=4)
    x, y = tf.random.stateless_normal([3, 8, 8, 2], [1, 2]), tf.constant([2, 0, 3])
    features = networks.features(discriminator, (x, y)).numpy()
    (dense,) = (layer for layer in discriminator.layers if isinstance(layer, keras.layers.Dense))
    rows = discriminator.get_layer("projection").embeddings.numpy()[y.numpy()]
    expected = np.sum((features @ dense.kernel.numpy()) * rows, axis=1, keepdims=True)
    np.testing.assert_allclose(discriminator((x, y)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 12, 20])
def test_any_width_has_groups(width):
    generator, discriminator = build(width=width)
    assert discriminator(generator(tf.zeros([2, 5]))).shape == (2, 1)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_smallest_side_computes_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    for network in build():
        for layer in network.layers:
            if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3):
                small = layer.input.shape[1] == 4
                assert layer.compute_dtype == ("float32" if small else policy.removeprefix("mixed_"))
        assert network.output.dtype == "float32"


def test_networks_are_saved_and_loaded(tmp_path):
    for network in build(classes=3):
        network.save(tmp_path / "network.keras")
        loaded = keras.models.load_model(tmp_path / "network.keras")
        x = [tf.random.stateless_normal([2, *network.input_shape[0][1:]], [0, 0]), tf.constant([0, 2])]
        np.testing.assert_array_equal(loaded(x), network(x))
