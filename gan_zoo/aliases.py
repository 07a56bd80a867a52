"""Public and former names of modules that lie in a package.

`gan_zoo.layers` is the module `gan_zoo.nn.layers`: `import gan_zoo.layers`, `from gan_zoo.layers import Conv2D`,
pickles and a user's own variants find it under both names. `python -m gan_zoo.sample` runs `gan_zoo.sampling.sample`. A
module is imported when it is asked for.
"""

import importlib
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

MODULES = {
    "balance": "schedules.balance",
    "checkpoints": "run_folder.checkpoints",
    "checks": "util.checks",
    "config": "training.config",
    "distribution": "replicas.distribution",
    "errors": "util.errors",
    "growth": "schedules.growth",
    "images": "util.pictures",
    "layers": "nn.layers",
    "learning_rates": "schedules.learning_rates",
    "optimizers": "nn.optimizers",
    "precision": "nn.precision",
    "pretrained": "sampling.pretrained",
    "randomness": "util.seeds",
    "refine": "sampling.refine",
    "regularization": "zero_centered",
    "runs": "run_folder.run_json",
    "sample": "sampling.sample",
    "variants": "registry.variants",
}
"""The place in `gan_zoo` of each module that has an alias, by the alias."""

COMMANDS = {"refine": "training.fine_tuning"}
"""What `python -m` runs, where that is another module than the one of the name."""


class _Alias(Loader):
    """Loads the module that an alias stands for, as one object under both names."""

    def __init__(self, target: str, command: ModuleSpec):
        self._target, self._command = target, command

    def exec_module(self, module) -> None:
        """Puts the target in the place of the empty module that the import system has made."""
        sys.modules[module.__spec__.name] = importlib.import_module(self._target)

    def get_code(self, fullname: str):
        """The code that `python -m` runs."""
        return self._command.loader.get_code(self._command.name)


class _Finder(MetaPathFinder):
    """Finds the modules of `MODULES`."""

    def find_spec(self, fullname, path=None, target=None):
        package, _, name = fullname.partition(".")
        if package != "gan_zoo" or name not in MODULES:
            return None
        command = importlib.util.find_spec(f"gan_zoo.{COMMANDS.get(name, MODULES[name])}")
        return ModuleSpec(fullname, _Alias(f"gan_zoo.{MODULES[name]}", command), origin=command.origin)


def register() -> None:
    """Makes the aliases known to Python's import system."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
