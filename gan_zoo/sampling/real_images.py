"""Real images for a model with an encoder, and pictures of what it makes of them."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from gan_zoo.data import find_source, synthetic
from gan_zoo.sampling.pretrained import Pretrained
from gan_zoo.util import pictures
from gan_zoo.util.class_names import find_labels
from gan_zoo.util.errors import UserError


def choose(
    model: Pretrained,
    data: str,
    count: int,
    seed: int,
    *,
    label: Any = None,
    data_dir: str | Path | None = None,
    split: str = "train",
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns real images of the model's size, and their labels for a model with classes.

    Images are cropped and resized as for training: see `gan_zoo.data.find_source`. The crop of a model's own dataset is
    that of its training.

    Args:
        model: The model.
        data: "folder:PATH" or the name of a dataset of images.
        count: The number of images; all of the dataset if it has fewer.
        seed: Selects the images. Their order is that of the dataset.
        label: The class of all images. None uses those of the dataset.
        data_dir: Folder of TFDS's datasets.
        split: Split of a TFDS dataset.

    Returns:
        Images, float32, [N, H, W, C] in [-1, 1], and labels, int32, [N]; None for a model without labels.

    Raises:
        UserError: If the model has no encoder or does not make square images, if the data are not available or have
            other channels, if a class is not one of the model's, or if a model without labels gets a label.
    """
    model.require_encoder()
    shape = "x".join(map(str, model.metadata["shape"]))
    height, width, channels = model.metadata["shape"] if shape.count("x") == 2 else (0, 0, 0)
    if not height or height != width:
        raise UserError(f"--reconstruct is for models of square images, and {model.path} makes {shape}.")
    if label is not None and model.classes is None:
        raise UserError(f"--label={label}: {model.path} was trained without labels: leave --label out.")
    if synthetic.is_synthetic(data):
        raise UserError(f"--reconstruct={data} has points, and {model.path} makes images of {shape}.")
    by_data = model.classes is not None and label is None
    own = model.metadata.get("data") or {}
    crop = own.get("crop") if own.get("name") == data else None
    found = find_source(data, split=split, data_dir=data_dir, resolution=height, crop=crop, labels=by_data)
    if found.shape[-1] != channels:
        raise UserError(
            f"--reconstruct={data} has images with {found.shape[-1]} channels, and {model.path} makes images of "
            f"{shape}."
        )
    source = found.open()
    count = min(count, source.size)
    (batch,) = source.batches(count, seed=seed % 2**31).take(1).as_numpy_iterator()
    if by_data:
        images, numbers = batch
        names = [source.classes[number] for number in numbers]
        return images, find_labels(names, model.classes, count, f"--reconstruct={data}: the class")
    return batch, None if label is None else find_labels(label, model.classes, count, "--label")


def walks(
    model: Pretrained, images: np.ndarray, labels: np.ndarray | None, steps: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns rows that lead from one real image to another: the first, samples by way of their codes, the last.

    Args:
        model: The model.
        images: Real images, [N, H, W, C]: the ends of the first row, of the second, and so on.
        labels: Their labels, [N], or None. A walk has the label of its first image.
        steps: Number of images in a row, from 4 up.

    Returns:
        Rows, float32, [N // 2, steps, H, W, C], and their labels, [N // 2], or None.

    Raises:
        UserError: If there are fewer than two images.
    """
    if len(images) < 2:
        raise UserError("--interpolate needs two real images or more, and there is only one.")
    rows = []
    for k in range(0, len(images) - 1, 2):
        label = None if labels is None else int(labels[k])
        between = model.interpolate_images(images[k], images[k + 1], steps - 2, label)
        rows.append(np.concatenate([images[k : k + 1], between, images[k + 1 : k + 2]]))
    return np.stack(rows), None if labels is None else labels[: 2 * len(rows) : 2]


def picture(pairs: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Returns a picture in which rows of real images and rows of their reconstructions alternate.

    Args:
        pairs: [N, 2, H, W, C], floats in [-1, 1].
        columns: Images in a row; by default the picture is about square.

    Returns:
        uint8, as for `pictures.grid`.
    """
    columns = min(len(pairs), columns or math.ceil(math.sqrt(2 * len(pairs))))
    blank = np.ones((-len(pairs) % columns, *pairs.shape[1:]), pairs.dtype)  # white
    rows = np.concatenate([pairs, blank]).reshape(-1, columns, *pairs.shape[1:]).swapaxes(1, 2)
    return pictures.grid(rows.reshape(-1, *pairs.shape[2:]), columns)
