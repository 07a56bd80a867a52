"""The base class: its arguments, latents, minibatches, logs, precision, and what it saves."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from gan_zoo import GAN, UserError
from gan_zoo.losses import mean
from gan_zoo.models import DCGAN, DRAGAN, WGAN, WGANGP, VanillaGAN
from gan_zoo.penalties import interpolate


def points(n=8):
    return np.random.default_rng(0).normal(size=(n, 2)).astype("float32")


def small(cls=VanillaGAN, **kwargs):
    return cls.for_points(width=4, **{"seed": 0, **kwargs})


class Recording(GAN):
    """Records the arguments of its losses."""

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.seen = []

    def discriminator_loss(self, x, z):
        self.seen.append((x, z))
        self.record("turn", tf.constant(float(len(self.seen))))
        return tf.reduce_mean(self.D(x))

    def generator_loss(self, x, z):
        self.seen.append((x, z))
        return tf.reduce_mean(self.D(self.G(z)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_critic": 0}, "n_critic must be a whole number from 1 up, not 0"),
        ({"n_critic": 2.0}, "n_critic must be a whole number from 1 up, not 2.0"),
        ({"prior": "gaussian"}, "prior must be 'normal' or 'uniform', not 'gaussian'"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        small(**arguments)


def test_latent_dim_comes_from_the_generator_or_the_argument():
    assert VanillaGAN.for_points(width=4, latent_dim=3).latent_dim == 3
    generator, discriminator = keras.Sequential([keras.layers.Dense(2)]), keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(UserError, match="pass latent_dim=Z"):
        VanillaGAN(generator, discriminator)
    gan = VanillaGAN(generator, discriminator, latent_dim=5)
    assert gan(gan.sample_latent(3)).shape == (3, 2)
    assert gan.D(points()).shape == (8, 1)


def test_a_variant_must_state_its_losses():
    gan = small(GAN)
    for loss in (gan.discriminator_loss, gan.generator_loss):
        with pytest.raises(NotImplementedError, match=f"GAN must implement {loss.__name__}"):
            loss(points(), gan.sample_latent(8))


def test_networks_for_images():
    gan = DCGAN.for_images((8, 8, 3), latent_dim=6, width=2)
    assert gan(gan.sample_latent(2)).shape == (2, 8, 8, 3)
    has_batch_norm = [
        any(
            isinstance(layer, keras.layers.BatchNormalization)
            for layer in cls.for_images((16, 16, 1), width=2).discriminator.layers
        )
        for cls in (DCGAN, WGANGP)
    ]
    assert has_batch_norm == [True, False]  # the default of each variant


def test_latents_with_a_seed_depend_on_nothing_else():
    first, second = small(seed=1), small(seed=2)
    second.sample_latent(4)
    np.testing.assert_array_equal(first.sample_latent(4, seed=7), second.sample_latent(4, seed=7))
    assert (first.sample_latent(4, seed=7) != first.sample_latent(4, seed=8)).numpy().any()
    assert first.random.state.numpy().tolist() == [1, 0]


def test_latents_without_a_seed_follow_the_models_own():
    first, second, other = small(seed=1), small(seed=1), small(seed=2)
    for _ in range(2):
        z = first.sample_latent(4)
        np.testing.assert_array_equal(z, second.sample_latent(4))
        assert (z != other.sample_latent(4)).numpy().any()
    assert first.random.state.numpy().tolist() == [1, 2]


def test_a_seed_is_drawn_where_none_is_given():
    assert small(seed=None).random.state.numpy()[0] != small(seed=None).random.state.numpy()[0]
    keras.utils.set_random_seed(3)
    first = small(seed=None).random.state.numpy()
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(first, small(seed=None).random.state.numpy())


def test_priors():
    uniform = small(prior="uniform").sample_latent(20000).numpy()
    assert -1 <= uniform.min() < -0.999 and 0.999 < uniform.max() <= 1
    np.testing.assert_allclose([uniform.mean(), uniform.std()], [0, 3**-0.5], atol=0.02)
    normal = small(prior="normal").sample_latent(20000).numpy()
    np.testing.assert_allclose([normal.mean(), normal.std()], [0, 1], atol=0.02)
    assert 3.5 < np.abs(normal).max() < 6


def test_minibatches_are_strided():
    gan = small(n_critic=3)
    x, labels = tf.range(6), {"label": tf.range(6) * 10}
    parts = gan.split((x, labels))
    assert [part[0].numpy().tolist() for part in parts] == [[0, 3], [1, 4], [2, 5]]
    assert [part[1]["label"].numpy().tolist() for part in parts] == [[0, 30], [10, 40], [20, 50]]
    assert small(n_critic=1).split(labels) == [labels]


def test_a_batch_that_n_critic_does_not_divide():
    gan = small(n_critic=3)
    gan.compile()
    with pytest.raises(UserError, match="8 examples cannot be divided by n_critic=3"):
        gan.train_step(tf.constant(points()))
    with pytest.raises(UserError, match="8 examples cannot be divided by n_critic=3"):
        gan.fit(tf.data.Dataset.from_tensors(points()), verbose=0, shuffle=False)


def test_turns_see_fresh_data_and_fresh_latents():
    gan = small(Recording, n_critic=2)
    gan.compile()
    logs = gan.train_step(tf.constant(points()))
    (x0, z0), (x1, z1), (x2, z2) = gan.seen
    np.testing.assert_array_equal(x0, points()[0::2])
    np.testing.assert_array_equal(x1, points()[1::2])
    np.testing.assert_array_equal(x2, x1)
    assert len({z.numpy().tobytes() for z in (z0, z1, z2)}) == 3
    assert z0.shape == (4, 2)
    assert logs.keys() == {"d_loss", "g_loss", "turn"}
    assert float(logs["turn"]) == 1.5  # values recorded more than once are averaged
    gan.seen.clear()
    assert float(gan.train_step(tf.constant(points()))["turn"]) == 1.5  # and reset after the step


def test_logs_average_over_the_discriminators_turns():
    gan = small(WGANGP, n_critic=4)
    gan.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    start = gan.random.state.numpy()
    logs = gan.train_step(tf.constant(points(16)))
    gan.random.state.assign(start)
    # The turn draws the latents, then the loss draws its epsilon: the same order as in the step.
    losses = [float(gan.discriminator_loss(x, gan.sample_latent(4))) for x in gan.split(tf.constant(points(16)))]
    np.testing.assert_allclose(logs["d_loss"], np.mean(losses), rtol=1e-6)
    assert logs.keys() == {"d_loss", "g_loss", "penalty"}


def test_networks_run_in_training_mode_in_losses_and_inference_mode_in_samples():
    gan = DCGAN.for_images((8, 8, 1), width=2, latent_dim=4, seed=0)
    z = gan.sample_latent(6, seed=0)
    assert np.abs(gan.G(z) - gan(z)).max() > 1e-3
    np.testing.assert_array_equal(gan(z), gan.generator(z, training=False))
    np.testing.assert_allclose(gan(z)[:3], gan(z[:3]), atol=1e-6)


def test_config_holds_every_argument():
    gan = WGAN.for_points(width=4, clip=0.02, n_critic=2, prior="uniform", latent_dim=3, seed=5, name="critic")
    clone = WGAN.from_config(gan.get_config())
    names = ("clip", "n_critic", "prior", "latent_dim", "seed", "name")
    assert [getattr(clone, name) for name in names] == [0.02, 2, "uniform", 3, 5, "critic"]
    assert clone.generator.output_shape == (None, 2)
    base = {"simultaneous", "balance", "instance_noise", "noise_turns", "classes"}
    base |= {"penalties", "feature_matching", "historical_averaging", "augmentation", "lecam"}
    assert set(WGAN.argument_names()) == {"generator", "discriminator", *names, *base} - {"name"}


def test_a_users_class_is_saved_and_loaded_without_being_named(tmp_path):
    class Own(VanillaGAN):
        """A variant of a user."""

    gan = small(Own)
    gan.compile(keras.optimizers.SGD(0.25), "rmsprop")
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    assert type(loaded) is Own
    assert float(loaded.d_optimizer.learning_rate) == 0.25
    assert isinstance(loaded.g_optimizer, keras.optimizers.RMSprop)
    z = gan.sample_latent(4, seed=0)
    np.testing.assert_array_equal(loaded(z), gan(z))


def test_an_uncompiled_gan_is_saved_and_loaded(tmp_path):
    gan = small()
    gan.save(tmp_path / "gan.keras")
    z = gan.sample_latent(4, seed=0)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "gan.keras")(z), gan(z))


def test_losses_are_scaled_under_mixed_float16():
    keras.config.set_dtype_policy("mixed_float16")
    gan = small()
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    gan.compile(g_optimizer=own)
    assert isinstance(gan.d_optimizer, keras.optimizers.LossScaleOptimizer)
    assert isinstance(gan.d_optimizer.inner_optimizer, keras.optimizers.Adam)
    assert gan.g_optimizer is own
    before = gan.discriminator.get_weights()
    logs = gan.train_step(tf.constant(points()))
    assert all(np.isfinite(value) for value in logs.values())
    assert any((a != b).any() for a, b in zip(before, gan.discriminator.get_weights(), strict=True))


def test_losses_are_not_scaled_elsewhere():
    gan = small()
    gan.compile()
    assert isinstance(gan.d_optimizer, keras.optimizers.Adam)


@pytest.mark.parametrize("how", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_compile_hands_keras_its_own_arguments(how):
    gan = small()
    gan.compile(**how)
    dataset = tf.data.Dataset.from_tensors(points()).repeat()
    history = gan.fit(dataset, steps_per_epoch=2, epochs=2, verbose=0, shuffle=False).history
    assert len(history["d_loss"]) == 2
    assert int(gan.d_optimizer.iterations) == 4


def test_data_may_be_a_structure():
    class Labelled(VanillaGAN):
        """Uses the images of (images, labels)."""

        def discriminator_loss(self, x, z):
            images, labels = x
            assert labels.shape == (4,)
            return super().discriminator_loss(images, z)

    gan = small(Labelled, n_critic=2)
    gan.compile()
    dataset = tf.data.Dataset.from_tensors((points(), np.arange(8))).repeat()
    gan.fit(dataset, steps_per_epoch=1, verbose=0, shuffle=False)


def test_training_repeats_itself_with_a_seed():
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        gan = small(seed=None)
        gan.compile()
        gan.fit(tf.data.Dataset.from_tensors(points()).repeat(), steps_per_epoch=3, verbose=0, shuffle=False)
        runs.append(gan.get_weights())
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)


def test_updates_wait_for_every_read_of_what_they_change():
    # Grappler removes control dependencies that it considers implied: a penalty could read a bias during its update.
    gan = DRAGAN.for_images((8, 8, 1), width=2, latent_dim=4, seed=0)
    gan.compile()
    step = tf.function(gan.train_step)
    context.enable_run_metadata()
    step(tf.zeros([4, 8, 8, 1]))
    (graphs,) = context.export_run_metadata().function_graphs
    context.disable_run_metadata()
    nodes = {node.name: node for node in graphs.post_optimization_graph.node}

    @functools.cache
    def before(name):
        """Returns the nodes that the node waits for."""
        inputs = {edge.lstrip("^").split(":")[0] for edge in nodes[name].input}
        return inputs.union(*(before(other) for other in inputs))

    unordered = [
        (reading.name, writing.name)
        for writing in nodes.values()
        for reading in nodes.values()
        if writing.op.startswith("Assign")
        and reading.op == "ReadVariableOp"
        and reading.input[0] == writing.input[0]
        and reading.name not in before(writing.name)
        and writing.name not in before(reading.name)
    ]
    assert not unordered


def test_fit_takes_a_dataset_without_a_warning_and_shuffles_arrays():
    gan = small()
    gan.compile()
    gan.fit(tf.data.Dataset.from_tensors(points()).repeat(), steps_per_epoch=1, verbose=0)
    gan.fit(points(16), batch_size=8, verbose=0)


@keras.saving.register_keras_serializable(package="tests")
class Mixing(keras.layers.Layer):
    """A user's layer that mixes the examples of a batch."""

    def call(self, x):
        return x - tf.reduce_mean(x, axis=0, keepdims=True)


@pytest.mark.parametrize("network", ["dcgan", "resnet", "mlp"])
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_scores_of_two_minibatches_are_those_of_each(network, norm):
    """Also with batch normalization: each minibatch has its own statistics."""
    gan = VanillaGAN.for_images((8, 8, 1), network=network, norm=norm, width=4, latent_dim=4, seed=0)
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(k, 1.0 + k, size=(n, 8, 8, 1)).astype("float32") for k, n in enumerate((6, 4)))
    pair = gan.D(real, fake)
    for scores, x in zip(pair, (real, fake), strict=True):
        np.testing.assert_allclose(scores, gan.D(x), atol=1e-5)
        assert scores.shape == (len(x), 1)


def passes(gan) -> int:
    """Returns how often the discriminator's last layer is called for two minibatches."""
    x = tf.zeros([2, *gan.discriminator.input_shape[1:]])
    graph = tf.function(lambda x: gan.D(x, x)).get_concrete_function(x).graph
    kernel = gan.discriminator.layers[-1]
    return sum(op.type == "MatMul" and kernel.name in op.name for op in graph.get_operations())


def test_convolutions_that_treat_examples_one_by_one_take_one_pass():
    counts = {
        norm: passes(VanillaGAN.for_images((16, 16, 1), norm=norm, width=4, latent_dim=4))
        for norm in ("none", "layer", "spectral", "batch")
    }
    assert counts == {"none": 1, "layer": 1, "spectral": 1, "batch": 2}
    assert passes(small()) == 2  # the two passes of a perceptron run in parallel


def test_a_layer_that_nobody_knows_takes_two_passes():
    images = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(images))
    gan = VanillaGAN.for_images((8, 8, 1), width=4, latent_dim=4)
    assert passes(VanillaGAN(gan.generator, keras.Model(images, keras.layers.Dense(1)(x)))) == 1
    assert passes(VanillaGAN(gan.generator, keras.Model(images, keras.layers.Dense(1)(Mixing()(x))))) == 2


def test_compile_prepares_the_random_numbers_for_xla():
    gan = small()
    assert not gan.random.for_xla
    gan.compile(jit_compile=True)
    assert gan.random.for_xla
    gan.compile(jit_compile=False)
    assert not gan.random.for_xla


def test_what_d_sees_is_told_apart_by_its_origin():
    class Marked(VanillaGAN):
        def augment(self, x, origin):
            self.origins.append(origin)
            return super().augment(x, origin)

        def discriminator_loss(self, x, z):
            fake = self.G(z)
            self.D(interpolate(x, fake, tf.fill([4], 0.5)))
            return super().discriminator_loss(x, z) + 0.0 * mean(self.D(x, fake)[0])

    gan = Marked.for_points(width=4, seed=0)
    gan.compile()
    gan.origins = []
    x = tf.zeros([4, 2])
    gan.train_step(x)
    assert gan.origins == [None, "real", "generated", "real", "generated", "generated"]
    gan.origins = []
    tf.function(gan.train_step)(x)  # and in a graph
    assert gan.origins == [None, "real", "generated", "real", "generated", "generated"]
    for _ in range(3):  # outside of a turn nothing is kept
        gan.G(gan.sample_latent(2))
    assert len(gan._seen.generated) <= 2  # the last one, and the one that the graph keeps
