"""The last activation of a network."""

import keras

BOUNDED = frozenset({"tanh", "hard_tanh", "softsign", "sigmoid", "hard_sigmoid", "softmax"})
"""Activations whose values lie within [-1, 1]."""

PROBABILITIES = frozenset({"sigmoid", "hard_sigmoid", "softmax"})
"""Activations that convert raw scores to probabilities."""

SIGMOIDS = frozenset({"sigmoid", "hard_sigmoid"})
"""Activations whose range is [0, 1]."""

_SHAPING = frozenset(
    {
        *("Cropping1D", "Cropping2D", "Cropping3D", "Flatten", "Permute", "Reshape", "Squeeze", "Transpose"),
        *("Dropout", "Identity", "InputLayer", "Resizing", "SpatialDropout2D", "UpSampling2D", "ZeroPadding2D"),
    }
)
"""Classes of layers and operations that rearrange values or keep their range."""


def last_activation(network: keras.Model) -> str | None:
    """The name of a network's last activation, "linear" if it has none; None if it is not known.

    Layers that only rearrange values, such as `Reshape`, are skipped. For a network that overrides `call`, it is the
    activation of the layer that was added last, if that layer has as many channels as the network's output.
    """
    if isinstance(network, keras.Sequential):
        layers = list(network.layers)
        while layers and type(layers[-1]).__name__ in _SHAPING:
            layers.pop()
        return _of_layer(layers[-1]) if layers else None
    if getattr(network, "outputs", None):
        return _of_tensor(network.outputs[0]) if len(network.outputs) == 1 else None
    layers = getattr(network, "layers", None)
    name = _of_layer(layers[-1]) if layers else None
    return name if name and _channels(layers[-1]) == _channels_of_output(network) else None


def _of_tensor(tensor) -> str | None:
    while True:
        operation, node_index, _ = tensor._keras_history
        if type(operation).__name__ not in _SHAPING:
            return _of_layer(operation)
        inputs = operation._inbound_nodes[node_index].input_tensors
        if len(inputs) != 1:
            return None
        (tensor,) = inputs


def _of_layer(layer) -> str | None:
    """The name of the activation of a layer, or of an operation such as `keras.ops.sigmoid(x)`."""
    if isinstance(layer, keras.Model):
        return last_activation(layer)
    if isinstance(layer, keras.layers.Wrapper):
        return _of_layer(layer.layer)
    kind = type(layer).__name__
    operations = {"Sigmoid": "sigmoid", "HardSigmoid": "hard_sigmoid", "Softmax": "softmax", "Tanh": "tanh"}
    if kind in operations:
        return operations[kind]
    function = layer.function if isinstance(layer, keras.layers.Lambda) else getattr(layer, "activation", None)
    return getattr(function, "__name__", None)


def _channels(layer) -> int | None:
    return getattr(layer, "units", getattr(layer, "filters", None))


def _channels_of_output(network: keras.Model) -> int | None:
    try:
        return network.output_shape[-1]
    except (AttributeError, ValueError, TypeError):  # Keras does not know it if the network overrides `call`
        return _channels(network.layers[-1])
