"""CatGAN: exact entropies and losses, marginals of the whole batch, and categories for use."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, losses
from gan_zoo.models import CatGAN

from .variants import IMAGES, LABELS, POINTS

REAL = np.float32([[2.0, 0.1, -1.0], [0.3, 1.7, 0.2], [-0.5, 0.4, 1.1], [0.9, 0.8, -0.2]])
FAKE = np.float32([[0.2, 0.1, 0.0], [1.0, -0.3, 0.4], [-0.6, 0.5, 0.7], [0.3, 0.3, -0.9]])
CLASSES = np.int32([0, 1, 2, 0])


def on_logits(**kwargs):
    """Returns a CatGAN with D(x) = x and G(z) = z, not compiled: x and z are logits, [B, 3]."""
    networks = []
    for _ in range(2):
        inputs = keras.Input((3,))
        networks.append(keras.Model(inputs, keras.layers.Identity(name="features")(inputs)))
    return CatGAN(*networks, categories=3, **kwargs)


def test_exact_values():
    gan, real, fake = on_logits(), tf.constant(REAL), tf.constant(FAKE)
    np.testing.assert_allclose(gan.discriminator_loss(real, fake), -1.2544722573453526, rtol=1e-6)
    np.testing.assert_allclose(gan.generator_loss(real, fake), -0.08359035748100996, rtol=1e-5)
    for name, value in (
        ("marginal_entropy", 1.0742010901521157),
        ("real_entropy", 0.8312667595517389),
        ("fake_entropy", 1.0115379267449758),
    ):
        np.testing.assert_allclose(gan.recorded(name)[0], value, rtol=1e-6)
    np.testing.assert_allclose(losses.marginal_entropy(fake), 1.0951282842259857, rtol=1e-6)


def test_few_labels():
    x = {"images": tf.constant(REAL), "labelled": tf.constant(REAL), "labels": tf.constant(CLASSES)}
    gan = on_logits()
    np.testing.assert_allclose(gan.discriminator_loss(x, tf.constant(FAKE)), -0.7789601580237439, rtol=1e-6)
    np.testing.assert_allclose(gan.recorded("labelled_loss")[0], 0.47551209932160876, rtol=1e-6)
    assert float(gan.recorded("labelled_accuracy")[0]) == 1
    twice = on_logits(labelled_weight=2.0).discriminator_loss(x, tf.constant(FAKE))
    np.testing.assert_allclose(twice, -1.2544722573453526 + 2 * 0.47551209932160876, rtol=1e-5)


@pytest.mark.parametrize("logits", [1e4 * np.eye(3), np.zeros((4, 3)), [[300.0, -300.0, 0.0]] * 2])
def test_extreme_logits_have_finite_gradients(logits):
    logits = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = tf.reduce_mean(losses.entropy(logits)) - losses.marginal_entropy(logits)
    assert math.isfinite(loss) and np.isfinite(tape.gradient(loss, logits)).all()
    assert 0 <= float(losses.marginal_entropy(logits)) <= math.log(3) + 1e-6


def test_the_optimum_on_data():
    # Certain of each example, and all categories equally frequent.
    certain = tf.constant(50.0 * np.eye(3, dtype="float32"))
    gan = on_logits()
    loss = gan.discriminator_loss(certain, tf.zeros([3, 3]))
    np.testing.assert_allclose(loss, -2 * math.log(3), rtol=1e-5)
    np.testing.assert_allclose(gan.generator_loss(certain, certain), -math.log(3), rtol=1e-5)


def test_marginals_are_those_of_all_replicas(two_replicas):
    @tf.function
    def both():
        index = two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(context.replica_id_in_sync_group)
        )
        return two_replicas.run(lambda k: losses.marginal_entropy(tf.constant(REAL.reshape(2, 2, 3))[k]), (index,))

    for value in two_replicas.experimental_local_results(both()):
        np.testing.assert_allclose(value, 1.0742010901521157, rtol=1e-6)


def test_classification():
    gan = on_logits()
    np.testing.assert_array_equal(gan.classify(REAL), CLASSES)
    p = np.exp(REAL) / np.exp(REAL).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gan.class_probabilities(REAL), p, rtol=1e-5)
    np.testing.assert_allclose(gan.score(REAL)[:, 0], (p * np.log(p)).sum(axis=1), rtol=1e-5)


def test_classification_is_that_of_inference_mode():
    gan = CatGAN.for_images((8, 8, 1), latent_dim=4, width=4, categories=3)
    gan.compile()
    gan.train_step(tf.constant(IMAGES))
    many = np.tile(IMAGES, (40, 1, 1, 1))  # more than one chunk
    found = gan.class_probabilities(many)
    assert found.shape == (320, 3)
    batch = {"images": IMAGES, "labelled": IMAGES, "labels": LABELS}
    np.testing.assert_allclose(found[-8:], gan.class_probabilities(batch), atol=1e-5)
    np.testing.assert_allclose(found[:1], gan.class_probabilities(IMAGES[:1]), atol=1e-5)
    with pytest.raises(UserError, match=r"integers \(uint8\) from 0 to 255.*pass x / 127.5 - 1"):
        gan.classify(np.uint8([[[[0], [255]] * 4] * 8]))


def test_three_blobs_become_three_categories():
    centers = np.float32([[2, 0], [-1, 1.7], [-1, -1.7]])
    rng, which = np.random.default_rng(0), np.arange(120) % 3
    blobs = (centers[which] + 0.1 * rng.normal(size=(120, 2))).astype("float32")
    gan = CatGAN.for_points(categories=3, width=32, seed=0)
    gan.compile(d_optimizer=keras.optimizers.Adam(2e-3), g_optimizer=keras.optimizers.Adam(2e-3))
    gan.fit(blobs, batch_size=60, epochs=60, verbose=0)
    found = gan.classify(blobs).numpy()
    assert sorted(found[:3]) == [0, 1, 2]
    assert (found == found[:3][which]).mean() > 0.95


def test_labels_name_the_categories():
    x = {"images": POINTS, "labelled": POINTS, "labels": LABELS}
    gan = CatGAN.for_points(categories=3, width=32, seed=0, labelled_weight=5.0)
    gan.compile(d_optimizer=keras.optimizers.Adam(1e-2), g_optimizer=keras.optimizers.Adam(1e-3))
    gan.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=200, verbose=0)
    np.testing.assert_array_equal(gan.classify(POINTS), LABELS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"categories": 1}, "categories must be a whole number of at least 2, not 1"),
        ({"labelled_weight": -0.5}, "labelled_weight must be a number from 0 up, not -0.5"),
        ({"classes": 3}, "classes: CatGAN is a method for data without labels"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=f"^{sentence}"):
        CatGAN.for_points(width=4, **arguments)
