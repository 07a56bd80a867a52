"""Queries of the operating system (memory, disk) that work on every system TensorFlow runs on."""

import os
import sys
from pathlib import Path

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


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
