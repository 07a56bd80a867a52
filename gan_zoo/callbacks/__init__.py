"""Keras callbacks for GAN training: moving average, sample grids, metrics, checkpoints, and conditions that stop it.

Each callback counts optimizer steps (generator updates) itself, across epochs and with any `steps_per_execution`.
"""

from gan_zoo.callbacks.average import GeneratorEMA
from gan_zoo.callbacks.checkpoint import Checkpoint
from gan_zoo.callbacks.evaluate import Evaluate
from gan_zoo.callbacks.growth import Grow
from gan_zoo.callbacks.metrics_log import Means, MetricsLog
from gan_zoo.callbacks.progress import Progress, StepTimer, duration
from gan_zoo.callbacks.sample_grid import SampleGrid
from gan_zoo.callbacks.step_callback import StepCallback
from gan_zoo.callbacks.stop import StopOnNonFinite, StopOnSignal
from gan_zoo.nn.averaged_networks import average_of

__all__ = [
    "Checkpoint",
    "Evaluate",
    "GeneratorEMA",
    "Grow",
    "Means",
    "MetricsLog",
    "Progress",
    "SampleGrid",
    "StepCallback",
    "StepTimer",
    "StopOnNonFinite",
    "StopOnSignal",
    "average_of",
    "duration",
]
