"""Images from a folder on disk: `folder:/path/to/images`."""

import collections
import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gan_zoo.data import formats
from gan_zoo.data.decoding import ImageSet, Record, Report, is_grey, pixel_limit
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

PREFIX = "folder:"

_NAMED = 3
_LOOKED_INTO = 1000
"""Largest number of files of unknown suffixes whose content is examined, only to describe them in a message."""
_NO_IMAGES = frozenset(
    [
        *(".bak", ".bib", ".bin", ".c", ".cfg", ".ckpt", ".conf", ".cpp", ".css", ".csv", ".dat", ".db", ".doc"),
        *(".docx", ".gz", ".h", ".html", ".ini", ".ipynb", ".js", ".json", ".jsonl", ".keras", ".lock", ".log", ".m"),
        *(".mat", ".md", ".npy", ".npz", ".parquet", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".py", ".rst"),
        *(".safetensors", ".sh", ".sqlite", ".tar", ".tex", ".tfrecord", ".tgz", ".toml", ".torrent", ".tsv", ".txt"),
        *(".url", ".xls", ".xlsx", ".xml", ".yaml", ".yml", ".zip"),
    ]
)
"""Suffixes of files that are certainly not meant as images."""


def find(name: str, labels: bool = False) -> ImageSet:
    """Lists the images of a folder and of all its subfolders, in the order of their paths.

    Images are files with a suffix of a format that Pillow reads, and files without a suffix whose first bytes are those
    of an image. Hidden files and folders are ignored. The direct subfolders are the classes if every image lies in one
    of them, at any depth. They are numbered in the order of their names, compared as strings, as in Keras.

    Args:
        name: "folder:" and a path.
        labels: Whether every image must have a class, and every direct subfolder must contain images.

    Returns:
        The dataset, with one channel if every image is grey, otherwise three.

    Raises:
        UserError: If the path is not a folder, it has no images, or labels are requested and there are none.
    """
    text = name.removeprefix(PREFIX)
    root = checks.path("dataset folder", text) if text else Path()
    if not text or not root.is_dir():
        raise UserError(
            f"{name}: there is no folder {str(root)!r}. Write the path of a folder of images after folder:."
        )
    others = _Others()
    paths = sorted(_walk(root, others))
    if not paths:
        raise UserError(
            " ".join(
                [f"{name}: the folder holds no .jpg, .jpeg, .png or other image files, at any depth.", *others.told()]
            )
        )
    first = [path.split("/")[0] if "/" in path else None for path in paths]
    if labels:
        _check_folders(name, root, paths, first)
    classes = None if None in first else tuple(sorted(set(first)))
    index = {c: i for i, c in enumerate(classes or ())}

    def records() -> Iterator[Record]:
        for path, folder in zip(paths, first, strict=True):
            yield Record(path, root / path, index.get(folder, -1))

    @functools.cache
    def channels() -> int:
        with pixel_limit():
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
        passed_over=tuple(others.told()),
    )


def _check_folders(name: str, root: Path, paths: list[str], first: list[str | None]):
    """Checks that every image lies in the folder of a class, and that every such folder contains an image.

    Raises:
        UserError: If not.
    """
    outside = [path for path, folder in zip(paths, first, strict=True) if folder is None]
    if outside:
        raise UserError(
            f"labels: {name} has none: {len(outside)} of its {len(paths)} images lie in no subfolder "
            f"({_few(outside)}). Put all images of each class into a subfolder named after the class."
        )
    folders = {entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    if empty := sorted(folders - set(first)):
        raise UserError(
            f"labels: every subfolder of {name} is a class, and these hold no images: {_few(empty)}. Put images into "
            f"them, or remove them."
        )


def check_classes(images: ImageSet, labels: np.ndarray, report: Report) -> None:
    """Checks that every class has an image.

    Args:
        images: The result of `find`.
        labels: Labels of the images that could be decoded, [N].
        report: Lists the images that could not be decoded, with reasons.

    Raises:
        UserError: If a class has no image.
    """
    found = set(np.unique(labels).tolist())
    missing = [c for i, c in enumerate(images.class_names) if i not in found]
    if missing:
        raise UserError(
            f"labels: every subfolder of {images.name} is a class, and no image of these can be decoded: "
            f"{_few(missing)} ({report.why()}). {images.remedy}, or remove the subfolders."
        )


def _stamp(path: Path) -> str:
    """Returns a string that changes when the file changes."""
    try:
        stat = path.stat()
    except OSError:
        # For example a broken link, which is reported with the files that cannot be decoded.
        return "unreadable"
    return f"{stat.st_size}\0{stat.st_mtime_ns}"


@dataclasses.dataclass
class _Others:
    """Files that are not read, although they may be meant as images.

    Attributes:
        by_suffix: Names of files in formats that are not read.
        misnamed: Names of files with the first bytes of an image and the suffix of something else.
        left: Number of further files whose content may be examined.
    """

    by_suffix: dict[str, list[str]] = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
    misnamed: list[str] = dataclasses.field(default_factory=list)
    left: int = _LOOKED_INTO

    def add(self, path: str, suffix: str, full: Path):
        """Counts a file whose suffix does not belong to a format that is read."""
        if formats.may_be_image(suffix):
            self.by_suffix[suffix].append(path)
        elif suffix not in _NO_IMAGES and self.left > 0:
            self.left -= 1
            if formats.looks_like_image(full):
                self.misnamed.append(path)

    def told(self) -> list[str]:
        """Returns one sentence for each kind of these files."""
        found = []
        if self.by_suffix:
            kinds = (f"{len(paths)} {suffix} ({_few(paths)})" for suffix, paths in sorted(self.by_suffix.items()))
            found.append(
                f"Files in formats that are not read are ignored: {', '.join(kinds)}. Convert them to PNG or JPEG "
                f"to train on them."
            )
        if self.misnamed:
            found.append(
                f"{len(self.misnamed)} files contain images but do not have the suffix of an image format "
                f"({_few(self.misnamed)}), and are ignored: rename them to train on them."
            )
        return found


def _few(paths: list[str]) -> str:
    more = len(paths) - _NAMED
    return ", ".join(sorted(paths)[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _walk(root: Path, others: _Others) -> Iterator[str]:
    """Yields the paths of the images relative to the root, with "/" as separator, in no particular order."""
    seen, suffixes = set(), formats.suffixes()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # A link may lead back to a parent folder.
        folders[:] = [] if real in seen else [f for f in folders if not f.startswith(".")]
        if real in seen:
            continue
        seen.add(real)
        for file in files:
            if file.startswith("."):
                continue
            full = Path(folder, file)
            suffix = full.suffix.lower()
            if suffix in suffixes or (not suffix and formats.looks_like_image(full)):
                yield full.relative_to(root).as_posix()
            elif suffix:
                others.add(full.relative_to(root).as_posix(), suffix, full)
