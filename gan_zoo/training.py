"""From a configuration to a trained, exported model: what `train.py` runs."""

import contextlib
from pathlib import Path

from gan_zoo import checks, job_report, workers
from gan_zoo.config import Config
from gan_zoo.errors import NotWritten
from gan_zoo.job import Job
from gan_zoo.run_folders import check_run_folder
from gan_zoo.runs import check_run, clear_leftovers, hold, open_run

__all__ = ["Config", "Job", "dry_run", "run"]


def run(config: Config) -> Path | None:
    """Trains, or continues to train, what `config` describes; returns the SavedModel's folder.

    Of several workers only the chief returns one; the others return None.

    Raises:
        UserError: If the configuration cannot be used.
        Interrupted: If a signal ended training before the last step. The same configuration continues it.
        NonFiniteLoss: If training diverged. The last good checkpoint stays.
        NotWritten: If a file cannot be written, say because the disk is full. The last checkpoint stays.
        WorkerLost: If another worker has gone. The last checkpoint stays.
    """
    run_dir = _run_dir(config)
    with _noticing(config):
        job = Job(config)
        if job.is_chief:
            check_run(run_dir, job_report.settings(job, run_dir, job.found))
        job.schedule.check(job.schedule.source)
        if not job.is_chief:
            return job.train(run_dir)
        settings = job_report.settings(job, run_dir)
        # The process that a restarted one follows may be on a machine that died: its lock on a file server outlives it.
        check_run_folder(run_dir)
        with hold(run_dir, wait=120 if job.cluster else 0):
            clear_leftovers(run_dir)
            open_run(run_dir, settings)
            try:
                return job.train(run_dir)
            except OSError as error:
                from gan_zoo.trainer import last_checkpoint

                what = f"{error.filename or run_dir}: {error.strerror or error}"
                raise NotWritten(
                    f"{what}. Training has stopped; {last_checkpoint(run_dir)}. Once that is put right, the same "
                    f"command goes on from there."
                ) from error


def _run_dir(config: Config) -> Path:
    """The run folder; that of a single process is looked at now, before data are decoded.

    Raises:
        UserError: If it cannot be one, or holds something else.
    """
    name = config.run_dir or f"runs/{config.model.replace(':', '.')}-{_plain(config.dataset)}"
    run_dir = checks.path("--run_dir", name)
    if config.strategy != "multi_worker":  # of several workers the chief alone writes
        check_run_folder(run_dir)
    return run_dir


def dry_run(config: Config) -> str:
    """A description of a run, and the speed of a few of its steps; writes nothing to the run folder.

    Raises:
        UserError: If it cannot be used.
        WorkerLost: If another worker has gone.
    """
    with _noticing(config):
        return job_report.dry_run(Job(config))


def _noticing(config: Config):
    return workers.noticing_losses() if config.strategy == "multi_worker" else contextlib.nullcontext()


def _plain(dataset: str) -> str:
    """A dataset's name as part of a folder's, of which file systems take 255 bytes."""
    plain = "".join(c if c.isalnum() or c in "_-." else "-" for c in dataset.removeprefix("folder:").strip("/"))
    return plain[-50:]
