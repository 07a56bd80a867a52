"""Run folders: the settings of a run, its environment, and whether a second start may continue it.

runs/wgan_gp-celeb_a/run.json         settings, versions, git commit, host, command
                     metrics.jsonl    losses, one line per interval
                     events/          losses and sample grids for TensorBoard
                     samples/         grids of samples of fixed latents, one per interval
                     curves.png       the losses over the steps, written at the end
                     checkpoints/     see gan_zoo.run_folder.checkpoints
                     best/            the best checkpoint, with --evaluate_every
                     saved_model/     the moving average, at the end
                     index.html       samples, curves, settings and commands on a page, at the end
"""

import errno
import json
import os
from collections.abc import Set
from pathlib import Path

from gan_zoo.util import checks
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file
from gan_zoo.util.versions import circumstances

# Settings that may change when a run continues: it may be longer, in another folder, or read its data from elsewhere.
_FREE = {"steps", "run_dir", "data_dir", "steps_per_execution", "on_nan", "health_every", "evaluate_every", "export"}
_FREE |= {"held_out"}
# Settings that tools need to read a run, with their types.
_KINDS = {
    **dict.fromkeys(("model", "dataset", "network", "norm", "precision"), str),
    **dict.fromkeys(("width", "batch_size", "seed"), int),
    **dict.fromkeys(("ema_decay", "ema_half_life"), int | float | None),  # a run has one of the two
    "data": dict,
    "arguments": dict,
}
_DATA_KINDS = {"kind": str, "shape": list}
_LARGEST = 2**16
# Values of settings, and of arguments of models, that did not exist when older runs began.
_BEFORE = {"sync_batch_norm": False, "minibatch_discrimination": False}
_ARGUMENTS_BEFORE = {
    **{"penalties": "none", "feature_matching": 0.0, "historical_averaging": 0.0, "real_label": 1.0},
    **{"augmentation": "none", "lecam": 0.0},
}


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
        added = {n: value for n, value in _ARGUMENTS_BEFORE.items() if n in settings["arguments"]}
        old["arguments"] = {**added, **old["arguments"]}
        if unknown:
            old["data"], settings = dict(old["data"]), {**settings, "data": dict(settings["data"])}
            for name in unknown:
                old["data"].pop(name, None)
                settings["data"].pop(name, None)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} cannot be read: repair it, or give another --run_dir.") from None
    if old.get("rate_schedule") and settings["steps"] != old["steps"]:
        raise UserError(
            f"{run_dir} holds a run whose learning rates follow a schedule to step {old['steps']}: it cannot have "
            f"--steps={settings['steps']}. Give another --run_dir."
        )
    names = sorted(n for n in {*old, *settings} - _FREE if old.get(n) != settings.get(n))
    if names:
        pairs = ", ".join(f"{n} ({old.get(n)!r}, now {settings.get(n)!r})" for n in names)
        raise UserError(
            f"{run_dir} holds a run with other settings: {pairs}. Give another --run_dir, or use the old settings."
        )
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
                raise UserError(f"{run_dir}/run.json is damaged: {name!r} is missing or has a wrong type. Restore it.")
    shape = data["shape"]
    sizes = [settings["width"], *shape]
    if len(shape) not in (1, 3) or not all(isinstance(n, int) and 0 < n <= _LARGEST for n in sizes):
        raise UserError(f"{run_dir}/run.json is damaged: width {sizes[0]!r} or shape {shape!r} is wrong. Restore it.")
    return settings
