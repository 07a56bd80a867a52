"""Measures on MNIST what the encoders of the VAE, the adversarial autoencoder and the BiGAN achieve.

    python benchmarks/encoders.py --data_dir=DIR --minutes=30

Each model is trained on the training images and measured on images of the test split, in which no model has seen an
image. The results go to docs/encoders.json, docs/encoders.md and docs/encoders.png, one model after the other.

    vae      The negative ELBO in nats, of pixels in [0, 1] as probabilities, after each epoch.
    aae      The distribution of the codes against the prior N(0, I) in the plane: mean, covariance, and MMD with an RBF
             kernel. As a control, the same for the autoencoder alone, without the two adversarial phases.
    bigan    The reconstruction ratio: the mean distance of G(E(x)) from x, divided by that from another image. It is 1
             for a model that ignores x.
"""

import json
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from gan_zoo.data import find_source
from gan_zoo.models import AAE, VAE, BiGAN
from gan_zoo.sampling import real_images
from gan_zoo.util import command_line, pictures, versions

DOCS = Path(__file__).resolve().parent.parent / "docs"
BATCH = 128
SHOWN = 12
"""Number of test images in the picture, in each row."""

GROUPS = {"What": ["models", "epochs", "data_dir"], "Result": ["docs"]}


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_list("models", ["vae", "aae", "bigan"], "The models to train.")
    flags.DEFINE_integer("epochs", 5, "Passes through the training images.")
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets.")
    flags.DEFINE_string("docs", str(DOCS), "Folder of encoders.json, encoders.md and encoders.png.")


def fit(model, source, epochs: int, each) -> tuple[list, float]:
    """Trains a model. Returns what `each` returns before training and after every epoch, and the seconds of a step."""
    steps, found, seconds = source.size // BATCH, [each(model)], 0.0
    for epoch in range(epochs):
        start = time.perf_counter()
        data = source.batches(BATCH, seed=0, start_step=epoch * steps)
        model.fit(data, steps_per_epoch=steps, verbose=0)
        seconds += time.perf_counter() - start
        found.append(each(model))
        print(type(model).__name__, epoch + 1, json.dumps(found[-1]), flush=True)
    return found, seconds / (epochs * steps)


def mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The maximum mean discrepancy of two sets of points with the kernel exp(-||x - y||^2 / 2), biased, as a norm."""

    def kernel(a, b):
        return np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(axis=-1)).mean()

    return float(np.sqrt(max(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y), 0.0)))


class Autoencoder(AAE):
    """The first phase of the adversarial autoencoder alone."""

    def players(self):
        return super().players()[:1]


def train_vae(source, test: np.ndarray, epochs: int):
    """A VAE with one layer of 400 units on each side and a code of 20 numbers."""
    vae = VAE.for_images((28, 28, 1), network="mlp", width=400, depth=1, latent_dim=20, likelihood="bernoulli", seed=0)
    vae.compile()

    def elbo(model):
        found = model.evaluate(test, batch_size=500, verbose=0, return_dict=True)
        return {"nats": found["vae_loss"], "kl": found["kl"]}

    return vae, *fit(vae, source, epochs, elbo)


def train_aae(source, test: np.ndarray, epochs: int, cls: type = AAE):
    """An adversarial autoencoder with codes in the plane."""
    aae = cls.for_images((28, 28, 1), network="mlp", width=400, latent_dim=2, seed=0)
    aae.compile()
    prior = np.random.default_rng(1).normal(size=(2000, 2))

    def codes(model):
        z = model.encode(test).numpy()
        error = float(np.mean((model.reconstruct(test).numpy() - test) ** 2))
        cov = np.cov(z.T)
        spread = np.linalg.eigvalsh(cov)
        return {
            "mean": [float(value) for value in z.mean(axis=0)],
            "covariance": [float(cov[0, 0]), float(cov[1, 1]), float(cov[0, 1])],
            "axes": [float(value) for value in spread],
            "mmd": mmd(z[:2000], prior),
            "error": error,
        }

    return aae, *fit(aae, source, epochs, codes)


def train_bigan(source, test: np.ndarray, epochs: int):
    """A BiGAN of perceptrons with a code of 50 numbers."""
    gan = BiGAN.for_images((28, 28, 1), network="mlp", norm="batch", width=400, latent_dim=50, seed=0)
    gan.compile()

    def ratio(model):
        again = model.reconstruct(test).numpy()
        own, other = (np.sqrt(((again - x) ** 2).sum(axis=(1, 2, 3))).mean() for x in (test, np.roll(test, 1, axis=0)))
        return {"ratio": float(own / other)}

    return gan, *fit(gan, source, epochs, ratio)
