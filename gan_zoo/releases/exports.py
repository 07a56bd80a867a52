"""The list of SavedModels that this user exported on this machine. They load without `trust`.

    $GAN_ZOO_CACHE/exports.json, or ~/.cache/gan_zoo/exports.json

    {"version": 1,
     "exports": [{"path": "/home/ada/runs/dcgan-mnist/saved_model",
                  "files": {"saved_model.pb": {"size": 125263, "sha256": "..."}, ...}}, ...]}

The list decides which models TensorFlow may run, so it counts only if it belongs to this user and nobody else can write
it. An export is recognized by its path and by the content of all its files. What is loaded is a private copy, which is
verified while it is copied, as for releases. A folder that was moved or renamed is recognized by its content once its
old path is empty. A copy is not recognized, and neither is a folder with any changed byte.
"""

import contextlib
import json
import logging
import os
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from gan_zoo.releases import default_cache, files
from gan_zoo.releases.files import File, Mismatch
from gan_zoo.releases.index import contents
from gan_zoo.util.errors import UserError

_VERSION = 1
_MOST = 500
"""Largest number of exports in the list. Missing exports are removed first, then the oldest."""
_LOCK_TIMEOUT = 60.0
"""Seconds to wait for another process that writes the list."""
_MODEL = "saved_model.pb"

_log = logging.getLogger("gan_zoo")


def record_path() -> Path:
    """Returns the path of the list.

    Raises:
        RuntimeError: If there is neither `$GAN_ZOO_CACHE` nor a home folder.
    """
    return default_cache().parent / "exports.json"


def remember(written: Path, destination: Path | None = None) -> None:
    """Adds an export to the list. If this fails, it only warns.

    Args:
        written: The SavedModel folder that this process has just written.
        destination: The path to which it will be moved; None if it stays.
    """
    from filelock import FileLock, Timeout

    path = (destination or written).resolve()
    try:
        _check_own(written)
        entry = {
            "path": os.fspath(path),
            "files": {name: {"size": f.size, "sha256": f.sha256} for name, f in contents(written).items()},
        }
        record = record_path()
        record.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(record.with_name(".exports.lock"), timeout=_LOCK_TIMEOUT):
            kept = [of for of in _read(record) if of != entry]
            if len(kept) >= _MOST:
                kept = [of for of in kept if _is_there(of["path"])][1 - _MOST :]
            _write(record, [*kept, entry])
    except (OSError, RuntimeError, UserError, Timeout) as error:
        reason = getattr(error, "strerror", None) or error
        _log.warning("%s cannot be recorded as your export (%s): loading it will need trust=True.", path, reason)


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Path | None]:
    """Provides a private copy of a SavedModel folder that this user exported, or None if the user did not export it.

    The copy is removed after the `with` block.

    Args:
        folder: The SavedModel folder.

    Raises:
        UserError: If there is no space for the copy.
    """
    with contextlib.ExitStack() as stack:
        yield next((copy for of in _candidates(folder) if (copy := _copy(of, folder, stack)) is not None), None)


def was_own(folder: Path) -> bool:
    """Returns whether this user exported a SavedModel to this path, whatever is there now."""
    return any(of["path"] == os.fspath(folder.resolve()) for of in _known())


def _candidates(folder: Path) -> list[dict]:
    """Returns the entries that may match a folder: those of its path, newest first, and those of empty paths."""
    here = os.fspath(folder.resolve())
    known = _known()[::-1]
    moved = [of for of in known if of["path"] != here and not _is_there(of["path"])]
    return [of for of in known if of["path"] == here] + moved


def _known() -> list[dict]:
    try:
        return _read(record_path())
    except (OSError, RuntimeError):
        return []


def _copy(of: dict, folder: Path, stack: contextlib.ExitStack) -> Path | None:
    """Returns a copy of the folder if it has the files of an entry, otherwise None."""
    expected = {name: File(**file) for name, file in of["files"].items()}
    try:
        if any((folder / name).stat().st_size != file.size for name, file in expected.items()):
            return None
    except OSError:
        return None
    try:
        private = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gan_zoo-"))) / "saved_model"
        for name, file in expected.items():
            (private / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("rb") as stream:
                files.copy(stream, private / name, file)
    except Mismatch:
        return None
    except OSError as error:
        raise UserError(
            f"{folder} cannot be copied to {tempfile.gettempdir()} ({error.strerror or error}). Make room there, "
            f"or name another place in the variable TMPDIR."
        ) from error
    return private


def _check_own(folder: Path) -> None:
    """Checks that nobody else can have changed a folder that was just written.

    Raises:
        PermissionError: If a file or a folder in it belongs to another user, or is a link.
    """
    if not hasattr(os, "geteuid"):
        return
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        if status.st_uid != os.geteuid() or not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise PermissionError(f"{path} is not a file of this user")


def _read(record: Path) -> list[dict]:
    """Returns the entries of the list, oldest first. Empty if there is no list, or one that does not count.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        # Links are not followed, because another user could have created them.
        descriptor = os.open(record, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        own = not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)
        if not own:
            _log.warning("%s is ignored, because other users can write it: remove it.", record)
            return []
        text = file.read()
    try:
        document = json.loads(text)
        return [_entry(of) for of in document["exports"]] if document["version"] == _VERSION else []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        _log.warning("%s is damaged and is ignored.", record)
        return []


def _entry(of: dict) -> dict:
    found = {"path": of["path"], "files": of["files"]}
    if not isinstance(of["path"], str) or _MODEL not in of["files"]:
        raise ValueError("an entry has a path and a model")
    for name, file in of["files"].items():
        if Path(name).is_absolute() or ".." in Path(name).parts or set(file) != {"size", "sha256"}:
            raise ValueError("files are in the folder and have a size and a checksum")
    return found


def _write(record: Path, entries: list[dict]) -> None:
    partial = record.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        # Created as private: another user who had opened it earlier could continue to write to it.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps({"version": _VERSION, "exports": entries}, indent=1).encode() + b"\n")
        partial.replace(record)
    finally:
        partial.unlink(missing_ok=True)


def _is_there(path: str) -> bool:
    try:
        return (Path(path) / _MODEL).is_file()
    except OSError:  # a parent folder may not be accessible
        return True
