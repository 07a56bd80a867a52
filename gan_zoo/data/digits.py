"""The 1 797 handwritten digits of scikit-learn, 8x8 grey: a dataset that needs no download."""

import numpy as np

from gan_zoo.data.decoding import ImageSet, Record

NAME = "digits"


def find() -> ImageSet:
    """Returns the dataset. scikit-learn's values 0 to 16 become 0 to 255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    return ImageSet(
        name=NAME,
        key={},
        count=len(pixels),
        records=lambda: (
            Record(f"digit {i}", x, int(y)) for i, (x, y) in enumerate(zip(pixels, digits.target, strict=True))
        ),
        channels=lambda: 1,
        native=pixels.shape[1:],
        class_names=tuple(str(c) for c in digits.target_names),
    )
