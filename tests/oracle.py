"""TF-GAN's functions as an independent reference that shares no code with this library.

tensorflow-gan 2.1.0 cannot be imported on TensorFlow 2.16 and later, because its packages import `tf.estimator`. The
submodules used here do not need it, so empty modules replace the two packages.
"""

import functools
import importlib
import importlib.util
import sys
import types
from pathlib import Path


@functools.cache
def tfgan_losses():
    """Returns TF-GAN's `losses_impl`, which has the losses and penalties with explicit arguments."""
    root = Path(importlib.util.find_spec("tensorflow_gan").submodule_search_locations[0])
    for name in ("tensorflow_gan", "tensorflow_gan.python", "tensorflow_gan.python.losses"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(name, package)
    return importlib.import_module("tensorflow_gan.python.losses.losses_impl")
