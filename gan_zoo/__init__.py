"""gan_zoo: GAN variants for Keras 3 and TensorFlow, correct to the equation.

    import gan_zoo
    from gan_zoo.models import WGANGP

    dataset = gan_zoo.data.load("mnist", batch_size=64, n_critic=5)
    gan = WGANGP.for_images((28, 28, 1))
    gan.compile()
    gan.fit(dataset, steps_per_epoch=1000, epochs=10)
    images = gan(gan.sample_latent(16))

Names are loaded on first use, so that `import gan_zoo` itself does not start TensorFlow.
"""

import importlib
import os
import sys
from pathlib import Path

__version__ = "0.1.0"

_BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if _BACKEND != "tensorflow":
    raise ImportError(f"gan_zoo needs Keras on TensorFlow, but KERAS_BACKEND is {_BACKEND!r}: set it to 'tensorflow'.")
if "keras" in sys.modules and sys.modules["keras"].config.backend() != "tensorflow":
    raise ImportError("gan_zoo needs Keras on TensorFlow, but Keras is already running on another backend here.")

try:
    Path.home()
except RuntimeError:
    # Keras would create a folder "~" in the working directory. If it cannot create its folder, it uses none.
    os.environ.setdefault("KERAS_HOME", os.path.join(os.devnull, "keras"))  # noqa: PTH118

# In a clone that was not installed, models/ and export/ lie beside this folder instead of inside it.
_PARENT = Path(__file__).resolve().parent.parent
if (_PARENT / "setup.py").exists():
    __path__.append(str(_PARENT))

_LAZY = {
    "GAN": "gan_zoo.gan",
    "GenerativeModel": "gan_zoo.model",
    "Player": "gan_zoo.players",
    "UserError": "gan_zoo.util.errors",
    "load_pretrained": "gan_zoo.sampling.pretrained",
}
_MODULES = (
    "callbacks",
    "data",
    "distribution",
    "dynamics",
    "evaluate",
    "export",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "penalties",
    "refine",
    "testing",
)

__all__ = [*_LAZY, *_MODULES]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"gan_zoo.{name}")
    raise AttributeError(f"module 'gan_zoo' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})


from gan_zoo import aliases  # noqa: E402 (the path above comes first)
from gan_zoo.registry import keras_classes  # noqa: E402

aliases.register()
keras_classes.register()
