"""Geometric transforms of ADA: pixel blits, and one affine map of the plane for each image."""

import tensorflow as tf

from gan_zoo.nn.augment import resampling


def blit(images: tf.Tensor, flip: tf.Tensor, turns: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Images, [B, H, W, C], with pixels moved to whole places: flipped, then turned, then shifted, without rounding.

    Places beyond the edges are mirrored. Images that are not square keep their shape.

    Args:
        images: [B, H, W, C].
        flip: 1 to exchange left and right, or 0, int32 [B].
        turns: Number of turns by 90 degrees, counterclockwise, int32 [B].
        shift: Number of pixels to move by, down and right, int32 [B, 2].
    """
    height, width = images.shape[1:3]
    # Twice the position relative to the centre is a whole number.
    y = 2 * (tf.range(height)[:, None] - shift[:, 0, None, None]) - (height - 1)
    x = 2 * (tf.range(width)[None] - shift[:, 1, None, None]) - (width - 1)
    cos, sin = (tf.gather(table, turns % 4)[:, None, None] for table in ([1, 0, -1, 0], [0, 1, 0, -1]))
    y, x = cos * y + sin * x, cos * x - sin * y
    x *= 1 - 2 * flip[:, None, None]
    rows = resampling.mirror((y + height - 1) // 2, height)
    columns = resampling.mirror((x + width - 1) // 2, width)
    return resampling.gather_pixels(images, rows, columns)


def affine_matrices(
    scale: tf.Tensor, before: tf.Tensor, stretch: tf.Tensor, after: tf.Tensor, shift: tf.Tensor
) -> tf.Tensor:
    """Inverses, [B, 2, 3], of affine maps for `resampling.transform`, composed of five maps in this order.

    Args:
        scale: Factors of the size, [B].
        before: Angles of rotations before the stretch, [B].
        stretch: Factors of the width, [B]; the height gets their inverse.
        after: Angles of rotations after the stretch, [B].
        shift: Numbers of pixels to move by, right and down, [B, 2].
    """
    linear = tf.matmul(_rotation(-before), tf.linalg.diag(tf.stack([1 / stretch, stretch], axis=1)))
    linear = tf.matmul(linear, _rotation(-after)) / scale[:, None, None]
    return tf.concat([linear, -tf.matmul(linear, shift[:, :, None])], axis=2)


def _rotation(angle: tf.Tensor) -> tf.Tensor:
    cos, sin = tf.cos(angle), tf.sin(angle)
    return tf.stack([tf.stack([cos, -sin], axis=1), tf.stack([sin, cos], axis=1)], axis=1)
