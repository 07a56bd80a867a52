"""Draws samples of the same latents while training."""

import math
from pathlib import Path

from gan_zoo.callbacks.average import GeneratorEMA
from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.nn import precision
from gan_zoo.run_folder.tensorboard import Events
from gan_zoo.util import checks, pictures
from gan_zoo.util.class_names import shown_classes
from gan_zoo.util.seeds import stream


class SampleGrid(StepCallback):
    """Writes a picture of samples of fixed latents at regular intervals, at the start and at the end.

    If the model has classes, each row shows one class: all classes, or 16 at equal distances.

    Args:
        folder: Folder of the pictures `step-00001000.png` and so on; created if missing.
        every: Steps between pictures.
        ema: The moving average whose model is sampled. None samples the model itself.
        n: Number of samples in a picture of images. Pictures of points have 16 times as many.
        seed: Seed of the latents.
        real: Points of the data, [M, D], drawn under the samples in pictures of points.
        events: Also receives the pictures, for TensorBoard. None for no events.
        step: The step at which training starts.
    """

    def __init__(
        self,
        folder: str | Path,
        every: int = 500,
        ema: GeneratorEMA | None = None,
        n: int = 64,
        seed: int = 0,
        real=None,
        events: Events | None = None,
        step: int = 0,
    ):
        super().__init__(step)
        self.folder, self.every, self.ema = checks.path("folder", folder), every, ema
        self.n, self.seed, self.real, self.events = n, seed, real, events
        self.written = step

    def on_train_begin(self, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.step == 0:
            self._write()

    def on_step(self, previous, logs):
        if self.passed(self.every, previous):
            self._write()

    def on_train_end(self, logs=None):
        if self.written < self.step:
            self._write()

    def _write(self):
        self.written = self.step
        model = self.ema.averaged_model if self.ema else self.model
        seed = stream(self.seed, "pictures")
        is_image = len(model.sampling_network.output_shape) == 4
        if model.classes and is_image:
            columns = math.isqrt(self.n)
            labels = [label for label in shown_classes(model.classes) for _ in range(columns)]
            z = model.sample_latent(len(labels), seed=seed, label=labels)
        else:
            columns = None
            z = model.sample_latent(self.n if is_image else 16 * self.n, seed=seed)
        samples = precision.at_least_float32(model(z))
        picture = pictures.picture(samples.numpy(), real=self.real, columns=columns)
        pictures.save_png(picture, self.folder / f"step-{self.step:08d}.png")
        if self.events:
            self.events.picture(self.step, "samples", picture)
