"""Features of a network or function of the user's own, named as `module:name`."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gan_zoo.evaluate.features.interface import Features, fingerprint, in_color
from gan_zoo.util.errors import UserError, argument


def load(name: str) -> Features:
    """Returns the features of a Keras model or a function.

    A Keras model takes float32 images, [B, H, W, C] with pixels from 0 to 255. A function takes uint8 images. Both
    return features, [B, D], or a pair of features and logits, [B, K]. Images are not resized. One channel is repeated
    if a Keras model takes three.

    The fingerprint covers the name, the source of the module and a Keras model's weights. It does not cover files or
    modules that a function reads.

    Args:
        name: `module:name`; the module can be in the current folder.

    Raises:
        UserError: If there is no such object, or it is neither a Keras model nor a function.
    """
    import keras

    module, found = _find(name)
    if isinstance(found, keras.Model):
        preprocessing, weights = "pixels from 0 to 255, as float32", found.get_weights()
        call, shapes = _of_model(name, found), _shapes(found)
    elif callable(found) and not inspect.isclass(found):
        preprocessing, weights, call, shapes = "pixels as uint8", [], _of_function(name, found), (None, None)
    else:
        raise UserError(
            f"{argument('features')}={name} is {_described(found)}: it must be a Keras model, or a function of uint8 "
            "images, [B, H, W, C], that returns features, [B, D]."
        )
    return Features(
        name=name,
        title=name,
        frechet_name=f"Frechet distance ({name})",
        fingerprint=fingerprint(name, _source(module), *weights, preprocessing),
        preprocessing=preprocessing,
        size=shapes[0],
        outputs=shapes[1],
        compute=lambda images: _checked(name, call, images),
        takes_floats=isinstance(found, keras.Model),
    )


def _find(name: str) -> tuple[Any, Any]:
    """Returns a module and what it has under a name."""
    module_name, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything, even SystemExit
        raise UserError(f"{argument('features')}={name}: importing {module_name!r} failed: {_text(error)}.") from error
    if not attribute or not hasattr(module, attribute):
        raise UserError(f"{argument('features')}={name}: {module_name} has no {attribute!r}: write module:name.")
    return module, getattr(module, attribute)


def _source(module: Any) -> bytes:
    try:
        return inspect.getsource(module).encode()
    except (OSError, TypeError):  # a module without a source, such as a compiled one
        return b""


def _of_function(name: str, function: Callable) -> Callable[[np.ndarray], Any]:
    """Returns a user's function, which refuses images that are not uint8."""

    def call(images: np.ndarray):
        if images.dtype != np.uint8:
            raise UserError(
                f"{argument('features')}={name} is a function of uint8 images, and the path length needs a network "
                "for images that are not rounded: name a Keras model."
            )
        return function(images)

    return call


def _of_model(name: str, model) -> Callable[[np.ndarray], Any]:
    """Returns a function of uint8 images that calls a Keras model."""
    # Models that are not built, such as subclassed ones, do not know their input.
    expected = getattr(model, "input_shape", None) if model.built else None
    expected = expected if isinstance(expected, tuple) and len(expected) == 4 else (None,) * 4

    def call(images: np.ndarray):
        images = in_color(images) if expected[-1] == 3 else images
        if any(want not in (None, have) for want, have in zip(expected[1:], images.shape[1:], strict=True)):
            raise UserError(
                f"{argument('features')}={name} takes images of shape {list(expected[1:])}, and these are "
                f"{list(images.shape[1:])}: resize them, or let the model resize its input."
            )
        return model.predict_on_batch(images.astype(np.float32))

    return call


def _shapes(model) -> tuple[int | None, int | None]:
    """Returns the numbers of features and of outputs of a Keras model. None for those that it does not know."""
    try:
        shapes = model.output_shape
    except (AttributeError, ValueError):  # a subclassed model that was never called
        return None, None
    pair = isinstance(shapes, list) or (isinstance(shapes, tuple) and shapes and isinstance(shapes[0], tuple))
    sizes = [shape[-1] for shape in shapes] if pair else [shapes[-1]]
    return sizes[0], sizes[1] if len(sizes) > 1 else None


def _checked(name: str, call: Callable, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Calls a user's function and checks what it returns."""
    try:
        found = call(images)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{argument('features')}={name} failed on images of shape {list(images.shape)}: {_text(error)}."
        ) from error
    parts = list(found) if isinstance(found, tuple | list) else [found]
    try:
        arrays = [None if part is None else np.asarray(part, np.float32) for part in parts]
    except (TypeError, ValueError):
        arrays = []
    rows = [array for array in arrays if array is not None]
    fine = 1 <= len(arrays) <= 2 and arrays[0] is not None
    if not fine or any(array.ndim != 2 or len(array) != len(images) or not array.size for array in rows):
        raise UserError(
            f"{argument('features')}={name} must return features, [{len(images)}, D], or a pair of features and "
            f"logits, for {len(images)} images, not {', '.join(map(_described, parts))}."
        )
    return arrays[0], arrays[1] if len(arrays) > 1 else None


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"an array of shape {list(shape)}" if shape is not None else f"of type {type(value).__name__}"


def _text(error: BaseException) -> str:
    """The type of an exception and the first line of its message."""
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
