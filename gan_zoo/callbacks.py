"""Keras callbacks for GAN training: moving average, sample grids, metrics, checkpoints, and conditions that stop it.

Each callback counts optimizer steps (generator updates) itself, across epochs and with any `steps_per_execution`.
"""

import contextlib
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf

from gan_zoo import checkpoints, checks, images, precision
from gan_zoo.class_names import shown_classes
from gan_zoo.errors import NonFiniteLoss
from gan_zoo.events import Events
from gan_zoo.loop import RunsSteps
from gan_zoo.optimizers import inner
from gan_zoo.output import Tolerant
from gan_zoo.randomness import stream


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


class GeneratorEMA(StepCallback):
    """Keeps an exponential moving average of the sampling networks, including batch normalization statistics.

    Samples of the average are better than those of the current weights, which oscillate (Yazici et al., 2019; Karras et
    al., 2018, Section 5). At update t the decay is min(decay, (1 + t) / (10 + t)), so that the average forgets the
    untrained weights in short runs too.

    The average includes every step, even if one call of the graph takes several steps, so the result does not depend
    on `steps_per_execution`. Weights in half precision are averaged in float32.

    Args:
        decay: Weight of the past at each step. Defaults to 0.999, as in progressive GAN.
        step: The step at which training starts.

    Attributes:
        networks: The averaged networks by name, as separate Keras models: those in the model's `averaged`. They exist
            once the model is set.

    References:
        Yazici et al., 2019, https://arxiv.org/abs/1806.04498
    """

    def __init__(self, decay: float = 0.999, step: int = 0):
        super().__init__(step)
        self.decay = decay
        self.networks: dict[str, keras.Model] = {}
        self._averaged_model = None

    @property
    def generator(self) -> keras.Model | None:
        """The averaged network that the model samples from, usually the generator; None before the model is set."""
        return next(iter(self.networks.values()), None)

    @property
    def average(self) -> keras.Model:
        """All averaged networks as one Keras model, whose weights are saved in checkpoints."""
        return self._average_network

    @property
    def averaged_model(self) -> keras.Model:
        """A model of the same class that contains the averaged networks. Use it to sample and to export."""
        if self._averaged_model is None:
            seed = int(self.model.random_state[0])  # drawing a seed would advance Python's global generator
            with self.model.distribute_strategy.scope():
                self._averaged_model = self.model.rebuilt(**self.networks, seed=seed)
        return self._averaged_model

    def set_model(self, model):
        super().set_model(model)
        if not self.networks:
            with model.distribute_strategy.scope():
                for name in getattr(model, "averaged", ("generator",)):
                    self.networks[name] = precision.with_float32_weights(getattr(model, name))
                    self.networks[name].set_weights(getattr(model, name).get_weights())
                self._average_network = _as_one(self.networks)
                self._count = keras.Variable(self.step, trainable=False, dtype="int64", name="averaged_steps")
            self._pairs = [
                pair
                for name, network in self.networks.items()
                for pair in zip(network.variables, getattr(model, name).variables, strict=True)
            ]
            # Traced here: TensorFlow warns if updates of several models are traced one after the other in calls.
            self._update = tf.function(self._average).get_concrete_function(tf.TensorSpec([], tf.float64))
        if isinstance(model, RunsSteps):
            self._count.assign(self.step)
            model.follow(self._follow)

    def _average(self, decay):
        for average, value in self._pairs:
            if average.dtype.startswith("float"):
                share = 1.0 - tf.cast(decay, average.dtype)
                average.assign(average.value + share * (tf.cast(value.value, average.dtype) - average.value))
            else:
                average.assign(value.value)

    def _follow(self, logs):
        """Adds one step to the average, in the graph. Skips a diverged step, which is detected only after the call."""
        step = tf.cast(self._count.value, tf.float64)
        decay = tf.minimum(tf.constant(self.decay, tf.float64), (1.0 + step) / (10.0 + step))
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in logs.values()])
        tf.cond(finite, lambda: self._average(decay), lambda: None)
        self._count.assign_add(1)

    def on_step(self, previous, logs):
        if self._count.numpy() == self.step:  # the graph has already updated the average
            return
        decay = min(self.decay, (1 + previous) / (10 + previous)) ** (self.step - previous)
        self._update(tf.constant(decay, tf.float64))
        self._count.assign(self.step)


def average_of(model: keras.Model) -> keras.Model:
    """Returns the networks of a model that its average replaces, as one Keras model for checkpoints."""
    return _as_one({name: getattr(model, name) for name in model.averaged})


def _as_one(networks: dict[str, keras.Model]) -> keras.Model:
    return next(iter(networks.values())) if len(networks) == 1 else _Networks(networks)


class _Networks(keras.Model):
    """Holds networks by name, so that their weights are saved in one file."""

    def __init__(self, networks: dict[str, keras.Model]):
        super().__init__()
        for name, network in networks.items():
            setattr(self, name, network)
        self.built = True


class Grow(StepCallback):
    """Moves growing networks along their schedule: stage, fade-in, and new optimizer state in each phase.

    Each phase resets the moments and step counts of the optimizers, as in the code of Karras et al. (2018), because
    moments of the gradients of the previous networks would be wrong.

    Args:
        growth: The schedule, a `gan_zoo.growth.Growth`.
        ema: The moving average, whose networks grow too. Put it before this callback.
        step: The step at which training starts.
    """

    def __init__(self, growth, ema: GeneratorEMA | None = None, step: int = 0):
        super().__init__(step)
        self.growth, self.ema = growth, ema
        self._state = None

    def on_train_begin(self, logs=None):
        self._state = None  # the networks may have been set to another stage since the last training
        self._grow()

    def on_step(self, previous, logs):
        self._grow()
        if self.growth.index(previous) != self.growth.index(self.step):
            for optimizer in self.model.optimizers().values():
                _reset(optimizer)

    def _grow(self):
        state = self.growth.phase(self.step).stage, self.growth.alpha(self.step)
        if self.ema:
            for network in self.ema.networks.values():
                network.grow(*state)  # at every step: averaging changes alpha too
        if state != self._state:
            self._state = state
            self.model.grow(*state)


def _reset(optimizer) -> None:
    """Resets the state of an optimizer to its initial values, except for its learning rate and loss scale."""
    optimizer = inner(optimizer)
    for variable in optimizer.variables:
        if variable is not optimizer._learning_rate:
            variable.assign(tf.zeros_like(variable.value))


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


class Checkpoint(StepCallback):
    """Saves everything that training needs to continue bit for bit. See `gan_zoo.checkpoints`.

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
        picture = images.picture(samples.numpy(), real=self.real, columns=columns)
        images.save_png(picture, self.folder / f"step-{self.step:08d}.png")
        if self.events:
            self.events.picture(self.step, "samples", picture)


class Means:
    """Means of logs since the last `take`."""

    def __init__(self):
        self._sums, self.count = {}, 0

    def add(self, logs: dict) -> None:
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: total / self.count for name, total in self._sums.items()}
        self._sums, self.count = {}, 0
        return means


class MetricsLog(StepCallback):
    """Appends lines of JSON with the means of the logs since the last line, and writes TensorBoard scalars.

    Each line has "step", "kimg" (thousands of real images shown), "seconds" (of training since the start of the
    process), the logs, and the values that other callbacks pass to `note`. Lines beyond `step`, which a killed process
    may have left, are removed at the start.

    Args:
        path: Path of the file, `metrics.jsonl`. Its folder is created if missing.
        images_shown: Returns the number of real images shown in a number of steps.
        every: Steps between lines. Each step with a `note` also gets a line.
        events: Also receives the scalars, for TensorBoard. None for no events.
        step: The step at which training starts.
    """

    def __init__(
        self,
        path: str | Path,
        images_shown: Callable[[int], int],
        every: int = 50,
        events: Events | None = None,
        step: int = 0,
    ):
        super().__init__(step)
        self.path, self.images_shown = checks.path("path", path), images_shown
        self.every, self.events = every, events
        self._means, self._notes, self._start = Means(), {}, None

    def on_train_begin(self, logs=None):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            kept = [
                line for line in self.path.read_text("utf-8", "replace").splitlines() if _step_of(line) <= self.step
            ]
            with images.atomic_file(self.path) as file:
                file.write("".join(f"{line}\n" for line in kept).encode())
        self._start = self._start or time.perf_counter()

    def on_step(self, previous, logs):
        self._means.add(logs)
        if self._notes or self.passed(self.every, previous):
            self._write()

    def note(self, values: dict[str, float]) -> None:
        """Requests a line for this step with additional values. Only callbacks before this one may call it."""
        self._notes.update(values)

    def on_train_end(self, logs=None):
        if self._means.count:
            self._write()

    def _write(self):
        means, self._notes = self._means.take() | self._notes, {}
        line = {
            "step": self.step,
            "kimg": self.images_shown(self.step) / 1000,
            "seconds": round(time.perf_counter() - self._start, 3),
            **means,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.events:
            self.events.scalars(self.step, means)


def _step_of(line: str) -> float:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf  # an incomplete line of a process that was killed while it wrote
    return step if type(step) in (int, float) else math.inf


class Progress(StepCallback):
    """Prints a progress line with steps, losses, real images per second and the remaining time.

    On a terminal the line is updated every second. Elsewhere a new line is printed every `seconds`.

    Args:
        total: The step at which training ends.
        images_shown: Returns the number of real images shown in a number of steps.
        seconds: Seconds between lines if the output is not a terminal.
        step: The step at which training starts.
        output: The output stream. Defaults to standard output.
    """

    def __init__(self, total: int, images_shown: Callable[[int], int], seconds=30.0, step: int = 0, output=None):
        super().__init__(step)
        self.total, self.images_shown = total, images_shown
        output = sys.stdout if output is None else output
        self.output = output if isinstance(output, Tolerant) else Tolerant(output, "The progress of training")
        self.terminal = self.output.isatty()
        self.seconds = 1.0 if self.terminal else seconds
        self._printed = None

    def on_step(self, previous, logs):
        now = time.perf_counter()
        if self._printed is None:
            # The first step compiles, so speed is measured from its end.
            self._printed, self._start, self._first = now, now, self.step
            self._write(logs, None)
        elif now - self._printed >= self.seconds or self.step == self.total:
            self._printed = now
            self._write(logs, now - self._start)

    def on_train_end(self, logs=None):
        if self.terminal:
            print(file=self.output)

    def _write(self, logs, seconds):
        parts = [f"step {self.step}/{self.total}", *(f"{name} {float(value):.4g}" for name, value in logs.items())]
        if seconds:
            images = self.images_shown(self.step) - self.images_shown(self._first)
            left = duration((self.total - self.step) * seconds / (self.step - self._first))
            parts += [f"{images / seconds:.0f} images/s", f"{left} left"]
        line = "  ".join(parts)
        print(f"\r{line}\033[K" if self.terminal else line, end="" if self.terminal else "\n", file=self.output)
        self.output.flush()


def duration(seconds: float) -> str:
    """Formats seconds as "2h05m", "5m03s" or "12s"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


class StepTimer(keras.callbacks.Callback):
    """Measures the duration of each step, including the wait for its losses.

    Attributes:
        seconds: Duration of each call of Keras's train function so far. The first call compiles.
    """

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_begin(self, logs=None):
        self._last = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        for value in (logs or {}).values():
            float(value)  # waits for the device
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
