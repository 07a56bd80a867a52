"""Layers that change the side of images: binomial doubling and halving, and a learned basis of a vector's first map."""

import keras
import tensorflow as tf

from gan_zoo.nn.layers import repeat_pixels


@keras.saving.register_keras_serializable(package="gan_zoo")
class BinomialUpSampling2D(keras.layers.Layer):
    """Doubles the side of images with the binomial filter [1, 3, 3, 1]: [B, H, W, C] to [B, 2 H, 2 W, C].

    It repeats every pixel and then applies [1, 2, 1] / 4 along both axes, with zeros outside of the image. Along one
    axis a pixel a between p and n becomes the pixels (p + 3 a) / 4 and (3 a + n) / 4.
    """

    def call(self, inputs):
        return _smoothed(repeat_pixels(inputs, 2, 2))

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, 2 * height, 2 * width, channels


@keras.saving.register_keras_serializable(package="gan_zoo")
class BinomialDownSampling2D(keras.layers.Layer):
    """Halves the side of images with the binomial filter [1, 3, 3, 1]: [B, 2 H, 2 W, C] to [B, H, W, C].

    It applies [1, 2, 1] / 4 along both axes, with zeros outside of the image, and then averages blocks of 2 x 2 pixels.
    This is the transpose of `BinomialUpSampling2D`, divided by 4.
    """

    def call(self, inputs):
        return tf.nn.avg_pool2d(_smoothed(inputs), 2, 2, "VALID")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return batch, height // 2, width // 2, channels


def _smoothed(x: tf.Tensor) -> tf.Tensor:
    """Applies [1, 2, 1] / 4 along both axes of images, with zeros outside. On CPUs this is faster than two passes."""
    row = tf.constant([0.25, 0.5, 0.25], x.dtype)
    kernel = tf.tile((row[:, tf.newaxis] * row)[:, :, tf.newaxis, tf.newaxis], [1, 1, x.shape[-1], 1])
    return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")


@keras.saving.register_keras_serializable(package="gan_zoo")
class LearnedBasis(keras.layers.Layer):
    """Multiplies each number of a vector by a learned image: [B, C] to [B, side, side, C].

    The images start from N(0, 1).

    Args:
        side: Side of the images.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(self, side: int, **kwargs):
        super().__init__(**kwargs)
        self.side = side

    def build(self, input_shape):
        shape = (self.side, self.side, input_shape[-1])
        self.basis = self.add_weight(shape, keras.initializers.RandomNormal(0.0, 1.0), name="basis")

    def call(self, inputs):
        return inputs[:, tf.newaxis, tf.newaxis, :] * tf.convert_to_tensor(self.basis)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.side, self.side, input_shape[-1]

    def get_config(self):
        return {**super().get_config(), "side": self.side}
