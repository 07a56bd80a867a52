"""The index: the list of releases, with size and SHA-256 of each of their files.

    {"version": 1,
     "models": {"wgan_gp-mnist": {"files": {"saved_model/saved_model.pb": {"size": 125263, "sha256": "..."}, ...}},
                "other": {"archive": {"name": "other.tar.gz", "size": 1234567, "sha256": "..."}, "files": {...}}}}

The files of a release are at `<mirror>/<model>/<file>`, or all in one archive at `<mirror>/<archive's name>`. The index
decides which files are genuine. Therefore it comes with the package or from the user, and never from the mirror.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from gan_zoo.releases import archives, files
from gan_zoo.releases.files import File
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file

PATH = Path(__file__).with_name("index.json")
"""Path of the package's own index."""

_VERSION = 1
# Names become parts of local paths and addresses, so they may contain no character with a meaning there.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]{0,198}[A-Za-z0-9_+-])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True)
class Release:
    """A release in the index.

    Attributes:
        name: Name of the release.
        files: The files of the release, by their paths.
        archive: The name of the archive that contains them all, or None if they are separate.
        packed: The expected content of the archive.
    """

    name: str
    files: Mapping[str, File]
    archive: str | None = None
    packed: File | None = None

    def sources(self, part: str = "") -> dict[str, File]:
        """Returns the files to obtain for the paths that start with `part`: these files themselves or the archive.

        Raises:
            UserError: If the release has no such file.
        """
        found = {path: file for path, file in self.files.items() if path.startswith(part)}
        if not found:
            raise UserError(f"{self.name} has no file {part!r} in the index.")
        return found if self.archive is None else {self.archive: self.packed}

    def location(self, source: str) -> str:
        """Returns the location of one of the `sources` in a mirror."""
        return source if self.archive else f"{self.name}/{source}"

    @property
    def key(self) -> str:
        """The name with a digest of the release's entry in the index. Releases with the same key are equal."""
        content = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return f"{self.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def read_index(path: str | Path | None = None) -> dict[str, Release]:
    """Returns the releases of an index, by their names.

    Args:
        path: The index. None uses that of the package.

    Raises:
        UserError: If it cannot be read or is malformed.
    """
    path = PATH if path is None else checks.path("index", path)
    content = _load(path)
    try:
        _require(isinstance(content, dict), "is not an object")
        _require(content.get("version") == _VERSION, f"is not of version {_VERSION}")
        _require_keys(content, {"version", "models"})
        models = content["models"]
        _require(isinstance(models, dict), "'models' is not an object")
        return {name: _release(name, entry) for name, entry in models.items()}
    except _MalformedError as error:
        raise UserError(f"index: {path} {error}.") from None


def update_index(path: str | Path, folder: Path) -> Release:
    """Adds a folder to an index, under the folder's name, and keeps the other entries.

    Args:
        path: The index; created if missing.
        folder: The files of the release.

    Raises:
        UserError: If the index is malformed or cannot be written, or the folder has file names that are not allowed.
    """
    path = checks.path("index", path)
    content = {"version": _VERSION, "models": {}}
    if path.exists():
        read_index(path)
        content = _load(path)
    entry = {"files": {name: dataclasses.asdict(file) for name, file in contents(folder).items()}}
    name = folder.resolve().name
    try:
        release = _release(name, entry)
    except _MalformedError as error:
        raise UserError(f"{folder} cannot be released: {error}.") from None
    content["models"] = dict(sorted({**content["models"], name: entry}.items()))
    try:
        with atomic_file(path) as file:
            file.write(json.dumps(content, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(f"index: {path} cannot be written ({error.strerror or error}).") from error
    return release


def contents(folder: Path) -> dict[str, File]:
    """Returns all files below a folder, by their paths in it.

    Raises:
        UserError: If the path is not a folder or cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    try:
        paths = sorted(path for path in folder.rglob("*") if not path.is_dir())
        return {path.relative_to(folder).as_posix(): files.describe(path) for path in paths}
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror or error}).") from error


class _MalformedError(Exception):
    pass


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise _MalformedError(sentence)


def _require_keys(value: Any, names: set[str], optional: set[str] = frozenset(), what: str = "") -> None:
    prefix = f"{what} " if what else ""
    _require(isinstance(value, dict), f"{prefix}is not an object")
    _require(names <= set(value), f"{prefix}lacks {min(names - set(value), default='')!r}")
    unknown = set(value) - names - optional
    _require(not unknown, f"{prefix}has {min(unknown, default='')!r}, which is not a known name")


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"index: {path} cannot be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"index: {path} is not JSON ({error}).") from error


def _release(name: str, entry: Any) -> Release:
    _require(bool(_NAME.fullmatch(name)), f"{name!r} is not a name for a model: {_RULE}")
    _require_keys(entry, {"files"}, {"archive"}, name)
    _require(isinstance(entry["files"], dict) and bool(entry["files"]), f"{name}: 'files' is not an object with files")
    for path in entry["files"]:
        _require(all(map(_NAME.fullmatch, path.split("/"))), f"{name}: {path!r} is not a path for a file: {_RULE}")
    _require_apart(name, list(entry["files"]))
    found = {path: _file(value, f"{name}: {path}") for path, value in entry["files"].items()}
    if "archive" not in entry:
        return Release(name, found)
    what = f"{name}: 'archive'"
    _require_keys(entry["archive"], {"name", "size", "sha256"}, what=what)
    archive = entry["archive"]["name"]
    _require(isinstance(archive, str) and bool(_NAME.fullmatch(archive)), f"{what} has no valid file name: {_RULE}")
    _require(archive.endswith(archives.SUFFIXES), f"{what} must end in {', '.join(archives.SUFFIXES)}")
    return Release(name, found, archive, _file({k: entry["archive"][k] for k in ("size", "sha256")}, what))


_RULE = "names consist of letters, digits and ._+-, without a dot at the ends"


def _require_apart(name: str, paths: list[str]) -> None:
    """Checks that no file is inside another, and that names differ not only in case, which some systems ignore."""
    names = {path.casefold() for path in paths}
    _require(len(names) == len(paths), f"{name}: two files differ in capitals only")
    for path in names:
        above = names.intersection(map(str, PurePosixPath(path).parents))
        _require(not above, f"{name}: {min(above, default='')!r} is a file and a folder")


def _file(value: Any, what: str) -> File:
    _require_keys(value, {"size", "sha256"}, what=what)
    size, sha256 = value["size"], value["sha256"]
    _require(type(size) is int and 0 <= size < 2**63, f"{what} has no size in bytes")
    _require(isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256)), f"{what} has no SHA-256 of 64 digits")
    return File(size, sha256)
