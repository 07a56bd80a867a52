"""Minibatch discrimination: features that compare each example with the rest of its minibatch."""

import keras
import tensorflow as tf

from gan_zoo.nn.precision import at_least_float32
from gan_zoo.replicas.distribution import joined


@keras.saving.register_keras_serializable(package="gan_zoo")
class MinibatchDiscrimination(keras.layers.Layer):
    """Appends to each example's features how near they are to those of the other examples: [B, A] to [B, A + K].

    Section 3.2 of Salimans et al. (2016). With features f(x_i) and a tensor T, [A, K, C],

        M_i = f(x_i) T,    c_k(i, j) = exp(-||M_ik - M_jk||_1),    o(x_i)_k = sum over j of c_k(i, j)

    Why: D sees one example at a time, so it cannot notice that all samples are equal, and its gradient moves all of
    them in the same direction. With o(x_i), D recognizes minibatches of similar samples. Real and generated examples
    must be in separate minibatches.

    The sum is over the examples of all replicas and includes j = i, which adds 1, as in the paper. Each column of T is
    theta / ||theta||_2 exp(s) with learned theta and s, as in the authors' code: from columns of N(0, 1), the distances
    would be so large that all c were 0.

    Args:
        kernels: K. Defaults to 100, as in the authors' code for CIFAR-10.
        size: C. Defaults to 5, as there.
        **kwargs: As for `keras.layers.Layer`.

    References:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498
        Authors' code, https://github.com/openai/improved-gan
    """

    def __init__(self, kernels: int = 100, size: int = 5, **kwargs):
        super().__init__(**kwargs)
        self.kernels, self.size = kernels, size

    def build(self, input_shape):
        self.theta = self.add_weight(
            (input_shape[-1], self.kernels, self.size), keras.initializers.RandomNormal(0.0, 0.05), name="theta"
        )
        self.log_scale = self.add_weight((self.kernels, self.size), "zeros", name="log_scale")

    def call(self, inputs):
        theta, log_scale = (at_least_float32(tf.convert_to_tensor(v.value)) for v in (self.theta, self.log_scale))
        tensor = tf.math.l2_normalize(theta, axis=0) * tf.exp(log_scale)
        products = tf.tensordot(at_least_float32(inputs), tf.cast(tensor, at_least_float32(inputs).dtype), 1)
        distances = tf.reduce_sum(tf.abs(products[:, tf.newaxis] - joined(products)[tf.newaxis]), axis=-1)
        nearness = tf.reduce_sum(tf.exp(-distances), axis=1)
        return tf.concat([inputs, tf.cast(nearness, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + self.kernels)

    def get_config(self):
        return {**super().get_config(), "kernels": self.kernels, "size": self.size}
