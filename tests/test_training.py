"""Training: runs, exact resume, refused settings, divergence, custom models."""

import json
import logging
import math
import re
import shutil

import keras
import numpy as np
import pytest

from gan_zoo import UserError
from gan_zoo.export import saved_model
from gan_zoo.nn import precision
from gan_zoo.run_folder import checkpoints, loss_curves, ownership, trained_gan
from gan_zoo.training import job_report, pipeline
from gan_zoo.training.trainer import Trainer
from gan_zoo.util import errors

from .weights import arrays, assert_same, checkpoint


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(autouse=True)
def _runs_end_with_training(request, monkeypatch):
    """Leaves out the export and the picture of curves, which take as long as training. `whole_runs` keeps them."""
    if "whole_runs" not in request.fixturenames:
        monkeypatch.setattr(saved_model, "export", lambda *args, **kwargs: None)
        monkeypatch.setattr(loss_curves, "plot", lambda *args, **kwargs: None)


@pytest.fixture
def whole_runs():
    """Lets runs export their generators and plot their curves."""


def config(**changes) -> pipeline.Config:
    """Returns the configuration of a run on points that takes a few seconds."""
    values = {
        **dict(model="wgan_gp", dataset="ring8", batch_size=8, width=8, steps=6, n_critic=2, run_dir="run"),
        **dict(sample_every=3, checkpoint_every=2, log_every=1),
        **changes,
    }
    return pipeline.Config(**values)


def image_config(**changes) -> pipeline.Config:
    return config(**{**dict(model="dcgan", dataset="digits", resolution=8, n_critic=1, precision="float32"), **changes})


def test_run_folder_is_complete(tmp_path, capsys, whole_runs):
    path = pipeline.run(config())
    run = tmp_path / "run"
    assert path.resolve() == run / "saved_model"
    assert (run / "saved_model" / "saved_model.pb").exists()
    assert sorted(p.name for p in (run / "samples").iterdir()) == [f"step-{s:08d}.png" for s in (0, 3, 6)]
    assert [p.name for p in checkpoints.list_checkpoints(run / "checkpoints")] == ["00000004", "00000006"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "Samples after step" in (run / "index.html").read_text("utf-8")
    assert list((run / "events").glob("events.out.tfevents.*"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["kimg"] == pytest.approx(6 * 2 * 8 / 1000)
    assert {"d_loss", "g_loss", "penalty", "seconds"} <= rows[0].keys()
    record = json.loads((run / "run.json").read_text())
    settings = record["settings"]
    assert settings["arguments"] == {
        **dict(gp_weight=10.0, n_critic=2, prior="normal", latent_dim=2, seed=0),
        **dict(simultaneous=False, balance="constant", instance_noise=0.0, noise_turns=0),
        **dict(penalties="none", feature_matching=0.0, historical_averaging=0.0, augmentation="none", lecam=0.0),
    }
    assert settings["d_optimizer"]["class"] == "Adam"
    assert settings["d_optimizer"]["beta_1"] == 0.5
    assert settings["precision"] == "float32"
    assert {"tensorflow", "keras", "gan_zoo", "python"} <= record["versions"].keys()
    assert {"started", "command", "host", "git"} <= record.keys()
    output = capsys.readouterr().out
    assert "step 6/6" in output
    assert "0s left" in output
    assert len(output.splitlines()) < 15


def half_life_config(**changes) -> pipeline.Config:
    return config(**{**dict(model="r3gan", n_critic=1, ema_half_life=20.0, set=("anneal_steps=5",)), **changes})


@pytest.mark.parametrize("make", [config, image_config, half_life_config])
def test_a_continued_run_equals_an_uninterrupted_one(tmp_path, make):
    pipeline.run(make(run_dir="whole"))
    pipeline.run(make(run_dir="parts", steps=3))
    pipeline.run(make(run_dir="parts"))
    assert_same(arrays(checkpoint(tmp_path / "whole", 6)), arrays(checkpoint(tmp_path / "parts", 6)))
    whole, parts = (
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "parts")
    )
    assert whole == parts
    name = "samples/step-00000006.png"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert json.loads((tmp_path / "parts" / "run.json").read_text())["settings"]["steps"] == 6


def test_a_finished_run_exports_again_without_training(whole_runs, tmp_path):
    pipeline.run(config())
    before = arrays(checkpoint(tmp_path / "run", 6))
    shutil.rmtree(tmp_path / "run" / "saved_model")
    pipeline.run(config())
    assert (tmp_path / "run" / "saved_model" / "saved_model.pb").exists()
    assert_same(before, arrays(checkpoint(tmp_path / "run", 6)))


def test_the_half_life_of_the_average_is_recorded(tmp_path, whole_runs):
    path = pipeline.run(half_life_config(steps=2))
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["ema_half_life"] == 20.0 and "ema_decay" not in settings
    metadata = json.loads((path / saved_model.METADATA).read_text())
    assert metadata["ema_half_life"] == 20.0
    assert trained_gan.load_gan(tmp_path / "run")[1] == 2
    with pytest.raises(UserError, match=r"ema_decay \(None, now 0.999\), ema_half_life \(20.0, now None\)"):
        pipeline.run(half_life_config(steps=2, ema_half_life=None))


def test_other_settings_are_refused_by_name(tmp_path):
    pipeline.run(config(steps=2))
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(UserError, match=r"batch_size \(8, now 16\).*learning_rate|batch_size \(8, now 16\)") as caught:
        pipeline.run(config(steps=2, batch_size=16, g_learning_rate=1e-3))
    assert "g_optimizer" in str(caught.value)
    assert "d_optimizer" not in str(caught.value)
    with pytest.raises(UserError, match="holds a run of 2 steps"):
        pipeline.run(config(steps=1))
    with pytest.raises(UserError, match="holds a run with other settings: arguments"):
        pipeline.run(config(steps=2, set=("penalties=r1",)))
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_runs_from_before_an_argument_existed_continue(tmp_path):
    pipeline.run(config(steps=2))
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    for name in ("penalties", "historical_averaging"):
        del record["settings"]["arguments"][name]
    del record["settings"]["minibatch_discrimination"]
    path.write_text(json.dumps(record))
    pipeline.run(config(steps=3))
    assert checkpoint(tmp_path / "run", 3).exists()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog):
    pipeline.run(config(run_dir="whole"))
    pipeline.run(config(steps=4))
    newest = tmp_path / "run" / "checkpoints" / "00000004" / "model.weights.h5"
    newest.write_bytes(newest.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING, "gan_zoo"):
        pipeline.run(config())
    assert "00000004 is damaged (model.weights.h5 does not match its checksum)" in caplog.text
    assert_same(arrays(checkpoint(tmp_path / "whole", 6)), arrays(checkpoint(tmp_path / "run", 6)))


def test_damaged_checkpoints_only(tmp_path):
    pipeline.run(config(steps=2))
    (tmp_path / "run" / "checkpoints" / "00000002" / "checkpoint.json").write_text("{")
    with pytest.raises(UserError, match="Every checkpoint in .* is damaged"):
        pipeline.run(config(steps=4))


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    leftover = tmp_path / "run" / "checkpoints" / ".writing-00000009"
    leftover.mkdir(parents=True)
    (leftover / "model.weights.h5").write_bytes(b"half")
    pipeline.run(config(steps=2))
    assert not leftover.exists()


class Sabotage(keras.callbacks.Callback):
    """Makes a weight NaN before the third step of the first `times` calls of `fit`."""

    def __init__(self, times):
        super().__init__()
        self.times, self.calls = times, 0

    def on_train_begin(self, logs=None):
        self.calls += 1

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2 and self.calls <= self.times:
            kernel = self.model.discriminator.trainable_variables[0]
            kernel.assign(kernel.value * np.nan)


def sabotaged(times, **changes):
    job = pipeline.Job(config(**{"steps": 10, "checkpoint_every": 1, **changes}))
    fit, sabotage = job.gan.fit, Sabotage(times)
    job.gan.fit = lambda *args, callbacks, **kwargs: fit(*args, callbacks=[*callbacks, sabotage], **kwargs)
    return job


def test_divergence_stops_with_step_and_loss_and_keeps_the_last_good_checkpoint(tmp_path):
    pipeline.run(config(steps=4, checkpoint_every=1))
    message = r"Training diverged: d_loss = nan.* at step 7; the last good checkpoint is .*00000006\."
    with pytest.raises(errors.NonFiniteLoss, match=message):
        Trainer(sabotaged(1), tmp_path / "run").train()
    state = arrays(checkpoint(tmp_path / "run", 6))
    assert all(np.isfinite(value).all() for value in state.values())


def test_divergence_goes_on_from_the_last_good_checkpoint_with_lower_rates(tmp_path, caplog):
    pipeline.run(config(steps=4, checkpoint_every=1))
    job = sabotaged(2, on_nan="restore")
    rate = float(job.gan.d_optimizer.learning_rate)
    with caplog.at_level(logging.WARNING, "gan_zoo"):
        assert Trainer(job, tmp_path / "run").train() is not None
    first, second = [r.getMessage() for r in caplog.records if "diverged" in r.getMessage()]
    assert "at step 7. It continues from step 6 with half the learning rates" in first
    assert "at step 9. It continues from step 8" in second
    for optimizer in (job.gan.d_optimizer, job.gan.g_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(rate / 4)
    assert checkpoints.list_checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "00000010"
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted({row["step"] for row in rows})


@pytest.mark.thorough
def test_divergence_gives_up_in_the_end(tmp_path):
    pipeline.run(config(steps=4, checkpoint_every=1))
    with pytest.raises(errors.NonFiniteLoss, match="Halving the learning rates 5 times has not helped"):
        Trainer(sabotaged(100, on_nan="restore", checkpoint_every=0), tmp_path / "run").train()


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    job = pipeline.Job(config())
    job.gan.generator.trainable_variables[0].assign(job.gan.generator.trainable_variables[0].value * math.inf)
    with pytest.raises(FloatingPointError, match="kernel is not finite at step 5"):
        checkpoints.save(tmp_path / "checkpoints", job.gan, 5)
    assert checkpoints.list_checkpoints(tmp_path / "checkpoints") == []


def test_dry_run_writes_nothing(tmp_path):
    text = job_report.dry_run(pipeline.Job(config(steps=1000)))
    assert not (tmp_path / "run").exists()
    for pattern in (
        r"generator +\d+ parameters, output \(2,\)",
        r"step time +[\d.]+ ms",
        r"images/s",
        r"total time .* for 1000 steps",
        r"peak memory +[\d.]+ GiB",
    ):
        assert re.search(pattern, text), (pattern, text)


def test_steps_per_execution_gives_the_same_weights(tmp_path):
    pipeline.run(config(run_dir="one", ema_decay=0.0))
    pipeline.run(config(run_dir="two", ema_decay=0.0, steps_per_execution=2))
    one, two = arrays(checkpoint(tmp_path / "one", 6)), arrays(checkpoint(tmp_path / "two", 6))
    assert_same(two, one, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "execution"),
    [
        (dict(log_every=50, sample_every=500, checkpoint_every=1000, steps=10_000), 25),
        (dict(log_every=50, sample_every=0, checkpoint_every=0, steps=60), 10),
        (dict(log_every=7, sample_every=14, checkpoint_every=0, steps=70), 7),
        (dict(log_every=1), 1),
        (dict(log_every=50, sample_every=500, steps=10_000, steps_per_execution=2), 2),
    ],
)
def test_points_take_as_many_steps_at_a_time_as_fit_every_cadence(changes, execution):
    assert pipeline.Job(config(**changes)).gan.steps_per_execution == execution


def test_images_take_one_step_at_a_time():
    cadence = dict(log_every=50, sample_every=500, checkpoint_every=1000, steps=10_000)
    assert pipeline.Job(image_config(**cadence)).gan.steps_per_execution == 1


def test_a_run_made_longer_may_go_on_between_two_multiples(tmp_path):
    """After 10 steps, 10 per call, 6 steps remain, which run 2 per call."""
    cadence = dict(log_every=10, sample_every=0, checkpoint_every=0)
    pipeline.run(config(**{**cadence, "steps": 10}))
    pipeline.run(config(**{**cadence, "steps": 16}))
    assert checkpoints.list_checkpoints(tmp_path / "run" / "checkpoints")[-1].name == "00000016"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (dict(model="wgan_pg"), r"--model=wgan_pg is not in the zoo. Did you mean 'wgan_gp'"),
        (dict(batch_size=0), r"--batch_size must be 1 or more, not 0"),
        (dict(steps=-1), r"--steps must be 1 or more"),
        (dict(n_critic=0), r"--n_critic must be 1 or more"),
        (dict(learning_rate=-1.0), r"--learning_rate must be positive"),
        (dict(g_learning_rate=math.nan), r"--g_learning_rate must be positive"),
        (dict(ema_decay=1.0), r"--ema_decay must be in \[0, 1\)"),
        (dict(ema_decay=0.9, ema_half_life=100.0), r"--ema_decay and --ema_half_life exclude each other"),
        (dict(ema_half_life=0.0), r"--ema_half_life must be a positive number, not 0"),
        (dict(keep_checkpoints=0), r"--keep_checkpoints must be 1 or more"),
        (dict(sample_every=-1), r"--sample_every must be 0"),
        (dict(steps=5, steps_per_execution=2), r"--steps=5 is not a multiple of --steps_per_execution=2"),
        (dict(network="dcgan"), r"--network=dcgan is for images, and ring8 has points"),
        (dict(norm="batch"), r"--norm=batch is for images, and ring8 has points"),
        (dict(set=("gp_wieght=1",)), r"WGANGP has no argument 'gp_wieght'. Did you mean 'gp_weight'"),
        (dict(set=("gp_weight",)), r"--set: 'gp_weight' is not of the form name=value"),
        (dict(set=("gp_weight=heavy",)), r"gp_weight must be a number, not"),
        (dict(model="dragan", set=("form=4",)), r"form must be 1, 2 or 3, not 4"),
        (dict(model="dragan", set=("prior=cauchy",)), r"prior must be 'normal' or 'uniform', not 'cauchy'"),
        (dict(dataset="ring9"), r"ring8"),
        (dict(model="dcgan", dataset="digits", network="dcgan", resolution=18), r"power of two from 8 to 512"),
        (dict(model="dcgan", dataset="digits", n_critic=1, batch_size=2000), r"2000"),
        (dict(strategy="multi_worker"), r"TF_CONFIG"),
        (dict(workers="a:1,b:1", worker_index=0), r"--workers is for several machines: use it with --strategy"),
        (dict(strategy="multi_worker", worker_index=0), r"--worker_index needs --workers"),
        (dict(strategy="multi_worker", workers="a:1,b", worker_index=0), r"--workers: 'b' must be host:port"),
        (dict(strategy="multi_worker", workers="a:1,a:1", worker_index=0), r"and appear only once"),
        (dict(strategy="multi_worker", workers="a:1,b:70000", worker_index=0), r"a port from 1 to 65535"),
        (dict(strategy="multi_worker", workers="a:1,b:1", worker_index=2), r"from 0 to 1, not 2"),
        (dict(strategy="multi_worker", workers="a:1,b:1"), r"from 0 to 1, not None"),
        (dict(num_virtual_devices=2), r"--num_virtual_devices is for several replicas on one CPU"),
        (dict(strategy="mirrored", num_virtual_devices=0), r"--num_virtual_devices must be 1 or more"),
        (dict(strategy="mirrored", num_virtual_devices=3), r"TensorFlow already runs in this process on 4"),
        (dict(tpu="mine"), r"--tpu is for a TPU"),
        (dict(sync_batch_norm=True), r"--sync_batch_norm: these networks have no batch normalization"),
        (dict(model="no_such_module:MyGAN"), r"importing no_such_module failed: ModuleNotFoundError"),
        (dict(width=10**9), r"--width must be at most 16384, not 1000000000"),
        (dict(latent_dim=10**9), r"--latent_dim must be at most"),
        (dict(resolution=10**6), r"--resolution must be at most"),
        (dict(steps=10**30), r"--steps must be at most"),
        (dict(n_critic=10**6), r"--n_critic must be at most 1000"),
        (dict(set=("n_critic=1000000",), n_critic=None), r"n_critic must be a whole number from 1 to 1000"),
        (dict(batch_size=10**12), r"--batch_size must be at most"),
        (dict(batch_size=10**9), r"--batch_size=1000000000: a step of 2 such minibatches takes .* GiB of memory"),
        (dict(seed=-1), r"--seed must be 0 or more, not -1"),
        (dict(seed=2**70), r"--seed must be at most 4294967295"),
        (dict(learning_rate=math.inf), r"--learning_rate must be positive, not inf"),
        (dict(worker_timeout=math.inf), r"--worker_timeout must be positive and at most 1000000, not inf"),
        (dict(run_dir="/"), r"--run_dir=/ is the root of the file system"),
        (dict(run_dir="a\0b"), r"--run_dir='a.x00b' contains a NUL character"),
        (dict(cache_dir=""), r"--cache_dir is empty"),
        (dict(data_dir="x" * 300), r"--data_dir=x+ cannot be used: File name too long"),
        (dict(run_dir="~nobody-here/run"), r"--run_dir=~nobody-here/run: there is no home folder of that user"),
        (dict(set=("gp_weight=1", "gp_weight=2")), r"gp_weight is given twice"),
        (dict(set=("gp_weight=1e999",)), r"gp_weight must be a finite number"),
        (dict(set=("gp_weight=-1",)), r"gp_weight must be a number from 0 up, not -1.0"),
        (dict(set=("noise_turns=" + "9" * 30,)), r"noise_turns must be a whole number of at most 63 bits"),
        (dict(set=("gp_weight=" + "[" * 5000,)), r"gp_weight must be a number, not"),
        (dict(set=("gp_weight=" + "9" * 5000,)), r"gp_weight must be a number, not"),
        (dict(set=("seed=soon",)), r"seed must be a whole number or None, not 'soon'"),
        (dict(set=("seed=-1",)), r"--set=seed must be a whole number from 0"),
        (dict(model="progressive_gan", set=("gp_target=0",)), r"gp_target must be a positive number, not 0.0"),
        (dict(model="wgan", set=("clip=-1",)), r"clip must be a positive number, not -1.0"),
        (
            dict(model="unrolled_gan", set=("unroll_steps=1000000000",)),
            r"unroll_steps must be a whole number from 0 to",
        ),
        (
            dict(model="json:JSONDecoder"),
            r"json has no subclass of gan_zoo.GAN or gan_zoo.GenerativeModel named 'JSONDecoder'",
        ),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_written(tmp_path, monkeypatch, changes, sentence):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match=sentence):
        pipeline.run(config(**changes))
    assert not (tmp_path / "run").exists()


def test_workers_and_tf_config_do_not_go_together(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(UserError, match="both name the workers"):
        pipeline.run(config(strategy="multi_worker", workers="a:1,b:1", worker_index=0))


def test_one_process_to_a_run_folder(tmp_path):
    pipeline.run(config(steps=10))
    before = (tmp_path / "run" / "run.json").read_bytes()
    with ownership.hold(tmp_path / "run"), pytest.raises(UserError, match="in use by another process"):
        pipeline.run(config(steps=20))
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    pipeline.run(config(steps=20))  # the lock is released


def test_an_unwritable_run_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        pipeline.run(config(run_dir="file/run"))


def test_a_model_of_ones_own(tmp_path):
    (tmp_path / "my_quick_gan.py").write_text(
        "import tensorflow as tf\n"
        "from gan_zoo import GAN\n\n\n"
        "class MyGAN(GAN):\n"
        "    def __init__(self, generator, discriminator, *, scale=1.0, **kwargs):\n"
        "        super().__init__(generator, discriminator, **kwargs)\n"
        "        self.scale = scale\n\n"
        "    def discriminator_loss(self, x, z):\n"
        "        return self.scale * tf.reduce_mean(self.D(self.G(z)) ** 2 + (self.D(x) - 1) ** 2)\n\n"
        "    def generator_loss(self, x, z):\n"
        "        return tf.reduce_mean((self.D(self.G(z)) - 1) ** 2)\n"
    )
    pipeline.run(config(model="my_quick_gan:MyGAN", set=("scale=2",), n_critic=1))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["arguments"]["scale"] == 2.0
    with pytest.raises(UserError, match="code that would be imported and run with your rights. If you trust it"):
        trained_gan.load_gan("run")
    assert trained_gan.load_gan("run", trust=True)[0].scale == 2.0


def test_learning_rates(tmp_path):
    job = pipeline.Job(config(learning_rate=3e-3, g_learning_rate=5e-3))
    assert float(job.gan.d_optimizer.learning_rate) == pytest.approx(3e-3)
    assert float(job.gan.g_optimizer.learning_rate) == pytest.approx(5e-3)
    job = pipeline.Job(config())
    assert float(job.gan.d_optimizer.learning_rate) == pytest.approx(1e-4)


def test_norm_network_and_width_reach_the_networks():
    job = pipeline.Job(image_config(network="resnet", norm="spectral", width=4, latent_dim=3))
    assert any("spectral" in layer.name for layer in job.gan.discriminator.layers)
    assert any("up_sampling" in layer.name for layer in job.gan.generator.layers)
    assert job.gan.latent_dim == 3


def test_precision(monkeypatch):
    assert precision.resolve("mixed_float16", points=True) == ("mixed_float16", "as asked")
    assert precision.resolve("auto", points=True)[0] == "float32"
    monkeypatch.setattr(precision, "_cpu_flags", lambda: {"avx2", "amx_bf16"})
    assert precision.resolve("auto", points=False) == ("mixed_bfloat16", "the CPU has amx_bf16")
    monkeypatch.setattr(precision, "_cpu_flags", lambda: {"avx2"})
    assert precision.resolve("auto", points=False)[0] == "float32"


def test_a_checkpoint_of_a_run_can_be_exported(whole_runs, tmp_path):
    from gan_zoo import load_pretrained

    exported = load_pretrained(pipeline.run(image_config(steps=4)), trust=True)
    again = load_pretrained(saved_model.export_run("run", "elsewhere"), trust=True)
    np.testing.assert_array_equal(again.sample(3, seed=1), exported.sample(3, seed=1))
    assert again.metadata["step"] == 4
    earlier = load_pretrained(saved_model.export_run("run", "earlier", step=2), trust=True)
    assert earlier.metadata["step"] == 2
    assert not np.array_equal(earlier.sample(3, seed=1), exported.sample(3, seed=1))
    with pytest.raises(UserError, match="no undamaged checkpoint of step 3; steps that it has: 2, 4"):
        saved_model.export_run("run", step=3)
    with pytest.raises(UserError, match="is not a run folder"):
        saved_model.export_run("nowhere")
