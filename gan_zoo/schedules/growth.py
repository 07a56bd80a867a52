"""Schedules of growing networks: which stage trains in each step, and the progress of its fade-in.

A GAN that grows has a method `growth(batch_size)`, which returns such a schedule. Its networks have a `stage` (0 is
4 x 4 pixels, each further stage has twice the side) and an `alpha` (the weight of the newest stage, 0 to 1). The
callback `gan_zoo.callbacks.Grow` sets both.
"""

import bisect
import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from gan_zoo.networks import growing
from gan_zoo.nn.image_leaves import map_images
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of training at one stage, in which the stage fades in or trains at full weight.

    Attributes:
        stage: 0 for 4 x 4 pixels, 1 for 8 x 8, and so on.
        fade: Whether alpha goes from 0 to 1 in this phase; else it is 1.
        batch_size: The number of examples in a minibatch.
        steps: The number of generator updates.
        images: The number of real images in one step: batch_size times n_critic.
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
    """A sequence of phases. The last one continues until training ends.

    Args:
        phases: The phases in their order.

    Attributes:
        phases: The phases, a tuple.
        steps: The number of steps of all phases together.
    """

    def __init__(self, phases: Sequence[Phase]):
        self.phases = tuple(phases)
        self._ends = [sum(p.steps for p in self.phases[: k + 1]) for k in range(len(self.phases))]
        self.steps = self._ends[-1]

    def index(self, step: int) -> int:
        """The index of the phase that contains step `step`; both count from 0."""
        return min(bisect.bisect_right(self._ends, step), len(self.phases) - 1)

    def phase(self, step: int) -> Phase:
        """The phase that contains step `step`."""
        return self.phases[self.index(step)]

    def phases_before(self, step: int) -> tuple[Phase, ...]:
        """The phases that contain the first `step` steps."""
        return self.phases[: self.index(max(step - 1, 0)) + 1]

    def start(self, step: int) -> int:
        """The first step of the phase that contains step `step`."""
        index = self.index(step)
        return self._ends[index] - self.phases[index].steps

    def end(self, step: int) -> int | None:
        """The first step after the phase that contains step `step`; None for the last phase."""
        index = self.index(step)
        return self._ends[index] if index + 1 < len(self.phases) else None

    def before(self, step: int) -> list[tuple[int, int]]:
        """For each phase before that of step `step`: the number of real images in a step, and the number of steps."""
        return [(phase.images, phase.steps) for phase in self.phases[: self.index(step)]]

    def alpha(self, step: int) -> float:
        """The weight of the newest stage in step `step`: 0 in the first step of a fade, 1 after its last step."""
        phase = self.phase(step)
        return min(1.0, (step - self.start(step)) / phase.steps) if phase.fade else 1.0

    def images(self, step: int) -> int:
        """The number of real images in the first `step` steps."""
        index = self.index(step)
        before = sum(phase.steps * phase.images for phase in self.phases[:index])
        return before + (step - self.start(step)) * self.phases[index].images


def schedule(
    stages: int, *, fade_kimg: float, stabilize_kimg: float, batch_sizes: Sequence[int], n_critic: int = 1
) -> Growth:
    """The schedule of progressive GAN: stage 0 trains, then every further stage fades in and trains.

    Args:
        stages: The number of stages.
        fade_kimg: Thousands of real images over which a stage fades in.
        stabilize_kimg: Thousands of real images for which the stage then trains at full weight.
        batch_sizes: The number of examples in a minibatch, for each stage.
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
    """A mixin for a GAN whose networks grow (`gan_zoo.networks.growing`). It has no effect with other networks.

    A variant declares `class MyGAN(Grows, GAN)` and passes its real images through `at_stage`.

    Args:
        *args: Arguments of the GAN.
        fade_kimg: Thousands of real images over which a stage fades in.
        stabilize_kimg: Thousands of real images for which the stage then trains at full weight.
        batch_sizes: Minibatch sizes by the side of the images, {4: 128, 8: 64}; stages without an entry use the run's
            batch size.
        **kwargs: Arguments of the GAN.

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
            # In JSON files the sides are strings.
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
        """Whether the networks can grow."""
        return isinstance(self.discriminator, growing.GrowingDiscriminator)

    @property
    def example_shape(self):
        """Shape of one real example, with any side: `at_stage` scales images to the side of the networks."""
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
        """Sets the stage of both networks, where 0 is 4 x 4 pixels, and its weight `alpha`.

        If the stage changes, the graphs of training, evaluation and prediction are traced again.

        Raises:
            UserError: If there is no such stage, or if alpha is outside of [0, 1].
        """
        for network in self.networks().values():
            network.grow(stage, alpha)
        self.retrace()

    def traced_for(self) -> tuple:
        stages = (self.generator.stage, self.discriminator.stage) if self.is_growing else ()
        return (*super().traced_for(), *stages)

    def at_stage(self, x: Any) -> Any:
        """Real examples for the current stage: images, [B, H, W, C], at its side and faded like the networks."""
        return map_images(self._image_at_stage, x) if self.is_growing else x

    def _image_at_stage(self, x: tf.Tensor) -> tf.Tensor:
        network = self.discriminator
        times = int(x.shape[1] // network.side).bit_length() - 1
        if network.side << max(times, 0) != x.shape[1]:
            raise UserError(
                f"images of {x.shape[1]} pixels cannot be reduced to the stage's {network.side} pixels by halving."
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
        """Like `GAN.compile`. The optimizers are built for the variables of all stages."""
        self._whole = True
        try:
            super().compile(*args, **kwargs)
        finally:
            self._whole = False
