"""Logs of training: `metrics.jsonl`, and scalars for TensorBoard."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.run_folder.tensorboard import Events
from gan_zoo.util import checks, files


class Means:
    """Means of logs since the last `take`."""

    def __init__(self):
        self._sums, self.count = {}, 0

    def add(self, logs: dict) -> None:
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in self._sums.items()}
        self._sums, self.count = {}, 0
        return means


class MetricsLog(StepCallback):
    """Appends lines of JSON with the means of the logs since the last line, and writes TensorBoard scalars.

    Each line has "step", "kimg" (thousands of real images shown), "seconds" (of training since the start of the
    process), the logs, and the values that other callbacks pass to `note`. Lines beyond `step`, which a killed process
    may have left, are removed at the start.

    Args:
        path: Path of the file, `metrics.jsonl`. Its folder is created if missing.
        images_shown: Returns the number of real images shown in a number of steps.
        every: Steps between lines. Each step with a `note` also gets a line.
        events: Also receives the scalars, for TensorBoard. None for no events.
        step: The step at which training starts.
    """

    def __init__(
        self,
        path: str | Path,
        images_shown: Callable[[int], int],
        every: int = 50,
        events: Events | None = None,
        step: int = 0,
    ):
        super().__init__(step)
        self.path, self.images_shown = checks.path("path", path), images_shown
        self.every, self.events = every, events
        self._means, self._notes, self._start = Means(), {}, None

    def on_train_begin(self, logs=None):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            kept = [
                line for line in self.path.read_text("utf-8", "replace").splitlines() if _step_of(line) <= self.step
            ]
            with files.atomic_file(self.path) as file:
                file.write("".join(f"{line}\n" for line in kept).encode())
        self._start = self._start or time.perf_counter()

    def on_step(self, previous, logs):
        self._means.add(logs)
        if self._notes or self.passed(self.every, previous):
            self._write()

    def note(self, values: dict[str, float]) -> None:
        """Requests a line for this step with additional values. Only callbacks before this one may call it."""
        self._notes.update(values)

    def on_train_end(self, logs=None):
        if self._means.count:
            self._write()

    def _write(self):
        means, self._notes = self._means.take() | self._notes, {}
        line = {
            "step": self.step,
            "kimg": self.images_shown(self.step) / 1000,
            "seconds": round(time.perf_counter() - self._start, 3),
            **means,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.events:
            self.events.scalars(self.step, means)


def _step_of(line: str) -> float:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf  # an incomplete line of a process that was killed while it wrote
    return step if type(step) in (int, float) else math.inf
