"""Virtual batch normalization: batch normalization whose statistics are those of one fixed batch.

A generator with it starts with a `ReferenceBatch` layer, which puts fixed latents before the latents of the batch, and
ends with a `DropReference` layer, which removes their samples. Each `VirtualBatchNormalization` in between finds the
activations of the reference batch in the first rows.
"""

import keras
import tensorflow as tf

from gan_zoo.nn.precision import at_least_float32


@keras.saving.register_keras_serializable(package="gan_zoo")
class ReferenceBatch(keras.layers.Layer):
    """Puts the latents of a fixed batch before those of the input: [B, Z] to [size + B, Z], or labels, [B].

    The fixed batch is drawn when the layer is built. It is a weight, so checkpoints, copies and exports keep it.

    Args:
        size: Number of latents.
        prior: Their distribution, "normal" or "uniform", U[-1, 1].
        classes: Number of classes if the input are labels; the fixed labels are 0, 1, ..., again and again.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(self, size: int, prior: str = "normal", classes: int | None = None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.size, self.prior, self.classes = size, prior, classes

    def build(self, input_shape):
        if self.classes is None:
            normal, uniform = keras.initializers.RandomNormal(0.0, 1.0), keras.initializers.RandomUniform(-1.0, 1.0)
            first, dtype = normal if self.prior == "normal" else uniform, self.variable_dtype
        else:
            first, dtype = (lambda *_, **__: [k % self.classes for k in range(self.size)]), "int32"
        shape = (self.size, *input_shape[1:])
        self.reference = self.add_weight(shape, first, dtype=dtype, trainable=False, autocast=False, name="reference")

    def call(self, inputs):
        return tf.concat([tf.cast(tf.convert_to_tensor(self.reference.value), inputs.dtype), inputs], axis=0)

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "size": self.size, "prior": self.prior, "classes": self.classes}


@keras.saving.register_keras_serializable(package="gan_zoo")
class DropReference(keras.layers.Layer):
    """Removes the first `size` rows, those of the reference batch: [size + B, ...] to [B, ...]."""

    def __init__(self, size: int, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs):
        return inputs[self.size :]

    def compute_output_shape(self, input_shape):
        return (None, *input_shape[1:])

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="gan_zoo")
class VirtualBatchNormalization(keras.layers.Layer):
    """Normalizes each example with statistics of the reference batch and of this example alone.

    Section 3.5 of Salimans et al. (2016) and the authors' code. The input has the reference batch in its first n rows.
    With the means m_r of its channels and q_r of their squares, over examples and positions, and those of one example,
    m and q, over its positions,

        mean = (m + n m_r) / (n + 1),   variance = (q + n q_r) / (n + 1) - mean^2
        y = gain (x - mean) / sqrt(variance + epsilon) + bias

    The reference batch is normalized with its own statistics. Why: with batch normalization, a sample depends on the
    other samples of its minibatch. Here it depends on its own latent vector only. It takes another n examples in every
    pass. The layer works in the same way in training and in inference.

    Args:
        size: n.
        epsilon: Added to the variance.
        **kwargs: As for `keras.layers.Layer`.

    References:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498
        Authors' code, https://github.com/openai/improved-gan
    """

    def __init__(self, size: int, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.size, self.epsilon = size, epsilon

    def build(self, input_shape):
        channels = (input_shape[-1],)
        self.gain = self.add_weight(channels, keras.initializers.RandomNormal(1.0, 0.02), name="gain")
        self.bias = self.add_weight(channels, "zeros", name="bias")

    def call(self, inputs):
        x = at_least_float32(inputs)
        own = list(range(1, x.shape.rank - 1))  # the axes of positions

        def moments(x, axes):
            squares = tf.square(x)
            return [tf.reduce_mean(t, axes, keepdims=True) if axes else t for t in (x, squares)]

        reference, examples = x[: self.size], x[self.size :]
        fixed = moments(reference, [0, *own])
        share = 1.0 / (self.size + 1.0)
        mixed = [share * m + (1.0 - share) * r for m, r in zip(moments(examples, own), fixed, strict=True)]
        normalized = [
            (part - mean) * tf.math.rsqrt(tf.maximum(squares - tf.square(mean), 0.0) + self.epsilon)
            for part, (mean, squares) in ((reference, fixed), (examples, mixed))
        ]
        gain, bias = (tf.cast(tf.convert_to_tensor(v.value), x.dtype) for v in (self.gain, self.bias))
        return tf.cast(tf.concat(normalized, axis=0) * gain + bias, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "size": self.size, "epsilon": self.epsilon}
