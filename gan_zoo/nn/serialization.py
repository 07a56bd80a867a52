"""Mixins that save and load a model's constructor arguments and its optimizers."""

import inspect
from typing import Any

import keras
from keras.src.saving import object_registration

from gan_zoo.util.errors import UserError

_find_registered = object_registration.get_registered_object
_users_classes: dict[str, dict[str, type]] = {}
"""Users' subclasses of `KeepsArguments`, by class name and then by module."""


class KeepsArguments:
    """A mixin for `keras.Model` that makes the configuration from the constructor's arguments.

    Every argument must be stored in the attribute of the same name. Then a subclass that adds arguments needs no code
    for saving and loading. Subclasses are registered with Keras automatically, under their module's name. If the module
    in a file is not imported, because the class has moved or was defined in a script or notebook, the class of the same
    name is used: see `find_class`.
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        keras.saving.register_keras_serializable(package=cls.__module__)(cls)
        if not _is_own(cls.__module__):
            _users_classes.setdefault(cls.__name__, {})[cls.__module__] = cls

    @classmethod
    def parameters(cls) -> dict[str, inspect.Parameter]:
        """The constructor's own arguments by name: those of the class itself first, those of its base classes last."""
        found = {}
        for klass in cls.__mro__[: cls.__mro__.index(KeepsArguments)]:
            if "__init__" in vars(klass):
                for parameter in list(inspect.signature(klass.__init__).parameters.values())[1:]:
                    if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                        found.setdefault(parameter.name, parameter)
        return found

    @classmethod
    def argument_names(cls) -> list[str]:
        """The names of the constructor's own arguments, in the order of `parameters`."""
        return list(cls.parameters())

    @classmethod
    def network_names(cls) -> list[str]:
        """Names of the constructor's arguments that are networks: the positional arguments without a default."""
        found = cls.parameters().values()
        return [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]

    def rebuilt(self, **changed: Any) -> "KeepsArguments":
        """Returns a model of the same class with the same networks and other values of some arguments.

        Args:
            **changed: The constructor's arguments that change.
        """
        return type(self)(**({name: getattr(self, name) for name in self.argument_names()} | changed))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, read from the attributes of the same names."""
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
    """A mixin for a `keras.Model` with several optimizers. Their attributes have the names of `compile`'s arguments."""

    def get_compile_config(self) -> dict[str, Any] | None:
        """The configurations of the optimizers; None before `compile`."""
        if not self.compiled:
            return None
        return {name: keras.saving.serialize_keras_object(optimizer) for name, optimizer in self.optimizers().items()}

    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """The optimizers by the names of their attributes."""
        return {name: value for name, value in vars(self).items() if isinstance(value, keras.optimizers.Optimizer)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with the optimizers of `get_compile_config`."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})


def find_class(name: str, custom_objects: dict | None = None, module_objects: dict | None = None) -> Any:
    """Like `keras.saving.get_registered_object`, but also finds users' classes that have moved to another module.

    A file contains the class with its module, for example "__main__>MyGAN" if a script or a notebook saved it. Keras
    looks up this full name only. This function also accepts `custom_objects={"MyGAN": MyGAN}`, as Keras does for
    classes that are not registered. Without it, if the module is not imported, it returns the only known class of that
    name.

    Raises:
        UserError: If the module of the file is not imported and several modules have a class of that name.
    """
    module, arrow, class_name = name.rpartition(">") if isinstance(name, str) else ("", "", "")
    if not arrow or _is_own(module):
        return _find_registered(name, custom_objects, module_objects)
    given = (custom_objects or {}).get(class_name)
    if inspect.isclass(given) and issubclass(given, KeepsArguments):
        return given
    found = _find_registered(name, custom_objects, module_objects)
    candidates = _users_classes.get(class_name, {})
    if found is not None or not candidates:
        return found
    if len(candidates) > 1:
        raise UserError(
            f"The file was saved with {class_name} of the module {module!r}, which is not imported, and the modules "
            f"{', '.join(sorted(candidates))} each have a class of that name: choose one with "
            f"custom_objects={{{class_name!r}: {class_name}}}."
        )
    return next(iter(candidates.values()))


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == "gan_zoo"


# Keras has no public way to change how it looks up classes.
object_registration.get_registered_object = find_class
