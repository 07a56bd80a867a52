"""The moving average of the networks that samples and exports are made of."""

from collections.abc import Callable

import keras
import tensorflow as tf

from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.nn import precision
from gan_zoo.nn.averaged_networks import as_one
from gan_zoo.replicas.steps import RunsSteps
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError

_RAMP_UP = 0.05
"""The half-life is at most this share of the images so far, as in the authors' code of StyleGAN2."""


class GeneratorEMA(StepCallback):
    """Keeps an exponential moving average of the sampling networks, including batch normalization statistics.

    Samples of the average are better than those of the current weights, which oscillate (Yazici et al., 2019; Karras et
    al., 2018, Section 5). At update t the decay is min(decay, (1 + t) / (10 + t)), so that the average forgets the
    untrained weights in short runs too.

    With a half-life the decay is 0.5^(b / min(h, 0.05 n)) instead, where h is the half-life, b the number of images in
    the step and n the number of images in all steps before it. So the result does not depend on the minibatch size, and
    the average forgets the untrained weights. The first step has n = 0, and its average is the current weights.

    The average includes every step, even if one call of the graph takes several steps, so the result does not depend
    on `steps_per_execution`. Weights in half precision are averaged in float32.

    Args:
        decay: Weight of the past at each step. Defaults to 0.999, as in progressive GAN.
        step: The step at which training starts.
        half_life: Number of images after which the weight of a step is halved. It replaces `decay`. None, the default,
            uses `decay`.
        images: Function that returns the number of images in the first `step` steps, for a half-life. Between two calls
            of `fit` it must be linear. Images are those of one minibatch for each step, whatever `n_critic` is.

    Raises:
        UserError: If `half_life` is not positive, or comes without `images`.

    Attributes:
        networks: The averaged networks by name, as separate Keras models: those in the model's `averaged`. They exist
            once the model is set.
        average: All averaged networks as one Keras model, whose weights are saved in checkpoints.

    References:
        Yazici et al., 2019, https://arxiv.org/abs/1806.04498
        Karras et al., 2020 (StyleGAN2), https://arxiv.org/abs/1912.04958
    """

    def __init__(
        self,
        decay: float = 0.999,
        step: int = 0,
        *,
        half_life: float | None = None,
        images: Callable[[int], int] | None = None,
    ):
        super().__init__(step)
        self.decay = decay
        self.half_life = None if half_life is None else number("half_life", half_life, positive=True)
        if self.half_life and images is None:
            raise UserError("half_life is a number of images: give images as well, a function of the step.")
        self.images = images
        self.networks: dict[str, keras.Model] = {}
        self._averaged_model = None

    @property
    def generator(self) -> keras.Model | None:
        """The averaged network that the model samples from, usually the generator; None before the model is set."""
        return next(iter(self.networks.values()), None)

    @property
    def averaged_model(self) -> keras.Model:
        """A model of the same class that contains the averaged networks. Use it to sample and to export."""
        if self._averaged_model is None:
            seed = int(self.model.random_state[0])  # drawing a seed would advance Python's global generator
            # Not in the strategy's scope, in which all workers would have to create the variables together.
            self._averaged_model = self.model.rebuilt(**self.networks, seed=seed)
        return self._averaged_model

    def set_model(self, model):
        super().set_model(model)
        if not self.networks:
            with model.distribute_strategy.scope():
                for name in getattr(model, "averaged", ("generator",)):
                    self.networks[name] = precision.with_float32_weights(getattr(model, name))
                    self.networks[name].set_weights(getattr(model, name).get_weights())
                self.average = as_one(self.networks)
                self._count = keras.Variable(self.step, trainable=False, dtype="int64", name="averaged_steps")
                # For a half-life: a step at or before the current one, the images before it, and those of each step.
                self._line = keras.Variable([0.0, 0.0, 0.0], trainable=False, dtype="float64", name="averaged_images")
            self._pairs = [
                pair
                for name, network in self.networks.items()
                for pair in zip(network.variables, getattr(model, name).variables, strict=True)
            ]
            # Traced here: TensorFlow warns if updates of several models are traced one after the other in calls.
            self._update = tf.function(self._average).get_concrete_function(tf.TensorSpec([], tf.float64))
        if self.images is not None:
            now, after = self.images(self.step), self.images(self.step + 1)
            self._line.assign([self.step, now, after - now])
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
        decay = self._decay_at(tf.cast(self._count.value, tf.float64))
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in logs.values()])
        tf.cond(finite, lambda: self._average(decay), lambda: None)
        self._count.assign_add(1)

    def on_step(self, previous, logs):
        if self._count.numpy() == self.step:  # the graph has already updated the average
            return
        decay = self._decay_at(tf.constant(previous, tf.float64)) ** (self.step - previous)
        self._update(decay)
        self._count.assign(self.step)

    def _decay_at(self, step: tf.Tensor) -> tf.Tensor:
        """The decay of the update after `step` steps, a float64 scalar."""
        if self.half_life is None:
            return tf.minimum(tf.constant(self.decay, tf.float64), (1.0 + step) / (10.0 + step))
        start, before, images = tf.unstack(self._line.value)
        half_life = tf.minimum(tf.constant(self.half_life, tf.float64), _RAMP_UP * (before + (step - start) * images))
        return 0.5 ** (images / tf.maximum(half_life, 1e-8))
