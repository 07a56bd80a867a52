"""Released files, from a mirror or a clone, verified against the index before they are read.

    with releases.opened("wgan_gp-mnist", "saved_model/") as (folder, origin):
        model = tf.saved_model.load(folder / "saved_model")

The files of a release are copied to a private folder and verified in the same pass. So the loaded bytes are the
verified bytes, even if others can write to the source, and the folder holds no file that is not in the index. The
source is

- the mirror, if one is given or named by `$GAN_ZOO_MIRROR`: the address (http or https) of a copy of the clone's
  `pretrained/` folder, or such a folder itself;
- otherwise the `pretrained/` folder of the clone that contains this package.

Downloaded files are kept in a cache, `$GAN_ZOO_CACHE/pretrained` or `~/.cache/gan_zoo/pretrained`, and are verified
again at each use. Everything in the cache can be deleted at any time.

Importing this package does not import TensorFlow.
"""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from gan_zoo.releases import archives, downloads, files
from gan_zoo.releases.index import Release, read_index
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

__all__ = ["MIRROR", "Release", "clone_folder", "default_cache", "is_here", "opened", "read_index"]

MIRROR = "GAN_ZOO_MIRROR"
"""The environment variable that names a mirror."""

_LOCK_TIMEOUT = 3600.0
"""Seconds to wait for another process that downloads the same release."""


@contextlib.contextmanager
def opened(
    name: str,
    part: str = "",
    *,
    mirror: str | Path | None = None,
    cache_dir: str | Path | None = None,
    index: str | Path | None = None,
) -> Iterator[tuple[Path, Path]]:
    """Provides a private folder with verified files of a release, which is removed after the `with` block.

    Args:
        name: Name of the release.
        part: Prefix of the paths of the wanted files. From an archive, all files are provided.
        mirror: Source of the files: an http or https address, or a folder. None uses the source described above or,
            for your own index, the folder of the index.
        cache_dir: Folder for downloaded files. None uses `default_cache()`.
        index: Your own index. None uses that of the package.

    Yields:
        The private folder, and the folder or the archive that its files were copied from.

    Raises:
        UserError: If there is no such release, its files are not available, or they differ from the index.
    """
    release = read_index(index).get(name)
    if release is None:
        raise UserError(f"{name!r} is not a released model: the index has no such name.")
    place = _place(release, mirror, index)
    try:
        temporary = tempfile.TemporaryDirectory(prefix="gan_zoo-")
    except OSError as error:
        raise UserError(
            f"a temporary folder cannot be created ({error.strerror or error}): name a place in the variable TMPDIR."
        ) from error
    with temporary as private:
        source = _folder(release, place, cache_dir)
        if isinstance(place, Path):
            folder = _copy_local(release, part, source, Path(private))
        else:
            folder = _copy_cached(release, part, place, source, Path(private))
        yield folder, source / release.archive if release.archive else source


def is_here(name: str, part: str = "") -> bool:
    """Returns whether `opened` would find the files of a release of the package's index without a network.

    Only names and sizes are checked.
    """
    release = read_index()[name]
    try:
        folder = _folder(release, _place(release, None, None), None)
        return all(
            (folder / path).is_file() and (folder / path).stat().st_size == file.size
            for path, file in release.sources(part).items()
        )
    except (OSError, UserError):
        # A parent folder may not be accessible, or there is no folder to check.
        return False


def default_cache() -> Path:
    """Returns `$GAN_ZOO_CACHE/pretrained`, or `~/.cache/gan_zoo/pretrained`.

    Raises:
        UserError: If the variable does not name a local folder, or is not set and the user has no home folder.
    """
    if os.environ.get("GAN_ZOO_CACHE"):
        return checks.path("GAN_ZOO_CACHE", os.environ["GAN_ZOO_CACHE"]) / "pretrained"
    try:
        return Path("~/.cache/gan_zoo/pretrained").expanduser()
    except RuntimeError:
        raise UserError(
            "cache_dir: this user has no home folder to keep downloads in: name a folder in the variable GAN_ZOO_CACHE."
        ) from None


def clone_folder() -> Path:
    """Returns the `pretrained/` folder of the clone that contains this package. An installed package has none."""
    return Path(__file__).resolve().parents[2] / "pretrained"


def _place(release: Release, mirror: str | Path | None, index: str | Path | None) -> Path | str | None:
    """Returns the folder or the address of the mirror. None if there is neither; then only the cache can be used."""
    argument = "mirror"
    if not mirror and index is not None:
        return checks.path("index", index).parent
    if not mirror:
        mirror, argument = os.environ.get(MIRROR), MIRROR
    if not mirror:
        source = clone_folder() / (release.archive or release.name)
        return clone_folder() if source.exists() else None
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", str(mirror)):
        folder = checks.path(argument, mirror)
        if not folder.is_dir():
            raise UserError(f"{argument}={mirror} is neither a folder nor an http or https address.")
        return folder
    try:
        parts = urlsplit(str(mirror))
        usable = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        parts.port  # noqa: B018 - raises for an invalid port
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"{argument}={mirror} must be an http or https address without ? and #, or a folder.")
    return str(mirror).rstrip("/")


def _folder(release: Release, place: Path | str | None, cache_dir: str | Path | None) -> Path:
    """Returns the folder with the release's files or its archive: the mirror if it is a folder, otherwise the cache."""
    if isinstance(place, Path):
        return place if release.archive else place / release.name
    return (default_cache() if cache_dir is None else checks.path("cache_dir", cache_dir)) / release.key


def _copy_local(release: Release, part: str, source: Path, private: Path) -> Path:
    try:
        return _copy(release, part, source, private)
    except FileNotFoundError as error:
        raise UserError(f"{release.name}: there is no file {error.filename}. Give another mirror.") from error
    except files.Mismatch as error:
        raise UserError(
            f"{error}: it is damaged, or not the file that was released. Restore it, or give another mirror."
        ) from error
    except OSError as error:
        raise _not_copied(release, source, error) from error


def _copy_cached(release: Release, part: str, address: str | None, source: Path, private: Path) -> Path:
    """Copies from the cache, after downloading the files that it lacks."""
    try:
        # This needs no lock: a complete cache may be in a folder that is not writable.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, files.Mismatch):
            return _copy(release, part, source, private)
        if address is None:
            raise UserError(
                f"{release.name} is a released model, but its files are not here. They are in pretrained/ of a clone "
                f"of the repository. Name the address or the folder of a copy of pretrained/ with mirror, or in the "
                f"variable {MIRROR}."
            )
        _fill(release, part, address, source)
        return _copy(release, part, source, private)
    except files.Mismatch as error:
        raise UserError(f"cache_dir: {error}, although it was just verified. Try again with another one.") from error
    except OSError as error:
        raise _not_copied(release, source, error) from error


def _fill(release: Release, part: str, address: str, folder: Path) -> None:
    """Downloads the files of a release that the cache lacks, in one process at a time."""
    from filelock import FileLock, Timeout

    lock = folder.with_name(f"{folder.name}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=_LOCK_TIMEOUT):
            for path, file in release.sources(part).items():
                if not files.matches(folder / path, file):
                    downloads.download(f"{address}/{quote(release.location(path))}", folder / path, file)
    except Timeout:
        raise UserError(
            f"cache_dir: another process has held {lock} for {_LOCK_TIMEOUT:.0f} seconds, to fetch {release.name}. "
            f"Try again when it has ended."
        ) from None
    except OSError as error:
        raise UserError(
            f"cache_dir: {folder} cannot be used ({error.strerror or error}). Make room there, or name another folder "
            f"in the variable GAN_ZOO_CACHE."
        ) from error


def _copy(release: Release, part: str, source: Path, private: Path) -> Path:
    """Copies the wanted files of a release to a new folder in `private`, and verifies each during the copy.

    Raises:
        files.Mismatch: If a file differs from the index. The message names it.
        OSError: If a file cannot be read or written.
    """
    folder = Path(tempfile.mkdtemp(dir=private))
    # An archive is copied and verified before it is unpacked, so that nobody can change it in between.
    copies = Path(tempfile.mkdtemp(dir=private)) if release.archive else folder
    for path, file in release.sources(part).items():
        if not (source / path).is_file():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(source / path))
        (copies / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            with (source / path).open("rb") as stream:
                files.copy(stream, copies / path, file)
            if release.archive:
                with (copies / path).open("rb") as stream:
                    archives.extract(stream, path, release.files, folder)
        except files.Mismatch as error:
            raise files.Mismatch(f"{source / path} {error}") from error
    return folder


def _not_copied(release: Release, source: Path, error: OSError) -> UserError:
    return UserError(
        f"{release.name} cannot be copied from {source} to {tempfile.gettempdir()} ({error.strerror or error}). "
        f"Check that the first can be read and that the second has space. The variable TMPDIR names another one."
    )
