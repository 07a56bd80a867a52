"""Historical averages: the mean of a player's weights over its past turns."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from gan_zoo.nn.precision import at_least_float32


class HistoricalAverages(keras.layers.Layer):
    """Holds the mean of some variables over the turns of a player, for historical averaging.

    See Salimans et al. (2016), Section 3.3. The means are weights, so checkpoints and files keep them.

    Args:
        variables: The player's variables. Their means are float32, or float64 for variables of this dtype.
        **kwargs: As for `keras.layers.Layer`.

    References:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498
    """

    def __init__(self, variables: Sequence[keras.Variable], **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.turns = self.add_weight((), "zeros", dtype="int64", trainable=False, autocast=False, name="turns")
        self.means = [
            self.add_weight(
                variable.shape,
                "zeros",
                dtype="float64" if variable.dtype == "float64" else "float32",
                trainable=False,
                autocast=False,
                name=f"mean_{index}",
            )
            for index, variable in enumerate(variables)
        ]
        self.built = True

    def distance(self, variables: Sequence[keras.Variable]) -> tf.Tensor:
        """||theta - mean of theta[1], ..., theta[t]||^2 at turn t, a scalar; also updates the means to turn t.

        theta[t] are the values of this turn. The mean is a constant for the gradient.

        Args:
            variables: The variables of the constructor.
        """
        t = self.turns.value + 1
        self.turns.assign(t)
        squares = []
        for variable, mean in zip(variables, self.means, strict=True):
            value = at_least_float32(tf.convert_to_tensor(variable.value))
            old = mean.value
            updated = tf.stop_gradient(old + (value - old) / tf.cast(t, value.dtype))
            mean.assign(updated)
            squares.append(tf.reduce_sum(tf.square(value - updated)))
        return tf.add_n(squares)
