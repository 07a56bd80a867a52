"""The progress line, and the time of each step."""

import sys
import time
from collections.abc import Callable

import keras

from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.util.console import Tolerant


class Progress(StepCallback):
    """Prints a progress line with steps, losses, real images per second and the remaining time.

    On a terminal the line is updated every second. Elsewhere a new line is printed every `seconds`.

    Args:
        total: The step at which training ends.
        images_shown: Returns the number of real images shown in a number of steps.
        seconds: Seconds between lines if the output is not a terminal.
        step: The step at which training starts.
        output: The output stream. Defaults to standard output.
    """

    def __init__(self, total: int, images_shown: Callable[[int], int], seconds=30.0, step: int = 0, output=None):
        super().__init__(step)
        self.total, self.images_shown = total, images_shown
        output = sys.stdout if output is None else output
        self.output = output if isinstance(output, Tolerant) else Tolerant(output, "The progress of training")
        self.terminal = self.output.isatty()
        self.seconds = 1.0 if self.terminal else seconds
        self._printed = None

    def on_step(self, previous, logs):
        now = time.perf_counter()
        if self._printed is None:
            # The first step compiles, so speed is measured from its end.
            self._printed, self._start, self._first = now, now, self.step
            self._write(logs, None)
        elif now - self._printed >= self.seconds or self.step == self.total:
            self._printed = now
            self._write(logs, now - self._start)

    def on_train_end(self, logs=None):
        if self.terminal:
            print(file=self.output)

    def _write(self, logs, seconds):
        parts = [f"step {self.step}/{self.total}", *(f"{name} {float(value):.4g}" for name, value in logs.items())]
        if seconds:
            images = self.images_shown(self.step) - self.images_shown(self._first)
            left = duration((self.total - self.step) * seconds / (self.step - self._first))
            parts += [f"{images / seconds:.0f} images/s", f"{left} left"]
        line = "  ".join(parts)
        print(f"\r{line}\033[K" if self.terminal else line, end="" if self.terminal else "\n", file=self.output)
        self.output.flush()


def duration(seconds: float) -> str:
    """Formats seconds as "2h05m", "5m03s" or "12s"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


class StepTimer(keras.callbacks.Callback):
    """Measures the duration of each step, including the wait for its losses.

    Attributes:
        seconds: Duration of each call of Keras's train function so far. The first call compiles.
    """

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_begin(self, logs=None):
        self._last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        for value in (logs or {}).values():
            float(value)  # waits for the device
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
