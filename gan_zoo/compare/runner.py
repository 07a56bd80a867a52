"""Distributes the runs of a comparison to worker processes, and collects their results for the report."""

import dataclasses
import json
import os
import queue
import re
import shlex
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gan_zoo import data
from gan_zoo.compare import page, report
from gan_zoo.compare.measuring import measuring_of
from gan_zoo.compare.settings import Settings
from gan_zoo.evaluate import Evaluation, Protocol
from gan_zoo.registry.variant_lists import Method
from gan_zoo.util import command_line, versions
from gan_zoo.util.class_names import shown_classes
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file

SETTINGS = "compare.json"


class WorkerFailed(RuntimeError):
    """Raised if a run has failed or its process has ended."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of a comparison, and the path of its result."""

    method: Method
    seed: int
    path: Path

    @property
    def result(self) -> dict | None:
        """The result of the run, or None if the run is not done yet. A result file is complete or absent."""
        try:
            return json.loads(self.path.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None


def jobs(methods: Sequence[Method], seeds: Sequence[int], folder: Path) -> list[Job]:
    """Returns all runs, ordered by seed, so that methods can be compared before all runs are done."""
    return [
        Job(method, seed, folder / "runs" / f"{plain(method.name)}-seed{seed}.json")
        for seed in seeds
        for method in methods
    ]


def plain(name: str) -> str:
    """Converts the name of a method or a dataset to a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.=-]+", "_", name)


def open_folder(folder: Path, settings: Settings, protocol: Protocol | None = None) -> None:
    """Creates the folder of a comparison, or checks that the existing one has these settings.

    Args:
        folder: Folder of the comparison.
        settings: Settings of the comparison.
        protocol: Protocol of the metrics of images; None for exact metrics.

    Raises:
        UserError: If it has other settings or another protocol, or cannot be written.
    """
    document = check_folder(folder, settings)
    if document is None:
        document = {"settings": settings.asdict(), **versions.circumstances()}
        if protocol is not None:
            document["protocol"] = dataclasses.asdict(protocol)
    else:
        _check_protocol(folder, document, protocol)
        document["continued"] = [*document.get("continued", []), versions.circumstances()]
    _write(folder / SETTINGS, document)


def check_folder(folder: Path, settings: Settings) -> dict | None:
    """Checks, without writing, whether a comparison with these settings may start or continue in a folder.

    Returns:
        The contents of the folder's `compare.json`, or None for a new comparison.

    Raises:
        UserError: If the folder has other settings or other files.
    """
    path = folder / SETTINGS
    wanted = settings.asdict()
    if path.exists():
        try:
            document = json.loads(path.read_text("utf-8"))
            there = document["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"{path} cannot be read: repair it, or give another --output.") from None
        names = sorted(n for n in {*there, *wanted} - {"data_dir"} if there.get(n) != wanted.get(n))
        if names:
            pairs = ", ".join(f"{n} ({there.get(n)!r}, now {wanted.get(n)!r})" for n in names)
            raise UserError(
                f"{folder} holds a comparison with other settings: {pairs}. Give another --output, or use the old "
                f"settings."
            )
        return document
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds other files" if folder.is_dir() else "is a file"
        raise UserError(f"--output={folder} {what}: name a new or an empty folder.")
    return None


def _check_protocol(folder: Path, document: dict, protocol: Protocol | None) -> None:
    """Checks that new numbers can be in one table with those in a folder.

    Raises:
        UserError: If their protocols differ.
    """
    if protocol is None:
        return
    try:
        there = Protocol(**document["protocol"])
        old, new = ({part[0]: part[1:] for part in (*p.key(), *p.metrics.items())} for p in (there, protocol))
    except (KeyError, TypeError):
        raise UserError(f"{folder / SETTINGS} has no valid protocol: repair it, or give another --output.") from None
    parts = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if parts:
        raise UserError(
            f"{folder} holds a comparison by another protocol: its {' and its '.join(parts)} differ from now. Give "
            f"another --output. It holds: {there.line()}. Now: {protocol.line()}."
        )


def _write(path: Path, document: dict) -> None:
    try:
        with atomic_file(path) as file:
            file.write(json.dumps(document, indent=1).encode() + b"\n")
    except OSError as error:
        raise UserError(f"--output={path.parent} cannot be written: {error.strerror or error}.") from None


def work(
    todo: Sequence[Job],
    settings: Settings,
    folder: Path,
    workers: int,
    progress: Callable[[Job, int, bool], None] = lambda job, step, done: None,
) -> None:
    """Does the runs, at most `workers` at the same time.

    Args:
        todo: The runs.
        settings: Settings of the comparison.
        folder: Folder of the comparison. The workers' log files are also there.
        workers: Number of processes at the same time. They share the machine's cores evenly.
        progress: Function that is called in this thread with a run, its step, and whether the run is done.

    Raises:
        WorkerFailed: If a run fails. The other workers are stopped, and finished results are kept.
    """
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in todo:
        waiting.put(job)
    news: queue.SimpleQueue[tuple] = queue.SimpleQueue()
    workers = min(workers, len(todo))
    processes = [_start(folder / f"worker-{k}.log", workers) for k in range(workers)]
    for process in processes:
        threading.Thread(target=_feed, args=(process, waiting, news, settings), daemon=True).start()
    try:
        left = len(todo)
        while left:
            job, answer = news.get()
            if "step" in answer:
                progress(job, answer["step"], False)
            elif "done" in answer:
                left -= 1
                progress(job, settings.steps, True)
            else:
                log = folder / f"worker-{processes.index(answer['process'])}.log"
                raise WorkerFailed(f"{job.method.name} with seed {job.seed}: {answer['error']}; see {log}")
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def _start(log: Path, workers: int) -> subprocess.Popen:
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
    }
    with log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "gan_zoo.compare.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            text=True,
            encoding="utf-8",
        )


def _feed(process, waiting, news, settings: Settings) -> None:
    """Sends jobs to a worker, one after the other, and puts its answers into the queue `news`."""
    while not waiting.empty():
        try:
            job = waiting.get_nowait()
        except queue.Empty:
            return
        order = {
            "settings": settings.asdict(),
            "method": dataclasses.asdict(job.method),
            "seed": job.seed,
            "path": str(job.path),
        }
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                news.put((job, {**answer, "process": process}))
                if "step" not in answer:
                    break
            else:
                raise BrokenPipeError
        except (OSError, ValueError, TypeError) as error:
            reason = "its process ended" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            news.put((job, {"error": reason, "process": process}))
            return


def describe(settings: Settings, method: Method, shape: tuple[int, ...]) -> dict[str, Any]:
    """Builds a method and returns what the report says about it.

    Raises:
        UserError: If it cannot be built for examples of this shape.
    """
    from gan_zoo.gan import GAN
    from gan_zoo.models import PAPERS

    gan = settings.build(method, shape, 0)
    # The variant's own arguments, and other arguments that were given.
    common = {*GAN.argument_names(), *gan.networks()}
    own = [name for name in gan.argument_names() if name not in common or name in method.arguments]
    return {
        "name": method.name,
        "model": method.model,
        "paper": PAPERS.get(method.model, "a class of the user's own"),
        "arguments": {name: getattr(gan, name) for name in own},
        "n_critic": gan.minibatches_per_step,
        "optimizer": _optimizer_text(gan),
    }


def collect(
    wanted: Sequence[Job],
    settings: Settings,
    source: data.Source,
    described: Sequence[dict],
    folder: Path,
    trial: Evaluation | None = None,
) -> dict[str, Any]:
    """Returns the argument of `report.write`: the results of the finished runs, and everything that they share.

    Args:
        wanted: The runs.
        settings: Settings of the comparison.
        source: The data of the comparison.
        described: The methods, see `describe`.
        folder: Folder of the comparison.
        trial: The result of `ImageMetrics.trial` in `gan_zoo.compare.measuring`; None for exact metrics.
    """
    document = json.loads((folder / SETTINGS).read_text("utf-8"))
    latest = [document, *document.get("continued", [])][-1]
    found = [result for job in wanted if (result := job.result) is not None]
    measuring = measuring_of(settings)
    shown = measuring.describe({name for result in found for row in result["curve"] for name in row})
    seconds = _time_budget(settings, found)
    for result in found:
        # A run that diverges after the budget keeps its values: the machine decides how long a run continues after it.
        at_steps = [row for row in result["curve"] if row["step"] == settings.steps]
        result["at_steps"] = at_steps[0] if at_steps else None
        in_time = [row for row in result["curve"] if seconds is not None and row["seconds"] <= seconds]
        lived = result["status"] == "done" or result["seconds"] >= (seconds or 0.0)
        result["at_seconds"] = in_time[-1] if lived and in_time else None
    key = measuring.primary
    return {
        "settings": {
            **settings.asdict(),
            **settings.sizes,
            "evaluate_every": settings.every,
            "seconds": seconds,
            "seeds": len({job.seed for job in wanted}),
        },
        "environment": {
            **latest["versions"],
            "cpu": latest["host"]["cpu"],
            "cores": latest["host"]["cpus"],
            "git": latest["git"],
            "started": document["started"],
            "command": shlex.join(["python", "-m", "gan_zoo.compare", *latest["command"][1:]]),
        },
        "dataset": {
            "name": settings.dataset,
            "description": _description(source),
            "kind": source.kind,
            "shape": list(source.shape),
            "limits": list(measuring.limits) if measuring.limits else None,
            "shown_classes": _shown_classes(source),
        },
        "metrics": shown,
        "primary": key,
        "methods": list(described),
        "runs": found,
        **measuring.reference(source, sorted({job.seed for job in wanted}), trial),
        "tables": {
            "steps": report.ranking(found, described, shown, key, "at_steps"),
            **({"seconds": report.ranking(found, described, shown, key, "at_seconds")} if seconds else {}),
        },
    }


def _description(source: data.Source) -> str:
    known = data.lookup(source.name)
    if known is not data.OTHER:
        return known.description
    return f"{source.size} images of {'x'.join(map(str, source.shape))}"


def _shown_classes(source: data.Source) -> list[str] | None:
    """Returns the names of the classes that have a row in pictures; None without labels."""
    return [source.classes[label] for label in shown_classes(len(source.classes))] if source.labelled else None


def _time_budget(settings: Settings, found: Sequence[dict]) -> float | None:
    """Returns the time budget in seconds; by default the median time of the fastest method for all its steps."""
    if settings.seconds is not None:
        return settings.seconds
    times: dict[str, list[float]] = {}
    for result in found:
        if result["status"] == "done":
            times.setdefault(result["method"], []).append(result["seconds"])
    return min((statistics.median(of) for of in times.values()), default=None)


def _optimizer_text(gan) -> str:
    texts = {}
    for player in gan.players():
        optimizer = gan.optimizer_of(player)
        settings = optimizer.get_config()
        rate = settings["learning_rate"]
        shown = [rate["class_name"] if isinstance(rate, dict) else f"{float(rate):g}"]  # a schedule, or a number
        shown += [f"{n}={settings[n]:g}" for n in ("beta_1", "beta_2", "rho", "momentum") if settings.get(n)]
        label = player.key.upper() if player.key in ("d", "g") else player.name
        texts[label] = f"{type(optimizer).__name__}({', '.join(shown)})"
    if len({*texts.values()}) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{label}: {text}" for label, text in texts.items())


def table_rows(results: dict[str, Any], key: str) -> list[list[str]]:
    """Returns the ranking "steps" or "seconds" as rows of text: the head, the methods, and the data themselves."""
    shown = {metric["name"]: metric for metric in results["metrics"]}
    rows = [["", "method", *(metric["label"] for metric in shown.values()), "diverged", "seconds"]]
    for row in results["tables"][key]:
        cells = [_cell(row[name], metric["digits"]) for name, metric in shown.items()]
        rank = "-" if row["rank"] is None else str(row["rank"])
        rows.append([rank, row["method"], *cells, str(row["diverged"]), _cell(row["seconds"], 1)])
    if not results["reference"]:
        return rows
    reference = [
        _cell(results["reference"][name], metric["digits"]) if name in results["reference"] else "-"
        for name, metric in shown.items()
    ]
    return [*rows, ["", page.reference_name(results), *reference, "", ""]]


def text_table(results: dict[str, Any], key: str) -> str:
    """Returns a ranking as aligned text."""
    return command_line.aligned(table_rows(results, key))


def _cell(value: dict[str, Any], digits: int) -> str:
    return "-" if value["mean"] is None else page.mean_text(value, digits)
