"""Samples from a trained model: `python -m gan_zoo.sample --model=wgan_gp-celeb_a --output=faces.png`."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from absl import flags

from gan_zoo.sampling import pretrained, real_images
from gan_zoo.util import checks, command_line, files, pictures
from gan_zoo.util import codes as util_codes
from gan_zoo.util.class_names import find_labels, shown_classes
from gan_zoo.util.errors import UserError

USAGE = """
Draws samples from a trained generator: python -m gan_zoo.sample --model=wgan_gp-celeb_a --output=faces.png

The same model, number and seed give the same samples again. If the model was trained with labels, --label selects a
class; without --label, a picture has a row for each class. If its latents have codes, --codes sets some of them, and
--walk shows one of them along each row. A model with an encoder also shows real images beside its reconstructions:
--reconstruct=folder:PATH, or a dataset's name.
"""

GROUPS = {
    "What": ["model", "num", "seed", "label", "interpolate", "codes", "walk"],
    "Real images": ["reconstruct", "data_dir", "split"],
    "Source of the model": ["mirror", "index", "trust"],
    "Refinement": ["refine", "refine_steps", "refine_step_size", "refine_noise", "refine_gradient_clip"],
    "Result": ["output", "columns"],
}

_SUFFIXES = (".png", ".npy", ".npz")
_MOST = 10**6
"""Maximum number of samples in a file."""
_LEAST_WALK = 4
"""Minimum number of images in a row between two real images: these two and their reconstructions."""
REFINEMENTS = ("none", "latent", "pixel")


def define_flags() -> None:
    """Defines the flags of the tool. This is not done at import, because other tools have flags of the same names."""
    flags.DEFINE_string("model", None, "A released model's name, or the path of a SavedModel or a run folder.")
    flags.DEFINE_string(
        "mirror",
        None,
        "Address (http or https) or folder of the releases; by default $GAN_ZOO_MIRROR, or pretrained/ of the clone.",
    )
    flags.DEFINE_string("index", None, "Path of another index of releases, to use instead of the package's.")
    flags.DEFINE_bool(
        "trust",
        False,
        "Load a SavedModel that is neither a release nor your own export. It can run code with your rights.",
    )
    flags.DEFINE_integer(
        "num", 64, "Number of samples. If a picture has a row for each class, a row has about the square root of it."
    )
    flags.DEFINE_integer("seed", 0, "Seed of the latents.")
    flags.DEFINE_string("label", None, "The class of all samples: its label or its name, such as 3 or ankle_boot.")
    flags.DEFINE_bool(
        "interpolate", False, "Interpolate in each row from one random sample, or real image, to another."
    )
    flags.DEFINE_string(
        "reconstruct",
        None,
        "Real images, folder:PATH or a dataset such as digits: below each row of them is a row of reconstructions. "
        "--num limits the number of images of both kinds together. --seed selects the real images.",
    )
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets for --reconstruct.")
    flags.DEFINE_string("split", "train", "Split of a TFDS dataset for --reconstruct, such as test.")
    flags.DEFINE_string("codes", None, "Values of codes of the latents, such as category_0=3,continuous_0=0.5.")
    flags.DEFINE_string(
        "walk",
        None,
        "A code that changes along each row: from its lowest to its highest value, or all categories.",
    )
    flags.DEFINE_string(
        "output", "samples.png", "The file: .png is a picture, .npy and .npz hold float32 arrays, images in [-1, 1]."
    )
    flags.DEFINE_enum(
        "refine",
        "none",
        list(REFINEMENTS),
        "Refine samples in this space by Langevin dynamics on the discriminator of a run folder: see gan_zoo.refine.",
    )
    flags.DEFINE_integer("refine_steps", 20, "Number of Langevin steps.")
    flags.DEFINE_float("refine_step_size", 0.1, "Langevin step size, in units of the latents or of the samples.")
    flags.DEFINE_float(
        "refine_noise", 0.1, "Factor of the Langevin noise; 1 as in the paper, 0 for gradient ascent of the score."
    )
    flags.DEFINE_float("refine_gradient_clip", 0.0, "Bound of each component of the score's gradient; 0 for none.")
    flags.DEFINE_integer("columns", None, "Images in a row; by default the picture is about square.")


def main() -> None:
    values = flags.FLAGS
    shared = {
        **{name: getattr(values, name) for name in ("num", "seed", "label", "interpolate", "columns")},
        **{name: getattr(values, name) for name in ("trust", "mirror", "index")},
    }
    if values.reconstruct is not None:
        if values.refine != "none":
            raise UserError(f"--refine={values.refine} refines samples, not --reconstruct: leave one of them out.")
        for name in ("codes", "walk"):
            if getattr(values, name) is not None:
                raise UserError(f"--{name} is for samples, not for --reconstruct: leave one of them out.")
        where = {"data_dir": values.data_dir, "split": values.split}
        print(write_reconstructions(values.model, values.output, values.reconstruct, **where, **shared))
        return
    for name in ("data_dir", "split"):
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} is for the real images of --reconstruct, which is missing: leave --{name} out.")
    print(
        write_samples(
            values.model,
            values.output,
            **shared,
            codes=values.codes,
            walk=values.walk,
            refine=values.refine,
            steps=values.refine_steps,
            step_size=values.refine_step_size,
            noise=values.refine_noise,
            gradient_clip=values.refine_gradient_clip,
        )
    )


def write_samples(
    model: str | None,
    output: str | Path,
    *,
    num: int = 64,
    seed: int = 0,
    label: int | str | None = None,
    interpolate: bool = False,
    codes: str | None = None,
    walk: str | None = None,
    columns: int | None = None,
    trust: bool = False,
    mirror: str | Path | None = None,
    index: str | Path | None = None,
    refine: str = "none",
    **dynamics: float,
) -> str:
    """Samples a model and writes the samples to a file.

    Args:
        model: As for `gan_zoo.load_pretrained`.
        output: The file. ".png" is a picture, a grid of images or a cloud of points. ".npy" is the samples as a float32
            array, [num, ...]. ".npz" is a compressed archive of "samples", the same array, "latents", [num, Z], and for
            a model with classes "labels", [num].
        num: Number of samples. If a picture of images has a row for each class, its rows have `columns` samples each,
            by default the square root of `num`.
        seed: Determines the samples.
        label: For a model with classes, the class of all samples: its label or its name. None uses all classes, but at
            most 16 in a picture of images: one for each row of a picture or interpolation, and otherwise at random.
        interpolate: Whether each row of the picture interpolates from one random sample to another.
        codes: Values of codes of the latents, "category_0=3,continuous_0=0.5"; None for random ones.
        walk: Name of a code that changes along each row: see `Pretrained.walk`. There are as many complete rows as
            `num` samples fill, at least one.
        columns: Images in a row. With `interpolate` it must divide `num`. With `walk` it is the number of steps of a
            continuous code, by default 8.
        trust: As for `gan_zoo.load_pretrained`. If the samples of a run of a user's own class are refined, it allows to
            import the module of the class.
        mirror: As for `gan_zoo.load_pretrained`.
        index: As for `gan_zoo.load_pretrained`.
        refine: "none", or the space in which the discriminator refines the samples, "latent" or "pixel". The model must
            then be a run folder.
        **dynamics: Numbers of `gan_zoo.refine.Dynamics`.

    Returns:
        One line that says what was written.

    Raises:
        UserError: If the model is not available, the file cannot be written, a number does not fit, or there is no such
            class.
    """
    output = _check_request(model, output, num, seed, columns, index)
    given = None if codes is None else util_codes.parse(codes, "--codes")
    if walk is not None and interpolate:
        raise UserError("--walk and --interpolate both say what changes along a row: leave one of them out.")
    if interpolate:
        columns = _steps(num, columns)
    if refine == "none":
        generator = pretrained.load_pretrained(model, trust=trust, mirror=mirror, index=index)
    else:
        generator = _Refined(model, seed, refine, dynamics, trust)
    if walk is not None:
        columns, num = _walk_size(generator, walk, columns, num)
    in_rows = output.suffix.lower() == ".png" and len(generator.metadata["shape"]) == 3 and not interpolate
    if generator.classes and label is None and in_rows and walk is None:
        columns = columns or math.isqrt(num)
        num = columns * len(shown_classes(len(generator.classes)))
        if num > _MOST:
            raise UserError(f"--columns={columns} makes {num} samples of all classes, but a file has at most {_MOST}.")
    labels = _labels(generator, label, num, seed, columns if interpolate or in_rows or walk else None)
    with _flags_of_codes():
        if walk is None:
            latents = _latents(generator, num, seed, labels, columns if interpolate else None, given)
        else:
            steps = columns if generator.codes[walk].kind == "continuous" else None
            latents, _, _ = pretrained.walk_latents(generator, walk, steps, num // columns, seed, given)
    samples = generator(latents, labels)
    arrays = {"samples": samples, "latents": latents, **({} if labels is None else {"labels": labels})}
    _save(output, lambda: pictures.picture(samples, columns=columns), arrays)
    shape = "x".join(str(side) for side in generator.metadata["shape"])
    of_class = "" if label is None else f", class {generator.classes[labels[0]]}"
    return f"{output}: {num} samples of {generator.metadata['model']}, {shape}, seed {seed}{of_class}"


def write_reconstructions(
    model: str | None,
    output: str | Path,
    data: str,
    *,
    num: int = 64,
    seed: int = 0,
    label: int | str | None = None,
    interpolate: bool = False,
    columns: int | None = None,
    data_dir: str | Path | None = None,
    split: str = "train",
    trust: bool = False,
    mirror: str | Path | None = None,
    index: str | Path | None = None,
) -> str:
    """Writes real images and what a model with an encoder makes of them to a file.

    In a picture, the rows of real images and of their reconstructions alternate. With `interpolate`, each row begins
    and ends with a real image, and the samples between them lead from the reconstruction of the first to that of the
    last.

    Args:
        model: As for `gan_zoo.load_pretrained`.
        output: The file. ".png" is a picture. ".npy" is the pairs as a float32 array, [N, 2, H, W, C], or with
            `interpolate` the rows, [N, columns, H, W, C]. ".npz" holds the same as "pairs" or "rows", and for a model
            with classes "labels", [N].
        data: "folder:PATH", or the name of a dataset of images: see `gan_zoo.data.find_source`.
        num: Largest number of images, real and generated together.
        seed: Selects the real images.
        label: For a model with classes, the class of all images: its label or its name. None uses the labels of the
            data, whose classes must have the same names as the model's.
        interpolate: Whether rows interpolate between real images.
        columns: Images in a row.
        data_dir: Folder of TFDS's datasets.
        split: Split of a TFDS dataset.
        trust: As for `gan_zoo.load_pretrained`. So are `mirror` and `index`.

    Returns:
        One line that says what was written.

    Raises:
        UserError: If the model or the data are not available, the model has no encoder, the images have other channels,
            the file cannot be written, a number does not fit, or there is no such class.
    """
    output = _check_request(model, output, num, seed, columns, index)
    if num < 2:
        raise UserError(f"--num must be 2 or more to reconstruct images, not {num}.")
    if interpolate:
        columns = _steps(num, columns)
        if columns < _LEAST_WALK:
            raise UserError(
                f"--columns must be {_LEAST_WALK} or more to interpolate between real images, which are the ends of a "
                f"row, and it is {columns} for --num={num}."
            )
    generator = pretrained.load_pretrained(model, trust=trust, mirror=mirror, index=index)
    count = 2 * (num // columns) if interpolate else num // 2
    images, labels = real_images.choose(generator, data, count, seed, label=label, data_dir=data_dir, split=split)
    if interpolate:
        rows, labels = real_images.walks(generator, images, labels, columns)
        _save(output, lambda: pictures.grid(np.concatenate(rows), columns), _arrays("rows", rows, labels))
        what = f"{len(rows)} walks between {2 * len(rows)} images"
    else:
        pairs = np.stack([images, generator.reconstruct(images, labels)], axis=1)
        _save(output, lambda: real_images.picture(pairs, columns), _arrays("pairs", pairs, labels))
        what = f"{len(pairs)} images and their reconstructions"
    return f"{output}: {what} by {generator.metadata['model']}, {data}, seed {seed}"


def _arrays(name: str, values: np.ndarray, labels: np.ndarray | None) -> dict[str, np.ndarray]:
    return {name: values, **({} if labels is None else {"labels": labels})}


def _check_request(
    model: str | None, output: str | Path, num: int, seed: int, columns: int | None, index: str | Path | None
) -> Path:
    """Checks the arguments that samples and reconstructions share, before the work, which may take long.

    Returns:
        The file.
    """
    if not model:
        raise UserError(f"--model is missing. {pretrained.hint(index=index)}")
    for name, value in (("num", num), ("columns", columns)):
        if value is not None and value < 1:
            raise UserError(f"--{name} must be 1 or more, not {value}.")
        if value is not None and value > _MOST:
            raise UserError(f"--{name} must be at most {_MOST}, not {value}.")
    if not -(2**63) <= seed < 2**63:
        raise UserError(f"seed must be a 64-bit integer, not {seed}.")
    output = checks.path("--output", output)
    checks.path("--model", model)
    if output.suffix.lower() not in _SUFFIXES:
        raise UserError(f"--output={output} must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}.")
    if output.is_dir():
        raise UserError(f"--output={output} is a folder: name a file.")
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f"--output={output} cannot be written: {folder} is not a folder with write access.")
    return output


def _save(output: Path, picture: Callable[[], np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    """Writes the file: a picture, the first of the arrays, or all of them."""
    try:
        if output.suffix.lower() == ".png":
            pictures.save_png(picture(), output)
            return
        with files.atomic_file(output) as file:
            if output.suffix.lower() == ".npy":
                np.save(file, next(iter(arrays.values())))
            else:
                np.savez_compressed(file, **arrays)
    except OSError as error:
        raise UserError(f"--output={output} cannot be written: {error.strerror or error}.") from error


class _Refined:
    """The GAN of a run folder with samples that its discriminator refines. It is used like `pretrained.Pretrained`."""

    def __init__(self, run_dir: str | Path, seed: int, space: str, dynamics: dict[str, float], trust: bool):
        from gan_zoo.run_folder import checkpoints, trained_gan
        from gan_zoo.sampling.refine import Dynamics

        try:
            self._dynamics = {"space": space, **dynamics}
            Dynamics(**self._dynamics)
        except UserError as error:
            raise UserError(f"--refine_{error}") from None
        run_dir = checks.path("--model", run_dir)
        if not checkpoints.list_checkpoints(run_dir / "checkpoints"):
            if str(run_dir) not in pretrained.released():
                pretrained.find(run_dir)  # raises an error if there is no such model
            raise UserError(
                f"--refine={space} needs the discriminator, but {run_dir} is not a run folder of train.py: give one as "
                f"--model. A SavedModel contains the generator alone."
            )
        self._gan, _, settings = trained_gan.load_gan(run_dir, trust=trust)
        self._seed = seed
        self.codes = self._gan.codes
        self.metadata = {
            "model": f"{settings['model']}, refined in {space} space",
            "shape": self._gan.sampling_network.output_shape[1:],
            "prior": self._gan.prior,
        }
        self.classes = None
        if self._gan.classes is not None:
            self.classes = tuple(settings["data"].get("classes") or map(str, range(self._gan.classes)))

    def latents(
        self, n: int, seed: int, label: np.ndarray | None = None, codes: dict[str, float] | None = None
    ) -> np.ndarray:
        return util_codes.place(self.codes, self._draw(n, seed, label)[0].numpy(), codes)

    def labels(self, n: int, seed: int) -> np.ndarray | None:
        labels = self._draw(n, seed)[1]
        return None if labels is None else labels.numpy()

    def _draw(self, n: int, seed: int, label: np.ndarray | None = None):
        z = self._gan.sample_latent(n, seed, **({} if label is None else {"label": label}))
        return (z, None) if self.classes is None else z

    def __call__(self, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        from gan_zoo.sampling.refine import refine

        latents = z if labels is None else (z, labels)
        return refine(self._gan, latents, seed=self._seed, **self._dynamics).numpy()


def _steps(num: int, columns: int | None) -> int:
    """The number of samples in an interpolation: `columns`, or the divisor of `num` for a nearly square picture."""
    if num < 2:
        raise UserError(f"--num must be 2 or more to interpolate, not {num}.")
    if columns is None:
        return next(k for k in range(max(2, math.isqrt(num - 1) + 1), num + 1) if num % k == 0)
    if columns < 2 or num % columns:
        raise UserError(f"--columns must be 2 or more and divide --num={num} to interpolate, which {columns} does not.")
    return columns


def _labels(generator, label, num: int, seed: int, columns: int | None) -> np.ndarray | None:
    """The labels of the samples, [num]: one class, a class for each row of `columns`, or random classes."""
    if generator.classes is None:
        if label is not None:
            raise UserError(
                f"--label={label}: {generator.metadata['model']} was trained without labels: leave --label out."
            )
        return None
    if label is not None:
        return find_labels(label, generator.classes, num, "--label")
    if columns is None:
        return generator.labels(num, seed)
    shown = shown_classes(len(generator.classes))
    return np.array([shown[k // columns % len(shown)] for k in range(num)], np.int32)


def _latents(
    generator, num: int, seed: int, labels: np.ndarray | None, steps: int | None, given: dict[str, float] | None
) -> np.ndarray:
    if steps is None:
        return generator.latents(num, seed, labels, given)
    ends = None if labels is None else np.repeat(labels[::steps], 2)  # a row has one class
    pairs = generator.latents(2 * num // steps, seed, ends, given).reshape(num // steps, 2, -1)
    how = {"prior": generator.metadata["prior"], "codes": generator.codes}
    return np.concatenate([pretrained.interpolate(*pair, steps, **how) for pair in pairs])


def _walk_size(generator, walk: str, columns: int | None, num: int) -> tuple[int, int]:
    """The number of samples in a row of a walk, and in all rows."""
    code = util_codes.find(generator.codes, walk, "--walk")
    if code.kind == "categorical" and columns not in (None, code.size):
        raise UserError(f"--columns={columns}: --walk={walk} has {code.size} categories in a row: leave --columns out.")
    columns = code.size if code.kind == "categorical" else columns or 8
    if columns < 2:
        raise UserError(f"--columns must be 2 or more to walk along {walk}, not {columns}.")
    return columns, max(num // columns, 1) * columns


@contextlib.contextmanager
def _flags_of_codes() -> Iterator[None]:
    """Makes errors about codes name the flag `--codes`."""
    try:
        yield
    except UserError as error:
        raise UserError(f"--{error}" if str(error).startswith("codes: ") else str(error)) from None


if __name__ == "__main__":
    define_flags()
    command_line.main(main, USAGE, GROUPS)
