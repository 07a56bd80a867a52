"""Measures the training speed of the zoo, relative to the machine's limits, plain Keras and PyTorch.

    python benchmarks/throughput.py                       # the zoo and plain Keras
    python benchmarks/throughput.py --vs-torch            # and PyTorch (pip install -e .[benchmarks])
    python benchmarks/throughput.py --limits              # and the machine's limits, and where a step's time goes
    python benchmarks/throughput.py --vs-torch --limits --json=docs/performance.json

Every configuration runs in its own process. The processes take turns, round by round, and a ratio is the median of the
ratios of the rounds. Run nothing else on the machine. `report.py` makes `docs/performance.md` from the JSON file.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import PRECISIONS, ROWS, Row

from gan_zoo.util.versions import cpu_model

HERE = Path(__file__).parent

IN_TORCH = ("dcgan", "wgan_gp")
"""Models that `torch_gans.py` implements."""


class Worker:
    """A process of `worker.py`."""

    def __init__(self, row: Row, engine: str, precision: str, without: tuple[str, ...] = ()):
        self.engine, self.row = engine, row
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        task = {"row": dataclasses.asdict(row), "engine": engine, "precision": precision, "without": without}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.peak_bytes = 0
        self._answer()

    def _answer(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            message = f"{self.engine} on {self.row.name} failed:\n{self.errors.read()[-3000:]}"
            self.close()
            raise RuntimeError(message)
        return json.loads(line)

    def run(self, steps: int) -> float:
        """Runs a round and returns the seconds per step."""
        print(json.dumps({"steps": steps}), file=self.process.stdin, flush=True)
        answer = self._answer()
        self.peak_bytes = answer["peak_bytes"]
        return answer["seconds"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def race(workers: dict[str, Worker], rounds: int, round_seconds: float) -> dict[str, list[float]]:
    """Returns the seconds per step of each worker in each round. Every worker runs about `round_seconds` per round."""
    steps = {}
    for name, worker in workers.items():
        unit = worker.row.steps_per_execution
        worker.run(2 * unit)  # traces and compiles
        steps[name] = max(1, round(round_seconds / worker.run(2 * unit) / unit)) * unit
    seconds = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            seconds[name].append(worker.run(steps[name]))
    return seconds


def summary(name: str, values: list[float]) -> dict[str, float]:
    """Returns the median, under the key `name`, and the quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {name: middle, "low": low, "high": high}


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Returns how many times as fast `fast` is, from the ratios of the rounds."""
    return summary("ratio", [a / b for a, b in zip(slow, fast, strict=True)])


def measure(row: Row, precision: str, args: argparse.Namespace) -> dict:
    """Measures the zoo and the other frameworks on one row."""
    engines = {"zoo": precision}
    if args.vs_torch and row.model in IN_TORCH:
        engines |= {"torch": precision, "torch.compile": precision}
    if row.model == "dcgan" and row.network == "dcgan":
        engines["keras"] = "float32"
    with contextlib.ExitStack() as stack:
        workers = {}
        for engine, its_precision in engines.items():
            workers[engine] = Worker(row, engine, its_precision)
            stack.callback(workers[engine].close)
        seconds = race(workers, args.rounds, args.round_seconds)
    return {
        "row": row.name,
        "images_per_step": row.batch * row.n_critic,
        "precision": precision,
        "engines": {name: summary("seconds", values) for name, values in seconds.items()},
        "ratios": {name: ratio(values, seconds["zoo"]) for name, values in seconds.items() if name != "zoo"},
    }


def machine() -> dict[str, str]:
    versions = {}
    for package in ("tensorflow", "keras", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"cpu": cpu_model(), "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def print_ratio(name: str, value: dict[str, float]) -> None:
    print(f"    {name:<48}{value['ratio']:.2f} [{value['low']:.2f}, {value['high']:.2f}]", flush=True)


def table(results: list[dict], found: list[dict]) -> str:
    """Returns one line for each row and precision: step, ratios, and share of the machine's limit."""
    rivals = ("torch", "torch.compile", "keras")
    lines = [["row", "precision", "step", "images/s", *rivals, "GFLOP", "GFLOP/s", "of limit", "alone", "in products"]]
    limits_of = {(f["row"], f["precision"]): f for f in found}
    for result in results:
        step = result["engines"]["zoo"]["seconds"]
        line = [result["row"], result["precision"], f"{step * 1e3:.4g} ms", f"{result['images_per_step'] / step:.0f}"]
        line += [f"{result['ratios'][name]['ratio']:.2f}" if name in result["ratios"] else "" for name in rivals]
        limit = limits_of.get((result["row"], result["precision"]))
        if limit:
            rate, profile = limit["step_flops"] / limit["profile_step_seconds"], limit["profile_seconds"]
            line += [f"{limit['step_flops'] / 1e9:.4g}", f"{rate / 1e9:.0f}"]
            line += [
                f"{rate / limit['matmul_flops_per_second']:.0%}",
                f"{limit['products_alone_seconds'] * 1e3:.4g} ms",
            ]
            line.append(f"{profile['convolutions and matrix products'] / sum(profile.values()):.0%}")
        lines.append(line + [""] * (len(lines[0]) - len(line)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def limits(row: Row, precision: str) -> dict:
    """Returns the machine's limits and the profile of a step, measured by `limits.py` in a new process."""
    task = json.dumps({"row": dataclasses.asdict(row), "precision": precision})
    done = subprocess.run(
        [sys.executable, str(HERE / "limits.py"), task], capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise RuntimeError(f"limits.py failed on {row.name}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout)


def arguments(description: str, rows: list[Row]) -> argparse.ArgumentParser:
    """Returns a parser with the flags that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(row.name for row in rows), help="which rows, by name")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-seconds", type=float, default=2.0, help="how long a configuration's round lasts")
    parser.add_argument("--json", type=Path, help="where to write the results; those of the same rows are replaced")
    return parser


def chosen(parser: argparse.ArgumentParser, args: argparse.Namespace) -> list[tuple[Row, str]]:
    """Returns the selected rows, each with its precisions."""
    known = {row.name: row for row in ROWS}
    for name in args.rows.split(","):
        if name not in known:
            parser.error(f"--rows: there is no row {name!r}; there are {', '.join(known)}.")
    for precision in args.precisions.split(","):
        if precision not in PRECISIONS:
            parser.error(f"--precisions: {precision!r} is none of {', '.join(PRECISIONS)}.")
    pairs = [(known[name], precision) for name in args.rows.split(",") for precision in args.precisions.split(",")]
    return [(row, p) for row, p in pairs if row.network != "mlp" or p == "float32"]  # points are trained in float32


def record(path: Path | None, kind: str, result: dict) -> None:
    """Writes a result to the file and replaces an older one of the same row and precision."""
    if path is None:
        return
    found = json.loads(path.read_text()).get(kind, []) if path.exists() else []
    kept = [r for r in found if (r["row"], r["precision"]) != (result["row"], result["precision"])]
    write(path, kind, [*kept, {**result, "date": time.strftime("%Y-%m-%d")}])


def write(path: Path, section: str, results) -> None:
    """Writes a section of the file, with the machine it was measured on, and keeps the other sections."""
    found = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, "machine": machine(), section: results}, indent=1) + "\n")


def main() -> None:
    parser = arguments(__doc__, ROWS)
    parser.add_argument("--vs-torch", action="store_true", help="compare with PyTorch, eager and compiled")
    parser.add_argument("--limits", action="store_true", help="measure the machine's limits and profile a step")
    args = parser.parse_args()
    results, found = [], []
    for row, precision in chosen(parser, args):
        results.append(measure(row, precision, args))
        record(args.json, "throughput", results[-1])
        if args.limits:
            found.append(limits(row, precision))
            record(args.json, "limits", found[-1])
        print(f"{row.name}, {precision}: done", file=sys.stderr, flush=True)
    print(table(results, found))


if __name__ == "__main__":
    main()
