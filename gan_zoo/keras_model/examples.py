"""Checks of real examples: the data that a GAN's networks accept, and error messages for all other data.

The same rules hold for `fit`, `train_on_batch` and a direct `train_step`:

- x is one tensor: a batch axis, followed by the generator's output shape. `(x,)`, `[x]` and Keras's `(x, None, None)`
  are unpacked. Labels, dicts and lists are refused. They are accepted if the class defines a loss or a step of its own,
  which may read them, or if the discriminator has several inputs.
- A model with `classes=K` takes (x, labels). Labels are integers, [B], from 0 to K - 1.
- A class that `takes_few_labels` takes x, or a dictionary with the keys "images", "labelled" and "labels": see
  `gan_zoo.keras_model.few_labels`. "images" and "labelled" obey the rules of x.
- Floats of any width are cast to the dtype of the samples. Integers and booleans are refused.
- Images are in [-1, 1]. If the generator's output is bounded, values up to `SLACK` are accepted, because resizing with
  a bicubic or Lanczos filter overshoots by up to a sixth of the range. A user's generator without a bound may use other
  units, such as standardised pixels. For it, only values beyond `FAR` are refused, and none are if its own samples are
  beyond `SLACK`. Data that are not images are points, in any units.
- The number of examples in a batch is a multiple of `n_critic` times the number of replicas.
"""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from gan_zoo.nn import output_activation
from gan_zoo.nn.precision import cast_floats, dtype_of
from gan_zoo.util.errors import UserError

SLACK = 1.4
"""The largest absolute value of images for a generator whose output is bounded by 1."""

FAR = 10.0
"""The same for a generator without a bound. It is far above standardised data and far below bytes (0 to 255)."""

PARTLY_LABELLED = ("images", "labelled", "labels")
"""The keys of a batch in which a few examples have labels: see `gan_zoo.keras_model.few_labels`."""

_STEPS = ("D", "discriminator_step", "generator_step", "joint_step", "turn", "play", "split")

_FLOATS = ("float16", "bfloat16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Source:
    """The form in which the user passes data, for error messages that say what to change.

    Attributes:
        name: The name of the data in messages.
        change: The end of a message that says how to replace x by an expression; {} stands for the expression.
        symbolic: Whether the expression is a TensorFlow expression, for a dataset's `map`.
    """

    name: str
    change: str
    symbolic: bool = False

    def part(self, key: str) -> "Source":
        """The source of one part of a dictionary."""
        return dataclasses.replace(self, name=f"{self.name}[{key!r}]" if self.name == "x" else f"{self.name} ({key})")


ARRAY = Source("x", "pass {}")
DATASET = Source("The dataset", "map it with dataset.map(lambda x: {})", symbolic=True)
PY_DATASET = Source("The PyDataset", "return {} from __getitem__")
GENERATOR = Source("The generator", "yield {}")
LOADER = Source("The loader", "give {}")


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples that the networks of a GAN accept.

    Attributes:
        shape: Shape of one example, None at axes of any length; None if it is not known.
        dtype: The dtype of the samples: float32, or float64 for networks in float64.
        structures: Whether x may be any structure, because the class's own code reads it.
        untouched: Whether the class's own `train_step` gets the data without any change.
        limit: The largest accepted absolute value; None for no limit.
        n_critic: The number of minibatches in a batch.
        turns_name: Name of the setting that gives the number of minibatches, for error messages.
        classes: Number of classes of the labels in (images, labels); None for examples without labels.
        categories: Number of classes of the labels in a dictionary with a few labelled examples; None if the model
            takes no such data.
        replicas: The number of replicas that share a batch.
    """

    shape: tuple[int | None, ...] | None
    dtype: tf.DType
    structures: bool
    untouched: bool
    limit: float | None
    n_critic: int
    replicas: int
    turns_name: str = "n_critic"
    classes: int | None = None
    categories: int | None = None

    @classmethod
    def of(cls, gan, probe: bool = False) -> "Examples":
        """The examples that `gan` accepts.

        Args:
            gan: The GAN.
            probe: Whether to draw two samples from a generator whose output range is not known from its last layer.
        """
        shape, own = gan.example_shape, type(gan)
        networks, players, count = gan.networks(), gan.players(), gan.minibatches_per_step
        inputs = getattr(networks.get("discriminator"), "inputs", None)
        code = [*(getattr(own, name) for name in _STEPS if hasattr(own, name)), *(player.loss for player in players)]
        return cls(
            shape=shape,
            dtype=tf.as_dtype(dtype_of(*networks.values())),
            structures=gan.classes is None and (not all(map(_is_ours, code)) or len(inputs or [0]) > 1),
            untouched=not _is_ours(own.train_step),
            limit=_limit(gan, shape, probe),
            n_critic=count,
            replicas=gan.distribute_strategy.num_replicas_in_sync,
            turns_name="n_critic" if getattr(gan, "n_critic", None) == count else "turns",
            classes=gan.classes,
            categories=gan.categories if own.takes_few_labels else None,
        )

    def has_few_labels(self, x: Any) -> bool:
        """Whether unpacked data are of a model that takes a few labelled examples, and have the form for them."""
        return self.categories is not None and isinstance(x, dict) and {*x} == {*PARTLY_LABELLED}

    @property
    def parts(self) -> int:
        """The number of which the size of a batch must be a multiple."""
        return self.n_critic * self.replicas

    def parts_text(self) -> str:
        """`parts` in words, "n_critic=5" or "n_critic=5 times 2 replicas"."""
        replicas = f"{self.replicas} replicas"
        if self.n_critic == 1:
            return replicas
        return f"{self.turns_name}={self.n_critic}" + (f" times {replicas}" if self.replicas > 1 else "")

    # Static checks: structure, dtype and shape of tensors, arrays or their specifications.

    def check(self, x: Any, source: Source) -> None:
        """Checks the structure, dtype and shape of unpacked data, without reading its values.

        Args:
            x: Tensors, arrays or their specifications, in any structure.
            source: The form in which the user passes them.

        Raises:
            UserError: If the networks cannot take them.
        """
        if self.classes:
            x = self._check_labels(x, source)
        elif self.has_few_labels(x):
            self._check_labels((x["labelled"], x["labels"]), source)
            for key in ("images", "labelled"):
                dataclasses.replace(self, categories=None, structures=False).check(x[key], source.part(key))
            return
        elif tf.nest.is_nested(x):
            if not self.structures:
                raise UserError(self.structure_message(x, source))
            return
        if isinstance(x, tf.RaggedTensor | tf.RaggedTensorSpec):
            raise UserError(
                f"{source.name} holds a ragged tensor, and the networks take examples of one size: bring all of them "
                f"to {_shape(self.shape)} first."
            )
        if isinstance(x, tf.SparseTensor | tf.SparseTensorSpec):
            dense = source.change.format("tf.sparse.to_dense(x)")
            raise UserError(f"{source.name} holds a sparse tensor, and the networks take dense ones: {dense}.")
        self._check_dtype(x, source)
        self._check_shape(tf.TensorShape(x.shape), source)

    def _check_labels(self, x: Any, source: Source) -> Any:
        """Checks the labels of (images, labels) and returns the images."""
        if not (isinstance(x, tuple | list) and len(x) == 2):
            given = f"{len(x)} parts" if tf.nest.is_nested(x) else "no labels"
            pair = source.change.format("(x, y)")
            raise UserError(
                f"{source.name} has {given}, and this model has classes={self.classes}: {pair}, with labels y, whole "
                f"numbers, [B], from 0 to {self.classes - 1}."
            )
        images, labels = x
        dtype, shape = getattr(labels, "dtype", None), tf.TensorShape(getattr(labels, "shape", ()))
        if dtype is None or not tf.as_dtype(dtype).is_integer or shape.rank not in (None, 1):
            what = "something else" if dtype is None else f"{tf.as_dtype(dtype).name} of shape {_shape(tuple(shape))}"
            is_one_hot = shape.rank == 2 and shape[-1] == self._most_label + 1
            how = "tf.argmax(y, axis=-1)" if is_one_hot else "tf.reshape(y, [-1])"
            fix = f", {how}" if shape.rank == 2 else ""
            raise UserError(
                f"{source.name} has labels that are {what}, and this model takes whole numbers, [B]: pass class "
                f"indices from 0 to {self._most_label}{fix}."
            )
        return images

    def check_label_values(self, labels: Any, source: Source) -> None:
        """Checks the values of labels, an array or an eager tensor.

        Raises:
            UserError: If a label is not one of the classes.
        """
        low, high = _extremes(labels)
        if low < 0 or high > self._most_label:
            raise UserError(self.label_message(low, high, source))

    def label_message(self, low: float, high: float, source: Source) -> str:
        """The error message for labels that are out of range."""
        name, most = "classes" if self.classes else "categories", self._most_label
        return (
            f"{source.name} has labels from {low:g} to {high:g}, and this model has {name}={most + 1}, from 0 to "
            f"{most}: build it with {name}={max(2, int(high) + 1)}, or change the labels."
        )

    @property
    def _most_label(self) -> int:
        return (self.classes or self.categories) - 1

    def _check_dtype(self, x: Any, source: Source) -> None:
        dtype = tf.as_dtype(x.dtype)
        if dtype.name in _FLOATS:
            return
        if not dtype.is_integer and not dtype.is_bool:
            raise UserError(f"{source.name} holds values of type {dtype.name}, and the networks take floats.")
        low, high = _extremes(x) if hasattr(x, "__array__") else (None, None)
        raise UserError(self.integers_message(dtype, low, high, source))

    def integers_message(self, dtype: tf.DType, low: float | None, high: float | None, source: Source) -> str:
        """The error message for integers and booleans; `low` and `high` are None if the range is not known."""
        x = "tf.cast(x, tf.float32)" if source.symbolic else "x"
        seen = "" if low is None else f" from {low:g} to {high:g}"
        what = "booleans" if dtype.is_bool else f"integers ({dtype.name}){seen}"
        if not self._is_image:
            plain = x if source.symbolic else 'x.astype("float32")'
            return f"{source.name} holds {what}, and the networks take floats: {source.change.format(plain)}."
        if dtype.is_bool:
            formula = f"{x} * 2 - 1" if source.symbolic else "x * 2.0 - 1"
        else:
            low, high = (0, 255) if low is None else (low, high)
            formula = _formula(x, low, high)
        return f"{source.name} holds {what}, and the networks take floats in [-1, 1]: {source.change.format(formula)}."

    def _check_shape(self, shape: tf.TensorShape, source: Source) -> None:
        if self.shape is None or shape.is_compatible_with([None, *self.shape]):
            return
        raise UserError(self.shape_message(tuple(shape), source))

    def shape_message(self, shape: tuple[int | None, ...], source: Source) -> str:
        """The error message for batches whose shape differs from the generator's."""
        advice = self._reshaping(shape, source)
        what = "shape" if source.change == ARRAY.change else "batches of shape"
        return (
            f"{source.name} has {what} {_shape(shape)}, and the generator makes {_shape((None, *self.shape))}"
            f"{advice and ': '}{advice}."
        )

    def _reshaping(self, shape: tuple[int | None, ...], source: Source) -> str:
        """Advice that converts batches of `shape` to the shape of the networks; empty if there is none."""
        wanted, rest, rank = self.shape, shape[1:], len(self.shape) + 1

        def change(numpy: str, symbolic: str) -> str:
            return source.change.format(symbolic if source.symbolic else numpy)

        if self._is_image and len(shape) == rank - 1 and _fits(rest, wanted[:2]):
            if wanted[2] == 1:
                return "add the axis of the channel, " + change("x[..., None]", "x[..., tf.newaxis]")
            if wanted[2] == 3:
                return "make three channels of one, " + change(
                    "np.stack([x, x, x], axis=-1)", "tf.stack([x, x, x], axis=-1)"
                )
        if len(shape) == rank - 1 and _fits(shape, wanted) or len(shape) == rank - 1 and _fits(rest, wanted[1:]):
            return "the axis of the batch is missing, " + (
                "batch it with dataset.batch(32)" if source.symbolic else change("x[None]", "")
            )
        if len(shape) == rank + 1 and _fits(shape[2:], wanted):
            return "it is batched twice, " + (
                "leave out one .batch()" if source.symbolic else change(f"x.reshape({_numbers((-1, *wanted))})", "")
            )
        if self._is_image and len(shape) == rank and _fits((*rest[1:], rest[0]), wanted):
            return "the channels go last, " + change("np.transpose(x, (0, 2, 3, 1))", "tf.transpose(x, [0, 2, 3, 1])")
        known = None not in rest and None not in wanted
        if known and len(shape) != rank and math.prod(rest) == math.prod(wanted):
            numbers = _numbers((-1, *wanted))
            return "reshape it, " + change(f"x.reshape({numbers})", f"tf.reshape(x, [{numbers}])")
        if self._is_image and len(shape) == rank and _fits(rest[:2], wanted[:2]):
            how = {
                (3, 1): ("x.mean(axis=-1, keepdims=True)", "tf.image.rgb_to_grayscale(x)"),
                (1, 3): ("x.repeat(3, axis=-1)", "tf.image.grayscale_to_rgb(x)"),
                (4, 3): ("x[..., :3]", "x[..., :3]"),
            }.get((rest[2], wanted[2]))
            return "the channels differ, " + change(*how) if how else "the channels differ"
        if self._is_image and len(shape) == rank and _fits(rest[2:], wanted[2:]) and None not in wanted:
            resize = f"tf.image.resize(x, {wanted[:2]})"
            return change(resize, resize) + ", or build networks for images of that size"
        return ""

    @property
    def _is_image(self) -> bool:
        return self.shape is not None and len(self.shape) == 3

    def structure_message(self, x: Any, source: Source) -> str:
        """The error message for labels, dicts and lists if the networks take one tensor."""
        if self.categories and isinstance(x, dict):
            return (
                f"{source.name} is a dict with the keys {', '.join(map(repr, x))}, and this model takes examples alone "
                f"or a dict with the keys {', '.join(map(repr, PARTLY_LABELLED))}."
            )
        if isinstance(x, dict):
            keys = list(x)
            chosen = next((key for key in keys if self._is_x(x[key])), None)
            if chosen is None:
                usual = (key for key in ("image", "images", "x", "pixel_values", "img") if key in x)
                chosen = next(usual, keys[0] if keys else "image")
            what = f"a dict with the keys {', '.join(map(repr, keys))}"
            take = f"x[{chosen!r}]"
            mapped = f"lambda x: {_cast(take, x.get(chosen))}"
        else:
            items = list(x)
            index = next((k for k, item in enumerate(items) if self._is_x(item)), 0)
            if len(items) > 3 or (items and isinstance(x, list) and not self._is_x(items[index])):
                kind = type(items[index]).__name__
                stacked = source.change.format("np.stack(x)")
                return (
                    f"{source.name} is a {type(x).__name__} of {len(items)} {kind} objects, and the networks take "
                    f"one array with an axis for the batch: {stacked}."
                )
            names = ("images", "labels", "sample_weight")[: len(items)]
            if index:
                names = tuple("images" if k == index else f"other{k or ''}" for k in range(len(items)))
            what = f"{'a pair' if len(items) == 2 else f'a tuple of {len(items)}'} ({', '.join(names)})"
            take = f"x[{index}]"
            arguments = "xyw"[: len(items)]
            mapped = f"lambda {', '.join(arguments)}: {_cast(arguments[index], items[index])}"
        advice = f"map it with dataset.map({mapped})" if source.symbolic else source.change.format(take)
        if source is PY_DATASET or source is GENERATOR or source is LOADER:
            advice = source.change.format("the images alone")
        verb = "is" if source is ARRAY else "gives"
        return f"{source.name} {verb} {what}, and the networks take the images alone: {advice}."

    def _is_x(self, item: Any) -> bool:
        shape = getattr(item, "shape", None)
        if shape is None or self.shape is None:
            return False
        return tf.TensorShape(shape).is_compatible_with([None, *self.shape]) and tf.TensorShape(shape).rank is not None

    def check_count(self, n: int, argument: str) -> None:
        """Checks the number of examples in a batch.

        Raises:
            UserError: If it cannot be divided into `n_critic` minibatches for each replica.
        """
        if n % self.parts:
            raise UserError(self.count_message(n, argument))

    def count_message(self, n: int, argument: str = "batch the dataset by") -> str:
        """The error message for a batch that cannot be divided into minibatches and replicas."""
        below, above = n - n % self.parts, n - n % self.parts + self.parts
        nearest = f"{below} or {above}" if below else f"{above}"
        holds = (
            f"One dataset batch holds {self.turns_name} minibatches, and"
            if self.n_critic > 1
            else "Replicas share a batch:"
        )
        return (
            f"{holds} {n} examples cannot be divided by {self.parts_text()}: {argument} a multiple of {self.parts}, "
            f"such as {nearest}."
        )

    def too_few_message(self, n: int, source: Source) -> str:
        """The error message for data that are too few for one step."""
        return (
            f"{source.name} has {n} examples in all, and a step takes a multiple of {self.parts} ({self.parts_text()})."
        )

    # Checks of values.

    def check_values(self, x: Any, source: Source) -> tuple[float, float] | None:
        """Checks the values of an array or an eager tensor; returns the smallest and the largest.

        Raises:
            UserError: If some values are not finite or are out of range.
        """
        low, high = _extremes(x)
        if not (math.isfinite(low) and math.isfinite(high)) or (self.limit and max(-low, high) > self.limit):
            raise UserError(self.range_message(low, high, source))
        return low, high

    def range_message(self, low: float, high: float, source: Source) -> str:
        """The error message for values that are out of range."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return f"{source.name} has values that are NaN or infinite: remove or replace them."
        seen = f"{source.name} has values from {low:g} to {high:g}"
        return f"{seen}, and the networks work in [-1, 1]: {source.change.format(_formula('x', low, high))}."

    def cast(self, x: Any) -> Any:
        """Casts floating-point tensors to the dtype of the samples; all other leaves are unchanged."""
        return cast_floats(x, self.dtype)

    def with_shape(self, x: tf.Tensor) -> tf.Tensor:
        """x with the static shape of an example. A batch of another shape raises an error at run time."""
        if self.shape is None or (x.shape.rank is not None and None not in x.shape[1:]):
            return x
        return tf.ensure_shape(x, [None, *self.shape])

    def convert(self, data: Any, source: Source = ARRAY) -> Any:
        """Checks and converts one batch, of tensors or arrays in one of Keras's forms, to the input of the losses.

        Values are checked in eager mode only, not while a graph is traced.

        Raises:
            UserError: If the networks cannot take the batch.
        """
        x = unpack(data)
        self.check(x, source)
        if self.classes:
            return self._convert_images(x[0], source), self._convert_labels(x[1], source)
        if self.has_few_labels(x):
            images, labelled = (self._convert_images(x[key], source.part(key)) for key in ("images", "labelled"))
            return {"images": images, "labelled": labelled, "labels": self._convert_labels(x["labels"], source)}
        if tf.nest.is_nested(x):
            return self.cast(tf.nest.map_structure(tf.convert_to_tensor, x))
        return self._convert_images(x, source)

    def _convert_labels(self, labels: Any, source: Source) -> tf.Tensor:
        labels = tf.convert_to_tensor(labels)
        if tf.executing_eagerly():
            self.check_label_values(labels, source)
        return tf.cast(labels, tf.int32)

    def _convert_images(self, x: Any, source: Source) -> tf.Tensor:
        x = self.with_shape(self.cast(tf.convert_to_tensor(x)))
        if self.shape is None and x.shape.rank is None:
            raise UserError(f"{source.name} has an unknown shape: give the dataset an output_signature.")
        if tf.executing_eagerly() and self.limit:
            self.check_values(x, source)
        return x


def unpack(data: Any) -> Any:
    """Returns x from `(x,)`, `[x]` and `(x, None, None)`, Keras's forms of data without labels."""
    while isinstance(data, tuple | list) and data and all(map(_is_nothing, data[1:])):
        data = data[0]
    return data


def _is_nothing(item: Any) -> bool:
    return item is None or isinstance(item, tf.experimental.Optional | tf.OptionalSpec)


def as_user_error(error: tf.errors.InvalidArgumentError, examples: Examples, source: Source) -> UserError | None:
    """Converts the error of a check inside a pipeline or a graph to a `UserError`; returns None for other errors.

    The message is that of the same check outside of the graph.
    """
    text = str(error.message)
    if found := re.search(_OUT_OF_RANGE.format(r"(\S+)", r"([^\s\]]+)"), text):
        return UserError(examples.range_message(*map(float, found.groups()), source))
    if found := re.search(_LABELS_OUT_OF_RANGE.format(r"(\S+)", r"([^\s\]]+)"), text):
        return UserError(examples.label_message(*map(float, found.groups()), source))
    if found := re.search(_PART_NOT_DIVIDED.format(r"(\d+)"), text):
        return UserError(dataclasses.replace(examples, replicas=1).count_message(int(found[1])))
    if found := re.search(_NOT_DIVIDED.format(r"(\d+)"), text):
        return UserError(examples.count_message(int(found[1])))
    if (found := re.search(r"Shape of tensor \S* ?\[([^\]]*)\] is not compatible", text)) and examples.shape:
        shape = tuple(int(side) for side in found[1].split(",") if side.strip())
        if not tf.TensorShape(shape).is_compatible_with([None, *examples.shape]):
            return UserError(examples.shape_message(shape, source))
    return None


_OUT_OF_RANGE = "examples out of range: {} to {}"
_LABELS_OUT_OF_RANGE = "labels out of range: {} to {}"
_NOT_DIVIDED = "examples cannot be divided: {}"
_PART_NOT_DIVIDED = "examples of a replica cannot be divided: {}"


def range_assertion(x: tf.Tensor, limit: float) -> tf.Operation:
    """The check of `Examples.check_values` as an operation in a graph: see `as_user_error`."""
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    return tf.debugging.Assert((low >= -limit) & (high <= limit), [tf.strings.format(_OUT_OF_RANGE, (low, high))])


def label_assertion(labels: tf.Tensor, classes: int) -> tf.Operation:
    """The check of `Examples.check_label_values` as an operation in a graph: see `as_user_error`."""
    low, high = tf.reduce_min(labels), tf.reduce_max(labels)
    fine = (low >= 0) & (high < classes)
    return tf.debugging.Assert(fine, [tf.strings.format(_LABELS_OUT_OF_RANGE, (low, high))])


def count_assertion(n: tf.Tensor, fine: tf.Tensor, is_part: bool = False) -> tf.Operation:
    """The check of `Examples.check_count` as an operation in a graph, for a batch or a replica's part of it.

    See `as_user_error`.
    """
    text = _PART_NOT_DIVIDED if is_part else _NOT_DIVIDED
    return tf.debugging.Assert(fine, [tf.strings.format(text, (n,))])


def _is_ours(method: Any) -> bool:
    return f"{getattr(method, '__module__', '')}.".startswith("gan_zoo.")


def _limit(gan, shape: tuple[int | None, ...] | None, probe: bool) -> float | None:
    ending = output_activation.last_activation(gan.sampling_network)
    bounded = ending in output_activation.BOUNDED or type(gan.sampling_network).__module__.startswith(
        "gan_zoo.networks."
    )
    if shape is None or len(shape) != 3:
        # Points may have any units. But values for a bounded generator, such as flattened images, are far below 255.
        return FAR if shape is not None and ending in output_activation.BOUNDED else None
    if bounded:
        return SLACK
    if ending is None:
        if not probe:
            return None
        samples = gan(gan.sample_latent(2, seed=0))
        if float(tf.reduce_max(tf.abs(tf.cast(samples, tf.float32)))) > SLACK:
            return None
    return FAR


def _extremes(x: Any) -> tuple[float, float]:
    values = np.asarray(x)
    if not values.size:
        return 0.0, 0.0
    if values.dtype.kind not in "biuf":  # bfloat16
        values = values.astype(np.float32)
    return float(values.min()), float(values.max())


def _formula(x: str, low: float, high: float) -> str:
    """An expression that scales values from the range `low` to `high` to [-1, 1]."""
    if low >= -1 and high <= 1:
        return f"{x} * 2.0 - 1" if low >= 0 else f'{x}.astype("float32")' if x == "x" else x
    if low >= 0 and 2 < high <= 256:
        return f"{x} / 127.5 - 1"
    if low >= 0 and 256 < high <= 65536:
        return f"{x} / 32767.5 - 1"
    # Rounds the observed range outwards to two digits, or to 0 if an end is close to 0.
    unit = 10.0 ** (math.floor(math.log10(max(-low, high))) - 1)
    low, high = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    if math.isclose(low, -high):
        return f"{x} / {high:g}"
    shifted = f"({x} - {low:g})" if low > 0 else f"({x} + {-low:g})" if low else x
    half = (high - low) / 2
    return f"{shifted} - 1" if math.isclose(half, 1) else f"{shifted} / {half:g} - 1"


def _cast(name: str, item: Any) -> str:
    """`name` as a TensorFlow expression, which scales `item` to [-1, 1] if it holds bytes."""
    dtype = getattr(item, "dtype", None)
    return f"tf.cast({name}, tf.float32) / 127.5 - 1" if getattr(dtype, "name", None) == "uint8" else name


def _fits(shape: tuple[int | None, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        a == b or a is None or b is None for a, b in zip(shape, wanted, strict=True)
    )


def _shape(shape: tuple[int | None, ...] | None) -> str:
    """A shape as text for messages: "[B, 28, 28, 1]"."""
    if shape is None:
        return "one shape"
    return "[" + ", ".join("B" if side is None and not k else str(side or "any") for k, side in enumerate(shape)) + "]"


def _numbers(shape: tuple[int | None, ...]) -> str:
    return ", ".join(map(str, shape))
