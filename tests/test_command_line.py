"""The command line in separate processes: help, errors, signals, a kill, several workers."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gan_zoo.export import saved_model
from gan_zoo.training import pipeline

from .waiting import HANGING, wait_until
from .weights import arrays, assert_same, checkpoint

ROOT = Path(__file__).resolve().parent.parent
RUN = ["--dataset=digits", "--resolution=8", "--width=4", "--batch_size=8", "--precision=float32", "--log_every=1"]


def command(*arguments):
    return [sys.executable, str(ROOT / "train.py"), *arguments]


def environment(tmp_path):
    return {**os.environ, "GAN_ZOO_CACHE": str(tmp_path / "cache")}


def call(tmp_path, *arguments):
    return subprocess.run(
        command(*arguments), cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=HANGING
    )


def logged_steps(run):
    path = run / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def assert_one_sentence(result, code, *words):
    assert result.returncode == code, result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in errors[0]


def test_help_names_every_flag_and_needs_no_tensorflow(tmp_path):
    result = call(tmp_path, "--help")
    assert result.returncode == 0
    assert result.stderr == ""
    defined = re.findall(r'flags\.DEFINE_\w+\(\s*"(\w+)"', (ROOT / "gan_zoo" / "training" / "command.py").read_text())
    assert {"model", "set", "dry_run", "on_nan", "num_virtual_devices"} <= set(defined)
    for flag in defined:
        assert re.search(rf"^  --{flag}\b", result.stdout, re.MULTILINE), flag
    assert max(len(line) for line in result.stdout.splitlines()) <= 120


def test_list(tmp_path):
    result = call(tmp_path, "--list")
    assert result.returncode == 0
    for word in ("wgan_gp", "Gulrajani et al., 2017", "celeb_a", "ring8", "folder:"):
        assert word in " ".join(result.stdout.split())  # lines are wrapped at the width of the terminal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model=wgan_gp"], ["--dataset is missing", "--list"]),
        (["dcgan"], ["'dcgan' is not a flag"]),
        (["--model=dcgan", "--dataset=digits", "--precision=float8"], ["--precision", "float8", "mixed_bfloat16"]),
    ],
)
def test_bad_command_lines(tmp_path, arguments, words):
    assert_one_sentence(call(tmp_path, *arguments), 2, *words)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model(tmp_path):
    assert_one_sentence(call(tmp_path, "--model=dcgann", "--dataset=digits"), 2, "Did you mean 'dcgan'?")


@pytest.mark.thorough
def test_divergence(tmp_path):
    arguments = ["--model=lsgan", *RUN, "--steps=50", "--learning_rate=1e30", "--run_dir=run", "--checkpoint_every=1"]
    assert_one_sentence(call(tmp_path, *arguments), 1, "Training diverged", "at step", "checkpoint")


# Train until something happens after a step, which does not depend on the machine.
HAPPENING = f"""
import os, resource, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from gan_zoo import callbacks
from gan_zoo.training import command
class Happening(callbacks.MetricsLog):
    def on_step(self, previous, logs):
        super().on_step(previous, logs)
        if self.step == %d:
            %s
callbacks.MetricsLog = Happening
command.run()
"""
KILLED = HAPPENING % (11, "os.kill(os.getpid(), signal.SIGKILL)")  # between two checkpoints
FULL = HAPPENING % (3, "resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))")


def go_on(arguments, run_dir):
    """Trains in this process what the flags say."""
    settings = dict(flag.removeprefix("--").split("=") for flag in arguments)
    settings = {name: int(value) if value.isdigit() else value for name, value in settings.items()}
    pipeline.run(pipeline.Config(**{**settings, "run_dir": str(run_dir)}))


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path, monkeypatch, capsys):
    arguments = ["--model=wgan_gp", *RUN, "--network=mlp", "--n_critic=2", "--steps=30", "--checkpoint_every=4"]
    arguments += ["--sample_every=0"]
    monkeypatch.setattr(saved_model, "export", lambda *args, **kwargs: None)  # of the weights that are compared
    go_on(arguments, tmp_path / "whole")
    killed = [sys.executable, "-c", KILLED, *arguments, "--run_dir=killed"]
    killed = subprocess.run(killed, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.DEVNULL, timeout=HANGING)
    assert killed.returncode == -signal.SIGKILL
    assert logged_steps(tmp_path / "killed") == 11
    go_on(arguments, tmp_path / "killed")
    assert f"continuing {tmp_path / 'killed'} from step 8" in capsys.readouterr().out
    assert_same(*(arrays(checkpoint(tmp_path / name, 30)) for name in ("killed", "whole")))
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 31))


def test_a_full_disk_is_told_and_the_same_command_goes_on(tmp_path, capsys):
    """Limits the size of files after the first checkpoint, so that the second cannot be written."""
    arguments = ["--model=dcgan", *RUN, "--checkpoint_every=2", "--sample_every=0", "--steps=4"]
    full = [sys.executable, "-c", FULL, *arguments, "--run_dir=run"]
    result = subprocess.run(full, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    last = "the last good checkpoint is run/checkpoints/00000002"
    assert_one_sentence(result, 1, "File too large", "Training has stopped", last)
    go_on(arguments, tmp_path / "run")
    assert f"continuing {tmp_path / 'run'} from step 2" in capsys.readouterr().out
    assert [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())] == ["00000002", "00000004"]


def test_sigterm_saves_and_the_same_command_continues(tmp_path):
    arguments = ["--model=dcgan", *RUN, "--steps=100000", "--checkpoint_every=0", "--sample_every=0", "--run_dir=run"]
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    wait_until(lambda: logged_steps(tmp_path / "run") >= 3, lambda: process.poll() is None, process.communicate)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=HANGING)
    assert process.returncode == 128 + signal.SIGTERM  # so that no scheduler treats the run as finished
    assert "SIGTERM: saved run at step" in output
    step = int(output.split("saved run at step ")[1].split(";")[0])
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == [f"{step:08d}"]
    assert not (tmp_path / "run" / "saved_model").exists()


@pytest.mark.thorough
def test_virtual_devices_train_the_weights_of_one(tmp_path):
    """Uses batch normalization over all replicas, set by a flag."""
    arguments = ["--model=dcgan", *RUN, "--steps=3", "--sync_batch_norm"]
    for name, more in (("one", []), ("two", ["--strategy=mirrored", "--num_virtual_devices=2"])):
        result = call(tmp_path, *arguments, *more, f"--run_dir={name}")
        assert result.returncode == 0, result.stderr
    assert "2 replica(s)" in result.stdout
    assert_same(*(arrays(checkpoint(tmp_path / name, 3)) for name in ("two", "one")), atol=1e-5)
