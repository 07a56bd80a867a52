"""Seeds: a separate seed for each purpose, and a context that seeds the global generators and restores them."""

import contextlib
import hashlib
import random
from collections.abc import Iterator


def stream(seed: int, purpose: str) -> int:
    """A seed for one purpose, from 0 to 2^63 - 1, derived from the seed of the run.

    A run has one seed and needs random numbers for many purposes: initial weights, the order of the data, latents in
    training, pictures, health checks. Stateless generators return the same numbers for the same seed, so two purposes
    with one seed would get the same draws.

    Args:
        seed: The seed of the run, any integer.
        purpose: A name that no other purpose has.
    """
    digest = hashlib.sha256(f"{int(seed)} {purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context that seeds all global generators, like `keras.utils.set_random_seed`, and restores them at its end.

    These are the generators of Python, NumPy, Keras and TensorFlow. Keras draws initial weights from Python's
    generator, and a user's own layers may use any of them.

    Args:
        seed: Any integer.
    """
    import keras
    import numpy as np
    from keras.src.backend.common import global_state
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
    from keras.src.utils.rng_utils import GLOBAL_RANDOM_SEED
    from tensorflow.python.eager import context

    names = (GLOBAL_RANDOM_SEED, GLOBAL_SEED_GENERATOR)
    attributes = [global_state.get_global_attribute(name) for name in names]
    states = random.getstate(), np.random.get_state()
    # TensorFlow has no public way to read its global seed, or the state of its sequence of operation seeds.
    tensorflow = context.context()
    generators = {name: getattr(tensorflow, name) for name in ("_seed", "_rng") if hasattr(tensorflow, name)}
    try:
        keras.utils.set_random_seed(seed % 2**32)  # NumPy's seeds have 32 bits
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, value in zip(names, attributes, strict=True):
            global_state.set_global_attribute(name, value)
        for name, value in generators.items():
            setattr(tensorflow, name, value)
