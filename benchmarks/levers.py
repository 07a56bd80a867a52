"""Measures the gain of each optimization: the time of a step without it over the time with all.

    python benchmarks/levers.py --rows=dcgan-64 --json=docs/performance.json

They can be turned off only here, not in the library, because nobody should train without them.
"""

import contextlib

import keras
import tensorflow as tf
from rows import ROWS, Row
from throughput import Worker, arguments, chosen, print_ratio, race, ratio, record

from gan_zoo import gan, layers, model, networks
from gan_zoo.nn import convolution, optimizers


def _batch_norm():
    layers.BatchNormalization.call = keras.layers.BatchNormalization.call


def _convolutions():
    convolution._on_cpu = lambda: False


def _leaky_relu():
    layers.LeakyReLU.call = lambda self, x: tf.nn.leaky_relu(x, self.negative_slope)


def _adam():
    optimizers.Adam.update_step = keras.optimizers.Adam.update_step


def _one_pass():
    networks.one_pass_pays = lambda network: False


def _resting_player():
    """Differentiates each loss for all players' variables."""

    def minimize(self, loss, x, variables, optimizer):
        z = self.latents_for(x)
        every = [variable for player in self.players() for variable in player.variables]
        with tf.GradientTape() as tape:
            value = loss(x, z)
        gradients = dict(zip([v.path for v in every], tape.gradient(value, [v.value for v in every]), strict=True))
        with tf.control_dependencies([value, *(g for g in gradients.values() if g is not None)]):
            own = [tf.identity(gradients[variable.path]) for variable in variables]
        optimizer.apply(own, variables)
        return value

    model.GenerativeModel.minimize = minimize


def _kept_fakes():
    """Makes the generator's turn use the images and latents of the discriminator's turn."""

    def train_step(self, x):
        z = self.latents_for(x)
        with tf.GradientTape() as tape:
            fake = self.G(z)
        self.G = lambda _: fake
        try:
            self.discriminator_step(x)
            with tape:
                loss = self.generator_loss(x, z)
        finally:
            del self.G
        gradients = tape.gradient(loss, [variable.value for variable in self.generator_variables])
        self.g_optimizer.apply(gradients, self.generator_variables)
        return {"g_loss": loss}

    gan.GAN.train_step = train_step


# For each name: a description, and the function that turns it off, unless that is an option of the run.
LEVERS = {
    "nothing": ("nothing: a second process of the same", None),
    "batch_norm": ("fused batch normalization", _batch_norm),
    "convolutions": ("convolutions by the fastest algorithm", _convolutions),
    "leaky_relu": ("LeakyReLU differentiated from its output", _leaky_relu),
    "adam": ("Adam in one kernel", _adam),
    "one_pass": ("real and generated images in one pass", _one_pass),
    "resting_player": ("no gradients for the player that rests", _resting_player),
    "bfloat16": ("bfloat16", None),
    "steps_per_execution": ("many steps per call of the graph", None),
}
# Optimizations that the zoo does not use, with their gain.
LEFT_OUT = {
    "xla": ("XLA", None),
    "kept_fakes": ("the generator's turn on the discriminator's images", _kept_fakes),
}


def undo(names: list[str]) -> None:
    """Turns optimizations off, or unused ones on, in this process."""
    for name in names:
        change = {**LEVERS, **LEFT_OUT}.get(name, (None, None))[1]
        if change is not None:
            change()


def _applies(name: str, row: Row, precision: str) -> bool:
    if name in ("steps_per_execution", "xla"):
        return row.network == "mlp"
    if name == "bfloat16":
        return precision == "mixed_bfloat16"
    if name in ("batch_norm", "convolutions", "leaky_relu"):
        return row.network != "mlp"
    if name == "one_pass":
        return row.network != "mlp" and row.model == "wgan_gp"  # the other models have batch normalization
    return name != "kept_fakes" or row.model == "dcgan"


def measure(row: Row, precision: str, args) -> dict:
    """Measures the gain of each optimization, and of each unused one."""
    names = [name for name in (*LEVERS, *LEFT_OUT) if _applies(name, row, precision)]
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in ("", *names):
            its_precision = "float32" if name == "bfloat16" else precision
            workers[name] = Worker(row, "zoo", its_precision, (name,) if name else ())
            stack.callback(workers[name].close)
        seconds = race(workers, args.rounds, args.round_seconds)
    return {
        "row": row.name,
        "precision": precision,
        "levers": {LEVERS[name][0]: ratio(seconds[name], seconds[""]) for name in names if name in LEVERS},
        "left_out": {LEFT_OUT[name][0]: ratio(seconds[""], seconds[name]) for name in names if name in LEFT_OUT},
    }


def main() -> None:
    parser = arguments(__doc__, ROWS)
    args = parser.parse_args()
    for row, precision in chosen(parser, args):
        found = measure(row, precision, args)
        record(args.json, "levers", found)
        print(f"{row.name}, {precision}: faster by", flush=True)
        for name, value in {**found["levers"], **found["left_out"]}.items():
            print_ratio(name + (" (left out)" if name in found["left_out"] else ""), value)


if __name__ == "__main__":
    main()
