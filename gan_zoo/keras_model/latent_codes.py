"""The part of a model's latent vectors that has names: see `gan_zoo.util.codes`."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from gan_zoo.replicas.distribution import FixedStream, RandomStream
from gan_zoo.util import codes as util_codes
from gan_zoo.util.codes import Code
from gan_zoo.util.errors import UserError


class HasCodes:
    """A mixin for a `GenerativeModel` whose latent vector may have codes after its `latent_dim` numbers of noise.

    A subclass names its codes, which `sample_latent` then draws and sets:

        def codes_from(self, start):
            return layout(start, categorical=(10,), continuous=2)
    """

    def codes_from(self, start: int) -> dict[str, Code]:
        """The codes of the latent vector by name, one after the other from the index `start`; by default none.

        The constructor of the base class calls it, so its result may depend only on attributes that the subclass has
        set before.
        """
        return {}

    @property
    def codes(self) -> dict[str, Code]:
        """The codes of the latent vector by name; empty for a model without codes."""
        return self.codes_from(self.latent_dim)

    @property
    def latent_size(self) -> int:
        """The length of the latent vector: `latent_dim` numbers of noise, and the codes.

        A class whose networks take more noise than `latent_dim` overrides it.
        """
        return self.latent_dim + util_codes.length(self.codes)

    def _noise_size(self, network: keras.Model, latent_dim: int | None) -> int:
        """The number of the latents that are noise: `latent_dim`, or the rest of the network's inputs by default."""
        named, size = util_codes.length(self.codes_from(0)), _input_size(network)
        if latent_dim and (not named or size is None):
            return latent_dim
        if size is None:
            raise UserError("latent_dim is not known from this generator: pass latent_dim=Z.")
        if size <= named or (latent_dim and latent_dim + named != size):
            noise = f" and latent_dim={latent_dim} of noise" if latent_dim else ", and noise"
            raise UserError(
                f"The generator takes {size} numbers, which does not fit codes of {named} numbers{noise}: build it for "
                f"as many numbers as the noise and the codes have together."
            )
        return size - named

    def _draw_codes(
        self, n: int | tf.Tensor, draws: RandomStream | FixedStream, given: Mapping[str, Any] | None
    ) -> list[tf.Tensor]:
        """The parts of n latents that are codes, each [n, size]: the given values, and draws for all others."""
        codes = self.codes
        fixed = util_codes.columns(codes, given, n if isinstance(n, int) else tf.get_static_value(n))
        if not codes:
            return []
        uniform, parts = draws.uniform([n, len(codes)]), []
        for index, (name, code) in enumerate(codes.items()):
            u = uniform[:, index]
            if name in fixed:
                parts.append(tf.broadcast_to(tf.constant(fixed[name]), [n, code.size]))
            elif code.kind == "categorical":
                category = tf.minimum(tf.cast(u * code.size, tf.int32), code.size - 1)
                parts.append(tf.one_hot(category, code.size))
            else:
                parts.append((code.low + (code.high - code.low) * u)[:, tf.newaxis])
        return parts


def _input_size(network: keras.Model) -> int | None:
    """The length of the network's first input; None if it is not known."""
    try:
        shape = network.input_shape
        return int((shape[0] if isinstance(shape[0], tuple | list) else shape)[-1])
    except (AttributeError, TypeError, ValueError, IndexError):
        return None
