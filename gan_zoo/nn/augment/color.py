"""Colour transforms of ADA: one affine map of the colours for each image."""

import math

import tensorflow as tf

_GREY = 1 / math.sqrt(3)
"""Each component of the unit vector of grey colours, (1, 1, 1) / sqrt(3)."""


def color_matrices(
    brightness: tf.Tensor, contrast: tf.Tensor, flip: tf.Tensor, hue: tf.Tensor, saturation: tf.Tensor
) -> tf.Tensor:
    """Maps of colours, [B, 3, 4], composed of five transforms in this order.

    Args:
        brightness: Numbers added to all channels, [B]. 0 changes nothing.
        contrast: Factors of all channels, [B]. 1 changes nothing.
        flip: 1 to reflect colours at the plane orthogonal to the greys, which inverts the brightness but not the hue,
            or 0, [B].
        hue: Angles of rotations about the axis of greys, [B].
        saturation: Factors of the part that is orthogonal to the greys, [B]. 1 changes nothing.
    """
    grey = tf.fill([3, 3], tf.constant(_GREY**2, hue.dtype))  # the projection on the axis of greys
    cross = tf.constant([[0, -_GREY, _GREY], [_GREY, 0, -_GREY], [-_GREY, _GREY, 0]], hue.dtype)
    eye = tf.eye(3, dtype=hue.dtype)
    brightness, contrast, flip, hue, saturation = (
        part[:, None, None] for part in (brightness, contrast, flip, hue, saturation)
    )
    rotation = tf.cos(hue) * (eye - grey) + tf.sin(hue) * cross + grey
    linear = contrast * tf.matmul(rotation, eye - 2 * flip * grey)
    linear = tf.matmul(grey + saturation * (eye - grey), linear)
    return tf.concat([linear, tf.reduce_sum(linear, axis=2, keepdims=True) * brightness], axis=2)


def recolor(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Images, [B, H, W, 1 or 3], under maps of colours, [B, 3, 4]. Grey ones take the mean of the resulting colour."""
    linear, offset = matrices[:, :, :3], matrices[:, :, 3]
    if images.shape[-1] == 1:
        factor = tf.reduce_mean(tf.reduce_sum(linear, axis=2), axis=1)
        return images * factor[:, None, None, None] + tf.reduce_mean(offset, axis=1)[:, None, None, None]
    return tf.einsum("bij,bhwj->bhwi", linear, images) + offset[:, None, None, :]
