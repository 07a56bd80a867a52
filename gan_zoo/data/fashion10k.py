"""10 000 images of Fashion-MNIST, embedded in the package: a dataset that needs no download.

They are the first 1 000 images of each class of the training split, in TFDS's order, with all their pixels. The file is
a picture of 100 rows with 100 images each; ten rows show one class. Fashion-MNIST is under the MIT licence, Copyright
(c) 2017 Zalando SE: see fashion10k-licence.txt.

References:
    Xiao et al., 2017, https://arxiv.org/abs/1708.07747
    The dataset, https://github.com/zalandoresearch/fashion-mnist
"""

from pathlib import Path

import numpy as np

from gan_zoo.data.decoding import ImageSet, Record

NAME = "fashion10k"
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
SIDE, EACH = 28, 1000


def pixels() -> np.ndarray:
    """Returns the images by class, uint8, [10, 1000, 28, 28]."""
    from PIL import Image

    with Image.open(Path(__file__).with_suffix(".png")) as picture:
        tiles = np.asarray(picture).reshape(10 * len(CLASSES), SIDE, EACH // 10, SIDE)
    return tiles.transpose(0, 2, 1, 3).reshape(len(CLASSES), EACH, SIDE, SIDE)


def find() -> ImageSet:
    """Returns the dataset. The classes alternate, so that every run of images has all of them."""

    def records():
        by_class = pixels()
        for i in range(EACH):
            for label in range(len(CLASSES)):
                yield Record(f"image {i} of {CLASSES[label]}", by_class[label, i], label)

    return ImageSet(
        name=NAME,
        key={},
        count=EACH * len(CLASSES),
        records=records,
        channels=lambda: 1,
        native=(SIDE, SIDE),
        class_names=CLASSES,
    )
