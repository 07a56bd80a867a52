"""Which arithmetic to train in."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


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


def _cpu_flags() -> set[str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return set()
    for line in info.read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split())
    return set()
