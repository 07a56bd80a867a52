"""Synthetic distributions with known densities, moments and supports, with new points at every step.

    ring = synthetic.get("ring8")
    ring.sample(100, seed=(0, 1))           # a float32 tensor [100, 2]
    ring.log_density(points)                # float64 [N]
    synthetic.get("two_lines(theta=0.5)")   # with an argument

| name | distribution | arguments | source |
|---|---|---|---|
| `ring8` | 8 Gaussians, radius 2, standard deviation 0.02 | | Metz et al. 2017 |
| `grid25` | 25 Gaussians at 2 {-2..2}^2, standard deviation 0.05, all / 2.828 | | Gulrajani et al. 2017, gan_toy.py |
| `gaussian` | N((1, 0), 0.25 I): standard deviation 0.5 | | after Mescheder et al. 2018 |
| `mixture1d` | Gaussians on the real line | `centres`, `std`, `weights` | |
| `swiss_roll` | scikit-learn's, noise 0.25, columns 0 and 2, all / 7.5 | | Gulrajani et al. 2017, gan_toy.py |
| `two_lines` | (theta, U[0, 1]), for a generator on a parallel line | `theta` | after Fedus et al. 2018 |
| `segment` | uniform on the segment from (-1, 0) to (1, 0) | | after Mescheder et al. 2018 |
| `four_lines` | uniform on four parallel segments | `spacing`, `length` | after Mescheder et al. 2018 |
| `circle` | uniform on the unit circle | | after Mescheder et al. 2018 |
| `gaussian_line` | a Gaussian on a line in the plane | `angle`, `std` | after Fedus et al. 2018 |
| `gaussian_hyperplane` | a Gaussian on a plane of low dimension | `dim`, `rank`, `seed` | after Fedus et al. 2018 |

Importing this package does not import TensorFlow.

References:
    Metz et al., 2017, https://arxiv.org/abs/1611.02163
    Gulrajani et al., 2017, https://arxiv.org/abs/1704.00028, https://github.com/igul222/improved_wgan_training
    Fedus et al., 2018, https://arxiv.org/abs/1710.08446
    Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
"""

from typing import TYPE_CHECKING

import numpy as np

from gan_zoo.data.synthetic.base import Distribution, no_modes
from gan_zoo.data.synthetic.curves import circle, four_lines, segment, two_lines
from gan_zoo.data.synthetic.mixtures import gaussian, grid25, mixture1d, ring8
from gan_zoo.data.synthetic.names import build
from gan_zoo.data.synthetic.planes import gaussian_hyperplane, gaussian_line
from gan_zoo.data.synthetic.roll import swiss_roll
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["SYNTHETIC", "Distribution", "get", "is_synthetic", "modes", "sample"]

_FACTORIES = {
    make.__name__: make
    for make in (
        ring8,
        grid25,
        swiss_roll,
        two_lines,
        gaussian,
        mixture1d,
        segment,
        four_lines,
        circle,
        gaussian_line,
        gaussian_hyperplane,
    )
}

SYNTHETIC = tuple(_FACTORIES)
"""Names of the distributions, without arguments."""

_built: dict[str, Distribution] = {}


def get(name: str) -> Distribution:
    """Returns a distribution by its name, with or without arguments: "circle", "gaussian_hyperplane(dim=8, rank=2)".

    Args:
        name: One of `SYNTHETIC`, optionally followed by arguments in parentheses, in Python syntax: numbers, None, and
            lists or tuples of numbers.

    Raises:
        UserError: If there is no such distribution or argument, or the value of an argument is not valid.
    """
    if not isinstance(name, str):
        raise UserError(f"name must be one of {', '.join(SYNTHETIC)}, with or without arguments, not {name!r}.")
    if name not in _built:
        distribution = build(name, _FACTORIES)
        # All spellings give the same object, so that values which a distribution has computed are kept.
        _built[name] = _built.setdefault(distribution.name, distribution)
    return _built[name]


def is_synthetic(name: str) -> bool:
    """Returns whether `get` handles a name: the name of a synthetic distribution, or any name with arguments."""
    known = name.partition("(")[0].strip() in SYNTHETIC
    return known or (name.endswith(")") and "(" in name and not name.startswith("folder:"))


def sample(name: str, n: int, seed) -> "tf.Tensor":
    """Draws points of a synthetic distribution: `get(name).sample(n, seed)`.

    Args:
        name: As for `get`.
        n: Number of points.
        seed: Two integers that determine the draw, as for `tf.random.stateless_normal`.

    Returns:
        Points, a float32 tensor [n, dim].

    Raises:
        UserError: As for `get`.
    """
    return get(name).sample(n, seed)


def modes(name: str) -> tuple[np.ndarray, float]:
    """Returns centres and standard deviation of a mixture of Gaussians, in the units of its samples: `get(name).modes`.

    Args:
        name: As for `get`: "ring8", "grid25", "gaussian" or "mixture1d(...)".

    Returns:
        Centres, float64 [K, dim], and the standard deviation of each coordinate around them.

    Raises:
        UserError: If the distribution is not a mixture of Gaussians, or as for `get`.
    """
    found = get(name).modes
    if found is None:
        raise no_modes(name)
    return found
