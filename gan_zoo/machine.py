"""Queries of the operating system (memory, disk) that work on every system TensorFlow runs on."""

import errno
import os
import sys
from pathlib import Path

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

_NO_SYNC = {errno.EACCES, errno.EPERM, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOSYS, errno.EOPNOTSUPP}
"""Errors of systems and file systems that cannot sync a folder. Windows cannot even open one."""


def memory() -> int | None:
    """The memory of the machine in bytes, or the limit of the process's container if it is lower.

    None if it is not known.
    """
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        try:
            import psutil
        except ImportError:
            return None
        found = psutil.virtual_memory().total
    try:
        limit = _CONTAINER_LIMIT.read_text("utf-8").strip()
    except OSError:
        return found
    return min(found, int(limit)) if limit.isdigit() else found


def peak_memory() -> int | None:
    """The peak memory of this process so far in bytes; None if it is not known."""
    try:
        import resource
    except ImportError:
        try:
            import psutil
        except ImportError:
            return None
        info = psutil.Process().memory_info()
        return getattr(info, "peak_wset", info.rss)  # Windows has no `resource`; psutil reports the peak there
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
