"""LeCam regularization: the formula, the running means, and the argument of any variant with anchored scores."""

import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import losses, testing
from gan_zoo.models import EBGAN, KLWGAN, RGAN, WGAN, BiGAN, HingeGAN, RaGAN, SemiSupervisedGAN, VanillaGAN
from gan_zoo.nn.score_averages import ScoreAverages
from gan_zoo.util.errors import UserError

from . import variants
from .dirac import dirac, step
from .variants import POINTS

REAL, FAKE = tf.constant([1.2, -0.3, 0.5, 2.0]), tf.constant([-0.7, 0.4, -1.5, 0.1])


def test_the_formula():
    assert float(losses.lecam(REAL, FAKE, 0.5, -0.2)) == pytest.approx(3.225, abs=1e-6)
    assert float(losses.lecam(REAL, FAKE, -0.2, 0.5)) != pytest.approx(3.225, abs=0.1)  # the averages exchanged
    assert float(losses.lecam(tf.fill([3], -0.2), tf.fill([3], 0.5), 0.5, -0.2)) == 0.0
    with tf.GradientTape() as tape:
        tape.watch([REAL, FAKE])
        value = losses.lecam(REAL, FAKE, 0.5, -0.2)
    at_real, at_fake = tape.gradient(value, [REAL, FAKE])
    np.testing.assert_allclose(at_real, 2 * np.maximum(REAL + 0.2, 0) / 4, rtol=1e-6)
    np.testing.assert_allclose(at_fake, -2 * np.maximum(0.5 - FAKE, 0) / 4, rtol=1e-6)


def test_the_averages():
    averages = ScoreAverages()
    first = averages.update(REAL, FAKE)
    np.testing.assert_allclose(first, [0.85, -0.425], rtol=1e-5)
    second = averages.update(REAL + 1, FAKE - 2)
    weights = np.array([0.99, 1]) / 1.99
    np.testing.assert_allclose(second, [weights @ [0.85, 1.85], weights @ [-0.425, -2.425]], rtol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch(REAL)
        mean = sum(averages.update(REAL, FAKE))
    assert tape.gradient(mean, REAL) is None


def test_one_step_on_the_dirac_gan():
    """D(x) = psi x, data 0.9 and -0.3, G = theta. The averages of the first turn are the means themselves."""
    theta, psi, weight, rate = 0.5, 0.8, 0.7, 0.1
    data = np.array([0.9, -0.3])
    plain = step(dirac(VanillaGAN, theta, psi, rate), data.tolist())
    moved = step(dirac(VanillaGAN, theta, psi, rate, lecam=weight), data.tolist())
    real, fake = psi * data, psi * theta
    slope = np.mean(2 * np.maximum(real - fake, 0) * data) - 2 * max(real.mean() - fake, 0) * theta
    assert moved[1] - plain[1] == pytest.approx(-rate * weight * slope, abs=1e-6)


def test_the_scores_are_those_of_the_loss():
    """D scores real and generated examples once, in the loss, also where it takes pairs; the log has no weight."""
    for cls in (HingeGAN, BiGAN):
        gan = variants.small(cls, seed=0, lecam=0.5, simultaneous=False)
        gan.compile()
        scored = []
        score = gan._score
        gan._score = lambda x, score=score, scored=scored: scored.append(x) or score(x)
        x, z = tf.constant(POINTS), gan.sample_latent(8, seed=0)
        gan.begin_turn(x)
        total = gan.turn_loss(gan.player("discriminator"))(x, z)
        inputs = len(scored)
        own = gan.discriminator_loss(x, z)
        assert len(scored) == 2 * inputs
        assert float(total - own) == pytest.approx(0.5 * float(gan.recorded("lecam")[-1]), abs=1e-6)


@pytest.mark.parametrize("check", [testing.check_replicas, testing.check_keras_file], ids=lambda c: c.__name__)
def test_it_conforms(check):
    check(lambda: HingeGAN.for_points(width=4, lecam=0.3), POINTS)


def test_where_it_has_no_meaning_it_is_refused():
    for cls in (WGAN, RGAN, RaGAN):
        with pytest.raises(UserError, match=f"lecam=0.3 .* {cls.__name__} only compares scores with each other"):
            cls.for_points(width=2, lecam=0.3).compile()
    KLWGAN.for_points(width=2, lecam=0.3).compile()
    with pytest.raises(UserError, match="KLWGAN only compares scores"):
        KLWGAN.for_points(width=2, lecam=0.3, objective="linear").compile()
    for cls in (EBGAN, SemiSupervisedGAN):
        with pytest.raises(UserError, match="lecam=0.3 needs a discriminator with one score"):
            cls.for_points(width=2, lecam=0.3)
    with pytest.raises(UserError, match="lecam must be a number from 0 up, not -1"):
        HingeGAN.for_points(width=2, lecam=-1)
