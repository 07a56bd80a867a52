"""Two ways to resize images to the square that a network takes. Results of a metric depend on the way.

References:
    Parmar et al., 2022, https://arxiv.org/abs/2104.11222 (resizing without a filter adds aliases, which the FID sees)
"""

import tensorflow as tf


def tensorflow1_bilinear(images: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes as TensorFlow 1 did by default and as the published graph of the FID does.

    Output pixel i takes its value from position i H / side of the input, and not from (i + 1/2) H / side - 1/2. There
    is no filter against aliases: each output pixel depends on at most four input pixels.

    Args:
        images: [B, H, W, C], of any type of numbers.
        side: Height and width of the result.

    Returns:
        float32 [B, side, side, C].
    """
    return tf.raw_ops.ResizeBilinear(images=images, size=[side, side], align_corners=False, half_pixel_centers=False)


def antialiased_bilinear(images: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes with a triangle filter, whose width grows with the factor by which an image shrinks.

    Args:
        images: [B, H, W, C], of any type of numbers.
        side: Height and width of the result.

    Returns:
        float32 [B, side, side, C].
    """
    return tf.image.resize(images, [side, side], antialias=True)
