"""Choice of the dtype policy, and helpers for gradients and weights in half precision."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

INNER_SCALE = 2.0**8
"""The scale at which networks compute gradients that are part of a loss: see `inner_gradient`."""


def resolve(precision: str, points: bool) -> tuple[str, str]:
    """The Keras dtype policy for `precision`, one of `PRECISIONS`, and a phrase that says why.

    "auto" chooses mixed_bfloat16 if the hardware multiplies bfloat16 faster than float32: TPUs, GPUs of compute
    capability 8.0 or more, CPUs with AMX or AVX512-BF16. Perceptrons on points stay in float32. They are too small to
    become faster, and the details of their data are as small as bfloat16's rounding errors.
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
    """`x` cast to float32, or unchanged if it is float64: losses are never computed in half precision."""
    import tensorflow as tf

    return x if x.dtype == tf.float64 else tf.cast(x, tf.float32)


def interface_dtype() -> str:
    """The dtype of inputs and outputs of networks built under Keras's current dtype policy.

    It is "float64" under the policy float64, else "float32": networks in half precision also take and return float32.
    Keras's own default for inputs is `floatx`, whatever the policy is.
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
    """Context in which layers are built under a dtype policy. Its end restores Keras's global settings.

    Args:
        name: The policy; None keeps the current one.
        floatx: Keras's `floatx` in the block; None keeps the current one. It is the dtype of variables that belong to
            no layer, such as learning rates.
    """
    import keras

    # The first read of the policy creates it from the current `floatx`. So it is read before `floatx` changes.
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
    """Whether some layer of the network computes in float16, so that its gradients need scales."""
    return any(layer.compute_dtype == "float16" for layer in network._flatten_layers())


def with_float32_weights(network: "keras.Model") -> "keras.Model":
    """A network of the same architecture, with float32 weights instead of half-precision ones.

    A moving average changes weights by about a thousandth in each step, and half precision rounds such steps away.
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
    """The gradient of a scalar, for use inside of a loss: `tape.gradient(value, sources, **kwargs)` at a safe scale.

    float16 has 11 binary digits for numbers from 2^-14 = 6e-5 to 2^16, fewer digits down to 2^-24 = 6e-8, and rounds
    smaller numbers to 0. The scale of the loss has no effect on gradients inside of the loss. The norm of a gradient
    penalty is about 1. In an image of 64 x 64 x 3 numbers each one is then about 1e-2, and many are 1e-4: they lose
    digits, and the smallest become 0, both in the penalty and in its derivative. This function computes gradients
    `scale` times as large, by default 2^8. They then have all digits from 2^-22 = 2e-7 to 2^8, that is, 15 binary
    orders on both sides of the usual 2^-7 = 1e-2. A larger scale would be too close to the upper end, where one
    overflow makes the loss infinite, and a smaller one too close to the lower end. The scale does not depend on that of
    the loss, because the second derivative flows back through the division by `scale`, which makes it smaller.

    If the sources have half precision, such as weights under the policies float16 and bfloat16, their gradients are
    cast to float32 before the division.

    The scale is a power of two, so it does not change the results in float32, float64 and bfloat16, whose exponents
    have a large range.

    Args:
        tape: A tape that has recorded `value`.
        value: A scalar, in float32 or float64.
        sources: The tensors to differentiate `value` with respect to, in any structure.
        scale: A power of two.
        **kwargs: Further arguments of `tape.gradient`.
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
