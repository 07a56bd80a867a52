"""Combines the networks of a model that the moving average replaces into one network."""

import keras


def average_of(model: keras.Model) -> keras.Model:
    """Returns the networks of a model that its average replaces, as one Keras model for checkpoints."""
    return as_one({name: getattr(model, name) for name in model.averaged})


def as_one(networks: dict[str, keras.Model]) -> keras.Model:
    """Returns one network itself, or a model that holds several by their names."""
    return next(iter(networks.values())) if len(networks) == 1 else _Networks(networks)


class _Networks(keras.Model):
    """Holds networks by name, so that their weights are saved in one file."""

    def __init__(self, networks: dict[str, keras.Model]):
        super().__init__()
        for name, network in networks.items():
            setattr(self, name, network)
        self.built = True
