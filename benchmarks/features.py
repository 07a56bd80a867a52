"""Measures how long the features of 10,000 images take.

    python benchmarks/features.py                                    # EfficientNet-Lite0, images of 32 x 32
    python benchmarks/features.py --features=inception --images=200

Seconds are the median of the rounds, after one call that builds the graph. The time of the processor is that of all
cores together: on a machine that does nothing else, it is at most the number of cores times the seconds.
"""

import argparse
import os
import statistics
import time

import numpy as np

from gan_zoo.evaluate.features import extract, find_features
from gan_zoo.util.versions import cpu_model


def measure(features, images: np.ndarray, batch_size: int) -> tuple[float, float]:
    """Returns the seconds of one pass over the images, and those of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    extract(features, images, batch_size)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", default="efficientnet_lite0", help="Name of the network.")
    parser.add_argument("--resolution", type=int, help="Height and width that EfficientNet-Lite0 sees; 128 by default.")
    parser.add_argument("--images", type=int, default=10_000, help="Number of images in a round.")
    parser.add_argument("--size", type=int, default=32, help="Height and width of the images.")
    parser.add_argument("--batch_size", type=int, default=32, help="Images in one call.")
    parser.add_argument("--rounds", type=int, default=3, help="Number of passes.")
    arguments = parser.parse_args()

    features = find_features(arguments.features, resolution=arguments.resolution)
    shape = (arguments.images, arguments.size, arguments.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    features(images[: arguments.batch_size])
    rounds = [measure(features, images, arguments.batch_size) for _ in range(arguments.rounds)]
    wall, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{cpu_model()}, {os.cpu_count()} cores: {features.title}, {features.preprocessing}")
    print(
        f"{arguments.images:,} images of {arguments.size}x{arguments.size}: {wall:.1f} s, {cpu:.1f} s on the processor"
    )


if __name__ == "__main__":
    main()
