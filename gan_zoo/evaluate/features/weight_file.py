"""Files of published weights: where they are, how they get there, and their verified tensors."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np

from gan_zoo import releases
from gan_zoo.evaluate.features import torch_file
from gan_zoo.releases import downloads, files
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError, argument

_LOCK_TIMEOUT = 3600.0
"""Seconds to wait for another process that downloads the same file."""


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """A file of weights with known content.

    Attributes:
        name: Name of the file.
        content: Its size and SHA-256.
        title: Name of the network.
        addresses: Where it can be downloaded.
    """

    name: str
    content: files.File
    title: str
    addresses: tuple[str, ...] = ()

    def tensors(self, path: Path) -> dict[str, np.ndarray]:
        """Returns the tensors of the file at `path`, by their names.

        The verified bytes are those that are parsed, even if others can write to the file.

        Raises:
            UserError: If it cannot be read or has another content.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
        if hashlib.sha256(content).hexdigest() != self.content.sha256:
            raise UserError(
                f"{path} is not {self.name}, the weights of {self.title}: it has {len(content):,} bytes instead of "
                f"{self.content.size:,}, or another SHA-256 than {self.content.sha256}. Give the original file; if "
                f"this one is in the cache, delete it."
            )
        return torch_file.read(content, str(path))

    @property
    def cached(self) -> Path:
        """The path of the file in the cache: `$GAN_ZOO_CACHE/features`, or `~/.cache/gan_zoo/features`.

        Raises:
            UserError: If there is no such folder.
        """
        return releases.default_cache().with_name("features") / self.name

    def is_cached(self) -> bool:
        """Returns whether the cache has the file. Only its size is checked."""
        try:
            return self.cached.stat().st_size == self.content.size
        except (OSError, UserError):
            return False

    def fetch(self) -> Path:
        """Returns the path of the file in the cache, and downloads it first if it is not there.

        Raises:
            UserError: If no address provides it, or the cache cannot be used.
        """
        from filelock import FileLock, Timeout

        path = self.cached
        if self.is_cached():
            return path
        lock = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock, timeout=_LOCK_TIMEOUT):
                if not files.matches(path, self.content):
                    self._download(path)
        except Timeout:
            raise UserError(
                f"another process has held {lock} for {_LOCK_TIMEOUT:.0f} seconds, to download {self.name}: try again "
                f"when it has ended."
            ) from None
        except OSError as error:
            raise UserError(
                f"the cache {path.parent} cannot be used ({error.strerror or error}): make room there, or name another "
                f"folder in the variable GAN_ZOO_CACHE."
            ) from error
        return path

    def _download(self, path: Path) -> None:
        reasons = []
        for address in self.addresses:
            try:
                downloads.download(address, path, self.content)
                return
            except UserError as error:
                reasons.append(str(error).split(". ")[0].rstrip("."))
        raise UserError(
            f"The weights of {self.title}, {self.name} ({self.content.size:,} bytes), are not in {path.parent} and "
            f"cannot be downloaded ({'; '.join(reasons)}). Download the file from {' or '.join(self.addresses)} on "
            f"another machine, and put it in that folder{or_give('its path')}."
        )


def or_give(path: str) -> str:
    """The end of a sentence that says what `path` may be given as, or nothing if no flag takes it."""
    return f", or give {path} as {argument('file')}" if argument("file") else ""


def given(file: str | Path) -> Path:
    """Checks the argument `file`, and returns it as a path.

    Raises:
        UserError: If it is not a path of a file.
    """
    path = checks.path(argument("file"), file)
    if not path.is_file():
        raise UserError(f"{argument('file')}={file} is not a file: give the path of the network's weights.")
    return path
