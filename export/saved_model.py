"""Generators as TensorFlow SavedModels, from which TensorFlow can sample without gan_zoo.

    from gan_zoo.export import saved_model
    saved_model.export(gan, "my_gan")

    import tensorflow as tf
    model = tf.saved_model.load("my_gan")
    images = model.sample(16, 0)

What the folder offers, as methods of the loaded object and, with the same names, as signatures:

    sample(n, seed)         n samples, float32, [n, ...]: images, [n, H, W, C] in [-1, 1], or points. Both arguments
                            are int64 scalars. Nothing but them decides the samples: the same call repeats bit for bit
                            on one machine, and the latents are those of `gan.sample_latent(n, seed)`.
    sample_uint8(n, seed)   The same images as uint8, [n, H, W, C]: round((x + 1) * 127.5), clipped to [0, 255].
                            Absent for points.
    sample_latent(n, seed)  The latents alone, float32, [n, Z].
    serving_default(z)      The samples for latents, float32, [B, Z]; also under Keras's name, serve(z).
    metadata()              What the model is, as JSON in a string scalar; see `METADATA`.

Networks run in inference mode. `tf.lite.TFLiteConverter.from_saved_model` converts serving_default.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import flags

import gan_zoo
from gan_zoo import checks, cli, precision, run_folders
from gan_zoo.errors import UserError, file_errors
from gan_zoo.gan import GAN
from gan_zoo.releases import exports
from gan_zoo.tf_paths import tensorflow_path

METADATA = "assets.extra/metadata.json"
"""Where in the folder the metadata lies, so that it can be read without TensorFlow.

A JSON object with at least: "model" (the zoo's name, or the class), "dataset" and "step" (null when not told), "shape"
(of one sample), "value_range" ([-1, 1], or null for points), "latent_dim", "prior", and "versions" of gan_zoo,
tensorflow and keras.
"""

_CHECKED = 4


def export(
    gan: GAN,
    path: str | Path,
    *,
    generator: keras.Model | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Writes a GAN's generator as a SavedModel folder, the contents of which are at the top of this module.

    The folder is written under another name beside `path`, loaded again and compared with the generator, and only then
    put in place of an older SavedModel there. Whatever fails, the older one stays. `load_pretrained` takes it without
    `trust` on this machine, see `gan_zoo.releases.exports`.

    Args:
        gan: The GAN, of which the generator and the prior are kept.
        path: The SavedModel folder. Missing parents are made.
        generator: Makes the samples in place of the GAN's own, for instance the exponential moving average of it. Maps
            z, [B, Z], to samples.
        metadata: More to record, as JSON types; "model", "dataset" and "step" belong here. What is known from the GAN
            itself (shape, value range, prior, latent size, versions) stands as it is.

    Returns:
        The absolute path of the folder.

    Raises:
        UserError: If `path` is taken by something else than a SavedModel or cannot be written, `metadata` is not JSON,
            the generator makes values that are not finite, `sample_latent` makes more than one tensor, or this is
            called inside of a strategy's scope.
        RuntimeError: If the written model does not make the generator's samples.
    """
    destination = checks.path("path", path).resolve()
    if tf.distribute.has_strategy():
        raise UserError("gan cannot be exported inside of a strategy's scope: export it after the scope's end.")
    run_folders.check_export("path", destination)
    samples_of = gan if generator is None else lambda z: generator(z, training=False)
    z = gan.sample_latent(_CHECKED, seed=0)
    if not tf.is_tensor(z) or z.shape.rank != 2:
        raise UserError(f"gan: sample_latent of {type(gan).__name__} must return one tensor, [n, Z], to be exported.")
    expected = tf.cast(samples_of(z), tf.float32).numpy()
    if not np.isfinite(expected).all():
        raise UserError(
            f"{'gan' if generator is None else 'generator'}: its samples are not finite numbers, so training has "
            f"diverged; export an earlier checkpoint."
        )
    document = _document(gan, z.shape[1], expected.shape[1:], metadata or {})

    partial = run_folders.partial_of(destination)
    # Lower precision, which GPUs have for float32's products too, rounds otherwise when TensorFlow fuses a graph.
    exact = not precision.computes_in_half(generator or gan.generator) and not tf.config.list_physical_devices("GPU")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with file_errors(destination):
            _write(partial, gan, samples_of, z.shape[1:], expected.shape[1:], document)
        _check_same(partial, z, expected, tolerance=1e-5 if exact else 0.05)
        exports.remember(partial, destination)
        _put(partial, destination)
    except OSError as error:
        raise UserError(f"path: {destination} cannot be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return destination


def export_run(
    run_dir: str | Path, path: str | Path | None = None, *, step: int | None = None, trust: bool = False
) -> Path:
    """Writes the averaged generator of a run's checkpoint as a SavedModel, while the run goes on or after its end.

    Args:
        run_dir: A run folder of `train.py`.
        path: The SavedModel folder; by default `saved_model` in the run folder.
        step: Of the checkpoint; by default the newest that is undamaged.
        trust: As for `gan_zoo.runs.load_gan`.

    Returns:
        The absolute path of the folder.

    Raises:
        UserError: If there is no such run or checkpoint, or as for `export`.
    """
    from gan_zoo import runs

    gan, step, settings = runs.load_gan(run_dir, step, trust)
    metadata = {name: settings[name] for name in ("model", "dataset", "data", "ema_decay")}
    return export(gan, path or checks.path("run_dir", run_dir) / "saved_model", metadata={**metadata, "step": step})


def _document(gan: GAN, latent_dim: int, shape: tuple[int, ...], extra: dict[str, Any]) -> str:
    package, _, file = type(gan).__module__.rpartition(".")
    document = {
        "model": file if package == "gan_zoo.models" else type(gan).__name__,
        "dataset": None,
        "step": None,
        **extra,
        "shape": list(shape),
        "value_range": [-1, 1] if _are_images(shape) else None,
        "latent_dim": latent_dim,
        "prior": gan.prior,
        "versions": {"gan_zoo": gan_zoo.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
    }
    try:
        return json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"metadata must consist of JSON types and finite numbers ({error}).") from None


def _are_images(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3


def _write(folder: Path, gan: GAN, samples_of, latent_shape, shape: tuple[int, ...], document: str) -> None:
    latents = tf.TensorSpec([None, *latent_shape], tf.float32, "z")
    request = [tf.TensorSpec([], tf.int64, "n"), tf.TensorSpec([], tf.int64, "seed")]

    def samples(z):
        return tf.ensure_shape(tf.cast(samples_of(z), tf.float32), [None, *shape])

    def draw(n, seed):
        return tf.ensure_shape(gan.sample_latent(n, seed), latents.shape)

    def sample(n, seed):
        return samples(draw(n, seed))

    def sample_uint8(n, seed):
        levels = tf.round((sample(n, seed) + 1.0) * 127.5)
        return tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)

    archive = keras.export.ExportArchive()
    # TensorFlow Lite converts every signature, which random numbers do not allow, unless there is one of Keras's name.
    archive.add_endpoint("serve", archive.add_endpoint("serving_default", samples, [latents]))
    archive.add_endpoint("sample_latent", draw, request)
    archive.add_endpoint("sample", sample, request)
    if _are_images(shape):
        archive.add_endpoint("sample_uint8", sample_uint8, request)
    archive.add_endpoint("metadata", lambda: tf.constant(document), [])
    folder.mkdir()
    with tensorflow_path(folder) as path:
        archive.write_out(path, verbose=False)
    extra = folder / METADATA
    extra.parent.mkdir()
    extra.write_text(document + "\n", encoding="utf-8")


def _check_same(folder: Path, z: tf.Tensor, expected: np.ndarray, tolerance: float) -> None:
    """Loads the folder and compares its samples with those of the generator in memory, by their mean difference."""
    with tensorflow_path(folder) as path:
        loaded = tf.saved_model.load(path)
    for name, samples in (
        ("sample", loaded.sample(_CHECKED, 0)),
        ("serving_default", loaded.serving_default(z)),
    ):
        difference, scale = np.abs(samples.numpy() - expected).mean(), np.abs(expected).mean()
        if not difference <= tolerance * scale:
            raise RuntimeError(
                f"The exported {name!r} makes other samples than the generator (mean difference {difference:.2g}, of "
                f"values of mean size {scale:.2g}): a layer computes something else in a graph than it does eagerly."
            )


def _put(folder: Path, destination: Path) -> None:
    """Renames a folder to `destination`, in place of what is there."""
    if not destination.exists():
        folder.rename(destination)
        return
    old = folder.with_suffix(".old")
    destination.rename(old)
    try:
        folder.rename(destination)
    except BaseException:
        old.rename(destination)
        raise
    shutil.rmtree(old, ignore_errors=True)


def main() -> None:
    values = flags.FLAGS
    if not values.run_dir:
        raise UserError("--run_dir is missing: it names the run folder to export.")
    output = values.output and checks.path("--output", values.output)
    print(f"wrote {export_run(checks.path('--run_dir', values.run_dir), output, step=values.step, trust=values.trust)}")


if __name__ == "__main__":
    flags.DEFINE_string("run_dir", None, "The run folder.")
    flags.DEFINE_integer("step", None, "Of the checkpoint; by default the newest.")
    flags.DEFINE_string("output", None, "The SavedModel folder; by default saved_model in the run folder.")
    flags.DEFINE_bool("trust", False, "Import the run's own module, if it is of --model=module:Class.")
    usage = "Exports a checkpoint of a run: python -m gan_zoo.export.saved_model --run_dir=runs/wgan_gp-celeb_a"
    cli.main(main, usage, {"Flags": ["run_dir", "step", "output", "trust"]})
