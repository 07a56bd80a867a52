"""Trains and exports a model from a configuration. `train.py` calls this module."""

import contextlib
from pathlib import Path

from gan_zoo.replicas import workers
from gan_zoo.run_folder.ownership import check_run_folder, clear_leftovers, hold
from gan_zoo.run_folder.run_json import check_run, open_run
from gan_zoo.training import job_report
from gan_zoo.training.config import Config
from gan_zoo.training.job import Job
from gan_zoo.training.trainer import Trainer, last_checkpoint
from gan_zoo.util import checks
from gan_zoo.util.errors import NotWritten

__all__ = ["Config", "Job", "dry_run", "run"]


def run(config: Config) -> Path | None:
    """Trains the model of `config`, or continues its training. Returns the folder of the SavedModel.

    Of several workers only the chief returns a folder; the others return None.

    Raises:
        UserError: If the configuration is not valid.
        Interrupted: If a signal ended training before the last step. The same configuration continues it.
        NonFiniteLoss: If training diverged. The last good checkpoint is kept.
        NotWritten: If a file cannot be written, for example because the disk is full. The last checkpoint is kept.
        WorkerLost: If another worker was lost. The last checkpoint is kept.
    """
    run_dir = _run_dir(config)
    with _detect_lost_workers(config):
        job = Job(config)
        if job.is_chief:
            check_run(run_dir, job_report.settings(job, run_dir, job.found))
        job.schedule.check(job.schedule.source)
        if job.evaluation:
            job.evaluation.check()
        if not job.is_chief:
            return Trainer(job, run_dir).train()
        settings = job_report.settings(job, run_dir)
        # The previous process of a restarted job may be on a machine that failed: a lock on a file server outlives it.
        check_run_folder(run_dir)
        with hold(run_dir, wait=120 if job.cluster else 0):
            clear_leftovers(run_dir)
            open_run(run_dir, settings)
            try:
                return Trainer(job, run_dir).train()
            except OSError as error:
                what = f"{error.filename or run_dir}: {error.strerror or error}"
                raise NotWritten(
                    f"{what}. Training has stopped; {last_checkpoint(run_dir)}. When the problem is solved, the same "
                    f"command continues from there."
                ) from error


def _run_dir(config: Config) -> Path:
    """Returns the run folder. For a single process it is checked here, before data are decoded.

    Raises:
        UserError: If the path is not valid, or the folder holds something else.
    """
    name = config.run_dir or f"runs/{config.model.replace(':', '.')}-{_plain(config.dataset)}"
    run_dir = checks.path("--run_dir", name)
    if config.strategy != "multi_worker":  # of several workers only the chief writes
        check_run_folder(run_dir)
    return run_dir


def dry_run(config: Config) -> str:
    """Describes a run and measures the speed of a few of its steps. Writes nothing to the run folder.

    Raises:
        UserError: If the configuration is not valid.
        WorkerLost: If another worker was lost.
    """
    with _detect_lost_workers(config):
        job = Job(config)
        if job.evaluation:
            job.evaluation.check()
        return job_report.dry_run(job)


def _detect_lost_workers(config: Config):
    return workers.detect_lost_workers() if config.strategy == "multi_worker" else contextlib.nullcontext()


def _plain(dataset: str) -> str:
    """Returns the name of a dataset as part of a folder name, which file systems limit to 255 bytes."""
    plain = "".join(c if c.isalnum() or c in "_-." else "-" for c in dataset.removeprefix("folder:").strip("/"))
    return plain[-50:]
