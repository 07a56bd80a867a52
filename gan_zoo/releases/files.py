"""Files of a known size and SHA-256."""

import dataclasses
import hashlib
from pathlib import Path
from typing import BinaryIO

_CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class File:
    """What the content of a file must be.

    Attributes:
        size: In bytes.
        sha256: In hexadecimal digits, small letters.
    """

    size: int
    sha256: str


class Mismatch(Exception):  # noqa: N818
    """A content is not the one that was expected; the message says how it differs, to go behind the file's name."""


def describe(path: Path) -> File:
    """The size and the SHA-256 of a file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return File(stream.tell(), digest)


def matches(path: Path, expected: File) -> bool:
    """Whether a regular file lies at `path` and has the content that is expected.

    Raises:
        OSError: If a file lies there and cannot be read.
    """
    return path.is_file() and path.stat().st_size == expected.size and describe(path) == expected


def copy(source: BinaryIO, target: Path, expected: File) -> None:
    """Copies a stream to a new file. No more is read, and so no more written, than a byte above the expected size.

    Raises:
        Mismatch: If the stream is not what is expected; what was written by then stays.
        OSError: If the stream cannot be read or the file cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        while chunk := source.read(min(_CHUNK, expected.size - size + 1)):
            size += len(chunk)
            if size > expected.size:
                raise Mismatch(f"is larger than the {expected.size} bytes that the index gives")
            digest.update(chunk)
            file.write(chunk)
    if size < expected.size:
        raise Mismatch(f"has {size} bytes, and not the {expected.size} that the index gives")
    if digest.hexdigest() != expected.sha256:
        raise Mismatch("has another SHA-256 than the index gives")
