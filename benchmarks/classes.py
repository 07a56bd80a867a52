"""Measures on MNIST how well models sort digits by 100 labels, and without any.

    python benchmarks/classes.py --data_dir=DIR
    python benchmarks/classes.py --data_dir=DIR --models=cat_gan --seeds=1

Every model is trained on the training images and measured on the 10,000 test images, in which no model has seen an
image. The results go to docs/classes.json, and the table is that of docs/classes.md. Each seed has other weights,
another order of the images, and other 100 labelled images, ten of each digit.

    supervised              The classifier of cat_gan, trained on the 100 labelled images alone.
    semi_supervised_gan     100 labels, and all other images without.
    cat_gan                 The same.
    cat_gan_unsupervised    No labels.

The error is the share of test images in a wrong class. Without labels, each category stands for one digit: the
assignment with the fewest errors on the test images, as in the papers.
"""

import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from absl import flags
from scipy.optimize import linear_sum_assignment
from zoo import cell

from gan_zoo import GenerativeModel
from gan_zoo.data import Source, find_source
from gan_zoo.models import CatGAN, SemiSupervisedGAN
from gan_zoo.util import command_line, versions
from gan_zoo.util.files import atomic_file

DOCS = Path(__file__).resolve().parent.parent / "docs"
LABELLED, BATCH, STEPS = 100, 100, 3000
NETWORKS = dict(network="mlp", width=300, latent_dim=100, g_norm="batch")
GROUPS = {"What": ["models", "seeds", "steps", "data_dir"], "Result": ["docs"]}


class Supervised(SemiSupervisedGAN):
    """The classifier alone: no generator, no unlabelled images."""

    def players(self):
        return super().players()[:1]

    def discriminator_loss(self, x, z):
        _, labelled, labels = self.parts(x)
        return self.labelled_loss(labelled, labels)


MODELS: dict[str, tuple[type, int | None, dict]] = {
    "supervised": (Supervised, LABELLED, {}),
    "semi_supervised_gan": (SemiSupervisedGAN, LABELLED, {"instance_noise": 0.3}),  # as in the paper
    "cat_gan": (CatGAN, LABELLED, {}),
    "cat_gan_unsupervised": (CatGAN, None, {}),
}
"""For each row, the class, the number of labels, and arguments."""


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_list("models", [*MODELS], "The models to train.")
    flags.DEFINE_integer("seeds", 3, "Runs of each model.")
    flags.DEFINE_integer("steps", STEPS, "Steps of 100 images, and of 100 labelled ones.")
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets.")
    flags.DEFINE_string("docs", str(DOCS), "Folder of classes.json.")


def error(model: GenerativeModel, images: np.ndarray, labels: np.ndarray, matched: bool) -> float:
    """The share of images in a wrong class; with `matched`, each category stands for a digit of its own."""
    found = model.classify(images).numpy()
    counts = np.zeros((model.categories, 10), int)
    np.add.at(counts, (found, labels), 1)
    pairs = linear_sum_assignment(-counts) if matched else (range(10), range(10))
    return 1 - counts[pairs].sum() / len(labels)


def train(name: str, seed: int, steps: int, source: Source) -> tuple[GenerativeModel, float]:
    """Trains a model. Returns it and the seconds that it took."""
    cls, labelled, arguments = MODELS[name]
    keras.utils.set_random_seed(seed)
    model = cls.for_images(source.shape, **NETWORKS, **arguments, seed=seed)
    model.compile()
    start = time.perf_counter()
    data = source.batches(BATCH, seed=seed, labels=False, labelled=labelled)
    model.fit(data, steps_per_epoch=steps, verbose=0)
    return model, time.perf_counter() - start


def table(found: dict[str, dict]) -> str:
    """The table of classes.md."""
    lines = ["| model | labels | error on test images | seconds |", "|---|---|---|---|"]
    for name, row in found.items():
        errors = cell([100 * value for value in row["errors"]], 1)
        lines.append(f"| `{name}` | {MODELS[name][1] or 'none'} | {errors} % | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    values = flags.FLAGS
    training, held_out = (
        find_source("mnist", split=split, data_dir=values.data_dir, labels=True).open() for split in ("train", "test")
    )
    images, labels = next(iter(held_out.batches(held_out.size, seed=0).as_numpy_iterator()))
    file = Path(values.docs) / "classes.json"
    found = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in values.models:
        errors, seconds = [], []
        for seed in range(values.seeds):
            model, duration = train(name, seed, values.steps, training)
            errors.append(error(model, images, labels, matched=MODELS[name][1] is None))
            seconds.append(duration)
            print(name, seed, errors[-1], flush=True)
        found[name] = {"errors": errors, "seconds": statistics.median(seconds), "cpu": versions.cpu_model()}
        found = {name: found[name] for name in MODELS if name in found}
        with atomic_file(file) as out:
            out.write((json.dumps(found, indent=1) + "\n").encode())
    print(table(found))


if __name__ == "__main__":
    define_flags()
    command_line.main(main, __doc__, GROUPS)
