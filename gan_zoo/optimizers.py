"""Adam in one kernel."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="gan_zoo")
class Adam(keras.optimizers.Adam):
    """Keras's Adam, whose update of a variable is one operation instead of a dozen.

    The numbers, the variables and the arguments are Keras's: epsilon is that of the formula before Section 2.1 in
    Kingma & Ba ("epsilon hat"), as in TensorFlow. With `amsgrad`, and for sparse gradients, Keras's own update is used.

    References:
        Kingma & Ba, 2015, https://arxiv.org/abs/1412.6980
    """

    def update_step(self, gradient, variable, learning_rate):
        if self.amsgrad or not isinstance(gradient, tf.Tensor):
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        dtype = variable.dtype
        step = tf.cast(self.iterations + 1, dtype)
        beta_1, beta_2 = tf.cast(self.beta_1, dtype), tf.cast(self.beta_2, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )


def _handle(variable):
    """The resource of a Keras variable, or of the TensorFlow variable that a strategy hands to an update."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
