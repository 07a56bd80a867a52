"""Examples of any structure: images or points alone, or together with labels and codes.

An example is an input of the discriminator: a tensor of images, [B, H, W, C], a pair (images, labels), or another
structure. Its image leaves are the floating-point tensors with three axes or more. If there are none, the image leaf is
the first floating-point tensor, as in (points, labels). Penalties, interpolation, noise and augmentation change image
leaves only, not labels and codes.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from gan_zoo.util.errors import UserError


def batch_size(x: Any) -> int | tf.Tensor:
    """The number of examples in a minibatch of any structure: an int if it is static, else a tensor."""
    first = tf.nest.flatten(x)[0]
    return first.shape[0] if first.shape[0] is not None else tf.shape(first)[0]


def image_indices(x: Any) -> list[int]:
    """The indices of the image leaves of `x` in `tf.nest.flatten(x)`."""
    leaves = tf.nest.flatten(x)
    floating = [k for k, leaf in enumerate(leaves) if leaf.dtype.is_floating]
    return [k for k in floating if (leaves[k].shape.rank or 0) >= 3] or floating[:1]


def map_images(function: Callable[..., tf.Tensor], *xs: Any) -> Any:
    """Applies a function to the image leaves of examples; all other leaves are those of the first of `xs`.

    Args:
        function: Maps one image leaf of each of the `xs` to one tensor.
        *xs: Examples of the same structure.
    """
    if not tf.nest.is_nested(xs[0]):
        return function(*xs)
    leaves = [tf.nest.flatten(x) for x in xs]
    changed = list(leaves[0])
    for k in image_indices(xs[0]):
        changed[k] = function(*(parts[k] for parts in leaves))
    return tf.nest.pack_sequence_as(xs[0], changed)


def takes(network: Any, x: Any) -> bool:
    """Whether a network has as many inputs, of the same shapes, as the example `x` has tensors.

    True for networks with unknown inputs, which are neither functional nor sequential.
    """
    inputs = getattr(network, "inputs", None)
    if not inputs:
        return True
    leaves = tf.nest.flatten(x)
    return len(inputs) == len(leaves) and all(
        leaf.shape.is_compatible_with(tuple(given.shape)) for leaf, given in zip(leaves, inputs, strict=True)
    )


def images_of(x: Any) -> tf.Tensor:
    """The images or points of an example, [B, ...]: its first image leaf.

    Raises:
        UserError: If the example has no floating-point tensor.
    """
    if not tf.nest.is_nested(x):
        return x
    indices = image_indices(x)
    if not indices:
        raise UserError("An example must have a floating-point tensor: images, [B, H, W, C], or points, [B, D].")
    return tf.nest.flatten(x)[indices[0]]
