"""Watches a long run: growth of memory, open files, and repeated traces of the step.

    python benchmarks/soak.py --minutes=30 --model=dcgan --dataset=digits --json=docs/soak.json
    python benchmarks/soak.py --minutes=30 --model=wgan_gp --dataset=ring8 --json=docs/soak.json

Checkpoints, pictures of samples and an evaluation come about once a minute: the exact metrics where the true
distribution is known, otherwise the health check of the players. Memory is the resident set after each minute. Growth
is that of the mean of the last fifth of the run over the mean of the second fifth; the first fifth is the warm-up.
"""

import argparse
import contextlib
import gc
import json
import math
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil

from gan_zoo import metrics
from gan_zoo.callbacks import StepCallback
from gan_zoo.metrics import evaluate
from gan_zoo.training import pipeline
from gan_zoo.training.trainer import Trainer
from gan_zoo.util import versions
from gan_zoo.util.errors import Interrupted, UserError

SAMPLES = 2000
SIZES = {"image": dict(width=16, batch_size=32), "points": dict(width=32, batch_size=64)}


class Watch(StepCallback):
    """Evaluates the model and measures this process at every interval.

    Args:
        every: Steps between measurements.
        seconds: Time after which training ends.
        looks: Number of measurements after which training ends.
        target: The first argument of `metrics.evaluate`, or None.
        step: The step at which training starts.

    Attributes:
        rows: The measurements: "seconds" since the start, "step", "mib" resident, "files" open, "threads", "traces".
    """

    def __init__(self, every: int, seconds: float, looks: float = math.inf, target=None, step: int = 0):
        super().__init__(step)
        self.every, self.seconds, self.looks, self.target, self.rows = every, seconds, looks, target, []
        self._process, self._start = psutil.Process(), time.monotonic()

    def on_step(self, previous, logs):
        if time.monotonic() - self._start > self.seconds or len(self.rows) >= self.looks:
            signal.raise_signal(signal.SIGTERM)  # ends the run in the usual way
            self.seconds = self.looks = math.inf
        if not self.passed(self.every, previous):
            return
        found = {}
        if self.target is not None:
            gan = self.model
            found = evaluate(self.target, gan(gan.sample_latent(SAMPLES, seed=0)).numpy())
        gc.collect()
        self.rows.append(
            {
                "seconds": round(time.monotonic() - self._start, 1),
                "step": self.step,
                "mib": round(self._process.memory_info().rss / 2**20, 2),
                "files": self._process.num_fds(),
                "threads": threading.active_count(),
                "traces": self.traces,
                **{name: round(float(value), 4) for name, value in found.items()},
            }
        )

    traces = 0

    def set_model(self, model):
        super().set_model(model)
        if "train_step" in vars(model):
            return
        step = model.train_step

        def counted(data):
            self.traces += 1
            return step(data)

        model.train_step = counted


def soak(config: pipeline.Config, seconds: float, interval: float = 60.0) -> list[dict]:
    """Trains for about `seconds` in a new folder, and returns the measurements of `Watch`.

    Args:
        config: The configuration. This function sets its intervals, steps and folder.
        seconds: Duration.
        interval: Seconds between checkpoints, pictures, evaluations and measurements.
    """
    probe = pipeline.Job(config)
    every = max(round(interval / _step_seconds(probe) / probe.execution), 1)
    return watch(config, every, probe.execution, seconds=seconds, steps=1000 * max(round(seconds / interval), 1))


def watch(
    config: pipeline.Config,
    every: int,
    chunk: int,
    *,
    seconds: float = math.inf,
    looks: float = math.inf,
    steps: int = 1000,
) -> list[dict]:
    """Trains in a new folder until one of the limits is reached, and returns the measurements of `Watch`.

    Args:
        config: The configuration. This function sets its intervals, steps and folder.
        every: Calls of the graph between checkpoints, pictures, evaluations and measurements.
        chunk: Steps in a call.
        seconds: Longest duration.
        looks: Largest number of measurements.
        steps: Largest number of steps, in units of `every` calls.
    """
    with tempfile.TemporaryDirectory() as folder:
        every *= chunk
        for name in ("sample_every", "checkpoint_every", "health_every"):
            setattr(config, name, every)
        config.log_every = max(every // 10 // chunk, 1) * chunk
        config.steps = steps * every
        config.steps_per_execution = chunk
        config.run_dir = str(Path(folder) / "run")
        job = pipeline.Job(config)
        try:
            target = metrics.target(config.dataset)
        except UserError:
            target = None
        watched, fit = Watch(every, seconds, looks, target), job.gan.fit
        job.gan.fit = lambda *args, callbacks, **kwargs: fit(*args, callbacks=[*callbacks, watched], **kwargs)
        with contextlib.suppress(Interrupted):
            Trainer(job, Path(config.run_dir)).train()
        return watched.rows


def _step_seconds(job: pipeline.Job) -> float:
    """Returns the seconds of one step after the graph is compiled."""
    job.gan.fit(job.schedule.dataset(0), steps_per_epoch=2 * job.execution, verbose=0)
    count = 200 * job.execution
    start = time.perf_counter()
    job.gan.fit(job.schedule.dataset(0), steps_per_epoch=count, verbose=0)
    return (time.perf_counter() - start) / count


def growth(rows: list[dict], name: str = "mib") -> float:
    """Returns the relative growth of the mean of the last fifth of the rows over that of the second fifth."""
    fifth = max(len(rows) // 5, 1)
    first, last = (statistics.fmean(row[name] for row in part) for part in (rows[fifth : 2 * fifth], rows[-fifth:]))
    return last / first - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="dcgan")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--interval", type=float, default=60.0, help="Seconds between checkpoints, at the first speed.")
    parser.add_argument("--json", type=Path, help="Where results are added.")
    values = parser.parse_args()
    kind = "points" if values.dataset in metrics.synthetic.SYNTHETIC else "image"
    config = pipeline.Config(values.model, values.dataset, precision="float32", **SIZES[kind])
    rows = soak(config, 60 * values.minutes, values.interval)
    result = {
        "rows": rows,
        "memory_growth": growth(rows),
        "files": [rows[len(rows) // 5]["files"], rows[-1]["files"]],
        "traces": rows[-1]["traces"],
        "versions": versions.versions(),
        "cpu": versions.cpu_model(),
    }
    first, last = rows[0], rows[-1]
    print(
        f"{values.model} on {values.dataset}: {last['step']} steps in {last['seconds'] / 60:.1f} minutes; memory "
        f"{first['mib']} to {last['mib']} MiB, growth {result['memory_growth']:+.2%}; files {result['files']}; "
        f"traces of the step {result['traces']}"
    )
    if values.json:
        every = json.loads(values.json.read_text()) if values.json.exists() else {}
        every[f"{values.model}-{values.dataset}"] = result
        values.json.parent.mkdir(parents=True, exist_ok=True)
        values.json.write_text(json.dumps(every, indent=1) + "\n")


if __name__ == "__main__":
    main()
