"""Metrics of class-conditional generators: Fréchet distances within classes, and how often a class is the wanted one.

References:
    Miyato and Koyama, 2018, cGANs with projection discriminator, https://arxiv.org/abs/1802.05637, Section 4: intra FID
    Odena et al., 2017, https://arxiv.org/abs/1610.09585, Section 4.3: the accuracy of a classifier on samples
"""

from typing import NamedTuple

import numpy as np

from gan_zoo.metrics.arrays import centre, labels_of, row_pair, rows
from gan_zoo.metrics.frechet import FrechetReference
from gan_zoo.metrics.moments import Moments
from gan_zoo.util.errors import UserError

_ROWS = 4096


class IntraClassFrechet(NamedTuple):
    """Squared Fréchet distances within classes.

    Attributes:
        mean: Mean over the classes.
        classes: {label: distance}, in the order of the labels.
    """

    mean: float
    classes: dict[int, float]


def intra_class_frechet(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> IntraClassFrechet:
    """Returns the squared Fréchet distance between the real and the fake features of each class, and their mean.

    A class has few images, so that its distance is biased upwards by more than that of all images: compare it only at
    equal numbers.

    Args:
        real: Features of real images, [N, D], also a memory-mapped file.
        real_labels: Their labels, integers, [N].
        fake: Features of generated images, [M, D].
        fake_labels: Their labels, integers, [M]: the same classes.

    Raises:
        UserError: If the shapes do not match, a class has fewer than 2 real or 2 fake rows, or a value is not finite.
    """
    real, fake = row_pair(("real", "fake"), real, fake)
    real_labels = labels_of("real_labels", real_labels, len(real), "real")
    fake_labels = labels_of("fake_labels", fake_labels, len(fake), "fake")
    classes = np.union1d(real_labels, fake_labels).tolist()
    for name, labels in (("real", real_labels), ("fake", fake_labels)):
        for label in classes:
            count = int(np.count_nonzero(labels == label))
            if count < 2:
                raise UserError(f"{name} has {count} rows of class {label}: each class needs 2 or more.")
    found = {}
    for label in classes:
        truth, other = (
            moments_of(x, np.flatnonzero(labels == label)) for x, labels in ((real, real_labels), (fake, fake_labels))
        )
        found[label] = FrechetReference(truth.mean, truth.covariance).distance(other.mean, other.covariance)
    return IntraClassFrechet(float(np.mean(list(found.values()))), found)


def label_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of images whose highest logit is at the wanted label.

    Args:
        logits: Logits of a classifier, [N, K], also a memory-mapped file.
        labels: Wanted labels, integers from 0 to K - 1, [N].

    Raises:
        UserError: If the shapes do not match, a label is not below K, or a logit is not finite.
    """
    logits = rows("logits", logits)
    labels = labels_of("labels", labels, len(logits), "logits")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise UserError(
            f"labels must be from 0 to {logits.shape[1] - 1}, as logits has columns, not from {labels.min()} to "
            f"{labels.max()}."
        )
    centre("logits", logits)
    return float(np.mean(logits.argmax(axis=1) == labels))


def moments_of(x: np.ndarray, places: np.ndarray) -> Moments:
    """Returns the moments of some rows of features, [N, D], which are read in blocks. `places` are their indices."""
    moments = Moments(x.shape[1])
    for start in range(0, len(places), _ROWS):
        moments.update(x[places[start : start + _ROWS]])
    return moments
