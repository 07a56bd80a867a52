"""Public and former names of modules that are in a package.

`gan_zoo.layers` is an alias of `gan_zoo.nn.layers`. `import gan_zoo.layers`, `from gan_zoo.layers import Conv2D`,
pickles and users' variants work with both names. `python -m gan_zoo.sample` runs `gan_zoo.sampling.sample`. A module is
imported at its first use.
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
"""Aliases, with the modules in `gan_zoo` that they stand for."""

COMMANDS = {"refine": "training.fine_tuning"}
"""Modules that `python -m` runs, if they differ from those of `MODULES`."""


class _Alias(Loader):
    """Loads the module of an alias, so that both names give the same object."""

    def __init__(self, target: str, command: ModuleSpec):
        self._target, self._command = target, command

    def exec_module(self, module) -> None:
        """Replaces the empty module that the import system has created with the target."""
        sys.modules[module.__spec__.name] = importlib.import_module(self._target)

    def get_code(self, fullname: str):
        """Returns the code that `python -m` runs."""
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
    """Adds the aliases to Python's import system."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
