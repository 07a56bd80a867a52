"""Choice of the devices: converts `--strategy` and its flags to a `tf.distribute` strategy."""

import dataclasses
import json
import os
from typing import TYPE_CHECKING

from gan_zoo.replicas import workers
from gan_zoo.util.errors import UserError
from gan_zoo.util.versions import versions

if TYPE_CHECKING:
    from gan_zoo.training.config import Config

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")

SILENCE = 30
"""Seconds without a heartbeat after which a worker counts as lost. A worker that has ended is detected sooner."""


def make_strategy(config: "Config"):
    """The `tf.distribute` strategy that a configuration asks for.

    Raises:
        UserError: If the machine lacks the devices, or if flags cannot be combined.
    """
    import tensorflow as tf

    name = config.strategy
    _check_devices(config)
    if config.num_virtual_devices:
        # By default TensorFlow numbers its collective keys per process, and a second strategy would reuse them.
        reduction = tf.distribute.ReductionToOneDevice()
        return tf.distribute.MirroredStrategy(_virtual_devices(config.num_virtual_devices), cross_device_ops=reduction)
    if name == "auto":
        name = "mirrored" if len(tf.config.list_logical_devices("GPU")) > 1 else "one_device"
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(tf.config.list_logical_devices("GPU") or None)
    if name == "multi_worker":
        return _multi_worker(config)
    if name == "tpu":
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(tpu=config.tpu or "")
        except (ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"--strategy=tpu found no TPU{f' {config.tpu!r}' if config.tpu else ''} here: "
                f"{str(error).splitlines()[0]}"
            ) from None
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.get_strategy()


def cluster_of(config: "Config") -> workers.Cluster | None:
    """The workers of a configuration; None if one process trains.

    Raises:
        UserError: If the workers' addresses are not valid.
    """
    if config.strategy != "multi_worker":
        return None
    if config.workers is not None:
        return workers.of_flags(config.workers, config.worker_index)
    return workers.of_environment(os.environ["TF_CONFIG"])


def _multi_worker(config: "Config"):
    import tensorflow as tf

    cluster = cluster_of(config)
    own = {"worker_index", "workers", "data_dir", "cache_dir", "run_dir", "worker_timeout"}
    agreed = {f"--{name}": value for name, value in dataclasses.asdict(config).items() if name not in own}
    agreed |= {f"the version of {package}": version for package, version in versions().items()}
    workers.meet(cluster, agreed, config.worker_timeout)
    os.environ["TF_CONFIG"] = cluster.tf_config
    _allow_silence(cluster)
    with workers.limit_connecting_time(), workers.detect_lost_workers():
        return tf.distribute.MultiWorkerMirroredStrategy()


def _allow_silence(cluster: workers.Cluster) -> None:
    """Sets the time without a heartbeat after which a worker counts as lost to `SILENCE` seconds.

    The default is 10 seconds, in which a machine under load may fail to answer. TensorFlow has no public option for it.
    """
    from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
    from tensorflow.python.distribute import multi_worker_util
    from tensorflow.python.eager import context

    jobs = json.loads(cluster.tf_config)["cluster"]
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader=multi_worker_util.coordination_leader(jobs),
        heartbeat_timeout_in_ms=1000 * SILENCE,
        coordinated_jobs=[CoordinatedJob(name=name, num_tasks=len(addresses)) for name, addresses in jobs.items()],
    )


def _check_devices(config: "Config") -> None:
    owners = {
        "num_virtual_devices": ("mirrored", "several replicas on one CPU"),
        "workers": ("multi_worker", "several machines"),
        "worker_index": ("multi_worker", "several machines"),
        "tpu": ("tpu", "a TPU"),
    }
    for flag, (strategy, what) in owners.items():
        if getattr(config, flag) is not None and config.strategy != strategy:
            raise UserError(
                f"--{flag} is for {what}: use it with --strategy={strategy}, not --strategy={config.strategy}."
            )
    if config.num_virtual_devices is not None and config.num_virtual_devices < 1:
        raise UserError(f"--num_virtual_devices must be 1 or more, not {config.num_virtual_devices}.")
    if config.strategy != "multi_worker":
        return
    if config.workers is None:
        if config.worker_index is not None:
            raise UserError("--worker_index needs --workers=host:port,host:port, the same list on every worker.")
        if "TF_CONFIG" not in os.environ:
            raise UserError(
                "--strategy=multi_worker needs the addresses of all workers, --workers=host:port,host:port, and the "
                "index of this worker, --worker_index=0, or both in the environment variable TF_CONFIG."
            )
        return
    if "TF_CONFIG" in os.environ:
        raise UserError(
            "--workers and the environment variable TF_CONFIG both name the workers: leave out one of them."
        )


def _virtual_devices(count: int) -> list[str]:
    """Divides the CPU into `count` logical devices, unless it is already divided, and returns their names.

    Raises:
        UserError: If TensorFlow already runs with another number of devices.
    """
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:  # TensorFlow is already running, and its devices can no longer change
        there = len(tf.config.list_logical_devices("CPU"))
        if there != count:
            raise UserError(
                f"--num_virtual_devices={count}: TensorFlow already runs in this process on {there}."
            ) from None
    return [f"CPU:{k}" for k in range(count)]
