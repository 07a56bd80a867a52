"""Provides four logical CPUs, so that replicas can be compared with one, and restores global state after each test."""

import gc
import importlib
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

# TensorFlow's messages about the machine are irrelevant to the tests.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA's passes stay, but LLVM, which optimizes their result for speed, takes more time than the small models then save.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Tests decode, download and export into a temporary cache, not into the user's.
os.environ["GAN_ZOO_CACHE"] = tempfile.mkdtemp(prefix="gan_zoo-tests-")

import keras
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, settings

from gan_zoo import testing

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


# No deadlines: a busy machine may make any example slow.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_CACHE = os.environ["GAN_ZOO_CACHE"]


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="Run the tests marked as thorough, too.")
    parser.addoption("--shuffle", type=int, help="Run files, and tests within each file, in an order drawn from this.")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--thorough"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("thorough")])
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    seed = config.getoption("--shuffle")
    if seed is not None:
        drawn = random.Random(seed)
        drawn.shuffle(items)
        files = list({item.path: None for item in items})  # tests of one file stay together because of its fixtures
        items.sort(key=lambda item: files.index(item.path))


def pytest_collection_finish():
    # What is imported by now lives as long as the process. Python's garbage collector need not search it each time.
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _same_start():
    """Gives every test the same random numbers, whichever tests ran before it, and the default precision."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy on two CPUs. With TensorFlow's in-process collectives a process may have only one strategy."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def _two_replicas_are_compared(request, monkeypatch):
    """Compares two replicas with one, not four, which takes half the time. `four_replicas` restores the default."""
    if "four_replicas" not in request.fixturenames:
        monkeypatch.setattr(testing, "REPLICAS", (2,))


@pytest.fixture
def four_replicas():
    """Makes `check_replicas` compare four replicas too."""


@pytest.fixture
def benchmarks(monkeypatch):
    """Imports a benchmark by name."""
    folder = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)
