"""Codes and reconstructions of examples, for models that have an encoder."""

import dataclasses
from typing import Any

import tensorflow as tf

from gan_zoo.keras_model.examples import Examples
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.util.errors import UserError


class Encodes:
    """A mixin for a `GenerativeModel`: `encode` and `reconstruct`.

    A model can do both if its `averaged` contains "encoder", the name of a network that maps examples to codes, [B, Z].
    Then the moving average and exports contain the encoder too, and exports have the functions `encode` and
    `reconstruct`. A class whose encoder returns something other than codes overrides `code_of`; without it, the model
    has no encoder in this sense.
    """

    @property
    def has_encoder(self) -> bool:
        """Whether the model can encode and reconstruct examples."""
        if "encoder" not in self.averaged:
            return False
        own = type(self).code_of is not Encodes.code_of
        return own or getattr(self.encoder, "output_shape", None) == (None, self.latent_dim)

    def code_of(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The codes of images or points x: latents, float32, [B, Z], from which the model makes similar examples."""
        return at_least_float32(self.encoder(x, training=training))

    def encode(self, images: Any) -> tf.Tensor:
        """Returns the codes of examples in inference mode: latents, float32, [B, Z].

        Args:
            images: Images, floats, [B, H, W, C] in [-1, 1], or points, [B, D]; without labels.

        Raises:
            UserError: If the model has no encoder, or its networks cannot take the images.
        """
        wanted = dataclasses.replace(self._encodable(), classes=None)
        return self.code_of(wanted.convert(images))

    def reconstruct(self, x: Any) -> tf.Tensor:
        """Returns the examples that the model makes from the codes of x: images, [B, H, W, C], or points.

        Args:
            x: Images as for `encode`, or with `classes` a pair (images, labels), labels integers, [B].

        Raises:
            UserError: As for `encode`.
        """
        x = self._encodable().convert(x)
        return self(self.code_of(x)) if self.classes is None else self((self.code_of(x[0]), x[1]))

    def _encodable(self) -> Examples:
        if not self.has_encoder:
            raise UserError(
                f"{type(self).__name__} has no encoder, so it cannot encode or reconstruct images: use a model whose "
                f"`averaged` contains 'encoder', a network that returns codes."
            )
        return dataclasses.replace(Examples.of(self), structures=False)
