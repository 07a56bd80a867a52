"""Registration of the zoo's classes, so that Keras loads them in a process that has only imported `gan_zoo`.

Keras looks up the classes of a `.keras` file in a dictionary, `keras.saving.get_custom_objects()`. A class is added to
it when its module is imported, and Keras imports only its own modules. So this module adds a placeholder for every
class of the zoo. When a file uses the class, the placeholder imports it, and the class replaces the placeholder in the
dictionary.

Neither this module nor the placeholders import Keras, so `import gan_zoo` is fast. The dictionary is filled as soon as
any code imports Keras.
"""

import importlib
import importlib.abc
import sys
from typing import Any

from gan_zoo.models import VARIANTS

_CLASSES = {
    "gan_zoo.nn.layers": (
        "BatchNormalization",
        "ConditionalBatchNormalization",
        "Conv2D",
        "Conv2DTranspose",
        "Embedding",
        "EqualizedConv2D",
        "EqualizedDense",
        "LeakyReLU",
        "MinibatchStd",
        "OneHot",
        "PixelNormalization",
        "SpectralNormalization",
        "UpSampling2D",
    ),
    "gan_zoo.nn.minibatch_discrimination": ("MinibatchDiscrimination",),
    "gan_zoo.nn.virtual_batch_normalization": ("DropReference", "ReferenceBatch", "VirtualBatchNormalization"),
    "gan_zoo.nn.resampling": ("BinomialDownSampling2D", "BinomialUpSampling2D", "LearnedBasis"),
    "gan_zoo.nn.optimizers": ("Adam", "LossScaleOptimizer", "RMSprop", "ScheduledAdam"),
    "gan_zoo.schedules.learning_rates": ("Scaled",),
    "gan_zoo.schedules.rate_schedules": ("Annealed",),
    "gan_zoo.dynamics.dirac_gan": ("Point",),
}
"""Classes that are registered as "gan_zoo>Class", by module."""

_MODELS = {
    "gan_zoo.model": ("GenerativeModel",),
    "gan_zoo.gan": ("GAN",),
    "gan_zoo.cross_entropy": ("CrossEntropyGAN",),
    "gan_zoo.networks.growing": ("GrowingGenerator", "GrowingDiscriminator"),
    "gan_zoo.networks.pyramid": ("PyramidGenerator", "PyramidDiscriminator"),
    **{f"gan_zoo.models.{file}": (class_name,) for file, class_name in VARIANTS.items()},
}
"""Classes that are registered as "module>Class", by module: see `gan_zoo.nn.serialization.KeepsArguments`."""


class _Placeholder:
    """Placeholder of a class until a file uses the class."""

    def __init__(self, module: str, name: str):
        self._module, self._name = module, name

    def from_config(self, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """Returns an object of the class. Keras calls this method."""
        cls = getattr(importlib.import_module(self._module), self._name)
        return cls.from_config(config)

    def __repr__(self) -> str:
        return f"<{self._module}.{self._name}, not yet imported>"


def placeholders() -> dict[str, _Placeholder]:
    """The placeholders by the registered names of their classes."""
    found = {f"gan_zoo>{name}": _Placeholder(module, name) for module, names in _CLASSES.items() for name in names}
    found |= {f"{module}>{name}": _Placeholder(module, name) for module, names in _MODELS.items() for name in names}
    return found


def register() -> None:
    """Adds the placeholders to Keras's dictionary, now or when Keras is imported."""
    if "keras" in sys.modules:
        _add_placeholders()
    else:
        sys.meta_path.insert(0, _KerasImportHook())


def _add_placeholders() -> None:
    registered = sys.modules["keras"].saving.get_custom_objects()
    for name, placeholder in placeholders().items():
        registered.setdefault(name, placeholder)


class _KerasImportHook(importlib.abc.MetaPathFinder):
    """Import finder that finds `keras` with the other finders, and adds the placeholders after its import."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _add_placeholders()

        spec.loader.exec_module = exec_module
        return spec
