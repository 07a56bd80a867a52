"""Paths that TensorFlow can use for folders of any name.

TensorFlow interprets some paths as glob patterns, so it does not find a file that it has written to `faces [v2]`. It
also accepts only UTF-8, while names in a file system may be any bytes.
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
    """A path of an existing folder under which TensorFlow can read and write. It is valid in the `with` block.

    It is the folder's own path if TensorFlow can use that. Otherwise it is the path of an open file descriptor of this
    process or, on systems without such paths, of a link in a temporary folder.

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
    """A new link with a plain name to a folder; None if no link can be created."""
    for place in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
        if not _is_plain(place):
            continue
        link = Path(place, f"gan_zoo-{uuid.uuid4().hex[:12]}")
        try:
            link.symlink_to(path, target_is_directory=True)
        except OSError:  # on Windows, some users may not create links
            continue
        return link
    return None
