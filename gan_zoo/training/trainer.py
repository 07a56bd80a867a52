"""Trains a job in its run folder, from the newest checkpoint to the last step."""

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from gan_zoo.replicas import workers
from gan_zoo.training import job_report
from gan_zoo.training.config import average
from gan_zoo.util.console import say
from gan_zoo.util.errors import Interrupted, NonFiniteLoss, Stopped, UserError

if TYPE_CHECKING:
    from gan_zoo.training.job import Job

_RESTORES = 5
"""Number of times that a diverged run returns to its last good state, with half the learning rates each time."""

_log = logging.getLogger("gan_zoo")


class Trainer:
    """Trains a job, saves checkpoints, logs and pictures, and exports the model at the end.

    Of several workers only the chief reads and writes the run folder. The others receive its state.

    Args:
        job: The job.
        run_dir: The run folder.
    """

    def __init__(self, job: "Job", run_dir: Path):
        from gan_zoo import callbacks

        self.job, self.config, self.gan, self.run_dir = job, job.config, job.gan, run_dir
        self.ema = callbacks.GeneratorEMA(**average(self.config), images=job.schedule.images_averaged)
        self.workers = workers.Communication(job.strategy)

    def train(self) -> Path | None:
        """Trains from the newest checkpoint, if there is one, to the last step. Returns the folder of the SavedModel.

        Workers other than the chief return None.

        Raises:
            Interrupted: If a signal ended training before the last step.
            NonFiniteLoss: If training diverged.
            UserError: If other workers have other data or settings.
        """
        with self.job.global_settings("training"):
            return self._train()

    def _train(self) -> Path | None:
        from gan_zoo import callbacks
        from gan_zoo.run_folder import checkpoints, loss_curves
        from gan_zoo.run_folder.tensorboard import Events

        chief, run_dir = self.job.is_chief, self.run_dir
        self._compare()
        self.ema.set_model(self.gan)
        step = checkpoints.restore(run_dir / "checkpoints", self.gan, self.ema.average) if chief else 0
        step = self._share(step)
        say(job_report.describe(self.job))
        if step:
            say(f"continuing {run_dir} from step {step}")
        interrupted = callbacks.StopOnSignal(self.workers.any)
        events = Events(run_dir / "events") if chief else None
        with interrupted.listening():
            for restores_left in reversed(range(_RESTORES + 1 if self.config.on_nan == "restore" else 1)):
                try:
                    self._fit(step, interrupted, events)
                    break
                except (NonFiniteLoss, FloatingPointError) as error:
                    step = self._after_divergence(error, restores_left)
            if chief and (run_dir / "metrics.jsonl").exists():
                loss_curves.plot(run_dir / "metrics.jsonl", run_dir / "curves.png")
            if interrupted.stopping:
                what = f"saved {run_dir}" if chief else "stopped"
                raise Interrupted(
                    f"{interrupted.reason}: {what} at step {self.ema.step}; the same command continues it",
                    interrupted.signal,
                )
            return self._export() if chief else None

    def _export(self) -> Path:
        from gan_zoo.callbacks import evaluate
        from gan_zoo.export import saved_model
        from gan_zoo.run_folder import checkpoints, page

        run_dir, step = self.run_dir, self.ema.step
        path = run_dir / "saved_model"
        if self.config.export == "best":
            best = evaluate.read_best(run_dir / "best")
            if best is None:
                _log.warning("--export=best: no step was evaluated, so step %d, the last one, is exported.", step)
            else:
                step = best["step"]
                self.ema.average.load_weights(run_dir / "best" / f"{step:08d}" / checkpoints.EMA)
        try:
            metadata = saved_model.run_metadata(job_report.settings(self.job, run_dir), step)
            saved_model.export(self.ema.averaged_model, path, metadata=metadata)
        except UserError as error:
            if isinstance(error.__cause__, OSError):  # not bad input, but for example a full disk
                raise error.__cause__ from None
            raise
        say(f"samples  {run_dir / 'samples'}\ncurves   {run_dir / 'curves.png'}\nmodel    {path}")
        say(f"page     {page.write(run_dir)}")
        return path

    def _compare(self) -> None:
        """Checks that all workers found the same data and resolved "auto" to the same settings.

        Raises:
            UserError: If they did not.
        """
        if self.job.cluster is None:
            return
        job = self.job
        found = [job_report.describe_data(job), job.schedule.source.checksum()]
        resolved = [job.precision, job.network, job.execution, job.steps]
        for flag, value in (("--dataset", found), ("--precision", resolved)):
            mine = int(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:15], 16)
            differs = self.workers.of_chief(mine) != mine
            if self.workers.any(differs):
                which = "this worker differs from worker 0" if differs else "another worker differs from worker 0"
                what = "data" if flag == "--dataset" else "arithmetic, network and steps"
                raise UserError(f"{flag}: all workers need the same {what}, but {which}: make them equal.")

    def _share(self, step: int) -> int:
        """Sends the chief's state to all workers, and returns its step."""
        owners = [self.gan, *self.gan.optimizers().values(), self.ema.average]
        self.workers.share([variable for owner in owners for variable in owner.variables])
        return self.workers.of_chief(step)

    def _fit(self, step: int, interrupted, events) -> None:
        """Trains from `step` to the last step, or until `interrupted`. Only a process with `events` writes files."""
        from gan_zoo import callbacks
        from gan_zoo.callbacks.health import Health, mode_target

        config, gan, ema, run_dir = self.config, self.gan, self.ema, self.run_dir
        job, schedule = self.job, self.job.schedule
        ema.step = step
        # The order matters: a non-finite state must not be averaged, shown or saved.
        watchers = [interrupted, callbacks.StopOnNonFinite(step), ema]
        if schedule.growth:
            watchers.append(callbacks.Grow(schedule.growth, ema, step))
        log = None
        if events:
            log = callbacks.MetricsLog(run_dir / "metrics.jsonl", schedule.images_shown, config.log_every, events, step)
        modes = mode_target(config.dataset, schedule.source.shape)
        watchers.append(
            Health(
                schedule.real_examples,
                config.health_every,
                log,
                modes,
                config.seed,
                step=step,
                warns=bool(events),
                held_out=job.held_out and job.held_out.real_examples,
            )
        )
        if job.evaluation and events:
            watchers.append(
                callbacks.Evaluate(
                    job.evaluation.measure,
                    job.evaluation.primary,
                    job.evaluation.better,
                    protocol=job.evaluation.protocol,
                    folder=run_dir / "best",
                    every=config.evaluate_every,
                    ema=ema,
                    log=log,
                    step=step,
                    last=job.steps,
                )
            )
        if events:
            watchers += [
                log,
                callbacks.SampleGrid(
                    run_dir / "samples",
                    config.sample_every,
                    ema,
                    seed=config.seed,
                    real=schedule.real_points() if job.points else None,
                    events=events,
                    step=step,
                ),
            ]
        checkpoints = run_dir / "checkpoints" if events else None
        watchers.append(callbacks.Checkpoint(checkpoints, config.checkpoint_every, config.keep_checkpoints, ema, step))
        if events:
            watchers.append(callbacks.Progress(job.steps, schedule.images_shown, step=step))
        while step < job.steps and not interrupted.stopping:
            end = schedule.phase_end(step)
            # A run that is extended may have stopped between two multiples of the new number.
            gan.steps_per_execution = math.gcd(job.execution, end - step)
            gan.fit(schedule.dataset(step), steps_per_epoch=end - step, verbose=0, callbacks=watchers)
            if ema.step != end and not interrupted.stopping:  # Keras treats some errors as the end of the data
                raise Stopped(f"Training ended at step {ema.step} instead of {end}; {last_checkpoint(run_dir)}.")
            step = end

    def _after_divergence(self, error: Exception, restores_left: int) -> int:
        """Restores the last good state with half the learning rates and returns its step, or raises the error.

        Raises:
            NonFiniteLoss: If restoring is not requested, there is no such state, or no restores are left.
        """
        from gan_zoo.run_folder import checkpoints
        from gan_zoo.schedules import learning_rates

        folder, chief = self.run_dir / "checkpoints", self.job.is_chief
        if not restores_left or not self.workers.of_chief(bool(checkpoints.list_checkpoints(folder))):
            advice = "A lower --learning_rate often helps; --on_nan=restore lowers it automatically."
            if self.config.on_nan == "restore" and not restores_left:
                advice = f"Halving the learning rates {_RESTORES} times has not helped: check the model and its data."
            state = last_checkpoint(self.run_dir) if chief else "worker 0 has the checkpoints"
            raise NonFiniteLoss(f"Training diverged: {error}; {state}. {advice}") from None
        named = self.gan.optimizers()
        optimizers = [*named.values()]
        # Checkpoints also hold learning rates, which may be from before an earlier divergence.
        rates = [learning_rates.current_rate(optimizer) for optimizer in optimizers]
        step = self._share(checkpoints.restore(folder, self.gan, self.ema.average) if chief else 0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            if not learning_rates.has_schedule(optimizer):
                learning_rates.set_rate(optimizer, rate, "--on_nan=restore")
            learning_rates.scale_rate(optimizer, 0.5)
        if any(map(learning_rates.has_schedule, optimizers)):
            self.gan.make_train_function(force=True)  # schedules are part of the graph
        _log.warning(
            "Training diverged: %s. It continues from step %d with half the learning rates: %s.",
            error,
            step,
            ", ".join(f"{learning_rates.current_rate(optimizer):g} ({name})" for name, optimizer in named.items()),
        )
        return step


def last_checkpoint(run_dir: Path) -> str:
    """Describes the newest checkpoint of a run folder in a few words."""
    from gan_zoo.run_folder.checkpoints import list_checkpoints

    found = list_checkpoints(run_dir / "checkpoints")
    return f"the last good checkpoint is {found[-1]}" if found else "no checkpoint was written"
