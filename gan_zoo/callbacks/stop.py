"""Ends training at a loss that is not finite and at a signal."""

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator

import keras

from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.util.errors import NonFiniteLoss


class StopOnNonFinite(StepCallback):
    """Stops training at the first non-finite loss, before the state of that step is saved.

    Raises:
        NonFiniteLoss: With the step and the values.
    """

    def on_step(self, previous, logs):
        bad = {name: value for name, value in ((n, float(v)) for n, v in logs.items()) if not math.isfinite(value)}
        if bad:
            values = ", ".join(f"{name} = {value}" for name, value in bad.items())
            raise NonFiniteLoss(f"{values} at step {self.step}")


class StopOnSignal(keras.callbacks.Callback):
    """Ends training after the current step on SIGTERM or Ctrl-C. A second signal interrupts at once.

    Args:
        agree: Returns whether a condition is true in any of the processes that train together. Every process calls it
            after each step: if one worker stopped alone, the others would wait for it.

    Attributes:
        stopping: Whether training will end.
        signal: Number of the signal. SIGTERM if another worker received it.
        reason: The reason for the end of training, in a word or two.
    """

    def __init__(self, agree: Callable[[bool], bool] = bool):
        super().__init__()
        self.stopping, self.signal, self.reason = False, signal.SIGTERM, "a signal to another worker"
        self._agree, self._received = agree, False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles signals inside the `with` block, which must contain everything that a first signal may not interrupt.

        Outside the main thread it does nothing: Python lets only the main thread set handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            # Python delivers signals to the main thread only. Code that runs training in another thread handles them.
            yield
            return
        previous = {}

        def restore():
            for number, handler in previous.items():
                # None stands for a handler that was not set from Python.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

        def handle(number, frame):
            self._received, self.signal, self.reason = True, number, signal.Signals(number).name
            restore()

        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(number, handle)
        try:
            yield
        finally:
            restore()

    def on_train_batch_end(self, batch, logs=None):
        if self._agree(self._received):
            self.stopping = self.model.stop_training = True
