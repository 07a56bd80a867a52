"""Pictures of samples: grids of images, plots of points in any dimension, and PNG files that are written atomically.

This module uses only NumPy, Pillow and Matplotlib, so that callbacks and tools can use it without TensorFlow.
"""

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.util.class_names import shown_classes
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_TILE = 64
"""Side in pixels to which smaller images in a grid are magnified, approximately."""
_BINS = 100
_IMAGES, _IN_A_ROW, _POINTS = 16, 8, 1000
"""Default numbers of samples in the picture of a model: of images, of images of each class, and of points."""


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts images in [-1, 1], of any shape, to uint8: round((x + 1) * 127.5), half to even, clipped to [0, 255].

    NaN, which a diverged network returns, becomes 0.
    """
    levels = np.rint((np.asarray(images, np.float32) + np.float32(1)) * np.float32(127.5))
    return np.clip(np.nan_to_num(levels, nan=0.0), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None, *, pad: int = 2, scale: int | None = None) -> np.ndarray:
    """Returns one picture of N images, row by row, on a white background.

    Args:
        images: [N, H, W, C] with C 1 or 3: uint8, or floats in [-1, 1].
        columns: Images in a row, at most N. By default the grid is as square as possible.
        pad: Pixels between images and around the grid.
        scale: Integer factor by which images are magnified (nearest neighbour). By default images of less than 64
            pixels are magnified to about 64, so that an 8 x 8 digit is visible.

    Returns:
        uint8, [rows * (H * scale + pad) + pad, columns * (W * scale + pad) + pad, C].

    Raises:
        UserError: If `images` is empty, `columns` or `scale` is less than 1, or `pad` is negative.
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
    """Returns a picture of points in the plane.

    Args:
        points: [N, 2]. Non-finite points are not drawn.
        real: [M, 2], points of the data, drawn in grey below the others.
        limits: The lowest and the highest coordinate shown, on both axes. By default the range of `real`, or of
            `points` without `real`, with a margin. Pictures of one training run should use the same limits.
        size: Side of the picture in pixels.

    Returns:
        uint8, [size, size, 3].

    Raises:
        UserError: If `points` or `real` are not points in the plane.
    """
    clouds = [_finite("points", points)] if real is None else [_finite("real", real), _finite("points", points)]
    low, high = _limits(clouds[0]) if limits is None else limits
    figure, axes = _figure(size, xlim=(low, high), ylim=(low, high), aspect="equal")
    for cloud, colour, label in _labelled(clouds):
        # Points of large sets are drawn smaller, so that density remains visible.
        area = min(20.0, max(2.0, 4000 / max(len(cloud), 1)))
        axes.scatter(*cloud.T, s=area, c=colour, alpha=0.6, linewidths=0, label=label)
    if real is not None:
        for handle in axes.legend(loc="upper right", fontsize=8).legend_handles:
            handle.set_sizes([20.0])
    return _pixels(figure)


def histogram(
    numbers: np.ndarray,
    real: np.ndarray | None = None,
    *,
    limits: tuple[float, float] | None = None,
    size: int = 512,
) -> np.ndarray:
    """Returns a picture of points on the line: their density, in 100 bins.

    Args:
        numbers: [N, 1]. Non-finite numbers are ignored. Numbers outside `limits` are not drawn, but count towards the
            total.
        real: [M, 1], numbers of the data, drawn in grey below the others.
        limits: The lowest and the highest number shown. The default is that of `scatter`.
        size: Side of the picture in pixels.

    Returns:
        uint8, [size, size, 3].

    Raises:
        UserError: If `numbers` or `real` are not points on the line.
    """
    clouds = [_finite("numbers", numbers, 1)]
    if real is not None:
        clouds.insert(0, _finite("real", real, 1))
    low, high = _limits(clouds[0]) if limits is None else limits
    edges = np.linspace(low, high, _BINS + 1)
    figure, axes = _figure(size, xlim=(low, high))
    heights = [np.histogram(c, edges)[0] / (max(len(c), 1) * (edges[1] - edges[0])) for c in clouds]
    # Only the data determine the scale, so that all pictures of one training run have the same scale.
    axes.set_ylim(0, 1.6 * heights[0].max() or 1.0)
    for (_, colour, label), height in zip(_labelled(clouds), heights, strict=True):
        axes.stairs(height, edges, fill=True, color=colour, alpha=0.6, label=label)
    if real is not None:
        axes.legend(loc="upper right", fontsize=8)
    return _pixels(figure)


def project(points: np.ndarray, real: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Projects points of more than two dimensions onto the two directions of largest variance.

    The directions are the first two principal axes of `real`, or of `points` without `real`. The sign of each axis is
    chosen so that its largest component is positive.

    Args:
        points: [N, D]. Non-finite points are removed.
        real: [M, D].

    Returns:
        `points` and `real`, [N, 2] and [M, 2], relative to the mean of the points that determine the axes.

    Raises:
        UserError: If `points` and `real` are not points of one space of two or more dimensions.
    """
    points = np.asarray(points)
    dim = points.shape[1] if points.ndim == 2 else 0
    if dim < 2:
        raise UserError(f"points must be [N, D] with D from 2 up, not of shape {points.shape}.")
    points = _finite("points", points, dim)
    real = None if real is None else _finite("real", real, dim)
    base = points if real is None else real
    if not len(base):
        return points[:, :2], real if real is None else real[:, :2]
    mean, axes = principal_axes(base)
    return (points - mean) @ axes.T, real if real is None else (real - mean) @ axes.T


def principal_axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean of points, [N, D] with N >= 1 and D >= 2, and the two directions of largest variance.

    Returns:
        The mean, [D], and the first two principal axes as rows, [2, D]. The sign of each axis is chosen so that its
        largest component is positive. For a single point they are the axes of the first two coordinates.
    """
    mean = points.mean(axis=0)
    axes = np.linalg.svd(points - mean, full_matrices=False)[2][:2]
    axes = axes if len(axes) == 2 else np.eye(2, points.shape[1])
    return mean, axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, np.newaxis]


def picture(
    samples: np.ndarray,
    *,
    real: np.ndarray | None = None,
    columns: int | None = None,
    limits: tuple[float, float] | None = None,
) -> np.ndarray:
    """Returns the picture that suits the samples: a grid of images, [N, H, W, C], or a plot of points, [N, D].

    Points on the line become a histogram, points in the plane a scatter plot, and points in more dimensions a scatter
    plot of their projection by `project`.

    Args:
        samples: As for `grid`, `scatter`, `histogram` or `project`.
        real: Points of the data, as for these functions. Only for points.
        columns: As for `grid`. Only for images.
        limits: As for `scatter`; in more than two dimensions along the principal axes. Only for points.

    Returns:
        uint8, [H', W', C].

    Raises:
        UserError: If the samples are neither images nor points.
    """
    samples = np.asarray(samples)
    if samples.ndim != 2:
        return grid(samples, columns)
    if samples.shape[1] == 1:
        return histogram(samples, real, limits=limits)
    if samples.shape[1] > 2:
        samples, real = project(samples, real)
    return scatter(samples, real, limits=limits)


def save_png(array: np.ndarray, path: str | Path) -> None:
    """Writes an image, uint8 [H, W], [H, W, 1] or [H, W, 3], as a PNG file, using `atomic_file`."""
    content = png(array)
    with atomic_file(path) as file:
        file.write(content)


def png(array: np.ndarray) -> bytes:
    """Returns an image, as for `save_png`, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    as_image(array).save(buffer, "PNG")
    return buffer.getvalue()


def as_image(array: np.ndarray) -> "Image":
    """Returns an image, as for `save_png`, as an object of Pillow, which notebooks show."""
    from PIL import Image

    array = np.asarray(array)
    return Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array)


def of_model(
    sample: Callable[[int, Any], np.ndarray], shape: Sequence[int], n: int | None, label: Any, classes: int | None
) -> "Image":
    """Returns the picture of a model's samples: see `gan_zoo.GenerativeModel.grid`.

    Args:
        sample: Function of a number of samples and their classes that returns the samples.
        shape: Shape of a sample.
        n: Number of samples; None for the default.
        label: Their class or classes; None for all classes.
        classes: Number of classes; None for a model without labels.
    """
    columns = None
    if n is None and label is None and classes and len(shape) == 3:
        columns, label = _IN_A_ROW, np.repeat(shown_classes(classes), _IN_A_ROW)
        n = len(label)
    if n is None:
        n = _IMAGES if len(shape) == 3 else _POINTS
    return as_image(picture(sample(n, label), columns=columns))


def figure_png(figure: "Figure") -> bytes:
    """Returns a Matplotlib figure as PNG bytes with at most 256 colours, a third of the size of a full-colour file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba()))
    if image.getextrema()[3][0] == 255:
        image = image.convert("RGB").quantize(256)
    else:
        image = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _figure(size: int, **settings):
    # A figure made without pyplot does not affect other users of Matplotlib in the process, and needs no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.08, 0.06, 0.9, 0.92), **settings)
    axes.tick_params(labelsize=8)
    return figure, axes


def _labelled(clouds: list[np.ndarray]) -> list[tuple[np.ndarray, str, str]]:
    """Returns each cloud with its colour and its name in the legend. The last cloud is the samples."""
    return list(zip(clouds, ("#b0b0b0", "#1f5fbf")[-len(clouds) :], ("real", "samples")[-len(clouds) :], strict=True))


def _pixels(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _finite(name: str, points: np.ndarray, dim: int = 2) -> np.ndarray:
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != dim:
        raise UserError(f"{name} must be [N, {dim}] to be drawn, not of shape {points.shape}.")
    return points[np.isfinite(points).all(axis=1)]


def _limits(points: np.ndarray) -> tuple[float, float]:
    """Returns limits that contain all points, with a margin of a tenth."""
    if not len(points):
        return -1.0, 1.0
    low, high = float(points.min()), float(points.max())
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin
