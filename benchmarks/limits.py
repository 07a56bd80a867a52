"""The machine's limits and the profile of a step, for `throughput.py --limits`.

FLOPs are counted from the operations of one traced `train_step` that affect its results: all convolutions and matrix
products, two for each multiplication with addition, with TensorFlow's own convolutions. The count does not depend on
the algorithm that the zoo uses. Positions in the padding are counted, as usual.
"""

import collections
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import tensorflow as tf
from worker import Zoo, task

from gan_zoo.nn import convolution

PRODUCTS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul")
# Parts of a step, with the names of TensorFlow's kernels.
PARTS = {
    "convolutions and matrix products": ("Conv2D", "MatMul", "Einsum"),
    "batch normalization": ("BatchNorm",),
    "optimizer": ("ApplyAdam",),
    "casts": ("Cast",),
    "activations and biases": ("Relu", "Tanh", "BiasAdd"),
    "input": ("IteratorGetNext", "OptionalGetValue", "OptionalFromValue"),
}


def products(gan, batch) -> collections.Counter:
    """Returns the number of times that a step computes each product: {(type, shapes and attributes): count}."""
    on_cpu, convolution._on_cpu = convolution._on_cpu, lambda: False
    try:
        graph = tf.function(gan.train_step).get_concrete_function(batch).graph
    finally:
        convolution._on_cpu = on_cpu
    needed = [op for op in graph.get_operations() if "Assign" in op.type or "Apply" in op.type]
    needed += [tensor.op for tensor in tf.nest.flatten(graph.structured_outputs)]
    seen = set()
    while needed:
        op = needed.pop()
        if op.name not in seen:
            seen.add(op.name)
            needed += [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    found = collections.Counter()
    for name in seen:
        op = graph.get_operation_by_name(name)
        if op.type in PRODUCTS:
            found[_key(op)] += 1
    return found


def _key(op):
    shapes = [tuple(tensor.shape) for tensor in (*op.inputs, *op.outputs)]
    if op.type == "Conv2DBackpropInput":
        kernel, images, dy = shapes[1], shapes[3], shapes[2]
    elif op.type == "Conv2DBackpropFilter":
        images, kernel, dy = shapes[0], shapes[3], shapes[2]
    else:
        images, kernel, dy = shapes
    stride = op.get_attr("strides")[1] if op.type != "MatMul" else 1
    transposed = tuple(op.get_attr(name) for name in ("transpose_a", "transpose_b")) if op.type == "MatMul" else ()
    return op.type, images, kernel, dy, stride, transposed


def flops(key) -> int:
    kind, images, kernel, dy, *_, transposed = key
    if kind == "MatMul":
        return 2 * math.prod(dy) * images[0 if transposed[0] else 1]
    return 2 * math.prod(dy[:3]) * math.prod(kernel)


def times(function, *args, rounds=5) -> list[float]:
    """Returns the seconds of each round, after a first round that traces and compiles."""
    function(*args)
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        function(*args)
        found.append(time.perf_counter() - start)
    return found


def _median_seconds(function, *args) -> float:
    return statistics.median(times(function, *args))


def matmul_rate(dtype, n=2048, rounds=15) -> float:
    """Returns FLOPs per second of a large matrix product in the fastest round, which is disturbed least."""
    a = tf.cast(tf.random.normal([n, n]), dtype)
    return 2 * n**3 / min(times(tf.function(tf.matmul), a, a, rounds=rounds))


def seconds_alone(key, dtype) -> float:
    """Returns the time of TensorFlow's kernel for a product that runs alone."""
    kind, images, kernel, dy, stride, transposed = key
    x, w, y = (tf.cast(tf.random.normal(shape), dtype) for shape in (images, kernel, dy))
    strides = [1, stride, stride, 1]
    if kind == "MatMul":
        return _median_seconds(tf.function(lambda: tf.matmul(x, w, *transposed)))
    if kind == "Conv2D":
        return _median_seconds(tf.function(lambda: tf.nn.conv2d(x, w, strides, "SAME")))
    if kind == "Conv2DBackpropInput":
        return _median_seconds(tf.function(lambda: tf.nn.conv2d_transpose(y, w, images, strides, "SAME")))
    operation = tf.raw_ops.Conv2DBackpropFilter
    return _median_seconds(
        tf.function(lambda: operation(input=x, filter_sizes=kernel, out_backprop=y, strides=strides, padding="SAME"))
    )


def profile(zoo, steps: int) -> tuple[dict[str, float], float]:
    """Returns the seconds that a step spends in each of `PARTS`, by TensorFlow's profiler, and its wall time."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        start = time.perf_counter()
        zoo.run(steps)
        seconds = (time.perf_counter() - start) / steps
        tf.profiler.experimental.stop()
        space = xplane_pb2.XSpace()
        space.ParseFromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    parts = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if ":" not in name or "::" in name or name.startswith("$"):
                    continue  # not a kernel
                kind = name.rsplit(":", 1)[1].split("#")[0].strip()
                if kind.startswith("__") or ("Iterator" in kind and "GetNext" not in kind):
                    continue  # the whole step
                part = next((part for part, words in PARTS.items() if any(w in kind for w in words)), "the rest")
                parts[part] += event.duration_ps / 1e12 / steps
    return dict(parts.most_common()), seconds


def main() -> None:
    asked, row, answers = task()
    # One kernel at a time: time of parallel kernels would be counted twice.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    zoo = Zoo(row, asked["precision"], [])
    dtype = tf.bfloat16 if asked["precision"] == "mixed_bfloat16" else tf.float32
    found = products(zoo.gan, next(iter(zoo.dataset)))
    unit = row.steps_per_execution
    zoo.run(2 * unit)
    parts, seconds = profile(zoo, 4 * unit)
    result = {
        "row": row.name,
        "precision": asked["precision"],
        "step_flops": sum(flops(key) * count for key, count in found.items()),
        "matmul_flops_per_second": matmul_rate(dtype),
        "products_alone_seconds": sum(seconds_alone(key, dtype) * count for key, count in found.items()),
        "profile_step_seconds": seconds,
        "profile_seconds": parts,
    }
    print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
