"""Inception Score: how certain a classifier is of single images, and how varied its answers are.

References:
    Salimans et al., 2016, Improved techniques for training GANs, https://arxiv.org/abs/1606.03498, Section 4, and the
        authors' code for the splits
    Barratt and Sharma, 2018, A note on the Inception Score, https://arxiv.org/abs/1801.01973
"""

from typing import NamedTuple

import numpy as np

from gan_zoo.metrics.arrays import blocks, rows
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError


class InceptionScore(NamedTuple):
    """An Inception Score, from 1 to the number of classes.

    Attributes:
        mean: Mean over the splits.
        std: Standard deviation over the splits, divided by their number, as published.
    """

    mean: float
    std: float


def inception_score(logits: np.ndarray, splits: int = 10) -> InceptionScore:
    """Returns mean and standard deviation over the splits of exp(mean KL(p(y | x) || p(y))).

    Split i are images from i N / splits to (i + 1) N / splits in their order; p(y) is the mean of p(y | x) in the
    split. Published numbers use 50,000 images, 10 splits, and Inception's 1008 logits without the bias of the last
    layer. The score grows with the number of images in a split.

    Args:
        logits: Logits, [N, K], also a memory-mapped file.
        splits: Number of splits.

    Raises:
        UserError: If `logits` has another shape, a value that is not finite, or fewer than `splits` rows.
    """
    checks.whole("splits", splits, 1)
    logits = rows("logits", logits)
    if len(logits) < splits:
        raise UserError(f"logits must have a row or more for each of {splits} splits, not {len(logits)} rows.")
    bounds = [i * len(logits) // splits for i in range(splits + 1)]
    scores = [_score(logits[start:stop]) for start, stop in zip(bounds, bounds[1:], strict=False)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: np.ndarray) -> float:
    """Returns exp(H(mean of p) - mean of H(p)), which is exp(mean KL(p || mean of p))."""
    marginal, entropy = np.zeros(logits.shape[1]), 0.0
    for block in blocks("logits", logits):
        block -= block.max(axis=1, keepdims=True)
        p = np.exp(block)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        marginal += p.sum(axis=0)
        block -= np.log(total)
        entropy -= np.vdot(p, block)
    marginal /= len(logits)
    seen = marginal[marginal > 0]
    # Rounding gives slightly less than 0 for equal answers.
    return float(np.exp(max(-np.sum(seen * np.log(seen)) - entropy / len(logits), 0.0)))
