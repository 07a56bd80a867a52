"""Layers that Keras lacks or runs slowly."""

import math

import keras
import tensorflow as tf

from gan_zoo.nn import convolution
from gan_zoo.nn.image_leaves import map_images
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.replicas.distribution import global_mean
from gan_zoo.util.errors import UserError


@keras.saving.register_keras_serializable(package="gan_zoo")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization over the channels of [B, H, W, C] or [B, C], in TensorFlow's fused kernel.

    Keras 3 composes it from a dozen element-wise operations, whose backward pass takes most of the time of a step of a
    convolutional GAN on a CPU. The statistics are float32 even in half precision. The fused kernel supports the last
    axis only, and not float64; in other cases this layer runs Keras's own code. The defaults are those of the code of
    GAN papers (momentum 0.9, epsilon 1e-5) instead of Keras's (0.99, 1e-3).

    Args:
        momentum: Decay of the moving statistics that inference uses.
        epsilon: Added to the variance.
        synchronized: Whether the statistics are computed over the examples of all replicas instead of each replica's
            own. This runs Keras's slower code.
        **kwargs: As for `keras.layers.BatchNormalization`.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, synchronized=False, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, synchronized=synchronized, **kwargs)

    def call(self, inputs, training=None, mask=None):
        rank = inputs.shape.rank
        fused = rank in (2, 4) and self.axis in (-1, rank - 1) and inputs.dtype != tf.float64
        if self.synchronized or self.renorm or mask is not None or not fused:
            return super().call(inputs, training=training, mask=mask)
        batch_statistics = bool(training) and self.trainable
        x = inputs if rank == 4 else inputs[:, tf.newaxis, tf.newaxis, :]
        channels = x.shape[-1]
        moving_mean, moving_variance = (tf.cast(v.value, tf.float32) for v in (self.moving_mean, self.moving_variance))
        moving = {} if batch_statistics else {"mean": moving_mean, "variance": moving_variance}
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x,
            scale=tf.cast(self.gamma.value, tf.float32) if self.scale else tf.ones([channels]),
            offset=tf.cast(self.beta.value, tf.float32) if self.center else tf.zeros([channels]),
            epsilon=self.epsilon,
            is_training=batch_statistics,
            **moving,
        )
        if batch_statistics:
            # The kernel reports the unbiased variance; Keras, and the normalization itself, use the batch's own.
            count = tf.cast(tf.size(x) // channels, tf.float32)
            biased = variance * ((count - 1.0) / count)
            for variable, average, value in (
                (self.moving_mean, moving_mean, mean),
                (self.moving_variance, moving_variance, biased),
            ):
                variable.assign(average * self.momentum + value * (1.0 - self.momentum))
        return y if rank == 4 else y[:, 0, 0, :]


@keras.saving.register_keras_serializable(package="gan_zoo")
class Embedding(keras.layers.Embedding):
    """Maps labels to rows of a learned table: [B, ...] of integers from 0 to `input_dim` - 1 to [B, ..., output_dim].

    The result is the product of one-hot labels and the table, so the gradient of the table is a dense tensor like the
    gradients of other variables. Optimizers and losses of gradients then need no special case. A label outside of the
    range gives zeros.
    """

    def call(self, inputs):
        table = tf.cast(tf.convert_to_tensor(self.embeddings), self.compute_dtype)
        return tf.tensordot(tf.one_hot(inputs, self.input_dim, dtype=table.dtype), table, 1)


@keras.saving.register_keras_serializable(package="gan_zoo")
class OneHot(keras.layers.Layer):
    """Maps labels, [B], integers from 0 to `classes` - 1, to one-hot vectors, [B, classes].

    A label outside of the range gives zeros.
    """

    def __init__(self, classes: int, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes

    def call(self, inputs):
        return tf.one_hot(inputs, self.classes, dtype=self.compute_dtype)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape, self.classes), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable(package="gan_zoo")
class ConditionalBatchNormalization(BatchNormalization):
    """Batch normalization with a gain and a bias for each class.

    The input is a pair (x, y) of activations, [B, H, W, C] or [B, C], and labels, [B]. All classes share the statistics
    of the batch and the moving statistics. Gains start at 1 and biases at 0, so that the layer starts like an
    unconditional one.

    Args:
        classes: Number of classes; labels y are integers from 0 to `classes` - 1.
        momentum: Decay of the moving statistics that inference uses.
        epsilon: Added to the variance.
        synchronized: As for `BatchNormalization`.
        **kwargs: As for `keras.layers.BatchNormalization`, except for `scale` and `center`. Arguments about gamma and
            beta apply to the tables of gains and biases, [classes, C].

    References:
        de Vries et al., 2017, https://arxiv.org/abs/1707.00683
        Miyato & Koyama, 2018, https://arxiv.org/abs/1802.05637
    """

    def __init__(self, classes: int, momentum=0.9, epsilon=1e-5, synchronized=False, **kwargs):
        super().__init__(momentum, epsilon, synchronized, scale=False, center=False, **kwargs)
        self.classes = classes

    def build(self, input_shape):
        x_shape, _ = input_shape
        super().build(x_shape)
        self.input_spec = None  # the base class sets one for x alone
        table = (self.classes, x_shape[self.axis])
        self.gains, self.biases = (
            self.add_weight(shape=table, name=name, initializer=first, regularizer=regularizer, constraint=constraint)
            for name, first, regularizer, constraint in (
                ("gains", self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint),
                ("biases", self.beta_initializer, self.beta_regularizer, self.beta_constraint),
            )
        )

    def call(self, inputs, training=None):
        x, labels = inputs
        shape = [-1] + [1] * (x.shape.rank - 1)
        shape[self.axis] = x.shape[self.axis]
        one_hot = tf.one_hot(labels, self.classes, dtype=x.dtype)
        gain, bias = (
            tf.reshape(tf.matmul(one_hot, tf.cast(tf.convert_to_tensor(table), x.dtype)), shape)
            for table in (self.gains, self.biases)
        )
        return super().call(x, training=training) * gain + bias

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        config = {**super().get_config(), "classes": self.classes}
        return {name: value for name, value in config.items() if name not in ("scale", "center")}


def synchronize(model: keras.Model) -> int:
    """Makes a model's batch normalization use the examples of all replicas; returns the number of these layers."""
    found = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in found:
        layer.synchronized = True
    return len(found)


@keras.saving.register_keras_serializable(package="gan_zoo")
class Conv2D(keras.layers.Conv2D):
    """Keras's layer computed with `gan_zoo.nn.convolution`, which is faster on CPUs for some shapes.

    Convolutions with groups, stride 1 and an odd kernel also use it. Keras compiles these with XLA, whose gradient in
    the kernel takes seconds on a CPU.
    """

    def call(self, inputs):
        odd = all(size % 2 for size in self.kernel_size)
        if self.groups == 1 or self.padding != "same" or not odd or not _is_plain(self, inputs, self.groups):
            return super().call(inputs)
        y = convolution.convolve_groups(inputs, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            # Not `tf.nn.bias_add`, which TensorFlow fuses with the convolution, and then it refuses groups.
            y = y + tf.convert_to_tensor(self.bias)
        return self.activation(y)

    def convolution_op(self, inputs, kernel):
        if self.padding == "same" and _is_plain(self, inputs):
            return convolution.convolve(inputs, tf.convert_to_tensor(kernel), self.strides[0])
        return super().convolution_op(inputs, kernel)


@keras.saving.register_keras_serializable(package="gan_zoo")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras's layer computed with `gan_zoo.nn.convolution`: see `Conv2D`."""

    def call(self, inputs):
        if self.padding != "same" or self.output_padding is not None or not _is_plain(self, inputs):
            return super().call(inputs)
        size = [length * self.strides[0] for length in inputs.shape[1:3]]
        y = convolution.convolve_transpose(inputs, tf.convert_to_tensor(self.kernel), self.strides[0], size)
        if self.use_bias:
            # Not `tf.nn.bias_add`, whose gradient is slow with the three channels of an image.
            y = y + tf.convert_to_tensor(self.bias)
        return self.activation(y)


@keras.saving.register_keras_serializable(package="gan_zoo")
class UpSampling2D(keras.layers.UpSampling2D):
    """Keras's layer with a static output shape in graphs.

    Keras repeats rows and columns with an operation whose output has no static shape if the batch size is not known.
    TensorFlow Lite cannot convert convolutions of such an output.
    """

    def call(self, inputs):
        if self.interpolation != "nearest" or self.data_format != "channels_last" or None in inputs.shape[1:3]:
            return super().call(inputs)
        return repeat_pixels(inputs, *self.size)


def repeat_pixels(x: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    """Repeats pixels `rows` times down and `columns` times across: [B, H, W, C] to [B, H * rows, W * columns, C]."""
    batch, height, width, channels = x.shape
    shape = [tf.shape(x)[0] if batch is None else batch, height, rows, width, columns, channels]
    x = tf.broadcast_to(x[:, :, tf.newaxis, :, tf.newaxis, :], shape)
    return tf.reshape(x, [-1, height * rows, width * columns, channels])


def _is_plain(layer, inputs, groups: int = 1) -> bool:
    """Whether `gan_zoo.nn.convolution` can compute a layer; other layers run Keras's own code."""
    return (
        layer.data_format == "channels_last"
        and None not in inputs.shape[1:3]
        and layer.strides[0] == layer.strides[1]
        and layer.dilation_rate in (1, (1, 1))
        and getattr(layer, "groups", 1) == groups
        and (groups == 1 or layer.strides[0] == 1)
    )


@keras.saving.register_keras_serializable(package="gan_zoo")
class LeakyReLU(keras.layers.Layer):
    """max(x, slope x), whose gradient is computed from the output.

    No gradient then needs the input, so TensorFlow can fuse the activation with the convolution and the bias before it.
    With Keras's layer this fusion fails, and TensorFlow logs an error at each start.

    Args:
        negative_slope: The slope for negative inputs, in (0, 1]. Defaults to 0.2, as in GAN papers.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(self, negative_slope: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def call(self, inputs):
        slope = self.negative_slope

        @tf.custom_gradient
        def leaky_relu(x):
            # Without stop_gradient, the tape would also send zeros back through the operation's own gradient.
            y = tf.nn.leaky_relu(tf.stop_gradient(x), slope)
            return y, lambda dy: tf.raw_ops.LeakyReluGrad(gradients=dy, features=y, alpha=slope)

        return leaky_relu(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "negative_slope": self.negative_slope}


@keras.saving.register_keras_serializable(package="gan_zoo")
class SpectralNormalization(keras.layers.Wrapper):
    """Divides a layer's kernel by an estimate of its largest singular value.

    The estimate follows Miyato et al. (2018), Algorithm 1. `gan_zoo.GAN` calls `begin_turn` at the beginning of each
    turn of a player, which makes one power iteration. All calls within a turn use the same weights, so the same
    discriminator scores real images, generated images and the points of penalties. The kernel is reshaped to a matrix
    of (all other axes) x (output channels). The gradient treats the singular vectors as constants.

    Args:
        layer: A `Dense`, `Conv2D` or `Embedding` layer.
        **kwargs: As for `keras.layers.Wrapper`.

    References:
        Miyato et al., 2018, https://arxiv.org/abs/1802.05957
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.u = self.add_weight(
            shape=(1, self._kernel.shape[-1]),
            initializer=keras.initializers.RandomNormal(),
            trainable=False,
            autocast=False,
            dtype="float64" if self._kernel.dtype == "float64" else "float32",
            name="u",
        )

    @property
    def _kernel(self) -> keras.Variable:
        return self.layer.embeddings if isinstance(self.layer, keras.layers.Embedding) else self.layer.kernel

    def begin_turn(self):
        """Makes one power iteration."""
        matrix = self._matrix()
        v = tf.math.l2_normalize(tf.matmul(self.u.value, matrix, transpose_b=True))
        self.u.assign(tf.math.l2_normalize(tf.matmul(v, matrix)))

    def _matrix(self):
        return tf.reshape(at_least_float32(self._kernel.value), [-1, self._kernel.shape[-1]])

    def call(self, inputs):
        # A stateless scope replaces the layer's kernel in this call. The variable keeps the kernel before division.
        kernel, matrix = self._kernel, self._matrix()
        u = tf.math.l2_normalize(self.u.value)
        v = tf.math.l2_normalize(tf.matmul(u, tf.stop_gradient(matrix), transpose_b=True))
        sigma = tf.reduce_sum(tf.matmul(v, matrix) * u)
        normalized = tf.cast(at_least_float32(kernel.value) / sigma, kernel.dtype)
        # This scope hides an outer scope, which may also replace values. So all current values are passed on.
        values = [(variable, variable.value) for variable in self.layer.variables if variable is not kernel]
        with keras.StatelessScope(state_mapping=[*values, (kernel, normalized)]):
            return self.layer(inputs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


class InstanceNoise(keras.layers.Layer):
    """Adds normal noise to a discriminator's real and generated inputs, so that the supports of both overlap.

    See Sonderby et al. (2017), Section 3, and Arjovsky & Bottou (2017), Section 3. Each call draws new noise. In a
    structure, only image leaves get noise: see `gan_zoo.nn.image_leaves`.

    Args:
        stddev: Standard deviation of the noise at the start, in units of the data.
        turns: Number of calls of `begin_turn` over which the standard deviation falls linearly to 0. If it is 0, the
            standard deviation is constant.
        random: The `gan_zoo.replicas.distribution.RandomStream` to draw from.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        UserError: If `stddev` or `turns` is negative.

    References:
        Sonderby et al., 2017, https://arxiv.org/abs/1610.04490
        Arjovsky & Bottou, 2017, https://arxiv.org/abs/1701.04862
    """

    def __init__(self, stddev: float, turns: int, random, **kwargs):
        super().__init__(dtype="float32", autocast=False, **kwargs)
        if stddev < 0:
            raise UserError(f"instance_noise must be 0 or more, not {stddev!r}.")
        if not isinstance(turns, int) or turns < 0:
            raise UserError(f"noise_turns must be a whole number from 0 up, not {turns!r}.")
        self.stddev, self.turns, self.random = stddev, turns, random
        self.taken = self.add_weight((), "zeros", dtype="int64", trainable=False, name="taken")
        self.built = True

    def begin_turn(self):
        self.taken.assign(self.taken.value + 1)

    def call(self, inputs):
        left = None
        if self.turns:
            # The first turn has the full noise.
            left = tf.maximum(1.0 - tf.maximum(self.taken.value - 1, 0) / self.turns, 0.0)

        def noisy(x):
            noise = self.stddev * self.random.normal_like(x)
            return x + (noise if left is None else tf.cast(left, x.dtype) * noise)

        return map_images(noisy, inputs)


@keras.saving.register_keras_serializable(package="gan_zoo")
class EqualizedConv2D(Conv2D):
    """A convolution with an equalised learning rate: its kernel is c w, w from N(0, 1), and c = gain / sqrt(fan in).

    See Karras et al. (2018), Section 4.1. The size of Adam's steps does not depend on the size of the gradient. Because
    the scale c is not part of the variable, all layers learn at the same relative speed.

    Args:
        filters: Output channels.
        kernel_size: Side of the kernel.
        gain: Defaults to sqrt(2), for ReLU-like activations, as in He et al. (2015).
        **kwargs: As for `keras.layers.Conv2D`; padding is "same".

    References:
        Karras et al., 2018, https://arxiv.org/abs/1710.10196
    """

    def __init__(self, filters, kernel_size, gain: float = 2**0.5, **kwargs):
        super().__init__(filters, kernel_size, **{"padding": "same", "kernel_initializer": _UNIT_NORMAL, **kwargs})
        self.gain = gain

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, _equalized(kernel, self.gain))

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


@keras.saving.register_keras_serializable(package="gan_zoo")
class EqualizedDense(keras.layers.Dense):
    """A dense layer with an equalised learning rate: see `EqualizedConv2D`."""

    def __init__(self, units, gain: float = 2**0.5, **kwargs):
        super().__init__(units, **{"kernel_initializer": _UNIT_NORMAL, **kwargs})
        self.gain = gain

    def call(self, inputs):
        y = tf.matmul(inputs, _equalized(self.kernel, self.gain))
        return self.activation(y + self.bias if self.use_bias else y)

    def get_config(self):
        return {**super().get_config(), "gain": self.gain}


_UNIT_NORMAL = {"class_name": "RandomNormal", "config": {"mean": 0.0, "stddev": 1.0}}


def _equalized(kernel, gain: float) -> tf.Tensor:
    kernel = tf.convert_to_tensor(kernel)
    fan_in = math.prod(kernel.shape[:-1])
    return kernel * tf.cast(gain / math.sqrt(fan_in), kernel.dtype)


@keras.saving.register_keras_serializable(package="gan_zoo")
class PixelNormalization(keras.layers.Layer):
    """x / sqrt(mean over the channels of x^2 + epsilon): the feature vector of every pixel has length sqrt(C).

    See Karras et al. (2018), Section 4.2. It prevents the magnitudes in a generator from growing without bound.
    """

    epsilon = 1e-8

    def call(self, inputs):
        x = at_least_float32(inputs)
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(x), axis=-1, keepdims=True) + self.epsilon)
        return tf.cast(x * scale, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="gan_zoo")
class MinibatchStd(keras.layers.Layer):
    """Appends one channel that measures how much the examples of a minibatch differ: [B, H, W, C] to [B, H, W, C + 1].

    See Karras et al. (2018), Section 3. The channel is the standard deviation over the minibatch of each feature at
    each position, averaged over features and positions to one number. It lets a discriminator recognize minibatches of
    similar samples. Real and generated examples must be in separate minibatches.

    Args:
        group_size: Number of examples in a group. None, the default and the paper's choice, makes one group of the
            examples of all replicas. A number divides each replica's examples into groups of this size, or makes one
            group if there are fewer: example i is in group i mod (B / group_size). B must be a multiple of it. The
            authors' code has 4.
        **kwargs: As for `keras.layers.Layer`.
    """

    epsilon = 1e-8

    def __init__(self, group_size: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.group_size = group_size

    def call(self, inputs):
        x = at_least_float32(inputs)
        shape = tf.shape(x)
        mean = global_mean
        if self.group_size is not None:
            size = tf.minimum(self.group_size, shape[0])
            x = tf.reshape(x, [size, shape[0] // size, *x.shape[1:]])
            mean = tf.reduce_mean
        variance = mean(tf.square(x - mean(x, 0, True)), 0, True)
        std = tf.reduce_mean(tf.sqrt(variance + self.epsilon), axis=[-3, -2, -1], keepdims=True)
        std = tf.reshape(tf.broadcast_to(std, tf.concat([tf.shape(x)[:-3], [1, 1, 1]], 0)), [-1, 1, 1, 1])
        channel = tf.broadcast_to(std, [shape[0], *inputs.shape[1:3], 1])
        return tf.concat([inputs, tf.cast(channel, inputs.dtype)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        return {**super().get_config(), "group_size": self.group_size}
