"""Run folders: what was asked for, where it ran, and whether a second start may continue it.

runs/wgan_gp-celeb_a/run.json         settings, versions, git commit, host, command
                     metrics.jsonl    a line of losses for each interval
                     events/          the same for TensorBoard, and the sample grids
                     samples/         a grid of samples of the same latents for each interval
                     curves.png       the losses over the steps, at the end
                     checkpoints/     see gan_zoo.checkpoints
                     saved_model/     the generator's moving average, at the end
"""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gan_zoo.errors import UserError

if TYPE_CHECKING:
    from gan_zoo.gan import GAN

# A continued run may be longer, and may lie, or find its data, elsewhere.
_FREE = {"steps", "run_dir", "data_dir", "steps_per_execution", "on_nan", "health_every"}
# Settings of runs that began before there were such.
_BEFORE = {"sync_batch_norm": False}


@contextlib.contextmanager
def hold(folder: Path, flag: str = "--run_dir", wait: float = 0.0) -> Iterator[None]:
    """Holds a folder, which is made if it is missing, for this process alone; however the process ends, it lets go.

    Args:
        folder: The folder.
        flag: That names it.
        wait: Seconds to wait for another process to let go.

    Raises:
        UserError: If another process holds it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=wait)
        lock.acquire()
    except Timeout:
        raise UserError(f"{folder} is in use by another process: wait for its end, or give another {flag}.") from None
    except OSError as error:
        raise UserError(f"{flag}={folder} cannot be written: {error.strerror or error}.") from None
    try:
        yield
    finally:
        lock.release()


def open_run(run_dir: Path, settings: dict) -> dict:
    """Makes the run folder, or checks that its settings are these; returns what is written in its `run.json`.

    Args:
        run_dir: The folder.
        settings: Everything that decides the result, and the run's bookkeeping; values of JSON's types.

    Raises:
        UserError: If the folder holds a run of other settings or of more steps, or cannot be written.
    """
    path = run_dir / "run.json"
    settings = json.loads(json.dumps(settings))
    if path.exists():
        try:
            run = json.loads(path.read_text())
            old = run["settings"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path} cannot be read: repair it, or give another --run_dir.") from None
        old = {**_BEFORE, **old}
        names = sorted(n for n in {*old, *settings} - _FREE if old.get(n) != settings.get(n))
        if names:
            pairs = ", ".join(f"{n} ({old.get(n)!r}, now {settings.get(n)!r})" for n in names)
            raise UserError(f"{run_dir} holds a run of other settings: {pairs}. Give another --run_dir, or these.")
        if settings["steps"] < old["steps"]:
            raise UserError(
                f"{run_dir} holds a run of {old['steps']} steps: --steps={settings['steps']} cannot make it shorter."
            )
        run["settings"] = settings
        run["continued"] = [*run.get("continued", []), circumstances()]
    else:
        run = {"settings": settings, **circumstances()}
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(run, indent=1) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"--run_dir={run_dir} cannot be written: {error.strerror}.") from None
    return run


def read_run(run_dir: Path) -> dict:
    """The contents of a run folder's `run.json`.

    Raises:
        UserError: If there is none that can be read.
    """
    try:
        return json.loads((Path(run_dir) / "run.json").read_text())
    except (OSError, ValueError):
        raise UserError(f"{run_dir} is not a run folder: it has no run.json that can be read.") from None


def load_gan(run_dir: str | Path, step: int | None = None) -> tuple["GAN", int, dict]:
    """The GAN of a run's checkpoint, with the moving average in the place of its generator.

    Args:
        run_dir: A run folder of `train.py`.
        step: Of the checkpoint; by default the newest that is undamaged.

    Returns:
        The GAN, not compiled; the step of the checkpoint; and the run's settings.

    Raises:
        UserError: If there is no such run or checkpoint.
    """
    import keras

    from gan_zoo import checkpoints, training

    run_dir = Path(run_dir)
    settings = read_run(run_dir)["settings"]
    found = {checkpoints.read_step(p): p for p in checkpoints.list_checkpoints(run_dir / "checkpoints") if p.is_dir()}
    sound = {s: p for s, p in found.items() if not checkpoints.verify(p, [checkpoints.MODEL, checkpoints.EMA])}
    if not sound or step not in (None, *sound):
        there = ", ".join(map(str, sound)) or "none"
        raise UserError(f"{run_dir} has no undamaged checkpoint of step {step or 'any'}; steps that it has: {there}.")
    step = max(sound) if step is None else step
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(settings["precision"])
    try:
        gan = training.build_gan(
            training.find_model(settings["model"]),
            settings["data"]["shape"],
            **{name: settings[name] for name in ("network", "width", "norm", "arguments")},
        )
    finally:
        keras.config.set_dtype_policy(policy)
    gan.load_weights(sound[step] / checkpoints.MODEL)
    gan.generator.load_weights(sound[step] / checkpoints.EMA)
    return gan, step, settings


def circumstances() -> dict:
    """When, by which command, with which versions and on what machine this process runs, as JSON types."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions(),
        "git": _git_commit(),
        "host": {"name": platform.node(), "system": platform.platform(), "cpu": cpu_model(), "cpus": os.cpu_count()},
    }


def versions() -> dict[str, str]:
    """Of what decides a run's numbers."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "gan_zoo": _version(),
        "python": platform.python_version(),
        **{p: importlib.metadata.version(p) for p in packages},
    }


def cpu_model() -> str:
    """What the processor calls itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version() -> str:
    import gan_zoo

    return gan_zoo.__version__


def _git_commit() -> str | None:
    """The commit of the zoo's own clone, with "+" if files differ from it; None where there is no clone."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return None
    try:
        commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
        commit, changes = (
            subprocess.run(c, cwd=home, capture_output=True, text=True, check=True).stdout.strip() for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changes else "")
