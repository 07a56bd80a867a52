"""Measures start-up, the data pipeline, and the accuracy of `--dry_run`.

    python benchmarks/system.py --json=docs/performance.json

Input wait is the time that a step of dcgan-64 waits for its minibatch, by TensorFlow's profiler.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rows import ROWS
from throughput import HERE, limits, write
from worker import image_folder

TRAIN = HERE.parent / "train.py"


def _launch(*flags: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(TRAIN), *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def help_seconds(rounds: int = 5) -> float:
    """Returns the median time of `train.py --help`."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        _launch("--help").communicate()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def first_step_seconds(run_dir: str, folder: Path) -> float:
    """Returns the time from the launch of dcgan at 64 x 64, width and batch 64, to its first step, with cached data."""
    start = time.perf_counter()
    flags = ["--model=dcgan", f"--dataset=folder:{folder}", "--resolution=64", f"--run_dir={run_dir}"]
    with _launch(*flags, "--steps=100000", "--log_every=1") as process:
        for line in process.stdout:
            if line.startswith("step 1/"):
                seconds = time.perf_counter() - start
                process.kill()
                return seconds
    raise RuntimeError("train.py ended before its first step")


def decoding(folder: Path, count: int) -> dict[str, float]:
    """Returns images per second of the first epoch, decoded in parallel, and of the cached pipeline."""
    from gan_zoo import data

    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        source = data.open_source(f"folder:{folder}", cache_dir=cache)
        first = count / (time.perf_counter() - start)
        dataset = iter(source.batches(64, seed=0))
        for _ in range(20):
            next(dataset)
        start = time.perf_counter()
        for _ in range(500):
            next(dataset)
        return {"decoded_per_second": first, "cached_per_second": 500 * 64 / (time.perf_counter() - start)}


def dry_run(model: str, dataset: str, steps: int, *flags: str) -> dict[str, float]:
    """Returns the estimates of `--dry_run` for a run, and the measurements of the run."""
    # Pictures and checkpoints take extra time, which depends on their intervals, so this run writes none.
    common = [f"--model={model}", f"--dataset={dataset}", f"--steps={steps}", *flags]
    common += ["--log_every=20", "--sample_every=0", "--checkpoint_every=0"]
    with tempfile.TemporaryDirectory() as folder:
        common.append(f"--run_dir={folder}/run")
        text = _launch(*common, "--dry_run").communicate()[0]
        milliseconds = float(re.search(r"step time +([\d.]+) ms", text).group(1))
        gibibytes = float(re.search(r"peak memory +([\d.]+) GiB", text).group(1))
        code = (
            "import resource, runpy, sys; sys.argv = sys.argv[1:]\n"
            "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
            "except SystemExit:\n    pass\n"
            "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)\n"
        )
        command = [sys.executable, "-c", code, str(TRAIN), *common]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak = float(re.search(r"^peak ([\d.]+)", done.stdout, re.M).group(1))
        lines = [json.loads(line) for line in Path(f"{folder}/run/metrics.jsonl").read_text().splitlines()]
        first, last = lines[len(lines) // 5], lines[-1]
        real = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return {
        "estimated_step_seconds": milliseconds / 1e3,
        "step_seconds": real,
        "estimated_gibibytes": gibibytes,
        "gibibytes": peak,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the results")
    args = parser.parse_args()
    count = 2000
    folder = image_folder(64, count)
    results = {"date": time.strftime("%Y-%m-%d"), "help_seconds": help_seconds()}
    with tempfile.TemporaryDirectory() as run_dir:
        results["first_step_seconds"] = statistics.median(
            first_step_seconds(f"{run_dir}/{number}", folder) for number in range(3)
        )
    results["data"] = decoding(folder, count)
    dcgan = next(row for row in ROWS if row.name == "dcgan-64")
    profile = limits(dcgan, "mixed_bfloat16")
    results["data"]["input_wait"] = profile["profile_seconds"]["input"] / profile["profile_step_seconds"]
    results["data"]["consumed_per_second"] = dcgan.batch / profile["profile_step_seconds"]
    results["dry_run"] = {
        "dcgan, 64 x 64, width 64": dry_run("dcgan", f"folder:{folder}", 60, "--resolution=64"),
        "wgan_gp, 32 x 32, width 32": dry_run("wgan_gp", f"folder:{folder}", 60, "--resolution=32", "--width=32"),
        "dragan, ring8": dry_run("dragan", "ring8", 10000),
    }
    print(json.dumps(results, indent=1))
    if args.json:
        write(args.json, "system", results)


if __name__ == "__main__":
    main()
