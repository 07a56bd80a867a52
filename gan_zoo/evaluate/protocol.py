"""The protocol of an evaluation: all that its numbers depend on. A number without it means nothing."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from gan_zoo.evaluate.features import Features
from gan_zoo.evaluate.measures import MEASURES
from gan_zoo.util import versions
from gan_zoo.util.errors import UserError

VERSION = 1
"""Version of the computations. It changes when the same images would get other numbers."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How numbers were computed, as JSON types.

    Attributes:
        features: "name", "title", "fingerprint" and "preprocessing" of the network.
        samples: "number", "seed", "quantisation", and "ema": the decay of the moving average, its half-life in words,
            or None.
        reference: Dataset, version, split, crop, shape, number and SHA-256 of the real images.
        metrics: Settings of each metric, by name.
        code: Versions of gan_zoo, TensorFlow and NumPy, the commit, and `VERSION`.
    """

    features: dict[str, Any]
    samples: dict[str, Any]
    reference: dict[str, Any]
    metrics: dict[str, str]
    code: dict[str, Any]

    def key(self) -> tuple:
        """Returns what must be equal for numbers to be compared: all but the samples' seed, the EMA and the commit."""
        return (
            ("network for features", self.features["title"], self.features["fingerprint"]),
            ("number of samples", self.samples["number"]),
            ("quantisation", self.samples["quantisation"]),
            ("reference", _reference_line(self.reference), self.reference["sha256"]),
            ("version of the protocol", self.code["protocol"]),
        )

    def line(self) -> str:
        """Returns the protocol in one line."""
        samples = self.samples
        ema = samples["ema"]
        ema = f", EMA {ema if isinstance(ema, str) else f'{ema:g}'}" if ema else ""
        settings = "; ".join(f"{name}: {text}" for name, text in self.metrics.items() if text)
        return (
            f"{self.features['title']} ({self.features['preprocessing']}; {self.features['fingerprint']}) | "
            f"{samples['number']} samples, seed {samples['seed']}, {samples['quantisation']}{ema} | "
            f"{_reference_line(self.reference)} ({self.reference['sha256'][:16]}) | {settings} | "
            f"gan_zoo {self.code['gan_zoo']}, protocol {self.code['protocol']}"
        )


def _reference_line(reference: dict[str, Any]) -> str:
    side = "x".join(map(str, reference["shape"]))
    crop = f", crop {reference['crop']}" if reference["crop"] else ""
    split = f" {reference['split']}" if reference["split"] else ""
    return f"{reference['version'] or reference['dataset']}{split}, {reference['count']} images {side}{crop}"


def describe(names: Sequence[str], features: Features, samples: dict[str, Any], reference: dict[str, Any]) -> Protocol:
    """Returns the protocol of an evaluation with the metrics `names`."""
    known = versions.versions()
    return Protocol(
        {name: getattr(features, name) for name in ("name", "title", "fingerprint", "preprocessing")},
        {**samples, "quantisation": "uint8"},
        reference,
        {name: MEASURES[name].protocol for name in names},
        {
            **{name: known[name] for name in ("gan_zoo", "tensorflow", "numpy")},
            "commit": versions.commit(),
            "protocol": VERSION,
        },
    )


def check_comparable(protocols: Sequence[Protocol], names: Sequence[str]) -> None:
    """Checks that numbers of several evaluations can be ranked together.

    Args:
        protocols: Their protocols.
        names: Their names, for the message.

    Raises:
        UserError: If they differ in what numbers depend on. The message says in what.
    """
    for protocol, name in zip(protocols[1:], names[1:], strict=True):
        for first, other in zip(protocols[0].key(), protocol.key(), strict=True):
            if first != other:
                raise UserError(
                    f"{names[0]} and {name} cannot be ranked together: their {first[0]} differs ({first[1]} and "
                    f"{other[1]}). Evaluate both with the same settings."
                )
        shared = protocols[0].metrics.keys() & protocol.metrics.keys()
        for metric in sorted(shared):
            if protocols[0].metrics[metric] != protocol.metrics[metric]:
                raise UserError(
                    f"{names[0]} and {name} cannot be ranked together: the settings of {metric} differ "
                    f"({protocols[0].metrics[metric]} and {protocol.metrics[metric]}). Evaluate both again."
                )
