"""Input of Keras users: the data that `fit` and `train_on_batch` accept, and the error messages for all other data."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import GAN, UserError, data, models
from gan_zoo.keras_model.examples import Examples
from gan_zoo.losses import mean
from gan_zoo.models import DCGAN, VARIANTS, ProgressiveGAN, VanillaGAN

from . import variants
from .thorough import marks

RNG = np.random.default_rng(0)
X = RNG.uniform(-1, 1, size=(40, 8, 8, 3)).astype("float32")
GREY = X[..., :1]
BYTES = np.uint8((X + 1) * 127.5)
LABELS = np.arange(40)
POINTS = RNG.normal(size=(40, 2)).astype("float32")

slices = tf.data.Dataset.from_tensor_slices


def small(cls=VanillaGAN, channels=3, **kwargs):
    gan = cls.for_images((8, 8, channels), network="mlp", width=2, latent_dim=2, **{"seed": 0, **kwargs})
    gan.compile()
    return gan


def told(caplog):
    """Returns what the zoo has logged. TensorFlow warns when many models of one process are traced."""
    return [record for record in caplog.records if record.name == "gan_zoo"]


def fit(x, gan=None, **kwargs):
    """Trains on x, checks that the losses are finite, and returns the number of steps."""
    gan = gan or small()
    history = gan.fit(x, **{"verbose": 0, **kwargs}).history
    assert all(np.isfinite(values).all() for values in history.values())
    return int(gan.g_optimizer.iterations.numpy())


class Batches(keras.utils.PyDataset):
    """Four batches, or a given number."""

    def __init__(self, *parts, **kwargs):
        super().__init__(**kwargs)
        self.parts = parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index]


def without_signature(*batches, kind=tf.float32):
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_types=kind)


# Accepted input.


@pytest.mark.parametrize(
    ("x", "settings"),
    [
        (X, dict(batch_size=20)),
        ([X], dict(batch_size=20)),
        (X.astype("float64"), dict(batch_size=20)),
        (X.astype("float16"), dict(batch_size=20)),
        (tf.constant(X), dict(batch_size=20)),
        (tf.cast(X, tf.bfloat16), dict(batch_size=20)),
        (tf.Variable(X), dict(batch_size=20)),
        (slices(X).batch(20), {}),
        (slices((X,)).batch(20), {}),
        (slices(X.astype("float64")).batch(20), {}),
        (slices(X.astype("float16")).batch(20, drop_remainder=True), {}),
        (Batches(X[:20], X[20:]), {}),
        (Batches((X[:20],), (X[20:].astype("float64"),), workers=2), {}),
        (((x, None) for x in (X[:20], X[20:])), dict(steps_per_epoch=2)),
        (iter([X[:20], X[20:]]), dict(steps_per_epoch=2)),
        (((x,) for x in (X[:20], X[20:])), dict(steps_per_epoch=2)),
        (slices(X).batch(20).as_numpy_iterator(), dict(steps_per_epoch=2)),
        (without_signature(X[:20], X[20:]).repeat(), dict(steps_per_epoch=2)),
        (without_signature(X[:20], X[20:], kind=tf.float64).repeat(), dict(steps_per_epoch=2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_that_is_taken(x, settings):
    assert fit(x, small(n_critic=2), **settings) == 2


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name in variants.LIKE)) for name in variants.GAMES])
def test_every_variant_takes_batches_of_unknown_shape(name):
    gan = small(getattr(models, VARIANTS[name]), n_critic=1, instance_noise=0.1)
    step = tf.function(gan.train_step, autograph=False, input_signature=[tf.TensorSpec(None, tf.float64)])
    assert all(np.isfinite(value) for value in step(X[:4].astype("float64")).values())


@pytest.mark.parametrize("name", ["dragan", "primal_dual_gan", "kl_wgan"])
@pytest.mark.thorough
def test_replicas_take_batches_of_unknown_size(two_replicas, name):
    with two_replicas.scope():
        gan = small(getattr(models, VARIANTS[name]), n_critic=1, instance_noise=0.1)
    x = slices(X[:19].astype("float64")).batch(8)  # two replicas cannot split the last 3
    assert fit(x, gan) == 2


def test_samples_in_float64_get_examples_in_float64():
    keras.config.set_dtype_policy("float64")
    gan = VanillaGAN(own_generator(), discriminator(None))
    gan.compile()
    assert Examples.of(gan).dtype == tf.float64
    assert fit(X, gan, batch_size=20) == 2
    assert fit(slices(X).batch(20), gan) == 4


def test_growing_networks_take_images_of_any_stage():
    gan = ProgressiveGAN.for_images((8, 8, 3), width=2, latent_dim=2)
    gan.compile()
    for stage in (0, 1):
        gan.grow(stage, 1.0)
        fit(slices(X).batch(20), gan)
    with pytest.raises(UserError, match=r"has shape \[40, 8, 8, 1\], and the generator makes \[B, any, any, 3\]"):
        gan.fit(GREY, verbose=0)


class Labelled(VanillaGAN):
    """Uses the first element of pairs."""

    def discriminator_loss(self, x, z):
        return super().discriminator_loss(x[0], z)


@pytest.mark.parametrize(
    ("x", "settings"), [(slices((POINTS, LABELS)).batch(20), {}), (POINTS, dict(y=LABELS, batch_size=20))]
)
def test_a_class_may_read_labels(x, settings):
    gan = Labelled.for_points(width=2)
    gan.compile()
    assert fit(x, gan, **settings) == 2


def test_a_class_that_reads_none_says_what_came():
    class Plain(GAN):
        def discriminator_loss(self, x, z):
            return mean(self.D(self.G(z))) - mean(self.D(x))

        def generator_loss(self, x, z):
            return -mean(self.D(self.G(z)))

    gan = small(Plain)
    assert fit(X, gan) == 2
    with pytest.raises(UserError, match="holds integers"):
        gan.fit(BYTES, verbose=0)
    with pytest.raises(Exception, match="2 input") as caught:
        gan.fit(slices((X, LABELS)).batch(20), verbose=0)
    assert "If Plain reads no labels: The dataset gives a pair" in caught.value.__notes__[0]


def test_a_training_step_of_ones_own_gets_the_data_as_they_come():
    class Own(VanillaGAN):
        def train_step(self, data):
            return super().train_step(tf.cast(data["image"], tf.float32) / 127.5 - 1.0)

    assert fit(slices({"image": BYTES, "label": LABELS}).batch(20), small(Own)) == 2


# Refused input.


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (BYTES, r"x holds integers \(uint8\) from 0 to 25\d, .* pass x / 127.5 - 1"),
        (BYTES.astype("int64"), r"x holds integers \(int64\) from 0 to 25\d"),
        (BYTES.astype("float32"), r"x has values from 0 to 25\d, .* pass x / 127.5 - 1"),
        (65535 * (X + 1) / 2, r"x / 32767.5 - 1"),
        (X + 1, r"x has values from \S+ to \S+, and the networks work in \[-1, 1\]: pass x - 1"),
        (2 * X, r"pass x / 2\."),
        (3 * X + 0.5, r"pass \(x \+ 2.5\) / 3 - 1"),
        (X > 0, r"x holds booleans, .* pass x \* 2.0 - 1"),
        ((X > 0).astype("int32"), r"from 0 to 1, .* pass x \* 2.0 - 1"),
        (np.where(X > 0.9, np.nan, X), "x has values that are NaN or infinite"),
        (np.where(X > 0.9, np.inf, X), "x has values that are NaN or infinite"),
        (slices(BYTES).batch(10), r"integers \(uint8\) from 0 to 25\d, .*tf.cast\(x, tf.float32\) / 127.5 - 1"),
        (slices(255 * np.abs(X)).batch(10), r"The dataset has values .* dataset.map\(lambda x: x / 127.5 - 1\)"),
        (slices(np.concatenate([0 * X, 100 + X])).batch(10), "The dataset has values from 99"),
        (slices(np.where(X > 0.9, np.nan, X)).batch(10), "The dataset has values that are NaN or infinite"),
        (iter([BYTES[:8]] * 3), r"The generator holds integers \(uint8\), .* yield x / 127.5 - 1"),
        (iter([255 * np.abs(X[:8])] * 3), "The generator has values from"),
        (Batches(BYTES), r"The PyDataset holds integers .* return x / 127.5 - 1 from __getitem__"),
        (Batches(255 * np.abs(X)), "The PyDataset has values from"),
        (X[..., 0], r"x has shape \[40, 8, 8\], and the generator makes \[B, 8, 8, 3\]: make three channels of one"),
        (np.transpose(X, (0, 3, 1, 2)), r"the channels go last, pass np.transpose\(x, \(0, 2, 3, 1\)\)"),
        (slices(np.transpose(X, (0, 3, 1, 2))).batch(8), r"map\(lambda x: tf.transpose\(x, \[0, 2, 3, 1\]\)\)"),
        (GREY, r"the channels differ, pass x.repeat\(3, axis=-1\)"),
        (np.concatenate([X, GREY], -1), r"pass x\[..., :3\]"),
        (X[0], r"the axis of the batch is missing, pass x\[None\]"),
        (slices(X), r"the axis of the batch is missing, batch it with dataset.batch\(32\)"),
        (slices(X).batch(4).batch(4), r"it is batched twice, leave out one .batch\(\)"),
        (X.reshape(40, -1), r"reshape it, pass x.reshape\(-1, 8, 8, 3\)"),
        (X[:, :4, :4], r"tf.image.resize\(x, \(8, 8\)\), or build networks for images of that size"),
        (without_signature(X[:4, :4, :4]), r"The dataset has batches of shape \[4, 4, 4, 3\]"),
        (slices((X, LABELS)).batch(8), r"gives a pair \(images, labels\), .* dataset.map\(lambda x, y: x\)"),
        (slices((LABELS, X)).batch(8), r"gives a pair .* dataset.map\(lambda x, y: y\)"),
        (slices((X, LABELS, LABELS)).batch(8), r"gives a tuple of 3 .* dataset.map\(lambda x, y, w: x\)"),
        (
            slices({"id": LABELS, "image": BYTES}).batch(8),
            r"a dict with the keys 'id', 'image', .*lambda x: tf.cast\(x\['image'\], tf.float32\) / 127.5 - 1",
        ),
        ({"image": X, "label": LABELS}, r"x is a dict with the keys 'image', 'label', .* pass x\['image'\]"),
        ((X, LABELS), r"x is a pair \(images, labels\), .* pass x\[0\]"),
        (list(X), r"x is a list of 40 ndarray objects, .* pass np.stack\(x\)"),
        ([X[0], X[1]], r"x is a list of 2 ndarray objects"),
        (iter([(X[:8], LABELS[:8])] * 2), r"The generator gives a pair .* yield the images alone"),
        (Batches((X, LABELS)), r"The PyDataset gives a pair .* return the images alone from __getitem__"),
        (np.array([X[0], X[1, :4]], dtype=object), "x is an array of 2 objects"),
        (np.array(["a", "b"]), "x holds values of type string"),
        (tf.ragged.constant([[1.0, 2.0], [3.0]]), "x holds a ragged tensor"),
        (tf.sparse.from_dense(X), r"x holds a sparse tensor, .* pass tf.sparse.to_dense\(x\)"),
        (X[:0], "x is empty: it has no examples"),
        (slices(X).batch(50, drop_remainder=True), "The dataset is empty: it has no batch"),
        (None, "fit needs data: pass x"),
        ("mnist", r"pass gan_zoo.data.load\('mnist'\)"),
        ({1, 2}, r"not set: pass iter\(x\) if it gives batches"),
    ],
)
def test_data_that_is_refused(x, sentence):
    with pytest.raises(UserError, match=sentence):
        fit(x, steps_per_epoch=1 if isinstance(x, type(iter([]))) else None)


@pytest.mark.parametrize("name", ["y", "sample_weight", "class_weight"])
def test_arguments_for_labels_are_refused(name):
    with pytest.raises(UserError, match=f"leave {name} out"):
        fit(X, **{name: {0: 1.0} if name == "class_weight" else LABELS})


def test_grey_images_without_an_axis_for_the_channel():
    with pytest.raises(UserError, match=r"add the axis of the channel, pass x\[..., None\]"):
        fit(GREY[..., 0], small(channels=1))


def test_the_range_of_images_on_replicas(two_replicas):
    with two_replicas.scope():
        gan = small()
    for x in (slices(255 * X).batch(10), two_replicas.experimental_distribute_dataset(slices(255 * X).batch(10))):
        with pytest.raises(UserError, match="The dataset has values from"):
            gan.fit(x, verbose=0)


# Ranges.


def test_what_filters_overshoot_is_taken():
    assert fit(1.3 * X) == fit(slices(1.3 * X).batch(20)) == 2


def own_generator(*last):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(192, **dict(last)), keras.layers.Reshape((8, 8, 3))])


def test_a_generator_without_a_bound_may_have_units_of_its_own():
    discriminator = small().discriminator
    linear = own_generator()
    scaled = keras.Sequential([own_generator(("activation", "tanh")), keras.layers.Rescaling(127.5, 127.5)])
    for generator, x in ((linear, 3 * X), (scaled, BYTES.astype("float32"))):
        gan = VanillaGAN(generator, discriminator)
        gan.compile()
        fit(x, gan)
    gan = VanillaGAN(linear, discriminator)
    gan.compile()
    with pytest.raises(UserError, match="x has values from"):
        gan.fit(BYTES.astype("float32"), verbose=0)


def test_points_have_any_range_but_are_floats():
    gan = VanillaGAN.for_points(width=2)
    gan.compile()
    fit(1000 * POINTS, gan)
    fit(slices(1000 * POINTS).batch(10), gan)
    with pytest.raises(UserError, match=r"holds integers \(int64\) from 0 to 9, .* x.astype"):
        gan.fit(np.arange(10).reshape(5, 2), verbose=0)
    with pytest.raises(UserError, match=r"x has shape \[40, 3\], and the generator makes \[B, 2\]"):
        gan.fit(np.zeros((40, 3)), verbose=0)


def test_an_array_from_zero_to_one_is_told_of(caplog):
    fit((X + 1) / 2)
    assert "x lies in [0, 1]" in caplog.text
    caplog.clear()
    for x in (X, 0 * X, 0 * X + 1):
        fit(x)
    assert not told(caplog)


# The number of examples.


@pytest.mark.parametrize(
    ("x", "settings", "steps"),
    [
        (X[:33], dict(batch_size=15, epochs=2), 4),
        (slices(X[:33]).batch(15), dict(epochs=2), 4),
        (slices(X[:33]).shuffle(8).batch(15).map(lambda x: x).prefetch(1), dict(epochs=2), 4),
        (slices(X[:33]).batch(15).shuffle(8).cache(), dict(epochs=2), 4),
        (slices(X[:33]).batch(15).repeat(), dict(steps_per_epoch=5), 5),
        (Batches(X[:15], X[15:30], X[30:33]), dict(epochs=2), 4),
        (iter([X[:3], X[:15], X[:15], X[:15]]), dict(steps_per_epoch=3), 3),
    ],
)
def test_a_remainder_is_left_out_with_one_warning(x, settings, steps, caplog):
    assert fit(x, small(n_critic=5), **settings) == steps
    (record,) = told(caplog)
    assert record.getMessage() == "The last 3 examples of an epoch are left out: they cannot be divided by n_critic=5."


@pytest.mark.parametrize("x", [X[:35], slices(X[:35]).batch(15)])
def test_a_remainder_that_can_be_divided_is_taken(x, caplog):
    assert fit(x, small(n_critic=5), batch_size=15 if isinstance(x, np.ndarray) else None) == 3
    assert not told(caplog)


@pytest.mark.parametrize(
    "x",
    [
        slices(X).batch(32),
        slices(X).batch(32, drop_remainder=True),
        slices(X).batch(32).repeat(2),
        slices(X).repeat().batch(32).map(lambda x: x),
        iter([X[:32]] * 3),
        Batches(X[:32], X[:32]),
    ],
)
def test_a_batch_size_that_cannot_be_divided(x, caplog):
    with pytest.raises(UserError, match="32 examples cannot be divided by n_critic=5: .* such as 30 or 35"):
        small(n_critic=5).fit(x, verbose=0, steps_per_epoch=3)
    assert not told(caplog)


@pytest.mark.parametrize("settings", [{}, dict(batch_size=32)])
def test_a_batch_size_of_arrays_that_cannot_be_divided(settings):
    with pytest.raises(UserError, match="set batch_size to a multiple of 5, such as 30 or 35"):
        small(n_critic=5).fit(X, verbose=0, **settings)


@pytest.mark.parametrize("x", [X[:3], slices(X[:3]).batch(20), Batches(X[:3])])
def test_too_few_examples_for_a_step(x):
    with pytest.raises(UserError, match=r"has 3 examples in all, and a step takes a multiple of 5 \(n_critic=5\)"):
        small(n_critic=5).fit(x, verbose=0)


def test_no_step_is_an_error():
    x = tf.data.Dataset.from_generator(lambda: iter([X[:3]]), output_signature=tf.TensorSpec((None, 8, 8, 3)))
    with (
        pytest.warns(UserWarning, match="ran out of data"),
        pytest.raises(UserError, match="The dataset gives no batch that can be divided by n_critic=5, so no step"),
    ):
        small(n_critic=5).fit(x, verbose=0)


def test_batches_on_replicas(two_replicas, caplog):
    with two_replicas.scope():
        gan = small(n_critic=2)
    assert fit(X[:22], gan, batch_size=20) == 1
    assert "they cannot be divided by n_critic=2 times 2 replicas" in caplog.text
    with pytest.raises(UserError, match="10 examples cannot be divided by n_critic=2 times 2 replicas: set batch_size"):
        gan.fit(X, batch_size=10, verbose=0)
    shared = two_replicas.experimental_distribute_dataset(slices(X).batch(10, drop_remainder=True))
    with pytest.raises(UserError, match="5 examples cannot be divided by n_critic=2"):
        gan.fit(shared, verbose=0)


@pytest.mark.parametrize("steps", [2, 3])
def test_the_last_steps_of_an_epoch_on_replicas_may_be_fewer_than_are_taken_at_a_time(two_replicas, steps):
    with two_replicas.scope():
        gan = VanillaGAN.for_points(width=2)
        gan.compile(steps_per_execution=steps)
    assert fit(POINTS, gan, batch_size=8, epochs=2) == 10


def test_a_step_in_a_graph_of_ones_own_says_what_cannot_be_divided():
    gan = small(n_critic=3)
    step = tf.function(gan.train_step, input_signature=[tf.TensorSpec([None, 8, 8, 3])])
    with pytest.raises(tf.errors.InvalidArgumentError, match="examples of a replica cannot be divided: 8"):
        step(X[:8])


# Single batches.


def test_train_on_batch():
    gan = small(n_critic=2)
    for x in (X[:8], tf.constant(X[:8]), X[:8].astype("float64"), (X[:8],)):
        logs = gan.train_on_batch(x, return_dict=True)
        assert logs.keys() == {"d_loss", "g_loss"}
        assert all(isinstance(value, float) and np.isfinite(value) for value in logs.values())
        assert len(gan.train_on_batch(x)) == 2
    assert gan.g_optimizer.iterations.numpy() == 8


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (X[:12], "12 examples cannot be divided by n_critic=5"),
        (BYTES[:10], "x holds integers"),
        (255 * X[:10], "x has values from"),
        (X[:10, :4], "x has shape"),
        ((X[:10], LABELS[:10]), "x is a pair"),
    ],
)
def test_single_batches_that_are_refused(x, sentence):
    gan = small(n_critic=5)
    for step in (gan.train_on_batch, gan.train_step):
        with pytest.raises(UserError, match=sentence):
            step(x)


def test_replicas_share_a_single_batch(two_replicas):
    weights = []
    for scope in (tf.distribute.get_strategy().scope(), two_replicas.scope()):
        with scope:
            keras.utils.set_random_seed(0)
            gan = VanillaGAN.for_points(width=4, seed=0, n_critic=5)
            gan.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
        gan.train_on_batch(POINTS)
        weights.append(gan.get_weights())
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


# The outputs of networks.


def discriminator(activation):
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(1, activation)])


@pytest.mark.parametrize(
    ("last", "activation", "expected"),
    [
        ("tanh", None, []),
        ("tanh", "sigmoid", ["The discriminator ends in a sigmoid"]),
        ("sigmoid", None, ["The generator ends in a sigmoid"]),
        ("hard_sigmoid", "sigmoid", ["The generator ends in a hard_sigmoid", "The discriminator ends in a sigmoid"]),
    ],
)
def test_networks_that_end_in_probabilities_are_told_of_once(last, activation, expected, caplog):
    gan = DCGAN(own_generator(("activation", last)), discriminator(activation))
    gan.compile()
    for _ in range(2):
        fit(X, gan)
        gan.train_on_batch(X)
    assert [record.getMessage()[: len(text)] for record, text in zip(told(caplog), expected, strict=True)] == expected


def test_no_variant_is_told_that_it_ends_in_probabilities(caplog):
    caplog.set_level(logging.WARNING)
    for name in variants.GAMES:
        gan = variants.small(variants.find(name), "image")
        gan._warn_of_endings()
    assert not told(caplog)


# Pipelines.


def test_pipelines_are_not_tuned_unless_that_is_asked_for(monkeypatch):
    seen = []

    def recording(self, x=None, **kwargs):
        dataset = x.get_tf_dataset()
        seen.append(dataset.options().autotune.enabled)
        return keras.callbacks.History()

    gan, options = small(), tf.data.Options()
    options.autotune.enabled = True
    history = keras.callbacks.History()
    history.epoch = []
    monkeypatch.setattr(keras.Model, "fit", lambda self, x=None, **kwargs: recording(self, x) and None or history)
    for x in (X, slices(X).batch(10), Batches(X), iter([X, X]), slices(X).batch(10).with_options(options)):
        gan.fit(x, verbose=0)
    assert seen == [False, False, False, False, True]


def test_the_zoos_own_data_are_not_looked_at_again():
    dataset = data.load("ring8", batch_size=8)
    assert dataset.is_checked
    assert not hasattr(dataset.take(1), "is_checked")
