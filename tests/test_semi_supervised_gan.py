"""The semi-supervised GAN: exact losses, feature matching over the whole batch, and classes for use."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, losses
from gan_zoo.models import SemiSupervisedGAN

from .test_cat_gan import CLASSES, FAKE, REAL

REAL_FEATURES = np.float32([[1.0, 2.0, -1.0], [0.0, 1.0, 3.0], [2.0, -2.0, 0.5]])
FAKE_FEATURES = np.float32([[0.5, 1.0, 0.0], [1.0, -1.0, 2.0], [0.0, 0.0, 1.0]])


def on_logits(**kwargs):
    """Returns a GAN with D(x) = x, features x and G(z) = z, not compiled."""
    z, x = keras.Input((3,)), keras.Input((3,))
    generator = keras.Model(z, keras.layers.Identity()(z))
    features = keras.layers.Identity(name="features")(x)
    discriminator = keras.Model(x, keras.layers.Identity()(features))
    return SemiSupervisedGAN(generator, discriminator, categories=3, **kwargs)


def test_feature_matching():
    value = losses.feature_matching(tf.constant(REAL_FEATURES), tf.constant(FAKE_FEATURES))
    np.testing.assert_allclose(value, 0.3888888888888889, rtol=1e-6)
    # Means, not pairs: the order does not matter, and neither does the number of samples.
    again = losses.feature_matching(tf.constant(REAL_FEATURES[::-1]), tf.constant(np.tile(FAKE_FEATURES, (2, 1))))
    np.testing.assert_allclose(again, value, rtol=1e-6)
    shaped = [tf.reshape(tf.constant(f), [3, 1, 3]) for f in (REAL_FEATURES, FAKE_FEATURES)]
    np.testing.assert_allclose(losses.feature_matching(*shaped), value, rtol=1e-6)


def test_feature_matching_of_two_replicas(two_replicas):
    real, fake = np.tile(REAL_FEATURES, (2, 1)), np.concatenate([FAKE_FEATURES, 3 * FAKE_FEATURES])
    expected = ((real.mean(axis=0) - fake.mean(axis=0)) ** 2).sum()
    parts = [tf.constant(t.reshape(2, 3, 3)) for t in (real, fake)]

    @tf.function
    def both():
        index = two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(context.replica_id_in_sync_group)
        )
        return two_replicas.run(lambda k: losses.feature_matching(*(part[k] for part in parts)), (index,))

    for value in two_replicas.experimental_local_results(both()):
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_exact_values():
    gan, real, fake = on_logits(), tf.constant(REAL), tf.constant(FAKE)
    np.testing.assert_allclose(gan.discriminator_loss(real, fake), 0.8602068970291468, rtol=1e-6)
    x = {"images": real, "labelled": real, "labels": tf.constant(CLASSES)}
    np.testing.assert_allclose(gan.discriminator_loss(x, fake), 0.8602068970291468 + 0.47551209932160876, rtol=1e-6)
    np.testing.assert_allclose(gan.recorded("unlabelled_loss")[0], 0.8602068970291468, rtol=1e-6)
    half = on_logits(labelled_weight=0.5).discriminator_loss(x, fake)
    np.testing.assert_allclose(half, 0.8602068970291468 + 0.5 * 0.47551209932160876, rtol=1e-6)
    features = {**x, "images": tf.constant(REAL_FEATURES)}
    np.testing.assert_allclose(gan.generator_loss(features, tf.constant(FAKE_FEATURES)), 0.3888888888888889, rtol=1e-6)


def test_scores_and_classes():
    gan = on_logits()
    np.testing.assert_allclose(gan.score(REAL)[:, 0], np.log(np.exp(REAL).sum(axis=1)), rtol=1e-5)
    np.testing.assert_array_equal(gan.classify(REAL), CLASSES)
    np.testing.assert_array_equal(np.argmax(gan.class_probabilities(REAL), axis=1), CLASSES)


def test_defaults():
    gan = SemiSupervisedGAN.for_images((8, 8, 1), latent_dim=4, width=4)
    assert (gan.categories, gan.prior, gan.labelled_weight) == (10, "uniform", 1)
    assert gan.discriminator.output_shape == (None, 10)
    assert float(gan.default_optimizer("generator").learning_rate) == pytest.approx(3e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"categories": 2.5}, "categories must be a whole number of at least 2, not 2.5"),
        ({"labelled_weight": "high"}, "labelled_weight must be a number from 0 up, not 'high'"),
        ({"classes": 3}, "classes: SemiSupervisedGAN is a method for data without labels"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        SemiSupervisedGAN.for_points(width=4, **arguments)
