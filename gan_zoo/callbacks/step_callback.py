"""The base class of callbacks that count optimizer steps."""

import keras


class StepCallback(keras.callbacks.Callback):
    """Base class of callbacks that count steps, that is, generator updates.

    Args:
        step: The step at which training starts. Not 0 if training resumes.
    """

    def __init__(self, step: int = 0):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        previous, self.step = self.step, self.step + self.model.steps_per_execution
        self.on_step(previous, logs or {})

    def on_step(self, previous: int, logs: dict) -> None:
        """Called after training has advanced from step `previous` to `self.step`."""

    def passed(self, every: int, previous: int) -> bool:
        """Returns whether (previous, self.step] contains a multiple of `every`. False if `every` is 0."""
        return bool(every) and self.step // every > previous // every
