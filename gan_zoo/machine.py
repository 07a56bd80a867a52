"""What is asked of the operating system, on every system that TensorFlow runs on."""

import errno
import os
import sys
from pathlib import Path

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

_NO_SYNC = {errno.EACCES, errno.EPERM, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOSYS, errno.EOPNOTSUPP}
"""What systems and file systems say that cannot sync a folder; Windows does not even open one."""


def memory() -> int | None:
    """Bytes of memory that the machine has, or that the container which the process runs in may take.

    None where nothing tells.
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
    """The most bytes of memory that this process has taken so far; None where nothing tells."""
    try:
        import resource
    except ImportError:
        try:
            import psutil
        except ImportError:
            return None
        info = psutil.Process().memory_info()
        return getattr(info, "peak_wset", info.rss)  # the peak is known on Windows, which has no `resource`
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def sync(path: Path) -> None:
    """Waits until a file, or the list of a folder's files, is on the disk; a folder only where the system can do that.

    Raises:
        OSError: If it cannot be written.
    """
    folder = path.is_dir()
    try:
        # Windows syncs only what is open for writing.
        descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not folder or error.errno not in _NO_SYNC:
            raise
