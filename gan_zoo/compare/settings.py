"""Settings of a comparison: the budget, the data, the networks and the optimizers that all methods share."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from gan_zoo import data
from gan_zoo.compare.measuring import measuring_of
from gan_zoo.data import color_mnist, synthetic
from gan_zoo.registry.variant_lists import Method
from gan_zoo.util.errors import UserError
from gan_zoo.util.seeds import seeded, stream

OPTIMIZERS = ("own", "adam", "rmsprop", "sgd")

EVALUATIONS = 20
"""Approximate number of evaluations of a run."""
_MOST = {
    **{"steps": 10**9, "batch_size": 2**20, "depth": 100, "width": 2**14, "latent_dim": 2**14, "samples": 10**7},
    "resolution": 2**14,
}
"""Largest allowed values of settings."""
_NEWER = ("conditional", "resolution", "network", "metrics", "features")
"""Settings that the files of older versions do not have."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that all runs of a comparison share. The fields are flags of `python -m gan_zoo.compare`.

    Attributes:
        dataset: Name of a dataset, as for `train.py`.
        data_dir: Folder of the TFDS datasets that images come from.
        resolution: Side of the images in pixels. None uses the default of the dataset.
        steps: Number of generator updates in each run.
        seconds: Minimum training time of each run in seconds, for the second ranking; None for `steps` alone.
        batch_size: Number of examples in a minibatch.
        latent_dim: Z. None uses the default for points or images.
        width: Width of the networks. None uses the default for points or images.
        depth: Number of hidden layers of the perceptrons for points.
        network: Family of networks for images. None uses the default of the method or the dataset.
        optimizer: "own" for each variant's own optimizer, or one for all: "adam" (beta_1 0.5, beta_2 0.999), "rmsprop"
            (rho 0.9) or "sgd".
        learning_rate: Learning rate for all players; None keeps the optimizers' own.
        evaluate_every: Steps between two evaluations; 0 makes about `EVALUATIONS` of them in all.
        samples: Number of samples in each evaluation.
        metrics: Metrics of `gan_zoo.evaluate` for images without exact metrics, the primary one first. Empty uses the
            defaults.
        features: Network for features of these metrics, as for `gan_zoo.evaluate.find_features`.
        conditional: Whether all models train with the labels of the dataset. Samples have uniform labels.
    """

    dataset: str
    data_dir: str | None = None
    steps: int = 5000
    seconds: float | None = None
    batch_size: int = 256
    latent_dim: int | None = None
    width: int | None = None
    depth: int = 2
    optimizer: str = "own"
    learning_rate: float | None = None
    evaluate_every: int = 0
    samples: int = 5000
    conditional: bool = False
    resolution: int | None = None
    network: str | None = None
    metrics: Sequence[str] = ()
    features: str | None = None

    def check(self) -> None:
        """Checks all settings.

        Raises:
            UserError: If a setting is not valid. The message names the flag.
        """
        for name, most in _MOST.items():
            value, least = getattr(self, name), 2 if name == "samples" else 1
            if value is not None and value < least:
                raise UserError(f"--{name} must be {least} or more, not {value}.")
            if value is not None and value > most:
                raise UserError(f"--{name} must be at most {most}, not {value}.")
        for name in ("seconds", "learning_rate"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < math.inf:
                raise UserError(f"--{name} must be positive, not {getattr(self, name)}.")
        if self.evaluate_every < 0 or (self.evaluate_every and self.steps % self.evaluate_every):
            raise UserError(
                f"--evaluate_every must be 0 or a divisor of --steps={self.steps}, not {self.evaluate_every}."
            )
        looks = self.steps // self.every
        if not self.evaluate_every and self.steps > EVALUATIONS and looks < EVALUATIONS // 2:
            raise UserError(
                f"--steps={self.steps} cannot be divided into about {EVALUATIONS} equal parts for the evaluations: "
                f"take --steps={EVALUATIONS * round(self.steps / EVALUATIONS)}, or set --evaluate_every."
            )
        if self.optimizer not in OPTIMIZERS:
            raise UserError(f"--optimizer must be one of {', '.join(OPTIMIZERS)}, not {self.optimizer!r}.")
        if self.optimizer != "own" and self.learning_rate is None:
            raise UserError(f"--optimizer={self.optimizer} needs a --learning_rate, such as 0.001.")
        if self.points and self.network not in (None, "mlp"):
            raise UserError(f"--network={self.network} is for images, and {self.dataset} has points: leave it out.")
        if self.conditional or not self.exact:
            from gan_zoo.training.config import flag_of_labels

            with flag_of_labels():
                self.find()
        measuring_of(self)

    def resolved(self) -> "Settings":
        """Returns the settings with the defaults that depend on what is installed.

        Raises:
            UserError: As for `check`.
        """
        return dataclasses.replace(self, **measuring_of(self).resolved())

    @property
    def exact(self) -> bool:
        """Whether the distribution of the data is known, so that it has exact metrics."""
        return synthetic.is_synthetic(self.dataset) or self.dataset == color_mnist.NAME

    @property
    def every(self) -> int:
        """Steps between two evaluations: a divisor of the number of steps."""
        if self.evaluate_every:
            return self.evaluate_every
        return next(self.steps // k for k in range(EVALUATIONS + 5, 0, -1) if self.steps % k == 0)

    @property
    def points(self) -> bool:
        return data.lookup(self.dataset).resolution is None

    @property
    def sizes(self) -> dict[str, int]:
        """Width and Z of the networks: the settings, or the defaults of training for such data."""
        from gan_zoo.training.config import DEFAULTS

        defaults = DEFAULTS["points" if self.points else "image"]
        return {name: getattr(self, name) or defaults[name] for name in ("width", "latent_dim")}

    def find(self) -> data.Found:
        """Returns what is known about the data before any image is decoded."""
        return data.find_source(
            self.dataset, data_dir=self.data_dir, resolution=self.resolution, labels=self.conditional
        )

    def source(self) -> data.Source:
        return self.find().open()

    def fits(self, cls: type, found: data.Found) -> bool:
        """Whether a class can be compared on these data: by their kind and labels, and with networks that stay."""
        labels = cls.takes_labels != ("never" if self.conditional else "required")
        return found.kind in cls.kinds and labels and not hasattr(cls, "growth")

    def build(self, method: Method, shape: tuple[int, ...], seed: int):
        """Returns a method's compiled model. For one seed, the networks of all methods start with the same weights."""
        from gan_zoo.registry.variants import build_gan

        sizes = self.sizes
        arguments = {"latent_dim": sizes["latent_dim"], "seed": seed, **method.arguments}
        if self.conditional:
            arguments["classes"] = len(self.find().classes)
        if self.points:
            arguments["depth"] = self.depth
        cls = method.cls
        with seeded(stream(seed, "weights")):
            gan = build_gan(
                cls,
                shape,
                network=self.network or cls.default_network or data.lookup(self.dataset).family,
                width=sizes["width"],
                norm=None,
                arguments=arguments,
            )
        if hasattr(gan, "growth"):
            raise UserError(
                f"--models={method.name} grows its networks while it trains, and a comparison does not: leave it out."
            )
        gan.compile(*(self._optimizer(gan, player.name) for player in gan.players()))
        return gan

    def _optimizer(self, gan, player: str):
        import keras

        from gan_zoo.nn import optimizers
        from gan_zoo.schedules import learning_rates

        if self.optimizer == "adam":
            return optimizers.Adam(self.learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8)
        if self.optimizer == "rmsprop":
            return keras.optimizers.RMSprop(self.learning_rate, rho=0.9, epsilon=1e-8)
        if self.optimizer == "sgd":
            return keras.optimizers.SGD(self.learning_rate)
        own = gan.default_optimizer(player)
        if self.learning_rate is not None:
            learning_rates.set_rate(own, self.learning_rate, "--learning_rate")
        return own

    def asdict(self) -> dict[str, Any]:
        """Returns the settings as JSON types.

        Settings that older versions did not have are left out if they have their defaults, as in files of these.
        """
        found = {**dataclasses.asdict(self), "metrics": list(self.metrics)}
        return {name: value for name, value in found.items() if value or name not in _NEWER}
