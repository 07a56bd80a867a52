"""Networks with labels, the builder of networks, and the activations inside them."""

import gc
import weakref

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, layers, networks
from gan_zoo.networks import Builder, autoencoder, independence
from gan_zoo.nn import output_activation
from gan_zoo.penalties import gradient_penalty

SHAPE = (8, 8, 1)
PROJECTING = [family for family in networks.FAMILIES if family != "r3"]
"""Families whose score is psi(features) + <V y, features>. In r3 the score has no term psi."""
Y = tf.constant([0, 4, 2, 4])
X = tf.constant(np.random.default_rng(0).uniform(-1, 1, (4, *SHAPE)).astype("float32"))
Z = tf.random.stateless_normal([4, 3], [0, 0])


def builder(network="dcgan", shape=SHAPE, classes=5, **kwargs):
    return Builder(shape, network=network, latent_dim=3, width=4, classes=classes, **kwargs)


def last_dense(model):
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]


def random_weights(model, seed=1):
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(0, 0.5, variable.shape))


@pytest.mark.parametrize("network", networks.FAMILIES)
def test_labels_change_what_networks_make(network):
    generator, discriminator = builder(network).generator(), builder(network).discriminator()
    random_weights(discriminator)
    # Classes with equal initial weights must become different.
    for variable in generator.trainable_variables:
        if "gains" in variable.path:
            variable.assign(np.arange(variable.shape[0])[:, None] + np.ones(variable.shape))
    others = (Y + 1) % 5
    for model, first in ((generator, Z), (discriminator, X)):
        assert model.input_shape == [(None, *first.shape[1:]), (None,)]
        made, other = model((first, Y)), model((first, others))
        assert made.dtype == "float32" and made.shape == (4, *model.output_shape[1:])
        assert np.all(np.abs(np.reshape(made - other, (4, -1))).max(1) > 1e-6)
        # The label of one example does not affect other examples.
        if model is generator or network != "growing":
            mixed = model((first, tf.concat([Y[:1], others[1:]], 0)))
            np.testing.assert_allclose(mixed[:1], made[:1], atol=1e-6)
    plain = builder(network, classes=None)
    assert output_activation.last_activation(generator) == output_activation.last_activation(plain.generator())
    assert networks.one_pass_pays(discriminator) == networks.one_pass_pays(plain.discriminator())
    assert (independence.mixing_layer(generator) == "batch normalization") == (network in ("dcgan", "resnet"))


def test_conditional_networks_are_saved_and_loaded(tmp_path):
    for model, first in ((builder("resnet").generator(), Z), (builder("resnet").discriminator(), X)):
        random_weights(model)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded((first, Y)), model((first, Y)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize("norm", ["none", "spectral"])
def test_conditional_networks_in_other_precisions(policy, norm):
    keras.config.set_dtype_policy(policy)
    wide = "float64" if policy == "float64" else "float32"
    generator, discriminator = builder("resnet", norm=norm).generator(), builder("resnet", norm=norm).discriminator()
    images = generator((tf.cast(Z, wide), Y), training=True)
    scores = discriminator((images, Y), training=True)
    assert images.dtype == scores.dtype == wide
    assert {variable.dtype for variable in (*generator.variables, *discriminator.variables)} == {wide}


def projection(discriminator, size, outputs=1):
    """Returns V as [classes, outputs, F]."""
    table = discriminator.get_layer("projection").embeddings.numpy()
    return table.reshape(len(table), outputs, size)


@pytest.mark.parametrize(("network", "outputs"), [*((family, 1) for family in PROJECTING), ("resnet", 2)])
def test_the_label_is_projected_on_the_features(network, outputs):
    discriminator = builder(network).discriminator(outputs)
    random_weights(discriminator)
    part = discriminator.blocks[0] if network == "growing" else discriminator
    features = networks.features(discriminator, (X, Y)).numpy()
    psi = last_dense(part)(features).numpy()
    rows = projection(part, features.shape[1], outputs)
    expected = psi + np.einsum("bof,bf->bo", rows[Y.numpy()], features)
    np.testing.assert_allclose(discriminator((X, Y)), expected, rtol=1e-4, atol=1e-4)
    # With V = 0 the score equals that without labels.
    table = part.get_layer("projection").embeddings
    table.assign(np.zeros(table.shape))
    np.testing.assert_allclose(discriminator((X, Y)), psi, rtol=1e-5, atol=1e-5)


def test_permuted_classes_permute_scores():
    discriminator = builder("mlp").discriminator()
    scores = np.stack([discriminator((X, tf.fill([4], k))) for k in range(5)])
    table = discriminator.get_layer("projection").embeddings
    table.assign(table.numpy()[::-1])
    np.testing.assert_array_equal(np.stack([discriminator((X, tf.fill([4], k))) for k in range(5)]), scores[::-1])


def test_spectral_normalization_covers_the_projection():
    discriminator = builder("resnet", norm="spectral").discriminator()
    wrapped = {layer.layer.name: layer for layer in discriminator.layers if hasattr(layer, "begin_turn")}
    for _ in range(50):
        wrapped["projection"].begin_turn()
    table = wrapped["projection"].layer.embeddings.numpy()
    np.testing.assert_allclose(
        wrapped["projection"](tf.range(5)), table / np.linalg.norm(table, 2), rtol=1e-3, atol=1e-5
    )
    plain = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Embedding)]
    assert not plain


@pytest.mark.parametrize("network", ["dcgan", "r3", "growing", "mlp"])
def test_labels_are_joined_to_the_examples(network):
    discriminator = builder(network, condition="concat").discriminator()
    random_weights(discriminator)
    assert np.all(np.abs(discriminator((X, Y)) - discriminator((X, (Y + 1) % 5))) > 1e-6)
    paths = [variable.path for variable in discriminator.variables]
    assert not any("projection" in path for path in paths)
    tables = [variable for variable in discriminator.variables if variable.path.endswith("embeddings")]
    assert {tuple(table.shape) for table in tables} == {(5, 8)}
    assert networks.one_pass_pays(discriminator) == (network not in ("growing", "mlp"))


def test_the_penalty_of_a_linear_critic_has_a_closed_form():
    critic = builder("mlp", (2,), depth=0).discriminator()
    random_weights(critic)
    x, table = tf.constant([[0.0, 1.0], [2.0, 3.0], [1.0, 1.0], [0.5, 0.0]]), critic.get_layer("projection").embeddings

    @tf.function(jit_compile=True)
    def penalty_and_gradient():
        with tf.GradientTape() as tape:
            penalty = gradient_penalty(lambda points: critic((points, Y), training=True), x)
        return penalty, tape.gradient(penalty, table.value)

    penalty, gradient = penalty_and_gradient()
    slopes = last_dense(critic).kernel.numpy()[:, 0] + table.numpy()[Y.numpy()]
    norms = np.linalg.norm(slopes, axis=1, keepdims=True)
    np.testing.assert_allclose(penalty, np.mean((norms - 1) ** 2), rtol=1e-5)
    expected = np.zeros(table.shape)
    np.add.at(expected, Y.numpy(), 2 * (norms - 1) * slopes / norms / 4)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_a_penalty_of_convolutions_flows_past_joined_labels():
    critic = builder("dcgan", condition="concat").discriminator()
    random_weights(critic)
    kernels = [variable.value for variable in critic.trainable_variables if variable.path.endswith("kernel")]

    def gradients():
        with tf.GradientTape() as tape:
            penalty = gradient_penalty(lambda images: critic((images, Y), training=True), X)
        return tape.gradient(penalty, kernels)

    for compiled, expected in zip(tf.function(gradients, jit_compile=True)(), gradients(), strict=True):
        scale = np.abs(expected).max()
        assert scale > 0
        np.testing.assert_allclose(compiled / scale, expected / scale, atol=1e-4)


@pytest.mark.parametrize("network", ["dcgan", "mlp"])
def test_autoencoders_see_labels_and_make_examples(network):
    model = builder(network).autoencoder()
    random_weights(model)
    reconstruction, code = model((X, Y))
    assert reconstruction.shape == X.shape
    np.testing.assert_array_equal(networks.features(model, (X, Y)), code)
    assert np.abs(model((X, (Y + 1) % 5))[1] - code).max() > 1e-6


def test_the_builder_makes_encoders_and_perceptrons():
    for make in (builder, lambda **kwargs: builder("mlp", (2,), **kwargs), lambda: builder("growing")):
        encoders = [make().encoder(6) for _ in range(2)]
        assert encoders[0].name == "encoder" and encoders[0].output_shape == (None, 6)
        assert isinstance(encoders[0].input_shape, tuple)  # no labels
        assert not {id(v) for v in encoders[0].variables} & {id(v) for v in encoders[1].variables}
    mlp = builder("mlp", (2,), depth=3).mlp(7, 4, name="codes")
    assert (mlp.name, mlp.input_shape, mlp.output_shape) == ("codes", (None, 7), (None, 4))
    assert [layer.units for layer in mlp.layers if isinstance(layer, keras.layers.Dense)] == [4, 4, 4, 4]
    assert output_activation.last_activation(mlp) == "linear"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"classes": 1}, "classes must be a whole number of at least 2, not 1"),
        ({"condition": "sum"}, "condition must be one of projection, concat, every_layer, not 'sum'"),
        ({"condition": "concat", "classes": None}, "give classes as well"),
        ({"shape": (8, 8)}, r"shape must be \(height, width, channels\)"),
        ({"shape": (2,)}, "points need network='mlp'"),
        ({"depth": -1}, "depth must be a whole number of at least 0"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        builder(**arguments)


def test_an_autoencoder_has_no_score_to_project_to():
    with pytest.raises(UserError, match="condition='projection' adds to a score.*use condition='concat'"):
        builder(condition="projection").autoencoder()
    with pytest.raises(UserError, match="outputs must be a whole number of at least 1, not 0"):
        builder().encoder(0)


WEIGHTS = {
    "dcgan batch": (116.02832, 88.991211),
    "resnet layer": (501.19604, 4553.5327),
    "growing none": (15492.791, 27753.223),
    "column_rnn batch": (102.6761, 15.172952),
    "mlp spectral": (180.34332, 171.95654),
}
"""Sums of the absolute weights of pairs with seed 7, from the version before labels existed."""


@pytest.mark.parametrize("network", WEIGHTS)
def test_a_seed_goes_on_giving_the_same_weights(network):
    keras.utils.set_random_seed(7)
    family, _, norm = network.partition(" ")
    pair = networks.for_images(family, (16, 16, 1), latent_dim=3, width=8, norm=norm)
    sums = [sum(np.abs(weight).sum() for weight in model.get_weights()) for model in pair]
    np.testing.assert_allclose(sums, WEIGHTS[network], rtol=1e-5)


@pytest.mark.parametrize("make", [autoencoder.convolutional, autoencoder.perceptron])
def test_the_layer_of_features_has_no_place_in_weight_files(make, tmp_path):
    model = make(SHAPE, 4)
    model.save_weights(tmp_path / "new.weights.h5")
    with h5py.File(tmp_path / "new.weights.h5", "a") as file:
        if "identity" in file["layers"]:
            del file["layers/identity"]  # files of earlier releases have no such layer
    expected = model.get_weights()
    random_weights(model)
    model.load_weights(tmp_path / "new.weights.h5")
    for actual, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(actual, value)


# The activations inside networks.


@pytest.mark.parametrize("network", networks.FAMILIES)
def test_features_are_what_the_last_layer_takes(network):
    model = builder(network, classes=None).discriminator()
    count = len(model.variables)
    features = networks.features(model, X)
    last = last_dense(model.blocks[0] if network == "growing" else model)
    np.testing.assert_allclose(last(features), model(X, training=True), rtol=1e-5, atol=1e-6)
    assert len(model.variables) == count


def test_features_of_a_users_networks():
    stem = keras.layers.Conv2D(2, 3, name="stem")
    sequential = keras.Sequential([keras.Input(SHAPE), stem, keras.layers.Flatten(), keras.layers.Dense(1)])
    images = keras.Input(SHAPE)
    functional = keras.Model(images, keras.layers.Identity()(sequential(images)))
    expected = keras.layers.Flatten()(stem(X))
    np.testing.assert_array_equal(networks.features(sequential, X), expected)
    np.testing.assert_array_equal(networks.features(functional, X), expected)
    np.testing.assert_array_equal(networks.features(sequential, X, layer="stem"), stem(X))
    linear = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    np.testing.assert_array_equal(networks.features(linear, X[:, 0, :2, 0]), X[:, 0, :2, 0])


def test_features_run_in_the_mode_that_is_asked_for():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dropout(0.999), keras.layers.Dense(1)])
    x = tf.ones([50, 2])
    np.testing.assert_array_equal(networks.features(model, x, training=False), x)
    assert np.mean(networks.features(model, x) == 0) > 0.5


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.features = keras.layers.Dense(2)  # a layer, not a method

    def call(self, x):
        return self.features(x)


class WithFeatures(Own):
    def __init__(self):
        keras.Model.__init__(self)

    def features(self, x, layer=None, training=True):
        return x + 1.0


def test_networks_without_known_features():
    with pytest.raises(UserError, match="is a Own, and the outputs of its layers are not known: give it a method"):
        networks.features(Own(), tf.ones([1, 2]))
    np.testing.assert_array_equal(networks.features(WithFeatures(), tf.ones([1, 2])), 2 * np.ones([1, 2]))
    with pytest.raises(UserError, match="has no layer 'trunk': it has input_layer.*, features, "):
        networks.features(builder().discriminator(), (X, Y), layer="trunk")
    with pytest.raises(UserError, match="no last layer with weights and one input"):
        networks.features(keras.Sequential([keras.Input((2,)), layers.LeakyReLU()]), tf.ones([1, 2]))


def test_models_of_features_do_not_keep_their_networks():
    model = builder("mlp").discriminator()
    networks.features(model, (X, Y))
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None
