"""The datasets the zoo knows settings for."""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Default settings of a dataset.

    Attributes:
        resolution: Side of the training images in pixels. None for points.
        crop: Side in pixels of the centred square that is cut out before resizing. None is the largest square.
        family: Networks that suit the dataset: "dcgan" for images, "mlp" for points.
        description: One line for `--list`.
    """

    resolution: int | None
    crop: int | None
    family: str
    description: str


DATASETS: dict[str, Dataset] = {
    # FID on CelebA depends on the crop: results with different crops cannot be compared. The aligned images are
    # 218 x 178 with the face in the middle. A crop of 160 px keeps the hair and is that of Mescheder et al. (2017).
    # Other papers use 108 px (face only) or 178 px (the largest square).
    "celeb_a": Dataset(64, 160, "dcgan", "202 599 aligned faces, 218x178 colour; centre crop of 160 px"),
    "cifar10": Dataset(32, None, "dcgan", "60 000 photographs in 10 classes, 32x32 colour"),
    "mnist": Dataset(28, None, "dcgan", "70 000 handwritten digits in 10 classes, 28x28 grey"),
    "color_mnist": Dataset(28, None, "dcgan", "three digits of MNIST as red, green and blue: 1 000 classes, 28x28"),
    "fashion_mnist": Dataset(28, None, "dcgan", "70 000 clothes in 10 classes, 28x28 grey"),
    "lsun": Dataset(
        64, None, "dcgan", "scenes and objects, colour, one set per category: lsun/bedroom, lsun/tower, ..."
    ),
    "oxford_flowers102": Dataset(64, None, "dcgan", "8 189 flowers in 102 classes, colour, any size"),
    "digits": Dataset(
        8, None, "dcgan", "1 797 handwritten digits in 10 classes, 8x8 grey; part of scikit-learn, no download"
    ),
    "fashion10k": Dataset(
        28, None, "dcgan", "10 000 clothes of Fashion-MNIST in 10 classes, 28x28 grey; part of gan_zoo, no download"
    ),
    "ring8": Dataset(None, None, "mlp", "8 Gaussians on a circle of radius 2 (synthetic, 2-D)"),
    "grid25": Dataset(None, None, "mlp", "25 Gaussians on a 5 x 5 grid (synthetic, 2-D)"),
    "swiss_roll": Dataset(None, None, "mlp", "a noisy spiral (synthetic, 2-D)"),
    "two_lines": Dataset(None, None, "mlp", "the line x = 0, for a generator on a parallel line (synthetic, 2-D)"),
    "gaussian": Dataset(None, None, "mlp", "one Gaussian around (1, 0) (synthetic, 2-D)"),
    "mixture1d": Dataset(None, None, "mlp", "Gaussians: mixture1d(centres=[-1, 1], std=0.1) (synthetic, 1-D)"),
    "segment": Dataset(None, None, "mlp", "a segment of length 2 (synthetic, 2-D)"),
    "four_lines": Dataset(None, None, "mlp", "four parallel segments (synthetic, 2-D)"),
    "circle": Dataset(None, None, "mlp", "a circle of radius 1 (synthetic, 2-D)"),
    "gaussian_line": Dataset(None, None, "mlp", "a Gaussian on a line through the origin (synthetic, 2-D)"),
    "gaussian_hyperplane": Dataset(
        None, None, "mlp", "a Gaussian on a plane: gaussian_hyperplane(dim=8, rank=2) (synthetic)"
    ),
}
"""Settings by name. Any other TFDS image dataset and any folder of images also works, with the settings of `OTHER`."""

OTHER = Dataset(64, None, "dcgan", "any other TFDS image dataset by its name, or folder:/path for a folder of images")
"""Settings of a dataset that is not in `DATASETS`: the largest centred square, resized to 64 x 64."""


def lookup(name: str) -> Dataset:
    """Returns the settings of a name, of the name without arguments, config and version, or `OTHER`."""
    if name.startswith("folder:"):
        return OTHER
    return DATASETS.get(re.split(r"[(/:]", name)[0].strip(), OTHER)
