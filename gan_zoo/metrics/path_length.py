"""Perceptual path length: how much an image changes for a small step in the latent space.

References:
    Karras et al., 2019, A style-based generator architecture, https://arxiv.org/abs/1812.04948, Section 4.1, and the
        authors' code for the outliers
    Shoemake, 1985, Animating rotation with quaternion curves, https://doi.org/10.1145/325334.325242: slerp
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

BATCH = 64


class PathLength(NamedTuple):
    """A perceptual path length.

    Attributes:
        mean: Mean over the paths that count.
        standard_error: Standard error of the mean.
        paths: Number of paths that count: all except the lowest and the highest 1 %.
    """

    mean: float
    standard_error: float
    paths: int


def perceptual_path_length(
    generate: Callable[[Any], np.ndarray],
    draw_latents: Callable[[int, int], Any],
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    n: int = 100_000,
    epsilon: float = 1e-4,
    seed: int = 0,
    prior: Literal["normal", "uniform", "style"] = "normal",
) -> PathLength:
    """Returns the mean of distance(g(t), g(t + epsilon)) / epsilon^2 over random paths and places t on them.

    A path joins two latents. It is an arc for a normal prior, and a line otherwise. An arc turns the direction at a
    constant rate, as published, and its length changes evenly from one latent's to the other's. The published
    generators divide a latent by its length, so that the length has no effect on them.

    Args:
        generate: Function of latents that returns images, [B, H, W, C]. It must not draw noise, because both ends of a
            step need the same, and must not round to uint8, because that hides small steps.
        draw_latents: Function of a number and a seed that returns that many latents, [B, Z], or a tuple of such arrays.
            Arrays of integers, such as labels, are the same on the whole path.
        distance: Function of two arrays of images that returns the squared perceptual distance of each pair, [B].
        n: Number of paths. Published numbers use 100,000.
        epsilon: Step as a part of the path.
        seed: Seed of the latents and places.
        prior: Distribution of the latents: "normal", or "uniform" or "style" (the intermediate latents of a style-based
            generator) for lines.

    Raises:
        UserError: If a number is out of range, `prior` is not one of these, or a distance has the wrong shape or is
            negative or not finite.
    """
    checks.whole("n", n, 2)
    checks.number("epsilon", epsilon, positive=True)
    if prior not in _PATHS:
        raise UserError(f"prior must be one of {', '.join(_PATHS)}, not {prior!r}.")
    rng = np.random.default_rng(seed)
    lengths = []
    for start in range(0, n, BATCH):
        count = min(BATCH, n - start)
        drawn = draw_latents(2 * count, int(rng.integers(2**31)))
        t = rng.uniform(size=(count, 1))
        images = [generate(_between(drawn, count, place, _PATHS[prior])) for place in (t, t + epsilon)]
        lengths.append(_checked(distance(*images), count) / epsilon**2)
    lengths = np.sort(np.concatenate(lengths))
    low, high = np.percentile(lengths, 1, method="lower"), np.percentile(lengths, 99, method="higher")
    kept = lengths[(lengths >= low) & (lengths <= high)]
    return PathLength(float(kept.mean()), float(kept.std(ddof=1) / np.sqrt(len(kept))), len(kept))


def lerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Returns the point at the part t of the line from a to b: [B, Z] for a and b, and [B, 1] for t."""
    return a + (b - a) * t


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Returns the point at the part t of the arc from a to b: [B, Z] for a and b, and [B, 1] for t.

    The direction turns at a constant rate. The length changes linearly.
    """
    sizes = [np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    a, b = a / sizes[0], b / sizes[1]
    cosine = np.clip(np.sum(a * b, axis=1, keepdims=True), -1, 1)
    across = b - cosine * a
    norm = np.linalg.norm(across, axis=1, keepdims=True)
    across = np.divide(across, norm, out=np.zeros_like(across), where=norm > 0)
    angle = t * np.arccos(cosine)
    return (a * np.cos(angle) + across * np.sin(angle)) * lerp(*sizes, t)


_PATHS = {"normal": slerp, "uniform": lerp, "style": lerp}


def _between(drawn: Any, count: int, t: np.ndarray, path: Callable[..., np.ndarray]) -> Any:
    """Returns the latents at the part t of the paths from the first `count` latents to the others."""
    if isinstance(drawn, tuple):
        return tuple(_between(array, count, t, path) for array in drawn)
    drawn = np.asarray(drawn)
    if drawn.dtype.kind in "iu":
        return drawn[:count]
    exact = drawn.astype(np.float64)
    return path(exact[:count], exact[count:], t).astype(drawn.dtype)


def _checked(distances: np.ndarray, count: int) -> np.ndarray:
    distances = np.asarray(distances, np.float64)
    if distances.shape != (count,):
        raise UserError(f"distance must return {count} numbers for {count} pairs, not shape {list(distances.shape)}.")
    if not np.isfinite(distances).all() or distances.min() < 0:
        raise UserError("distance must return finite numbers that are not negative.")
    return distances
