"""Measures how throughput and memory grow with batch size, resolution, width and n_critic.

    python benchmarks/scaling.py --json=docs/performance.json

Each configuration differs in one number from wgan_gp at 32 x 32 with batch 64, width 64 and one critic turn, in the
precision that `--precision=auto` selects. Memory is the peak of the process. The memory of an image is the difference
between two batch sizes.
"""

import argparse
import contextlib
import dataclasses
import statistics
import time
from pathlib import Path

from rows import Row
from throughput import Worker, write

from gan_zoo.nn import precision

BASE = Row("base", "wgan_gp", (32, 32, 3), batch=64, width=64)
AXES = {
    "batch size": [dataclasses.replace(BASE, batch=n) for n in (8, 16, 32, 64, 128, 256)],
    "resolution": [dataclasses.replace(BASE, shape=(n, n, 3)) for n in (16, 32, 64, 128)],
    "width": [dataclasses.replace(BASE, width=n) for n in (16, 32, 64, 128)],
    "n_critic": [dataclasses.replace(BASE, n_critic=n) for n in (1, 2, 5)],
}


def value(axis: str, row: Row) -> int:
    return {"batch size": row.batch, "resolution": row.shape[0], "width": row.width, "n_critic": row.n_critic}[axis]


def measure(row: Row, policy: str, rounds: int) -> dict[str, float]:
    """Returns the median time of a step and the peak of memory, measured in a new process."""
    with contextlib.closing(Worker(row, "zoo", policy)) as worker:
        worker.run(2)
        steps = max(1, round(1.0 / worker.run(2)))
        seconds = statistics.median(worker.run(steps) for _ in range(rounds))
        images = row.batch * row.n_critic
        return {"seconds": seconds, "images_per_second": images / seconds, "peak_bytes": worker.peak_bytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the results")
    args = parser.parse_args()
    policy, reason = precision.resolve("auto", points=False)
    print(f"{policy} ({reason})")
    found, known = {}, {}
    for axis, rows in AXES.items():
        found[axis] = []
        for row in rows:
            key = (row.batch, row.shape, row.width, row.n_critic)
            known[key] = known.get(key) or measure(row, policy, args.rounds)
            found[axis].append({"value": value(axis, row), **known[key]})
            result = known[key]
            print(
                f"{axis:<12}{value(axis, row):>5}{result['seconds'] * 1e3:10.1f} ms"
                f"{result['images_per_second']:10.0f} images/s{result['peak_bytes'] / 2**30:7.2f} GiB",
                flush=True,
            )
    if args.json:
        write(args.json, "scaling", {"date": time.strftime("%Y-%m-%d"), "precision": policy, "axes": found})


if __name__ == "__main__":
    main()
