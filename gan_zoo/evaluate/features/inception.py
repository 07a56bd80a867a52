"""The Inception-v3 of 2015-12-05, whose features define the FID and the KID, and whose classes the Inception Score.

Its weights come from TensorFlow's graph `inception-2015-12-05.tgz`. The file that is read here holds them as tensors of
PyTorch. The network is not that of `keras.applications`, which has other weights, and differs from the paper:

- Average pools leave out the padding, as TensorFlow's do.
- The pool of the last block takes the maximum.
- There are 1008 outputs.

Logits are computed without the bias of the last layer, as the code of the Inception Score does.

References:
    Szegedy et al., 2016, https://arxiv.org/abs/1512.00567
    Salimans et al., 2016, https://arxiv.org/abs/1606.03498, and https://github.com/openai/improved-gan
    Heusel et al., 2017, https://arxiv.org/abs/1706.08500, and https://github.com/bioinf-jku/TTUR
    The tensors: https://github.com/mseitzer/pytorch-fid
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from gan_zoo.evaluate.features import resize, weight_file
from gan_zoo.evaluate.features.convolutions import convolve, folded
from gan_zoo.evaluate.features.interface import Features, as_float, fingerprint, in_color
from gan_zoo.evaluate.features.weight_file import WeightFile
from gan_zoo.releases.files import File

NAME = "inception"
SIDE = 299
SIZE, OUTPUTS = 2048, 1008
PREPROCESSING = f"TF1 bilinear to {SIDE}x{SIDE}, (x - 128) / 128"

_FILE = "pt_inception-2015-12-05-6726825d.pth"
WEIGHTS = WeightFile(
    _FILE,
    File(95_628_359, "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"),
    "Inception-v3",
    (
        f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{_FILE}",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    ),
)

_EPSILON = 1e-3
"""What batch normalization adds to the variance."""


def is_here() -> bool:
    """Returns whether `load` works without a network."""
    return WEIGHTS.is_cached()


def load(file: str | Path | None = None) -> Features:
    """Returns the features of Inception-v3: 2048 features, and 1008 logits without bias.

    Args:
        file: Path of pt_inception-2015-12-05-6726825d.pth. None uses that in the cache, and downloads it if necessary.

    Raises:
        UserError: If the file is not available, or is another file.
    """
    path = WEIGHTS.fetch() if file is None else weight_file.given(file)
    graph = compiled(WEIGHTS.tensors(path))
    return Features(
        name=NAME,
        title="Inception-v3 2015-12-05",
        frechet_name="FID",
        fingerprint=fingerprint(NAME, WEIGHTS.content.sha256, PREPROCESSING),
        preprocessing=PREPROCESSING,
        size=SIZE,
        outputs=OUTPUTS,
        compute=lambda images: tuple(part.numpy() for part in graph(as_float(in_color(images)))),
    )


def compiled(tensors: Mapping[str, np.ndarray]) -> Callable:
    """Returns a graph that maps images, float32 [B, H, W, 3] from 0 to 255, to features and logits: see `network`."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)], autograph=False)
    def graph(images):
        return network(tensors, (resize.tensorflow1_bilinear(images, SIDE) - 128.0) / 128.0)

    return graph


def network(tensors: Mapping[str, np.ndarray], x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the features, [B, 2048], and the logits without bias, [B, 1008].

    Args:
        tensors: The weights, by their names in the file.
        x: float32 [B, 299, 299, 3] in [-1, 1].
    """
    net = _Convolutions(tensors)
    x = net(x, "Conv2d_1a_3x3", 2, "VALID")
    x = net(x, "Conv2d_2a_3x3", 1, "VALID")
    x = _shrink(net(x, "Conv2d_2b_3x3"))
    x = _shrink(net(net(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3", 1, "VALID"))
    for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        x = _block_a(net, x, name)
    x = _block_b(net, x, "Mixed_6a")
    for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        x = _block_c(net, x, name)
    x = _block_d(net, x, "Mixed_7a")
    x = _block_e(net, x, "Mixed_7b", _average)
    x = _block_e(net, x, "Mixed_7c", _maximum)
    features = tf.reduce_mean(x, axis=[1, 2])
    return features, tf.matmul(features, tf.constant(tensors["fc.weight"].T))


class _Convolutions:
    """The network's convolutions by name, each with batch normalization and ReLU."""

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self._tensors = tensors

    def __call__(self, x: tf.Tensor, name: str, stride: int = 1, padding: str = "SAME") -> tf.Tensor:
        kernel, bias = folded(self._tensors, f"{name}.conv", f"{name}.bn", _EPSILON)
        return tf.nn.relu(convolve(x, kernel, bias, stride, padding))

    def chain(self, x: tf.Tensor, name: str, count: int) -> tf.Tensor:
        """Applies the convolutions `name`_1 to `name`_`count` in a row."""
        for number in range(1, count + 1):
            x = self(x, f"{name}_{number}")
        return x


def _shrink(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(x, 3, 2, "VALID")


def _average(x: tf.Tensor) -> tf.Tensor:
    """Averages over 3 x 3 pixels; at the borders, over those that exist."""
    return tf.nn.avg_pool2d(x, 3, 1, "SAME")


def _maximum(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(x, 3, 1, "SAME")


def _block_a(net: _Convolutions, x: tf.Tensor, name: str) -> tf.Tensor:
    branches = [
        net(x, f"{name}.branch1x1"),
        net.chain(x, f"{name}.branch5x5", 2),
        net.chain(x, f"{name}.branch3x3dbl", 3),
        net(_average(x), f"{name}.branch_pool"),
    ]
    return tf.concat(branches, axis=-1)


def _block_b(net: _Convolutions, x: tf.Tensor, name: str) -> tf.Tensor:
    branches = [
        net(x, f"{name}.branch3x3", 2, "VALID"),
        net(net.chain(x, f"{name}.branch3x3dbl", 2), f"{name}.branch3x3dbl_3", 2, "VALID"),
        _shrink(x),
    ]
    return tf.concat(branches, axis=-1)


def _block_c(net: _Convolutions, x: tf.Tensor, name: str) -> tf.Tensor:
    branches = [
        net(x, f"{name}.branch1x1"),
        net.chain(x, f"{name}.branch7x7", 3),
        net.chain(x, f"{name}.branch7x7dbl", 5),
        net(_average(x), f"{name}.branch_pool"),
    ]
    return tf.concat(branches, axis=-1)


def _block_d(net: _Convolutions, x: tf.Tensor, name: str) -> tf.Tensor:
    branches = [
        net(net(x, f"{name}.branch3x3_1"), f"{name}.branch3x3_2", 2, "VALID"),
        net(net.chain(x, f"{name}.branch7x7x3", 3), f"{name}.branch7x7x3_4", 2, "VALID"),
        _shrink(x),
    ]
    return tf.concat(branches, axis=-1)


def _block_e(net: _Convolutions, x: tf.Tensor, name: str, pool: Callable) -> tf.Tensor:
    single = net(x, f"{name}.branch3x3_1")
    double = net.chain(x, f"{name}.branch3x3dbl", 2)
    branches = [
        net(x, f"{name}.branch1x1"),
        *(net(single, f"{name}.branch3x3_2{part}") for part in "ab"),
        *(net(double, f"{name}.branch3x3dbl_3{part}") for part in "ab"),
        net(pool(x), f"{name}.branch_pool"),
    ]
    return tf.concat(branches, axis=-1)
