"""GANs as dynamical systems: the vector field of the players, paths of gradient descent, and convergence.

    from gan_zoo import dynamics

    game = dynamics.dirac("r1_gan", gamma=0.3)
    game.field([1.0, -1.0])                     # the direction in which both players move
    dynamics.eigenvalues(game.jacobian())       # at the equilibrium: -0.15 +- 0.477i
    game.trajectory([1.0, -1.0], step_size=0.2, steps=500)

Every game trains a class of the zoo, or your own class, on networks with a few weights. So the field is that of the
class's own code. This command draws the Dirac-GAN of Mescheder et al. (2018) for every method, and prints eigenvalues
and verdicts:

    python -m gan_zoo.dynamics --models=all --output=dirac.png
"""

import importlib

# Loaded on first use, so that the command line can quiet TensorFlow before it starts.
_LAZY = {
    "METHODS": "dirac_gan",
    "SCHEDULES": "game",
    "Game": "game",
    "critical": "game",
    "dirac": "dirac_gan",
    "eigenvalues": "game",
    "methods": "dirac_gan",
    "spectral_radius": "game",
}

__all__ = [*_LAZY]


def __getattr__(name: str):
    if name in _LAZY:
        return getattr(importlib.import_module(f"gan_zoo.dynamics.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'gan_zoo.dynamics' has no attribute {name!r}")
