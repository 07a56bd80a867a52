"""What makes the zoo fast, each to be taken away: `throughput.py --levers` measures what it was worth.

Here, not in the library, because nobody should train without them.
"""

import keras
import tensorflow as tf

from gan_zoo import convolution, gan, layers, networks, optimizers


def _batch_norm():
    layers.BatchNormalization.call = keras.layers.BatchNormalization.call


def _convolutions():
    convolution._on_cpu = lambda: False


def _leaky_relu():
    layers.LeakyReLU.call = lambda self, x: tf.nn.leaky_relu(x, self.negative_slope)


def _adam():
    optimizers.Adam.update_step = keras.optimizers.Adam.update_step


def _one_pass():
    networks.couples_examples = lambda network: True


def _resting_player():
    """Differentiates each loss for both players' variables."""

    def minimize(self, loss, x, variables, optimizer):
        z = self.sample_latent(gan.batch_size(x))
        both = [*self.discriminator_variables, *self.generator_variables]
        with tf.GradientTape() as tape:
            value = loss(x, z)
        gradients = dict(zip([v.path for v in both], tape.gradient(value, [v.value for v in both]), strict=True))
        with tf.control_dependencies([value, *(g for g in gradients.values() if g is not None)]):
            own = [tf.identity(gradients[variable.path]) for variable in variables]
        optimizer.apply(own, variables)
        return value

    gan.GAN.minimize = minimize


# Each name, and what there is without it. Those without a function are options of the run.
LEVERS = {
    "batch_norm": ("fused batch normalization", _batch_norm),
    "convolutions": ("convolutions by the fastest algorithm", _convolutions),
    "leaky_relu": ("LeakyReLU differentiated from its output", _leaky_relu),
    "adam": ("fused Adam", _adam),
    "one_pass": ("real and generated images in one pass", _one_pass),
    "resting_player": ("no gradients for the player that rests", _resting_player),
    "steps_per_execution": ("many steps per call of the graph", None),
    "xla": ("XLA", None),
}


def undo(names: list[str]) -> None:
    for name in names:
        if name in LEVERS and LEVERS[name][1] is not None:
            LEVERS[name][1]()
