"""Whose a folder is: looked at before anything is written there, so that nobody else's files are touched.

Names of the zoo's own temporary files: `.<12 hexadecimal digits>.partial` of a file or folder that takes its name once
it is complete, and `.<name>.<12 hexadecimal digits>.partial` and `.old` of a folder that is replaced.
"""

import hashlib
import json
import os
import re
import uuid
from pathlib import Path

from gan_zoo.errors import UserError

_WRITTEN = ("metrics.jsonl", "events", "samples", "checkpoints", "curves.png", "saved_model", ".lock")
"""What training writes to a run folder, besides run.json."""
_EXPORTED = {"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"}
_PARTIAL = re.compile(r"\.([^/]+\.)?[0-9a-f]{12}\.partial")
_OLD = re.compile(r"\.saved_model\.[0-9a-f]{12}\.old")
_LONGEST = 200
"""Bytes of a name that 30 more can be added to: file systems take 255."""


def check_run_folder(run_dir: Path, flag: str = "--run_dir") -> None:
    """Makes sure that a folder is free for a run, or holds one. Files that no run writes may lie beside it.

    Raises:
        UserError: If it is no folder, or a run would overwrite what another program has written there.
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
            # What has no mark of its own belongs to what has.
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
    """Makes sure that a SavedModel can be written to a folder: there is none, or it is empty or holds a SavedModel.

    Raises:
        UserError: If something else is there.
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
    """A new name beside a folder, for what shall take its place."""
    name = folder.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return folder.with_name(f".{name}.{uuid.uuid4().hex[:12]}.partial")


def partials(folder: Path) -> list[Path]:
    """The zoo's half-written files and folders in a folder that a run holds."""
    return [path for path in _entries(folder) if _PARTIAL.fullmatch(path.name)]


def replaced_exports(run_dir: Path) -> list[Path]:
    """Exports that a process was about to replace when it was killed."""
    return [path for path in _entries(run_dir) if _OLD.fullmatch(path.name)]


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(path.iterdir())
    # Processes that hold a folder, or did, leave an empty lock.
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
    """Whether a run of the zoo has certainly written a file or folder of a run that has lost its run.json."""
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
