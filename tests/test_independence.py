"""Networks that mix the examples of a batch: when they take one pass per minibatch, and when they are refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import models, networks
from gan_zoo.models import DRAGAN, R1GAN, RGAN, WGANGP, ProgressiveGAN, RaGAN, RothGAN, VanillaGAN
from gan_zoo.networks import independence
from gan_zoo.networks.dcgan import generator
from gan_zoo.penalties import gradient_norm, zero_centered_penalty
from gan_zoo.util.errors import UserError

SHAPE = (8, 8, 1)
LARGE = (16, 16, 1)  # the first convolution of the zoo's networks has no normalization


def discriminator(couple=lambda x: x, activation=None, head=lambda x: keras.layers.Dense(1)(x)) -> keras.Model:
    """Returns a convolutional discriminator with `couple` applied to its features."""
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(3, 3, padding="same", activation=activation)(images)
    return keras.Model(images, head(keras.layers.Flatten()(couple(x))))


def centred(x):
    return x - keras.ops.mean(x, axis=0, keepdims=True)


class Centre(keras.layers.Layer):
    def call(self, x):
        return centred(x)


class CentredConv(keras.layers.Conv2D):
    def call(self, x):
        return centred(super().call(x))


class CentredModel(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.score = keras.layers.Conv2D(3, 3), keras.layers.Dense(1)

    def call(self, x):
        return self.score(keras.layers.Flatten()(centred(self.conv(x))))


def spectral(layer):
    return lambda x: keras.layers.SpectralNormalization(layer)(x)


MIXING = {
    "a function of keras.ops": lambda: discriminator(centred),
    "an operator on the batch": lambda: discriminator(lambda x: x - x[0]),
    "Lambda": lambda: discriminator(keras.layers.Lambda(centred, output_shape=(8, 8, 3))),
    "a layer of one's own": lambda: discriminator(Centre()),
    "a layer that derives from Keras's": lambda: discriminator(CentredConv(3, 3)),
    "an activation": lambda: discriminator(activation=centred),
    "an activation layer": lambda: discriminator(keras.layers.Activation(centred)),
    "an axis": lambda: discriminator(keras.layers.UnitNormalization(axis=0)),
    "an axis from the end": lambda: discriminator(keras.layers.UnitNormalization(axis=-4)),
    "batch normalization": lambda: discriminator(keras.layers.BatchNormalization()),
    "a wrapper": lambda: discriminator(spectral(CentredConv(3, 3))),
    "a part": lambda: discriminator(keras.Sequential([keras.Input((8, 8, 3)), Centre()])),
    "a functional part": lambda: discriminator(
        keras.Model(*(lambda i: (i, centred(i)))(keras.Input((8, 8, 3)))),
    ),
    "one mask for all": lambda: discriminator(keras.layers.Dropout(0.5, noise_shape=(1, 8, 8, 3))),
    "a model of one's own": CentredModel,
}


@pytest.mark.parametrize("kind", MIXING)
def test_what_may_mix_examples_is_not_known_to_treat_each_by_itself(kind):
    network = MIXING[kind]()
    network(np.zeros((1, *SHAPE)))
    assert not independence.is_by_example(network)
    assert not networks.one_pass_pays(network)


@pytest.mark.parametrize(
    "kind", ["a function of keras.ops", "Lambda", "an activation", "a part", "a model of one's own"]
)
def test_scores_of_real_and_generated_examples_do_not_mix(kind):
    network = MIXING[kind]()
    network(np.zeros((1, *SHAPE)))
    gan = VanillaGAN(generator(SHAPE, 4, 4), network)
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(3.0 * k, 1.0, size=(5, *SHAPE)).astype("float32") for k in range(2))
    for scores, x in zip(gan.D(real, fake), (real, fake), strict=True):
        np.testing.assert_allclose(scores, gan.D(x), atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LeakyReLU(),
        keras.layers.LayerNormalization(axis=(1, 2, 3)),
        keras.layers.LayerNormalization(axis=(-3, -2, -1)),
        keras.layers.GroupNormalization(3),
        keras.layers.Softmax(),
        keras.layers.Dropout(0.3),
        keras.layers.SpectralNormalization(keras.layers.Conv2D(3, 3, activation="relu")),
        keras.Sequential([keras.layers.Conv2D(2, 3, activation=keras.layers.ReLU()), keras.layers.UpSampling2D()]),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_common_layers_are_known_to_treat_each_example_by_itself(layer):
    network = discriminator(layer)
    assert independence.is_by_example(network)
    assert networks.one_pass_pays(network)


def test_a_sequential_discriminator_takes_one_pass():
    layers = [keras.Input(SHAPE), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
    assert networks.one_pass_pays(keras.Sequential(layers))


def heads(x):
    return {"score": keras.layers.Dense(1)(x), "class": [keras.layers.Dense(3)(x), keras.layers.Dense(2)(x)]}


@pytest.mark.parametrize("couple", [lambda x: x, centred], ids=["one pass", "two passes"])
def test_a_discriminator_may_have_several_outputs(couple):
    gan = VanillaGAN(generator(SHAPE, 4, 4), discriminator(couple, head=heads))
    real, fake = np.zeros((2, *SHAPE), "float32"), np.ones((3, *SHAPE), "float32")
    for made, x in zip(gan.D(real, fake), (real, fake), strict=True):
        alone = gan.D(x)
        tf.nest.assert_same_structure(made, alone)
        for a, b in zip(tf.nest.flatten(made), tf.nest.flatten(alone), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("outputs", [2, 3])
def test_a_list_of_outputs_is_not_taken_for_minibatches(outputs):
    def head(x):
        return [keras.layers.Dense(k + 1)(x) for k in range(outputs)]

    gan = VanillaGAN(generator(SHAPE, 4, 4), discriminator(head=head))
    shapes = tf.nest.map_structure(lambda t: tuple(t.shape), gan.D(np.zeros((2, *SHAPE)), np.ones((4, *SHAPE))))
    assert shapes == [[(n, k + 1) for k in range(outputs)] for n in (2, 4)]


PENALIZED = {
    name: cls for name in models.VARIANTS if (cls := getattr(models, models.VARIANTS[name])).gradient_penalty_argument
}


def weighted(cls) -> dict:
    """Returns arguments that give the variant a penalty if it has none by default."""
    name = cls.gradient_penalty_argument
    return {} if cls.parameters().get(name) and cls.parameters()[name].default else {name: 10.0}


@pytest.mark.parametrize("name", PENALIZED)
def test_the_default_networks_of_a_gradient_penalty_have_no_batch_normalization(name):
    cls = PENALIZED[name]
    gan = cls.for_images(LARGE, network="dcgan", width=4, latent_dim=4, **weighted(cls))
    assert independence.mixing_layer(gan.discriminator) is None
    gan.check_penalty()


@pytest.mark.parametrize("name", PENALIZED)
def test_a_gradient_penalty_is_refused_on_batch_normalization(name):
    cls = PENALIZED[name]
    gan = cls.for_images(LARGE, network="dcgan", norm="batch", width=4, latent_dim=4, n_critic=1, **weighted(cls))
    gan.compile()
    for train in (gan.fit, gan.train_on_batch):
        with pytest.raises(UserError, match=f"{cls.__name__}: {cls.gradient_penalty_argument}=.*norm='none'"):
            train(np.zeros((4, *LARGE), "float32"))


@pytest.mark.parametrize("cls", [WGANGP, DRAGAN, R1GAN, RothGAN, ProgressiveGAN], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("layer", [keras.layers.BatchNormalization, "in a part"])
def test_so_it_is_on_networks_of_the_users_own(cls, layer):
    norm = keras.layers.BatchNormalization()
    part = norm if layer != "in a part" else keras.Sequential([keras.layers.ReLU(), norm])
    gan = cls(generator(SHAPE, 4, 4), discriminator(part))
    with pytest.raises(UserError, match="batch normalization"):
        gan.check_penalty()


@pytest.mark.parametrize("cls", [RaGAN, RGAN], ids=lambda cls: cls.__name__)
def test_without_the_penalty_batch_normalization_stays_the_default(cls):
    gan = cls.for_images(LARGE, width=4, latent_dim=4)
    assert independence.mixing_layer(gan.discriminator) == "batch normalization"
    gan.check_penalty()
    without = cls.for_images(LARGE, width=4, latent_dim=4, gp_weight=0)
    assert independence.mixing_layer(without.discriminator) == "batch normalization"


class Penalized(VanillaGAN):
    def discriminator_loss(self, x, z):
        return super().discriminator_loss(x, z) + zero_centered_penalty(self.D, x)


def test_a_penalty_of_the_users_own_is_refused_on_batch_normalization():
    gan = Penalized.for_images(LARGE, width=4, latent_dim=4)
    gan.compile()
    with pytest.raises(UserError, match="each example's own score.*norm='none'"):
        gan.fit(np.zeros((4, *LARGE), "float32"), verbose=0)
    with pytest.raises(UserError, match="each example's own score"):
        gradient_norm(gan.discriminator, tf.zeros([4, *LARGE]))
    gan = Penalized.for_images(LARGE, norm="none", width=4, latent_dim=4)
    gan.compile()
    gan.fit(np.zeros((4, *LARGE), "float32"), verbose=0)


def test_a_penalty_of_weight_zero_is_not_refused():
    WGANGP.for_images(LARGE, norm="batch", width=4, latent_dim=4, gp_weight=0).check_penalty()


def test_a_model_that_cannot_be_trained_can_still_be_loaded(tmp_path):
    gan = WGANGP.for_images(LARGE, norm="batch", width=4, latent_dim=4)
    gan.compile()
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    np.testing.assert_array_equal(loaded(np.ones((2, 4))), gan(np.ones((2, 4))))
