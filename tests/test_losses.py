"""Losses against exact values, gradients for every score, invariances, known mistakes, and TF-GAN's own functions."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import losses

from .oracle import tfgan_losses

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
REAL, FAKE = (np.float32(VECTORS["inputs"][f"logits_{kind}"])[:, None] for kind in ("real", "fake"))


def ragan(objective, scale=1.0):
    return (
        lambda r, f: scale * losses.relativistic_average(r, f, objective),
        lambda r, f: scale * losses.relativistic_average(f, r, objective),
    )


def rgan(objective, scale=1.0):
    return (
        lambda r, f: scale * losses.relativistic(r, f, objective),
        lambda r, f: scale * losses.relativistic(f, r, objective),
    )


PAIRS = {
    "minimax": (losses.cross_entropy_discriminator, lambda r, f: losses.minimax_generator(f)),
    "nonsaturating": (losses.cross_entropy_discriminator, lambda r, f: losses.non_saturating_generator(f)),
    "lsgan_a0_b1_c1_half": (losses.least_squares_discriminator, lambda r, f: losses.least_squares_generator(f)),
    "lsgan_am1_b1_c0_half": (
        lambda r, f: losses.least_squares_discriminator(r, f, -1.0, 1.0),
        lambda r, f: losses.least_squares_generator(f, 0.0),
    ),
    "wgan": (losses.wasserstein_discriminator, lambda r, f: losses.wasserstein_generator(f)),
    "hinge": (losses.hinge_discriminator, lambda r, f: losses.hinge_generator(f)),
    "rsgan": rgan("standard"),
    "rlsgan_sum": rgan("least_squares", 2.0),
    "rhinge_sum": rgan("hinge", 2.0),
    "rasgan_sum": ragan("standard"),
    "ralsgan_sum": ragan("least_squares"),
    "rahinge_sum": ragan("hinge"),
    "rasgan_half": ragan("standard", 0.5),
    "ralsgan_half": ragan("least_squares", 0.5),
    "rahinge_half": ragan("hinge", 0.5),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("player", ["d", "g"])
def test_value_and_gradient_for_every_score(name, player):
    expected = VECTORS["losses"][name]
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    with tf.GradientTape() as tape:
        tape.watch([real, fake])
        loss = PAIRS[name][player == "g"](real, fake)
    assert loss.shape == ()
    np.testing.assert_allclose(loss, expected[f"{player}_loss"], rtol=1e-6, atol=1e-6)
    gradients = tape.gradient(loss, [real, fake], unconnected_gradients="zero")
    for gradient, kind in zip(gradients, ("real", "fake"), strict=True):
        np.testing.assert_allclose(gradient[:, 0], expected[f"d{player}_d{kind}"], atol=1e-5)


@pytest.mark.parametrize("name", [n for n in PAIRS if n[0] == "r"])
def test_relativistic_losses_are_invariant_and_symmetric(name):
    d_loss, g_loss = PAIRS[name]
    np.testing.assert_allclose(d_loss(REAL + 5, FAKE + 5), d_loss(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(d_loss(FAKE, REAL), g_loss(REAL, FAKE), rtol=1e-6)


def test_relativistic_losses_at_equal_scores():
    expected = VECTORS["relativistic"]["equal_scores"]
    scores = tf.fill([4, 1], 0.7)
    np.testing.assert_allclose(losses.relativistic(scores, scores), expected["rsgan_d"], rtol=1e-6)
    for objective, name in (("standard", "rasgan"), ("least_squares", "ralsgan"), ("hinge", "rahinge")):
        actual = losses.relativistic_average(scores, scores, objective)
        np.testing.assert_allclose(actual, expected[f"{name}_sum_d"], rtol=1e-6)


def test_the_relative_probability_of_bread():
    # From slides of the paper: real bread looks less real beside other bread than beside a dog.
    for pair, values in VECTORS["relativistic"]["bread_table_slides"].items():
        real, fake = (float(part.lstrip("realfk")) for part in pair.split("_"))
        loss = losses.relativistic(tf.constant([[real]]), tf.constant([[fake]]))
        np.testing.assert_allclose(np.exp(-loss), values["relative"], rtol=1e-5)


def test_paired_scores_must_have_one_shape():
    with pytest.raises(ValueError, match="paired"):
        losses.relativistic(tf.zeros([4, 1]), tf.zeros([4]))


@pytest.mark.parametrize("name", VECTORS["wrong"])
def test_known_mistakes_give_other_values(name):
    # Wrong values of other implementations, which no function here may return.
    wrong = VECTORS["wrong"][name]
    family = {"rasgan": "rasgan_half", "minimax": "minimax", "hinge": "hinge", "wgan": "wgan", "ralsgan": "ralsgan_sum"}
    ours = PAIRS[family.get(name.split("_")[0], "lsgan_a0_b1_c1_half")]
    for key, loss in zip(("d_loss", "g_loss"), ours, strict=True):
        if key in wrong:
            assert abs(float(loss(REAL, FAKE)) - wrong[key]) > 1e-3, wrong["why"]


def test_confident_scores_neither_overflow_nor_lose_the_gradient():
    fake = tf.constant([[-200.0]])
    with tf.GradientTape() as tape:
        tape.watch(fake)
        loss = losses.non_saturating_generator(fake)
    assert float(loss) == 200.0
    assert float(tape.gradient(loss, fake)[0, 0]) == -1.0


def test_non_saturating_gradient_exceeds_the_minimax_one_where_d_is_sure():
    fake = tf.constant([[-8.0]])
    gradients = []
    for loss in (losses.non_saturating_generator, losses.minimax_generator):
        with tf.GradientTape() as tape:
            tape.watch(fake)
            value = loss(fake)
        gradients.append(float(tape.gradient(value, fake)[0, 0]))
    np.testing.assert_allclose(gradients[0] / gradients[1], VECTORS["ns_vs_minimax_gradient_ratio_at_f=-8"], rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_against_tfgan(seed):
    tfgan = tfgan_losses()
    rng = np.random.default_rng(seed)
    real, fake = (tf.constant(rng.normal(size=(16, 1)), tf.float32) for _ in range(2))
    compared = {
        "minimax_discriminator_loss": (
            tfgan.minimax_discriminator_loss(real, fake, label_smoothing=0.0),
            losses.cross_entropy_discriminator(real, fake),
        ),
        "minimax_generator_loss": (
            # TF-GAN keeps the constant term of real scores, which is always 1 there.
            tfgan.minimax_generator_loss(fake) + tf.math.softplus(-1.0),
            losses.minimax_generator(fake),
        ),
        "relativistic_discriminator_loss": (
            tfgan.relativistic_discriminator_loss(real, fake),
            losses.relativistic_average(real, fake),
        ),
        "relativistic_generator_loss": (
            tfgan.relativistic_generator_loss(real, fake),
            losses.relativistic_average(fake, real),
        ),
        "modified_generator_loss": (
            tfgan.modified_generator_loss(fake, label_smoothing=0.0),
            losses.non_saturating_generator(fake),
        ),
        "least_squares_discriminator_loss": (
            tfgan.least_squares_discriminator_loss(real, fake),
            losses.least_squares_discriminator(real, fake),
        ),
        "least_squares_generator_loss": (
            tfgan.least_squares_generator_loss(fake),
            losses.least_squares_generator(fake),
        ),
        "wasserstein_discriminator_loss": (
            tfgan.wasserstein_discriminator_loss(real, fake),
            losses.wasserstein_discriminator(real, fake),
        ),
        "wasserstein_generator_loss": (tfgan.wasserstein_generator_loss(fake), losses.wasserstein_generator(fake)),
        "wasserstein_hinge_discriminator_loss": (
            tfgan.wasserstein_hinge_discriminator_loss(real, fake),
            losses.hinge_discriminator(real, fake),
        ),
        "wasserstein_hinge_generator_loss": (
            tfgan.wasserstein_hinge_generator_loss(fake),
            losses.hinge_generator(fake),
        ),
    }
    for name, (theirs, ours) in compared.items():
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, err_msg=name)
