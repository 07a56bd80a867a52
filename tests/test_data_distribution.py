"""Distribution of data: every element is split, in order, into the parts of the replicas and workers."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import gan_zoo
from gan_zoo import data

from .waiting import HANGING


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("digits", {}), ("digits", {"labels": True, "n_critic": 5}), ("digits", {"start_step": 300}), ("ring8", {})],
)
def test_two_replicas_see_one_batch(two_replicas, name, arguments):
    alone = data.load(name, 8, seed=2, **arguments)
    split = two_replicas.experimental_distribute_dataset(data.load(name, 8, seed=2, **arguments))
    for element, parts in zip(alone.take(260), split, strict=False):
        elements = element if isinstance(element, tuple) else (element,)
        parts = parts if isinstance(parts, tuple) else (parts,)
        for whole, part in zip(elements, parts, strict=True):
            pieces = [piece.numpy() for piece in two_replicas.experimental_local_results(part)]
            assert [len(piece) for piece in pieces] == [len(whole) // 2] * 2
            np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_made_inside_the_scope(two_replicas):
    with two_replicas.scope():
        split = two_replicas.experimental_distribute_dataset(data.load("digits", 8, seed=2))
    alone = next(iter(data.load("digits", 8, seed=2)))
    pieces = two_replicas.experimental_local_results(next(iter(split)))
    np.testing.assert_array_equal(np.concatenate([piece.numpy() for piece in pieces]), alone)


def test_static_shapes_survive(two_replicas):
    split = two_replicas.experimental_distribute_dataset(data.load("digits", 8, n_critic=3))
    assert [spec.shape for spec in split.element_spec._value_specs] == [(12, 8, 8, 1)] * 2


WORKER = """
import sys
import numpy as np
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[2])
)
strategy = tf.distribute.MultiWorkerMirroredStrategy()
from gan_zoo import data
split = iter(strategy.experimental_distribute_dataset(data.load("digits", 8, seed=2, n_critic=2, start_step=110)))
pieces = [[p.numpy() for p in strategy.experimental_local_results(next(split))] for _ in range(5)]
np.save(sys.argv[1], np.array(pieces))
"""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.thorough
def test_two_workers_see_one_batch(tmp_path, replicas):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        env = {**os.environ, "TF_CONFIG": json.dumps(config), "PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
        out = tmp_path / f"{index}.npy"
        processes.append(subprocess.Popen([sys.executable, "-c", WORKER, out, str(replicas)], env=env))
    try:
        assert [process.wait(timeout=HANGING) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    # [worker, step, replica, its part of the batch, H, W, C]
    parts = np.stack([np.load(tmp_path / f"{index}.npy") for index in range(2)])
    whole = list(data.load("digits", 8, seed=2, n_critic=2, start_step=110).take(5).as_numpy_iterator())
    together = parts.transpose(1, 0, 2, 3, 4, 5, 6).reshape(5, 16, 8, 8, 1)
    np.testing.assert_array_equal(together, whole)
