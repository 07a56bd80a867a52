"""Optimizers: Adam in one kernel, Adam and RMSprop for half-precision weights, Adam as a formula, loss scaling."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from gan_zoo.nn.precision import at_least_float32
from gan_zoo.replicas.distribution import replica_mean
from gan_zoo.util.errors import UserError

_HALF = ("float16", "bfloat16")


class ForHalfPrecision:
    """A mixin for a Keras optimizer that computes the updates of half-precision weights in float32.

    Under the policies float16 and bfloat16 the weights themselves have half precision, and Keras gives the optimizer's
    state the same dtype. In this dtype the constants of most optimizers are rounded away: in float16 an epsilon of 1e-8
    is 0, and in bfloat16 a beta of 0.999 is 1, so the weights never change.
    """

    def add_variable(self, *args, dtype=None, **kwargs):
        return super().add_variable(*args, dtype="float32" if dtype in _HALF else dtype, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        if tf.as_dtype(variable.dtype).name not in _HALF:
            super().update_step(gradient, variable, learning_rate)
            return
        super().update_step(tf.cast(gradient, tf.float32), _AsFloat32(variable), learning_rate)


class _AsFloat32:
    """A float32 view of a half-precision variable, with the interface that an optimizer's update needs."""

    dtype = "float32"

    def __init__(self, variable):
        self._variable = variable.value if isinstance(variable, keras.Variable) else variable
        self._unique_id = self._variable._unique_id  # the optimizer identifies variables by it

    def assign_sub(self, value):
        moved = tf.cast(self._variable, tf.float32) - value
        self._variable.assign(tf.cast(moved, self._variable.dtype))


def inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer without the loss scaling around it, if there is any."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def check_half_precision(optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]) -> None:
    """Checks that an optimizer's constants keep their meaning in the weights' precision.

    Raises:
        UserError: If an epsilon is rounded to 0 or a decay is rounded to 1.
    """
    optimizer = inner(optimizer)
    if isinstance(optimizer, ForHalfPrecision):
        return
    for dtype in {variable.dtype for variable in variables} & {*_HALF}:
        for name, lost in (("epsilon", 0.0), ("beta_1", 1.0), ("beta_2", 1.0), ("rho", 1.0)):
            value = getattr(optimizer, name, None)
            if isinstance(value, float) and value != lost and float(tf.cast(value, dtype)) == lost:
                kind = type(optimizer).__name__
                raise UserError(
                    f"{kind} cannot train weights in {dtype}, in which its {name}={value:g} is {lost:g}. Use the "
                    f"dtype policy mixed_{dtype}, whose weights are float32, or gan_zoo.nn.optimizers.Adam or RMSprop."
                )


@keras.saving.register_keras_serializable(package="gan_zoo")
class RMSprop(ForHalfPrecision, keras.optimizers.RMSprop):
    """Keras's RMSprop that also works for weights in half precision: see `ForHalfPrecision`."""


@keras.saving.register_keras_serializable(package="gan_zoo")
class Adam(ForHalfPrecision, keras.optimizers.Adam):
    """Keras's Adam, which updates a variable in one operation instead of a dozen.

    The results, the variables and the arguments are those of Keras. epsilon is that of the formula before Section 2.1
    in Kingma & Ba ("epsilon hat"), as in TensorFlow. With `amsgrad`, for sparse gradients, and for weights in half
    precision, it uses Keras's own update; for weights in half precision this update runs in float32: see
    `ForHalfPrecision`.

    References:
        Kingma & Ba, 2015, https://arxiv.org/abs/1412.6980
    """

    def update_step(self, gradient, variable, learning_rate):
        half = tf.as_dtype(variable.dtype).name in _HALF
        if self.amsgrad or half or not isinstance(gradient, tf.Tensor):
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


@keras.saving.register_keras_serializable(package="gan_zoo")
class ScheduledAdam(Adam):
    """Adam whose beta_2 follows a schedule of the optimizer's updates.

    An update uses the current beta_2 in the average of squares and in its bias correction, 1 - beta_2^t, like PyTorch
    if a program sets beta_2 before each step. The schedule depends on `iterations`, which checkpoints keep.

    Args:
        learning_rate: A number, or a schedule.
        beta_2: A `keras.optimizers.schedules.LearningRateSchedule` that returns beta_2, or its configuration.
        **kwargs: As for `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate=0.001, *, beta_2, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._schedule = keras.saving.deserialize_keras_object(beta_2) if isinstance(beta_2, dict) else beta_2

    @property
    def beta_2(self):
        """The decay of the next update."""
        return self._schedule(self.iterations)

    @beta_2.setter
    def beta_2(self, value):
        """Does nothing: the constructor of Keras sets its default here."""

    def get_config(self):
        return {**super().get_config(), "beta_2": keras.saving.serialize_keras_object(self._schedule)}


def _handle(variable):
    """The resource handle of a Keras variable, or of the TensorFlow variable that a strategy passes to an update."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


@keras.saving.register_keras_serializable(package="gan_zoo")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scaling, made safe on several replicas and after any number of steps.

    It differs from Keras in three points:

    - Keras looks for non-finite gradients on the first replica only, so such a gradient from another replica makes all
      weights NaN. Here all replicas skip the update.
    - Keras does not bound the scale. After 165 steps without a finite gradient it is 0, and the next step computes
      0 / 0. If gradients are always 0, it doubles until it is infinite. Here the scale stays in [1, 2^24].
    - Gradients of half-precision weights have half precision. Here they are cast to float32 before the division by the
      scale, because the quotients are too small for float16.

    A skipped update does not count in `iterations`.
    """

    least, most = 1.0, 2.0**24

    def check_finite(self, grads):
        infinite = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        return tf.equal(replica_mean(infinite), 0.0)

    def apply(self, grads, trainable_variables=None):
        grads = [at_least_float32(g) if isinstance(g, tf.Tensor) and g.dtype.name in _HALF else g for g in grads]
        super().apply(grads, trainable_variables)
        self.dynamic_scale.assign(tf.clip_by_value(self.dynamic_scale.value, self.least, self.most))


def updates(optimizer: keras.optimizers.Optimizer | None) -> tf.Tensor:
    """The number of updates that an optimizer has made, int64, which checkpoints keep; 0 if `optimizer` is None."""
    return tf.constant(0, tf.int64) if optimizer is None else tf.cast(optimizer.iterations.value, tf.int64)


class AdamFormula:
    """Adam's next steps as a formula on tensors, through which gradients flow.

    Kingma & Ba (2015), Algorithm 1, with Keras's epsilon. Let g_t be the t-th gradient, where t continues the count of
    the optimizer's own steps:

        m_t = b1 m_t-1 + (1 - b1) g_t
        v_t = b2 v_t-1 + (1 - b2) g_t^2
        w_t = w_t-1 - rate sqrt(1 - b2^t) / (1 - b1^t) m_t / (sqrt(v_t) + epsilon)

    The formula starts from the optimizer's moments, m and v, and its count of steps. It does not change them.

    Args:
        optimizer: A built `keras.optimizers.Adam`.
        variables: The variables to step, which the optimizer was built with.
        learning_rate: The rate. By default the optimizer's current one.

    Raises:
        UserError: If `optimizer` uses amsgrad, weight decay or clipping, which the formula does not contain.

    References:
        Kingma & Ba, 2015, https://arxiv.org/abs/1412.6980
    """

    # v is 0 as long as a gradient is 0, and the square root has no derivative at 0. So this is added to v. It is far
    # below the square of any epsilon.
    _TINY = 1e-30

    def __init__(
        self,
        optimizer: keras.optimizers.Adam,
        variables: Sequence[keras.Variable],
        learning_rate: float | None = None,
    ):
        for name in ("amsgrad", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(optimizer, name):
                raise UserError(f"Adam's steps cannot be continued with {name}: leave it out of the optimizer.")
        indices = [optimizer._get_variable_index(variable) for variable in variables]
        self._first = [tf.convert_to_tensor(optimizer._momentums[index].value) for index in indices]
        self._second = [tf.convert_to_tensor(optimizer._velocities[index].value) for index in indices]
        self._count = tf.convert_to_tensor(optimizer.iterations.value)
        self._rate = optimizer.learning_rate if learning_rate is None else learning_rate
        self._optimizer = optimizer

    def __call__(self, weights: Sequence[tf.Tensor], gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the weights after one more step."""
        beta_1, beta_2, epsilon = (getattr(self._optimizer, name) for name in ("beta_1", "beta_2", "epsilon"))
        self._count += 1
        after = []
        for k, (w, g) in enumerate(zip(weights, gradients, strict=True)):
            dtype = self._first[k].dtype
            t, rate, g = (tf.cast(value, dtype) for value in (self._count, self._rate, g))
            m = self._first[k] = beta_1 * self._first[k] + (1.0 - beta_1) * g
            v = self._second[k] = beta_2 * self._second[k] + (1.0 - beta_2) * tf.square(g)
            rate *= tf.sqrt(1.0 - beta_2**t) / (1.0 - beta_1**t)
            after.append(w - tf.cast(rate * m / (tf.sqrt(v + self._TINY) + epsilon), w.dtype))
        return after
