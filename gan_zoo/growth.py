"""Schedules of growing networks, as data: which resolution trains when, and how far its fade-in has come.

A GAN that grows has a method `growth(batch_size)` that returns such a schedule, and networks with a `stage` (0 is 4 x 4
pixels, each further stage has twice the side) and an `alpha` (how much of the newest stage shows, 0 to 1). The callback
`gan_zoo.callbacks.Grow` moves both.
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from gan_zoo.checks import number
from gan_zoo.errors import UserError
from gan_zoo.networks import growing
from gan_zoo.structures import map_images


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of training at one stage: the new stage fades in, or all of it trains.

    Attributes:
        stage: 0 for 4 x 4 pixels, 1 for 8 x 8, and so on.
        fade: Whether alpha goes from 0 to 1 in this phase; else it is 1.
        batch_size: Examples in a minibatch.
        steps: Generator updates.
        images: Real images that one step shows: batch_size times n_critic.
    """

    stage: int
    fade: bool
    batch_size: int
    steps: int
    images: int

    @property
    def resolution(self) -> int:
        """The side of the images in pixels."""
        return growing.side_of(self.stage)


class Growth:
    """Phases one after the other; the last one goes on for as long as training does.

    Args:
        phases: In their order.

    Attributes:
        phases: The same.
        steps: Of all phases together.
    """

    def __init__(self, phases: Sequence[Phase]):
        self.phases = tuple(phases)
        self._ends = [sum(p.steps for p in self.phases[: k + 1]) for k in range(len(self.phases))]
        self.steps = self._ends[-1]

    def index(self, step: int) -> int:
        """The number of the phase that step `step`, counted from 0, belongs to."""
        return min(bisect.bisect_right(self._ends, step), len(self.phases) - 1)

    def phase(self, step: int) -> Phase:
        """The phase that step `step` belongs to."""
        return self.phases[self.index(step)]

    def phases_before(self, step: int) -> tuple[Phase, ...]:
        """The phases that the first `step` steps come to."""
        return self.phases[: self.index(max(step - 1, 0)) + 1]

    def start(self, step: int) -> int:
        """The first step of the phase that step `step` belongs to."""
        index = self.index(step)
        return self._ends[index] - self.phases[index].steps

    def end(self, step: int) -> int | None:
        """The first step after the phase that step `step` belongs to; None if it is the last phase."""
        index = self.index(step)
        return self._ends[index] if index + 1 < len(self.phases) else None

    def before(self, step: int) -> list[tuple[int, int]]:
        """What the phases before that of step `step` show: pairs of the real images in a step, and steps."""
        return [(phase.images, phase.steps) for phase in self.phases[: self.index(step)]]

    def alpha(self, step: int) -> float:
        """How much of the newest stage step `step` sees: 0 in the first step of a fade, 1 after its last."""
        phase = self.phase(step)
        return min(1.0, (step - self.start(step)) / phase.steps) if phase.fade else 1.0

    def images(self, step: int) -> int:
        """Real images shown in the first `step` steps."""
        index = self.index(step)
        before = sum(phase.steps * phase.images for phase in self.phases[:index])
        return before + (step - self.start(step)) * self.phases[index].images


def schedule(
    stages: int, *, fade_kimg: float, stabilize_kimg: float, batch_sizes: Sequence[int], n_critic: int = 1
) -> Growth:
    """The schedule of progressive GAN: stage 0 trains, then every further stage fades in and trains.

    Args:
        stages: How many stages there are.
        fade_kimg: Thousands of real images over which a stage fades in.
        stabilize_kimg: Thousands of real images for which it then trains alone.
        batch_sizes: Examples in a minibatch, for each stage.
        n_critic: Discriminator turns in a step.

    References:
        Karras et al., 2018, Section 2 and Appendix A, https://arxiv.org/abs/1710.10196
    """
    phases = []
    for stage in range(stages):
        images = batch_sizes[stage] * n_critic
        for fade, kimg in ((True, fade_kimg), (False, stabilize_kimg)):
            if stage or not fade:
                phases.append(Phase(stage, fade, batch_sizes[stage], max(1, math.ceil(1000 * kimg / images)), images))
    return Growth(phases)


class Grows:
    """A mixin for a GAN whose networks grow (`gan_zoo.networks.growing`); on other networks it changes nothing.

    A variant writes `class MyGAN(Grows, GAN)` and takes its real images through `at_stage`.

    Args:
        *args: The GAN's.
        fade_kimg: Thousands of real images over which a stage fades in.
        stabilize_kimg: Thousands of real images for which it then trains.
        batch_sizes: Minibatch sizes by the side of the images, {4: 128, 8: 64}, where they are not the run's.
        **kwargs: The GAN's.

    Raises:
        UserError: If a number is not positive.
    """

    def __init__(self, *args, fade_kimg: float = 600.0, stabilize_kimg: float = 600.0, batch_sizes=None, **kwargs):
        self._whole = False
        super().__init__(*args, **kwargs)
        for name, value in (("fade_kimg", fade_kimg), ("stabilize_kimg", stabilize_kimg)):
            number(name, value, positive=True)
        self.fade_kimg = fade_kimg
        self.stabilize_kimg = stabilize_kimg
        try:
            # Files of JSON keep the sides as strings.
            self.batch_sizes = batch_sizes and {int(side): int(size) for side, size in dict(batch_sizes).items()}
            good = not batch_sizes or min(self.batch_sizes.values()) > 0
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good:
            raise UserError(
                f"batch_sizes must map sides to numbers of examples, as {{4: 128, 8: 64}}, not {batch_sizes!r}."
            )

    @property
    def is_growing(self) -> bool:
        """Whether the networks are of those that grow."""
        return isinstance(self.discriminator, growing.GrowingDiscriminator)

    @property
    def example_shape(self):
        """Images of any side: `at_stage` brings them to that of the networks."""
        shape = super().example_shape
        return (None, None, shape[-1]) if self.is_growing else shape

    def growth(self, batch_size: int) -> Growth | None:
        """The schedule for minibatches of `batch_size` examples; None if the networks do not grow."""
        if not self.is_growing:
            return None
        sides = [growing.side_of(stage) for stage in range(self.discriminator.stages)]
        return schedule(
            len(sides),
            fade_kimg=self.fade_kimg,
            stabilize_kimg=self.stabilize_kimg,
            batch_sizes=[(self.batch_sizes or {}).get(side, batch_size) for side in sides],
            n_critic=self.n_critic,
        )

    def grow(self, stage: int, alpha: float) -> None:
        """Puts both networks at a stage, 0 being 4 x 4 pixels, of which the share `alpha` shows.

        When the stage changes, the graphs of training, evaluation and prediction are traced again.

        Raises:
            UserError: If there is no such stage, or alpha is outside of [0, 1].
        """
        for network in self.networks().values():
            network.grow(stage, alpha)
        self.retrace()

    def traced_for(self) -> tuple:
        stages = (self.generator.stage, self.discriminator.stage) if self.is_growing else ()
        return (*super().traced_for(), *stages)

    def at_stage(self, x: Any) -> Any:
        """Real examples as the current stage sees them: images, [B, H, W, C], at its side, faded like the networks."""
        return map_images(self._image_at_stage, x) if self.is_growing else x

    def _image_at_stage(self, x: tf.Tensor) -> tf.Tensor:
        network = self.discriminator
        times = int(x.shape[1] // network.side).bit_length() - 1
        if network.side << max(times, 0) != x.shape[1]:
            raise UserError(
                f"images of {x.shape[1]} pixels cannot be brought to the stage's {network.side} by halving."
            )
        x = growing.downsample(x, times)
        return growing.fade(growing.upsample(growing.downsample(x)), x, network.alpha) if network.stage else x

    @property
    def generator_variables(self):
        return self._in_use(self.generator)

    @property
    def discriminator_variables(self):
        return self._in_use(self.discriminator)

    def _in_use(self, network):
        return network.active_variables if self.is_growing and not self._whole else network.trainable_variables

    def compile(self, *args, **kwargs) -> None:
        """As `GAN.compile`. The optimizers know the variables of all stages from the start."""
        self._whole = True
        try:
            super().compile(*args, **kwargs)
        finally:
            self._whole = False
