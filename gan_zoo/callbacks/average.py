"""The moving average of the networks that samples and exports are made of."""

import keras
import tensorflow as tf

from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.nn import precision
from gan_zoo.nn.averaged_networks import as_one
from gan_zoo.replicas.steps import RunsSteps


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
        average: All averaged networks as one Keras model, whose weights are saved in checkpoints.

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
