"""Models that save and load themselves: their constructor's arguments, and their optimizers."""

import inspect
from typing import Any

import keras


class KeepsArguments:
    """A mixin for `keras.Model`: every constructor argument, kept in the attribute of its name, is the configuration.

    So a subclass that adds arguments has nothing to write for saving and loading. Subclasses are registered with Keras
    by themselves, under their module's name.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable(package=cls.__module__)(cls)

    @classmethod
    def argument_names(cls) -> list[str]:
        """The names of the constructor's own arguments, from the variant's down to the base's."""
        names = []
        for klass in cls.__mro__[: cls.__mro__.index(KeepsArguments)]:
            if "__init__" in vars(klass):
                parameters = list(inspect.signature(klass.__init__).parameters.values())[1:]
                names += [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return list(dict.fromkeys(names))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments: each is kept in the attribute of its name."""
        policy = keras.saving.serialize_keras_object(self.dtype_policy)
        config = {"name": self.name, "trainable": self.trainable, "dtype": policy}
        for name in self.argument_names():
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "KeepsArguments":
        with keras.saving.custom_object_scope(custom_objects or {}):
            return cls(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


class KeepsOptimizers:
    """A mixin for a `keras.Model` with several optimizers, whose attributes are also arguments of `compile`."""

    def get_compile_config(self) -> dict[str, Any] | None:
        """The optimizers with their settings; None before `compile`."""
        if not self.compiled:
            return None
        return {name: keras.saving.serialize_keras_object(optimizer) for name, optimizer in self.optimizers().items()}

    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """By the names of their attributes."""
        return {name: value for name, value in vars(self).items() if isinstance(value, keras.optimizers.Optimizer)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with the optimizers of `get_compile_config`."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})
