"""Exceptions for what a user can put right: before anything has begun, and when the machine gives out.

Command-line tools print their message without a traceback and exit with their status.
"""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path


class UserError(ValueError):
    """Bad input: a name, a number, a file or a folder that cannot be used.

    The message is one or two plain sentences that name the argument, say what is wrong with it and what would do.
    """

    exit_status = 2


class Stopped(RuntimeError):
    """A run has ended before its last step. Its checkpoints stay, and the same command continues it."""

    exit_status = 1


class NotWritten(Stopped):
    """A file could not be written or read: a full disk, a folder that is gone."""


class NonFiniteLoss(Stopped):
    """A loss, a recorded term or a weight became NaN or infinite."""


class WorkerLost(Stopped):
    """Another worker has ended, hangs or has never come. Nothing is wrong with this one: start all of them again."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h: a scheduler may try again


class Interrupted(Stopped):
    """A signal asked for the end of training, which has saved its state.

    Args:
        message: What is saved where.
        signal: The signal's number; the exit status is 128 more, as shells have it. So no scheduler takes the run for
            a finished one.
    """

    def __init__(self, message: str, signal: int):
        super().__init__(message)
        self.exit_status = 128 + signal


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turns what TensorFlow raises for a file or folder that cannot be written into an OSError.

    Raises:
        OSError: If it cannot be written.
    """
    import tensorflow as tf

    try:
        yield
    except (
        *(tf.errors.OutOfRangeError, tf.errors.ResourceExhaustedError),  # what it makes of full disks
        *(tf.errors.PermissionDeniedError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError),
        *(tf.errors.UnknownError, tf.errors.InternalError, tf.errors.DataLossError),
    ) as error:
        reason = str(error.message).splitlines()[0].rpartition("; ")[2]
        raise OSError(errno.EIO, reason, str(path)) from error
