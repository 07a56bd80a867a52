"""Exceptions for problems that a user can fix: bad input, and runs that end early.

Command-line tools print the message without a traceback and exit with the exception's status.
"""

import contextlib
import contextvars
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType


class UserError(ValueError):
    """Bad input: a name, a number, a file or a folder that cannot be used.

    The message is one or two plain sentences that name the argument, say what is wrong and say what to do.
    """

    exit_status = 2


_FLAGS: contextvars.ContextVar[Mapping[str, str | None]] = contextvars.ContextVar("flags", default=MappingProxyType({}))


def argument(name: str) -> str | None:
    """Returns what a message calls an argument: its name or, in a command-line tool, the flag of `in_flags`."""
    return _FLAGS.get().get(name, name)


@contextlib.contextmanager
def in_flags(**flags: str | None) -> Iterator[None]:
    """Makes messages name the flags of a tool in place of the arguments of the functions that it calls.

    Args:
        **flags: The flag by the name of the argument; None for an argument that no flag gives.
    """
    token = _FLAGS.set({**_FLAGS.get(), **flags})
    try:
        yield
    finally:
        _FLAGS.reset(token)


class NonFiniteSamples(UserError):
    """Samples of a model are NaN or infinite."""


class Stopped(RuntimeError):
    """A run ended before its last step. Its checkpoints remain, and the same command continues it."""

    exit_status = 1


class NotWritten(Stopped):
    """A file could not be written or read, for example because the disk is full or the folder was removed."""


class NonFiniteLoss(Stopped):
    """A loss, a recorded term or a weight became NaN or infinite."""


class WorkerLost(Stopped):
    """Another worker ended, hangs or never started. This one has no error of its own: start all of them again."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: a scheduler may try again


class Interrupted(Stopped):
    """A signal ended the training, which saved its state.

    Args:
        message: Says what is saved and where.
        signal: The number of the signal. The exit status is 128 plus this number, as in shells, so that a scheduler
            does not consider the run as finished.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.exit_status = 128 + signal


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Converts TensorFlow's errors for a file or folder that cannot be written to an OSError.

    Raises:
        OSError: If the file or folder cannot be written.
    """
    import tensorflow as tf

    try:
        yield
    except (
        *(tf.errors.OutOfRangeError, tf.errors.ResourceExhaustedError),  # TensorFlow's errors for full disks
        *(tf.errors.PermissionDeniedError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError),
        *(tf.errors.UnknownError, tf.errors.InternalError, tf.errors.DataLossError),
    ) as error:
        reason = str(error.message).splitlines()[0].rpartition("; ")[2]
        raise OSError(errno.EIO, reason, str(path)) from error
