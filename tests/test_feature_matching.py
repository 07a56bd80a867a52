"""Feature matching as a variant: its update by hand, and what it matches."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import losses
from gan_zoo.models import FeatureMatchingGAN

from .dirac import dirac, step

RATE = 0.1


@pytest.mark.parametrize("theta_psi", [(0.8, 0.6), (-0.5, 1.7)])
def test_one_step(theta_psi):
    """The features of D(x) = psi x are x, so G's loss is (E x - theta)^2, whatever psi is."""
    theta, psi = theta_psi
    data = [0.9, -0.3]
    s = lambda t: 1 / (1 + np.exp(-t))  # noqa: E731
    new_psi = psi + RATE * (np.mean([s(-psi * x) * x for x in data]) - s(psi * theta) * theta)
    new_theta = theta - RATE * 2 * (theta - np.mean(data))
    assert step(dirac(FeatureMatchingGAN, theta, psi, RATE), data) == pytest.approx((new_theta, new_psi), abs=1e-6)


def test_the_generator_matches_means_of_features():
    """With D fixed, the gap of the means of D's features falls tenfold."""
    keras.utils.set_random_seed(0)
    gan = FeatureMatchingGAN.for_points(width=16, seed=0)
    gan.compile(g_optimizer=keras.optimizers.Adam(5e-3))
    x = tf.constant(np.random.default_rng(0).normal(3.0, 0.5, size=(64, 2)).astype("float32"))

    def gap():
        return float(losses.feature_matching(gan.features(x), gan.features(gan.G(gan.sample_latent(64, seed=1)))))

    start, move = gap(), tf.function(gan.generator_step)
    with gan.recording():
        for _ in range(150):
            move(x)
    assert gap() < start / 10


def test_only_means_are_matched():
    """The loss sees means only: one sample at the mean has the same loss as the data have."""
    x = tf.constant([[1.0], [-1.0]])
    assert float(losses.feature_matching(x, tf.zeros([2, 1]))) == 0.0
    assert float(losses.feature_matching(tf.square(x), tf.zeros([2, 1]))) == 1.0
