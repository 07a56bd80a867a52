"""Trained generators by name or path, ready to sample from.

    import gan_zoo

    faces = gan_zoo.load_pretrained("wgan_gp-celeb_a")
    images = faces.sample(16, seed=0)                   # float32 [16, 64, 64, 3] in [-1, 1]
    walk = faces.interpolate(0, 1, steps=8)

A model that was trained with labels makes samples of a class:

    model.classes                                       # ("t-shirt_top", "trouser", ...)
    boots = model.sample(16, seed=0, label="ankle boot")

The networks are SavedModels, see `gan_zoo.export.saved_model`. A SavedModel's graph is code: it can read and write
files with the rights of whoever samples from it. Releases are therefore verified against the index that comes with this
package before TensorFlow sees them, what this user exported on this machine against the list of these exports
(`gan_zoo.releases.exports`), and any other SavedModel is loaded only where the caller says `trust=True`.
"""

import json
import operator
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from gan_zoo import releases
from gan_zoo.releases import exports
from gan_zoo.util import checks
from gan_zoo.util.class_names import find_labels
from gan_zoo.util.errors import UserError
from gan_zoo.util.pictures import to_uint8
from gan_zoo.util.specs import suggest
from gan_zoo.util.tensorflow_paths import tensorflow_path

_CHUNK = 256
"""Samples made at once: what large numbers of them take in memory is then the samples alone."""

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
    """Loads a released generator by its name, or any exported one by its path.

    A release's files are compared with the sizes and the SHA-256 of the index before they are loaded, wherever they
    come from. So are those that this user's own processes exported on this machine. Of other files nobody knows what
    they hold, so that these need `trust`.

    Args:
        name_or_path: The name of a release, or the path of a SavedModel that gan_zoo exported, or of a folder with such
            a `saved_model/` in it, as run folders are. Where a name is also that of a folder here, the release is
            meant; `./name` is the folder.
        trust: Whether a SavedModel that is neither a release nor an own export may be loaded. Its graph is code, which
            runs with the rights of this process: trust what you have from someone whose programs you would run, or
            exported yourself on another machine.
        mirror: Where releases come from: the http or https address of a copy of the `pretrained/` folder, or such a
            folder. None is the one in the variable `GAN_ZOO_MIRROR`, or else the clone's own.
        cache_dir: Folder for what comes from an address. None is `$GAN_ZOO_CACHE/pretrained`, or
            `~/.cache/gan_zoo/pretrained`.
        index: The path of an index of your own, see `gan_zoo.releases.index`, in place of the package's. Its releases
            are loaded as the zoo's are, so it must come from whom you trust. Without `mirror` they lie beside it.

    Raises:
        UserError: If there is no such release and no such path, the release is not available or is not what the index
            says, the path of something else than an own export is given without `trust`, or what is there cannot be
            used.
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
    """The names of the released generators, sorted.

    Args:
        index: As for `load_pretrained`.

    Raises:
        UserError: If the index cannot be read or is malformed.
    """
    known = releases.read_index(index)
    return sorted(name for name, release in known.items() if f"{_FOLDER}saved_model.pb" in release.files)


def find(path: str | Path, index: str | Path | None = None) -> Path:
    """The SavedModel folder that `load_pretrained` would load for a path.

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
        f"{path} is no SavedModel folder and has no saved_model/ folder in it: name one that gan_zoo exported, or a "
        f"released model."
    )


def hint(name: str = "", index: str | Path | None = None) -> str:
    """Sentences that say which models there are, to put behind an error about an unknown `name`."""
    names = released(index)
    if not names:
        return (
            "The index has no released models: give the path of a SavedModel that gan_zoo exported, or of a run folder."
        )
    released_are = f"Released are {', '.join(names)}; the path of a SavedModel or of a run folder works too."
    return f"{suggest(name, names)} {released_are}".lstrip()


def _read(folder: Path, path: Path) -> Any:
    """What TensorFlow loads from a folder; `path` is its name in errors."""
    # Not before it is needed, so that a mistyped name is told at once.
    import tensorflow as tf

    try:
        with tensorflow_path(folder) as path_of_it:
            return tf.saved_model.load(path_of_it)
    except Exception as error:
        # TensorFlow raises a dozen kinds of exception for broken files.
        raise UserError(f"{path} cannot be read as a SavedModel ({type(error).__name__}: {error}).") from error


class Pretrained:
    """A trained generator; `load_pretrained` makes it.

    Args:
        model: A SavedModel, as TensorFlow loads it.
        path: Where it comes from.

    Attributes:
        path: The SavedModel folder, or the archive that it came in.
        metadata: What the model is: "model", "dataset", "step", "shape", "value_range", "latent_dim", "prior",
            "classes" and more, see `gan_zoo.export.saved_model.METADATA`.
        classes: Names of the K classes, by label; None for a model without labels.

    Raises:
        UserError: If it is not of gan_zoo's.
    """

    def __init__(self, model: Any, path: str | Path):
        self.path = Path(path)
        self._model = model
        missing = [name for name in _ENDPOINTS if not callable(getattr(model, name, None))]
        if missing:
            raise UserError(
                f"{path} is a SavedModel, but none that gan_zoo exported: it has no {missing[0]!r}. Export the GAN "
                f"with gan_zoo.export.saved_model."
            )
        self.metadata: dict[str, Any] = json.loads(model.metadata().numpy())
        names = self.metadata.get("classes")  # exports from before there were labels have none
        self.classes: tuple[str, ...] | None = None if names is None else tuple(names)

    def sample(self, n: int, seed: int | None = None, label: Any = None) -> np.ndarray:
        """`n` samples, float32: images, [n, H, W, C] in [-1, 1], or points, [n, D].

        Args:
            n: From 1 up.
            seed: Decides the samples; a 64-bit integer. None draws one.
            label: Class of all samples, or of each, [n]: a label from 0 to K - 1 or a name of `classes`, of which case,
                spaces, underscores and hyphens do not matter. None draws classes uniformly. The latents are the same
                with any label.

        Raises:
            UserError: If `n` or `seed` is none of these, there is no such class, or the model has no classes.
        """
        n = _integer("n", n, least=1)
        z, labels = self._draw(n, seed)
        return self(z, labels if label is None else label)

    def sample_uint8(self, n: int, seed: int | None = None, label: Any = None) -> np.ndarray:
        """As `sample`, for images: uint8, [n, H, W, C].

        Raises:
            UserError: As `sample`, or if the model makes points.
        """
        if len(self.metadata["shape"]) != 3:
            raise UserError(f"{self.path} makes points, which have no uint8 form: use sample.")
        return to_uint8(self.sample(n, seed, label))

    def latents(self, n: int, seed: int | None = None) -> np.ndarray:
        """The latents of `sample(n, seed)`, float32, [n, Z].

        Raises:
            UserError: As for `sample`.
        """
        return self._draw(n, seed)[0]

    def labels(self, n: int, seed: int | None = None) -> np.ndarray | None:
        """The labels of `sample(n, seed)`, int32, [n]; None for a model without labels.

        Raises:
            UserError: As for `sample`.
        """
        return self._draw(n, seed)[1]

    def _draw(self, n: int, seed: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        n = _integer("n", n, least=1)
        seed = secrets.randbits(63) if seed is None else _integer("seed", seed, least=-(2**63))
        drawn = self._model.sample_latent(n, seed)
        if self.classes is None:
            return drawn.numpy(), None
        z, labels = drawn
        return z.numpy(), labels.numpy()

    def interpolate(self, seed_a: int, seed_b: int, steps: int, label: Any = None) -> np.ndarray:
        """Samples on the way from `sample(1, seed_a)` to `sample(1, seed_b)`, both included; see `interpolate`.

        Of a model with classes, all samples on the way are of one class, and only the latents move.

        Args:
            seed_a: Seed of the first sample.
            seed_b: Seed of the last sample.
            steps: How many samples, from 2 up.
            label: The class, as for `sample`. None takes that of the first sample.

        Returns:
            Samples, float32, [steps, ...].

        Raises:
            UserError: If `steps` is less than 2, a seed is not a 64-bit integer, there is no such class, or the model
                has no classes.
        """
        (start,), first = self._draw(1, seed_a)
        (stop,), _ = self._draw(1, seed_b)
        if label is None and first is not None:
            label = first[0]
        return self(interpolate(start, stop, steps, prior=self.metadata["prior"]), label)

    def __call__(self, z: np.ndarray, label: Any = None) -> np.ndarray:
        """Samples for latents.

        Args:
            z: [B, Z].
            label: For a model with classes, the class of all samples, or of each, [B]: as for `sample`.

        Returns:
            Samples, float32: images, [B, H, W, C] in [-1, 1], or points, [B, D].

        Raises:
            UserError: If `z` has another shape, `label` is missing or not a class, or the model has no classes.
        """
        z = np.asarray(z, np.float32)
        size = self.metadata["latent_dim"]
        if z.ndim != 2 or z.shape[1] != size:
            raise UserError(f"z must be of shape [B, {size}], not {list(z.shape)}.")
        inputs = [z]
        if self.classes is None and label is not None:
            raise UserError(f"label={label}: {self.path} was trained without labels: leave label out.")
        if self.classes is not None:
            if label is None:
                raise UserError(f"label is missing: {self.path} makes samples of {len(self.classes)} classes.")
            inputs.append(find_labels(label, self.classes, len(z)))
        samples = np.empty((len(z), *self.metadata["shape"]), np.float32)
        for start in range(0, len(z), _CHUNK):
            part = slice(start, start + _CHUNK)
            samples[part] = self._model.serving_default(*(value[part] for value in inputs)).numpy()
        return samples


def interpolate(start: np.ndarray, stop: np.ndarray, steps: int, *, prior: str) -> np.ndarray:
    """Latents on the way from `start` to `stop`, both included and exact.

    For a normal prior the way is the arc of White (2016), along which latents keep the length that N(0, I) gives them;
    halfway along the straight line they would be shorter than any the network was trained on. For other priors it is
    the straight line.

    Args:
        start: [Z].
        stop: [Z].
        steps: How many latents, from 2 up.
        prior: "normal", or the name of another prior.

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
    if prior == "normal":
        lengths = np.linalg.norm(start) * np.linalg.norm(stop)
        angle = np.arccos(np.clip(start @ stop / lengths, -1, 1)) if lengths else 0.0
        # Latents in line with each other have no arc between them.
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
