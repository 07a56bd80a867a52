"""Data of which only a few examples have labels: the choice of these examples, and their order in a stream."""

from typing import TYPE_CHECKING

import numpy as np

from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf


def check(name: str, labelled: int, classes: tuple[str, ...], size: int | None) -> None:
    """Checks a number of labelled examples.

    Args:
        name: Name of the dataset in messages.
        labelled: The number.
        classes: Names of the K classes.
        size: Number of examples of the dataset, or None if they are drawn without end.

    Raises:
        UserError: If it is less than K, or more than there are examples.
    """
    if labelled < len(classes):
        raise UserError(
            f"labelled: {labelled} examples cannot show all {len(classes)} classes of {name}: take {len(classes)} or "
            f"more."
        )
    if size is not None and labelled > size:
        raise UserError(f"labelled: {name} has only {size} examples, fewer than {labelled}: take at most {size}.")


def counts(labelled: int, classes: int, random: np.random.Generator) -> np.ndarray:
    """Returns the number of labelled examples of each class, [K]: equal ones, or one more in some random classes."""
    found = np.full(classes, labelled // classes)
    found[random.permutation(classes)[: labelled % classes]] += 1
    return found


def choose(labels: np.ndarray, wanted: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Chooses examples of each class at random.

    Args:
        labels: Labels of all examples, [N].
        wanted: Number of examples of each class, [K].
        random: The generator that chooses.

    Returns:
        Indices of the chosen examples, ordered by class, and the number that each class lacks, [K].
    """
    order = random.permutation(len(labels))
    of_class = [order[labels[order] == k][:count] for k, count in enumerate(wanted)]
    return np.concatenate(of_class), wanted - [len(indices) for indices in of_class]


def positions(count: int, batch: int, first: "tf.Tensor", seed: int) -> "tf.Tensor":
    """Returns the places of `batch` examples in an endless stream over `count` examples, int64 [batch].

    The stream is a sequence of permutations, each drawn from the seed and its number.

    Args:
        count: Number of examples.
        batch: Number of places.
        first: Index of the first place in the stream, an int64 scalar.
        seed: Seed of the permutations.
    """
    import tensorflow as tf

    epoch = first // count
    epochs = (batch - 1) // count + 2  # the most that a batch can touch
    orders = tf.map_fn(
        lambda number: tf.random.experimental.stateless_shuffle(
            tf.range(count, dtype=tf.int64), tf.stack([tf.constant(seed, tf.int64), number])
        ),
        epoch + tf.range(epochs, dtype=tf.int64),
    )
    return tf.gather(tf.reshape(orders, [-1]), first - epoch * count + tf.range(batch, dtype=tf.int64))
