"""`fit` and `train_on_batch` of a GAN for all of Keras's forms of data.

See `gan_zoo.keras_model.examples` for the checks.
"""

import contextlib
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.trainers.data_adapters import (
    data_adapter,
    get_data_adapter,
    is_grain_dataset,
    is_torch_dataloader,
)

from gan_zoo.keras_model import examples
from gan_zoo.keras_model.examples import (
    ARRAY,
    DATASET,
    GENERATOR,
    LOADER,
    PY_DATASET,
    Examples,
    Source,
)
from gan_zoo.nn import output_activation
from gan_zoo.util.errors import UserError

_log = logging.getLogger("gan_zoo")

_as_is = tf.autograph.experimental.do_not_convert

_FIT = inspect.signature(keras.Model.fit)

_STREAMS = tf.data.Dataset | tf.distribute.DistributedDataset | keras.utils.PyDataset | Iterator

_COLLISION = (
    "Two MirroredStrategy objects of this process mixed up their messages, because TensorFlow gives them equal keys. "
    "Start the program again with one strategy for all models, with "
    "cross_device_ops=tf.distribute.ReductionToOneDevice() in each strategy, or with one process for each."
)


class TakesData:
    """A mixin for a GAN: `fit` and `train_on_batch` for all forms of data that Keras accepts."""

    _warned = False

    @property
    def example_shape(self) -> tuple[int | None, ...] | None:
        """Shape of one real example, which is that of a sample; None at axes of any length, or if it is not known."""
        try:
            return tuple(self.sampling_network.output_shape[1:])
        except (AttributeError, ValueError, TypeError):  # the network overrides `call` or has several outputs
            return None

    def fit(self, x: Any = None, y: Any = None, *args, **kwargs) -> keras.callbacks.History:
        """Trains the GAN, like `keras.Model.fit`.

        If the last batch of an epoch cannot be divided into `n_critic` minibatches for each replica, it is left out,
        with a warning. There are also warnings for networks that end in a sigmoid, and for an array in [0, 1] with a
        generator whose range is [-1, 1].

        Args:
            x: Real examples: an array of floats, for images [N, H, W, C] in [-1, 1]; or a `tf.data.Dataset`, a
                `keras.utils.PyDataset`, an iterator or a DataLoader of such batches, each batch alone or as `(x,)`.
            y: Labels of a model with `classes`, integers, [N]; else None, unless the class's own losses read labels. A
                dataset for such a model returns (x, y).
            *args: As for `keras.Model.fit`.
            **kwargs: As for `keras.Model.fit`. `batch_size` is the number of examples in a whole step, a multiple of
                `n_critic` times the number of replicas. `shuffle` applies to arrays and a `PyDataset`; all other data
                define their own order.

        Returns:
            The `keras.callbacks.History` of the training.

        Raises:
            UserError: If the networks cannot take x: see `gan_zoo.keras_model.examples`.
        """
        arguments = dict(_FIT.bind(self, x, y, *args, **kwargs).arguments)
        del arguments["self"]
        wanted = Examples.of(self, probe=True)
        source = source_of(x)
        shuffle = arguments.pop("shuffle", None)
        if shuffle is None:
            shuffle = source in (ARRAY, PY_DATASET)
        if arguments.get("validation_split"):
            _split_for_validation(arguments)
        own = {name: arguments.pop(name, None) for name in ("x", "y", "batch_size", "class_weight", "sample_weight")}
        if arguments.get("validation_batch_size") is None:
            arguments["validation_batch_size"] = own["batch_size"]
        self._warn_of_endings()
        _check_compiler(self)
        fed = feed(
            wanted, source, shuffle=shuffle, steps=arguments.get("steps_per_epoch"), on_range=self._warn_of_range, **own
        )
        self.batches_in_epoch = fed.num_batches
        with self._user_errors(wanted, source, fed.element):
            history = super().fit(fed, **arguments)
        fed.warn_left_out()
        if history.epoch and not history.history:
            usable = f" that can be divided by {wanted.parts_text()}" if fed.left_out else ""
            raise UserError(f"{source.name} gives no batch{usable}, so no step was taken.")
        return history

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> dict[str, float] | list[float]:
        """Takes one training step on one batch of real examples, which the replicas share.

        Args:
            x: An array or tensor as for `fit`. Its length is a multiple of `n_critic` times the number of replicas.
            y: As for `fit`.
            sample_weight: As for `fit`.
            class_weight: Must be None.
            return_dict: Whether to return the logs as a dict by name; else they are a list, in the order of the names.

        Returns:
            The logs of the step.

        Raises:
            UserError: If the networks cannot take x.
        """
        self._assert_compile_called("train_on_batch")
        wanted = Examples.of(self)
        _refuse_labels(wanted, ARRAY, y, sample_weight, class_weight)
        self._warn_of_endings()
        _check_compiler(self)
        data = _packed(x, y, sample_weight)
        if wanted.untouched:
            batch = tf.nest.map_structure(tf.convert_to_tensor, data)
        else:
            batch = wanted.convert(_as_arrays(data))
            if wanted.classes or wanted.has_few_labels(batch) or not tf.nest.is_nested(batch):
                wanted.check_count(tf.nest.flatten(batch)[0].shape[0], "give")
        self.make_train_function()
        with self._user_errors(wanted, ARRAY, batch):
            logs = self.train_function(iter([_split_over_replicas(self.distribute_strategy, batch)]))
        logs = {name: float(np.squeeze(value)) for name, value in logs.items()}
        return logs if return_dict else self._flatten_metrics_in_order(logs)

    @contextlib.contextmanager
    def _user_errors(self, wanted: Examples, source: Source, batch: Any) -> Iterator[None]:
        """Converts errors of TensorFlow and Keras about `batch`, or its specification, to errors with advice."""
        try:
            yield
        except tf.errors.OpError as error:
            user_error = examples.as_user_error(error, wanted, source)
            mirrored = isinstance(self.distribute_strategy, tf.distribute.MirroredStrategy)
            if user_error is None and mirrored and "Collective ops is aborted" in str(error):
                user_error = UserError(_COLLISION)
            if user_error is None:
                raise
            raise user_error from None
        except Exception as error:  # a user's own code may raise anything for data of another structure
            # AutoGraph, which traces replicas' steps, wraps errors that are not Python's own.
            inner = error
            while type(inner).__name__ == "StagingError":
                inner = inner.__context__
            if isinstance(inner, UserError):
                raise inner from None
            if wanted.structures and tf.nest.is_nested(batch):
                error.add_note(f"If {type(self).__name__} reads no labels: {wanted.structure_message(batch, source)}")
            raise

    def _warn_of_endings(self) -> None:
        """Warns once about networks that end in probabilities: losses take raw scores, and images are in [-1, 1]."""
        if self._warned:
            return
        self._warned = True
        ending = output_activation.last_activation(self.sampling_network)
        if ending in output_activation.SIGMOIDS:
            _log.warning(
                "The generator ends in a %s, which makes no values below 0, but images are in [-1, 1]: end it in tanh.",
                ending,
            )
        discriminator = self.networks().get("discriminator")
        ending = discriminator and output_activation.last_activation(discriminator)
        if ending in output_activation.PROBABILITIES and not self._reconstructs(discriminator):
            _log.warning(
                "The discriminator ends in a %s, but the losses take raw scores and apply their own activation: "
                "remove it from the discriminator.",
                ending,
            )

    def _reconstructs(self, network: keras.Model) -> bool:
        """Whether a network returns examples, like an autoencoder, instead of scores."""
        return self.example_shape == tuple(getattr(network, "output_shape", None) or ())[1:]

    def _warn_of_range(self, low: float, high: float) -> None:
        ending = output_activation.last_activation(self.sampling_network)
        if 0 <= low < 0.1 and 0.9 < high <= 1 and ending in output_activation.BOUNDED - output_activation.PROBABILITIES:
            _log.warning(
                "x lies in [0, 1], from %g to %g, and the generator makes values in [-1, 1]: pass x * 2 - 1.", low, high
            )


def _check_compiler(gan) -> None:
    replicas = gan.distribute_strategy.num_replicas_in_sync
    if gan.jit_compile and replicas > 1 and all("CPU" in d for d in gan.distribute_strategy.extended.worker_devices):
        raise UserError(
            f"jit_compile=True does not work with {replicas} replicas on CPUs: train on one, or compile with "
            f"jit_compile=False."
        )


def source_of(x: Any) -> Source:
    """The form in which the user passes data.

    Raises:
        UserError: If `fit` takes no data of this type.
    """
    if x is None:
        raise UserError("fit needs data: pass x, an array or a dataset of real examples.")
    if isinstance(x, str | bytes):
        raise UserError(f"fit takes data, not a name: pass gan_zoo.data.load({x!r}).")
    if isinstance(x, tf.data.Dataset | tf.distribute.DistributedDataset):
        return DATASET
    if isinstance(x, keras.utils.PyDataset):
        return PY_DATASET
    if is_torch_dataloader(x) or is_grain_dataset(x):
        return LOADER
    if isinstance(x, Iterator):
        return GENERATOR
    if isinstance(x, data_adapter.DataAdapter):
        return LOADER
    if hasattr(x, "__array__") or tf.is_tensor(x) or isinstance(x, tuple | list | dict) or hasattr(x, "tocoo"):
        return ARRAY
    raise UserError(
        f"fit takes an array, a tf.data.Dataset, a keras.utils.PyDataset, an iterator or a DataLoader, not "
        f"{type(x).__name__}: pass iter(x) if it gives batches."
    )


class Feed(data_adapter.DataAdapter):
    """A Keras data adapter that returns batches in the form that the networks take.

    Args:
        adapter: Keras's own adapter, which is notified of the beginning and the end of epochs.
        dataset: The batches.
        num_batches: The number of batches in an epoch; None if it is not known.
        wanted: The examples that the networks accept.
    """

    def __init__(self, adapter: data_adapter.DataAdapter, dataset: Any, num_batches: int | None, wanted: Examples):
        self._adapter, self._dataset, self._num_batches = adapter, dataset, num_batches
        self._wanted, self._has_warned, self._first_left_out = wanted, False, 0

    @property
    def element(self) -> Any:
        """The specification of a batch."""
        return self._dataset.element_spec

    def get_tf_dataset(self):
        return self._dataset

    @property
    def num_batches(self) -> int | None:
        return self._num_batches

    @property
    def batch_size(self) -> int | None:
        return self._adapter.batch_size

    @property
    def has_partial_batch(self) -> bool | None:
        return self._adapter.has_partial_batch

    @property
    def partial_batch_size(self) -> int | None:
        return self._adapter.partial_batch_size

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()

    @property
    def left_out(self) -> bool:
        """Whether a batch was left out."""
        return self._has_warned or bool(self._first_left_out)

    def leave_out(self, n: int, is_first: bool = False) -> None:
        """Warns once that a batch of `n` examples is left out. For the very first batch, `warn_left_out` warns."""
        if is_first:
            self._first_left_out = n
        elif not self._has_warned:
            _log.warning(
                "The last %d examples of an epoch are left out: they cannot be divided by %s.",
                n,
                self._wanted.parts_text(),
            )
            self._has_warned = True

    def warn_left_out(self) -> None:
        """Warns about a first batch that was left out. Call it after others were used."""
        if self._first_left_out:
            self.leave_out(self._first_left_out)


def feed(
    wanted: Examples,
    source: Source,
    *,
    x: Any,
    y: Any,
    batch_size: int | None,
    class_weight: Any,
    sample_weight: Any,
    shuffle: bool | str,
    steps: int | None,
    on_range: Callable[[float, float], None],
) -> Feed:
    """The data adapter from which Keras reads x.

    Args:
        wanted: The examples that the networks accept.
        source: The form of x.
        x: As for `fit`. So are `y`, `batch_size`, `class_weight`, `sample_weight` and `shuffle`.
        steps: The `steps_per_epoch` of `fit`.
        on_range: A function that is called with the smallest and the largest value of an array.

    Raises:
        UserError: If the networks cannot take x.
    """
    _refuse_labels(wanted, source, y, sample_weight, class_weight)
    if isinstance(x, tf.distribute.DistributedDataset):
        return _feed_distributed(wanted, x)
    if source is ARRAY and not wanted.untouched:
        x = examples.unpack(_as_arrays(x))
        if not tf.nest.is_nested(x) and y is None and not wanted.classes:
            return _feed_array(wanted, x, batch_size, shuffle, steps, on_range)
        if wanted.classes:
            _check_labelled_arrays(wanted, x if y is None else (x, y))
        elif tf.nest.is_nested(x):
            wanted.check(x, source)
    if source is GENERATOR:
        x = _tuples(x)
    adapter = get_data_adapter(x, y, sample_weight, batch_size, steps, shuffle=shuffle, class_weight=class_weight)
    dataset, count = adapter.get_tf_dataset(), adapter.num_batches
    if not wanted.untouched:
        return _feed_stream(wanted, source, adapter, dataset, count, x)
    return Feed(adapter, _without_autotuning(dataset), count, wanted)


def _refuse_labels(wanted: Examples, source: Source, y: Any, sample_weight: Any, class_weight: Any) -> None:
    if wanted.structures or wanted.untouched:
        return
    if wanted.classes:
        for name, value in (("sample_weight", sample_weight), ("class_weight", class_weight)):
            if value is not None:
                raise UserError(f"{name} was given, and this model weighs all examples alike: leave {name} out.")
        return
    for name, value in (("y", y), ("sample_weight", sample_weight), ("class_weight", class_weight)):
        if value is not None:
            raise UserError(f"{name} was given, and this GAN learns from x alone, without labels: leave {name} out.")


def _check_labelled_arrays(wanted: Examples, pair: Any) -> None:
    """Checks whole arrays of images and labels, including their values."""
    wanted.check(pair, ARRAY)
    images, labels = pair
    if len(images) != len(labels):
        raise UserError(f"x has {len(images)} examples and y {len(labels)} labels: give one label for each example.")
    wanted.check_values(images, ARRAY)
    wanted.check_label_values(labels, ARRAY)


def _as_arrays(x: Any) -> Any:
    """Converts tensors of other libraries, in any structure, to arrays; other leaves are unchanged."""

    def array(leaf):
        if isinstance(leaf, tf.Tensor | tf.Variable | tf.RaggedTensor | tf.SparseTensor | np.ndarray):
            return leaf
        if hasattr(leaf, "detach"):  # a PyTorch tensor
            leaf = leaf.detach().cpu()
        return np.asarray(leaf) if hasattr(leaf, "__array__") or hasattr(leaf, "__array_interface__") else leaf

    return array(x) if not isinstance(x, tuple | list | dict) else keras.tree.map_structure(array, x)


def _feed_array(
    wanted: Examples, x: Any, batch_size: int | None, shuffle: bool | str, steps: int | None, on_range
) -> Feed:
    """Feeds an array in batches of one size, and the remainder if it can be divided."""
    if hasattr(x, "tocoo"):
        raise UserError("x is a sparse matrix, and the networks take dense arrays: pass x.toarray().")
    if isinstance(x, np.ndarray) and x.dtype == object:
        raise UserError(
            f"x is an array of {len(x)} objects: bring all examples to one shape, and pass np.stack of them, as floats."
        )
    if len(getattr(x, "shape", ())) == 0:
        raise UserError(f"x is {type(x).__name__} {x!r}, and the networks take an array of examples.")
    wanted.check(x, ARRAY)
    n = int(x.shape[0])
    if not n:
        raise UserError("x is empty: it has no examples.")
    on_range(*wanted.check_values(x, ARRAY))
    if isinstance(x, np.ndarray) and tf.as_dtype(x.dtype) != wanted.dtype:
        x = x.astype(wanted.dtype.as_numpy_dtype)
    size = batch_size or (-(-n // steps) if steps else 32)
    full, rest = divmod(n, size)
    if full:
        wanted.check_count(size, "set batch_size to")
    elif rest % wanted.parts:
        raise UserError(wanted.too_few_message(n, ARRAY))
    adapter = get_data_adapter(x, batch_size=size, steps_per_epoch=steps, shuffle=shuffle)
    dataset, drops = adapter.get_tf_dataset(), rest % wanted.parts
    if drops:
        dataset = dataset.take(full).map(_as_is(lambda t: tf.ensure_shape(t, [size, *t.shape[1:]])))
    if dataset.element_spec.dtype != wanted.dtype:
        dataset = dataset.map(_as_is(wanted.cast))
    fed = Feed(adapter, _without_autotuning(dataset), full if drops else adapter.num_batches, wanted)
    if drops:
        fed.leave_out(rest)
    return fed


def _feed_stream(
    wanted: Examples, source: Source, adapter, dataset: tf.data.Dataset, count: int | None, x: Any
) -> Feed:
    """Feeds the batches of a dataset, of which only the specification is known before it is read."""
    if count == 0:
        raise UserError(f"{source.name} is empty: it has no batch.")
    spec = examples.unpack(dataset.element_spec)
    if source is DATASET and not tf.nest.is_nested(spec) and spec.dtype.is_integer and not wanted.structures:
        _refuse_integers(wanted, dataset)
    wanted.check(spec, source)
    if not tf.nest.is_nested(spec) and spec.shape.rank is None and wanted.shape is None:
        raise UserError(f"{source.name} has an unknown shape: give it an output_signature.")

    def convert(*element):
        batch = wanted.cast(examples.unpack(element))
        if wanted.classes:
            images, labels = batch
            with tf.control_dependencies([examples.label_assertion(labels, wanted.classes)]):
                return convert_images(images), tf.cast(labels, tf.int32)
        if wanted.has_few_labels(batch):
            images, labelled = (convert_images(batch[key]) for key in ("images", "labelled"))
            with tf.control_dependencies([examples.label_assertion(batch["labels"], wanted.categories)]):
                return {"images": images, "labelled": labelled, "labels": tf.cast(batch["labels"], tf.int32)}
        if tf.nest.is_nested(batch):
            return batch
        return convert_images(batch)

    def convert_images(batch):
        batch = wanted.with_shape(batch)
        if not wanted.limit:
            return batch
        with tf.control_dependencies([examples.range_assertion(batch, wanted.limit)]):
            return tf.identity(batch)

    has_limits = wanted.limit or wanted.classes or wanted.has_few_labels(spec)
    is_checked = getattr(x, "is_checked", False)
    if (has_limits and not is_checked) or not _is_converted(dataset.element_spec, wanted):
        dataset = dataset.map(_as_is(convert))
    size = tf.nest.flatten(spec)[0].shape[:1]
    size = size[0] if size.rank else None
    if size is not None:
        wanted.check_count(size, "batch the dataset by")
        return Feed(adapter, _without_autotuning(dataset), count, wanted)
    if wanted.parts == 1:
        return Feed(adapter, _without_autotuning(dataset), count, wanted)
    full, rest = _batching(x, count)
    if full:
        wanted.check_count(full, "batch the dataset by")
    fed = Feed(adapter, None, count, wanted)
    if rest and rest % wanted.parts:
        if count == 1:
            raise UserError(wanted.too_few_message(rest, source))
        fed._num_batches = count - 1
        fed.leave_out(rest)
    fed._dataset = _without_autotuning(_divisible(dataset, wanted, full or 0, fed.leave_out))
    return fed


def _refuse_integers(wanted: Examples, dataset: tf.data.Dataset) -> None:
    """Reads one batch and raises the error for integers, with their range.

    Raises:
        UserError: Unless the dataset is empty.
    """
    spec = examples.unpack(dataset.element_spec)
    for element in dataset.take(1):
        values = np.asarray(examples.unpack(element))
        raise UserError(wanted.integers_message(spec.dtype, float(values.min()), float(values.max()), DATASET))


def _is_converted(spec: Any, wanted: Examples) -> bool:
    leaves = tf.nest.flatten(spec)
    if not tf.nest.is_nested(spec):
        (leaf,) = leaves
        if wanted.shape is not None and (leaf.shape.rank is None or None in leaf.shape[1:]):
            return False
    elif examples.unpack(spec) is not spec:
        return False
    return all(leaf.dtype == wanted.dtype or not leaf.dtype.is_floating for leaf in leaves)


def _divisible(dataset: tf.data.Dataset, wanted: Examples, full: int, leave_out: Callable) -> tf.data.Dataset:
    """The batches of a dataset that minibatches and replicas can divide.

    Any other batch is left out if it is smaller than an earlier batch or than `full`, and is an error if it is not. If
    `full` is 0, the very first batch is left out in any case: it may be the remainder, if the batches were shuffled.
    """

    def note(n, largest):
        leave_out(int(n), is_first=not largest)
        return n

    def check(largest, batch):
        n = tf.shape(tf.nest.flatten(batch)[0])[0]
        fine = n % wanted.parts == 0
        with tf.control_dependencies([examples.count_assertion(n, fine | (n < largest) | (largest == 0))]):
            size = tf.cond(
                fine, lambda: n, lambda: tf.ensure_shape(tf.numpy_function(note, [n, largest], tf.int32), [])
            )
        return tf.maximum(largest, size), (fine, batch)

    checked = dataset.scan(tf.constant(full), _as_is(check))
    return checked.filter(_as_is(lambda fine, batch: fine)).map(_as_is(lambda fine, batch: batch))


def _batching(x: Any, count: int | None) -> tuple[int | None, int | None]:
    """The size of a dataset's batches and the size of its last, smaller batch; each is None if it is not known.

    A dataset holds references to the datasets that it was made from, which this function searches for a `batch`.
    Operations that keep the number of elements, such as `map` and `prefetch`, may follow it. The size of a full batch
    after a `map` is not known.
    """
    if isinstance(x, keras.utils.PyDataset):
        if not count:
            return None, None
        sizes = [len(tf.nest.flatten(examples.unpack(x[k]))[0]) for k in dict.fromkeys((0, count - 1))]
        return (sizes[0], sizes[1] if sizes[1] < sizes[0] else 0) if len(sizes) > 1 else (None, sizes[0])
    is_sure = True
    while isinstance(x, tf.data.Dataset):
        inputs = x._inputs()
        if hasattr(x, "_batch_size") and hasattr(x, "_drop_remainder"):
            size, total = int(tf.get_static_value(x._batch_size)), int(inputs[0].cardinality())
            if 0 <= total < size:
                return None, total if count == 1 else None
            return (size if is_sure else None), (total % size if count == -(-total // size) else None)
        if len(inputs) != 1:
            break
        if int(x.cardinality()) != int(inputs[0].cardinality()):
            if not hasattr(x, "_count"):  # `repeat`, `take` and `skip` have it; after them the last batch is not known
                break
            count = None
        is_sure = is_sure and not hasattr(x, "_map_func")
        x = inputs[0]
    return None, None


def _feed_distributed(wanted: Examples, x: Any) -> Feed:
    """Feeds a dataset that a strategy has already distributed. No checks can be added to it: it checks one batch."""
    adapter = get_data_adapter(x)
    fed = Feed(adapter, x, adapter.num_batches, wanted)
    if wanted.untouched:
        return fed
    for element in x:
        for part in _parts_of(element):
            wanted.convert(part, DATASET)
        break
    return fed


def _parts_of(element: Any) -> list[Any]:
    """The parts of each replica in one element of a `DistributedDataset`."""
    leaves = tf.nest.flatten(element)
    values = [leaf.values if isinstance(leaf, tf.distribute.DistributedValues) else (leaf,) for leaf in leaves]
    return [tf.nest.pack_sequence_as(element, part) for part in zip(*values, strict=True)]


def _tuples(x: Iterator) -> Iterator[tuple]:
    """Converts the batches of an iterator to tuples, which Keras requires."""
    for batch in x:
        if isinstance(batch, list):
            batch = tuple(batch)
        yield batch if isinstance(batch, tuple) else (batch,)


def _without_autotuning(dataset: Any) -> Any:
    """The dataset without autotuning of its pipeline, unless its options set autotuning.

    The thread that tunes a pipeline waits longer and longer between its trials, and the end of `fit` waits for it.
    """
    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _split_for_validation(arguments: dict[str, Any]) -> None:
    """Moves the last part of arrays to `validation_data`, like Keras."""
    share = arguments.pop("validation_split")
    if arguments.get("validation_data") is not None:
        return
    x, y = arguments.get("x"), arguments.get("y")
    if not hasattr(x, "shape") or not 0 < share < 1:
        raise UserError(f"validation_split={share!r} must be between 0 and 1, and x must be an array.")
    n = int(x.shape[0] * (1 - share))
    arguments["x"], held = x[:n], x[n:]
    arguments["validation_data"] = (held,) if y is None else (held, y[n:])
    if y is not None:
        arguments["y"] = y[:n]


def _packed(x: Any, y: Any, sample_weight: Any) -> Any:
    parts = (x, y, sample_weight)
    while len(parts) > 1 and parts[-1] is None:
        parts = parts[:-1]
    return parts if len(parts) > 1 else x


def _split_over_replicas(strategy: tf.distribute.Strategy, batch: Any) -> Any:
    """Divides a batch into equal, consecutive parts for the replicas of this process."""
    if strategy.num_replicas_in_sync == 1:
        return batch
    count = len(strategy.extended.worker_devices)

    def part(context):
        k = context.replica_id_in_sync_group % count

        def rows(t):
            n = t.shape[0] // count
            return t[k * n : (k + 1) * n]

        return tf.nest.map_structure(rows, batch)

    return strategy.experimental_distribute_values_from_function(part)
