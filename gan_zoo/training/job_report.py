"""Reports on a job: settings for `run.json`, metadata of exports, a description, and the speed of a trial."""

import dataclasses
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_zoo import data
from gan_zoo.registry.variants import NETWORK_OPTIONS
from gan_zoo.training.config import average
from gan_zoo.util import console, machine

if TYPE_CHECKING:
    from gan_zoo.training.job import Job


def settings(job: "Job", run_dir: Path, known: data.Found | None = None) -> dict[str, Any]:
    """Returns all resolved settings of a run for `run.json`, with the facts of `known` data or of the job's source."""
    gan, config = job.gan, job.config
    arguments = job.arguments()
    phases = job.schedule.growth.phases if job.schedule.growth else ()
    return {
        "model": config.model,
        "dataset": config.dataset,
        "data_dir": config.data_dir,
        "data": describe_data(job, known),
        "batch_size": job.batch_size,
        "steps": job.steps,
        "network": job.network,
        "width": job.width,
        "norm": "none" if job.points else config.norm or job.cls.default_norm(job.network, arguments),
        "arguments": arguments,
        **{name: getattr(config, name) for name in NETWORK_OPTIONS},
        **({"labelled": config.labelled} if config.labelled else {}),
        **{name: _plain_config(optimizer) for name, optimizer in gan.optimizers().items()},
        **({"rate_schedule": config.rate_schedule} if config.rate_schedule else {}),
        **{f"ema_{name}": value for name, value in average(config).items()},
        "seed": config.seed,
        "precision": job.precision,
        "strategy": type(job.strategy).__name__,
        "replicas": job.strategy.num_replicas_in_sync,
        "sync_batch_norm": config.sync_batch_norm,
        "jit_compile": config.jit_compile,
        "run_dir": str(run_dir),
        "sample_every": config.sample_every,
        "checkpoint_every": config.checkpoint_every,
        "keep_checkpoints": config.keep_checkpoints,
        "log_every": config.log_every,
        "health_every": config.health_every,
        **({"held_out": config.held_out} if config.held_out else {}),
        "evaluate_every": config.evaluate_every,
        "export": config.export,
        "on_nan": config.on_nan,
        "steps_per_execution": job.execution,
        **({"growth": [dataclasses.asdict(phase) for phase in phases]} if phases else {}),
    }


def describe_data(job: "Job", known: data.Found | None = None) -> dict[str, Any]:
    """Returns the facts of `known` data, or of the job's source, without their location on this machine."""
    return {name: value for name, value in (known or job.schedule.source).describe().items() if name != "path"}


def describe(job: "Job") -> str:
    """Returns a few lines that describe the model, the data and the environment of the training."""
    gan = job.gan
    minibatches = gan.minibatches_per_step
    codes = f", codes {', '.join(gan.codes)}" if gan.codes else ""
    rows = {
        "model": f"{type(gan).__name__}, {job.network} networks of width {job.width}, latents {gan.latent_dim}{codes}",
        **{name: _describe_network(job, network) for name, network in gan.networks().items()},
        "data": f"{job.config.dataset} {job.schedule.source.shape}, "
        + (f"{job.schedule.source.size:,} examples" if job.schedule.source.size else "endless")
        + (f", {job.config.labelled:,} of them with labels" if job.config.labelled else ""),
        "step": f"{minibatches} x {job.batch_size} examples, {job.strategy.num_replicas_in_sync} replica(s)",
        "precision": f"{job.precision} ({job.precision_reason})",
    }
    if job.schedule.growth:
        del rows["step"]
        for phase in job.schedule.growth.phases:
            rows[f"{phase.resolution:>4} pixels{' fade' if phase.fade else ''}"] = (
                f"{phase.steps:,} steps of {minibatches} x {phase.batch_size} examples"
            )
    return console.facts(rows)


def _describe_network(job: "Job", network) -> str:
    output = f", output {network.output_shape[1:]}" if network is job.gan.sampling_network else ""
    return f"{network.count_params():,} parameters{output}"


def dry_run(job: "Job", steps: int = 10) -> str:
    """Runs a few steps and returns an estimate of the whole run. Writes nothing to the run folder."""
    with job.global_settings("training"):
        return f"{describe(job)}\n{_trial(job, steps)}"


def _trial(job: "Job", steps: int) -> str:
    from gan_zoo import callbacks

    seconds, total, count, start = [], 0.0, 0, 0
    while start < job.steps:
        end = job.schedule.phase_end(start)
        if job.schedule.growth:
            job.gan.grow(job.schedule.growth.phase(start).stage, job.schedule.growth.alpha(start))
        timer = callbacks.StepTimer()
        job.gan.fit(
            job.schedule.dataset(start),
            steps_per_epoch=steps * job.execution,
            verbose=0,
            callbacks=[callbacks.GeneratorEMA(**average(job.config), images=job.schedule.images_averaged), timer],
        )
        seconds.append(statistics.median(timer.seconds[1:]) / job.execution)  # the first step compiles
        count += len(timer.seconds) - 1
        total += seconds[-1] * (end - start)
        start = end
    peak = machine.peak_memory()
    times = " to ".join(f"{s * 1000:.2f}" for s in dict.fromkeys((min(seconds), max(seconds))))
    rows = {
        "step time": f"{times} ms (medians of {count // len(seconds)})",
        "speed": f"{job.schedule.images_shown(job.steps) / total:.1f} images/s",
        "total time": f"{callbacks.duration(total)} for {job.steps} steps",
        "peak memory": "unknown" if peak is None else f"{peak / 2**30:.2f} GiB",
    }
    return console.facts(rows)


def _plain_config(optimizer) -> dict[str, Any]:
    config = json.loads(json.dumps(optimizer.get_config(), default=str))
    settings = {k: v for k, v in config.items() if v not in (None, False) and k not in ("name", "ema_momentum")}
    return {"class": type(optimizer).__name__, **settings}
