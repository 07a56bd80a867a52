"""Image formats: which files are images, and which of them Pillow can decode safely.

Importing this module does not import Pillow.
"""

import os
from pathlib import Path

from gan_zoo.util import machine

PILLOWS_LIMIT = 89_478_485
"""Pillow's own limit in pixels. Larger images are decoded one at a time."""

_MOST_PIXELS = 2**30
_BYTES_PER_PIXEL = 12
"""Largest memory per pixel during decoding: three copies of 4 bytes."""

_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
"""Formats that Pillow identifies but cannot decode. EPS is a program, which needs Ghostscript."""

_NOT_READ = frozenset(
    [
        *(".heic", ".heif", ".hif", ".jxl", ".jxr", ".wdp", ".hdp", ".bpg", ".flif", ".exr", ".hdr", ".dcm", ".djvu"),
        *(".svg", ".svgz", ".ai", ".cdr", ".eps", ".ps", ".pdf", ".emf", ".wmf"),  # drawings and documents
        *(".psb", ".xcf", ".kra"),  # projects of editors
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),  # raw files of cameras
        *(".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"),
    ]
)
"""Suffixes of files that may be meant as training images, and that Pillow alone cannot read."""

_MAGIC = (
    (0, b"\xff\xd8\xff"),  # JPEG
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"GIF8"),
    (0, b"II*\0"),  # TIFF
    (0, b"MM\0*"),
    (8, b"WEBP"),
    (4, b"ftypavi"),
    (4, b"jP  \r\n\x87\n"),  # JPEG 2000
)
_HEIF = (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1")
_HEAD = 16


def decoders() -> list[str]:
    """Returns the names of the formats that can be decoded, including those of plugins that the user has registered."""
    from PIL import Image

    # This order makes Pillow try the common formats first.
    Image.preinit()
    Image.init()
    return [name for name in Image.ID if name not in _NOT_DECODED]


def suffixes() -> frozenset[str]:
    """Returns the suffixes of files that can be decoded, in lower case."""
    from PIL import Image

    able = {*decoders(), "MPO"}  # Pillow opens MPO as JPEG
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in able)


def may_be_image(suffix: str) -> bool:
    """Returns whether files with a suffix, in lower case, may be meant as images."""
    from PIL import Image

    return suffix in _NOT_READ or suffix in Image.registered_extensions()


def looks_like_image(path: Path) -> bool:
    """Returns whether the first bytes of a file are those of a common image format."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD)
            size = os.fstat(file.fileno()).st_size
    except OSError:
        return False
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") == size
    return any(head[start : start + len(magic)] == magic for start, magic in _MAGIC)


def describe_unknown(data: Path | bytes) -> str:
    """Describes in a few words why Pillow does not identify data."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            head = file.read(_HEAD)
        if not head:
            return "empty"
    elif not data:
        return "damaged or lost record"
    else:
        head = data[:_HEAD]
    if head[4:].startswith(_HEIF):
        return "HEIF, which Pillow does not read, convert it to PNG or JPEG"
    return "not an image that Pillow reads"


def most_pixels() -> int | None:
    """Returns the pixels of the largest image that is decoded: what fits half of the memory, at most a gigapixel.

    If the user has set Pillow's `MAX_IMAGE_PIXELS`, that value decides; None means no limit.
    """
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS != PILLOWS_LIMIT:
        return Image.MAX_IMAGE_PIXELS
    memory = machine.memory()
    if memory is None:
        return 2 * PILLOWS_LIMIT  # Pillow's own limit for errors
    return max(PILLOWS_LIMIT, min(_MOST_PIXELS, memory // 2 // _BYTES_PER_PIXEL))
