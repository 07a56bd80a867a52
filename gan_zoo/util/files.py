"""Atomic writing of files, and the names of incomplete files."""

import contextlib
import errno
import hashlib
import logging
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gan_zoo.util import checks

_log = logging.getLogger("gan_zoo")


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file for writing under a temporary name, and renames it when it is complete.

    Missing folders are created, and "~" is expanded to the home folder. If the body raises, an existing file at `path`
    is kept.

    Raises:
        UserError: If `path` is not a valid path.
        OSError: If the file cannot be written.
    """
    path = checks.path("path", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


_NO_SYNC = {errno.EACCES, errno.EPERM, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of systems and file systems that cannot sync a folder. Windows cannot even open one."""


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of files, is on the disk; skips folders if the system cannot sync them.

    Raises:
        OSError: If it cannot be written.
    """
    folder = path.is_dir()
    try:
        # Windows syncs only files that are open for writing.
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not folder or error.errno not in _NO_SYNC:
            raise


def allocate(file: BinaryIO, size: int) -> bool:
    """Allocates disk space for a file. Returns False if the system or the file system does not support this.

    Raises:
        OSError: If there is not enough space.
    """
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return False
    return True


def lock_of(folder: Path, what: str) -> contextlib.AbstractContextManager:
    """Waits until no other process fills a folder, and locks it until the `with` statement ends.

    The lock is the file .NAME.lock beside the folder. The system frees it if its process dies.

    Args:
        folder: The folder, which may not exist yet; the one that contains it must exist.
        what: What another process may be doing, for the message while this one waits: "X is being decoded".

    Raises:
        OSError: If the lock cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        _log.warning("%s by another process: waiting until that is done.", what)
        return lock.acquire()


_PARTIAL = re.compile(r"\.([^/]+\.)?[0-9a-f]{12}\.partial")


_LONGEST = 200
"""Largest length of a name in bytes to which 30 more can be added: file systems allow 255."""


def partial_of(folder: Path) -> Path:
    """Returns a new temporary name next to a folder, for its replacement."""
    name = folder.name
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return folder.with_name(f".{name}.{uuid.uuid4().hex[:12]}.partial")


def partials(folder: Path) -> list[Path]:
    """Returns the zoo's incomplete files and folders in a folder that a run holds."""
    return [path for path in entries(folder) if _PARTIAL.fullmatch(path.name)]


def entries(folder: Path) -> list[Path]:
    """Returns the contents of a folder. Empty if there is no folder."""
    return list(folder.iterdir()) if folder.is_dir() else []
