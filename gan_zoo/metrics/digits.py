"""Counts the modes of colour MNIST that samples cover, with a classifier of digits.

    python -m gan_zoo.metrics.digits --data_dir=DIR --output=pretrained/digit_classifier

This command trains the classifier, a small convolutional network, on the training digits of MNIST. It writes
classifier.keras, run.json with the settings and the measured accuracy, and card.md. To use it as the release, add it to
the index:

    python -m gan_zoo.export.release --output=pretrained/digit_classifier --index=gan_zoo/releases/index.json

References:
    Metz et al., 2017, https://arxiv.org/abs/1611.02163, Section 3.3.1: the modes, and the reverse KL divergence
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from gan_zoo import releases
from gan_zoo.util import checks, command_line, seeds, versions
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    import keras

FOLDER = "digit_classifier"
FILE = "classifier.keras"
SIDE = 28
MODES = 1000

_CHUNK = 512
_COMMAND = "python -m gan_zoo.metrics.digits --output=pretrained/digit_classifier"
_TRAIN = "train one with python -m gan_zoo.metrics.digits --output=FOLDER, which takes minutes."


@dataclasses.dataclass(frozen=True)
class ColorMNIST:
    """The distribution of three independent digits in three channels: the argument of `evaluate` for colour MNIST.

    Attributes:
        name: Name of the dataset.
        shape: Shape of one sample.
    """

    name: str = "color_mnist"
    shape: tuple[int, int, int] = (SIDE, SIDE, 3)


def color_modes(
    images: np.ndarray, number: int | None = None, classifier: "keras.Model | None" = None
) -> dict[str, float | int]:
    """Counts the modes among samples of colour MNIST.

    The classifier reads each channel as a digit. A mode is one of the 1000 triples of digits.

    Args:
        images: Samples, [N, 28, 28, 3] in [-1, 1].
        number: Number of samples to use, from the first on. None uses all. Published protocols use different numbers,
            and both results depend on it: compare them only at equal numbers. N samples of the data themselves cover
            about 1000 (1 - exp(-N / 1000)) modes. For N above 2000 their divergence is about 1000 / (2 N) + 0.004; the
            0.004 are due to the unequal frequencies of digits.
        classifier: Maps [N, 28, 28, 1] in [-1, 1] to logits, [N, 10]. None uses `load_classifier`.

    Returns:
        modes: Number of modes with at least one sample.
        kl_mode: The reverse KL divergence KL(q || p) in nats, where q is the distribution of the samples over the
            modes and p the uniform distribution. The best value is 0; with all samples in one mode it is
            log 1000 = 6.9.
        confidence: Mean over all channels of the probability that the classifier gives to the digit it reads. It is
            low for shapes that are not digits.
        If an image is not finite, modes is 0 and the others are NaN.

    Raises:
        UserError: If the images have another shape or are fewer than `number`, or there is no classifier.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3) or not len(images):
        raise UserError(f"images must be [N, {SIDE}, {SIDE}, 3] with N from 1 up, not of shape {list(images.shape)}.")
    if number is not None:
        if not isinstance(number, int) or not 1 <= number <= len(images):
            raise UserError(
                f"number must be a whole number from 1 to that of images, which is {len(images)}, not {number!r}."
            )
        images = images[:number]
    if not np.isfinite(images).all():
        return {"modes": 0, "kl_mode": float("nan"), "confidence": float("nan")}
    classifier = load_classifier() if classifier is None else classifier
    channels = np.moveaxis(images, -1, 1).reshape(-1, SIDE, SIDE, 1).astype(np.float32)
    digits, probability = read(channels, classifier)
    share = np.bincount(digits.reshape(-1, 3) @ [100, 10, 1], minlength=MODES) / len(images)
    found = share[share > 0]
    return {
        "modes": len(found),
        # Rounding gives slightly less than 0 for the uniform distribution itself.
        "kl_mode": max(float(np.sum(found * np.log(found * MODES))), 0.0),
        "confidence": float(probability.mean()),
    }


def read(images: np.ndarray, classifier: "keras.Model | None" = None) -> tuple[np.ndarray, np.ndarray]:
    """Classifies single digits.

    Args:
        images: [N, 28, 28, 1] in [-1, 1].
        classifier: As for `color_modes`.

    Returns:
        The most probable digits, int64 [N], and the probabilities that the classifier gives to them, float64 [N].
    """
    from scipy.special import softmax

    classifier = load_classifier() if classifier is None else classifier
    probability = softmax(np.asarray(classifier.predict(images, _CHUNK, verbose=0), np.float64), axis=1)
    return probability.argmax(axis=1), probability.max(axis=1)


def load_classifier(folder: str | Path | None = None) -> "keras.Model":
    """Returns the trained classifier of digits, which maps [N, 28, 28, 1] in [-1, 1] to logits, [N, 10].

    Args:
        folder: Folder of your own `classifier.keras`, which is loaded in Keras's safe mode. None loads the release,
            from the location that `gan_zoo.releases` describes, and verifies it first.

    Raises:
        UserError: If it is not available or cannot be read.
    """
    if folder is None:
        return _released()
    path = checks.path("folder", folder) / FILE
    if not path.is_file():
        raise UserError(f"there is no classifier of digits in {path.parent}: {_TRAIN}")
    return _load(path, path.stat().st_mtime_ns)


@functools.cache
def _released() -> "keras.Model":
    try:
        with releases.opened(FOLDER, FILE) as (files, origin):
            return _read(files / FILE, origin / FILE)
    except UserError as error:
        raise UserError(f"there is no classifier of digits: {error}") from None


@functools.lru_cache(maxsize=4)
def _load(path: Path, _version: int) -> "keras.Model":
    return _read(path, path)


def _read(path: Path, shown: Path) -> "keras.Model":
    """Returns the model in a file. `shown` is the path in error messages."""
    import keras

    try:
        # Safe mode refuses functions stored as bytecode, as in Lambda layers, which could run any code.
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        # Keras raises many types of exceptions for broken files.
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise UserError(
            f"{shown} cannot be read as a Keras model in safe mode ({type(error).__name__}: {reason}): {_TRAIN}"
        ) from error


def has_classifier() -> bool:
    """Returns whether `load_classifier` works without a network. Installed packages do not contain the classifier."""
    return releases.is_here(FOLDER, FILE)


def network() -> "keras.Model":
    """Returns the untrained classifier."""
    import keras

    from gan_zoo.networks import nhwc

    x = image = keras.Input((SIDE, SIDE, 1), name="image")
    for width in (16, 32):
        for _ in range(2):
            x = nhwc.Conv2D(width, 3, padding="same", activation="relu")(x)
        x = nhwc.MaxPooling2D()(x)
        x = keras.layers.Dropout(0.25)(x)
    return keras.Model(image, keras.layers.Dense(10, name="logits")(nhwc.Flatten()(x)), name=FOLDER)


def train(
    output: str | Path,
    *,
    data_dir: str | None = None,
    epochs: int = 12,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains a classifier on the training digits of MNIST and measures it on the test digits.

    Adam minimises the cross-entropy with a learning rate that falls to 0 along a cosine.

    Args:
        output: Folder for classifier.keras, run.json and card.md; created if missing.
        data_dir: Folder of TFDS's datasets.
        epochs: Passes over the training digits.
        batch_size: Digits in a minibatch.
        learning_rate: Learning rate at the start.
        seed: Seed of the initial weights, the order and the dropout.

    Returns:
        The contents of run.json.

    Raises:
        UserError: If MNIST is not available, a setting is not positive, or `output` cannot be written.
    """
    import keras

    from gan_zoo import data

    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("learning_rate", learning_rate)):
        if not value > 0:
            raise UserError(f"--{name} must be positive, not {value}.")
    output = checks.path("--output", output)
    digits = {split: data.open_source("mnist", split=split, data_dir=data_dir) for split in ("train", "test")}
    steps = digits["train"].steps_per_epoch(batch_size)
    try:
        output.mkdir(parents=True, exist_ok=True)  # fails now rather than after the training
    except OSError as error:
        raise UserError(f"--output={output} cannot be written: {error.strerror or error}.") from error

    with seeds.seeded(seeds.stream(seed, "weights")):
        model = network()
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    batches = digits["train"].batches(batch_size, seed=seed, labels=True)
    model.fit(batches, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=2)
    accuracy = {split: _accuracy(model, source) for split, source in digits.items()}
    record = {
        "settings": {
            "dataset": digits["train"].describe()["tfds"],
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "parameters": model.count_params(),
        },
        "accuracy": accuracy,
        "versions": {name: versions.versions()[name] for name in ("python", "tensorflow", "keras", "numpy")},
    }
    # Saved without the optimizer, which would triple the size of the file.
    bare = network()
    bare.set_weights(model.get_weights())
    try:
        bare.save(output / FILE)
        (output / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (output / "card.md").write_text(_card(record), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--output={output} cannot be written: {error.strerror or error}.") from error
    return record


def _accuracy(model: "keras.Model", source) -> float:
    digits, _ = read(source.images.astype(np.float32) / 127.5 - 1, model)
    return float((digits == source.labels).mean())


def _card(record: dict[str, Any]) -> str:
    settings, accuracy = record["settings"], record["accuracy"]
    rows = {
        "Input": "float32 [N, 28, 28, 1] in [-1, 1]",
        "Output": "logits, [N, 10]",
        "Network": "two blocks of two 3×3 convolutions, of 16 and of 32 channels, and one dense layer; "
        f"{settings['parameters']:,} parameters",
        "Data": "MNIST, 60,000 training digits; Yann LeCun, Corinna Cortes, Christopher Burges. The Keras "
        "documentation names CC BY-SA 3.0 as its licence",
        "Training": f"{settings['epochs']} epochs, minibatches of {settings['batch_size']}; Adam with a learning rate "
        f"that falls from {settings['learning_rate']} to 0 along a cosine; dropout of 0.25 after each block",
        "Accuracy": f"{accuracy['test']:.2%} on the 10,000 test digits, {accuracy['train']:.2%} on the training digits",
        "Licence of the weights": "Apache 2.0",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""# {FOLDER}

A classifier of handwritten digits, 28×28, one channel. It reads the three channels of samples of colour MNIST, so that
their modes can be counted: `gan_zoo.metrics.color_modes`.

| | |
|---|---|
{table}

```sh
{_COMMAND}
```

All settings and versions are in [`run.json`](run.json).

**Limits.** It was trained on digits alone and returns a digit for every image. So a sample that is not a digit also
counts as one, and only a low `confidence` shows this. Numbers of modes depend on the classifier and on the number of
samples: compare them only if both are the same.
"""


USAGE = """
Trains the classifier of digits that counts the modes of colour MNIST: python -m gan_zoo.metrics.digits --output=DIR
"""

GROUPS = {"Folders": ["data_dir", "output"], "Training": ["epochs", "batch_size", "learning_rate", "seed"]}


def main() -> None:
    values = flags.FLAGS
    if not values.output:
        raise UserError("--output is missing: name a folder, such as pretrained/digit_classifier.")
    record = train(**{name: values[name].value for names in GROUPS.values() for name in names})
    print(f"wrote {values.output}: accuracy {record['accuracy']['test']:.2%} on the test digits")


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets; by default ~/tensorflow_datasets.")
    flags.DEFINE_string("output", None, "Folder for the classifier.")
    flags.DEFINE_integer("epochs", 12, "Passes over the training digits.")
    flags.DEFINE_integer("batch_size", 128, "Digits in a minibatch.")
    flags.DEFINE_float("learning_rate", 2e-3, "Learning rate of Adam at the start.")
    flags.DEFINE_integer("seed", 0, "Seed of the initial weights, the order and the dropout.")
    command_line.main(main, USAGE, GROUPS)
