"""Output of the command-line tools, which continue even if standard output cannot be written.

A pipe without a reader, a full disk behind `> log`, or an encoding that lacks a character must not end a training.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

_log = logging.getLogger("gan_zoo")
_CLOSED_PIPE = 128 + 13
"""The exit status of a program that SIGPIPE ended, as in shells."""


class Tolerant:
    """A text stream that escapes characters its encoding lacks, and ignores all output after a failure.

    Args:
        stream: The stream to write to. None, which Python uses in programs without a console, ignores all output.
        name: Name of the stream for the one warning after a failure; None for no warning.
        descriptor: File descriptor of the process's own stream. After a failure it is redirected to the null device, so
            that buffered output does not fail again when the process ends.
    """

    def __init__(self, stream: TextIO | None, name: str | None = None, descriptor: int | None = None):
        self._stream, self._descriptor, self.name = stream, descriptor, name
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        if self._stream is not None and self.error is None:
            try:
                self._write(text)
            except (OSError, ValueError) as error:  # ValueError: the stream is closed
                self._fail(error)
        return len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def flush(self) -> None:
        if self._stream is not None and self.error is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._fail(error)

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def _fail(self, error: Exception) -> None:
        self.error = error
        if self._descriptor is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._descriptor)
            os.close(null)
        if self.name:
            reason = getattr(error, "strerror", None) or error
            _log.warning("%s cannot be written (%s): the program continues without it.", self.name, reason)


def facts(rows: Mapping[str, Any]) -> str:
    """Lines of a name and what is said of it, in two columns."""
    return "\n".join(f"{name:<17}{value}" for name, value in rows.items())


def say(text: str) -> None:
    """Prints `text` to standard output; a failure to write gives a warning, not an error."""
    stream = sys.stdout if isinstance(sys.stdout, Tolerant) else Tolerant(sys.stdout, "Standard output")
    stream.write(f"{text}\n")
    stream.flush()


@contextlib.contextmanager
def tolerant_streams() -> Iterator[None]:
    """Makes standard output and standard error of a command-line tool `Tolerant` for the `with` block.

    If the process was started without one of the standard streams, the null device replaces it. Otherwise the next file
    that is opened would get its descriptor, and TensorFlow's messages would be written to that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
    streams = sys.stdout, sys.stderr
    sys.stdout = Tolerant(sys.stdout, "Standard output", _descriptor(sys.stdout))
    sys.stderr = Tolerant(sys.stderr, None, _descriptor(sys.stderr))
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = streams


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        number = None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None
    return number if number in (1, 2) else None


def finish(text: str) -> int:
    """Prints the result of a program and returns its exit status, which is not 0 if the output cannot be written."""
    stream = sys.stdout if isinstance(sys.stdout, Tolerant) else Tolerant(sys.stdout)
    stream.name = None
    stream.write(f"{text}\n")
    stream.flush()
    if stream.error is None:
        return 0
    if isinstance(stream.error, BrokenPipeError):
        return _CLOSED_PIPE
    print(f"error: standard output cannot be written: {stream.error}", file=sys.stderr)
    return 1
