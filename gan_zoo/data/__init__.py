"""Training data: TFDS datasets, folders of images, digits and synthetic points, with one interface for all.

    dataset = gan_zoo.data.load("celeb_a", batch_size=64)            # [64, 64, 64, 3] in [-1, 1], endless
    dataset = gan_zoo.data.load("folder:~/pictures", batch_size=16, resolution=128)
    dataset = gan_zoo.data.load("ring8", batch_size=512, n_critic=5)  # [2560, 2]
    dataset = gan_zoo.data.load("gaussian_hyperplane(dim=16, rank=4)")
    dataset = gan_zoo.data.load("mnist", labels=True)                 # pairs of images and labels, int32 [64] in 0..9
    dataset = gan_zoo.data.load("mnist", labelled=100)                # dictionaries, with labels of 100 images only
    gan_zoo.data.find_source("mnist").classes                         # ("0", ..., "9"), or None without classes

Importing this package does not import TensorFlow.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from gan_zoo.data.cache import MEMORY_LIMIT
from gan_zoo.data.color_mnist import ColorMNISTSource
from gan_zoo.data.decoding import MAX_SKIPPED
from gan_zoo.data.find import find_source, open_source
from gan_zoo.data.sources import Found, ImageSource, PointSource, Source
from gan_zoo.data.table import DATASETS, OTHER, Dataset, lookup
from gan_zoo.util.specs import suggest

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "DATASETS",
    "MAX_SKIPPED",
    "MEMORY_LIMIT",
    "OTHER",
    "ColorMNISTSource",
    "Dataset",
    "Found",
    "ImageSource",
    "PointSource",
    "Source",
    "find_source",
    "load",
    "lookup",
    "open_source",
    "suggest",
]


def load(
    name: str,
    batch_size: int = 64,
    *,
    n_critic: int = 1,
    seed: int = 0,
    split: str = "train",
    data_dir: str | Path | None = None,
    resolution: int | None = None,
    crop: int | None = None,
    labels: bool = False,
    labelled: int | None = None,
    cache_dir: str | Path | None = None,
    memory_limit: int = MEMORY_LIMIT,
    max_skipped: int = MAX_SKIPPED,
    start_step: int = 0,
) -> "tf.data.Dataset":
    """Opens a dataset as an endless stream for `gan.fit`. One element is the data of one training step.

    Element s depends only on the source, the seed and s. An epoch is a permutation of the examples, drawn from the seed
    and the number of the epoch, and cut into complete elements. The few remaining examples are not used until the next
    epoch. Every step gets new synthetic points.

    Args:
        name: See `find_source`, also for `split`, `data_dir`, `resolution`, `crop`, `labels`, `cache_dir`,
            `memory_limit` and `max_skipped`.
        batch_size: See `Source.batches`, also for `n_critic`, `seed`, `labelled` and `start_step`.

    Returns:
        An endless `tf.data.Dataset` of float32 [n_critic * batch_size, H, W, C] in [-1, 1], or of
        [n_critic * batch_size, dim] for synthetic points, which are not rescaled. With labels, of pairs of this and
        int32 [n_critic * batch_size]. With `labelled`, of dictionaries: see `Source.batches`.

    Raises:
        UserError: If the dataset is not available, or an argument is not valid. The message says what to do.
    """
    found = find_source(
        name,
        split=split,
        data_dir=data_dir,
        resolution=resolution,
        crop=crop,
        labels=labels or labelled is not None,
        cache_dir=cache_dir,
        memory_limit=memory_limit,
        max_skipped=max_skipped,
    )
    which = {"n_critic": n_critic, "seed": seed, "labelled": labelled, "start_step": start_step}
    if labels and labelled is not None:
        which["labels"] = True  # which `check` refuses
    found.check(batch_size, **which)
    return found.open().batches(batch_size, **which)
