"""Which arithmetic to train in, and what half precision asks of gradients."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

INNER_SCALE = 2.0**8
"""The factor of the gradients that a loss is made of, while networks compute them: see `inner_gradient`."""


def resolve(precision: str, points: bool) -> tuple[str, str]:
    """The Keras dtype policy for `precision`, one of `PRECISIONS`, and a phrase that says why.

    "auto" takes mixed_bfloat16 where the hardware multiplies bfloat16 faster than float32: TPUs, GPUs of compute
    capability 8.0 or more, CPUs with AMX or AVX512-BF16. Perceptrons on points stay in float32: they are too small to
    gain, and their scale is that of bfloat16's rounding.
    """
    if precision != "auto":
        return precision, "as asked"
    if points:
        return "float32", "points need more digits than bfloat16 has"
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return "mixed_bfloat16", "a TPU"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        name = f"a GPU of compute capability {'.'.join(map(str, capability))}"
        return ("mixed_bfloat16" if capability >= (8, 0) else "float32"), name
    flags = _cpu_flags() & {"amx_bf16", "avx512_bf16"}
    if flags:
        return "mixed_bfloat16", f"the CPU has {min(flags)}"
    return "float32", "the CPU has no bfloat16 instructions"


def at_least_float32(x: "tf.Tensor") -> "tf.Tensor":
    """`x` in float32, or as it is in float64: losses have the networks' precision, but never half of it."""
    import tensorflow as tf

    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


def interface_dtype() -> str:
    """What networks built under Keras's present dtype policy take and return: "float64" under float64, else "float32".

    In half precision the first and the last layer still exchange float32 with the losses. Keras's own default for
    inputs is `floatx`, whatever the policy.
    """
    import keras

    return "float64" if keras.config.dtype_policy().compute_dtype == "float64" else "float32"


def dtype_of(*networks: "keras.Model") -> str:
    """The dtype of examples and losses for these networks: "float64" if all of them compute in it, else "float32"."""
    wide = (any(layer.compute_dtype == "float64" for layer in network._flatten_layers()) for network in networks)
    return "float64" if all(wide) else "float32"


def cast_floats(data: Any, dtype: str) -> Any:
    """`data`, a structure of tensors, with its floating-point leaves cast to `dtype`."""
    import tensorflow as tf

    def cast(leaf):
        floating = hasattr(leaf, "dtype") and tf.as_dtype(leaf.dtype).is_floating
        return tf.cast(leaf, dtype) if floating else leaf

    return tf.nest.map_structure(cast, data)


@contextlib.contextmanager
def policy(name: "str | keras.DTypePolicy | None", floatx: str | None = None) -> Iterator[None]:
    """Builds layers under a dtype policy; Keras's global settings are put back at the end of the block.

    Args:
        name: The policy; None leaves the present one.
        floatx: Keras's `floatx` in the block; None leaves the present one. It is the dtype of variables that belong to
            no layer, such as learning rates.
    """
    import keras

    # Reading the policy makes it, of the `floatx` at that time: it is read before that is changed.
    before = keras.config.dtype_policy(), keras.config.floatx()
    try:
        if floatx is not None:
            keras.config.set_floatx(floatx)
        if name is not None:
            keras.config.set_dtype_policy(name)
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def computes_in_float16(network: "keras.Model") -> bool:
    """Whether some layer of the network does: its gradients need scales."""
    return any(layer.compute_dtype == "float16" for layer in network._flatten_layers())


def with_float32_weights(network: "keras.Model") -> "keras.Model":
    """A copy of a network's architecture; weights that are half precision there are float32 in it.

    A moving average takes steps of a thousandth, which half precision rounds away.
    """
    import keras

    if not any(variable.dtype in ("float16", "bfloat16") for variable in network.variables):
        return keras.models.clone_model(network)

    def mixed(config):
        if isinstance(config, list | tuple):
            return type(config)(map(mixed, config))
        if not isinstance(config, dict):
            return config
        if config.get("class_name") == "DTypePolicy" and config["config"]["name"] in ("float16", "bfloat16"):
            return {**config, "config": {**config["config"], "name": f"mixed_{config['config']['name']}"}}
        return {name: mixed(value) for name, value in config.items()}

    return type(network).from_config(mixed(network.get_config()))


def computes_in_half(network: "keras.Model") -> bool:
    """Whether some layer of the network computes in half precision."""
    return any(layer.compute_dtype in ("float16", "bfloat16") for layer in network._flatten_layers())


def inner_gradient(
    tape: "tf.GradientTape", value: "tf.Tensor", sources: Any, scale: float = INNER_SCALE, **kwargs
) -> Any:
    """The gradient of a scalar, for a loss that is made of gradients: `tape.gradient(value, sources, **kwargs)`.

    float16 holds 11 digits of numbers from 2^-14 = 6e-5 to 2^16, fewer down to 2^-24 = 6e-8, and nothing below that.
    The loss's own scale does not reach gradients inside of it. A penalty asks for norms of about 1, which 64 x 64 x 3
    numbers share at 1e-2 each, with many a hundredth of that: they would lose their digits and the smallest vanish, in
    the penalty and in its derivative. `scale` times as large, 2^8 by default, gradients have all digits from 2^-22 =
    2e-7 to 2^8: 8 binary orders around 2^-7 = 1e-2 on either side still fit easily. More would come too near to the
    upper end, where a single number makes the loss infinite, and less to the lower one. The scale does not grow with
    the loss's, since the second derivative, which flows back through the division, is that much smaller.

    Where the sources themselves are half precision, as weights under the policies float16 and bfloat16, the gradients
    are cast to float32 before they are divided.

    The scale is a power of two: float32, float64 and bfloat16, which have exponents enough, give the same numbers as
    without.

    Args:
        tape: Has recorded `value`.
        value: A scalar, in float32 or float64.
        sources: What to differentiate it with respect to: any structure.
        scale: A power of two.
        **kwargs: Of `tape.gradient`.
    """
    import tensorflow as tf

    scaled = tape.gradient(value, sources, output_gradients=tf.cast(scale, value.dtype), **kwargs)
    return tf.nest.map_structure(lambda g: None if g is None else at_least_float32(g) / scale, scaled)


def _cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return set()
    for line in info.read_text("utf-8", "replace").splitlines():
        if line.startswith("flags"):
            return set(line.split())
    return set()
