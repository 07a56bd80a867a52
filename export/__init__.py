"""Trained generators in formats that other programs read, one file per format."""

import importlib

_MODULES = ("release", "saved_model")

__all__ = [*_MODULES]


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"gan_zoo.export.{name}")
    raise AttributeError(f"module 'gan_zoo.export' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})
