"""Loads trained models by name or path, to sample from them, and to encode images with those that have an encoder.

    import gan_zoo

    faces = gan_zoo.load_pretrained("wgan_gp-celeb_a")
    images = faces.sample(16, seed=0)                   # float32 [16, 64, 64, 3] in [-1, 1]
    walk = faces.interpolate(0, 1, steps=8)

A model that was trained with labels makes samples of a class:

    model.classes                                       # ("t-shirt_top", "trouser", ...)
    boots = model.sample(16, seed=0, label="ankle boot")

A model with an encoder also takes images, float32 in [-1, 1] or uint8:

    codes = model.encode(images)                        # [16, Z]; model(codes) are the reconstructions
    again = model.reconstruct(images)
    walk = model.interpolate_images(images[0], images[1], steps=8)
A model whose latents have codes makes samples with chosen codes:

    model.codes                                         # {"category_0": Code(...), "continuous_0": Code(...), ...}
    threes = model.sample(16, seed=0, codes={"category_0": 3, "continuous_0": 0.5})
    rows = model.walk("continuous_0", steps=8, rows=4, seed=0)          # float32 [4, 8, 28, 28, 1]

The networks are SavedModels: see `gan_zoo.export.saved_model`. The graph of a SavedModel is code: it can read and write
files with the rights of the user who samples from it. So every file is verified before TensorFlow loads it. Releases
are compared with the index of this package, and this user's own exports on this machine with the list of these exports
(`gan_zoo.releases.exports`). Any other SavedModel is loaded only with `trust=True`.
"""

import json
import operator
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gan_zoo import releases
from gan_zoo.releases import exports
from gan_zoo.util import checks
from gan_zoo.util import codes as util_codes
from gan_zoo.util.class_names import find_labels
from gan_zoo.util.codes import Code
from gan_zoo.util.errors import UserError
from gan_zoo.util.pictures import of_model, to_uint8
from gan_zoo.util.specs import suggest
from gan_zoo.util.tensorflow_paths import tensorflow_path

if TYPE_CHECKING:
    from PIL.Image import Image

_CHUNK = 256
"""Number of samples in one call of the network, so that a large number of samples needs little additional memory."""

_LARGEST = 1.4
"""Largest absolute value of images, as in training: resizing with a bicubic filter overshoots."""

_FOLDER = "saved_model/"
_ENDPOINTS = ("sample", "sample_latent", "serving_default", "metadata")


def load_pretrained(
    name_or_path: str | Path,
    *,
    trust: bool = False,
    mirror: str | Path | None = None,
    cache_dir: str | Path | None = None,
    index: str | Path | None = None,
) -> "Pretrained":
    """Loads a released generator by its name, or any exported generator by its path.

    The files of a release are compared with the sizes and the SHA-256 in the index before they are loaded, from any
    place. Files that this user exported on this machine are compared with the list of these exports. All other files
    need `trust`, because their contents are unknown.

    Args:
        name_or_path: The name of a release, or the path of a SavedModel that gan_zoo exported, or of a folder that
            contains one as `saved_model/`, such as a run folder. If a release and a folder have the same name, the name
            selects the release, and `./name` the folder.
        trust: Whether to load a SavedModel that is neither a release nor this user's own export. Its graph is code that
            runs with the rights of this process. Use it for files from people whose programs you would run, and for
            your own exports from other machines.
        mirror: Where to get releases: the http or https address of a copy of the `pretrained/` folder, or the path of
            such a folder. Defaults to the value of the variable `GAN_ZOO_MIRROR`, or else to the folder of the clone.
        cache_dir: Folder for downloaded releases. Defaults to `$GAN_ZOO_CACHE/pretrained`, or to
            `~/.cache/gan_zoo/pretrained`.
        index: Path of another index to use instead of the package's: see `gan_zoo.releases.index`. Its releases are
            loaded without `trust`, so it must come from a person whom you trust. Without `mirror`, the releases are in
            the folder of the index.

    Raises:
        UserError: If there is no such release or path, the release is not available or differs from the index, the path
            needs `trust`, or the files cannot be used.
    """
    if str(name_or_path) in released(index):
        name = str(name_or_path)
        files = releases.opened(name, _FOLDER, mirror=mirror, cache_dir=cache_dir, index=index)
        with files as (folder, origin):
            path = origin if origin.is_file() else origin / "saved_model"
            return Pretrained(_read(folder / "saved_model", path), path)
    folder = find(name_or_path, index)
    if trust:
        return Pretrained(_read(folder, folder), folder)
    with exports.opened(folder) as copy:
        if copy is not None:
            return Pretrained(_read(copy, folder), folder)
    what = "has changed since you exported it" if exports.was_own(folder) else "is not a released model"
    raise UserError(
        f"{name_or_path} {what}, and the graph of a SavedModel is code that runs with your rights. "
        f"If you trust where it comes from, load it with trust=True (--trust on the command line)."
    )


def released(index: str | Path | None = None) -> list[str]:
    """Returns the names of the released generators, sorted.

    Args:
        index: As for `load_pretrained`.

    Raises:
        UserError: If the index cannot be read or is malformed.
    """
    known = releases.read_index(index)
    return sorted(name for name, release in known.items() if f"{_FOLDER}saved_model.pb" in release.files)


def find(path: str | Path, index: str | Path | None = None) -> Path:
    """Returns the SavedModel folder that `load_pretrained` loads for a path.

    Raises:
        UserError: If there is none.
    """
    given = os.fsdecode(path)
    path = checks.path("name_or_path", path) if given else None
    if path is None or not path.exists():
        raise UserError(f"There is no pretrained model and no folder {given!r}. {hint(given, index)}")
    for folder in (path, path / "saved_model"):
        if (folder / "saved_model.pb").is_file():
            return folder
    raise UserError(
        f"{path} is not a SavedModel folder and contains no saved_model/ folder: give the folder of a model that "
        f"gan_zoo exported, or the name of a released model."
    )


def hint(name: str = "", index: str | Path | None = None) -> str:
    """Returns sentences that list the released models, for the end of an error message about an unknown `name`."""
    names = released(index)
    if not names:
        return (
            "The index has no released models: give the path of a SavedModel that gan_zoo exported, or of a run folder."
        )
    released_are = f"The released models are {', '.join(names)}; the path of a SavedModel or a run folder also works."
    return f"{suggest(name, names)} {released_are}".lstrip()


def _read(folder: Path, path: Path) -> Any:
    """Returns the model that TensorFlow loads from a folder. `path` is the folder in error messages."""
    # Imported late, so that an error about a mistyped name appears at once.
    import tensorflow as tf

    try:
        with tensorflow_path(folder) as path_of_it:
            return tf.saved_model.load(path_of_it)
    except Exception as error:
        # TensorFlow raises a dozen kinds of exception for broken files.
        raise UserError(f"{path} cannot be read as a SavedModel ({type(error).__name__}: {error}).") from error


class Pretrained:
    """A trained generator. `load_pretrained` returns it.

    Args:
        model: A SavedModel, as TensorFlow loads it.
        path: The SavedModel folder, or the archive that contained it.

    Attributes:
        path: As the argument.
        metadata: Facts about the model: "model", "dataset", "step", "shape", "value_range", "latent_dim", "prior",
            "classes", "encoder" and more, see `gan_zoo.export.saved_model.METADATA`.
        classes: Names of the K classes, by label; None for a model without labels.
        has_encoder: Whether the model can encode and reconstruct examples.
        codes: Parts of the latent vector that can be set, by name: see `gan_zoo.util.codes`. Empty if there are none.

    Raises:
        UserError: If gan_zoo did not export the SavedModel.
    """

    def __init__(self, model: Any, path: str | Path):
        self.path = Path(path)
        self._model = model
        missing = [name for name in _ENDPOINTS if not callable(getattr(model, name, None))]
        if missing:
            raise UserError(
                f"{path} is a SavedModel that gan_zoo did not export: it has no {missing[0]!r}. Export the GAN with "
                f"gan_zoo.export.saved_model."
            )
        self.metadata: dict[str, Any] = json.loads(model.metadata().numpy())
        names = self.metadata.get("classes")  # exports of early versions have no such key
        self.classes: tuple[str, ...] | None = None if names is None else tuple(names)
        self.has_encoder = bool(self.metadata.get("encoder"))
        self.codes = util_codes.from_description(self.metadata.get("codes", {}))

    def sample(
        self, n: int, seed: int | None = None, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Returns `n` samples, float32: images, [n, H, W, C] in [-1, 1], or points, [n, D].

        Args:
            n: Number of samples, from 1 up.
            seed: A 64-bit integer that determines the samples. None draws a seed.
            label: Class of all samples, or of each sample, [n]: a label from 0 to K - 1 or a name of `classes`. Case,
                spaces, underscores and hyphens of a name do not matter. None draws classes uniformly. The latents do
                not depend on the label, unless the model's prior does.
            codes: Values of some of the model's `codes` by name, each for all samples, or one for each sample, [n]:
                {"category_0": 3, "continuous_0": 0.5}. All other numbers of the latents are those without this
                argument.

        Raises:
            UserError: If `n` or `seed` is not valid, there is no such class, or the model has no classes; if there is
                no such code, or it has no such value.
        """
        z, labels = self._draw(n, seed, label, codes)
        return self(z, labels if label is None else label)

    def walk(
        self,
        code: str,
        steps: int | None = None,
        rows: int = 1,
        seed: int | None = None,
        label: Any = None,
        codes: Mapping[str, Any] | None = None,
    ) -> np.ndarray:
        """Returns rows of samples in which only one code changes.

        Args:
            code: Name of one of `codes`. It goes from its lowest to its highest value; a categorical code takes each of
                its categories.
            steps: Number of samples in a row, from 2 up, for a continuous code. Defaults to 8. A categorical code has
                one sample for each category and takes no steps.
            rows: Number of rows. Each row has other latents.
            seed: As for `sample`.
            label: As for `sample`, for all samples or one for each row, [rows]. The samples of a row have one class.
            codes: Values of other codes, for all samples or one for each row, [rows].

        Returns:
            Samples, float32, [rows, steps, ...].

        Raises:
            UserError: If an argument is not valid, or there is no such code.
        """
        z, labels, columns = walk_latents(self, code, steps, _integer("rows", rows, least=1), seed, codes)
        if label is not None and self.classes is not None:
            labels = np.repeat(find_labels(label, self.classes, rows), columns)
        elif label is not None:
            labels = label  # which raises the error of a model without classes
        samples = self(z, labels)
        return samples.reshape(rows, columns, *samples.shape[1:])

    def sample_uint8(
        self, n: int, seed: int | None = None, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Returns the images of `sample` as uint8, [n, H, W, C].

        Raises:
            UserError: As for `sample`, or if the model generates points.
        """
        if len(self.metadata["shape"]) != 3:
            raise UserError(f"{self.path} generates points, which have no uint8 form: use sample.")
        return to_uint8(self.sample(n, seed, label, codes))

    def grid(
        self, n: int | None = None, seed: int | None = 0, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> "Image":
        """Returns a picture of samples, which a notebook shows: a grid of images, or a plot of points.

        Args:
            n: Number of samples. By default 16 images, or 8 of each class, a class a row; or 1000 points.
            seed: As for `sample`.
            label: As for `sample`.
            codes: As for `sample`.

        Raises:
            UserError: As for `sample`.
        """

        def sample(count, labels):
            return self.sample(count, seed, labels, codes)

        return of_model(sample, self.metadata["shape"], n, label, self.classes and len(self.classes))

    def __repr__(self) -> str:
        facts = self.metadata
        step = f", step {facts['step']}" if facts.get("step") is not None else ""
        what = f"{'x'.join(map(str, facts['shape']))} {'images' if len(facts['shape']) == 3 else 'points'}"
        parts = [f"{what} from {facts['latent_dim']} latents"]
        if self.classes:
            parts.append(f"classes {', '.join(self.classes)}")
        if self.codes:
            parts.append(f"codes {', '.join(self.codes)}")
        if self.has_encoder:
            parts.append("an encoder")
        card = self.path.parent / "card.md"
        if card.exists():
            parts.append(f"described in {card}")
        return f"<{facts['model']} on {facts['dataset']}{step}: {'; '.join(parts)}>"

    def latents(
        self, n: int, seed: int | None = None, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """Returns the latents of `sample(n, seed, label, codes)`, float32, [n, Z].

        Raises:
            UserError: As for `sample`.
        """
        return self._draw(n, seed, label, codes)[0]

    def labels(self, n: int, seed: int | None = None) -> np.ndarray | None:
        """Returns the labels of `sample(n, seed)`, int32, [n]; None for a model without labels.

        Raises:
            UserError: As for `sample`.
        """
        return self._draw(n, seed)[1]

    def _draw(
        self, n: int, seed: int | None, label: Any = None, codes: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        n = _integer("n", n, least=1)
        seed = secrets.randbits(63) if seed is None else _integer("seed", seed, least=-(2**63))
        if self.classes is None:
            return util_codes.place(self.codes, self._model.sample_latent(n, seed).numpy(), codes), None
        # Exports of early versions have no `sample_latent_class`. Their latents do not depend on labels.
        if label is None or not hasattr(self._model, "sample_latent_class"):
            z, labels = self._model.sample_latent(n, seed)
        else:
            z, labels = self._model.sample_latent_class(n, seed, find_labels(label, self.classes, n).astype(np.int64))
        return util_codes.place(self.codes, z.numpy(), codes), labels.numpy()

    def interpolate(self, seed_a: int, seed_b: int, steps: int, label: Any = None) -> np.ndarray:
        """Returns samples between `sample(1, seed_a)` and `sample(1, seed_b)`, both included: see `interpolate`.

        If the model has classes, all samples have the same class, and only the latents change. Categorical codes, too,
        are those of the first sample.

        Args:
            seed_a: Seed of the first sample.
            seed_b: Seed of the last sample.
            steps: Number of samples, from 2 up.
            label: The class, as for `sample`. Defaults to the class of the first sample.

        Returns:
            Samples, float32, [steps, ...].

        Raises:
            UserError: If `steps` is less than 2, a seed is not a 64-bit integer, there is no such class, or the model
                has no classes.
        """
        (start,), first = self._draw(1, seed_a, label)
        if label is None and first is not None:
            label = first[0]
        (stop,), _ = self._draw(1, seed_b, label)
        return self(interpolate(start, stop, steps, prior=self.metadata["prior"], codes=self.codes), label)

    def __call__(self, z: np.ndarray, label: Any = None) -> np.ndarray:
        """Returns the samples for given latents.

        Args:
            z: Latents, [B, Z].
            label: For a model with classes, the class of all samples, or of each sample, [B], as for `sample`.

        Returns:
            Samples, float32: images, [B, H, W, C] in [-1, 1], or points, [B, D].

        Raises:
            UserError: If `z` has another shape, `label` is missing or not a class, or the model has no classes.
        """
        z = np.asarray(z, np.float32)
        size = self.metadata["latent_dim"]
        if z.ndim != 2 or z.shape[1] != size:
            raise UserError(f"z must be of shape [B, {size}], not {list(z.shape)}.")
        inputs = [z, *self._labels_for(label, len(z))]
        return _in_chunks(self._model.serving_default, inputs, self.metadata["shape"])

    def _labels_for(self, label: Any, n: int) -> list[np.ndarray]:
        """Returns a list of the labels of n samples, which is empty for a model without labels."""
        if self.classes is None:
            if label is not None:
                raise UserError(f"label={label}: {self.path} was trained without labels: leave label out.")
            return []
        if label is None:
            raise UserError(f"label is missing: {self.path} generates samples of {len(self.classes)} classes.")
        return [find_labels(label, self.classes, n)]

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Returns the codes of images, float32, [B, Z]: latents from which the model makes similar images.

        Args:
            images: Images, [B, H, W, C], floats in [-1, 1] or uint8, of the size and channels of the samples. For a
                model of points, floats, [B, D].

        Raises:
            UserError: If the model has no encoder, or the images have another shape, type or range.
        """
        self.require_encoder()
        return _in_chunks(self._model.encode, [self._as_input(images)], [self.metadata["latent_dim"]])

    def reconstruct(self, images: np.ndarray, label: Any = None) -> np.ndarray:
        """Returns the model's reconstructions of images: the samples for their codes, float32, [B, H, W, C].

        Args:
            images: As for `encode`.
            label: For a model with classes, the class of all images, or of each image, [B], as for `sample`.

        Raises:
            UserError: As for `encode`, or if `label` is missing or not a class, or the model has no classes.
        """
        self.require_encoder()
        images = self._as_input(images)
        inputs = [images, *self._labels_for(label, len(images))]
        return _in_chunks(self._model.reconstruct, inputs, self.metadata["shape"])

    def interpolate_images(self, image_a: np.ndarray, image_b: np.ndarray, steps: int, label: Any = None) -> np.ndarray:
        """Returns samples between the reconstructions of two images, both included, by way of their codes.

        Args:
            image_a: The first image, [H, W, C], floats in [-1, 1] or uint8.
            image_b: The last image.
            steps: Number of samples, from 2 up.
            label: For a model with classes, the class of all samples.

        Returns:
            Samples, float32, [steps, H, W, C]: see `interpolate`.

        Raises:
            UserError: As for `reconstruct`, or if `steps` is less than 2.
        """
        (start,), (stop,) = (self.encode(np.asarray(image)[np.newaxis]) for image in (image_a, image_b))
        return self(interpolate(start, stop, steps, prior=self.metadata["prior"]), label)

    def require_encoder(self) -> None:
        """Checks that the model can encode and reconstruct examples.

        Raises:
            UserError: If it has no encoder.
        """
        if not self.has_encoder:
            raise UserError(
                f"{self.path} is a {self.metadata['model']}, which has no encoder: encoding and reconstruction need a "
                f"model with one, see the table of variants in README.md."
            )

    def _as_input(self, images: np.ndarray) -> np.ndarray:
        """Checks examples and returns them as float32, images in [-1, 1]."""
        images, shape = np.asarray(images), self.metadata["shape"]
        if list(images.shape[1:]) != shape or not images.ndim:
            raise UserError(
                f"images must be of shape [B, {', '.join(map(str, shape))}], like the samples of {self.path}, not "
                f"{list(images.shape)}."
            )
        if images.dtype == np.uint8 and len(shape) == 3:
            return images.astype(np.float32) / np.float32(127.5) - np.float32(1)
        if images.dtype.kind != "f":
            wanted = "floats in [-1, 1] or uint8" if len(shape) == 3 else "floats"
            raise UserError(f"images must be {wanted}, not {images.dtype}.")
        if not np.isfinite(images).all():
            raise UserError("images has values that are NaN or infinite: remove or replace them.")
        if len(shape) == 3 and np.abs(images).max(initial=0.0) > _LARGEST:
            raise UserError(
                f"images has values from {images.min():g} to {images.max():g}, and the model takes floats in [-1, 1]: "
                f"pass uint8 images, or scale them."
            )
        return images.astype(np.float32)


def _in_chunks(function: Any, inputs: list[np.ndarray], shape: list[int]) -> np.ndarray:
    """Returns the results of a model's function for arrays with the same first axis: float32, [B, *shape]."""
    results = np.empty((len(inputs[0]), *shape), np.float32)
    for start in range(0, len(results), _CHUNK):
        part = slice(start, start + _CHUNK)
        results[part] = function(*(value[part] for value in inputs)).numpy()
    return results


def walk_latents(
    generator: Any, code: str, steps: int | None, rows: int, seed: int | None, codes: Mapping[str, Any] | None = None
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Returns the latents and the labels of `Pretrained.walk`, row by row, and the number of samples in a row.

    Args:
        generator: A `Pretrained`, or another object with its `codes`, `latents` and `labels`.
        code: As for `walk`. So are all other arguments.

    Raises:
        UserError: As for `walk`.
    """
    found = util_codes.find(generator.codes, code, "code")
    if found.kind == "categorical" and steps is not None:
        raise UserError(f"steps={steps}: {code} takes each of its {found.size} categories: leave steps out.")
    if code in (codes or {}):
        raise UserError(f"codes: {code} changes along the walk: leave it out.")
    values = found.values(_integer("steps", 8 if steps is None else steps, least=2))
    seed = secrets.randbits(63) if seed is None else seed
    z, labels = generator.latents(rows, seed, codes=codes), generator.labels(rows, seed)
    z = np.repeat(z, len(values), axis=0)
    z = util_codes.place(generator.codes, z, {code: np.tile(values, rows)})
    return z, None if labels is None else np.repeat(labels, len(values)), len(values)


def interpolate(
    start: np.ndarray, stop: np.ndarray, steps: int, *, prior: str, codes: Mapping[str, Code] | None = None
) -> np.ndarray:
    """Returns latents between `start` and `stop`, both included and exact.

    For a normal prior they are on the arc of White (2016), along which latents have the usual length of draws from
    N(0, I). Halfway along the straight line they would be shorter than the latents in training. For other priors they
    are on the straight line. Continuous codes are on the straight line, too, and categorical codes are those of
    `start`, because there is no category between two others.

    Args:
        start: The first latent vector, [Z].
        stop: The last latent vector, [Z].
        steps: Number of latents, from 2 up.
        prior: "normal", or the name of another prior.
        codes: The parts of the latents that are codes, after the noise. None for none.

    Returns:
        float32, [steps, Z].

    Raises:
        UserError: If `steps` is less than 2.

    References:
        White, 2016, https://arxiv.org/abs/1609.04468
    """
    steps = _integer("steps", steps, least=2)
    t = np.linspace(0, 1, steps)[:, np.newaxis]
    start, stop = np.asarray(start, np.float64), np.asarray(stop, np.float64)
    if codes:
        first = min(code.start for code in codes.values())
        noise = interpolate(start[:first], stop[:first], steps, prior=prior)
        stop = stop.copy()
        for code in codes.values():
            if code.kind == "categorical":
                stop[code.slice] = start[code.slice]
        return np.concatenate([noise, ((1 - t) * start + t * stop)[:, first:]], axis=1).astype(np.float32)
    if prior == "normal":
        lengths = np.linalg.norm(start) * np.linalg.norm(stop)
        angle = np.arccos(np.clip(start @ stop / lengths, -1, 1)) if lengths else 0.0
        # There is no unique arc between parallel vectors.
        if np.sin(angle) > 1e-6:
            arc = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * stop) / np.sin(angle)
            return arc.astype(np.float32)
    return ((1 - t) * start + t * stop).astype(np.float32)


def _integer(name: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number < 2**63:
        bounds = "a 64-bit integer" if least < 0 else f"a whole number from {least} up"
        raise UserError(f"{name} must be {bounds}, not {value!r}.")
    return number
