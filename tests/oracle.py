"""TF-GAN's functions as an independent reference that shares no code with this library.

tensorflow-gan 2.1.0 cannot be imported on TensorFlow 2.16 and later, because its packages import `tf.estimator`. The
submodules used here do not need it, so empty modules replace the packages.
"""

import functools
import importlib
import importlib.util
import sys
import types
import warnings
from pathlib import Path


@functools.cache
def _root() -> Path:
    # The empty module that replaces the package has no place of its own.
    return Path(importlib.util.find_spec("tensorflow_gan").submodule_search_locations[0])


def _tfgan(package: str, module: str) -> types.ModuleType:
    root = _root()
    for name in ("tensorflow_gan", "tensorflow_gan.python", f"tensorflow_gan.python.{package}"):
        empty = types.ModuleType(name)
        empty.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, empty)
    with warnings.catch_warnings():
        # TensorFlow Probability, which TF-GAN's metrics import, uses deprecated classes for versions.
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(f"tensorflow_gan.python.{package}.{module}")


def tfgan_losses() -> types.ModuleType:
    """Returns TF-GAN's `losses_impl`, which has the losses and penalties with explicit arguments."""
    return _tfgan("losses", "losses_impl")


def tfgan_metrics() -> types.ModuleType:
    """Returns TF-GAN's `classifier_metrics`, whose functions take logits or activations."""
    return _tfgan("eval", "classifier_metrics")


def tfgan_pyramid() -> types.ModuleType:
    """Returns TF-GAN's `sliced_wasserstein`, of which `laplacian_pyramid` follows the paper.

    Its distance does not: it normalises each place of a patch instead of each channel.
    """
    return _tfgan("eval", "sliced_wasserstein")
