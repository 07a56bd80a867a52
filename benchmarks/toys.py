"""The small games for the claims: networks, training with measurements at intervals, and the measures."""

import keras
import numpy as np
import tensorflow as tf

import gan_zoo
from gan_zoo.networks.building_blocks import scored
from gan_zoo.nn import optimizers
from gan_zoo.registry.variants import find_model

# Networks.


def perceptron(
    sizes: str,
    initializer: tuple = ("glorot_uniform",),
    scale: float = 1.0,
    minibatch_discrimination: bool = False,
) -> keras.Model:
    """Returns a perceptron with ReLU units, such as "2-128-128-1", on its input times `scale`.

    With `minibatch_discrimination`, the last layer compares each example with its minibatch.

    `initializer` is the name of the initial distribution of the kernels and its argument: ("orthogonal", gain),
    ("normal", standard deviation) or ("uniform", bound). Without an argument it is a Keras initializer.
    """
    first, *hidden, last = (int(size) for size in sizes.split("-"))
    inputs = keras.Input((first,))
    x = keras.layers.Rescaling(scale)(inputs) if scale != 1.0 else inputs
    for width in hidden:
        x = keras.layers.Dense(width, "relu", kernel_initializer=_initializer(*initializer))(x)
    x = scored(x, minibatch_discrimination)
    return keras.Model(inputs, keras.layers.Dense(last, kernel_initializer=_initializer(*initializer))(x))


def _initializer(name: str, value: float | None = None):
    if value is None:
        return keras.initializers.get(name)
    make = {
        "orthogonal": keras.initializers.Orthogonal,
        "normal": lambda std: keras.initializers.RandomNormal(0.0, std),
        "uniform": lambda bound: keras.initializers.RandomUniform(-bound, bound),
    }
    return make[name](value)


class Constant(keras.layers.Layer):
    """Maps every latent to the same trained numbers, or to their softmax."""

    def __init__(self, start, softmax: bool = False):
        super().__init__()
        self.start = np.asarray(start, "float32")
        self.softmax = softmax
        self.value = self.add_weight(self.start.shape, lambda *_, **__: self.start, name="value")

    def call(self, z):
        value = tf.nn.softmax(self.value) if self.softmax else tf.convert_to_tensor(self.value)
        return tf.zeros_like(z[:, :1]) + value


class Payoff(keras.layers.Layer):
    """Maps the other player's mixed strategy p to p A q, where q, the own strategy, is a softmax of trained numbers."""

    def __init__(self, matrix, start):
        super().__init__()
        self.matrix = tf.constant(matrix, tf.float32)
        self.start = np.asarray(start, "float32")
        self.value = self.add_weight(self.start.shape, lambda *_, **__: self.start, name="value")

    def call(self, p):
        return tf.linalg.matmul(p, self.matrix) @ tf.nn.softmax(self.value)[:, tf.newaxis]


class Line(keras.layers.Layer):
    """Maps z ~ U[-1, 1] to (theta, (z + 1) / 2): a line parallel to that of the data, at distance theta."""

    def __init__(self, start: float):
        super().__init__()
        self.theta = self.add_weight((1, 1), lambda *_, **__: [[start]], name="theta")

    def call(self, z):
        return tf.concat([tf.zeros_like(z) + self.theta, (z + 1.0) / 2.0], axis=1)


class Blurred(keras.layers.Layer):
    """Maps latents to new points of a synthetic distribution plus the latents: the frozen generator of gan_toy.py."""

    def __init__(self, name: str, seed: int):
        super().__init__()
        self.source = name
        self.stream = tf.random.Generator.from_seed(seed)

    def call(self, z):
        seed = self.stream.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        return gan_zoo.data.synthetic.sample(self.source, tf.shape(z)[0], seed) + z


def model(layer: keras.layers.Layer, inputs: int) -> keras.Model:
    x = keras.Input((inputs,))
    return keras.Model(x, layer(x))


# Training.


def optimizer(name: str, rate: float, *more: float) -> keras.optimizers.Optimizer:
    """Returns the optimizer ("adam", rate, beta_1, beta_2), ("rmsprop", rate, decay) or ("sgd", rate)."""
    make = {
        "adam": lambda b1, b2: optimizers.Adam(rate, beta_1=b1, beta_2=b2, epsilon=1e-8),
        "rmsprop": lambda rho: keras.optimizers.RMSprop(rate, rho=rho, epsilon=1e-8),
        "sgd": lambda: keras.optimizers.SGD(rate),
    }
    return make[name](*more)


def build(cls, networks, seed: int, arguments: dict, d_optimizer, g_optimizer=None, execution: int = 1):
    """Returns a compiled GAN. `cls` is a class, or the name of a variant."""
    cls = find_model(cls) if isinstance(cls, str) else cls
    gan = cls(*networks, seed=seed, **arguments)
    gan.compile(optimizer(*d_optimizer), optimizer(*(g_optimizer or d_optimizer)), steps_per_execution=execution)
    return gan


def train(gan, dataset: tf.data.Dataset, steps: int, every: int, look) -> list:
    """Trains with `gan.fit`, and returns the results of `look(step)`, called every `every` steps."""
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(look((epoch + 1) * every)))
    gan.fit(dataset, steps_per_epoch=every, epochs=steps // every, verbose=0, callbacks=[watch])
    return seen


def repeat(turn, dataset: tf.data.Dataset, steps: int) -> None:
    """Calls `turn(x)`, for example one player's turn, `steps` times with new data."""
    turn = tf.autograph.experimental.do_not_convert(turn)

    @tf.function
    def run(iterator, n):
        for _ in tf.range(n):
            turn(next(iterator))

    run(iter(dataset), tf.constant(steps))


def trajectory(turn, x: tf.Tensor | tf.data.Dataset, variables: list, steps: int) -> np.ndarray:
    """Returns the variables' values before and after each of `steps` calls of `turn(x)`: [steps + 1, N].

    `x` is the data of every step, or a dataset.
    """
    turn = tf.autograph.experimental.do_not_convert(turn)
    data = iter(x) if isinstance(x, tf.data.Dataset) else None

    def state():
        return tf.concat([tf.reshape(v, [-1]) for v in variables], axis=0)

    @tf.function
    def run():
        states = tf.TensorArray(tf.float32, steps + 1).write(0, state())
        for step in tf.range(steps):
            turn(x if data is None else next(data))
            states = states.write(step + 1, state())
        return states.stack()

    return run().numpy().astype("float64")


# Measures.


def samples(gan, n: int, seed: int = 10_000) -> np.ndarray:
    return gan(gan.sample_latent(n, seed=seed)).numpy().astype("float64")


def squared_field(gan, x: tf.Tensor) -> float:
    """L = |v|^2 / 2 on the minibatch x: half the squared norm of the players' gradients."""
    return sum(
        0.5 * float(tf.reduce_sum(tf.square(gradient)))
        for player in gan.players()
        for gradient in gan.differentiate(player.loss, x, player.variables, gan.optimizer_of(player))[1]
    )
