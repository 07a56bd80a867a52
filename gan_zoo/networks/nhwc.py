"""Layers with a `data_format`, for images that are [B, H, W, C] whatever Keras's own setting is.

Keras reads its default, `image_data_format`, from a file in the user's home folder.
"""

import functools

import keras

from gan_zoo.nn import layers


def _channels_last(layer):
    return functools.partial(layer, data_format="channels_last")


Conv2D = _channels_last(layers.Conv2D)
Conv2DTranspose = _channels_last(layers.Conv2DTranspose)
DepthwiseConv2D = _channels_last(keras.layers.DepthwiseConv2D)
EqualizedConv2D = _channels_last(layers.EqualizedConv2D)
AveragePooling2D = _channels_last(keras.layers.AveragePooling2D)
GlobalAveragePooling2D = _channels_last(keras.layers.GlobalAveragePooling2D)
MaxPooling2D = _channels_last(keras.layers.MaxPooling2D)
UpSampling2D = _channels_last(layers.UpSampling2D)
Flatten = _channels_last(keras.layers.Flatten)
