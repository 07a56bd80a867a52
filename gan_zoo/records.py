"""Terms of losses that a step logs."""

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf


class Records:
    """A mixin for a model whose losses log their terms: `record`, and what collects the records of a step."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._recorded = threading.local()  # MirroredStrategy traces each replica in a thread of its own

    def record(self, name: str, value: tf.Tensor) -> None:
        """Logs a term of a loss, a scalar, under `name`; where a step records it more than once, their mean."""
        values = self.recorded(name)
        if not getattr(self._recorded, "all", False):
            values.clear()
        values.append(value)

    def recorded(self, name: str) -> list[tf.Tensor]:
        """What was recorded under `name` in this step so far; outside of a step the last value alone."""
        return self._recorded.__dict__.setdefault("values", {}).setdefault(name, [])

    @contextlib.contextmanager
    def recording(self) -> Iterator[dict[str, list[tf.Tensor]]]:
        """Collects what losses `record` within the block, by name; at its end nothing of that is kept."""
        outer = dict(self._recorded.__dict__)
        self._recorded.all, self._recorded.values = True, {}
        try:
            yield self._recorded.values
        finally:
            self._recorded.__dict__.clear()
            self._recorded.__dict__.update(outer)
