"""TFRecord files, read so that a damaged record costs itself alone.

TensorFlow's reader gives up a file at the first record that is damaged. A record is its length (8 bytes), a checksum of
that (4), the data, and a checksum of them (4). All numbers are little-endian, a checksum is a CRC-32C, rotated by 15
bits with a constant added. See https://www.tensorflow.org/tutorials/load_data/tfrecord.
"""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c

_LENGTH = struct.Struct("<QI")
_CHECKSUM = struct.Struct("<I")


def checksum(data: bytes) -> int:
    """The checksum of a record's length or data."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read(file: BinaryIO) -> Iterator[bytes | None]:
    """Reads a file from its beginning.

    Args:
        file: Open for reading, in binary mode.

    Yields:
        The data of each record, or None where they are damaged. It ends where there is no telling where the next record
        begins: at a damaged length, or where the file ends, be it within a record.
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
