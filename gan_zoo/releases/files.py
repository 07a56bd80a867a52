"""Files of a known size and SHA-256."""

import dataclasses
import hashlib
from pathlib import Path
from typing import BinaryIO

_CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class File:
    """Expected content of a file.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 in lower-case hexadecimal digits.
    """

    size: int
    sha256: str


class Mismatch(Exception):  # noqa: N818
    """Content that differs from the expected content. The message says how, to be placed after the name of the file."""


def describe(path: Path) -> File:
    """Returns the size and the SHA-256 of a file.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return File(stream.tell(), digest)


def matches(path: Path, expected: File) -> bool:
    """Returns whether `path` is a regular file with the expected content.

    Raises:
        OSError: If the file exists and cannot be read.
    """
    return path.is_file() and path.stat().st_size == expected.size and describe(path) == expected


def copy(source: BinaryIO, target: Path, expected: File) -> None:
    """Copies a stream to a new file. It reads and writes at most one byte more than the expected size.

    Raises:
        Mismatch: If the stream differs from the expected content. The bytes written so far are kept.
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
        raise Mismatch(f"has {size} bytes, but the index gives {expected.size}")
    if digest.hexdigest() != expected.sha256:
        raise Mismatch("has another SHA-256 than the index gives")
