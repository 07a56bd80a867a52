"""Every algorithm of gan_zoo.nn.convolution against TensorFlow's own: values and two orders of gradients."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from gan_zoo.nn import convolution

# Kernel sizes, strides, sizes and channels that select each algorithm. With lowered limits all possible cases do.
CASES = [
    *itertools.product((3, 4, 5), (1, 2), ((8, 8), (4, 8)), ((3, 5), (6, 2))),
    *itertools.product((5,), (2,), ((7, 9), (3, 2)), ((3, 5),)),
    (1, 1, (4, 4), (3, 6)),
    (1, 2, (6, 6), (3, 6)),
]


@pytest.fixture(params=["as it comes", "by matrix"])
def algorithm(request, monkeypatch):
    if request.param == "by matrix":
        for limits in ("_MANY_WEIGHTS", "_MANY_WEIGHTS_GRADIENT"):
            monkeypatch.setattr(convolution, limits, {tf.float32: 0, tf.bfloat16: 0})
        monkeypatch.setattr(convolution, "_FEW_POSITIONS", 64)
    return request.param


def _tensors(k, stride, size, channels, dtype=tf.float32):
    rng = np.random.default_rng(k)
    shapes = (
        (2, *size, channels[0]),
        (k, k, *channels),
        (2, *(-(-length // stride) for length in size), channels[1]),
    )
    return [tf.constant(rng.normal(scale=0.3, size=shape), dtype) for shape in shapes]


def _reference(name, x, kernel, dy, stride):
    """Computes the three functions with TensorFlow's own operations, which are differentiable in any order."""
    if name == "convolve":
        return tf.nn.conv2d(x, kernel, stride, "SAME")
    if name == "convolve_transpose":
        return tf.nn.conv2d_transpose(dy, kernel, x.shape, stride, "SAME")
    strides = [1, stride, stride, 1]
    return tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=kernel.shape, out_backprop=dy, strides=strides, padding="SAME"
    )


def _ours(name, x, kernel, dy, stride):
    if name == "convolve":
        return convolution.convolve(x, kernel, stride)
    if name == "convolve_transpose":
        return convolution.convolve_transpose(dy, kernel, stride, x.shape[1:3])
    return convolution.kernel_gradient(x, dy, stride, kernel.shape[:2])


@pytest.mark.parametrize("name", ["convolve", "convolve_transpose", "kernel_gradient"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_gradients_of_two_orders(algorithm, name, case):
    k, stride, size, channels = case
    x, kernel, dy = _tensors(*case)

    def derivatives(function):
        with tf.GradientTape(persistent=True) as outer:
            outer.watch([x, kernel, dy])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel, dy])
                y = function(name, x, kernel, dy, stride)
                loss = tf.reduce_sum(tf.sin(y))
            first = [g for g in inner.gradient(loss, [x, kernel, dy]) if g is not None]
            square = tf.add_n([tf.reduce_sum(g**2) for g in first])
        second = outer.gradient(square, [x, kernel, dy])
        return [y, *first, *second]

    for ours, reference in zip(derivatives(_ours), derivatives(_reference), strict=True):
        if reference is None:
            assert ours is None
            continue
        scale = max(1.0, float(tf.reduce_max(tf.abs(reference))))
        assert ours.shape == reference.shape
        np.testing.assert_allclose(ours / scale, reference / scale, atol=1e-5)


@pytest.mark.parametrize("name", ["convolve", "convolve_transpose", "kernel_gradient"])
@pytest.mark.parametrize("channels", [(3, 5), (6, 2)])
def test_the_batch_size_may_be_unknown(algorithm, name, channels):
    """The batch size is unknown in an exported generator."""
    x, kernel, dy = _tensors(5, 2, (8, 8), channels)
    any_batch = [tf.TensorSpec(shape) for shape in ((None, *x.shape[1:]), kernel.shape, (None, *dy.shape[1:]))]
    function = tf.function(lambda x, kernel, dy: _ours(name, x, kernel, dy, 2), input_signature=any_batch)
    np.testing.assert_allclose(function(x, kernel, dy), _reference(name, x, kernel, dy, 2), atol=1e-4)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize("name", ["convolve", "convolve_transpose", "kernel_gradient"])
def test_a_deep_layer_takes_the_matrix_product(name, dtype):
    """Tests the size at which the algorithms change. Processors without bfloat16 round its sums more than once."""
    case = 4, 2, (8, 8), (512, 512)
    x, kernel, dy = _tensors(*case, dtype)
    ours, reference = _ours(name, x, kernel, dy, 2), _reference(name, x, kernel, dy, 2)
    tolerance = 1e-5 if dtype == tf.float32 else 5e-2
    scale = float(tf.reduce_max(tf.abs(tf.cast(reference, tf.float32))))
    np.testing.assert_allclose(tf.cast(ours - reference, tf.float32) / scale, np.zeros(ours.shape), atol=tolerance)
    operations = _operations(name, x, kernel, dy)
    assert "MatMul" in operations
    assert not any("Conv2D" in operation for operation in operations)


def test_the_last_layer_makes_blocks():
    operations = _operations("convolve_transpose", *_tensors(5, 2, (8, 8), (3, 64)))
    assert "DepthToSpace" in operations
    assert "Conv2DBackpropInput" not in operations


def test_another_device_takes_tensorflows_kernels(monkeypatch):
    monkeypatch.setattr(convolution, "_on_cpu", lambda: False)
    for name in ("convolve", "convolve_transpose", "kernel_gradient"):
        for case in ((5, 2, (8, 8), (3, 64)), (4, 2, (8, 8), (512, 512)), (1, 1, (4, 4), (3, 6))):
            assert "MatMul" not in _operations(name, *_tensors(*case), stride=case[1])


def _operations(name, x, kernel, dy, stride=2):
    graph = tf.function(lambda *tensors: _ours(name, *tensors, stride)).get_concrete_function(x, kernel, dy).graph
    return {operation.type for operation in graph.get_operations()}
