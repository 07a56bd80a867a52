"""Paths that TensorFlow takes as they are, for folders of any name.

TensorFlow reads some paths as glob patterns, so it does not find what it has written to `faces [v2]`, and it takes text
in UTF-8 alone, where a file system may have any bytes.
"""

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

_PATTERN = frozenset("*?[]{}") | (frozenset("\\") if os.sep == "/" else frozenset())
_OPEN_FOLDERS = Path("/proc/self/fd")


@contextlib.contextmanager
def tensorflow_path(folder: str | Path) -> Iterator[str]:
    """A path of an existing folder that TensorFlow can read and write below; it holds for the `with` block.

    It is the folder's own path wherever that will do. Else it leads through the process's open files or, where a system
    does not show these as files, through a link in a temporary folder.

    Raises:
        OSError: If the folder cannot be opened.
    """
    path = str(Path(folder).absolute())
    if _is_plain(path):
        yield path
    elif _OPEN_FOLDERS.is_dir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            yield str(_OPEN_FOLDERS / str(descriptor))
        finally:
            os.close(descriptor)
    else:
        link = _link(path)
        try:
            yield path if link is None else str(link)
        finally:
            if link is not None:
                link.unlink()


def _is_plain(path: str) -> bool:
    try:
        return not _PATTERN & set(path) and path.encode() == os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _link(path: str) -> Path | None:
    """A new link of a plain name to a folder; None where none can be made."""
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if not _is_plain(place):
            continue
        link = Path(place, f"gan_zoo-{uuid.uuid4().hex[:12]}")
        try:
            link.symlink_to(path, target_is_directory=True)
        except OSError:  # Windows lets some users make none
            continue
        return link
    return None
