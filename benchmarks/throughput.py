"""How fast the zoo trains, beside the machine's limits and, as a ratio, beside Keras as it comes and PyTorch.

    python benchmarks/throughput.py                       # the zoo and naive Keras
    python benchmarks/throughput.py --vs-torch            # and PyTorch (pip install -e .[benchmarks])
    python benchmarks/throughput.py --rows=dcgan-64 --levers   # what each lever is worth
    python benchmarks/throughput.py --vs-torch --levers --profile --json=docs/performance.json

Every configuration runs in a process of its own; the processes take turns, round by round, and a ratio is the median of
the rounds' ratios. Leave the machine alone meanwhile. `report.py` makes `docs/performance.md` from the JSON file.
"""

import argparse
import contextlib
import dataclasses
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from worker import Row

HERE = Path(__file__).parent

ROWS = [
    Row("dcgan-64", "dcgan", (64, 64, 3), batch=64, width=64),
    Row("wgan_gp-64", "wgan_gp", (64, 64, 3), batch=64, width=64),
    Row("wgan_gp-resnet-32", "wgan_gp", (32, 32, 3), batch=64, width=128, network="resnet"),
    Row("dcgan-ring8", "dcgan", (2,), batch=512, width=128, latent_dim=2, network="mlp", steps_per_execution=50),
]
PRECISIONS = ("float32", "mixed_bfloat16")


class Worker:
    """A process of `worker.py`."""

    def __init__(self, row: Row, engine: str, precision: str, without: tuple[str, ...] = ()):
        self.engine, self.without, self.row = engine, without, row
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115: it lives as long as the process
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
            raise RuntimeError(f"{self.engine} on {self.row.name} failed:\n{self.errors.read()[-3000:]}")
        return json.loads(line)

    def run(self, steps: int) -> float:
        """Seconds per step of a round."""
        print(json.dumps({"steps": steps}), file=self.process.stdin, flush=True)
        answer = self._answer()
        self.peak_bytes = answer["peak_bytes"]
        return answer["seconds"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def race(workers: dict[str, Worker], rounds: int, round_seconds: float) -> dict[str, list[float]]:
    """Seconds per step of each worker in each of `rounds` rounds, of about `round_seconds` each, that they take in turn."""
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


def summary(seconds: list[float]) -> dict[str, float]:
    """The median, and the quartiles as the spread."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return {"seconds": middle, "low": low, "high": high}


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How many times as fast `fast` is, by rounds."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return {"ratio": middle, "low": low, "high": high}


def measure(row: Row, precision: str, args: argparse.Namespace) -> dict:
    """The zoo and its rivals on one row."""
    rivals = []
    if args.vs_torch:
        rivals += [("torch", precision, ()), ("torch.compile", precision, ())]
    if row.model == "dcgan" and row.network == "dcgan":
        rivals.append(("keras", "float32", ()))
    with contextlib.ExitStack() as stack:
        workers = {}
        for engine, its_precision, without in [("zoo", precision, ()), *rivals]:
            workers[engine] = Worker(row, engine, its_precision, without)
            stack.callback(workers[engine].close)
        seconds = race(workers, args.rounds, args.round_seconds)
    return {
        "row": dataclasses.asdict(row),
        "precision": precision,
        "engines": {name: summary(values) for name, values in seconds.items()},
        "ratios": {name: ratio(values, seconds["zoo"]) for name, values in seconds.items() if name != "zoo"},
    }


def measure_levers(row: Row, precision: str, args: argparse.Namespace) -> dict:
    """What each lever is worth: the time without it over the time with all."""
    import levers

    with contextlib.ExitStack() as stack:
        workers = {}
        for name in ("", *levers.LEVERS):
            if name == "steps_per_execution" and row.steps_per_execution == 1:
                continue
            if name == "xla" and row.network != "mlp":
                continue
            workers[name] = Worker(row, "zoo", precision, (name,) if name else ())
            stack.callback(workers[name].close)
        seconds = race(workers, args.rounds, args.round_seconds)
    return {
        "row": row.name,
        "precision": precision,
        "levers": {
            levers.LEVERS[name][0]: ratio(values, seconds[""]) for name, values in seconds.items() if name
        },
    }


def machine() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    import importlib.metadata
    import os

    versions = {}
    for package in ("tensorflow", "keras", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), **versions}


def print_row(result: dict) -> None:
    row, zoo = result["row"], result["engines"]["zoo"]
    cells = [f"{row['name']:<18} {result['precision']:<15} {zoo['seconds'] * 1e3:8.1f} ms"]
    cells += [f"{name} {value['ratio']:.2f}x [{value['low']:.2f}, {value['high']:.2f}]" for name, value in result["ratios"].items()]
    print("   ".join(cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(row.name for row in ROWS), help="which rows, by name")
    parser.add_argument("--precisions", default=",".join(PRECISIONS))
    parser.add_argument("--vs-torch", action="store_true", help="compare with PyTorch, eager and compiled")
    parser.add_argument("--levers", action="store_true", help="measure what each lever is worth")
    parser.add_argument("--limits", action="store_true", help="measure the machine's limits and profile a step")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-seconds", type=float, default=4.0, help="how long a configuration's round lasts")
    parser.add_argument("--json", type=Path, help="where to write the results")
    args = parser.parse_args()
    known = {row.name: row for row in ROWS}
    unknown = [name for name in args.rows.split(",") if name not in known]
    if unknown:
        parser.error(f"--rows: there is no row {unknown[0]!r}; there are {', '.join(known)}.")
    results = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "rows": [], "levers": [], "limits": []}
    for name in args.rows.split(","):
        for precision in args.precisions.split(","):
            row = known[name]
            if row.network == "mlp" and precision != "float32":
                continue  # points are trained in float32
            results["rows"].append(measure(row, precision, args))
            print_row(results["rows"][-1])
            if args.levers:
                found = measure_levers(row, precision, args)
                results["levers"].append(found)
                for lever, value in found["levers"].items():
                    print(f"    {lever:<45}{value['ratio']:.2f}x [{value['low']:.2f}, {value['high']:.2f}]", flush=True)
            if args.json:
                args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
