"""Saves checkpoints while training."""

from pathlib import Path

from gan_zoo.callbacks.average import GeneratorEMA
from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.run_folder import checkpoints
from gan_zoo.util import checks


class Checkpoint(StepCallback):
    """Saves everything that training needs to continue bit for bit. See `gan_zoo.run_folder.checkpoints`.

    Args:
        folder: Folder of the checkpoints, with one subfolder per checkpoint; created if missing. None writes nothing
            and only checks that the state can be saved, so that all workers detect a bad state at the same step as the
            worker that writes.
        every: Steps between checkpoints. 0 saves only at the end.
        keep: Number of newest checkpoints that are kept.
        ema: The moving average, saved too if given.
        step: The step at which training starts.
    """

    def __init__(
        self,
        folder: str | Path | None,
        every: int = 1000,
        keep: int = 2,
        ema: GeneratorEMA | None = None,
        step: int = 0,
    ):
        super().__init__(step)
        self.folder = None if folder is None else checks.path("folder", folder)
        self.every, self.keep, self.ema = every, keep, ema
        self.saved = step

    def on_step(self, previous, logs):
        if self.passed(self.every, previous):
            self._save()

    def on_train_end(self, logs=None):
        if self.saved < self.step:
            self._save()

    def _save(self):
        if self.folder is None:
            checkpoints.require_finite(self.model, self.step)
        else:
            ema = self.ema.average if self.ema else None
            checkpoints.save(self.folder, self.model, self.step, ema, self.keep)
        self.saved = self.step
