"""The health callback: its measurements, its warnings, and that it changes nothing."""

import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.callbacks import MetricsLog, health
from gan_zoo.data import synthetic
from gan_zoo.dynamics.dirac_gan import players
from gan_zoo.models import DCGAN, EBGAN, RaGAN, VanillaGAN
from gan_zoo.training import pipeline

from .small_models import Pairs, conditional
from .systems import VAE
from .variants import POINTS

NORMAL = {"d_auc": 0.8, "d_gradient": 1.0, "g_gradient": 1.0, "duplicates": 0.01, "modes": 8.0}


def looks(*changes):
    return [{**NORMAL, **change} for change in changes]


def kinds(*changes):
    return [kind for kind, _ in health.diagnose(looks(*changes))]


def test_auc_by_pairs():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    real, fake = rng.normal(0.5, 1, 40).round(1), rng.normal(0, 1, 30).round(1)
    expected = roc_auc_score([1] * 40 + [0] * 30, np.concatenate([real, fake]))
    assert health.auc(real[:, None], fake) == pytest.approx(expected, rel=1e-12)
    assert health.auc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert health.auc([1.0, 1.0], [1.0]) == 0.5
    assert np.isnan(health.auc([np.nan], [1.0]))


def test_overfitting_is_the_place_between_data_and_samples():
    real, fake = np.array([[2.0], [4.0]]), np.array([-1.0, -3.0])
    assert health.overfitting(real, fake, real) == 0.0
    assert health.overfitting(real, fake, fake[::-1]) == 1.0
    assert health.overfitting(real, fake, np.array([1.5])) == pytest.approx(0.3)
    assert health.overfitting(real, real, fake) is None


def test_duplicates_by_hand():
    real = np.arange(100.0)[:, None]  # nearest neighbours have distance 1
    samples = np.concatenate([np.arange(90.0), np.full(10, 200.0)])[:, None]
    assert health.duplicates(samples, real) == pytest.approx(0.1)
    assert health.duplicates(real, real) == 0.0
    assert health.duplicates(np.zeros((100, 2, 2, 1)), np.random.default_rng(0).normal(size=(100, 2, 2, 1))) == 1.0
    # Pairs at distance 0.4 are nearer than half of the usual distance; pairs at 0.6 are not.
    assert health.duplicates(np.array([[0.0], [0.4], [5.0], [5.6]]), real[:4]) == 0.5
    assert np.isnan(health.duplicates(np.array([[np.nan], [0.0]]), real[:2]))


def test_gradients_are_those_of_the_losses():
    """On the Dirac-GAN: dL_D/dpsi = theta s(psi theta) - x s(-psi x), dL_G/dtheta = -psi s(-psi theta)."""
    theta, psi, data = 0.8, -0.6, 0.5
    gan = VanillaGAN(*players(theta, psi), seed=0)
    gan.compile()
    callback = health.Health(lambda step: tf.fill([4, 1], data))
    callback.set_model(gan)
    s = lambda t: 1 / (1 + np.exp(-t))  # noqa: E731
    found = callback.look()
    assert found["d_gradient"] == pytest.approx(abs(theta * s(psi * theta) - data * s(-psi * data)), rel=1e-5)
    assert found["g_gradient"] == pytest.approx(abs(psi * s(-psi * theta)), rel=1e-5)
    assert found["d_auc"] == 1.0  # psi * 0.5 = -0.3 is above psi * 0.8 = -0.48
    assert found["duplicates"] == 0.0  # all real points coincide too: no distance is below half of 0


def test_what_helps_is_said_where_it_is_wrong():
    assert kinds({}) == []
    saturated = {"d_auc": 0.999, "g_gradient": 0.005}
    assert kinds({}, saturated, saturated, saturated) == ["saturation"]
    assert kinds({}, saturated, saturated) == []  # too early
    assert kinds({}, *[{"d_auc": 0.999}] * 3) == []  # a critic with useful gradients may separate all examples
    assert kinds(*[{}] * 5, {"d_gradient": 150.0}) == ["d_gradient exploded"]
    assert kinds(*[{}] * 5, {"g_gradient": 150.0}) == ["g_gradient exploded"]
    assert kinds(*[{}] * 4, {"g_gradient": 150.0}) == []
    assert kinds({}, {"duplicates": 0.3}, {"duplicates": 0.4}) == ["duplicates"]
    assert kinds({"duplicates": 0.9}, {"duplicates": 0.4}) == []  # early samples are always similar
    assert kinds({}, {"modes": 3.0}, {"modes": 2.0}) == ["lost modes"]
    assert kinds({}, *[{"overfit": 0.6}] * 3) == ["overfitting"]
    assert kinds({}, {"overfit": 0.6}, {"overfit": 0.4}, {"overfit": 0.6}) == []
    assert kinds({"modes": 1.0}, {"modes": 1.0}, {"modes": 2.0}) == []  # it never covered them
    (_, sentence), = health.diagnose(looks({}, {"duplicates": 0.3}, {"duplicates": 0.4}))  # fmt: skip
    assert "40 % of the samples" in sentence
    assert "unrolled_gan" in sentence


def test_it_warns_once_and_writes_its_numbers(tmp_path, caplog):
    """The generator returns the same point always; the data are a ring with modes."""
    keras.utils.set_random_seed(0)
    gan = VanillaGAN.for_points(width=4, seed=0)
    kernel, bias = gan.generator.layers[-1].weights
    kernel.assign(tf.zeros_like(kernel.value))
    bias.assign([2.0, 0.0])
    gan.compile(keras.optimizers.SGD(1e-9), keras.optimizers.SGD(1e-9))
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, lambda step: step, every=3)
    target = synthetic.get("ring8")
    callback = health.Health(lambda step: synthetic.sample("ring8", 64, [0, step]), 2, log, target)
    data = synthetic.get("ring8")
    dataset = tf.data.Dataset.counter().map(lambda k: data.sample(64, tf.stack([1, k])))
    with caplog.at_level(logging.WARNING, "gan_zoo"):
        gan.fit(dataset, steps_per_epoch=8, verbose=0, callbacks=[callback, log])
    (record,) = [r for r in caplog.records if r.name == "gan_zoo"]
    assert record.getMessage().startswith("step 6: 100 % of the samples have a near-duplicate")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 3, 4, 6, 8]  # each health check adds a line for its step
    assert all("d_loss" in row for row in rows)
    for row in (row for row in rows if row["step"] != 3):
        assert row["duplicates"] == 1.0
        assert row["modes"] == 1
        assert 0 <= row["d_auc"] <= 1
        assert row["d_gradient"] > 0 and row["g_gradient"] > 0


@pytest.mark.parametrize("cls", [DCGAN, RaGAN, EBGAN])
def test_a_look_changes_nothing(cls):
    """Batch normalization, spectral normalization, instance noise and the random stream keep their states."""
    weights = []
    for every in (0, 1):
        keras.utils.set_random_seed(0)
        arguments = {} if cls is EBGAN else {"norm": "spectral" if cls is DCGAN else "batch", "instance_noise": 0.1}
        gan = cls.for_images((8, 8, 1), width=4, latent_dim=3, seed=0, **arguments)
        gan.compile()
        data = np.random.default_rng(0).uniform(-1, 1, size=(12, 8, 8, 1)).astype("float32")
        dataset = tf.data.Dataset.from_tensors(data).repeat()
        callback = health.Health(lambda step, data=data: data, every)
        gan.fit(dataset, steps_per_epoch=3, verbose=0, callbacks=[callback])
        assert len(callback.history) == 3 * every
        weights.append(gan.get_weights())
    for expected, value in zip(*weights, strict=True):
        np.testing.assert_array_equal(expected, value)


def look_at(model, x, **kwargs):
    model.compile()
    callback = health.Health(lambda step: x, **kwargs)
    callback.set_model(model)
    return callback.look()


def test_labels_of_the_data_go_to_both_networks():
    gan = conditional()
    x = np.random.default_rng(0).uniform(-1, 1, (12, 8, 8, 1)).astype("float32")
    y = np.int32([0, 1, 2] * 4)
    found = look_at(gan, (x, y.astype("int64")))
    assert [*found] == ["d_auc", "d_gradient", "g_gradient", "duplicates"]
    z = gan.sample_latent(12, seed=health.stream(0, "health"), label=y)
    real, fake = gan.D((tf.constant(x), tf.constant(y))), gan.D(gan.G(z))
    assert found["d_auc"] == pytest.approx(health.auc(real.numpy(), fake.numpy()))


def test_held_out_examples_are_scored_like_the_data():
    gan = conditional()
    rng, y = np.random.default_rng(0), np.int32([0, 1, 2] * 4)
    x, held_out = ((rng.uniform(-1, 1, (12, 8, 8, 1)).astype("float32"), y) for _ in range(2))
    found = look_at(gan, x, held_out=lambda step: held_out)
    z = gan.sample_latent(12, seed=health.stream(0, "health"), label=y)
    x, held_out = (tf.nest.map_structure(tf.constant, examples) for examples in (x, held_out))
    scores = [gan.D(examples).numpy().mean() for examples in (x, gan.G(z), held_out)]
    assert found["overfit"] == pytest.approx((scores[0] - scores[2]) / (scores[0] - scores[1]), rel=1e-4)
    assert "overfit" not in look_at(VAE.for_points(width=4), POINTS, held_out=lambda step: POINTS)


def test_models_of_other_players():
    x = synthetic.sample("ring8", 32, [0, 0])
    target = synthetic.get("ring8")
    found = look_at(VAE.for_points(width=4, seed=0), x, target=target)
    assert [*found] == ["vae_gradient", "duplicates", "modes"]
    assert found["vae_gradient"] > 0
    # This discriminator scores pairs. It has a score for one example only if the class defines one.
    assert [*look_at(Pairs.small(), x)] == ["d_gradient", "g_gradient", "duplicates"]

    class Scored(Pairs):
        def score(self, x):
            return self.discriminator((x, self.encoder(x)))

    assert 0 <= look_at(Scored.small(), x)["d_auc"] <= 1


def test_sentences_name_the_player():
    vae = {"vae_gradient": 1.0, "duplicates": 0.3}
    troubles = health.diagnose([vae] * 5 + [{**vae, "vae_gradient": 150.0}])
    assert [kind for kind, _ in troubles] == ["vae_gradient exploded", "duplicates"]
    assert troubles[0][1].startswith("the vae's gradient is 150 times as large as usual. A lower --vae_learning_rate")
    assert "the model repeats itself" in troubles[1][1] and "n_critic" not in troubles[1][1]


def test_on_two_replicas(two_replicas):
    keras.utils.set_random_seed(0)
    with two_replicas.scope():
        gan = RaGAN.for_images((8, 8, 1), width=4, latent_dim=3, seed=0)
        gan.compile()
    data = np.random.default_rng(0).uniform(-1, 1, size=(12, 8, 8, 1)).astype("float32")
    callback = health.Health(lambda step: data, 1)
    gan.fit(tf.data.Dataset.from_tensors(data).repeat(), steps_per_epoch=2, verbose=0, callbacks=[callback])
    alone = RaGAN.for_images((8, 8, 1), width=4, latent_dim=3, seed=0)
    alone.compile()
    alone.set_weights(gan.get_weights())
    other = health.Health(lambda step: data, 1)
    other.set_model(alone)
    expected = other.look()
    found = callback.history[-1]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=2e-3, abs=1e-6), name


def test_every_run_has_it(tmp_path):
    config = pipeline.Config(
        model="vanilla_gan",
        dataset="ring8",
        width=4,
        batch_size=16,
        steps=20,
        health_every=10,
        log_every=5,
        run_dir=str(tmp_path / "run"),
    )
    pipeline.run(config)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [("modes" in row, "d_auc" in row) for row in rows] == [(False, False), (True, True)] * 2


@pytest.mark.parametrize(
    ("dataset", "known"), [("ring8", True), ("gaussian", False), ("circle", False), ("mnist", False)]
)
def test_where_modes_are_known(dataset, known):
    assert (health.mode_target(dataset, (2,)) is not None) == known
