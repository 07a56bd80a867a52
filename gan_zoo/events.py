"""TensorBoard's files of a run."""

import contextlib
import errno
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

_OF_FILES = (
    *(tf.errors.PermissionDeniedError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError),
    *(tf.errors.UnknownError, tf.errors.InternalError, tf.errors.DataLossError),
)
"""What TensorFlow raises for files that cannot be written, besides the kinds for a full disk."""


class Events:
    """Writes scalars and pictures for TensorBoard.

    TensorFlow's own writer tells of a full disk by the error that also means the end of the data, which Keras's `fit`
    takes for the end of training. Here it is an OSError.

    Args:
        folder: Where the file goes; made if it is missing.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        with self._telling():
            self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers of a step.

        Raises:
            OSError: If they cannot be written.
        """
        with self._telling(), self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
            self._writer.flush()

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Writes a picture of a step, uint8 [H, W, C].

        Raises:
            OSError: If it cannot be written.
        """
        with self._telling(), self._writer.as_default(step):
            tf.summary.image(name, pixels[np.newaxis])
            self._writer.flush()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.OutOfRangeError, tf.errors.ResourceExhaustedError, *_OF_FILES) as error:
            reason = str(error.message).splitlines()[0].rpartition("; ")[2]
            raise OSError(errno.EIO, reason, str(self._folder)) from error
