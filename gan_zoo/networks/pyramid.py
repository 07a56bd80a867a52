"""The networks of LAPGAN: one generator and one discriminator for each level of a Laplacian pyramid.

They follow Denton et al. (2015). A level is the side of its images. The coarsest one, 8 (or 14) pixels, has networks
that make and judge images. Every finer level, of twice the side of the one before, has networks for details. With u the
function `upsample`, d the function `downsample` and l = u(coarser image),

    image = l + h,    h = G(z, l) for a sample, h = image - u(d(image)) for data,

where h is the band of details that the coarser image lacks. G reads l and one plane of noise, and D reads h + l. The
data return exactly: u(d(image)) + h is the image.

At width 64 the networks for details are the authors'. The coarsest level has the networks of `gan_zoo.networks.dcgan`
instead of the authors' perceptrons, with 1200 units in G and 600 in D. On CIFAR-10 at 8 x 8 pixels, the squared Fréchet
distance of pixels between samples and data was 5 for them after 2000 steps, and 36 for perceptrons.

References:
    Denton et al., 2015, https://arxiv.org/abs/1506.05751
    Authors' code, https://github.com/facebook/eyescream
"""

import keras
import tensorflow as tf

from gan_zoo.networks import conditions, dcgan, nhwc
from gan_zoo.networks.building_blocks import inputs, kernel, normalization
from gan_zoo.nn import layers
from gan_zoo.nn.precision import interface_dtype, policy
from gan_zoo.nn.serialization import KeepsArguments
from gan_zoo.util.errors import UserError

_BASES = (8, 14)
"""Pixels. The possible sides of the coarsest level."""
_MOST = 1024


def downsample(x: tf.Tensor) -> tf.Tensor:
    """d: halves the side by the means of 2 x 2 pixels, [B, H, W, C] to [B, H / 2, W / 2, C]."""
    return tf.nn.avg_pool2d(x, 2, 2, "VALID")


def upsample(x: tf.Tensor) -> tf.Tensor:
    """u: doubles the side by linear interpolation, [B, H, W, C] to [B, 2 H, 2 W, C].

    A new pixel is 3/4 of the nearest and 1/4 of the second nearest old one in each direction. Images continue beyond
    their edges with the pixels of the edge.
    """
    for axis in (1, 2):

        def part(start, end, x=x, axis=axis):
            return x[(slice(None),) * axis + (slice(start, end),)]

        before = tf.concat([part(0, 1), part(0, -1)], axis)
        after = tf.concat([part(1, None), part(-1, None)], axis)
        pairs = tf.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        shape = [-1, *x.shape[1:]]
        shape[axis] *= 2
        x = tf.reshape(pairs, shape)
    return x


def levels_of(images: tf.Tensor, count: int) -> list[tf.Tensor]:
    """The images at `count` levels, coarsest first: the last is `images`, and each is `downsample` of the next."""
    found = [images]
    for _ in range(count - 1):
        found.append(downsample(found[-1]))
    return found[::-1]


def sides_of(shape: tuple[int, int, int]) -> list[int]:
    """The sides of all levels for images of `shape`, (H, W, C), coarsest first: [8, 16, 32] for 32 x 32 pixels.

    Raises:
        UserError: If the images are not square, or their side is neither 8 * 2^k nor 14 * 2^k up to 1024.
    """
    height, side, _ = shape
    for base in _BASES:
        times = max(1, (side // base).bit_length())
        if height == side == base * 2 ** (times - 1) <= _MOST:
            return [base * 2**k for k in range(times)]
    raise UserError(
        f"a pyramid needs square images with a side of 8 or 14 times a power of two up to {_MOST} (8, 14, 16, 28, "
        f"32, 64, ...), not {height} x {side}: set the resolution to one of these."
    )


def generator(shape: tuple[int, int, int], latent_dim: int, width: int, classes: int | None = None) -> keras.Model:
    """A network that maps z, [B, Z], to images, [B, H, W, C], about in [-1, 1] (its last activation is linear).

    z holds `latent_dim` numbers for the coarsest level, and one plane of noise for each finer level. With `classes` it
    maps (z, y).
    """
    return PyramidGenerator(shape, latent_dim, width, classes, name="generator")


def discriminator(
    shape: tuple[int, int, int], width: int, norm: str = "none", classes: int | None = None
) -> keras.Model:
    """A network that maps images, [B, H, W, C], to the raw scores of all levels, [B, levels].

    Args:
        shape: (H, W, C).
        width: Channels of the convolutions.
        norm: "none", "batch", "layer" or "spectral".
        classes: Number of classes, for a network that maps (images, y); None for no labels.
    """
    return PyramidDiscriminator(shape, width, norm, classes, name="discriminator")


class _Pyramid(KeepsArguments, keras.Model):
    """Base class of both networks: a list of networks, one for each level, coarsest first."""

    def __init__(self, shape: tuple[int, int, int], **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # the networks of the levels cast their inputs
        self.shape = tuple(shape)
        self.sides = sides_of(self.shape)
        self.levels = []

    def _make(self):
        with policy(self.dtype_policy):
            for side in self.sides:
                make = self._coarsest if side == self.sides[0] else self._finer
                self.levels.append(make((side, side, self.shape[-1])))
        self.built = True

    def _plane(self, labels, side: int):
        """A plane that stands for the label, [B, side, side, 1]: a linear map of the one-hot label, then ReLU."""
        plane = keras.layers.ReLU()(keras.layers.Dense(side * side)(layers.OneHot(self.classes)(labels)))
        return keras.layers.Reshape((side, side, 1))(plane)

    def _with_labels(self, *tensors):
        """The symbolic inputs of a network, and the labels, which are the last input if there are classes."""
        if self.classes is None:
            return tensors, None
        labels = conditions.labels_input()
        return (*tensors, labels), labels

    def at(self, k: int, *tensors: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The output of the network of level k, 0 for the coarsest, for its inputs, the labels last."""
        return self.levels[k](tensors if len(tensors) > 1 else tensors[0], training=training)


class PyramidGenerator(_Pyramid):
    """The generators of all levels.

    Args:
        shape: (H, W, C) of the finest level's images.
        latent_dim: Size of the coarsest level's latent vector.
        width: Channels of the convolutions.
        classes: Number of classes, for a network that maps (z, y); None for no labels.
        **kwargs: As for `keras.Model`.

    Attributes:
        parts: Numbers of z that belong to each level, coarsest first.
    """

    def __init__(self, shape, latent_dim: int, width: int, classes: int | None = None, **kwargs):
        super().__init__(shape, **kwargs)
        self.latent_dim, self.width, self.classes = latent_dim, width, classes
        self.parts = [latent_dim, *(side * side for side in self.sides[1:])]
        self._make()

    def _coarsest(self, shape):
        return dcgan.generator(shape, self.latent_dim, self.width, self.classes, condition="every_layer")

    def _finer(self, shape):
        side = shape[0]
        z, coarse = inputs((side * side,)), inputs(shape)
        taken, labels = self._with_labels(z, coarse)
        planes = [keras.layers.Reshape((side, side, 1))(z), coarse]
        if labels is not None:
            planes.insert(1, self._plane(labels, side))
        x = keras.layers.Concatenate()(planes)
        for _ in range(2):
            x = nhwc.Conv2D(self.width, 7, padding="same", activation="relu", kernel_initializer=dcgan.weights())(x)
        x = nhwc.Conv2D(shape[-1], 5, padding="same", kernel_initializer=dcgan.weights(), dtype=interface_dtype())(x)
        return keras.Model(taken, x, name=f"level_{side}")

    @property
    def input_shape(self):
        z = (None, sum(self.parts))
        return z if self.classes is None else [z, (None,)]

    @property
    def output_shape(self):
        return (None, *self.shape)

    def split(self, z: tf.Tensor) -> list[tf.Tensor]:
        """The parts of z, [B, Z], for each level, coarsest first."""
        return tf.split(z, self.parts, axis=1)

    def pyramid(self, inputs) -> list[tf.Tensor]:
        """The images of all levels for z, or (z, y), coarsest first."""
        z, labels = (inputs, []) if self.classes is None else (inputs[0], [inputs[1]])
        first, *others = self.split(z)
        images = [self.at(0, first, *labels)]
        for k, part in enumerate(others, 1):
            coarse = upsample(images[-1])
            images.append(coarse + self.at(k, part, coarse, *labels))
        return images

    def call(self, inputs):
        return self.pyramid(inputs)[-1]


class PyramidDiscriminator(_Pyramid):
    """The discriminators of all levels.

    Args:
        shape: (H, W, C) of the finest level's images.
        width: Channels of the convolutions.
        norm: "none", "batch", "layer" or "spectral".
        classes: Number of classes, for a network that maps (images, y); None for no labels.
        **kwargs: As for `keras.Model`.
    """

    def __init__(self, shape, width: int, norm: str = "none", classes: int | None = None, **kwargs):
        super().__init__(shape, **kwargs)
        self.width, self.norm, self.classes = width, norm, classes
        self._make()

    def _coarsest(self, shape):
        return dcgan.discriminator(shape, self.width, self.norm, classes=self.classes, condition="every_layer")

    def _finer(self, shape):
        details, coarse = inputs(shape), inputs(shape)
        taken, labels = self._with_labels(details, coarse)
        x = keras.layers.Add()([details, coarse])
        if labels is not None:
            x = keras.layers.Concatenate()([x, self._plane(labels, shape[0])])
        for stride in (1, 2):
            x = kernel(nhwc.Conv2D(self.width, 5, stride, kernel_initializer=dcgan.weights()), self.norm)(x)
            normalize = normalization(self.norm)
            x = keras.layers.ReLU()(x if normalize is None else normalize(x))
        score = keras.layers.Dense(1, kernel_initializer=dcgan.weights(), dtype=interface_dtype())(nhwc.Flatten()(x))
        return keras.Model(taken, score, name=f"level_{shape[0]}")

    @property
    def input_shape(self):
        images = (None, *self.shape)
        return images if self.classes is None else [images, (None,)]

    @property
    def output_shape(self):
        return (None, len(self.sides))

    def call(self, inputs):
        images, labels = (inputs, []) if self.classes is None else (inputs[0], [inputs[1]])
        first, *others = levels_of(images, len(self.sides))
        scores = [self.at(0, first, *labels)]
        for k, (coarser, image) in enumerate(zip([first, *others[:-1]], others, strict=True), 1):
            coarse = upsample(coarser)
            scores.append(self.at(k, image - coarse, coarse, *labels))
        return tf.concat(scores, axis=1)
