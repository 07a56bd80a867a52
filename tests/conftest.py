"""Four logical CPUs, so that replicas can be compared with one; what tests change globally is put back."""

import gc
import importlib
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

# TensorFlow's own messages about the machine say nothing about a test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What tests decode, fetch and export is nothing to keep in the user's own cache.
os.environ["GAN_ZOO_CACHE"] = tempfile.mkdtemp(prefix="gan_zoo-tests-")

import keras
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, settings

from gan_zoo import testing

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4
)


# No example is too slow for a machine that others keep busy.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

_CACHE = os.environ["GAN_ZOO_CACHE"]


def pytest_addoption(parser):
    parser.addoption("--shuffle", type=int, help="Run files, and tests within each file, in an order drawn from this.")


def pytest_collection_modifyitems(config, items):
    seed = config.getoption("--shuffle")
    if seed is not None:
        drawn = random.Random(seed)
        drawn.shuffle(items)
        files = list({item.path: None for item in items})  # those of a file stay together, for the sake of its fixtures
        items.sort(key=lambda item: files.index(item.path))


def pytest_collection_finish():
    # What is imported by now lives as long as the process. Python's garbage collector need not search it each time.
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(autouse=True)
def _same_start():
    """Every test draws the same random numbers, whichever run before it, under the default precision."""
    policy = keras.config.dtype_policy()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy on two CPUs: the one that a process may have with TensorFlow's in-process collectives."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def _two_replicas_are_compared(request, monkeypatch):
    """Two replicas, and not four, are compared with one: it takes half the time. `four_replicas` undoes it."""
    if "four_replicas" not in request.fixturenames:
        monkeypatch.setattr(testing, "REPLICAS", (2,))


@pytest.fixture
def four_replicas():
    """`check_replicas` compares four replicas, too."""


@pytest.fixture
def benchmarks(monkeypatch):
    """Imports a benchmark by name."""
    folder = Path(__file__).parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)
