"""Networks: shapes, ranges, the papers' sizes, normalizations, and invalid arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, layers, networks

# Growing networks have a stage; they have their own tests.
FAMILIES = [family for family in networks.FAMILIES if family != "growing"]


def pair(network="dcgan", shape=(8, 8, 1), latent_dim=4, width=2, norm="none"):
    return networks.for_images(network, shape, latent_dim=latent_dim, width=width, norm=norm)


def all_layers(model, kind):
    """Returns the layers of a type, without the wrappers of spectral normalization."""
    unwrapped = [getattr(layer, "layer", layer) for layer in model.layers]
    return [layer for layer in unwrapped if isinstance(layer, kind)]


def channels(model, kind):
    return [layer.filters for layer in all_layers(model, kind)]


@pytest.mark.parametrize("channel_count", [1, 3])
@pytest.mark.parametrize("side", [8, 14, 20, 32, 48])
@pytest.mark.parametrize("network", FAMILIES)
def test_shapes_and_ranges(network, side, channel_count):
    shape = (side, side, channel_count)
    generator, discriminator = pair(network, shape)
    assert generator.input_shape == (None, 4)
    images = generator(10 * tf.random.stateless_normal([3, 4], [0, 0]), training=True)
    assert images.shape == (3, *shape) and images.dtype == "float32"
    assert np.abs(images).max() <= 1 or network == "r3"  # whose images have no bound
    scores = discriminator(images)
    assert scores.shape == (3, 1) and scores.dtype == "float32"
    # Scores are unbounded: doubling the last layer doubles them.
    last = all_layers(discriminator, keras.layers.Dense)[-1]
    last.set_weights([2 * weight for weight in last.get_weights()])
    np.testing.assert_allclose(discriminator(images), 2 * scores, rtol=1e-5)


@pytest.mark.parametrize("side", [96, 224, 512])
@pytest.mark.parametrize("network", ["dcgan", "resnet"])
def test_large_sides(network, side):
    generator, discriminator = pair(network, (side, side, 3), width=1)
    assert generator.output_shape == (None, side, side, 3)
    assert discriminator.output_shape == (None, 1)


def test_the_side_from_which_generators_start():
    sides = {side: networks.doublings((side, side, 1)) for side in (8, 10, 24, 28, 40, 96, 160, 512)}
    assert [*sides.values()] == [(4, 1), (5, 1), (6, 2), (7, 2), (5, 3), (6, 4), (5, 5), (4, 7)]
    for shape in ((9, 9, 1), (6, 6, 1), (18, 18, 1), (16, 8, 1), (1024, 1024, 1)):
        with pytest.raises(UserError, match="square images with a side of 4, 5, 6 or 7 times a power of two"):
            networks.doublings(shape)


def test_the_size_of_kernels():
    builder = networks.Builder((16, 16, 1), latent_dim=3, width=2, kernel_size=4)
    generator, discriminator = builder.generator(), builder.discriminator()
    for model, kind in ((generator, keras.layers.Conv2DTranspose), (discriminator, keras.layers.Conv2D)):
        assert {layer.kernel_size for layer in all_layers(model, kind)} == {(4, 4)}
    assert discriminator(generator(tf.zeros([2, 3]))).shape == (2, 1)
    with pytest.raises(UserError, match="kernel_size must be one of 3, 4, 5, 6, 7 or None, not 2"):
        networks.Builder((16, 16, 1), latent_dim=3, width=2, kernel_size=2)
    with pytest.raises(UserError, match="kernel_size is for the networks dcgan, and 'resnet' has kernels of its own"):
        networks.Builder((16, 16, 1), network="resnet", latent_dim=3, width=2, kernel_size=4)


def test_the_64x64_network_is_that_of_the_dcgan_paper():
    generator, discriminator = pair("dcgan", (64, 64, 3), latent_dim=100, width=128, norm="batch")
    (dense,) = all_layers(generator, keras.layers.Dense)
    assert dense.units == 4 * 4 * 1024
    assert channels(generator, keras.layers.Conv2DTranspose) == [512, 256, 128, 3]
    assert channels(discriminator, keras.layers.Conv2D) == [128, 256, 512, 1024]
    for model, kind in ((generator, keras.layers.Conv2DTranspose), (discriminator, keras.layers.Conv2D)):
        assert {(layer.kernel_size, layer.strides) for layer in all_layers(model, kind)} == {((5, 5), (2, 2))}
    # Neither on the generator's output nor on the discriminator's input and output.
    assert len(all_layers(generator, layers.BatchNormalization)) == 4
    assert len(all_layers(discriminator, layers.BatchNormalization)) == 3
    assert isinstance(discriminator.layers[2], layers.LeakyReLU)
    assert {layer.negative_slope for layer in all_layers(discriminator, layers.LeakyReLU)} == {0.2}
    kernels = [layer.kernel.numpy() for layer in all_layers(discriminator, keras.layers.Conv2D)]
    np.testing.assert_allclose([kernel.std() for kernel in kernels], 0.02, rtol=0.05)


def test_channels_stop_growing_at_eight_times_the_width():
    _, discriminator = pair("dcgan", (256, 256, 3))
    assert channels(discriminator, keras.layers.Conv2D) == [2, 4, 8, 16, 16, 16]


def test_the_32x32_residual_network_is_that_of_wgan_gp():
    generator, discriminator = pair("resnet", (32, 32, 3), latent_dim=128, width=128)
    conv3, conv1, norm = 9 * 128 * 128 + 128, 128 * 128 + 128, 2 * 128
    # The first convolution of a generator block has no bias: batch normalization follows and would cancel it.
    up = conv1 + norm + (conv3 - 128) + norm + conv3
    dense = 128 * 4 * 4 * 128 + 4 * 4 * 128
    trainable = sum(int(np.prod(variable.shape)) for variable in generator.trainable_variables)
    assert trainable == dense + 3 * up + norm + (9 * 128 * 3 + 3)
    first = (9 * 3 * 128 + 128) + conv3 + (3 * 128 + 128)
    assert discriminator.count_params() == first + (2 * conv3 + conv1) + 2 * (2 * conv3) + (128 + 1)
    assert not all_layers(discriminator, keras.layers.BatchNormalization)
    convolutions = all_layers(discriminator, keras.layers.Conv2D)
    assert {layer.kernel_initializer.__class__.__name__ for layer in convolutions if layer.kernel_size == (3, 3)} == {
        "HeUniform"
    }


@pytest.mark.parametrize("network", [family for family in FAMILIES if family not in networks.WITHOUT_NORM])
@pytest.mark.parametrize("norm", networks.NORMS)
def test_normalizations(network, norm):
    _, discriminator = pair(network, (16, 16, 1), norm=norm)
    kinds = {
        "batch": layers.BatchNormalization,
        "layer": keras.layers.LayerNormalization,
        "spectral": layers.SpectralNormalization,
    }
    for name, kind in kinds.items():
        assert any(isinstance(layer, kind) for layer in discriminator.layers) == (name == norm)
    x = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 1)).astype("float32")
    assert np.isfinite(discriminator(x, training=True)).all()
    # Only batch normalization mixes the examples of a batch.
    together, apart = (discriminator(part, training=norm == "batch")[:2] for part in (x, x[:2]))
    assert np.allclose(together, apart, rtol=1e-4, atol=1e-6) == (norm != "batch")


def test_every_kernel_of_a_spectral_residual_network_is_normalized():
    _, discriminator = pair("resnet", norm="spectral")
    plain = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    assert not plain


@pytest.mark.parametrize("shape", [(30, 30, 3), (4, 4, 1), (1024, 1024, 3), (32, 28, 3), (896, 896, 3)])
@pytest.mark.parametrize("network", ["dcgan", "resnet", "r3"])
def test_sides_that_cannot_be_doubled_to(network, shape):
    with pytest.raises(UserError, match=f"not {shape[0]} x {shape[1]}: set the resolution"):
        pair(network, shape)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"network": "vgg"}, "network must be one of dcgan, resnet, r3, growing, column_rnn, mlp, maxout, not 'vgg'"),
        ({"norm": "group"}, "norm must be one of none, batch, layer, spectral, not 'group'"),
        ({"width": 0}, "width must be 1 or more, not 0"),
        ({"latent_dim": 0}, "latent_dim must be 1 or more, not 0"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        pair(**arguments)


def test_perceptrons_for_points():
    generator, discriminator = networks.for_points(3, latent_dim=5, width=7, depth=4)
    assert (generator.input_shape, generator.output_shape) == ((None, 5), (None, 3))
    assert [layer.units for layer in all_layers(generator, keras.layers.Dense)] == [7, 7, 7, 7, 3]
    assert [layer.units for layer in all_layers(discriminator, keras.layers.Dense)] == [7, 7, 7, 7, 1]
    # Points are not limited to [-1, 1].
    assert np.abs(generator(1000 * tf.random.stateless_normal([64, 5], [0, 0]))).max() > 1


@pytest.mark.parametrize("network", networks.FAMILIES)
def test_outputs_are_float32_in_mixed_precision(network):
    keras.config.set_dtype_policy("mixed_bfloat16")
    generator, discriminator = pair(network)
    images = generator(tf.zeros([2, 4]))
    assert images.dtype == discriminator(images).dtype == "float32"


@pytest.mark.parametrize("network", ["dcgan", "resnet", "column_rnn"])
@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_networks_are_saved_and_loaded(network, norm, tmp_path):
    for model in pair(network, norm=norm):
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        x = tf.random.stateless_normal([2, *model.input_shape[1:]], [0, 0])
        np.testing.assert_array_equal(loaded(x), model(x))


def test_the_sizes_of_the_column_network():
    generator, discriminator = pair("column_rnn", (28, 28, 1), latent_dim=256, width=256, norm="batch")
    (lstm,) = all_layers(generator, keras.layers.LSTM)
    assert lstm.units == 256
    assert [layer.units for layer in all_layers(generator, keras.layers.Dense)] == [256, 28]
    np.testing.assert_array_equal(lstm.cell.bias.numpy().reshape(4, 256)[1], 1)  # the forget gates
    assert channels(discriminator, keras.layers.Conv2D) == [16, 32, 32]
    assert {layer.negative_slope for layer in all_layers(discriminator, layers.LeakyReLU)} == {0.3}
    assert len(all_layers(discriminator, layers.BatchNormalization)) == 2


def test_columns_are_made_from_left_to_right():
    generator, _ = pair("column_rnn", (6, 5, 1), latent_dim=3, width=4)
    z = tf.random.stateless_normal([2, 3], [0, 0])
    before = generator(z).numpy()
    (lstm,) = all_layers(generator, keras.layers.LSTM)
    kernel = lstm.cell.recurrent_kernel
    kernel.assign(kernel.value * 0)  # without recurrent weights, only the cell carries the state
    dense = all_layers(generator, keras.layers.Dense)[-1]
    changed = generator(z).numpy()
    assert not np.allclose(changed, before)
    # A state passes through all columns before a column: with small forget gates nothing remains after the first.
    bias = lstm.cell.bias.numpy()
    bias[4:8] = -30.0
    bias[8:12] = 0.0
    lstm.cell.bias.assign(bias)
    empty = np.tanh(dense.bias.numpy())
    images = generator(z).numpy()
    np.testing.assert_allclose(images[:, :, 1:, 0], np.broadcast_to(empty[:, None], (2, 6, 4)), atol=1e-6)


@pytest.mark.parametrize(("network", "norm"), [("dcgan", "batch"), ("dcgan", "spectral"), ("column_rnn", "none")])
def test_networks_compile_with_xla(network, norm):
    generator, discriminator = pair(network, (16, 16, 1), norm=norm)
    variables = [variable.value for variable in (*generator.trainable_variables, *discriminator.trainable_variables)]
    z = tf.random.stateless_normal([4, 4], [0, 0])

    def value_and_gradients():
        with tf.GradientTape() as tape:
            scores = discriminator(generator(z, training=True), training=True)
            loss = tf.reduce_mean(tf.exp(1e3 * scores))
        return [scores, *tape.gradient(loss, variables)]

    weights = [model.get_weights() for model in (generator, discriminator)]
    expected = value_and_gradients()
    for model, start in zip((generator, discriminator), weights, strict=True):
        model.set_weights(start)
    for compiled, eager in zip(tf.function(value_and_gradients, jit_compile=True)(), expected, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-3, atol=1e-4 * np.abs(eager).max(initial=0))
