"""Measures with a classifier how often a conditional GAN makes samples of the requested class.

    python benchmarks/labels.py --dataset=digits --resolution=16
    python benchmarks/labels.py --dataset=mnist --data_dir=DIR --resolution=28

A classifier is trained on the dataset's real images, and a GAN with its labels. The results are the share of samples in
which the classifier reads the wanted class; as a control, the same share with the wanted labels in random order; and
the diversity within classes, since a generator that makes one image of each class also has the best accuracy.
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
from absl import flags

import gan_zoo
from gan_zoo.data import find_source
from gan_zoo.registry.variants import find_model
from gan_zoo.util import command_line, pictures

flags.DEFINE_string("dataset", "digits", "A dataset with classes.")
flags.DEFINE_string("data_dir", None, "Where TFDS keeps its datasets.")
flags.DEFINE_string("model", "dcgan", "A variant of the zoo.")
flags.DEFINE_string("network", "dcgan", "Family of networks.")
flags.DEFINE_string("norm", None, "The discriminator's normalization; by default the variant's own.")
flags.DEFINE_string("condition", None, "How D reads labels: projection or concat.")
flags.DEFINE_integer("resolution", None, "Side of the images; by default the dataset's.")
flags.DEFINE_integer("width", 16, "Width of the networks.")
flags.DEFINE_integer("batch_size", 64, "Examples in a minibatch.")
flags.DEFINE_integer("steps", 3500, "Generator updates.")
flags.DEFINE_integer("samples", 1000, "Samples that the classifier reads.")
flags.DEFINE_string("json", None, "File for the result.")
flags.DEFINE_string("grid", None, "PNG of samples, a class in each row.")

GROUPS = {
    "Data": ["dataset", "data_dir", "resolution"],
    "Model": ["model", "network", "norm", "condition", "width"],
    "Training": ["batch_size", "steps"],
    "Result": ["samples", "json", "grid"],
}


def real_examples(source) -> tuple[np.ndarray, np.ndarray]:
    """Returns every example of a labelled source: images, [N, H, W, C], and labels, [N]."""
    batches = source.batches(256, seed=0).take(-(-source.size // 256)).as_numpy_iterator()
    parts, labels = zip(*batches, strict=True)
    return np.concatenate(parts), np.concatenate(labels)


def classifier(images: np.ndarray, labels: np.ndarray, classes: int) -> tuple[keras.Model, float]:
    """Trains a small convolutional network on nine tenths of the images. Returns it and its accuracy on the rest."""
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(64, 3, 2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(128, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    split = len(images) * 9 // 10
    epochs = max(6, 60_000 // split)
    model.fit(images[:split], labels[:split], batch_size=128, epochs=min(epochs, 30), verbose=0)
    return model, float(model.evaluate(images[split:], labels[split:], batch_size=500, verbose=0)[1])


def train(values, source) -> tuple[gan_zoo.GAN, float]:
    """A conditional GAN trained on a source, and the seconds that it took."""
    keras.utils.set_random_seed(0)
    settings = dict(network=values.network, width=values.width, norm=values.norm, condition=values.condition)
    gan = find_model(values.model).for_images(source.shape, **settings, classes=len(source.classes), seed=0)
    gan.compile()
    start = time.perf_counter()
    gan.fit(
        source.batches(values.batch_size, n_critic=gan.minibatches_per_step, seed=0),
        steps_per_epoch=values.steps,
        verbose=0,
    )
    return gan, time.perf_counter() - start


def accuracy(gan: gan_zoo.GAN, model: keras.Model, n: int) -> tuple[float, float]:
    """The share of `n` samples in which the classifier reads the wanted class, and that for labels in random order.

    The second is the control: it is that of chance, however one-sided the samples are.
    """
    z, y = gan.sample_latent(n, seed=1)
    read, wanted = np.argmax(model.predict(gan((z, y)), batch_size=500, verbose=0), axis=-1), y.numpy()
    return float((read == wanted).mean()), float((read == np.random.default_rng(0).permutation(wanted)).mean())


def diversity(gan: gan_zoo.GAN, images: np.ndarray, labels: np.ndarray, n: int) -> float:
    """Returns the spread of samples within a class, relative to that of real images.

    The spread is the standard deviation of a pixel, averaged over pixels and classes.
    """

    def spread(x, y):
        return np.mean([x[y == k].std(axis=0).mean() for k in range(gan.classes)])

    z, y = gan.sample_latent(n, seed=1)
    return float(spread(gan((z, y)).numpy(), y.numpy()) / spread(images, labels))


def main() -> None:
    values = flags.FLAGS
    found = find_source(values.dataset, data_dir=values.data_dir, resolution=values.resolution, labels=True)
    source = found.open()
    images, labels = real_examples(source)
    model, on_real = classifier(images, labels, len(source.classes))
    gan, seconds = train(values, source)
    obeyed, by_chance = accuracy(gan, model, values.samples)
    names = ("dataset", "model", "network", "condition", "width", "batch_size", "steps")
    result = {
        **{name: values[name].value for name in names},
        **{
            "accuracy": obeyed,
            "shuffled_labels": by_chance,
            "on_real_images": on_real,
            "diversity": diversity(gan, images, labels, values.samples),
            "seconds": round(seconds, 1),
        },
    }
    if values.grid:
        labels = [k for k in range(len(source.classes)) for _ in range(10)]
        samples = gan(gan.sample_latent(len(labels), seed=2, label=labels)).numpy()
        pictures.save_png(pictures.picture(samples, columns=10), Path(values.grid))
    text = json.dumps(result, indent=1)
    print(text)
    if values.json:
        Path(values.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    command_line.main(main, __doc__, GROUPS)
