"""Measures on MNIST what the encoders of the VAE, the adversarial autoencoder and the BiGAN achieve.

    python benchmarks/encoders.py --data_dir=DIR

Each model is trained on the training images and measured on images of the test split, in which no model has seen an
image. The results go to docs/encoders.json, and pictures to docs/encoders-MODEL.png. The table is that of
docs/encoders.md.

    vae      The negative ELBO in nats, of pixels in [0, 1] as probabilities, after each epoch.
    aae      The distribution of the codes against the prior N(0, I) in the plane: mean, covariance, and MMD with an RBF
             kernel. As a control, the same for the autoencoder alone, without the two adversarial phases.
    bigan    The reconstruction ratio: the mean distance of G(E(x)) from x, divided by that from another image. It is 1
             for a model that ignores x.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from absl import flags

from gan_zoo import GenerativeModel, networks
from gan_zoo.data import Source, find_source
from gan_zoo.models import AAE, VAE, BiGAN
from gan_zoo.util import command_line, pictures, versions

DOCS = Path(__file__).resolve().parent.parent / "docs"
BATCH = 128
SHOWN = 12
"""Number of test images in the pictures."""
SHAPE = (28, 28, 1)

GROUPS = {"What": ["models", "epochs", "data_dir"], "Result": ["docs"]}

Rows = list[dict[str, float | list[float]]]


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_list("models", [*MODELS], "The models to train.")
    flags.DEFINE_integer("epochs", 3, "Passes through the training images.")
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets.")
    flags.DEFINE_string("docs", str(DOCS), "Folder of encoders.json and encoders-MODEL.png.")


class Autoencoder(AAE):
    """The first phase of the adversarial autoencoder alone."""

    def players(self):
        return super().players()[:1]


def build(cls: type, *, depth: int = 2, **arguments) -> GenerativeModel:
    """A model of perceptrons for MNIST."""
    keras.utils.set_random_seed(0)
    sizes = {name: arguments.pop(name) for name in ("latent_dim", "width", "norm") if name in arguments}
    builder = networks.Builder(SHAPE, network="mlp", depth=depth, **sizes)
    return cls(**cls.build_networks(builder), **arguments, seed=0)


def elbo(vae: VAE, test: np.ndarray) -> dict:
    found = vae.evaluate(test, batch_size=500, verbose=0, return_dict=True)
    return {"nats": found["vae_loss"], "kl": found["kl"]}


def codes(aae: AAE, test: np.ndarray) -> dict:
    """The distribution of the codes, and the mean squared error of the reconstructions."""
    z = aae.encode(test).numpy()
    cov = np.cov(z.T)
    return {
        "mean": z.mean(axis=0).tolist(),
        "variances": cov.diagonal().tolist(),
        "covariance": float(cov[0, 1]),
        "mmd": mmd(z[:2000], np.random.default_rng(1).normal(size=(2000, 2))),
        "error": float(np.mean((aae.reconstruct(test).numpy() - test) ** 2)),
    }


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The maximum mean discrepancy of two sets of points with the kernel exp(-||x - y||^2 / 2), biased, as a norm."""

    def kernel(a, b):
        return np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(axis=-1)).mean()

    return float(np.sqrt(max(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y), 0.0)))


def ratio(gan: BiGAN, test: np.ndarray) -> dict:
    """The mean distance of reconstructions from their images, relative to that from other images."""
    again = gan.reconstruct(test).numpy()
    own, other = (np.sqrt(((again - x) ** 2).sum(axis=(1, 2, 3))).mean() for x in (test, np.roll(test, 1, axis=0)))
    return {"ratio": float(own / other)}


MODELS: dict[str, tuple[Callable[[], GenerativeModel], Callable]] = {
    "vae": (lambda: build(VAE, depth=1, width=400, latent_dim=20, likelihood="bernoulli"), elbo),
    "aae": (lambda: build(AAE, width=400, latent_dim=2), codes),
    "autoencoder": (lambda: build(Autoencoder, width=400, latent_dim=2), codes),
    "bigan": (lambda: build(BiGAN, width=512, latent_dim=50, norm="batch"), ratio),
}
"""For each row, a function that builds the model, and one that measures it on test images."""
PICTURES = ("vae", "aae", "bigan")


def train(
    model: GenerativeModel, measure: Callable, source: Source, test: np.ndarray, epochs: int
) -> tuple[Rows, float]:
    """Trains a model. Returns the measurements before training and after every epoch, and the seconds of a step."""
    model.compile()
    steps, rows, seconds = source.size // BATCH, [measure(model, test)], 0.0
    for epoch in range(epochs):
        data = source.batches(BATCH, seed=0, start_step=epoch * steps)
        start = time.perf_counter()
        model.fit(data, steps_per_epoch=steps, verbose=0)
        seconds += time.perf_counter() - start
        rows.append(measure(model, test))
        print(type(model).__name__, epoch + 1, json.dumps(rows[-1]), flush=True)
    return rows, seconds / (epochs * steps)


def picture(model: GenerativeModel, test: np.ndarray) -> np.ndarray:
    """Test images, their reconstructions, and walks from each image of the first half to one of the second."""
    images = test[:SHOWN]
    z = model.encode(images).numpy()
    ends = z[: SHOWN // 4], z[SHOWN // 4 : SHOWN // 2]
    walks = np.stack([(1 - t) * ends[0] + t * ends[1] for t in np.linspace(0, 1, SHOWN)], axis=1)
    made = model(walks.reshape(-1, z.shape[1])).numpy()
    return pictures.grid(np.concatenate([images, model.reconstruct(images).numpy(), made]), SHOWN, scale=1)


def table(found: dict[str, dict]) -> str:
    """The table of encoders.md."""

    def column(name, key):
        return " | ".join(f"{row[key]:.3g}" if key != "nats" else f"{row[key]:.1f}" for row in found[name]["rows"])

    epochs = len(next(iter(found.values()))["rows"])
    head = "| | " + " | ".join(f"epoch {k}" if k else "start" for k in range(epochs)) + " |\n"
    lines = [head + "|---" * (epochs + 1) + "|"]
    names = {
        ("vae", "nats"): "`vae`: -ELBO on test images, nats",
        ("aae", "mmd"): "`aae`: MMD of codes and prior",
        ("autoencoder", "mmd"): "autoencoder alone: the same",
        ("aae", "error"): "`aae`: squared error of a pixel",
        ("autoencoder", "error"): "autoencoder alone: the same",
        ("bigan", "ratio"): "`bigan`: reconstruction ratio",
    }
    lines += [f"| {title} | {column(*key)} |" for key, title in names.items() if key[0] in found]
    return "\n".join(lines) + "\n"


def main() -> None:
    values = flags.FLAGS
    docs = Path(values.docs)
    splits = ("train", "test")
    training, held_out = (find_source("mnist", split=split, data_dir=values.data_dir).open() for split in splits)
    test = held_out.images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    file = docs / "encoders.json"
    found = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for name in values.models:
        make, measure = MODELS[name]
        model = make()
        rows, seconds = train(model, measure, training, test, values.epochs)
        found[name] = {"rows": rows, "milliseconds": round(1000 * seconds, 1), "cpu": versions.cpu_model()}
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if name in PICTURES:
            pictures.save_png(picture(model, test), docs / f"encoders-{name}.png")
    print(table(found))


if __name__ == "__main__":
    define_flags()
    command_line.main(main, __doc__, GROUPS)
