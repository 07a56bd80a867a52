"""Conversion of a variant's name and settings on the command line to a class and a GAN, and its first checks."""

import contextlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gan_zoo.models import VARIANTS
from gan_zoo.util import specs
from gan_zoo.util.errors import UserError

NETWORK_OPTIONS = ("condition", "minibatch_discrimination", "g_norm", "kernel_size")
"""Settings of networks that are flags of the same names, entries of `run.json`, and arguments of `for_images`."""


def build_gan(
    cls: type,
    shape,
    *,
    network: str,
    width: int,
    norm: str | None,
    arguments: dict[str, Any],
    **options,
):
    """A model with the zoo's networks for examples of `shape`, (H, W, C) or (D,). Settings are those of `run.json`.

    Args:
        cls: Class of the model.
        shape: Shape of an example.
        network: The family of networks; `width` and `norm` are its settings.
        arguments: The constructor's own arguments.
        **options: `NETWORK_OPTIONS` by name.
    """
    if len(shape) == 1:
        return cls.for_points(shape[0], width=width, **options, **arguments)
    return cls.for_images(tuple(shape), network=network, width=width, norm=norm, **options, **arguments)


def find_model(name: str, flag: str = "--model") -> type:
    """The class that `--model`, or another `flag`, names: a name of the zoo, or `module:Class`.

    Raises:
        UserError: If there is no such class. The message suggests the nearest name.
    """
    if ":" not in name:
        if name not in VARIANTS:
            raise UserError(
                f"{flag}={name} is not in the zoo.{specs.suggest(name, VARIANTS)} "
                f"train.py --list shows all; a class of your own is {flag}=my_module:MyGAN."
            )
        from gan_zoo import models

        return getattr(models, VARIANTS[name])
    module_name, _, class_name = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
        cls = getattr(module, class_name, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything, even SystemExit
        raise UserError(f"{flag}={name}: importing {module_name} failed: {_error_text(error)}.") from None
    from gan_zoo.model import GenerativeModel

    if not (inspect.isclass(cls) and issubclass(cls, GenerativeModel)):
        raise UserError(
            f"{flag}={name}: {module_name} has no subclass of gan_zoo.GAN or gan_zoo.GenerativeModel named "
            f"{class_name!r}."
        )
    return cls


def parse_arguments(cls: type, assignments: Iterable[str], subject: str = "--set") -> dict[str, Any]:
    """Returns the constructor arguments that `--set name=value`, or another `subject`, gives: see `specs.bind`.

    Raises:
        UserError: If an assignment is malformed, if the variant has no such argument, or if it takes another type.
    """
    others = (*cls.network_names(), "latent_dim", "classes")
    own = {name: parameter for name, parameter in cls.parameters().items() if name not in others}
    return specs.bind(assignments, own, cls.__name__, subject)


@contextlib.contextmanager
def wrap_user_errors(model: str):
    """Converts memory errors, and all errors in a user's own model, to a `UserError` of one sentence.

    Args:
        model: As `--model` names it.

    Raises:
        UserError: If the memory is too small, or if the user's own model raises an error.
    """
    import tensorflow as tf

    try:
        yield
    except UserError:
        raise
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise UserError(
            "The networks do not fit in memory: take a smaller --width or --latent_dim, or another --network."
        ) from None
    except Exception as error:
        if ":" not in model:
            raise
        frames = traceback.extract_tb(error.__traceback__)
        file = getattr(sys.modules.get(model.partition(":")[0]), "__file__", None)
        own = next((frame for frame in reversed(frames) if frame.filename == file), None)
        where = f" ({own.filename}, line {own.lineno})" if own else ""
        raise UserError(f"--model={model} cannot be trained: {_error_text(error)}{where}.") from error


def trial_step(model: str, gan, spec) -> None:
    """Traces a training step of a user's own model, so that its errors appear before any file is written.

    It traces a graph only, and computes nothing.

    Args:
        model: As `--model` names it.
        gan: The compiled model.
        spec: Specification of one dataset batch, over all replicas.

    Raises:
        UserError: If the step fails, or if a loss is not a real scalar.
    """
    import tensorflow as tf

    strategy, losses = gan.distribute_strategy, {}

    def trace(data):
        x = gan.split(data)[-1]
        for player in gan.players():
            losses[getattr(player.loss, "__name__", player.name)] = player.loss(x, gan.latents_for(x))
        for name, loss in losses.items():
            if not (tf.is_tensor(loss) and loss.dtype.is_floating and loss.shape.rank == 0):
                raise UserError(
                    f"--model={model}: {name} must return a real number as a tensor without axes, not "
                    f"{_describe_value(loss)}: for example a mean over the batch."
                )
        gan.train_step(data)

    def share(part):
        return tf.TensorSpec([part.shape[0] // strategy.num_replicas_in_sync, *part.shape[1:]], part.dtype)

    # Keras also traces steps without AutoGraph.
    step = tf.function(lambda data: strategy.run(trace, (data,)), autograph=False)
    with wrap_user_errors(model):
        step.get_concrete_function(tf.nest.map_structure(share, spec))


def _error_text(error: BaseException) -> str:
    """The type of an exception and the first line of its message."""
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _describe_value(value) -> str:
    """A short description of a value that a user's function returned, for an error message."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{getattr(value.dtype, 'name', value.dtype)} of shape {tuple(value.shape)}"
    return f"{value!r}" if value is None else f"an object of type {type(value).__name__}"
