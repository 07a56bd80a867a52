"""Terms of losses that a step logs."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf


class Records:
    """A mixin for a model whose losses log their terms: `record`, and the methods that collect a step's records."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._recorded = threading.local()  # MirroredStrategy traces each replica in its own thread

    def record(self, name: str, value: tf.Tensor) -> None:
        """Logs a term of a loss, a scalar, under `name`. If a step records it more than once, the log is the mean."""
        values = self.recorded(name)
        if not getattr(self._recorded, "all", False):
            values.clear()
        values.append(value)

    def recorded(self, name: str) -> list[tf.Tensor]:
        """The values recorded under `name` in this step so far; outside of a step, only the last value."""
        return self._recorded.__dict__.setdefault("values", {}).setdefault(name, [])

    @contextlib.contextmanager
    def recording(self) -> Iterator[dict[str, list[tf.Tensor]]]:
        """Context that collects the values that losses `record`, by name. The end of the block discards them."""
        outer = dict(self._recorded.__dict__)
        self._recorded.all, self._recorded.values = True, {}
        try:
            yield self._recorded.values
        finally:
            self._recorded.__dict__.clear()
            self._recorded.__dict__.update(outer)
