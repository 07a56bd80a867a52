"""Checkpoints: one folder each, complete or absent, and verified by checksum before it is loaded.

    checkpoints/00001000/model.weights.h5   both networks, both optimizers, the random stream
                         ema.weights.h5     the generator's moving average
                         checkpoint.json    step, and the SHA-256 of the other files; written last

The order of the data is a function of seed and step. Together with a checkpoint this is the whole state: training that
continues from a checkpoint gives the same result as training without interruption.
"""

import errno
import hashlib
import json
import logging
import math
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state

from gan_zoo.util import checks
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import allocate, sync

_log = logging.getLogger("gan_zoo")

MODEL, EMA, INDEX = "model.weights.h5", "ema.weights.h5", "checkpoint.json"


def save(folder: str | Path, gan: keras.Model, step: int, ema: keras.Model | None = None, keep: int = 2) -> Path:
    """Writes the checkpoint of `step` under `folder`, removes all but the `keep` newest, and returns its path.

    Args:
        folder: Folder with one subfolder for each checkpoint.
        gan: A compiled `GAN`.
        step: Number of generator updates so far.
        ema: The generator's moving average, if there is one.
        keep: Number of checkpoints that are kept.

    Raises:
        FloatingPointError: If a weight is not finite, because such a state is useless. Nothing is written.
        OSError: If the checkpoint cannot be written. Existing checkpoints are kept.
    """
    require_finite(gan, step)
    folder = checks.path("folder", folder)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".writing-*"):
        shutil.rmtree(leftover)
    writing, path = folder / f".writing-{step:08d}", folder / f"{step:08d}"
    writing.mkdir()
    _reserve(writing, gan, ema)
    gan.save_weights(writing / MODEL)
    if ema is not None:
        ema.save_weights(writing / EMA)
    _keep_skipsets()
    index = {"step": step, "sha256": {p.name: _sha256(p) for p in sorted(writing.iterdir())}}
    (writing / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    for file in [*writing.iterdir(), writing]:
        sync(file)
    if path.exists():  # a damaged checkpoint of the same step, which the run skipped
        shutil.rmtree(path)
    writing.replace(path)
    sync(folder)
    # Later checkpoints are damaged: the run skipped them.
    found = list_checkpoints(folder)
    kept = [path for path in found if read_step(path) <= step][-keep:]
    for old in found:
        if old not in kept:
            shutil.rmtree(old)
    return path


def require_finite(gan: keras.Model, step: int) -> None:
    """Checks that all weights of a model are finite.

    Raises:
        FloatingPointError: If a weight is not finite.
    """
    for variable in gan.variables:
        value = variable.numpy()
        # NumPy does not treat bfloat16 as a floating-point type.
        if tf.as_dtype(variable.dtype).is_floating and not np.isfinite(value).all():
            raise FloatingPointError(f"{variable.path} is not finite at step {step}")


def _reserve(folder: Path, gan: keras.Model, ema: keras.Model | None) -> None:
    """Checks that the disk has space for a checkpoint, because HDF5 crashes the process when a write fails.

    Raises:
        OSError: If there is not enough space.
    """
    owners = [gan, *gan.optimizers().values(), *([] if ema is None else [ema])]
    variables = [variable for owner in owners for variable in owner.variables]
    # HDF5 needs some hundred bytes for each variable, and blocks for the names.
    size = sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables) + 4096 * (len(variables) + 1)
    path = folder / "room"
    with path.open("wb") as file:
        if not allocate(file, size) and shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    path.unlink()


def _keep_skipsets() -> None:
    """Makes Keras 3.15 find its cache of attribute names, which it would otherwise rebuild in each save.

    Keras stores this cache as "saving_attr_skipset_..." but looks it up as "saving_attr_skiplist_...". To rebuild the
    cache of an optimizer it creates a new optimizer, whose variables stay in memory: 35 KiB each, and most of the time
    of a save.
    """
    for name, value in list(vars(global_state.GLOBAL_STATE_TRACKER).items()):
        if name.startswith("saving_attr_skipset_"):
            global_state.set_global_attribute(name.replace("skipset", "skiplist"), value)


def restore(folder: str | Path, gan: keras.Model, ema: keras.Model | None = None) -> int:
    """Loads the newest undamaged checkpoint under `folder` and returns its step, or 0 if there are no checkpoints.

    Damaged checkpoints are skipped with a warning.

    Raises:
        UserError: If there are checkpoints, but all of them are damaged.
    """
    folder = checks.path("folder", folder)
    found = list_checkpoints(folder)
    for path in reversed(found):
        fault = verify(path, [MODEL] if ema is None else [MODEL, EMA])
        if fault:
            _log.warning("Checkpoint %s is damaged (%s): falling back to the one before.", path, fault)
            continue
        gan.load_weights(path / MODEL)
        if ema is not None:
            ema.load_weights(path / EMA)
        return read_step(path)
    if found:
        raise UserError(f"Every checkpoint in {folder} is damaged: start again with another --run_dir.")
    return 0


def verify(path: Path, names: list[str]) -> str | None:
    """Returns what is wrong with the checkpoint at `path`, or None. `names` are the files that it must contain."""
    try:
        sums = json.loads((path / INDEX).read_text("utf-8"))["sha256"]
        for name in {*names, *sums}:
            if sums[name] != _sha256(path / name):
                return f"{name} does not match its checksum"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def read_step(path: Path) -> int:
    """Returns the step of the checkpoint at `path`, which is the name of its folder."""
    return int(path.name)


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Returns all checkpoints under `folder`, oldest first, including damaged ones."""
    names = (p for p in Path(folder).glob("*") if p.name.isascii() and p.name.isdecimal())
    return sorted(names, key=read_step)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
