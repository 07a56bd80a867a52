"""Checks on folders before anything is written to them, so that files of other programs are not overwritten.

Names of the zoo's temporary files: `.<12 hexadecimal digits>.partial` for a file or folder that is renamed once it is
complete, and `.<name>.<12 hexadecimal digits>.partial` and `.old` for a folder that is being replaced.
"""

import hashlib
import json
import os
import re
import uuid
from pathlib import Path

from gan_zoo.errors import UserError

_WRITTEN = ("metrics.jsonl", "events", "samples", "checkpoints", "curves.png", "saved_model", ".lock")
"""Files and folders that training writes to a run folder, besides run.json."""
_EXPORTED = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}
_PARTIAL = re.compile(r"\.([^/]+\.)?[0-9a-f]{12}\.partial")
_OLD = re.compile(r"\.saved_model\.[0-9a-f]{12}\.old")
_LONGEST = 200
"""Largest length of a name in bytes to which 30 more can be added: file systems allow 255."""


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


def partial_of(folder: Path) -> Path:
    """Returns a new temporary name next to a folder, for its replacement."""
    name = folder.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return folder.with_name(f".{name}.{uuid.uuid4().hex[:12]}.partial")


def partials(folder: Path) -> list[Path]:
    """Returns the zoo's incomplete files and folders in a folder that a run holds."""
    return [path for path in _entries(folder) if _PARTIAL.fullmatch(path.name)]


def replaced_exports(run_dir: Path) -> list[Path]:
    """Returns exports that a process was replacing when it was killed."""
    return [path for path in _entries(run_dir) if _OLD.fullmatch(path.name)]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


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
        raise UserError(f"{path} cannot be read as that of a run of the zoo: repair it, or give another {flag}.")


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
