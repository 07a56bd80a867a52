"""Models that learn from data of which only a few examples have labels, and then classify.

A batch of such data is a dictionary:

    images      [B, ...], any examples
    labelled    [B, ...], examples from the few that have labels
    labels      int32, [B], the labels of `labelled`, from 0 to K - 1

`gan_zoo.data.load(..., labelled=100)` and `train.py --labelled=100` make such batches. A model also takes examples
alone, [B, ...], and then learns without labels.
"""

from typing import Any

import tensorflow as tf

from gan_zoo.keras_model.examples import PARTLY_LABELLED, Examples
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.nn.precision import at_least_float32, cast_floats, dtype_of
from gan_zoo.util.checks import whole

_CHUNK = 256
"""Number of examples that are classified at once."""


class Classifies:
    """A mixin for a `GAN` whose discriminator returns logits of K categories, and which can learn from few labels.

        class MyGAN(Classifies, GAN): ...

    Args:
        *networks: The networks.
        categories: K. If data have labels, it is at least their number of classes.
        **kwargs: As for `GAN`.
    """

    takes_labels = "never"
    takes_few_labels = True
    # With batch normalization, categories in inference are wrong: the moving averages mix data and samples.
    discriminator_norm = "none"

    def __init__(self, *networks, categories: int = 10, **kwargs):
        super().__init__(*networks, **kwargs)
        self.categories = whole("categories", categories, 2)

    @classmethod
    def build_networks(cls, builder, categories=10):
        """A generator, and a discriminator with K outputs."""
        categories = whole("categories", categories, 2)
        return {"generator": builder.generator(), "discriminator": builder.discriminator(categories)}

    def parts(self, x: Any) -> tuple[tf.Tensor, tf.Tensor | None, tf.Tensor | None]:
        """The parts of a batch: examples, labelled examples and labels. The last two are None without labels."""
        return tuple(x[key] for key in PARTLY_LABELLED) if isinstance(x, dict) else (x, None, None)

    def discriminator_inputs(self, x: Any, z: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self.parts(x)[0], self.G(z)

    def labelled_loss(self, labelled: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """The cross-entropy of the labels, -E[log p(y | x)], with p the softmax of D. Also logs the accuracy."""
        logits = self.D(labelled)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        right = tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels
        self.record("labelled_loss", loss)
        self.record("labelled_accuracy", tf.reduce_mean(tf.cast(right, loss.dtype)))
        return loss

    def logits(self, x: Any) -> tf.Tensor:
        """The logits of the categories of examples x in inference mode, [B, K].

        Raises:
            UserError: If x are not examples that the model could be trained on.
        """
        x = cast_floats(images_of(Examples.of(self).convert(x)), dtype_of(self.discriminator))
        if not tf.executing_eagerly():
            return at_least_float32(self.discriminator(x, training=False))
        chunks = [x[start : start + _CHUNK] for start in range(0, len(x), _CHUNK)]
        return tf.concat([at_least_float32(self.discriminator(chunk, training=False)) for chunk in chunks], axis=0)

    def class_probabilities(self, x: Any) -> tf.Tensor:
        """The probabilities of the categories of examples x, [B, ...], in inference mode: float32, [B, K].

        Raises:
            UserError: If x are not examples that the model could be trained on.
        """
        return tf.nn.softmax(self.logits(x))

    def classify(self, x: Any) -> tf.Tensor:
        """The likeliest category of each of the examples x, [B, ...], in inference mode: int32, [B].

        With labels in training, category k is class k of the data. Without them, categories are clusters in any order.

        Raises:
            UserError: If x are not examples that the model could be trained on.
        """
        return tf.argmax(self.logits(x), axis=-1, output_type=tf.int32)
