"""Schedules of learning rates: formulas, each player's own updates, files, exact resume and refusals."""

import json
import math

import keras
import numpy as np
import pytest

from gan_zoo import UserError
from gan_zoo.schedules.rate_schedules import Annealed, parse
from gan_zoo.training import pipeline

from .weights import arrays, assert_same, checkpoint


def config(tmp_path, name="run", **changes):
    settings = dict(model="wgan_gp", dataset="ring8", batch_size=8, width=4, steps=4, log_every=1, health_every=0)
    return pipeline.Config(**{**settings, "run_dir": str(tmp_path / name), **changes})


def test_formulas():
    cosine = Annealed(2.0, 10, "cosine", final=0.1, warm_up=2)
    expected = [1.0, 2.0] + [2 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * k / 8))) for k in range(9)] + [0.2]
    np.testing.assert_allclose([cosine(t) for t in range(12)], expected, rtol=1e-6)
    linear = parse("linear").over(1.0, 5, 2)
    np.testing.assert_allclose([linear(t) for t in range(12)], [1 - t / 10 for t in range(11)] + [0], atol=1e-7)
    constant = parse("constant(warm_up=2)").over(3.0, 4, 1)
    np.testing.assert_allclose([constant(t) for t in range(5)], [1.5, 3, 3, 3, 3])


def test_schedules_are_saved_with_optimizers():
    optimizer = keras.optimizers.Adam(Annealed(0.5, 7, "linear", 0.25, 1))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert again._learning_rate.get_config() == optimizer._learning_rate.get_config()


def test_each_player_has_the_schedule_over_its_own_updates(tmp_path):
    given = dict(rate_schedule="cosine(final=0.5)", d_learning_rate=0.1, g_learning_rate=0.2, n_critic=3)
    job = pipeline.Job(config(tmp_path, **given))
    found = {name: optimizer._learning_rate.get_config() for name, optimizer in job.gan.optimizers().items()}
    assert {name: (values["rate"], values["updates"]) for name, values in found.items()} == {
        "d_optimizer": (pytest.approx(0.1), 12),
        "g_optimizer": (pytest.approx(0.2), 4),
    }


def test_a_stopped_run_continues_exactly(tmp_path):
    whole = config(tmp_path, rate_schedule="linear(warm_up=1)", checkpoint_every=2)
    pipeline.run(whole)
    folder = tmp_path / "run"
    path, settings = folder / "run.json", json.loads((folder / "run.json").read_text())["settings"]
    assert settings["rate_schedule"] == "linear(warm_up=1)"
    assert "Train longer" not in (folder / "index.html").read_text("utf-8")
    other = tmp_path / "other"
    (other / "checkpoints").mkdir(parents=True)
    checkpoint(folder, 2).rename(other / "checkpoints" / "00000002")
    record = json.loads(path.read_text())
    record["settings"]["run_dir"] = str(other)
    (other / "run.json").write_text(json.dumps(record))
    pipeline.run(config(tmp_path, "other", rate_schedule="linear(warm_up=1)", checkpoint_every=2))
    assert_same(arrays(checkpoint(folder, 4)), arrays(checkpoint(other, 4)))
    with pytest.raises(UserError, match="a schedule to step 4: it cannot have --steps=6"):
        pipeline.run(config(tmp_path, rate_schedule="linear(warm_up=1)", steps=6))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rate_schedule": "step"}, "--rate_schedule must be constant, cosine or linear"),
        ({"rate_schedule": "cosine(final=2)"}, "--rate_schedule: final must be from 0 to 1"),
        ({"rate_schedule": "cosine(last=0)"}, "last"),
        ({"rate_schedule": "linear(warm_up=0.5)"}, "--rate_schedule: warm_up must be a whole number"),
        ({"rate_schedule": "linear(warm_up=4)"}, "the warm-up must be shorter than the run, which has 4 steps"),
        (
            {"model": "r3gan", "dataset": "digits", "set": ("anneal_steps=9",), "rate_schedule": "cosine"},
            "--rate_schedule=cosine sets a learning rate, but that of .* follows a schedule",
        ),
    ],
)
def test_refusals(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        pipeline.run(config(tmp_path, **changes))
    assert not (tmp_path / "run").exists()
