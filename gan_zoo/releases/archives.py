"""Extraction of archives whose members are all known in advance.

The name of a member is only looked up among the names of the index, and files are created under the index's names. A
name that leads out of the folder is not in the index. Links, devices and other special members are refused.
"""

import functools
import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from gan_zoo.releases.files import File, Mismatch, copy

SUFFIXES = (".tar.gz", ".tgz", ".zip")

_UNREADABLE = (tarfile.TarError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
# Bytes allowed for headers and padding of a tar file: in total, and for each member.
_OVERHEAD = (2**20, 2**14)

Member = tuple[str, str, int, Callable[[], BinaryIO]]
"""Name, kind ("file", "folder" or another kind), size in bytes, and a function that opens the member."""


def extract(archive: BinaryIO, name: str, files: Mapping[str, File], folder: Path) -> None:
    """Writes the files of an archive and verifies each of them.

    Args:
        archive: The archive, a seekable binary stream.
        name: File name of the archive. Its suffix determines the format: see `SUFFIXES`.
        files: All files that the archive must contain, by their paths in it.
        folder: An empty folder for the files.

    Raises:
        Mismatch: If the archive contains anything other than `files` and folders, or cannot be read.
        OSError: If a file cannot be written.
    """
    members = _zip(archive) if name.endswith(".zip") else _tar(archive, files)
    missing = dict(files)
    try:
        for path, kind, size, opened in members:
            if kind == "folder":  # folders are created with their files
                continue
            path = path.removeprefix("./")
            if kind != "file":
                raise Mismatch(f"holds {path!r}, which is {kind} and not a file of the index")
            expected = missing.pop(path, None)
            if expected is None:
                raise Mismatch(f"holds {path!r}, which is not in the index or is there twice")
            if size != expected.size:
                raise Mismatch(f"holds {path!r} of {size} bytes, but the index gives {expected.size}")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with opened() as content:
                copy(content, folder / path, expected)
    except _UNREADABLE as error:
        raise Mismatch(f"cannot be read as an archive ({type(error).__name__}: {error})") from error
    if missing:
        raise Mismatch(f"does not hold {min(missing)!r}")


def _tar(archive: BinaryIO, files: Mapping[str, File]) -> Iterator[Member]:
    limit = sum(file.size for file in files.values()) + _OVERHEAD[0] + _OVERHEAD[1] * len(files)
    with gzip.open(archive) as plain, tarfile.open(fileobj=_Bounded(plain, limit), mode="r|") as tar:
        for member in tar:
            kind = "file" if member.isreg() else "folder" if member.isdir() else "a link or a device"
            yield member.name, kind, member.size, functools.partial(tar.extractfile, member)


def _zip(archive: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as contents:
        for member in contents.infolist():
            kind = "folder" if member.is_dir() else "file"
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link or a device"
            if member.flag_bits & 1:
                kind = "encrypted"
            yield member.filename, kind, member.file_size, functools.partial(contents.open, member)


class _Bounded:
    """A stream that raises an error after `limit` bytes, because headers of a malicious archive have no limit."""

    def __init__(self, stream: BinaryIO, limit: int):
        self._stream = stream
        self._left = limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise Mismatch("unpacks to more than the index gives")
        return data
