"""DiffAugment: random colours, translation and cutout of everything that the discriminator sees."""

import dataclasses
from typing import Any

import tensorflow as tf

from gan_zoo.nn.augment import resampling
from gan_zoo.nn.image_leaves import batch_size, map_images
from gan_zoo.replicas.distribution import RandomStream
from gan_zoo.util.errors import UserError

OPERATIONS = ("color", "translation", "cutout")
"""The operations of a policy, in the order in which they are applied."""
_DRAWS = {"color": 3, "translation": 2, "cutout": 2}


@dataclasses.dataclass(frozen=True)
class DiffAugment:
    """Differentiable augmentation: every operation of the policy acts on every image, with draws of its own.

    See Zhao et al. (2020). D sees T(x) and T(G(z)) in both players' turns, and gradients reach G through T. With u from
    U[0, 1) for each operation and image:

        color        brightness: x + u - 1/2; saturation: 2 u (x - m) + m, m the mean of a pixel's channels; contrast:
                     (u + 1/2) (x - m) + m, m the mean of the image
        translation  by up to an eighth of the size in both directions; zeros move in
        cutout       a square of half the size with its centre anywhere in the image becomes 0; it may reach over the
                     edge

    Args:
        policy: Some of `OPERATIONS`. Their order does not matter.
        random: The stream to draw from.

    Raises:
        UserError: If there is no such operation, or it is named twice.

    References:
        Zhao et al., 2020, https://arxiv.org/abs/2006.10738
        Authors' code, https://github.com/mit-han-lab/data-efficient-gans
    """

    policy: tuple[str, ...]
    random: RandomStream

    adapts = False

    def __post_init__(self):
        for name in self.policy:
            if name not in OPERATIONS or self.policy.count(name) > 1:
                raise UserError(
                    f"augmentation: diffaugment takes {', '.join(OPERATIONS)}, each at most once, not {name!r}."
                )

    def __call__(self, x: Any) -> Any:
        """Augments examples of any structure with images, [B, H, W, C] in [-1, 1]; all other leaves stay."""
        draws = {name: self.random.uniform([batch_size(x), _DRAWS[name]]) for name in OPERATIONS if name in self.policy}
        return map_images(lambda images: augmented(images, draws), x)


def augmented(images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
    """Images after the operations that have draws.

    Args:
        images: [B, H, W, C].
        draws: Numbers in [0, 1) by the name of the operation: "color", [B, 3], for brightness, saturation and contrast;
            "translation", [B, 2], for rows and columns; "cutout", [B, 2], for the centre's row and column.
    """
    for name, function in (("color", _color), ("translation", _translation), ("cutout", _cutout)):
        if name in draws:
            images = function(images, draws[name])
    return images


def _color(images: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
    brightness, saturation, contrast = (tf.cast(u[:, k, None, None, None], images.dtype) for k in range(3))
    images += brightness - 0.5
    mean = tf.reduce_mean(images, axis=3, keepdims=True)
    images = (images - mean) * 2.0 * saturation + mean
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return (images - mean) * (contrast + 0.5) + mean


def _translation(images: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
    def moved(u, size):
        most = int(size / 8 + 0.5)
        return _whole(u, 2 * most + 1) - most

    return resampling.shift(images, moved(u[:, 0], images.shape[1]), moved(u[:, 1], images.shape[2]))


def _cutout(images: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
    def cut(u, size):
        side = int(size / 2 + 0.5)
        first = _whole(u, size + 1 - side % 2)[:, None] - side // 2
        places = tf.range(size)
        return tf.cast((places >= first) & (places < first + side), images.dtype)

    rows, columns = cut(u[:, 0], images.shape[1]), cut(u[:, 1], images.shape[2])
    return images * (1.0 - rows[:, :, None, None] * columns[:, None, :, None])


def _whole(u: tf.Tensor, count: int) -> tf.Tensor:
    """The whole numbers from 0 to count - 1 for u in [0, 1), int32, with equal probabilities."""
    return tf.minimum(tf.cast(u * count, tf.int32), count - 1)
