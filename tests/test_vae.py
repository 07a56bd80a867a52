"""VAE: exact values of both likelihoods, one step by hand, and a linear model whose bound is the likelihood."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.models import VAE
from gan_zoo.models.vae import divergence, negative_log_likelihood
from gan_zoo.util.errors import UserError

from .small_models import fixed

# Values computed in float64 from the formulas, and checked against torch.distributions.
MU, LOG_VARIANCE, BITS, LOGITS = map(np.float32, ([0.5, -1.0], [-0.2, 0.3], [1.0, 0.0, 1.0], [0.3, -1.2, 2.0]))
KL, NLL, LOSS = 0.6592947803269924, 0.9445657228495308, 1.6038605031765232
RNG = np.random.default_rng(0)


def linear(a, b, w, **kwargs):
    """A VAE of numbers: mu = a x, log s^2 = b x, f(z) = w z."""
    return VAE(fixed((1,), [[a, b]]), fixed((1,), [[w]]), seed=0, **kwargs)


def test_the_vectors():
    np.testing.assert_allclose(divergence(MU[None], LOG_VARIANCE[None]), [KL], rtol=1e-6)
    x, made = (tf.constant(t, tf.float32)[None] for t in (2 * BITS - 1, np.tanh(LOGITS / 2)))
    loss = negative_log_likelihood(x, made, "bernoulli", 1.0)
    np.testing.assert_allclose(loss, [NLL], rtol=1e-6)


def test_the_vectors_through_the_class():
    encoder = fixed((1, 3, 1), np.zeros([3, 4]), [*MU, *LOG_VARIANCE])
    decoder = fixed((2,), np.zeros([2, 3]), LOGITS / 2, end="tanh", shape=(1, 3, 1))
    vae = VAE(encoder, decoder, likelihood="bernoulli")
    x = tf.constant((2 * BITS - 1).reshape(1, 1, 3, 1))
    np.testing.assert_allclose(vae.negative_elbo(x, vae.sample_latent(1)), LOSS, rtol=1e-6)
    np.testing.assert_allclose(vae.recorded("kl")[0], KL, rtol=1e-6)
    np.testing.assert_allclose(vae.recorded("reconstruction")[0], NLL, rtol=1e-6)


def test_the_gaussian_density():
    x, made = RNG.normal(size=(2, 4, 2, 2, 1)).astype("float32")
    got = negative_log_likelihood(tf.constant(x), tf.constant(made), "gaussian", 0.3)
    density = np.exp(-((x - made) ** 2) / (2 * 0.3**2)) / (0.3 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(got, -np.log(density.astype("float64")).sum(axis=(1, 2, 3)), rtol=1e-5)


def test_one_step_by_hand():
    a, b, w, c, rate = 0.7, -0.4, 1.3, 0.6, 0.1
    x, e = np.array([0.9, -0.5]), np.array([0.3, -1.1])
    vae = linear(a, b, w, scale=c)
    vae.compile(keras.optimizers.SGD(rate))
    vae.latents_for = lambda x: tf.constant(e[:, None], tf.float32)
    logs = vae.train_step(tf.constant(x[:, None], tf.float32))

    s = np.exp(b * x / 2)
    z = a * x + s * e
    error = x - w * z
    loss = error**2 / (2 * c**2) + 0.5 * np.log(2 * np.pi * c**2) + 0.5 * (a * a * x * x + s * s - 1 - b * x)
    by_z = -w * error / c**2
    by_a = (by_z * x + a * x * x).mean()
    by_b = (by_z * e * s * x / 2 + 0.5 * x * (s * s - 1)).mean()
    by_w = (-error * z / c**2).mean()
    np.testing.assert_allclose(logs["vae_loss"], loss.mean(), rtol=1e-5)
    np.testing.assert_allclose(vae.encoder.get_weights()[0], [[a - rate * by_a, b - rate * by_b]], rtol=1e-5)
    np.testing.assert_allclose(vae.decoder.get_weights()[0], [[w - rate * by_w]], rtol=1e-5)


def test_the_bound_is_the_likelihood_at_the_true_posterior():
    # x = w z + c noise, so p(x) = N(0, w^2 + c^2), and the posterior is normal. The loss is quadratic in e, so 1 and -1
    # give its exact mean.
    w, c = 1.5, 0.8
    total = w * w + c * c
    x = np.float32([0.4, -1.2, 2.0])
    e = tf.constant([[1.0]] * 3 + [[-1.0]] * 3)

    def negative_elbo(mean_factor, variance):
        vae = VAE(fixed((1,), [[mean_factor, 0.0]], [0.0, np.log(variance)]), fixed((1,), [[w]]), scale=c)
        return float(vae.negative_elbo(tf.constant(np.tile(x, 2)[:, None]), e))

    likelihood = np.mean(0.5 * np.log(2 * np.pi * total) + x.astype("float64") ** 2 / (2 * total))
    best = negative_elbo(w / total, c * c / total)
    np.testing.assert_allclose(best, likelihood, rtol=1e-5)
    for other in ((w / total, 2 * c * c / total), (0.5 * w / total, c * c / total), (0.0, 1.0)):
        assert negative_elbo(*other) > best + 1e-3


def test_evaluation_is_the_test_elbo():
    vae = linear(0.7, 0.0, 1.3, scale=0.5)
    vae.compile()
    x = RNG.normal(size=(4000, 1)).astype("float32")
    found = vae.evaluate(x, batch_size=500, verbose=0, return_dict=True)
    assert set(found) == {"vae_loss", "kl", "reconstruction"}
    # E over x and e ~ N(0, 1), with s = 1: the variance of x - w z is (1 - w a)^2 + w^2.
    kl = 0.5 * 0.7**2
    reconstruction = ((1 - 1.3 * 0.7) ** 2 + 1.3**2) / (2 * 0.5**2) + 0.5 * np.log(2 * np.pi * 0.5**2)
    np.testing.assert_allclose(found["kl"], kl, rtol=0.1)
    np.testing.assert_allclose(found["reconstruction"], reconstruction, rtol=0.1)
    np.testing.assert_allclose(found["vae_loss"], found["kl"] + found["reconstruction"], rtol=1e-5)
    history = vae.fit(x[:8], validation_data=x[:4], batch_size=8, verbose=0).history
    assert np.isfinite(history["val_vae_loss"]).all()


def test_saturated_pixels_have_a_finite_loss_and_gradient():
    made = tf.constant([[1.0, -1.0, 1.0, 0.9999999]])
    with tf.GradientTape() as tape:
        tape.watch(made)
        loss = negative_log_likelihood(tf.constant([[1.0, 1.0, -1.3, 1.2]]), made, "bernoulli", 1.0)
    assert np.isfinite(loss).all() and 25 < float(loss[0]) < 35  # two wrong pixels at a logit of 14.5
    assert np.isfinite(tape.gradient(loss, made)).all()


def test_the_gradient_for_the_logit_is_that_of_the_sigmoid():
    a = tf.constant([[-6.0, -2.0, 0.1, 3.0, 6.0]])
    x = tf.constant([[-1.0, 1.0, 0.2, -1.0, 1.0]])
    with tf.GradientTape() as tape:
        tape.watch(a)
        loss = negative_log_likelihood(x, tf.tanh(a), "bernoulli", 1.0)
    np.testing.assert_allclose(tape.gradient(loss, a), 2 * (tf.sigmoid(2 * a) - (x + 1) / 2), rtol=1e-2, atol=1e-5)


def test_the_code_is_the_mean():
    vae = linear(0.7, -0.4, 1.3)
    x = np.float32([[0.5], [-2.0]])
    np.testing.assert_allclose(vae.encode(x), 0.7 * x, rtol=1e-6)
    np.testing.assert_allclose(vae.reconstruct(x), 1.3 * 0.7 * x, rtol=1e-6)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_decoder_reads_labels(likelihood):
    vae = VAE.for_images((8, 8, 1), latent_dim=3, width=4, classes=3, likelihood=likelihood)
    vae.compile()
    x = RNG.uniform(-1, 1, size=(6, 8, 8, 1)).astype("float32")
    logs = vae.train_step((tf.constant(x), tf.constant([0, 1, 2] * 2)))
    assert all(np.isfinite(value) for value in logs.values())
    same, other = (vae.reconstruct((x, np.full(6, label))).numpy() for label in (0, 1))
    assert np.abs(same - other).max() > 1e-6
    np.testing.assert_array_equal(vae.encode(x), vae.code_of(tf.constant(x)))


def test_errors():
    networks = fixed((1,), [[1.0, 1.0]]), fixed((1,), [[1.0]])
    for arguments, sentence in (
        ({"likelihood": "poisson"}, "likelihood must be 'gaussian' or 'bernoulli', not 'poisson'"),
        ({"likelihood": "bernoulli"}, "likelihood='bernoulli' is for pixels of images: take likelihood='gaussian'"),
        ({"scale": 0}, "scale must be a positive number, not 0"),
        ({"prior": "uniform"}, "prior must be 'normal', not 'uniform'"),
    ):
        with pytest.raises(UserError, match=sentence):
            VAE(*networks, **arguments)
    with pytest.raises(UserError, match="scale=0.5 is for likelihood='gaussian': leave it out with 'bernoulli'"):
        VAE.for_images((8, 8, 1), latent_dim=3, width=4, likelihood="bernoulli", scale=0.5)
    with pytest.raises(UserError, match="condition and minibatch_discrimination are for discriminators"):
        VAE.for_points(width=4, minibatch_discrimination=True)
    assert VAE.for_points(width=4).scale == 0.1
