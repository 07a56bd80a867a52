"""Checks on folders before anything is written to them, so that files of other programs are not overwritten.

Names of the zoo's temporary files: `.<12 hexadecimal digits>.partial` for a file or folder that is renamed once it is
complete, and `.<name>.<12 hexadecimal digits>.partial` and `.old` for a folder that is being replaced.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from gan_zoo.util import files
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import entries

_WRITTEN = (
    "metrics.jsonl",
    "events",
    "samples",
    "checkpoints",
    "best",
    "curves.png",
    "index.html",
    "saved_model",
    ".lock",
)
"""Files and folders that training writes to a run folder, besides run.json."""
_EXPORTED = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}
_OLD = re.compile(r"\.saved_model\.[0-9a-f]{12}\.old")


def check_run_folder(run_dir: Path, flag: str = "--run_dir") -> None:
    """Checks that a folder is free for a run, or holds one. Files with names that no run uses are allowed.

    Raises:
        UserError: If it is not a folder, or if a run would overwrite files of another program.
    """
    if not run_dir.exists():
        return
    if not run_dir.is_dir():
        raise UserError(f"{flag}={run_dir} is a file: name a folder.")
    try:
        there = [name for name in _WRITTEN if _holds_something(run_dir / name)]
        if (run_dir / "run.json").exists():
            _check_run_json(run_dir / "run.json", flag)
            foreign = []
        else:
            ours = {name for name in there if _is_ours(run_dir / name)}
            # Names that the zoo cannot recognize count as its own if it recognizes others.
            foreign = [n for n in there if not ours or (n in ("metrics.jsonl", "checkpoints") and n not in ours)]
    except OSError as error:
        raise UserError(f"{flag}={run_dir} cannot be read: {error.strerror or error}.") from None
    if foreign:
        raise UserError(
            f"{flag}={run_dir} holds {', '.join(foreign)} but no run.json: another program has written there, and "
            f"a run would overwrite it. Name a new or empty folder."
        )
    check_export(flag, run_dir / "saved_model")


def check_export(argument: str, destination: Path) -> None:
    """Checks that a SavedModel can be written to a folder: it is missing or empty, or holds a SavedModel.

    Raises:
        UserError: If the folder holds something else.
    """
    if destination.is_dir():
        found = {entry.name for entry in destination.iterdir()}
        if found and not (found <= _EXPORTED and "saved_model.pb" in found):
            raise UserError(
                f"{argument}: {destination} holds other files than a SavedModel's: name a new or empty folder."
            )
    elif destination.exists():
        raise UserError(f"{argument}: {destination} is a file: name a new or empty folder.")


def replaced_exports(run_dir: Path) -> list[Path]:
    """Returns exports that a process was replacing when it was killed."""
    return [path for path in entries(run_dir) if _OLD.fullmatch(path.name)]


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    # A process that locks a folder leaves an empty lock file.
    return path.exists() and (path.name != ".lock" or path.stat().st_size > 0)


def _check_run_json(path: Path, flag: str) -> None:
    try:
        run = json.loads(path.read_text("utf-8"))
        sound = isinstance(run["settings"]["steps"], int)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise UserError(f"{path} is not a run.json of the zoo: repair it, or give another {flag}.")


def _is_ours(path: Path) -> bool:
    """Returns whether a run of the zoo certainly wrote this file or folder, in a run folder without run.json."""
    if path.name == "metrics.jsonl" and path.is_file():
        with path.open("rb") as file:
            try:
                line = json.loads(file.readline(2**16))
            except (ValueError, RecursionError):
                return False
        return isinstance(line, dict) and {"step", "kimg", "seconds"} <= set(line)
    if path.name == "checkpoints" and path.is_dir():
        return all((entry / "checkpoint.json").is_file() for entry in path.iterdir() if not entry.name.startswith("."))
    return False


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
        for old in replaced_exports(run_dir):
            if (run_dir / "saved_model").exists():
                shutil.rmtree(old)
            else:
                old.rename(run_dir / "saved_model")
        for partial in [*files.partials(run_dir), *files.partials(run_dir / "samples")]:
            shutil.rmtree(partial) if partial.is_dir() else partial.unlink()
    except OSError as error:
        raise UserError(f"--run_dir={run_dir} cannot be written: {error.strerror or error}.") from None
