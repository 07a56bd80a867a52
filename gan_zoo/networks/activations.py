"""The outputs of layers inside a network: see `gan_zoo.networks.features`."""

import inspect
import weakref
from typing import Any

import keras
from keras.src.models.functional import Functional  # the type of keras.Model(inputs, outputs)

from gan_zoo.util.errors import UserError

LAYER = "features"
"""Name of the layer before the last one in the zoo's discriminators and encoders, and of the code in autoencoders."""

# The results of `_part`, by network and layer name. They are not attributes of the networks, because Keras would then
# save these models as parts of the networks.
_parts: "weakref.WeakKeyDictionary[keras.Model, dict]" = weakref.WeakKeyDictionary()


def at(network: keras.Model, x: Any, layer: str | None, training: bool | None) -> Any:
    """Like `gan_zoo.networks.features`. If `training` is None, the mode of the surrounding call applies."""
    if inspect.ismethod(getattr(network, "features", None)):
        return network.features(x, layer=layer, training=training)
    found = _parts.setdefault(network, {})
    if layer not in found:
        found[layer] = _part(network, layer)
    part, last = found[layer]
    if part is not None:
        x = part(x, training=training)
    return x if last is None else at(last, x, None, training)


def _part(network: keras.Model, layer: str | None) -> tuple[keras.Model | None, keras.Model | None]:
    """Returns a model from the network's input to the activations, and the last layer with weights if it is a model.

    The activations are the output of `layer`, or by default the input of the last layer with weights. The first value
    is None if the activations are the network's input itself. The second value is None if the activations are found in
    this network; otherwise they are found inside the returned layer.
    """
    function = network._functional if isinstance(network, keras.Sequential) else network
    if not isinstance(function, Functional) or type(function).call is not Functional.call:
        raise UserError(
            f"{network.name} is a {type(network).__name__}, and the outputs of its layers are not known: give it a "
            f"method features(x, layer, training) that returns them, or build it with keras.Model(inputs, outputs)."
        )
    depths = function._nodes_by_depth
    nodes = [node for depth in sorted(depths, reverse=True) for node in depths[depth]]  # in the order of their calls
    named = [node for node in nodes if node.operation.name == (layer or LAYER)]
    last = None
    if named:
        tensors = named[-1].output_tensors
    elif layer is not None:
        names = ", ".join(operation.name for operation in function.operations)
        raise UserError(f"{network.name} has no layer {layer!r}: it has {names}.")
    else:
        weighted = [node for node in nodes if getattr(node.operation, "weights", None)]
        tensors = weighted[-1].input_tensors if weighted else []
        if len(tensors) != 1:
            raise UserError(
                f"{network.name} has no layer {LAYER!r}, and no last layer with weights and one input: give the layer "
                f"before the last one this name, or choose another layer."
            )
        last = weighted[-1].operation if isinstance(weighted[-1].operation, keras.Model) else None
    if [id(tensor) for tensor in tensors] == [id(tensor) for tensor in function.inputs]:
        return None, last
    return keras.Model(function._inputs_struct, tensors[0] if len(tensors) == 1 else tensors), last
