"""Resampling of images at any pixels and positions. Gradients are exact, of any order.

TensorFlow's own `ImageProjectiveTransformV3` registers the inverse transform of the incoming gradient as its gradient,
which is not the adjoint. Here every value is a weighted sum of gathered pixels, so automatic differentiation is exact.

A position is in units of pixels; (0, 0) is the centre of the first pixel.
"""

import functools

import numpy as np
import tensorflow as tf

SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
"""Low-pass filter of the symlet with 6 vanishing moments: orthonormal under even shifts, with the sum sqrt(2)."""
_FIRST = -5
"""Place of the first tap, in half pixels from a pixel. So the filter of pixel n has its centre near 2 n + 1 / 2."""
_CENTRE = float(np.dot(SYM6, np.arange(len(SYM6)) + _FIRST) / sum(SYM6))
"""Centre of mass of the taps. Linear images, up-sampled, are linear again, and only shifted by this number."""
_MARGIN = 6
"""Half pixels beyond both edges that are up-sampled too, with mirrored pixels."""


def gather_pixels(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The pixels of images, [B, H, W, C], at integer places, [B, ...], as [B, ..., C]."""
    height, width, channels = images.shape[1:]
    flat = tf.reshape(images, [-1, height * width, channels])
    places = tf.reshape(rows * width + columns, [-1, int(np.prod(rows.shape[1:]))])
    return tf.reshape(tf.gather(flat, places, batch_dims=1), [-1, *rows.shape[1:], channels])


def shift(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Moves images, [B, H, W, C], down and right by whole numbers of pixels, int32 [B]; zeros move in."""
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rows = tf.clip_by_value(tf.range(height) - rows[:, None] + 1, 0, height + 1)
    columns = tf.clip_by_value(tf.range(width) - columns[:, None] + 1, 0, width + 1)
    return gather_pixels(padded, *_grid(rows, columns))


def mirror(positions, size: int):
    """Reflects positions, a tensor or an array, into an image of `size` pixels, about its first and last pixel."""
    if size == 1:
        return 0 * positions
    return (size - 1) - abs(positions % (2 * (size - 1)) - (size - 1))


def bilinear(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Images, [B, H, W, C], at any positions inside of them, [B, N], interpolated linearly: [B, N, C].

    The positions are constants for the gradient.
    """
    height, width = images.shape[1:3]

    def neighbours(positions, size):
        positions = tf.stop_gradient(positions)
        low = tf.clip_by_value(tf.floor(positions), 0, max(size - 2, 0))
        share = positions - low
        low = tf.cast(low, tf.int32)
        return tf.stack([low, tf.minimum(low + 1, size - 1)], axis=1), tf.stack([1 - share, share], axis=1)

    rows, row_shares = neighbours(rows, height)
    columns, column_shares = neighbours(columns, width)
    zeros = tf.zeros_like(rows)
    rows, columns = rows[:, :, None] + zeros[:, None], columns[:, None] + zeros[:, :, None]
    shares = row_shares[:, :, None] * column_shares[:, None]
    return tf.reduce_sum(shares[..., None] * gather_pixels(images, rows, columns), axis=[1, 2])


def transform(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Images under affine maps of the plane, low-pass filtered, with mirrored edges: Karras et al. (2020), Appendix B.

    Images are up-sampled by 2 with `SYM6`, sampled bilinearly, and down-sampled by 2 with the same filter. This is the
    identity for the identity map, because the filter is orthonormal under even shifts.

    Args:
        images: [B, H, W, C].
        matrices: The inverse maps, [B, 2, 3]: from the position (x, y) of an output pixel relative to the centre of the
            image, in pixels and with y downwards, to the position in the input.
    """
    height, width = images.shape[1:3]
    fine = _apply(images, _up(height), _up(width))
    rows, columns = (tf.constant(_places(size), images.dtype) for size in (height, width))
    rows, columns = (tf.reshape(part, [-1]) for part in tf.meshgrid(rows, columns, indexing="ij"))
    y, x = ((part - _CENTRE) / 2 - (size - 1) / 2 for part, size in zip((rows, columns), (height, width), strict=True))
    # The identity moves nothing, exactly.
    moved = tf.matmul(matrices - tf.eye(2, 3, dtype=images.dtype), tf.stack([x, y, tf.ones_like(x)])[None])

    def place(start, moved, size):
        place = start + 2 * moved
        inside = abs(place - (size - 0.5)) <= size + _MARGIN - 1.25
        return tf.where(inside, place, 2 * mirror((place - _CENTRE) / 2, size) + _CENTRE) + _MARGIN

    sampled = bilinear(fine, place(rows, moved[:, 1], height), place(columns, moved[:, 0], width))
    sampled = tf.reshape(sampled, [-1, len(_places(height)), len(_places(width)), images.shape[-1]])
    return _apply(sampled, _down(height), _down(width))


def _grid(rows: tf.Tensor, columns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows, [B, H], and columns, [B, W], of all pixels, both [B, H, W]."""
    zeros = tf.zeros_like(rows)[:, :, None] + tf.zeros_like(columns)[:, None, :]
    return rows[:, :, None] + zeros, columns[:, None, :] + zeros


def _apply(images: tf.Tensor, rows: np.ndarray, columns: np.ndarray) -> tf.Tensor:
    """Multiplies the columns of images, [B, H, W, C], by one matrix, [H', H], and the rows by another, [W', W]."""
    rows, columns = tf.constant(rows, images.dtype), tf.constant(columns, images.dtype)
    return tf.einsum("hi,wj,bijc->bhwc", rows, columns, images)


def _places(size: int) -> np.ndarray:
    """The half pixels that down-sampling to `size` pixels needs."""
    return np.arange(_FIRST, 2 * (size - 1) + len(SYM6) + _FIRST)


@functools.cache
def _up(size: int) -> np.ndarray:
    """Matrix of the up-sampling of `size` pixels, mirrored beyond the edges, to 2 size + 2 margins half pixels."""
    pixels = np.arange(-_MARGIN - len(SYM6), size + _MARGIN + len(SYM6))
    sources = mirror(pixels, size)
    matrix = np.zeros((2 * size + 2 * _MARGIN, size))
    for pixel, source in zip(pixels, sources, strict=True):
        for tap, value in enumerate(SYM6):
            place = 2 * pixel + tap + _FIRST + _MARGIN
            if 0 <= place < len(matrix):
                matrix[place, source] += value * np.sqrt(2.0)
    return matrix


@functools.cache
def _down(size: int) -> np.ndarray:
    """Matrix of the down-sampling of the half pixels of `_places` to `size` pixels."""
    matrix = np.zeros((size, len(_places(size))))
    for pixel in range(size):
        matrix[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = np.array(SYM6) / np.sqrt(2.0)
    return matrix
