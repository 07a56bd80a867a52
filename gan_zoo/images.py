"""Pictures of samples: grids of images, clouds of points, and PNG files that are never half written.

Everything here is numpy, Pillow and Matplotlib, so that callbacks and tools can use it without TensorFlow.
"""

import contextlib
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gan_zoo.errors import UserError

_TILE = 64
"""Pixels. Grids of smaller images are magnified up to about this side."""


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1], of any shape, as uint8: round((x + 1) * 127.5), half to even, clipped to [0, 255].

    NaN, as a diverged network makes it, becomes 0.
    """
    levels = np.rint((np.asarray(images, np.float32) + np.float32(1)) * np.float32(127.5))
    return np.clip(np.nan_to_num(levels, nan=0.0), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None, *, pad: int = 2, scale: int | None = None) -> np.ndarray:
    """One picture of N images, row by row, on white.

    Args:
        images: [N, H, W, C] with C 1 or 3: uint8, or floats in [-1, 1].
        columns: Images in a row, at most N; by default the grid is as square as can be.
        pad: Pixels between images and around the grid.
        scale: Whole factor by which images are magnified (nearest neighbour). By default images of less than 64
            pixels are brought near 64, so that an 8 x 8 digit can be seen.

    Returns:
        uint8, [rows * (H * scale + pad) + pad, columns * (W * scale + pad) + pad, C].

    Raises:
        UserError: If `images` are none, `columns` or `scale` is less than 1, or `pad` is negative.
    """
    images = np.asarray(images)
    if images.ndim != 4 or not images.size or images.shape[-1] not in (1, 3):
        raise UserError(f"images must be [N, H, W, C] with N from 1 up and C 1 or 3, not of shape {images.shape}.")
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    scale = max(1, _TILE // max(height, width)) if scale is None else scale
    for name, value, least in (("columns", columns, 1), ("scale", scale, 1), ("pad", pad, 0)):
        if value < least:
            raise UserError(f"{name} must be {least} or more, not {value}.")
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    if images.dtype != np.uint8:
        images = to_uint8(images)
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    step_y, step_x = height * scale + pad, width * scale + pad
    picture = np.full((rows * step_y + pad, columns * step_x + pad, channels), 255, np.uint8)
    for k, image in enumerate(images):
        y, x = pad + k // columns * step_y, pad + k % columns * step_x
        picture[y : y + height * scale, x : x + width * scale] = image
    return picture


def scatter(
    points: np.ndarray,
    real: np.ndarray | None = None,
    *,
    limits: tuple[float, float] | None = None,
    size: int = 512,
) -> np.ndarray:
    """A picture of points in the plane.

    Args:
        points: [N, 2]. Points that are not finite are left out.
        real: [M, 2], points of the data, drawn in grey underneath.
        limits: The lowest and the highest coordinate shown, on both axes. By default all of `real`, or of `points`
            where there is no `real`, with a margin; pictures of one training run should share one pair.
        size: Side of the picture in pixels.

    Returns:
        uint8, [size, size, 3].

    Raises:
        UserError: If `points` or `real` are not points in the plane.
    """
    # Figures made without pyplot are seen by no other user of Matplotlib in the process, and need no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    clouds = [_finite("points", points)] if real is None else [_finite("real", real), _finite("points", points)]
    low, high = _limits(clouds[0]) if limits is None else limits
    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.06, 0.9, 0.92), xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.tick_params(labelsize=8)
    colours = ["#1f5fbf"] if real is None else ["#b0b0b0", "#1f5fbf"]
    for cloud, colour, label in zip(clouds, colours, ("real", "samples"), strict=False):
        # Large sets are drawn finer, so that density still shows.
        area = min(20.0, max(2.0, 4000 / max(len(cloud), 1)))
        axes.scatter(*cloud.T, s=area, c=colour, alpha=0.6, linewidths=0, label=label)
    if real is not None:
        for handle in axes.legend(loc="upper right", fontsize=8).legend_handles:
            handle.set_sizes([20.0])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def picture(
    samples: np.ndarray,
    *,
    real: np.ndarray | None = None,
    columns: int | None = None,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """The picture that suits the samples: a grid of images, [N, H, W, C], or a cloud of points, [N, 2].

    Args:
        samples: As for `grid` or `scatter`.
        real: For points, see `scatter`.
        columns: For images, see `grid`.
        limits: For points, see `scatter`.

    Returns:
        uint8, [H', W', C].

    Raises:
        UserError: If the samples are neither images nor points in the plane.
    """
    samples = np.asarray(samples)
    if samples.ndim == 2:
        return scatter(samples, real, limits=limits)
    return grid(samples, columns)


def save_png(array: np.ndarray, path: str | Path) -> None:
    """Writes an image, uint8 [H, W], [H, W, 1] or [H, W, 3], as a PNG file; see `atomic_file`."""
    from PIL import Image

    array = np.asarray(array)
    image = Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)
    with atomic_file(path) as file:
        image.save(file, "PNG")


@contextlib.contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file for writing that takes its name only when it is complete.

    Missing folders are made. When the body raises, what was at `path` before is still there.

    Raises:
        OSError: If the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex[:12]}.partial")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _finite(name: str, points: np.ndarray) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise UserError(f"{name} must be [N, 2] to be drawn, not of shape {points.shape}.")
    return points[np.isfinite(points).all(axis=1)]


def _limits(points: np.ndarray) -> tuple[float, float]:
    """A square that holds all points, with a margin of a tenth."""
    if not len(points):
        return -1.0, 1.0
    low, high = float(points.min()), float(points.max())
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin
