"""Checks whether a network's output for one example can depend on the other examples of the batch."""

import keras
from keras.src.models.functional import Functional  # the type of keras.Model(inputs, outputs)

from gan_zoo.nn import layers as zoo
from gan_zoo.nn import resampling
from gan_zoo.nn.minibatch_discrimination import MinibatchDiscrimination

_BY_EXAMPLE = {
    *(keras.layers.InputLayer, keras.layers.Identity, keras.layers.Activation, keras.layers.Dense),
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.SeparableConv2D),
    *(keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose),
    *(keras.layers.DepthwiseConv2D, keras.layers.Embedding, keras.layers.Rescaling, keras.layers.RepeatVector),
    *(keras.layers.AveragePooling1D, keras.layers.AveragePooling2D, keras.layers.AveragePooling3D),
    *(keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D),
    *(keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D, keras.layers.GlobalAveragePooling3D),
    *(keras.layers.GlobalMaxPooling1D, keras.layers.GlobalMaxPooling2D, keras.layers.GlobalMaxPooling3D),
    *(keras.layers.UpSampling1D, keras.layers.UpSampling2D, keras.layers.UpSampling3D),
    *(keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D),
    *(keras.layers.Cropping1D, keras.layers.Cropping2D, keras.layers.Cropping3D),
    *(keras.layers.Flatten, keras.layers.Reshape, keras.layers.Permute),
    *(keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU, keras.layers.Softmax),
    *(keras.layers.LayerNormalization, keras.layers.RMSNormalization, keras.layers.UnitNormalization),
    *(keras.layers.GroupNormalization, keras.layers.SpectralNormalization),
    *(keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D),
    *(keras.layers.SpatialDropout3D, keras.layers.GaussianNoise, keras.layers.GaussianDropout),
    *(keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply, keras.layers.Average, keras.layers.Maximum),
    *(keras.layers.Minimum, keras.layers.Concatenate, keras.layers.Dot),
    *(zoo.Embedding, zoo.OneHot, zoo.UpSampling2D),
    *(zoo.Conv2D, zoo.Conv2DTranspose, zoo.LeakyReLU, zoo.SpectralNormalization),
    *(zoo.EqualizedConv2D, zoo.EqualizedDense, zoo.PixelNormalization),
    *(resampling.BinomialUpSampling2D, resampling.BinomialDownSampling2D, resampling.LearnedBasis),
}
"""Layers whose output for one example depends on this example alone, if `_by_example` accepts their arguments."""


def is_by_example(network: keras.Model) -> bool:
    """Whether the network's output for one example is known to depend on this example alone.

    This is known for functional and sequential models that consist of the layers above. It is not known for layers and
    models with their own code, for `Lambda`, and for functions of `keras.ops`, because these may take a mean over the
    batch.
    """
    if type(network) not in (Functional, keras.Sequential):
        return False
    operations = network.layers if isinstance(network, keras.Sequential) else network.operations
    return all(is_by_example(part) if isinstance(part, keras.Model) else _by_example(part) for part in operations)


WITHOUT = {
    "batch normalization": "build the discriminator without it (norm='none', 'layer' or 'spectral')",
    "minibatch discrimination": "build the discriminator without it",
}
"""What `mixing_layer` may return, and how to do without it, for error messages."""


def mixing_layer(network: keras.Model) -> str | None:
    """What makes the score of an example depend on the others, a key of `WITHOUT`; None if nothing is known to.

    Layers of the user's own are not known to mix examples.
    """
    kinds = {
        "batch normalization": keras.layers.BatchNormalization,
        "minibatch discrimination": MinibatchDiscrimination,
    }
    layers = [*network._flatten_layers()]
    return next((name for name, kind in kinds.items() if any(isinstance(layer, kind) for layer in layers)), None)


def _by_example(layer) -> bool:
    if type(layer) not in _BY_EXAMPLE or getattr(layer, "noise_shape", None) is not None:
        return False
    if isinstance(layer, keras.layers.Wrapper):
        return _by_example(layer.layer)
    return _is_known_function(getattr(layer, "activation", None)) and _leaves_batch_alone(layer)


def _is_known_function(activation) -> bool:
    if isinstance(activation, keras.layers.Layer):
        return _by_example(activation)
    return activation is None or getattr(activation, "__module__", "").startswith("keras.src.activations.")


def _leaves_batch_alone(layer) -> bool:
    """Whether a layer's `axis`, for normalization or concatenation, does not include the batch axis."""
    axes = getattr(layer, "axis", None)
    if axes is None:
        return True
    ranks = [len(tensor.shape) for node in layer._inbound_nodes for tensor in node.output_tensors]
    least = min(ranks, default=2)
    return all(axis > 0 or -least < axis < 0 for axis in (axes if isinstance(axes, list | tuple) else [axes]))
