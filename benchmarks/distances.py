"""Measures the metrics of images: seconds, the median of three rounds.

    python benchmarks/distances.py

The features are random numbers with the sizes of the published protocols: 50,000 of Inception's 2048 features, and
10,000 of the 1280 features of EfficientNet-Lite0. Without --large they take 1 GB of memory, and with it (the published
16,384 images for patches) 4 GB. Other busy processes make all numbers larger: the last column is the time on the
processor, summed over the threads.
"""

import platform
import statistics
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from gan_zoo import metrics
from gan_zoo.metrics.threads import WORKERS

ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)
LARGE = flags.DEFINE_bool("large", False, "Whether to measure patches with 16,384 images instead of 2048.")


def processor() -> str:
    """Returns the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def seconds(function, rounds: int) -> tuple[float, float]:
    """Returns the medians of the elapsed time and of the processor's time."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        function()
        found.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return tuple(statistics.median(column) for column in zip(*found, strict=True))


def features(n: int, dim: int, seed: int) -> np.ndarray:
    """Returns features that are not negative and have a spectrum that decays, float32 [n, dim]."""
    rng = np.random.default_rng(seed)
    scales = np.exp(-np.linspace(0, 3, dim)).astype(np.float32)
    mixing = np.random.default_rng(0).normal(size=(dim, dim)).astype(np.float32) / dim**0.5
    x = rng.normal(size=(n, dim)).astype(np.float32) * scales @ mixing
    return np.maximum(x + 0.3, 0)


def published_sizes() -> dict:
    """Returns {name: function} for 50,000 features of Inception."""
    real, fake = (features(50_000, 2048, seed) for seed in (1, 2))
    truth, other = (metrics.Moments(2048).update(x) for x in (real, fake))
    reference = metrics.FrechetReference(truth.mean, truth.covariance)
    return {
        "Moments, 50,000 x 2048": lambda: metrics.Moments(2048).update(fake),
        "Reference of the Fréchet distance, 2048": lambda: metrics.FrechetReference(truth.mean, truth.covariance),
        "Fréchet distance to it": lambda: reference.distance(other.mean, other.covariance),
        "Kernel distance, 100 subsets of 1000 of 50,000": lambda: metrics.kernel_distance(real, fake),
        "Inception Score, 50,000 x 1008": lambda: metrics.inception_score(fake[:, :1008]),
    }


def neighbours() -> dict:
    """Returns {name: function} for all pairs of 10,000 features of EfficientNet-Lite0."""
    real, fake = (features(10_000, 1280, seed) for seed in (1, 2))
    return {
        "Precision and recall, 10,000 x 1280": lambda: metrics.precision_recall(real, fake),
        "Density and coverage, 10,000 x 1280": lambda: metrics.density_coverage(real, fake),
        "The 5 nearest of 10,000 for 1000, 1280": lambda: metrics.nearest(real, fake[:1000], k=5),
        "Unbiased kernel distance, 10,000 x 1280": lambda: metrics.unbiased_kernel_distance(real, fake),
    }


def pixels() -> dict:
    """Returns {name: function} for images."""
    count = 16_384 if LARGE.value else 2048
    rng = np.random.default_rng(0)
    real, fake = (rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8) for _ in range(2))
    return {
        f"Sliced Wasserstein, {count:,} x 32 x 32 x 3": lambda: metrics.laplacian_sliced_wasserstein(real, fake),
        "MS-SSIM of 10,000 pairs, 32 x 32 x 3": lambda: metrics.ms_ssim_diversity(fake),
    }


def main(_) -> None:
    print(f"{processor()}, {WORKERS} threads\n\n| metric | seconds | on the processor |\n|---|---|---|")
    for group in (published_sizes, neighbours, pixels):
        for name, function in group().items():
            elapsed, busy = seconds(function, ROUNDS.value)
            print(f"| {name} | {elapsed:.2f} | {busy:.2f} |", flush=True)


if __name__ == "__main__":
    app.run(main)
