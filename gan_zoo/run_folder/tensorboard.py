"""Event files for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from gan_zoo.util import checks
from gan_zoo.util.errors import file_errors
from gan_zoo.util.tensorflow_paths import tensorflow_path


class Events:
    """Writes scalars and pictures for TensorBoard.

    On a full disk TensorFlow's own writer raises the error that also marks the end of the data, and Keras's `fit` then
    ends training as if it were finished. This class raises an OSError instead.

    Args:
        folder: Folder of the file; created if missing.
    """

    def __init__(self, folder: str | Path):
        self._folder = checks.path("folder", folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorFlow opens the file here and keeps it open.
        with file_errors(self._folder), tensorflow_path(self._folder) as path:
            self._writer = tf.summary.create_file_writer(path)
            self._writer.init()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes the values of a step.

        Raises:
            OSError: If they cannot be written.
        """
        with file_errors(self._folder), self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
            self._writer.flush()

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Writes a picture of a step, uint8 [H, W, C].

        Raises:
            OSError: If it cannot be written.
        """
        with file_errors(self._folder), self._writer.as_default(step):
            tf.summary.image(name, pixels[np.newaxis])
            self._writer.flush()
