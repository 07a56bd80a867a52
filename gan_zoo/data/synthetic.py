"""Synthetic distributions on the plane, drawn afresh at every step.

| name | distribution | source |
|---|---|---|
| `ring8` | 8 Gaussians, radius 2, standard deviation 0.02 | Metz et al. 2017 |
| `grid25` | 25 Gaussians at 2 {-2..2}^2, standard deviation 0.05, all / 2.828 | Gulrajani et al. 2017, gan_toy.py |
| `swiss_roll` | scikit-learn's Swiss roll, noise 0.25, columns 0 and 2, all / 7.5 | Gulrajani et al. 2017, gan_toy.py |
| `two_lines` | (0, U[0, 1]), to be met by a generator on the line (theta, U[0, 1]) | after Fedus et al. 2018 |
| `gaussian` | N((1, 0), 0.25 I): standard deviation 0.5 | after Mescheder et al. 2018 |

References:
    Metz et al., 2017, https://arxiv.org/abs/1611.02163
    Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028, https://github.com/igul222/improved_wgan_training
    Fedus et al., 2018, https://arxiv.org/abs/1710.08446
    Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
"""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

RING_RADIUS = 2.0
RING_STD = 0.02
GRID_SPACING = 2.0
GRID_STD = 0.05
GRID_SCALE = 2.828
ROLL_NOISE = 0.25
ROLL_SCALE = 7.5
GAUSSIAN_MEAN = (1.0, 0.0)
GAUSSIAN_STD = 0.5


def modes(name: str) -> tuple[np.ndarray, float]:
    """Centres and standard deviation of a mixture of Gaussians, as drawn.

    Args:
        name: "ring8", "grid25" or "gaussian".

    Returns:
        Centres, float64 [K, 2], and the standard deviation of each coordinate around them.

    Raises:
        KeyError: The set is no mixture of Gaussians.
    """
    return _MODES[name]


def _ring8() -> tuple[np.ndarray, float]:
    # Not linspace with its end point: that would put the first and the last mode on the same spot.
    angle = 2 * np.pi * np.arange(8) / 8
    return RING_RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1), RING_STD


def _grid25() -> tuple[np.ndarray, float]:
    line = GRID_SPACING * np.arange(-2, 3)
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2) / GRID_SCALE, GRID_STD / GRID_SCALE


SYNTHETIC = ("ring8", "grid25", "swiss_roll", "two_lines", "gaussian")
"""Their names."""

_MODES = {
    "ring8": _ring8(),
    "grid25": _grid25(),
    "gaussian": (np.array([GAUSSIAN_MEAN]), GAUSSIAN_STD),
}


def sample(name: str, n: int, seed) -> "tf.Tensor":
    """Draws from a synthetic set.

    Args:
        name: One of `SYNTHETIC`.
        n: How many points.
        seed: Two integers that decide the draw, as for `tf.random.stateless_normal`.

    Returns:
        Points, a float32 tensor [n, 2].
    """
    import tensorflow as tf

    which, noise = tf.unstack(tf.random.split(seed, 2))
    normal = tf.random.stateless_normal([n, 2], noise)
    if name == "two_lines":
        y = tf.random.stateless_uniform([n], which)
        return tf.stack([tf.zeros([n]), y], axis=1)
    if name == "swiss_roll":
        # sklearn.datasets.make_swiss_roll without its middle column, whose noise is independent of the other two.
        t = 1.5 * math.pi * (1 + 2 * tf.random.stateless_uniform([n], which))
        return (tf.stack([t * tf.cos(t), t * tf.sin(t)], axis=1) + ROLL_NOISE * normal) / ROLL_SCALE
    centres, std = modes(name)
    chosen = tf.random.stateless_uniform([n], which, maxval=len(centres), dtype=tf.int32)
    return tf.gather(tf.constant(centres, tf.float32), chosen) + std * normal
