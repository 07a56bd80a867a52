"""Run folders: the settings of a run, its environment, and whether a second start may continue it.

runs/wgan_gp-celeb_a/run.json         settings, versions, git commit, host, command
                     metrics.jsonl    losses, one line per interval
                     events/          losses and sample grids for TensorBoard
                     samples/         grids of samples of fixed latents, one per interval
                     curves.png       the losses over the steps, written at the end
                     checkpoints/     see gan_zoo.checkpoints
                     saved_model/     the moving average, at the end
"""

import contextlib
import datetime
import errno
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Set
from pathlib import Path
from typing import TYPE_CHECKING

from gan_zoo import checks, run_folders
from gan_zoo.errors import UserError
from gan_zoo.images import atomic_file

if TYPE_CHECKING:
    from gan_zoo.gan import GAN

# Settings that may change when a run continues: it may be longer, in another folder, or read its data from elsewhere.
_FREE = {"steps", "run_dir", "data_dir", "steps_per_execution", "on_nan", "health_every"}
# Settings that tools need to read a run, with their types.
_KINDS = {
    **dict.fromkeys(("model", "dataset", "network", "norm", "precision"), str),
    **dict.fromkeys(("width", "batch_size", "seed"), int),
    "ema_decay": int | float,
    "data": dict,
    "arguments": dict,
}
_DATA_KINDS = {"kind": str, "shape": list}
_LARGEST = 2**16
# Values of settings that did not exist when older runs began.
_BEFORE = {"sync_batch_norm": False}


@contextlib.contextmanager
def hold(folder: Path, flag: str = "--run_dir", wait: float = 0.0) -> Iterator[None]:
    """Locks a folder for this process. The lock is released however the process ends.

    Args:
        folder: The folder; created if missing.
        flag: Name of the flag that gives the folder, for messages.
        wait: Seconds to wait for another process to release the lock.

    Raises:
        UserError: If another process holds the lock, or the folder cannot be written.
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


def clear_leftovers(run_dir: Path) -> None:
    """Removes incomplete files of killed processes, and restores an export that was being replaced.

    Raises:
        UserError: If the folder cannot be written.
    """
    try:
        for old in run_folders.replaced_exports(run_dir):
            if (run_dir / "saved_model").exists():
                shutil.rmtree(old)
            else:
                old.rename(run_dir / "saved_model")
        for partial in [*run_folders.partials(run_dir), *run_folders.partials(run_dir / "samples")]:
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
    except OSError as error:
        raise UserError(f"--run_dir={run_dir} cannot be written: {error.strerror or error}.") from None


def check_run(run_dir: Path, settings: dict) -> None:
    """Checks, without writing, whether a run with these settings may start or continue in a folder.

    Args:
        run_dir: The folder.
        settings: As for `open_run`, without the number of examples, which is known only after the data are decoded.

    Raises:
        UserError: If the folder holds a run with other settings or more steps, or cannot be written.
    """
    if (run_dir / "run.json").exists():
        _compare(run_dir, json.loads(json.dumps(settings)), {"size"})
    try:
        above = next(folder for folder in (run_dir, *run_dir.absolute().parents) if folder.exists())
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(f"--run_dir={run_dir} cannot be written: {error.strerror or error}.") from None


def _compare(run_dir: Path, settings: dict, unknown: Set[str] = frozenset()) -> dict:
    """Checks that the run in a folder may continue with these settings, and returns the contents of its `run.json`.

    Args:
        run_dir: The folder.
        settings: As for `open_run`, with values of JSON types.
        unknown: Names in `settings["data"]` whose values are not known yet.

    Raises:
        UserError: If the settings differ, or if there are fewer steps.
    """
    path = run_dir / "run.json"
    try:
        run = read_run(run_dir)
        old, continued = {**_BEFORE, **run["settings"]}, [*run.get("continued", [])]
        if not isinstance(old["steps"], int):
            raise ValueError("steps are counted in whole numbers")
        if unknown:
            old["data"], settings = dict(old["data"]), {**settings, "data": dict(settings["data"])}
            for name in unknown:
                old["data"].pop(name, None)
                settings["data"].pop(name, None)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} cannot be read: repair it, or give another --run_dir.") from None
    names = sorted(n for n in {*old, *settings} - _FREE if old.get(n) != settings.get(n))
    if names:
        pairs = ", ".join(f"{n} ({old.get(n)!r}, now {settings.get(n)!r})" for n in names)
        raise UserError(f"{run_dir} holds a run of other settings: {pairs}. Give another --run_dir, or these.")
    if settings["steps"] < old["steps"]:
        raise UserError(
            f"{run_dir} holds a run of {old['steps']} steps: --steps={settings['steps']} cannot make it shorter."
        )
    return {**run, "continued": continued}


def open_run(run_dir: Path, settings: dict) -> dict:
    """Creates a run folder, or checks that the existing one has these settings. Returns the contents of its `run.json`.

    Args:
        run_dir: The folder.
        settings: Everything that determines the result, and bookkeeping of the run. Values of JSON types.

    Raises:
        UserError: If the folder holds a run with other settings or more steps, or cannot be written.
    """
    path = run_dir / "run.json"
    settings = json.loads(json.dumps(settings))
    if path.exists():
        run = _compare(run_dir, settings)
        run["settings"] = settings
        run["continued"] = [*run["continued"], circumstances()]
    else:
        run = {"settings": settings, **circumstances()}
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(json.dumps(run, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(f"--run_dir={run_dir} cannot be written: {error.strerror}.") from None
    return run


def read_run(run_dir: Path) -> dict:
    """Returns the contents of a run folder's `run.json`: a dictionary that contains at least a dictionary "settings".

    Raises:
        UserError: If the file is missing or cannot be read.
    """
    try:
        run = json.loads((checks.path("run_dir", run_dir) / "run.json").read_text("utf-8"))
        if not isinstance(run["settings"], dict):
            raise TypeError("settings have names")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{run_dir} is not a run folder: it has no run.json that can be read.") from None
    return run


def read_settings(run_dir: Path) -> dict:
    """Returns the settings of an existing run, after checking that those which other tools need have the right types.

    Raises:
        UserError: If they cannot be read, are missing or have wrong types.
    """
    settings = read_run(run_dir)["settings"]
    data = settings.get("data")
    for where, kinds in ((settings, _KINDS), (data if isinstance(data, dict) else {}, _DATA_KINDS)):
        for name, kind in kinds.items():
            if not isinstance(where.get(name), kind):
                raise UserError(f"{run_dir}/run.json is damaged: {name!r} is missing or of another kind. Restore it.")
    shape = data["shape"]
    sizes = [settings["width"], *shape]
    if len(shape) not in (1, 3) or not all(isinstance(n, int) and 0 < n <= _LARGEST for n in sizes):
        raise UserError(f"{run_dir}/run.json is damaged: width {sizes[0]!r}, shape {shape!r}. Restore it.")
    return settings


def load_gan(run_dir: str | Path, step: int | None = None, trust: bool = False) -> tuple["GAN", int, dict]:
    """The model of a run's checkpoint, with the moving average in the place of the networks that make samples.

    Args:
        run_dir: A run folder of `train.py`.
        step: Step of the checkpoint. Defaults to the newest undamaged one.
        trust: Whether to import the module of a run of `--model=module:Class`, which runs its code. Variants of the
            zoo need no trust: their checkpoints hold arrays and no graph.

    Returns:
        The GAN, not compiled; the step of the checkpoint; and the settings of the run.

    Raises:
        UserError: If there is no such run or checkpoint.
    """
    from gan_zoo import callbacks, checkpoints, precision, randomness, variants

    run_dir = checks.path("run_dir", run_dir)
    settings = read_settings(run_dir)
    found = {checkpoints.read_step(p): p for p in checkpoints.list_checkpoints(run_dir / "checkpoints") if p.is_dir()}
    sound = {s: p for s, p in found.items() if not checkpoints.verify(p, [checkpoints.MODEL, checkpoints.EMA])}
    if not sound or step not in (None, *sound):
        there = ", ".join(map(str, sound)) or "none"
        raise UserError(f"{run_dir} has no undamaged checkpoint of step {step or 'any'}; steps that it has: {there}.")
    step = max(sound) if step is None else step
    if ":" in settings["model"] and not trust:
        raise UserError(
            f"{run_dir} is a run of {settings['model']}, code that would be imported and run with your rights. If you "
            f"trust it, pass trust=True, or --trust on the command line."
        )
    cls = variants.find_model(settings["model"])
    try:
        # The random initial weights are replaced by those of the checkpoint below.
        with precision.policy(settings["precision"], "float32"), randomness.seeded(settings["seed"]):
            gan = variants.build_gan(
                cls,
                settings["data"]["shape"],
                **{name: settings[name] for name in ("network", "width", "norm", "arguments")},
                condition=settings.get("condition"),
            )
        gan.load_weights(sound[step] / checkpoints.MODEL)
        callbacks.average_of(gan).load_weights(sound[step] / checkpoints.EMA)
    except Exception as error:  # modified settings may fail anywhere in Keras
        line = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{sound[step]} cannot be loaded with the settings of {run_dir}/run.json ({type(error).__name__}: {line})."
        ) from error
    return gan, step, settings


def circumstances() -> dict:
    """Returns date, command, versions and machine of this process, as JSON types."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": versions(),
        "git": _git_commit(),
        "host": {"name": platform.node(), "system": platform.platform(), "cpu": cpu_model(), "cpus": os.cpu_count()},
    }


def versions() -> dict[str, str]:
    """Returns the versions of the software that determines the numbers of a run."""
    packages = ("tensorflow", "keras", "numpy", "tensorflow-datasets")
    return {
        "gan_zoo": _version(),
        "python": platform.python_version(),
        **{p: importlib.metadata.version(p) for p in packages},
    }


def cpu_model() -> str:
    """Returns the model name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8", "replace").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _version() -> str:
    import gan_zoo

    return gan_zoo.__version__


def _git_commit() -> str | None:
    """Returns the commit of the zoo's own clone, with "+" if files differ from it. None without a clone."""
    home = Path(__file__).resolve().parent.parent
    if not (home / ".git").exists():
        return None
    try:
        commands = (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
        said = [subprocess.run(c, cwd=home, capture_output=True, check=True).stdout for c in commands]
    except (OSError, subprocess.CalledProcessError):
        return None
    return said[0].decode().strip() + ("+" if said[1].strip() else "")
