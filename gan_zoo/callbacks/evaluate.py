"""Evaluates the samples while training, and keeps the best checkpoint."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from gan_zoo.callbacks.average import GeneratorEMA
from gan_zoo.callbacks.metrics_log import MetricsLog
from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.run_folder import checkpoints
from gan_zoo.util import checks, files
from gan_zoo.util.console import say

BEST = "best.json"


class Evaluate(StepCallback):
    """Evaluates the moving average at regular intervals and at the end, and keeps the checkpoint of the best value.

    The numbers go to `metrics.jsonl`, and so to TensorBoard and to the curves. Evaluation uses its own seeds, so that
    training goes on as if it had not happened.

    Args:
        measure: Function of a model that returns numbers by name; empty if the model cannot be evaluated yet.
        primary: Name of the number that decides which checkpoint is the best.
        better: Whether "lower" or "higher" values of it are better.
        folder: Folder of the best checkpoint and of `best.json`; created if missing.
        every: Steps between evaluations.
        ema: The moving average that is evaluated and saved.
        log: Receives the numbers, for the line of the same step.
        protocol: How the numbers are computed. A best checkpoint of another protocol is replaced.
        step: The step at which training starts.
        last: The last step of training, which is evaluated too.
    """

    def __init__(
        self,
        measure: Callable[[keras.Model], dict[str, float]],
        primary: str,
        better: str,
        folder: str | Path,
        every: int,
        ema: GeneratorEMA,
        log: MetricsLog,
        protocol: str = "",
        step: int = 0,
        last: int = 0,
    ):
        super().__init__(step)
        self.measure, self.primary, self.better = measure, primary, better
        self.folder, self.every, self.ema, self.log = checks.path("folder", folder), every, ema, log
        self.protocol, self.last = protocol, last

    def on_step(self, previous, logs):
        if not self.passed(self.every, previous) and not previous < self.last == self.step:
            return
        found = self.measure(self.ema.averaged_model)
        if not found:
            return
        self.log.note(found)
        say(f"step {self.step}: " + ", ".join(f"{name} {value:.4g}" for name, value in found.items()))
        value = found.get(self.primary, math.nan)
        if math.isfinite(value) and self._is_best(value):
            checkpoints.save(self.folder, self.model, self.step, self.ema.average, keep=1)
            entry = {"step": self.step, "metric": self.primary, "protocol": self.protocol, "values": found}
            with files.atomic_file(self.folder / BEST) as file:
                file.write((json.dumps(entry, indent=1) + "\n").encode())

    def _is_best(self, value: float) -> bool:
        known = read_best(self.folder)
        if known is None or known["metric"] != self.primary or known["protocol"] != self.protocol:
            return True
        sign = 1 if self.better == "lower" else -1
        return sign * value < sign * known["values"][self.primary]


def read_best(folder: str | Path) -> dict[str, Any] | None:
    """Returns the entry of the best checkpoint in a folder: "step", "metric", "protocol" and "values"; or None.

    A process that was killed may have left a checkpoint without its entry, or an entry without its checkpoint. Both
    count as none, and so does a damaged checkpoint.
    """
    try:
        entry = json.loads((Path(folder) / BEST).read_text("utf-8"))
        path = Path(folder) / f"{entry['step']:08d}"
        sound = not checkpoints.verify(path, [checkpoints.MODEL, checkpoints.EMA])
        known = isinstance(entry["values"][entry["metric"]], int | float) and isinstance(entry["protocol"], str)
        return entry if sound and known else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
