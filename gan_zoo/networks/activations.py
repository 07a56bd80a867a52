"""What layers inside a network make: see `gan_zoo.networks.features`."""

import inspect
import weakref
from typing import Any

import keras
from keras.src.models.functional import Functional  # the type of keras.Model(inputs, outputs)

from gan_zoo.util.errors import UserError

LAYER = "features"
"""Name of the layer before the last in the zoo's discriminators and encoders, and of the code's in autoencoders."""

# By network and the name asked for. Kept beside the networks: within them, these models would be saved as parts.
_parts: "weakref.WeakKeyDictionary[keras.Model, dict]" = weakref.WeakKeyDictionary()


def at(network: keras.Model, x: Any, layer: str | None, training: bool | None) -> Any:
    """As `gan_zoo.networks.features`. With `training` None a network in a call of another runs as that does."""
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
    """What leads to the layer's output, or to the input of the last layer with weights; and that layer, if a model."""
    function = network._functional if isinstance(network, keras.Sequential) else network
    if not isinstance(function, Functional) or type(function).call is not Functional.call:
        raise UserError(
            f"{network.name} is a {type(network).__name__}, whose layers cannot be taken apart: give it a method "
            f"features(x, layer, training) that returns its activations, or build it with keras.Model(inputs, outputs)."
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
                f"before the last this name, or name another layer."
            )
        last = weighted[-1].operation if isinstance(weighted[-1].operation, keras.Model) else None
    if [id(tensor) for tensor in tensors] == [id(tensor) for tensor in function.inputs]:
        return None, last
    return keras.Model(function._inputs_struct, tensors[0] if len(tensors) == 1 else tensors), last
