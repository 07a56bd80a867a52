"""Langevin refinement of samples, and fine-tuning of the discriminator for it."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import data, refine, sample
from gan_zoo.distribution import FixedStream
from gan_zoo.models import EBGAN, WGANGP, VanillaGAN
from gan_zoo.run_folder import checkpoints, run_json, trained_gan
from gan_zoo.training import fine_tuning, pipeline
from gan_zoo.util.errors import NonFiniteLoss, UserError

from .small_models import Pairs, conditional
from .systems import VAE

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
A, B = (np.float32(VECTORS["penalty"]["inputs"][name]) for name in "ab")
START = np.float32(VECTORS["penalty"]["inputs"]["x_fake"])


def analytic(x):
    """D(x) = sum(a x^2) + b x, for the exact values."""
    return tf.reduce_sum(A * x * x + B * x, axis=1, keepdims=True)


def test_steps_without_noise_are_the_exact_ones():
    # A step of the dynamics moves along the gradient by half of its size.
    for steps, expected in enumerate(VECTORS["dcd"]["noise_free_step_x_plus_0.1_gradD"]):
        if steps:
            actual = refine.langevin(analytic, START, FixedStream(0), steps=steps, step_size=0.2, noise=0.0)
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
            scores = VECTORS["dcd"]["D_along_noise_free"]
            np.testing.assert_allclose(analytic(actual)[:, 0], scores[steps], rtol=1e-5, atol=1e-6)
            assert (np.array(scores[steps]) > np.array(scores[steps - 1])).all()
    half = refine.langevin(analytic, START, FixedStream(0), steps=1, step_size=0.1, noise=0.0)
    np.testing.assert_allclose(half, VECTORS["dcd"]["noise_free_halfstep_x_plus_0.05_gradD_1step"], rtol=1e-5)


@pytest.mark.parametrize("noise", [1.0, 0.5])
def test_the_stationary_distribution_is_the_scores(noise):
    # score = -(x - 1)^2 / (2 * 0.5^2): N(1, 0.25), and with noise T, N(1, 0.25 T^2).
    samples = refine.langevin(
        lambda x: -2.0 * tf.square(x - 1.0),
        tf.zeros([20000, 1]),
        FixedStream(3),
        steps=200,
        step_size=0.05,
        noise=noise,
    )
    # Euler steps of this size increase the variance by 1 / (1 - e / (4 * 0.25)).
    expected = 0.5 * noise / np.sqrt(1 - 0.05)
    assert float(tf.reduce_mean(samples)) == pytest.approx(1.0, abs=0.015)
    assert float(tf.math.reduce_std(samples)) == pytest.approx(expected, rel=0.02)


def test_gradients_and_samples_are_clipped():
    steep = refine.langevin(
        lambda x: 100.0 * x, tf.zeros([2, 1]), FixedStream(0), steps=3, step_size=0.2, noise=0.0, gradient_clip=1.0
    )
    np.testing.assert_allclose(steep, 0.3, rtol=1e-6)
    bound = refine.langevin(
        lambda x: 100.0 * x, tf.zeros([2, 1]), FixedStream(0), steps=3, step_size=0.2, noise=0.0, bounds=(-1.0, 1.0)
    )
    np.testing.assert_array_equal(bound, 1.0)


@pytest.mark.parametrize("space", refine.SPACES)
@pytest.mark.parametrize("cls", [VanillaGAN, EBGAN])
def test_small_steps_without_noise_raise_the_score(cls, space):
    gan = cls.for_points(width=8, seed=0)
    z = gan.sample_latent(32, seed=1)
    scores = [refine.score(gan, gan(z)).numpy()]
    for steps in (5, 10):
        samples = refine.refine(gan, z, space=space, steps=steps, step_size=1e-3, noise=0.0)
        scores.append(refine.score(gan, samples).numpy())
    # A score that is within a step of its maximum, as an energy of 0, may overshoot it.
    assert (scores[1] >= scores[0] - 1e-3).all() and (scores[2] >= scores[1] - 1e-3).all()
    assert scores[2].mean() > scores[0].mean()


@pytest.mark.parametrize("space", refine.SPACES)
def test_the_seed_decides(space):
    gan = WGANGP.for_points(width=8, seed=0)
    z = gan.sample_latent(8, seed=1)
    state = gan.random.state.numpy()
    first, again, other = (refine.refine(gan, z, seed=s, space=space, noise=1.0).numpy() for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    np.testing.assert_array_equal(gan.random.state.numpy(), state)


def test_images_stay_in_their_range_and_the_prior_holds_latents_back():
    gan = WGANGP.for_images((8, 8, 1), width=2, latent_dim=3, seed=0)
    z = gan.sample_latent(4, seed=0)
    samples = refine.refine(gan, z, space="pixel", steps=5, step_size=1.0, noise=1.0).numpy()
    assert samples.shape == (4, 8, 8, 1) and np.abs(samples).max() == 1.0
    free, held = (
        refine.refined(gan, z, FixedStream(0), refine.Dynamics(steps=1, step_size=1.0, noise=0.0, with_prior=held))
        for held in (False, True)
    )
    assert not np.allclose(free, held)


@pytest.mark.parametrize("space", refine.SPACES)
def test_labels_stay_while_samples_move(space):
    gan = conditional(WGANGP, shape=(2,), classes=2)
    z, y = gan.sample_latent(16, seed=1)
    samples = refine.refine(gan, (z, y), space=space, steps=5, step_size=1e-2, noise=0.0)
    before, after = (refine.score(gan, (x, y)).numpy() for x in (gan((z, y)), samples))
    assert (after > before).all()
    real = tf.data.Dataset.from_tensors((tf.zeros([8, 2]), tf.zeros([8], tf.int32))).repeat()
    critic = gan.discriminator.get_weights()[0]
    refine.fine_tune(gan, real, 2, refine.Dynamics(space=space, steps=1))
    assert not np.array_equal(gan.discriminator.get_weights()[0], critic)


def test_models_without_a_score_for_one_example():
    with pytest.raises(UserError, match="VAE has no discriminator.*its networks are encoder, decoder"):
        refine.refine(VAE.for_points(width=4, seed=0), np.zeros((2, 2), "float32"))
    with pytest.raises(UserError, match="the discriminator of Pairs takes more than an example"):
        refine.refine(Pairs.small(), np.zeros((2, 2), "float32"))


def ring(seed=0):
    return data.load("ring8", batch_size=64, seed=seed)


def test_fine_tuning_moves_the_discriminator_alone_and_lowers_its_loss():
    gan = WGANGP.for_points(width=16, seed=0)
    before = [v.numpy() for v in gan.generator.variables]
    critic = [v.numpy() for v in gan.discriminator.variables]
    dynamics = refine.Dynamics(space="pixel", steps=3, step_size=0.1, noise=1.0)
    losses = []

    class Losses(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            losses.append(float(logs["d_loss"]))
            assert losses[-1] == pytest.approx(float(logs["fake_score"]) - float(logs["real_score"]), abs=1e-5)

    refine.fine_tune(gan, ring(), 40, dynamics, optimizer=keras.optimizers.Adam(1e-3), callbacks=[Losses()])
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.01
    for variable, old in zip(gan.generator.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)
    assert any(not np.array_equal(v, old) for v, old in zip(gan.discriminator.variables, critic, strict=True))


def test_the_authors_options():
    gan = WGANGP.for_points(width=4, seed=0)
    dynamics = refine.Dynamics(space="latent", steps=1)
    logs = refine.fine_tune(gan, ring(), 1, dynamics, turns=3, hinge=True, score_weight=10.0).history
    assert np.isfinite(logs["d_loss"]).all()
    real, fake = tf.constant([[2.0], [0.5]]), tf.constant([[-0.5], [-3.0]])
    tuner = refine._FineTuner(gan, dynamics, turns=1, hinge=True, score_weight=10.0)
    gan.score = lambda x: x
    expected = (0.0 + 0.5) / 2 + (0.5 + 0.0) / 2 + 10 * ((4 + 0.25) / 2 + (0.25 + 9) / 2)
    assert float(tuner.discriminator_loss((real, fake), None)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"space": "image"}, "space must be 'latent' or 'pixel', not 'image'"),
        ({"steps": 0}, "steps must be a whole number from 1 up, not 0"),
        ({"step_size": 0.0}, "step_size must be a positive number, not 0.0"),
        ({"noise": -1.0}, "noise must be a number from 0 up, not -1.0"),
        ({"gradient_clip": float("nan")}, "gradient_clip must be a number from 0 up, not nan"),
    ],
)
def test_bad_dynamics(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        refine.Dynamics(**arguments)


def test_a_discriminator_with_several_outputs_needs_a_score():
    x = keras.Input((2,))
    gan = VanillaGAN(VanillaGAN.for_points(width=2).generator, keras.Model(x, [keras.layers.Dense(2)(x), x]))
    with pytest.raises(UserError, match="does not give one score.*define VanillaGAN.score"):
        refine.refine(gan, gan.sample_latent(2))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refine") / "run"
    settings = dict(steps=6, width=8, batch_size=16, n_critic=1, sample_every=0, log_every=6)
    pipeline.run(pipeline.Config(model="wgan_gp", dataset="ring8", run_dir=str(folder), **settings))
    return folder


@pytest.mark.parametrize("space", refine.SPACES)
def test_samples_of_a_run_are_refined(space, run_dir, tmp_path):
    options = dict(num=8, seed=3)
    numbers = dict(steps=4, step_size=0.05, noise=0.5, gradient_clip=0.0)
    line = sample.write_samples(str(run_dir), tmp_path / "refined.npz", refine=space, **options, **numbers)
    assert line.endswith(f"8 samples of wgan_gp, refined in {space} space, 2, seed 3")
    sample.write_samples(str(run_dir), tmp_path / "plain.npz", trust=True, **options)
    refined, plain = (np.load(tmp_path / f"{name}.npz") for name in ("refined", "plain"))
    np.testing.assert_array_equal(refined["latents"], plain["latents"])
    gan, step, _ = trained_gan.load_gan(run_dir)
    assert step == 6
    np.testing.assert_allclose(gan(plain["latents"]), plain["samples"], atol=1e-5)
    expected = refine.refine(gan, plain["latents"], seed=3, space=space, **numbers)
    np.testing.assert_allclose(refined["samples"], expected, atol=1e-6)
    assert not np.allclose(refined["samples"], plain["samples"], atol=1e-3)
    sample.write_samples(str(run_dir), tmp_path / "walk.png", num=6, columns=3, interpolate=True, refine=space)
    assert (tmp_path / "walk.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_model_has_no_discriminator(run_dir, tmp_path):
    with pytest.raises(UserError, match="--refine=latent needs the discriminator.*A SavedModel contains the generator"):
        sample.write_samples(str(run_dir / "saved_model"), tmp_path / "x.png", refine="latent")
    with pytest.raises(UserError, match="--refine=latent needs the discriminator.*wgan_gp-mnist is not a run folder"):
        sample.write_samples("wgan_gp-mnist", tmp_path / "x.png", refine="latent")
    with pytest.raises(UserError, match="--refine_step_size must be a positive number, not -1.0"):
        sample.write_samples(str(run_dir), tmp_path / "x.png", refine="latent", step_size=-1.0)
    with pytest.raises(UserError, match="There is no pretrained model and no folder"):
        sample.write_samples("wgan_gp-mnits", tmp_path / "x.png", refine="latent")
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_told_before_training(run_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(refine, "fine_tune", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--output=.*cannot be written"):
        fine_tuning.fine_tune_run(run_dir, tmp_path / "file" / "tuned", 3)


def test_a_run_is_fine_tuned_into_a_new_folder(run_dir, tmp_path, capsys):
    dynamics = refine.Dynamics(space="pixel", steps=2, step_size=0.1)
    output = fine_tuning.fine_tune_run(run_dir, tmp_path / "tuned", 3, dynamics, learning_rate=1e-3, turns=2)
    assert "step 3/3" in capsys.readouterr().out
    record = run_json.read_run(output)["settings"]["fine_tuned"]
    assert (record["steps"], record["turns"], record["dynamics"]["space"], record["of"]) == (
        3,
        2,
        "pixel",
        str(run_dir),
    )
    tuned, original = (trained_gan.load_gan(folder)[0] for folder in (output, run_dir))
    for one, other in zip(tuned.generator.variables, original.generator.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    pairs = zip(tuned.discriminator.variables, original.discriminator.variables, strict=True)
    assert any(not np.array_equal(one, other) for one, other in pairs)
    for way in ("none", "latent"):
        sample.write_samples(str(output), tmp_path / f"{way}.png", num=4, refine=way, trust=way == "none")
    with pytest.raises(UserError, match="already exists: name a new folder"):
        fine_tuning.fine_tune_run(run_dir, output, 3, dynamics)
    # Its optimizers are missing, so training cannot continue there.
    with pytest.raises(UserError, match="fine_tuned"):
        run_json.open_run(output, run_json.read_run(run_dir)["settings"])


def test_nothing_is_written_when_fine_tuning_diverges(run_dir, tmp_path):
    with pytest.raises(NonFiniteLoss):
        fine_tuning.fine_tune_run(run_dir, tmp_path / "tuned", 50, learning_rate=1e30)
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_sound_checkpoint(run_dir, tmp_path):
    with pytest.raises(UserError, match="is not a run folder"):
        fine_tuning.fine_tune_run(tmp_path, tmp_path / "tuned", 1)
    assert checkpoints.list_checkpoints(run_dir / "checkpoints")
    with pytest.raises(UserError, match="no undamaged checkpoint of step 5; steps that it has: 6"):
        trained_gan.load_gan(run_dir, 5)
