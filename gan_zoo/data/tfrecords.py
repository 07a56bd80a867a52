"""Reads TFRecord files so that a damaged record does not affect the other records.

TensorFlow's reader stops at the first damaged record of a file. A record is its length (8 bytes), a checksum of the
length (4), the data, and a checksum of the data (4). All numbers are little-endian. A checksum is a CRC-32C, rotated by
15 bits, plus a constant. See https://www.tensorflow.org/tutorials/load_data/tfrecord.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

_LENGTH = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


def checksum(data: bytes) -> int:
    """Returns the checksum of a record's length or data."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read(file: BinaryIO) -> Iterator[bytes | None]:
    """Reads a file from its beginning.

    Args:
        file: Open for reading, in binary mode.

    Yields:
        The data of each record, or None if they are damaged. Reading ends where the start of the next record is
        unknown: at a damaged length, or at the end of the file, which may be inside a record.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
        length, length_sum = _LENGTH.unpack(head)
        if checksum(head[:8]) != length_sum:
            return
        if length > size - file.tell():
            return
        body = file.read(length + _CHECKSUM.size)
        if len(body) < length + _CHECKSUM.size:
            return
        data = body[:length]
        yield data if checksum(data) == _CHECKSUM.unpack_from(body, length)[0] else None
