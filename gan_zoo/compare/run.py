"""One run of a comparison: trains and evaluates one method with one seed."""

import math
import time
from collections.abc import Callable
from typing import Any

from gan_zoo.callbacks import Means, StepCallback, StopOnNonFinite
from gan_zoo.compare import measuring
from gan_zoo.compare.settings import Settings
from gan_zoo.registry.variant_lists import Method
from gan_zoo.util.errors import NonFiniteLoss
from gan_zoo.util.seeds import seeded, stream

_CALL = 50
"""Largest number of steps in one call of the graph."""


def run(settings: Settings, method: Method, seed: int, progress: Callable[[int], None] = lambda step: None) -> dict:
    """Trains a method with one seed, evaluates it at intervals, and returns the results in JSON types.

    Args:
        settings: Settings of the comparison.
        method: The method.
        seed: Seed of the initial weights, the data, the latents, and all random draws of training.
        progress: Function that is called with the step from time to time.

    Returns:
        "method", "seed", "status" ("done", or "diverged" with a "reason"), "steps", "seconds" of training (without
        compilation and evaluation), "curve" (a row for each evaluation), "losses", "samples" and, for images of
        classes, "columns": see `report.write`.
    """
    source = settings.source()
    gan = settings.build(method, source.shape, seed)
    gan.steps_per_execution = max(n for n in range(1, _CALL + 1) if settings.every % n == 0)
    watch = _Watch(settings, measuring.measuring_of(settings).look(source, seed), progress)
    status, reason = "done", None
    try:
        with seeded(stream(seed, "training")):
            gan.fit(
                source.batches(settings.batch_size, n_critic=gan.minibatches_per_step, seed=seed),
                steps_per_epoch=settings.every,
                epochs=2**31,  # `watch` stops the training
                verbose=0,
                callbacks=[StopOnNonFinite(), watch],
            )
    except NonFiniteLoss as error:
        status, reason = "diverged", str(error)
    return {
        "method": method.name,
        "seed": seed,
        "status": status,
        "reason": reason,
        "steps": watch.step,
        **watch.found(),
        **({"columns": measuring.COLUMNS} if gan.classes and not settings.points else {}),
    }


class _Watch(StepCallback):
    """Evaluates samples, measures the training time, and stops the training when the budgets are spent."""

    def __init__(self, settings: Settings, look: measuring.Look, progress: Callable[[int], None]):
        super().__init__()
        self._settings, self._measure, self._progress = settings, look, progress
        self._curve, self._losses = [], []
        self._means = Means()
        self._loss_every = max(1, settings.every // 5)
        self._samples = None
        # Seconds of training after the first call, which also compiles; and the number of steps in the first call.
        self._seconds, self._first = 0.0, 0

    def on_train_begin(self, logs=None):
        self._players = [f"{player.key}_loss" for player in self.model.players()]
        self._look()
        self._resumed = time.perf_counter()

    def on_step(self, previous, logs):
        self._means.add({name: logs[name] for name in self._players if name in logs})  # waits for the device
        now = time.perf_counter()
        if previous:
            self._seconds += now - self._resumed
        else:
            self._first = self.step
        if self.passed(self._loss_every, previous):
            self._losses.append({"step": self.step, **self._means.take()})
        if self.passed(self._settings.every, previous):
            self._look()
            seconds = self._settings.seconds
            if self.step >= self._settings.steps and (seconds is None or self._training_seconds() >= seconds):
                self.model.stop_training = True
        self._progress(self.step)
        self._resumed = time.perf_counter()

    def _look(self):
        try:
            measured, self._samples = self._measure(self.model)
        except NonFiniteLoss as error:
            raise NonFiniteLoss(f"{error} at step {self.step}") from None
        self._curve.append({"step": self.step, "measured": self._seconds, **measured})

    def _training_seconds(self) -> float:
        """Returns the seconds of training so far. The steps of the first call count like the average later step."""
        rest = self.step - self._first
        return self._seconds * (self.step / rest) if rest else 0.0

    def found(self) -> dict[str, Any]:
        curve = []
        # The first call also compiles, so the measured time starts after it.
        rate = self._training_seconds() / self.step if self.step else 0.0
        for row in self._curve:
            row = dict(row)
            seconds = row.pop("measured") + rate * min(self._first, row["step"])
            curve.append({"step": row.pop("step"), "seconds": round(seconds, 4), **_json(row)})
        return {
            "seconds": round(self._training_seconds(), 4),
            "curve": curve,
            "losses": [_json(row) for row in self._losses],
            "samples": None if self._samples is None else self._samples.tolist(),
        }


def _json(row: dict[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in row.items()}
