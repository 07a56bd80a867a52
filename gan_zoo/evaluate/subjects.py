"""What can be evaluated: generators, run folders, SavedModels, folders of images, and arrays."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo.data import decoding
from gan_zoo.data import folder as folders
from gan_zoo.util import checks
from gan_zoo.util.errors import NonFiniteSamples, UserError, argument
from gan_zoo.util.pictures import to_uint8

if TYPE_CHECKING:
    from gan_zoo.model import GenerativeModel

CHUNK = 256
"""Number of samples that are generated at once."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A set of images, or a generator of them.

    Attributes:
        name: Name in tables.
        description: What is recorded about it: "kind" and, if known, "model", "step" and "ema", as JSON types.
        shape: (H, W, C).
        draw: Function of a number and a seed that yields that many images in batches: pairs of images, uint8
            [B, H, W, C], and labels, int32 [B], or None.
        count: Number of images that there are; None for a generator.
        classes: Names of the classes, by label, or None.
        prior: Prior of the latents, for generators: "normal" or "uniform".
        latents: For generators, function of a number and a seed that returns latents, [B, Z], or (latents, labels).
        generate: For generators, function of latents that returns images, float32 [B, H, W, C] in [-1, 1].
    """

    name: str
    description: dict[str, Any]
    shape: tuple[int, int, int]
    draw: Callable[[int, int], Iterator[tuple[np.ndarray, np.ndarray | None]]]
    count: int | None = None
    classes: tuple[str, ...] | None = None
    prior: str | None = None
    latents: Callable[[int, int], Any] | None = None
    generate: Callable[[Any], np.ndarray] | None = None


def open_subject(
    model: "str | Path | np.ndarray | GenerativeModel",
    *,
    trust: bool = False,
    mirror: str | Path | None = None,
    index: str | Path | None = None,
) -> Subject:
    """Returns what `model` names.

    Args:
        model: Name of a release; path of a SavedModel or of a run folder; "folder:PATH" for all images of a folder; a
            model of the zoo in memory; or images, uint8 [N, H, W, C].
        trust: As for `gan_zoo.load_pretrained`; likewise `mirror` and `index`.
        mirror: Where releases come from.
        index: Index of the releases.

    Raises:
        UserError: If there is nothing of this name, or it does not make images.
    """
    if isinstance(model, np.ndarray):
        return _of_array(model)
    if hasattr(model, "sample_latent"):
        return of_model(model)
    if str(model).startswith(folders.PREFIX):
        return _of_folder(str(model))
    return _of_path(model, trust, mirror, index)


def _of_array(images: np.ndarray) -> Subject:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise UserError(
            f"{argument('model')}: images must be uint8 [N, H, W, C] with 1 or 3 channels, not {images.dtype} of shape "
            f"{list(images.shape)}."
        )

    def draw(n, seed):
        for start in range(0, n, CHUNK):
            yield images[start : min(start + CHUNK, n)], None

    return Subject("array", {"kind": "array"}, images.shape[1:], draw, len(images))


def _of_folder(name: str) -> Subject:
    try:
        found = folders.find(name)
    except UserError as error:
        raise UserError(f"{argument('model')}={error}") from None
    records = list(found.records())
    channels = found.channels()

    def read(record) -> np.ndarray:
        try:
            return decoding.decoded(record, channels)
        except ValueError as error:
            raise UserError(
                f"{argument('model')}={name}: {record.name} cannot be decoded ({error}): remove it or repair it."
            ) from error

    shape = read(records[0]).shape

    def draw(n, seed):
        chosen = (
            records
            if n == len(records)
            else [records[k] for k in np.sort(np.random.default_rng(seed).permutation(len(records))[:n])]
        )
        for start in range(0, n, CHUNK):
            part = chosen[start : start + CHUNK]
            images = []
            for record in part:
                images.append(read(record))
                if images[-1].shape != shape:
                    height, width, _ = images[-1].shape
                    raise UserError(
                        f"{argument('model')}={name}: {record.name} is {width}x{height}, and {records[0].name} is "
                        f"{shape[1]}x{shape[0]}: all images must have one size."
                    )
            labels = None if found.class_names is None else np.array([r.label for r in part], np.int32)
            yield np.stack(images), labels

    return Subject(name, {"kind": "folder"}, shape, draw, len(records), found.class_names)


def _of_path(model: str | Path, trust: bool, mirror: str | Path | None, index: str | Path | None) -> Subject:
    from gan_zoo.sampling import pretrained

    if _has_no_export(model, index):
        from gan_zoo.run_folder import trained_gan

        gan, step, settings = trained_gan.load_gan(model, trust=trust)
        classes = settings["data"].get("classes")
        description = {"model": settings["model"], "step": step, "ema": _average(settings)}
        return _of_gan(gan, str(model), description, None if classes is None else tuple(classes), given=True)
    loaded = pretrained.load_pretrained(model, trust=trust, mirror=mirror, index=index)
    metadata = loaded.metadata
    known = {name: metadata.get(name) for name in ("model", "dataset", "step")}

    def latents(n, seed):
        z, labels = loaded.latents(n, seed), loaded.labels(n, seed)
        return z if labels is None else (z, labels)

    def generate(z):
        return loaded(*z) if isinstance(z, tuple) else loaded(z)

    return _of_generator(
        str(model),
        {"kind": "model", **known, "ema": _average(metadata)},
        tuple(metadata["shape"]),
        latents,
        generate,
        loaded.classes,
        metadata["prior"],
        given=True,
    )


def _average(settings: dict[str, Any]) -> float | str | None:
    """What describes the moving average of a run or an export with these settings: its decay, or words."""
    if settings.get("ema_half_life"):
        return f"half-life {settings['ema_half_life']:g} images"
    return settings.get("ema_decay")


def _has_no_export(model: str | Path, index: str | Path | None) -> bool:
    """Returns whether `model` is a run folder with checkpoints, but without a SavedModel yet."""
    from gan_zoo.run_folder import checkpoints
    from gan_zoo.sampling import pretrained

    if str(model) in pretrained.released(index):
        return False
    path = checks.path(argument("model"), model)
    return not (path / "saved_model").exists() and bool(checkpoints.list_checkpoints(path / "checkpoints"))


def of_model(
    gan: "GenerativeModel",
    name: str = "the model",
    description: dict[str, Any] | None = None,
    classes: tuple[str, ...] | None = None,
) -> Subject:
    """Returns the samples of a model of the zoo in memory.

    Args:
        gan: The model.
        name: Name in tables.
        description: What is recorded about it.
        classes: Names of the classes, by label. None uses the numbers for a model with labels.
    """
    return _of_gan(gan, name, description, classes, given=False)


def _of_gan(gan, name: str, description: dict | None, classes: tuple[str, ...] | None, given: bool) -> Subject:
    import tensorflow as tf

    from gan_zoo.nn.image_leaves import images_of

    if gan.classes is None:
        classes = None
    elif classes is None:
        classes = tuple(map(str, range(gan.classes)))

    def latents(n, seed):
        return tf.nest.map_structure(lambda part: part.numpy(), gan.sample_latent(n, seed))

    call = tf.function(lambda z: images_of(gan(z)), reduce_retracing=True)

    def generate(z):
        return np.asarray(call(tf.nest.map_structure(tf.convert_to_tensor, z)), np.float32)

    shape = tuple(gan.sampling_network.output_shape[1:])
    facts = {"kind": "model", **(description or {})}
    return _of_generator(name, facts, shape, latents, generate, classes, gan.prior, given)


def _of_generator(name, description, shape, latents, generate, classes, prior, given: bool) -> Subject:
    """Returns the samples of a generator; `given` says whether the user has named it, and not a model in memory."""

    def called() -> str:
        return f"{argument('model')}={name}" if given else name

    if len(shape) != 3:
        raise UserError(f"{called()} makes points, not images: gan_zoo.metrics.evaluate measures points.")

    def draw(n, seed):
        drawn = latents(n, seed)
        labelled = isinstance(drawn, tuple)
        for start in range(0, n, CHUNK):
            part = slice(start, start + CHUNK)
            z = tuple(value[part] for value in drawn) if labelled else drawn[part]
            samples = generate(z)
            if not np.isfinite(samples).all():
                raise NonFiniteSamples(
                    f"{called()} makes samples that are not finite: its training has diverged."
                    f"{' Use an earlier checkpoint.' if given else ''}"
                )
            yield to_uint8(samples), z[1] if labelled else None

    return Subject(name, description, shape, draw, None, classes, prior, latents, generate)
