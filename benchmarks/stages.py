"""Draws one picture of a growing run: samples of the same latents at the end of every stage.

    python benchmarks/stages.py --run_dir=runs/progressive_gan-celeb_a --output=stages.png

It combines the sample grids of the run, which has one at the end of each phase.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from gan_zoo.networks.growing import side_of


def stage_ends(run_dir: Path) -> dict[int, int]:
    """Returns for each image side that the run has reached the last step with a sample grid."""
    phases = json.loads((run_dir / "run.json").read_text())["settings"]["growth"]
    written = sorted(int(path.stem.removeprefix("step-")) for path in (run_dir / "samples").glob("step-*.png"))
    ends, start = {}, 0
    for phase in phases:
        start += phase["steps"]
        # The grid at the very end of a stage shows the next stage before its fade-in, which gives the same image.
        last = phase is phases[-1]  # a longer run continues with this phase
        reached = [step for step in written if start - phase["steps"] < step and (step <= start or last)]
        if reached:
            ends[side_of(phase["stage"])] = reached[-1]
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2, help="rows of each grid that are shown")
    args = parser.parse_args()
    ends = stage_ends(args.run_dir)
    bands = []
    for side, step in ends.items():
        grid = np.asarray(Image.open(args.run_dir / "samples" / f"step-{step:08d}.png").convert("RGB"))
        # Grids have 8 x 8 tiles of 64 pixels or more, separated by white lines.
        bands.append(grid[: args.rows * (grid.shape[0] // 8)])
        print(f"{side:>4} pixels  step {step}")
    width = max(band.shape[1] for band in bands)
    gap = np.full((8, width, 3), 255, np.uint8)
    picture = [gap]
    for band in bands:
        picture += [np.pad(band, ((0, 0), (0, width - band.shape[1]), (0, 0)), constant_values=255), gap]
    Image.fromarray(np.concatenate(picture)).save(args.output, optimize=True)


if __name__ == "__main__":
    main()
