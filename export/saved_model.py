"""Trained models as TensorFlow SavedModels, from which TensorFlow can sample without gan_zoo.

    from gan_zoo.export import saved_model
    saved_model.export(gan, "my_gan")

    import tensorflow as tf
    model = tf.saved_model.load("my_gan")
    images = model.sample(16, 0)

The folder has these functions, as methods of the loaded object and as signatures of the same names:

    sample(n, seed)         n samples, float32, [n, ...]: images, [n, H, W, C] in [-1, 1], or points. Both arguments
                            are int64 scalars. The samples depend on the arguments only: on one machine, the same call
                            gives the same bits. The latents are those of `gan.sample_latent(n, seed)`.
    sample_uint8(n, seed)   The same images as uint8, [n, H, W, C]: round((x + 1) * 127.5), clipped to [0, 255].
                            Not available for points.
    sample_latent(n, seed)  The latents alone, float32, [n, Z].
    serving_default(z)      The samples for latents, float32, [B, Z]; serve(z), Keras's name, is the same.
    metadata()              Description of the model, as JSON in a string scalar; see `METADATA`.

A model with K classes has labels, which are int32 and from 0 to K - 1. `sample` and `sample_uint8` draw them uniformly.

    sample_class(n, seed, label)
                            n samples of a class: the latents of `sample(n, seed)` with other labels. `label` is int64,
                            a scalar or [n]. A label that is not a class raises an InvalidArgumentError.
    sample_latent(n, seed)  A pair: latents, float32, [n, Z], and labels, [n].
    sample_latent_class(n, seed, label)
                            The pair of which `sample_class` makes its samples. Its latents are those of `sample_latent`
                            unless the prior depends on the label.
    serving_default(z, y)   The samples for latents, [B, Z], and labels, [B]; also serve(z, y).

A model with an encoder has two more functions, for images, float32, [B, H, W, C] in [-1, 1], or points:

    encode(images)          Their codes: latents, float32, [B, Z].
    reconstruct(images)     The samples for their codes, float32, like the images. With labels reconstruct(images, y).

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
from gan_zoo.model import GenerativeModel, labels_tensor
from gan_zoo.nn import precision
from gan_zoo.releases import exports
from gan_zoo.run_folder import ownership
from gan_zoo.util import checks, codes, command_line, files
from gan_zoo.util.errors import UserError, file_errors
from gan_zoo.util.tensorflow_paths import tensorflow_path

METADATA = "assets.extra/metadata.json"
"""Path of the metadata in the folder. This file can be read without TensorFlow.

A JSON object with at least: "model" (the zoo's name, or the class), "dataset" and "step" (null if not given), "shape"
(of one sample), "value_range" ([-1, 1], or null for points), "latent_dim" (the length of z), "prior", "classes" (the
names of the K classes, by label, or null for a model without labels), "encoder" (whether there are `encode` and
`reconstruct`), and "versions" of gan_zoo, tensorflow and keras.

If parts of z have names, "codes" has the place of each, its first index "start" and its length "size", its "kind", and
its "low" and "high" value: see `gan_zoo.util.codes.Code`.
"""

_CHECKED = 4


def export(
    gan: GenerativeModel,
    path: str | Path,
    *,
    generator: keras.Model | None = None,
    metadata: dict[str, Any] | None = None,
) -> Path:
    """Writes a SavedModel folder that samples from a model. The start of this module lists the folder's functions.

    The samples are those of `gan(z)`: the output of the generator, or of the class's own `call`.

    The folder is first written under another name beside `path`, loaded again and compared with the model. Only then
    does it replace an older SavedModel at `path`. If anything fails, the older one stays. On this machine,
    `load_pretrained` loads the folder without `trust`: see `gan_zoo.releases.exports`.

    Args:
        gan: A GAN or another model. The folder contains its prior and the networks that make samples.
        path: The SavedModel folder. Missing parents are created.
        generator: Network that makes the samples instead of the GAN's own, for instance its exponential moving average.
            It maps z, [B, Z], to samples; for a model with classes it maps (z, y).
        metadata: More entries for the metadata, of JSON types: "model", "dataset" and "step" and, for a model with
            classes, "classes": their names by label, by default "0" to "K-1". These entries do not replace the entries
            that are known from the model itself (shape, value range, prior, latent size, versions).

    Returns:
        The absolute path of the folder.

    Raises:
        UserError: If `path` is something else than a SavedModel, or cannot be written; if `metadata` is not JSON or its
            "classes" are not K names; if the samples are not finite; if `sample_latent` returns more than one tensor,
            besides labels; or if this function is called inside of a strategy's scope.
        RuntimeError: If the written model does not make the same samples as the model in memory.
    """
    destination = checks.path("path", path).resolve()
    if tf.distribute.has_strategy():
        raise UserError("gan cannot be exported inside of a strategy's scope: export it after the scope's end.")
    ownership.check_export("path", destination)
    samples_of = gan if generator is None else lambda z: generator(z, training=False)
    latents = gan.sample_latent(_CHECKED, seed=0)
    z = latents if gan.classes is None else latents[0]
    if not tf.is_tensor(z) or z.shape.rank != 2:
        raise UserError(f"gan: sample_latent of {type(gan).__name__} must return one tensor, [n, Z], to be exported.")
    expected = tf.cast(samples_of(latents), tf.float32).numpy()
    if not np.isfinite(expected).all():
        raise UserError(
            f"{'gan' if generator is None else 'generator'}: its samples are not finite numbers, so training has "
            f"diverged; export an earlier checkpoint."
        )
    document = _document(gan, z.shape[1], expected.shape[1:], metadata or {})

    partial = files.partial_of(destination)
    # In lower precision, which GPUs also use for float32 products, a graph that TensorFlow fuses rounds differently.
    networks = [generator] if generator is not None else [getattr(gan, name) for name in gan.averaged]
    half = any(map(precision.computes_in_half, networks))
    exact = not half and not tf.config.list_physical_devices("GPU")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with file_errors(destination):
            _write(partial, gan, samples_of, z.shape[1:], expected.shape[1:], document)
        _check_same(partial, gan, samples_of, latents, expected, tolerance=1e-5 if exact else 0.05)
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
    """Writes the averaged generator of a run's checkpoint as a SavedModel, during the run or after its end.

    Args:
        run_dir: A run folder of `train.py`.
        path: The SavedModel folder; by default `saved_model` in the run folder.
        step: Step of the checkpoint; by default the newest undamaged one.
        trust: As for `gan_zoo.run_folder.trained_gan.load_gan`.

    Returns:
        The absolute path of the folder.

    Raises:
        UserError: If there is no such run or checkpoint, or as for `export`.
    """
    from gan_zoo.run_folder import trained_gan

    gan, step, settings = trained_gan.load_gan(run_dir, step, trust)
    path = path or checks.path("run_dir", run_dir) / "saved_model"
    return export(gan, path, metadata=run_metadata(settings, step))


def run_metadata(settings: dict[str, Any], step: int) -> dict[str, Any]:
    """Returns the `metadata` for `export` of a run's model.

    Args:
        settings: The settings in the run's `run.json`.
        step: Generator updates so far.
    """
    metadata = {name: settings[name] for name in ("model", "dataset", "data")}
    metadata |= {name: settings[name] for name in ("ema_decay", "ema_half_life") if name in settings}
    names = settings["data"].get("classes")
    return {**metadata, "step": step, **({} if names is None else {"classes": names})}


def _class_names(gan: GenerativeModel, names: Any) -> list[str] | None:
    if gan.classes is None:
        return None
    if names is None:
        return [str(label) for label in range(gan.classes)]
    fine = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    if not fine or len(names) != gan.classes or len({*names}) < len(names):
        raise UserError(f"metadata: 'classes' must be the {gan.classes} names of the classes, all different.")
    return list(names)


def _document(gan: GenerativeModel, latent_dim: int, shape: tuple[int, ...], extra: dict[str, Any]) -> str:
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
        "classes": _class_names(gan, extra.get("classes")),
        "encoder": gan.has_encoder,
        **({"codes": codes.describe(gan.codes)} if gan.codes else {}),
        "versions": {"gan_zoo": gan_zoo.__version__, "tensorflow": tf.__version__, "keras": keras.__version__},
    }
    try:
        return json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"metadata must consist of JSON types and finite numbers ({error}).") from None


def _are_images(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3


def _write(folder: Path, gan: GenerativeModel, samples_of, latent_shape, shape: tuple[int, ...], document: str) -> None:
    latents = [tf.TensorSpec([None, *latent_shape], tf.float32, "z")]
    if gan.classes is not None:
        latents.append(tf.TensorSpec([None], tf.int32, "y"))
    request = [tf.TensorSpec([], tf.int64, "n"), tf.TensorSpec([], tf.int64, "seed")]

    def samples(*parts):
        z = parts[0] if gan.classes is None else parts
        return tf.ensure_shape(tf.cast(samples_of(z), tf.float32), [None, *shape])

    def draw(n, seed, **label):
        z = gan.sample_latent(n, seed, **label)
        parts = [z] if gan.classes is None else z
        return tuple(tf.ensure_shape(part, spec.shape) for part, spec in zip(parts, latents, strict=True))

    def sample_latent(n, seed):
        parts = draw(n, seed)
        return parts[0] if gan.classes is None else parts

    def sample(n, seed):
        return samples(*draw(n, seed))

    def sample_latent_class(n, seed, label):
        fits = tf.equal(tf.size(label), 1) | tf.equal(tf.shape(label, tf.int64)[:1], [n])
        in_range = (label >= 0) & (label < gan.classes)
        told = f"label must be from 0 to {gan.classes - 1}, a scalar or [n]:"
        checks = [tf.debugging.Assert(tf.reduce_all(fine), [told, label]) for fine in (fits, in_range)]
        with tf.control_dependencies(checks):
            return draw(n, seed, label=labels_tensor(tf.identity(label), gan.classes))

    def sample_class(n, seed, label):
        return samples(*sample_latent_class(n, seed, label))

    def encode(images):
        return tf.ensure_shape(tf.cast(gan.code_of(images), tf.float32), [None, *latent_shape])

    def reconstruct(images, *labels):
        return samples(encode(images), *labels)

    def sample_uint8(n, seed):
        levels = tf.round((sample(n, seed) + 1.0) * 127.5)
        return tf.cast(tf.clip_by_value(levels, 0.0, 255.0), tf.uint8)

    archive = keras.export.ExportArchive()
    # If there is a signature with Keras's name, TensorFlow Lite converts only this one. It would fail on the others,
    # which draw random numbers.
    archive.add_endpoint("serve", archive.add_endpoint("serving_default", samples, latents))
    archive.add_endpoint("sample_latent", sample_latent, request)
    archive.add_endpoint("sample", sample, request)
    if gan.classes is not None:
        of_class = [*request, tf.TensorSpec(None, tf.int64, "label")]
        archive.add_endpoint("sample_class", sample_class, of_class)
        archive.add_endpoint("sample_latent_class", sample_latent_class, of_class)
    if gan.has_encoder:
        images = tf.TensorSpec([None, *shape], tf.float32, "images")
        archive.add_endpoint("encode", encode, [images])
        archive.add_endpoint("reconstruct", reconstruct, [images, *latents[1:]])
    if _are_images(shape):
        archive.add_endpoint("sample_uint8", sample_uint8, request)
    archive.add_endpoint("metadata", lambda: tf.constant(document), [])
    folder.mkdir()
    with tensorflow_path(folder) as path:
        archive.write_out(path, verbose=False)
    extra = folder / METADATA
    extra.parent.mkdir()
    extra.write_text(document + "\n", encoding="utf-8")


def _check_same(
    folder: Path, gan: GenerativeModel, samples_of, latents, expected: np.ndarray, tolerance: float
) -> None:
    """Loads the folder and compares the results of its functions with those in memory, by their mean difference."""
    with tensorflow_path(folder) as path:
        loaded = tf.saved_model.load(path)
    z, *labels = latents if isinstance(latents, tuple) else (latents,)
    pairs = {
        "sample": (loaded.sample(_CHECKED, 0), expected),
        "serving_default": (loaded.serving_default(z, *labels), expected),
    }
    if labels:
        of_class = (_CHECKED, 0, tf.cast(*labels, tf.int64))
        pairs["sample_class"] = loaded.sample_class(*of_class), expected
        pairs["sample_latent_class"] = loaded.sample_latent_class(*of_class)[0], z.numpy()
    if gan.has_encoder:
        images = tf.constant(expected)  # any images will do
        code = gan.code_of(images)
        again = samples_of((code, *labels) if labels else code)
        pairs["encode"] = loaded.encode(images), tf.cast(code, tf.float32).numpy()
        pairs["reconstruct"] = loaded.reconstruct(images, *labels), tf.cast(again, tf.float32).numpy()
    for name, (made, wanted) in pairs.items():
        difference, scale = np.abs(made.numpy() - wanted).mean(), np.abs(wanted).mean()
        if not difference <= tolerance * scale:
            raise RuntimeError(
                f"The exported {name!r} returns other values than the model (mean difference {difference:.2g}, of "
                f"values of mean size {scale:.2g}): a layer computes other values in a graph than in eager mode."
            )


def _put(folder: Path, destination: Path) -> None:
    """Renames a folder to `destination`, and replaces an existing folder there."""
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
    flags.DEFINE_integer("step", None, "Step of the checkpoint; by default the newest.")
    flags.DEFINE_string("output", None, "The SavedModel folder; by default saved_model in the run folder.")
    flags.DEFINE_bool("trust", False, "Import the module of a run of --model=module:Class, and run its code.")
    usage = "Exports a checkpoint of a run: python -m gan_zoo.export.saved_model --run_dir=runs/wgan_gp-celeb_a"
    command_line.main(main, usage, {"Flags": ["run_dir", "step", "output", "trust"]})
