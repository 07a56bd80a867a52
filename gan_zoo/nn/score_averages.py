"""Running means of the discriminator's scores, for LeCam regularization."""

import keras
import tensorflow as tf

from gan_zoo.replicas.distribution import replica_mean

DECAY = 0.99
"""Decay of the means in a turn, as in the authors' TensorFlow code."""


class ScoreAverages(keras.layers.Layer):
    """Exponential moving averages of E D(x) and E D(G(z)) over the discriminator's turns.

    See Tseng et al. (2021). The averages start at 0 and are divided by the sum of their weights, so the first ones are
    means too. They are weights, so checkpoints and files keep them.

    Args:
        dtype: The dtype of the scores, "float32" or "float64".
        **kwargs: As for `keras.layers.Layer`.

    References:
        Tseng et al., 2021, https://arxiv.org/abs/2104.03310
    """

    def __init__(self, dtype: str = "float32", **kwargs):
        super().__init__(dtype=dtype, autocast=False, **kwargs)
        self.sums = self.add_weight((2,), "zeros", trainable=False, autocast=False, name="sums")
        self.turns = self.add_weight((), "zeros", dtype="int64", trainable=False, autocast=False, name="turns")
        self.built = True

    def update(self, real: tf.Tensor, fake: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Counts the scores of a turn, and returns the averages of both kinds with it, as constants.

        Args:
            real: Scores of the replica's real examples, [B, 1].
            fake: Scores of its generated examples, [B, 1].
        """
        current = tf.stop_gradient(replica_mean(tf.stack([tf.reduce_mean(real), tf.reduce_mean(fake)])))
        sums = DECAY * self.sums.value + (1 - DECAY) * tf.cast(current, self.sums.dtype)
        turns = self.turns.value + 1
        self.sums.assign(sums)
        self.turns.assign(turns)
        averages = tf.cast(sums / (1 - tf.cast(DECAY, sums.dtype) ** tf.cast(turns, sums.dtype)), current.dtype)
        return averages[0], averages[1]
