"""Images of three random MNIST digits as the red, green and blue channel: 1000 modes.

Also known as stacked MNIST. A classifier of digits counts the modes of samples: see `gan_zoo.metrics.digits`.

References:
    Metz et al., 2017, https://arxiv.org/abs/1611.02163, Section 3.3.1
    Fedus et al., 2018, https://arxiv.org/abs/1710.08446
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gan_zoo.data.sources import PARALLEL, ImageSource, Outline, Source, to_float

if TYPE_CHECKING:
    import tensorflow as tf

NAME = "color_mnist"
CLASSES = 1000


class ColorMNISTSource(Source):
    """Triples of digits, drawn independently at every step.

    The label of an image is 100 r + 10 g + b, from the labels of its digits.

    Args:
        digits: MNIST.
        labelled: Whether `batches` yields labels by default.

    Attributes:
        digits: MNIST. The triples need no other memory.
    """

    kind = "image"

    def __init__(self, digits: ImageSource, labelled: bool = False):
        super().__init__(*self.outline(digits), labelled)
        self.digits = digits

    def checksum(self) -> int | None:
        """Returns the checksum of the digits, and of their labels if labelled; None if there is none."""
        return self.digits.checksum() if self.labelled else None

    @staticmethod
    def outline(digits: Outline) -> tuple:
        """Returns the arguments of `Outline` for triples of `digits`, without `labelled`."""
        own = ("name", "kind", "shape", "size", "num_classes", "classes")
        settings = {key: value for key, value in digits.describe().items() if key not in own}
        classes = tuple(f"{triple:03}" for triple in range(CLASSES))
        return NAME, (*digits.shape[:2], 3), None, classes, settings

    def _choose_labelled(self, wanted, random):
        labels = np.repeat(np.arange(CLASSES, dtype=np.int32), wanted)
        digits = np.stack([labels // 100, labels // 10 % 10, labels % 10], axis=1)
        of_digit = [np.flatnonzero(self.digits.labels == digit) for digit in range(10)]
        chosen = np.array([[random.choice(of_digit[digit]) for digit in triple] for triple in digits])
        height, width, _ = self.shape
        channels = self.digits.images[chosen].reshape(-1, 3, height, width)
        return np.ascontiguousarray(channels.transpose(0, 2, 3, 1)), labels

    def _elements(
        self, batch: int, seed: int, labels: bool, start_step: int, before: Sequence[tuple[int, int]]
    ) -> "tf.data.Dataset":
        import tensorflow as tf

        height, width, _ = self.shape

        def element(step, kept):
            chosen = tf.random.stateless_uniform(
                [batch, 3], tf.stack([seed, step]), maxval=self.digits.size, dtype=tf.int32
            )
            images, *targets = kept.get_value()
            channels = tf.reshape(tf.gather(images, chosen), [batch, 3, height, width])
            x = to_float(tf.transpose(channels, [0, 2, 3, 1]))
            if not labels:
                return x
            return x, tf.linalg.matvec(tf.gather(targets[0], chosen), tf.constant([100, 10, 1]))

        steps = tf.data.Dataset.counter(start_step + sum(elements for _, elements in before))
        everything = self.digits.everything(labels)
        return tf.data.Dataset.zip(steps, everything).map(element, num_parallel_calls=PARALLEL)
