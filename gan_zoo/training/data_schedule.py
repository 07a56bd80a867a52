"""The data of each step: one resolution and batch size, or those of the phases of growing networks."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gan_zoo import data
from gan_zoo.training.config import flag_of_labels
from gan_zoo.util.seeds import stream

if TYPE_CHECKING:
    from gan_zoo.schedules.growth import Growth


class DataSchedule:
    """The data of a run by step.

    Args:
        found: The data at the networks' last resolution, not yet decoded.
        find: Returns the data at another resolution, in pixels.
        batch_size: Examples in a minibatch, over all replicas.
        turns: Minibatches in a step.
        seed: Seed of the run.
        labelled: Number of examples with labels, for a model that learns from few labels; None for other models.
        growth: The phases of growing networks; None for networks that do not grow.
        steps: The last step. Defaults to that of `growth`.

    Attributes:
        steps: The last step.
    """

    def __init__(
        self,
        found: data.Found,
        find: Callable[[int], data.Found],
        *,
        batch_size: int,
        turns: int,
        seed: int,
        labelled: int | None = None,
        growth: "Growth | None" = None,
        steps: int | None = None,
    ):
        self.found, self._find, self.batch_size = found, find, batch_size
        self.turns, self.seed, self.growth = turns, seed, growth
        self._few = {} if labelled is None else {"labelled": labelled}
        self.steps = steps or growth.steps
        self._phase_source = None
        self._examples = None, None

    @functools.cached_property
    def source(self) -> data.Source:
        """The data at the networks' last resolution, which are decoded or read from the cache at the first use."""
        return self.found.open()

    def check(self, known: data.Found | data.Source) -> None:
        """Checks that the data fill a batch of every phase that training reaches.

        Raises:
            UserError: If they do not.
        """
        phases = self.growth.phases_before(self.steps) if self.growth else ()
        with flag_of_labels("--labelled"):
            for size in {phase.batch_size for phase in phases} or {self.batch_size}:
                known.check(size, n_critic=self.turns, seed=self.seed, **self._few)

    def batch_sizes(self) -> set[int]:
        """Minibatch sizes of all phases."""
        return {phase.batch_size for phase in self.growth.phases} if self.growth else {self.batch_size}

    def images_shown(self, step: int) -> int:
        """Returns the number of real images in the first `step` steps."""
        return self.growth.images(step) if self.growth else step * self.batch_size * self.turns

    def images_averaged(self, step: int) -> int:
        """Returns the number of images in one minibatch of each of the first `step` steps, for a moving average."""
        return self.images_shown(step) // self.turns

    def phase_end(self, step: int) -> int:
        """Returns the next step at which the data change, or the last step."""
        return min((self.growth and self.growth.end(step)) or self.steps, self.steps)

    def dataset(self, step: int):
        """Returns the data from step `step` to `phase_end(step)`."""
        settings = {"n_critic": self.turns, "seed": self.seed, **self._few}
        if self.growth is None:
            return self.source.batches(self.batch_size, start_step=step, **settings)
        start, before = step - self.growth.start(step), self.growth.before(step)
        size = self.growth.phase(step).batch_size
        return self._source_at(step).batches(size, start_step=start, before=before, **settings)

    def real_points(self):
        """Returns points of the data, [N, D], to draw below the samples."""
        return next(self.source.batches(2048, seed=stream(self.seed, "pictures"), labels=False).as_numpy_iterator())

    def real_examples(self, step: int) -> Any:
        """Returns a minibatch of real examples at the networks' resolution at step `step`, the same at each call.

        It is cached, because each new pipeline would leave its functions in TensorFlow's memory.
        """
        step = min(step, self.steps - 1)
        source, size = self._source_at(step), self.growth.phase(step).batch_size if self.growth else self.batch_size
        if self._examples[0] is not source:
            few = {**self._few, "labelled_seed": self.seed} if self._few else {}
            batches = source.batches(size, n_critic=self.turns, seed=stream(self.seed, "health"), **few)
            self._examples = source, next(iter(batches))
        return self._examples[1]

    def _source_at(self, step: int) -> data.Source:
        """Returns the images at the resolution of step `step`. Keeps one resolution besides the last one in memory."""
        resolution = self.growth.phase(step).resolution if self.growth else self.found.shape[0]
        if resolution == self.found.shape[0]:
            return self.source
        if self._phase_source is None or self._phase_source.shape[0] != resolution:
            self._phase_source = self._find(resolution).open()
        return self._phase_source
