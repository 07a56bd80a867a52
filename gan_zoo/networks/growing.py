"""The growing networks of progressive GAN.

They follow Karras et al. (2018), Sections 2 to 4 and Table 2: stages of 4 x 4, 8 x 8, ... pixels, with two 3 x 3
convolutions each. The variables of all stages exist from the start. `stage` is the newest stage in use. Its images are
mixed with those of the stage before it, scaled up, and `alpha` is the weight of the newest stage in this mixture.
Learning rates are equalised: weights start from N(0, 1) and are scaled at every use. The generator normalizes the
feature vector of every pixel, and the discriminator gets the standard deviation of the minibatch. There is no other
normalization.

`width` is the number of channels at the last stage. Each earlier stage has twice as many as the next one, up to 512.
The published networks for 1024 x 1024 have width 16.
"""

import keras
import tensorflow as tf

from gan_zoo.networks import activations, conditions, nhwc
from gan_zoo.networks.building_blocks import inputs, scored
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype, policy
from gan_zoo.nn.serialization import KeepsArguments
from gan_zoo.replicas.steps import Retraces
from gan_zoo.util.errors import UserError

BASE = 4
"""Pixels. The side of the images of stage 0."""
_MAX_CHANNELS = 512


def generator(shape: tuple[int, int, int], latent_dim: int, width: int, classes: int | None = None) -> keras.Model:
    """A network that maps z, [B, latent_dim], to images, [B, 4 * 2^stage, 4 * 2^stage, C].

    The output is linear, about [-1, 1]. With `classes` it maps (z, y): see `conditions.latents`. The joined vector is
    normalized like z.
    """
    return GrowingGenerator(shape, latent_dim, width, classes, name="generator")


def discriminator(
    shape: tuple[int, int, int],
    width: int,
    norm: str = "none",
    outputs: int = 1,
    classes: int | None = None,
    condition: str | None = "projection",
    minibatch_discrimination: bool = False,
    name: str = "discriminator",
) -> keras.Model:
    """A network that maps images, [B, 4 * 2^stage, 4 * 2^stage, C], to raw scores, [B, outputs].

    Args:
        shape: (H, W, C) of the last stage's images.
        width: Channels at the last stage.
        norm: "none" only.
        outputs: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: "projection" or "concat", to the images of each stage: see `conditions`.
        minibatch_discrimination: Whether the last layer takes the features through `MinibatchDiscrimination`.
        name: Name of the network.

    Raises:
        UserError: If `norm` is not "none".
    """
    if norm != "none":
        raise UserError(f"norm must be 'none' with growing networks, which equalise learning rates, not {norm!r}.")
    return GrowingDiscriminator(shape, width, outputs, classes, condition, minibatch_discrimination, name=name)


def side_of(stage: int) -> int:
    """The side of a stage's images in pixels."""
    return BASE * 2**stage


def stages_of(side: int) -> int:
    """The number of stages of networks for images of `side` pixels.

    Raises:
        UserError: If the side is not a power of two from 4 to 1024.
    """
    stages = int(side).bit_length() - 2
    if side not in (side_of(k) for k in range(9)):
        raise UserError(
            f"growing networks need images with a side of 4, 8, 16, ... up to 1024, not {side}: set the "
            f"resolution to one of these."
        )
    return stages


def upsample(x: tf.Tensor) -> tf.Tensor:
    """Doubles the side by nearest neighbours: [B, H, W, C] to [B, 2 H, 2 W, C]."""
    return layers.repeat_pixels(x, 2, 2)


def downsample(x: tf.Tensor, times: int = 1) -> tf.Tensor:
    """Halves the side `times` times by means of 2 x 2 pixels: [B, H, W, C] to [B, H / 2^times, W / 2^times, C]."""
    return tf.nn.avg_pool2d(x, 2**times, 2**times, "VALID") if times else x


def fade(old: tf.Tensor, new: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """(1 - alpha) old + alpha new: exactly `old` for alpha 0, and exactly `new` for alpha 1."""
    alpha = tf.cast(alpha, new.dtype)
    return (1.0 - alpha) * old + alpha * new


class _Growing(KeepsArguments, Retraces, keras.Model):
    """Base class of both networks: the channels of the stages, the current stage, and the variables in use."""

    def __init__(self, shape: tuple[int, int, int], **kwargs):
        super().__init__(**kwargs)
        if shape[0] != shape[1]:
            raise UserError(f"growing networks need square images, not {shape[0]} x {shape[1]}.")
        self.shape = tuple(shape)
        self.stages = stages_of(shape[0])
        # The stage is a variable, so that weight files, copies of the network and its moving average contain it.
        self._stage = self.add_weight(
            (), lambda *_, **__: self.stages - 1, dtype="int64", trainable=False, name="stage"
        )
        with policy(self.dtype_policy):
            dtype = interface_dtype()
        self._alpha = self.add_weight((), "ones", dtype=dtype, trainable=False, autocast=False, name="alpha")

    def channels(self, stage: int) -> int:
        return min(self.width * 2 ** (self.stages - 1 - stage), _MAX_CHANNELS)

    @property
    def stage(self) -> int:
        """The newest stage in use; 0 is 4 x 4 pixels. A graph keeps the stage it was traced with."""
        with tf.init_scope():
            return int(self._stage.value.numpy())

    @property
    def alpha(self) -> tf.Tensor:
        """The weight of the newest stage, from 0 to 1: a scalar, float32 or, under the policy float64, float64."""
        return self._alpha.value

    def grow(self, stage: int, alpha: float) -> None:
        """Sets the stage and alpha.

        Raises:
            UserError: If there is no such stage, or alpha is outside of [0, 1].
        """
        if stage not in range(self.stages) or not 0 <= alpha <= 1:
            raise UserError(
                f"stage must be a whole number from 0 to {self.stages - 1}, and alpha in [0, 1]: not {stage}, {alpha}."
            )
        self._stage.assign(stage)
        self._alpha.assign(alpha)
        self.retrace()

    def traced_for(self) -> tuple:
        return (*super().traced_for(), self.stage)

    @property
    def side(self) -> int:
        """The side of the images at this stage in pixels."""
        return side_of(self.stage)

    @property
    def active_variables(self) -> list[keras.Variable]:
        """The trainable variables in use at this stage."""
        stage = self.stage
        used = [*self.blocks[: stage + 1], *self.images[max(stage - 1, 0) : stage + 1]]
        return [variable for layer in used for variable in layer.trainable_variables]


class GrowingGenerator(_Growing):
    """The generator of progressive GAN: see the module.

    Args:
        shape: (H, W, C) of the last stage's images.
        latent_dim: Size of the latent vector.
        width: Channels at the last stage.
        classes: Number of classes, for a network that maps (z, y); None for no labels.
        **kwargs: As for `keras.Model`.
    """

    def __init__(self, shape, latent_dim: int, width: int, classes: int | None = None, **kwargs):
        super().__init__(shape, **kwargs)
        self.latent_dim, self.width, self.classes = latent_dim, width, classes
        self.blocks, self.images = [], []
        with policy(self.dtype_policy):
            self._make()
        self.built = True

    def _make(self):
        for stage in range(self.stages):
            channels = self.channels(stage)
            if stage:
                before = inputs((side_of(stage - 1),) * 2 + (self.channels(stage - 1),))
                x = _normalized(nhwc.EqualizedConv2D(channels, 3)(nhwc.UpSampling2D(2)(before)))
            else:
                before, x = conditions.latents(self.latent_dim, self.classes)
                # Equal to the paper's 4 x 4 convolution of one pixel. The authors' gain makes this layer learn slower.
                x = layers.EqualizedDense(BASE * BASE * channels, gain=2**0.5 / 4)(layers.PixelNormalization()(x))
                x = _normalized(keras.layers.Reshape((BASE, BASE, channels))(x))
            x = _normalized(nhwc.EqualizedConv2D(channels, 3)(x))
            self.blocks.append(keras.Model(before, x, name=f"block_{stage}"))
            to_image = nhwc.EqualizedConv2D(self.shape[-1], 1, gain=1.0, dtype=interface_dtype())
            to_image.build((None, None, None, channels))
            self.images.append(to_image)

    @property
    def input_shape(self):
        return self.blocks[0].input_shape

    @property
    def output_shape(self):
        return (None, self.side, self.side, self.shape[-1])

    def call(self, inputs):
        stage = self.stage
        x = self.blocks[0](inputs)
        for block in self.blocks[1:stage]:
            x = block(x)
        if stage == 0:
            return self.images[0](x)
        new = self.images[stage](self.blocks[stage](x))
        return fade(upsample(self.images[stage - 1](x)), new, self.alpha)


class GrowingDiscriminator(_Growing):
    """The discriminator of progressive GAN: see the module.

    Args:
        shape: (H, W, C) of the last stage's images.
        width: Channels at the last stage.
        scores: Number of scores for each image.
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        condition: How it uses labels, "projection" or "concat".
        minibatch_discrimination: As for `discriminator`.
        **kwargs: As for `keras.Model`.
    """

    def __init__(
        self,
        shape,
        width: int,
        scores: int = 1,
        classes: int | None = None,
        condition: str | None = "projection",
        minibatch_discrimination: bool = False,
        **kwargs,
    ):
        super().__init__(shape, **kwargs)
        self.width, self.scores, self.classes, self.condition = width, scores, classes, condition
        self.minibatch_discrimination = minibatch_discrimination
        self.blocks, self.images = [], []
        with policy(self.dtype_policy):
            self._make()
        self.built = True

    def _make(self):
        for stage in range(self.stages):
            channels = self.channels(stage)
            x = after = inputs((side_of(stage),) * 2 + (channels,))
            if stage:
                x = layers.LeakyReLU()(nhwc.EqualizedConv2D(channels, 3)(x))
                x = layers.LeakyReLU()(nhwc.EqualizedConv2D(self.channels(stage - 1), 3)(x))
                x = nhwc.AveragePooling2D(2)(x)
            else:
                x = layers.MinibatchStd()(x)
                x = layers.LeakyReLU()(nhwc.EqualizedConv2D(channels, 3)(x))
                x = layers.LeakyReLU(name="features")(layers.EqualizedDense(channels)(nhwc.Flatten()(x)))
                scores = layers.EqualizedDense(self.scores, gain=1.0, dtype=interface_dtype())(
                    scored(x, self.minibatch_discrimination)
                )
                if self._sees_labels_by("projection"):
                    labels = conditions.labels_input()
                    scores = conditions.project(scores, x, labels, self.classes, "none")
                    after = (after, labels)
                x = scores
            self.blocks.append(keras.Model(after, x, name=f"block_{stage}"))
            joined = self.classes if self._sees_labels_by("concat") else None
            image, x, _ = conditions.examples((side_of(stage),) * 2 + self.shape[-1:], joined, "concat")
            x = layers.LeakyReLU()(nhwc.EqualizedConv2D(channels, 1)(x))
            self.images.append(keras.Model(image, x, name=f"from_image_{stage}"))

    def _sees_labels_by(self, condition: str) -> bool:
        return self.classes is not None and self.condition == condition

    @property
    def input_shape(self):
        images = (None, self.side, self.side, self.shape[-1])
        return images if self.classes is None else [images, (None,)]

    @property
    def output_shape(self):
        return (None, self.scores)

    def call(self, inputs, layer: str | None = None):
        """The scores, or the output of a layer: see `features`."""
        images, labels = (inputs, None) if self.classes is None else inputs
        stage = self.stage

        def from_image(stage, x):
            return self.images[stage]((x, labels) if self._sees_labels_by("concat") else x)

        y = from_image(stage, images)
        for k in range(stage, 0, -1):
            y = self.blocks[k](y)
            if k == stage:
                y = fade(from_image(stage - 1, downsample(images)), y, self.alpha)
            if layer == f"block_{k}":
                return y
        last = (y, labels) if self._sees_labels_by("projection") else y
        if layer in (None, "block_0"):
            return self.blocks[0](last)
        return activations.at(self.blocks[0], last, layer, None)

    def features(self, x, layer: str | None = None, training: bool = True):
        """The activations before the last layer, [B, C], or the output of another layer.

        Args:
            x: Images of the current stage, or (images, y).
            layer: Name of a block in use, "block_0", "block_1", ..., or of a layer in "block_0". The output of the
                newest block is mixed with that of the stage before it, as `alpha` says.
            training: As for `gan_zoo.networks.features`.

        Raises:
            UserError: If no layer in use has that name.
        """
        return self(x, layer=layer or activations.LAYER, training=training)


def _normalized(x):
    return layers.PixelNormalization()(layers.LeakyReLU()(x))
