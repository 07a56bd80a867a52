"""Images from a folder on the disk: `folder:/path/to/images`."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from gan_zoo import checks
from gan_zoo.data.images import ImageSet, Record, bombs_are_errors, is_grey
from gan_zoo.errors import UserError

PREFIX = "folder:"
SUFFIXES = (".jpg", ".jpeg", ".png")


def find(name: str) -> ImageSet:
    """Lists the images of a folder and of all folders in it, in the order of their paths.

    Hidden files and folders are passed over. The names of the folders on the first level are the class names if every
    image lies in one.

    Args:
        name: "folder:" and a path.

    Returns:
        The set: one channel if every image is grey, otherwise three.

    Raises:
        UserError: The path is no folder, or there is no image in it.
    """
    text = name.removeprefix(PREFIX)
    root = checks.path("dataset folder", text) if text else Path()
    if not text or not root.is_dir():
        raise UserError(
            f"{name}: there is no folder {str(root)!r}. Write the path of a folder of images behind folder:."
        )
    paths = sorted(_walk(root))
    if not paths:
        raise UserError(f"{name}: the folder holds no {', '.join(SUFFIXES)} files, at any depth.")
    first = [path.split("/")[0] if "/" in path else None for path in paths]
    classes = None if None in first else tuple(sorted(set(first)))
    index = {c: i for i, c in enumerate(classes or ())}

    def records() -> Iterator[Record]:
        for path, folder in zip(paths, first, strict=True):
            yield Record(path, root / path, index.get(folder, -1))

    def channels() -> int:
        with bombs_are_errors():
            colour = any(is_grey(root / path) is False for path in paths)
        return 3 if colour else 1

    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(f"{path}\0{_stamp(root / path)}\n"))
    path = str(root.resolve())
    return ImageSet(
        name=name,
        key={"source": "folder", "path": path, "files": digest.hexdigest()},
        count=len(paths),
        records=records,
        channels=channels,
        class_names=classes,
        details={"path": path},
    )


def _stamp(path: Path) -> str:
    """What changes when the file does."""
    try:
        stat = path.stat()
    except OSError:
        # A link to nowhere, say: it is reported with the files that cannot be decoded.
        return "unreadable"
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


def _walk(root: Path) -> Iterator[str]:
    """Yields the paths of the images relative to the root, with "/" between their parts, in no particular order."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # A link may lead back to a folder above it.
        folders[:] = [] if real in seen else [f for f in folders if not f.startswith(".")]
        if real in seen:
            continue
        seen.add(real)
        for file in files:
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                yield Path(folder, file).relative_to(root).as_posix()
