"""Faults of machines during a run: damaged checkpoints, read-only folders, full disks, clocks that jump."""

import ctypes
import json
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from gan_zoo.models import VanillaGAN
from gan_zoo.run_folder import checkpoints, loss_curves, ownership, tensorboard
from gan_zoo.training import pipeline
from gan_zoo.training.trainer import Trainer
from gan_zoo.util import errors
from gan_zoo.util.errors import NotWritten

from .thorough import marks
from .waiting import HANGING
from .weights import arrays, assert_same, checkpoint

ROOT = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("GAN_ZOO_FAULTS", "0"))
"""`GAN_ZOO_FAULTS=N` damages other bytes."""


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def config(**changes):
    values = {
        **dict(model="lsgan", dataset="ring8", batch_size=8, width=8, steps=6, run_dir="run", steps_per_execution=1),
        **dict(sample_every=3, checkpoint_every=2, log_every=1, health_every=0),
        **changes,
    }
    return pipeline.Config(**values)


# Damaged checkpoints.


@pytest.fixture
def saved(tmp_path):
    """A GAN that was saved twice, with different weights, and the folder."""
    gan = VanillaGAN.for_points(width=4)
    gan.compile()
    ema = keras.models.clone_model(gan.generator)
    for step in (1, 2):
        gan.generator.trainable_variables[0].assign(gan.generator.trainable_variables[0] * 0.0 + step)
        checkpoints.save(tmp_path / "checkpoints", gan, step, ema)
    return gan, ema, tmp_path / "checkpoints"


def flip(path, random_):
    data = bytearray(path.read_bytes())
    data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    path.write_bytes(data)


def cut(path, random_):
    path.write_bytes(path.read_bytes()[: random_.randrange(path.stat().st_size)])


def remove(path, random_):
    path.unlink()


def take_the_older(path, random_):
    shutil.copy(path.parent.parent / "00000001" / path.name, path)


FILES = (checkpoints.MODEL, checkpoints.EMA, checkpoints.INDEX)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        # Each damage is done to two of the three files.
        pytest.param(damage, name, id=f"{damage.__name__}-{name}", marks=marks((k + j) % len(FILES) == 2))
        for k, damage in enumerate((flip, cut, remove, take_the_older))
        for j, name in enumerate(FILES)
    ],
)
def test_any_damage_to_a_checkpoint_is_found_and_the_one_before_is_taken(saved, caplog, name, damage):
    gan, ema, folder = saved
    random_ = random.Random(f"{SEED} {name}")
    path = folder / "00000002" / name
    whole = path.read_bytes()
    for _ in range(20 if damage in (flip, cut) else 1):
        path.write_bytes(whole)
        damage(path, random_)
        if name == checkpoints.EMA and damage is take_the_older:
            assert path.read_bytes() == whole  # the average was the same
            continue
        fault = checkpoints.verify(path.parent, [checkpoints.MODEL, checkpoints.EMA])
        if fault is None:  # a bit of the index that does not affect the other files
            assert name == checkpoints.INDEX
            assert json.loads(path.read_text())["sha256"] == json.loads(whole)["sha256"]
            continue
        caplog.clear()
        with caplog.at_level(logging.WARNING, "gan_zoo"):
            assert checkpoints.restore(folder, gan, ema) == 1
        assert "00000002 is damaged" in caplog.text
        assert np.all(gan.generator.trainable_variables[0].numpy() == 1)


def test_a_fallback_ends_where_an_undamaged_run_does(tmp_path):
    pipeline.run(config(run_dir="whole"))
    pipeline.run(config(steps=4))
    flip(tmp_path / "run" / "checkpoints" / "00000004" / checkpoints.MODEL, random.Random(SEED))
    pipeline.run(config())
    assert_same(arrays(checkpoint(tmp_path / "run", 6)), arrays(checkpoint(tmp_path / "whole", 6)))


def test_saving_again_makes_no_optimizers(saved, monkeypatch):
    """Without the fix, Keras would create an optimizer in each save, whose variables would stay in memory."""
    gan, ema, folder = saved
    made = []
    monkeypatch.setattr(keras.optimizers.Optimizer, "__init__", lambda *args, **kwargs: made.append(args))
    checkpoints.save(folder, gan, 3, ema)
    assert made == []
    assert checkpoints.list_checkpoints(folder)[-1].name == "00000003"


# Clocks.


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    pipeline.run(config(run_dir="whole"))
    real, random_ = time.time, random.Random(SEED)
    monkeypatch.setattr(time, "time", lambda: real() + random_.choice([-1, 1]) * random_.uniform(0, 1e9))
    start = time.perf_counter()
    pipeline.run(config(steps=3))
    pipeline.run(config())
    elapsed = time.perf_counter() - start
    assert_same(arrays(checkpoint(tmp_path / "run", 6)), arrays(checkpoint(tmp_path / "whole", 6)))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for part in (rows[:3], rows[3:]):
        seconds = [row["seconds"] for row in part]
        assert seconds == sorted(seconds)
        assert seconds[0] >= 0 and seconds[-1] < elapsed


# Folders and disks.


def test_a_run_folder_that_is_removed_under_way(tmp_path, monkeypatch):
    save = checkpoints.save

    def removing(folder, *rest):
        if rest[1] == 4:
            shutil.rmtree(tmp_path / "run")
            (tmp_path / "run").write_text("something else")
        return save(folder, *rest)

    monkeypatch.setattr(checkpoints, "save", removing)
    with pytest.raises(NotWritten, match=r"run/.*: Not a directory\. Training has stopped; no checkpoint"):
        pipeline.run(config())


@pytest.mark.parametrize("moment", [1, 3, 5])
@pytest.mark.thorough
def test_a_disk_that_fills_up_at_any_write_leaves_what_was_there(tmp_path, monkeypatch, moment):
    """The n-th write fails because the disk is full."""
    pipeline.run(config(run_dir="whole"))
    pipeline.run(config(steps=2))
    before = arrays(checkpoint(tmp_path / "run", 2))
    count, fsync = 0, os.fsync

    def full(descriptor):
        nonlocal count
        count += 1
        if count == moment:
            raise OSError(28, "No space left on device")
        return fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NotWritten, match="No space left on device. Training has stopped; the last good checkpoint"):
            pipeline.run(config())
    assert_same(arrays(checkpoint(tmp_path / "run", 2)), before)
    pipeline.run(config())
    assert_same(arrays(checkpoint(tmp_path / "run", 6)), arrays(checkpoint(tmp_path / "whole", 6)))


def test_events_that_cannot_be_written_are_an_os_error(tmp_path):
    """Keras's `fit` would treat TensorFlow's error as the end of the data."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = tensorboard.Events(tmp_path / "events")
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            for step in range(1000):
                log.scalars(step, {"d_loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "events")


def test_training_that_ends_early_is_not_taken_for_a_finished_one(tmp_path):
    job = pipeline.Job(config())
    whole = job.schedule.dataset
    job.schedule.dataset = lambda step: whole(step).take(4)
    with (
        pytest.warns(UserWarning, match="ran out of data"),
        pytest.raises(errors.Stopped, match="at step 4 instead of 6"),
    ):
        Trainer(job, tmp_path / "run").train()
    assert not (tmp_path / "run" / "saved_model").exists()


def test_what_killed_processes_left_is_cleared_away(tmp_path):
    pipeline.run(config(steps=2))
    run = tmp_path / "run"
    (run / "saved_model").rename(run / ".saved_model.0123456789ab.old")  # as after a kill between two renames
    (run / ".saved_model.0123456789ab.partial").mkdir()
    (run / ".saved_model.0123456789ab.partial" / "saved_model.pb").write_text("half")
    (run / "samples" / ".0123456789ab.partial").write_text("half")
    (run / ".ba9876543210.partial").write_text("half")
    ownership.clear_leftovers(run)
    assert not [path for path in run.rglob("*") if path.suffix in (".partial", ".old")]
    assert (run / "saved_model" / "saved_model.pb").exists()
    pipeline.run(config())
    assert checkpoints.list_checkpoints(run / "checkpoints")[-1].name == "00000006"


def test_a_disk_that_is_full_when_the_model_is_exported(tmp_path, monkeypatch):
    pipeline.run(config())
    shutil.rmtree(tmp_path / "run" / "saved_model")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        patch.setattr(loss_curves, "plot", lambda *paths: None)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, hard))
        try:
            with pytest.raises(
                NotWritten, match=r"too large.*Training has stopped; the last good checkpoint"
            ) as caught:
                pipeline.run(config())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "saved_model" in str(caught.value)
    assert not (tmp_path / "run" / "saved_model").exists()
    pipeline.run(config())
    assert (tmp_path / "run" / "saved_model" / "saved_model.pb").exists()


def test_steps_are_in_the_order_of_numbers(tmp_path):
    for name in ("100000000", "99999000", "00000500", "x"):
        (tmp_path / name).mkdir()
    assert [path.name for path in checkpoints.list_checkpoints(tmp_path)] == ["00000500", "99999000", "100000000"]


@pytest.mark.parametrize("strategy", [{}, dict(strategy="mirrored", num_virtual_devices=4)], ids=["one", "four"])
@pytest.mark.thorough
def test_a_divergence_on_replicas_goes_back_with_lower_rates(tmp_path, strategy):
    settings = dict(steps=4, on_nan="restore", batch_size=8, **strategy)
    pipeline.run(config(**{**settings, "steps": 2}))
    job = pipeline.Job(config(**settings))
    fit, calls = job.gan.fit, []

    def failing(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise errors.NonFiniteLoss("d_loss = nan at step 3")
        return fit(*args, **kwargs)

    job.gan.fit = failing
    before = float(keras.ops.convert_to_numpy(job.gan.d_optimizer.learning_rate))
    assert Trainer(job, tmp_path / "run").train() is not None
    assert float(keras.ops.convert_to_numpy(job.gan.d_optimizer.learning_rate)) == pytest.approx(before / 2)


# Processes.


RUN = [
    *("--model=lsgan", "--dataset=ring8", "--batch_size=8", "--width=8", "--steps=20", "--checkpoint_every=10"),
    *("--sample_every=0", "--run_dir=run"),
]


def call(folder, *flags, **options):
    command = [sys.executable, str(ROOT / "train.py"), *RUN, *flags]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANGING, **options)


def the_error(result, status):
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def without_rights():
    """Removes root's right to write everywhere from a process; the next program starts without it."""
    if os.getuid() == 0:
        drop_bound, dac_override = 24, 1  # PR_CAPBSET_DROP of prctl(2), CAP_DAC_OVERRIDE of capabilities(7)
        assert ctypes.CDLL(None).prctl(drop_bound, dac_override, 0, 0, 0) == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="takes Linux's capabilities from root")
@pytest.mark.thorough
def test_a_read_only_run_folder_is_refused_in_a_sentence(tmp_path):
    assert call(tmp_path).returncode == 0
    run = tmp_path / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for path in [run, *run.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    error = the_error(call(tmp_path, "--steps=40", preexec_fn=without_rights), 2)
    assert "--run_dir=run cannot be written: Permission denied" in error
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    error = the_error(call(tmp_path, "--run_dir=run/another", preexec_fn=without_rights), 2)
    assert "--run_dir=run/another cannot be written: Permission denied" in error
    for path in [run, *(p for p in run.rglob("*") if p.is_dir())]:
        path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_second_process_on_a_run_folder_is_refused(tmp_path):
    assert call(tmp_path).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with ownership.hold(tmp_path / "run"):
        error = the_error(call(tmp_path, "--steps=40"), 2)
    assert "run is in use by another process" in error
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
