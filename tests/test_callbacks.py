"""Callbacks alone, without training."""

import io
import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import UserError, callbacks
from gan_zoo.models import DCGAN, VanillaGAN
from gan_zoo.util import errors


class Model:
    """The part of a model that step callbacks use."""

    def __init__(self, steps_per_execution=1):
        self.steps_per_execution = steps_per_execution
        self.stop_training = False


def run(callback, logs, model=None):
    callback.set_model(model or Model())
    callback.on_train_begin()
    for batch, entry in enumerate(logs):
        callback.on_train_batch_end(batch, entry)
    callback.on_train_end()


def test_passed_counts_multiples_with_any_steps_per_execution():
    class Fires(callbacks.StepCallback):
        steps = ()

        def on_step(self, previous, logs):
            if self.passed(10, previous):
                self.steps += (self.step,)

    fires = Fires(step=7)
    run(fires, [{}] * 8, Model(steps_per_execution=4))
    assert fires.steps == (11, 23, 31)
    assert fires.step == 39
    assert not fires.passed(0, 0)


def test_moving_average_follows_its_formula_and_takes_batch_statistics_along():
    gan = DCGAN.for_images((8, 8, 1), width=2, latent_dim=2)
    gan.compile()
    ema = callbacks.GeneratorEMA(decay=0.5)
    ema.set_model(gan)
    start = [v.numpy() for v in gan.generator.variables]
    for v in gan.generator.variables:
        v.assign(v + 1.0)
    expected = start
    for t in range(6):
        ema.on_train_batch_end(t, {})
        decay = min(0.5, (1 + t) / (10 + t))
        expected = [decay * e + (1 - decay) * (s + 1.0) for e, s in zip(expected, start, strict=True)]
    assert [v.name for v in ema.generator.variables if "moving" in v.name]
    for v, e in zip(ema.generator.variables, expected, strict=True):
        np.testing.assert_allclose(v.numpy(), e, rtol=1e-5, atol=1e-6, err_msg=v.path)


@pytest.mark.parametrize("execution", [1, 5])
def test_a_half_life_counts_images(execution):
    """At image n the weight of the past is 0.5^(8 / min(100, n / 20)) for each step of 8 images."""
    gan = VanillaGAN.for_points(width=4, seed=0)
    gan.compile()
    gan.steps_per_execution = execution
    kept, x = [], np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    ema = callbacks.GeneratorEMA(half_life=100, images=lambda step: 3000 + 8 * step)
    keep = lambda logs: kept.append(float(gan.generator.layers[-1].bias.value[0]))  # noqa: E731
    gan.run_eagerly = True
    data = tf.data.Dataset.from_tensors(x).repeat()
    expected = float(gan.generator.layers[-1].bias.value[0])
    for fit in range(2):
        gan.follow(keep)
        gan.fit(data, steps_per_epoch=10, verbose=0, callbacks=[ema])
        assert ema.step == len(kept) == 10 * (fit + 1)
    for step, value in enumerate(kept):
        decay = 0.5 ** (8 / min(100, 0.05 * (3000 + 8 * step)))
        expected = decay * expected + (1 - decay) * value
    assert float(ema.generator.layers[-1].bias.value[0]) == pytest.approx(expected, rel=1e-5)


def test_the_average_of_the_first_step_is_the_current_weights():
    gan = VanillaGAN.for_points(width=4, seed=0)
    gan.compile()
    ema = callbacks.GeneratorEMA(half_life=5e6, images=lambda step: 512 * step)
    gan.fit(np.zeros((8, 2), "float32"), batch_size=8, verbose=0, callbacks=[ema])
    for average, weight in zip(ema.generator.get_weights(), gan.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(average, weight)
    late = tf.constant(1e9, tf.float64)
    ema._line.assign([0.0, 0.0, 512.0])
    assert float(ema._decay_at(late)) == pytest.approx(0.99992902, abs=1e-8)
    ema._line.assign([0.0, 0.0, 64.0])
    assert float(ema._decay_at(late)) == pytest.approx(0.99999113, abs=1e-8)


def test_bad_half_lives():
    with pytest.raises(UserError, match="half_life must be a positive number, not 0"):
        callbacks.GeneratorEMA(half_life=0, images=lambda step: step)
    with pytest.raises(UserError, match="give images as well"):
        callbacks.GeneratorEMA(half_life=100)


def test_non_finite_logs_stop_training():
    with pytest.raises(errors.NonFiniteLoss, match="g_loss = inf at step 12"):
        run(callbacks.StopOnNonFinite(step=10), [{"d_loss": 1.0}, {"d_loss": 1.0, "g_loss": np.inf}])


def test_metrics_are_means_and_lines_beyond_the_step_go(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2, "d_loss": 7.0}\n{"step": 4, "d_loss": 8.0}\n{"step": 5, "d_l')
    log = callbacks.MetricsLog(path, images_shown=lambda step: 100 * step, every=2, step=2)
    run(log, [{"d_loss": 1.0}, {"d_loss": 3.0}, {"d_loss": 5.0}])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["step"], row["d_loss"]) for row in rows] == [(2, 7.0), (4, 2.0), (5, 5.0)]
    assert rows[1]["kimg"] == 0.4


def test_progress_is_one_line_on_a_terminal_and_few_elsewhere():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for output, count in ((Terminal(), 1), (io.StringIO(), 2)):
        run(callbacks.Progress(total=100, images_shown=lambda step: 64 * step, output=output), [{"d_loss": 0.5}] * 100)
        text = output.getvalue()
        assert text.count("\n") == count
        assert "step 100/100  d_loss 0.5" in text
        assert "images/s  0s left" in text


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12s"), (303, "5m03s"), (7500, "2h05m")])
def test_duration(seconds, text):
    assert callbacks.duration(seconds) == text


def test_signals_end_training_after_the_step_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    callback, model = callbacks.StopOnSignal(), Model()
    callback.set_model(model)
    with callback.listening():
        callback.on_train_batch_end(0)
        assert not model.stop_training
        os.kill(os.getpid(), signal.SIGTERM)
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before  # a second one interrupts
        callback.on_train_batch_end(1)
    assert model.stop_training
    assert (callback.stopping, callback.signal, callback.reason) == (True, signal.SIGTERM, "SIGTERM")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_sample_grid_uses_fixed_latents_and_the_average(tmp_path):
    gan = DCGAN.for_images((8, 8, 1), width=2, latent_dim=2, seed=0)
    gan.compile()
    state = gan.random.state.numpy()
    ema = callbacks.GeneratorEMA()
    ema.set_model(gan)
    for v in gan.generator.trainable_variables:
        v.assign(v * 0.0)
    own = callbacks.SampleGrid(tmp_path / "own", every=1, n=4)
    averaged = callbacks.SampleGrid(tmp_path / "ema", every=1, n=4, ema=ema)
    for callback in (own, averaged):
        run(callback, [{}], gan)
    last = callbacks.SampleGrid(tmp_path / "last", every=10, n=4)
    run(last, [{}] * 3, gan)
    assert sorted(p.name for p in (tmp_path / "last").iterdir()) == ["step-00000000.png", "step-00000003.png"]
    pictures = {name: (tmp_path / name / "step-00000001.png").read_bytes() for name in ("own", "ema")}
    assert pictures["own"] != pictures["ema"]
    assert (tmp_path / "ema" / "step-00000000.png").read_bytes() == pictures["ema"]
    np.testing.assert_array_equal(gan.random.state.numpy(), state)


def test_step_timer():
    timer = callbacks.StepTimer()
    run(timer, [{"d_loss": keras.ops.ones(())}] * 3)
    assert len(timer.seconds) == 3
    assert min(timer.seconds) > 0
