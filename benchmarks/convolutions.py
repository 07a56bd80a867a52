"""Compares the algorithms of `gan_zoo.nn.convolution` with TensorFlow's kernels: the ratio of their times.

    python benchmarks/convolutions.py

Above 1 the matrix product over patches is faster or, for three channels, the 2 x 2 blocks. The limits in
`gan_zoo/nn/convolution.py` follow from this table.
"""

import math
import statistics

import tensorflow as tf
from limits import times

from gan_zoo.nn import convolution

# (batch, size, channels in, channels out, kernel size, stride)
CASES = [
    (64, 8, 256, 512, 5, 2),
    (64, 8, 512, 512, 5, 2),
    (64, 8, 512, 1024, 5, 2),
    (64, 8, 256, 512, 4, 2),
    (64, 8, 512, 512, 4, 2),
    (64, 16, 128, 256, 5, 2),
    (64, 16, 256, 512, 5, 2),
    (64, 32, 64, 128, 5, 2),
    (64, 4, 512, 512, 3, 1),
    (64, 8, 384, 384, 3, 1),
    (64, 16, 256, 256, 3, 1),
    (64, 32, 128, 128, 3, 1),
    (64, 32, 128, 128, 1, 1),
    (64, 64, 3, 64, 5, 2),
]


def ratios(case, dtype) -> list[float]:
    """Returns TensorFlow's time over the other: for the convolution, and its gradients in x and in the kernel."""
    batch, size, channels, out, k, stride = case
    positions = -(-size // stride)
    x = tf.cast(tf.random.normal([batch, size, size, channels]), dtype)
    kernel = tf.cast(tf.random.normal([k, k, channels, out]), dtype)
    dy = tf.cast(tf.random.normal([batch, positions, positions, out]), dtype)
    calls = (
        lambda: convolution.convolve(x, kernel, stride),
        lambda: convolution.convolve_transpose(dy, kernel, stride, (size, size)),
        lambda: convolution.kernel_gradient(x, dy, stride, (k, k)),
    )
    found = []
    for call in calls:
        seconds = []
        for on_cpu in (False, True):
            convolution._on_cpu = lambda on_cpu=on_cpu: on_cpu
            seconds.append(statistics.median(times(tf.function(call), rounds=7)))
        found.append(seconds[0] / seconds[1])
    return found


def main() -> None:
    blocks = convolution._FEW_CHANNELS
    for limits in (convolution._MANY_WEIGHTS, convolution._MANY_WEIGHTS_GRADIENT):
        for dtype in limits:
            limits[dtype] = 0
    convolution._FEW_POSITIONS = math.inf
    print(f"{'dtype':<10}{'B, size, in, out, k, stride':<32}{'weights':>10}   convolution  in x  in the kernel")
    for dtype in (tf.float32, tf.bfloat16):
        for case in CASES:
            if case[2] <= blocks:  # only the blocks apply to these cases
                convolution._MANY_WEIGHTS[dtype] = math.inf
            count = case[4] ** 2 * case[2] * case[3]
            columns = "{:11.2f} {:5.2f} {:14.2f}".format(*ratios(case, dtype))
            print(f"{dtype.name:<10}{case!s:<32}{count:>10,}   {columns}", flush=True)
            convolution._MANY_WEIGHTS[dtype] = 0


if __name__ == "__main__":
    main()
