"""ADA: augmentations with a probability that follows the discriminator's overfitting."""

import math

import keras
import tensorflow as tf

from gan_zoo.nn.augment import color, geometry, resampling
from gan_zoo.nn.image_leaves import batch_size, map_images
from gan_zoo.replicas.distribution import RandomStream, global_mean, replica_context
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError

GROUPS = {"b": "blits", "g": "geometry", "c": "colours"}
"""Groups of transforms, by their letters in `pipe`, in the order in which they are applied."""

GATES, UNIFORMS, NORMALS = 13, 8, 7
"""Numbers of draws for each image: of the decisions whether a transform is skipped, and of the transforms' settings."""

_INTERVAL = 4
"""Turns of D between changes of p."""


class ADA(keras.layers.Layer):
    """Adaptive discriminator augmentation: random transforms T, each skipped with the probability 1 - p.

    See Karras et al. (2020). D sees T(x) and T(G(z)) in both players' turns, and gradients reach G through T. Because
    each transform is skipped sometimes, G learns to make images as they are before augmentation.

    p starts at 0. Every 4 turns of D it changes by batch * 4 / (1000 kimg), up if r = E[sign(D(T(x)))] over these turns
    is above the target, else down, but not below 0. r is 0 for a D that does not overfit, and 1 for one that knows all
    of its training data. Scores are relative to the value at which D is undecided: see `gan_zoo.GAN`.

    Transforms, with u from U[0, 1) and n from N(0, 1):

        b   flip of left and right, for half of the images; turn by 0, 90, 180 or 270 degrees; shift by whole pixels,
            up to an eighth of the size
        g   scaling by 2^(0.2 n); rotation by any angle; stretch by 2^(0.2 n) in one direction and its inverse in the
            other; rotation; shift by 0.125 n of the size
        c   brightness + 0.2 n; contrast * 2^(0.5 n); inversion of brightness without a change of hue, for half of the
            images; rotation of the hue by any angle; saturation * 2^n

    The two rotations together have the probability p.

    Args:
        random: The `gan_zoo.replicas.distribution.RandomStream` to draw from.
        p: The probability, if it is constant; None to adapt it. Defaults to None.
        target: Target of r. Defaults to 0.6, as in the authors' code.
        kimg: Thousands of real images in which p goes from 0 to 1 if it only rises. Defaults to 500.
        pipe: Letters of the groups that are used. Defaults to "bgc". "bc" is much cheaper, because it needs no filters.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        UserError: If a number is not in its range, or there is no such group.

    Differs from the authors' code: blits move pixels exactly, and only geometry is filtered; the code does both in one
    affine map. Geometry mirrors the up-sampled image, any number of times, where the code pads the image and has zeros
    beyond. Places in the up-sampled image take the centre of mass of the filter into account. The optional groups
    (filter bank, noise, cutout) are left out.

    References:
        Karras et al., 2020, https://arxiv.org/abs/2006.06676
        Authors' code, https://github.com/NVlabs/stylegan2-ada-pytorch
    """

    def __init__(
        self,
        random: RandomStream,
        p: float | None = None,
        target: float = 0.6,
        kimg: float = 500.0,
        pipe: str = "bgc",
        **kwargs,
    ):
        super().__init__(dtype="float32", autocast=False, **kwargs)
        if p is not None and number("augmentation: p", p, least=0) > 1:
            raise UserError(f"augmentation: p must be from 0 to 1, not {p!r}.")
        if not -1 < number("augmentation: target", target) < 1:
            raise UserError(f"augmentation: target must be between -1 and 1, not {target!r}.")
        if not pipe or sorted(pipe) != sorted({*pipe} & {*GROUPS}):
            raise UserError(f"augmentation: pipe must be bgc or some of these letters, each once, not {pipe!r}.")
        self.random, self.target, self.pipe = random, target, pipe
        self.kimg = number("augmentation: kimg", kimg, positive=True)
        self.adapts = p is None
        # p, the sum of r since its last change, and the number of D's turns in this sum.
        self.state = self.add_weight(
            (3,), lambda *_, **__: [p or 0.0, 0.0, 0.0], trainable=False, autocast=False, name="state"
        )
        self.built = True

    @property
    def p(self) -> tf.Tensor:
        """The current probability. It is not bounded by 1, as in the authors' code."""
        return self.state.value[0]

    def call(self, inputs):
        n = batch_size(inputs)
        draws = {
            "gates": self.random.uniform([n, GATES]),
            "uniforms": self.random.uniform([n, UNIFORMS]),
            "normals": self.random.normal([n, NORMALS]),
        }
        return map_images(lambda images: augmented(images, self.p, draws, self.pipe), inputs)

    def adapt(self, scores: tf.Tensor) -> tf.Tensor:
        """Counts the scores of real examples in a turn of D, changes p if it is time, and returns p.

        Args:
            scores: Scores of the replica's augmented real examples, [B, 1], above 0 where D takes them for real.
        """
        replicas, _ = replica_context()
        examples = tf.cast(batch_size(scores) * replicas, tf.float32)
        p, total, turns = tf.unstack(self.state.value)
        total, turns = total + tf.cast(global_mean(tf.sign(tf.stop_gradient(scores))), tf.float32), turns + 1
        due = turns >= _INTERVAL
        change = tf.sign(total / _INTERVAL - self.target) * examples * _INTERVAL / (1000 * self.kimg)
        p = tf.where(due, tf.maximum(p + change, 0.0), p)
        self.state.assign(tf.stack([p, tf.where(due, 0.0, total), tf.where(due, 0.0, turns)]))
        return p


def augmented(images: tf.Tensor, p: float | tf.Tensor, draws: dict[str, tf.Tensor], pipe: str = "bgc") -> tf.Tensor:
    """Images under the transforms of ADA for given draws.

    Args:
        images: [B, H, W, C]; C is 1 or 3 for colours.
        p: The probability of each transform.
        draws: "gates", [B, 13], in [0, 1): a transform is skipped unless its number is below its probability.
            "uniforms", [B, 8], in [0, 1), and "normals", [B, 7]: the settings of the transforms.
        pipe: Letters of the groups.
    """
    height, width = images.shape[1:3]
    values, acts = _settings(draws, p, height, width)
    neutral = tf.constant(_NEUTRAL, tf.float32)
    settings = tf.cast(tf.where(acts, values, neutral), images.dtype)
    if "b" in pipe:
        moves = tf.cast(settings[:, :4], tf.int32)
        images = geometry.blit(images, moves[:, 0], moves[:, 1], moves[:, 2:])
    if "g" in pipe:
        maps = geometry.affine_matrices(*tf.unstack(settings[:, 4:8], axis=1), settings[:, 8:10])
        images = resampling.transform(images, maps)
    if "c" in pipe:
        maps = color.color_matrices(*tf.unstack(settings[:, 10:], axis=1))
        images = color.recolor(images, maps)
    return images


_NEUTRAL = (0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1)
"""The settings of transforms that are skipped: see `_settings`."""
_GATE = (0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12)
"""The gate of each setting. A shift has two settings."""
_ROTATIONS = (5, 7)
"""Places of the two rotations among the settings."""


def _settings(draws: dict[str, tf.Tensor], p: float | tf.Tensor, height: int, width: int):
    """The settings of all transforms, [B, 15], and whether each acts, bool [B, 15].

    They are flip, turns, shift down and right in whole pixels; scale, rotation, stretch, rotation, shift right and
    down; brightness, contrast, inversion, hue, saturation.
    """
    gates, u, n = (tf.cast(draws[name], tf.float32) for name in ("gates", "uniforms", "normals"))
    angles = math.pi * (2 * u - 1)
    values = [
        tf.floor(u[:, :2] * [2.0, 4.0]),
        tf.round((2 * u[:, 2:4] - 1) * [height / 8, width / 8]),
        *(2 ** (0.2 * n[:, :1]), angles[:, 4:5], 2 ** (0.2 * n[:, 1:2]), angles[:, 5:6]),
        n[:, 2:4] * [width / 8, height / 8],
        *(0.2 * n[:, 4:5], 2 ** (0.5 * n[:, 5:6]), tf.floor(2 * u[:, 6:7]), angles[:, 7:8], 2 ** n[:, 6:7]),
    ]
    p = tf.cast(p, tf.float32)
    rotates = 1 - tf.sqrt(1 - tf.clip_by_value(p, 0, 1))
    probabilities = tf.stack([rotates if k in _ROTATIONS else p for k in range(len(_GATE))])
    return tf.concat(values, axis=1), tf.gather(gates, _GATE, axis=1) < probabilities
