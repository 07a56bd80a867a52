"""The training step in the combinations of users: on replicas, with all settings, compiled, with static shapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import testing
from gan_zoo.losses import mean
from gan_zoo.models import DCGAN, KLWGAN, R1GAN, VARIANTS, WGANGP, HingeGAN, RaGAN, VanillaGAN

from . import variants
from .thorough import thoroughly

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(12, 2)).astype("float32")
IMAGES = RNG.uniform(-1, 1, size=(8, 8, 8, 1)).astype("float32")


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (RaGAN, dict(simultaneous=True, instance_noise=0.3, noise_turns=4)),
        (R1GAN, dict(n_critic=2, interval=2, balance="until(d_loss=1.3, turns=4)")),
        pytest.param(
            *(WGANGP, dict(n_critic=3, balance="warm_up(turns=6, first=1, every=2)", instance_noise=0.2)),
            marks=pytest.mark.thorough,  # tests of the balance check warm-up and noise on replicas
        ),
    ],
)
def test_settings_on_replicas(cls, arguments):
    testing.check_replicas(lambda: cls.for_points(width=4, **arguments), POINTS)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (R1GAN, dict(norm="none", interval=2, simultaneous=True)),
        (DCGAN, dict(norm="batch", balance="until(d_loss=1.38)", instance_noise=0.2)),
        # A small penalty: with the paper's weight five large steps may amplify rounding errors a thousand times.
        (WGANGP, dict(norm="layer", n_critic=2, gp_weight=0.1)),
        (KLWGAN, dict(norm="spectral", n_critic=2)),
    ],
)
@pytest.mark.thorough
def test_norms_on_replicas(cls, arguments):
    testing.check_replicas(
        lambda: cls.for_images((8, 8, 1), network="dcgan", latent_dim=4, width=2, **arguments), IMAGES
    )


@pytest.mark.parametrize(
    "balance",
    ["until(d_loss=1.3)", *thoroughly("warm_up(turns=2, first=1, every=0)")],
)
def test_a_generator_that_waits_on_replicas_in_float16(two_replicas, balance):
    keras.config.set_dtype_policy("mixed_float16")
    with two_replicas.scope():
        gan = VanillaGAN.for_points(width=4, seed=0, balance=balance)
        gan.compile()
    dataset = tf.data.Dataset.from_tensors(POINTS).repeat()
    turns = sum(gan.fit(dataset, steps_per_epoch=1, verbose=0, shuffle=False).history["g_turns"][0] for _ in range(4))
    assert int(gan.g_optimizer.iterations.numpy()) == turns < 4
    assert all(np.isfinite(variable.numpy()).all() for variable in gan.trainable_variables)


@pytest.mark.parametrize(
    ("cls", "norm"), [(WGANGP, "none"), (DCGAN, "batch"), (HingeGAN, "spectral")], ids=lambda value: str(value)
)
@pytest.mark.thorough
def test_xla_in_bfloat16(cls, norm):
    keras.config.set_dtype_policy("mixed_bfloat16")
    logs = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(1)
        gan = cls.for_images((8, 8, 1), network="dcgan", norm=norm, latent_dim=4, width=2, n_critic=1, seed=0)
        gan.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01), jit_compile=jit_compile)
        dataset = tf.data.Dataset.from_tensors(IMAGES).repeat()
        history = gan.fit(dataset, steps_per_epoch=3, verbose=0, shuffle=False).history
        logs.append({name: values[-1] for name, values in history.items()})
    for name, value in logs[0].items():
        assert np.isfinite(logs[1][name])
        assert logs[1][name] == pytest.approx(value, rel=0.05, abs=0.05), name


# Results whose shapes TensorFlow does not know but XLA does, by operation and index: outputs of the batch normalization
# kernel that only its own gradient on a GPU reads, and that are empty elsewhere; the zeros of their gradients; and the
# lists of axes of a broadcast's sum, which are constants for XLA if shapes are static.
KNOWN_TO_XLA = {("FusedBatchNormV3", 5), ("ZerosLike", 0), ("BroadcastGradientArgs", 0), ("BroadcastGradientArgs", 1)}


def graphs_of(graph):
    """Returns a graph and the graphs of the functions that it calls."""
    yield graph
    for op in graph.get_operations():
        for attribute in op.node_def.attr.values():
            if attribute.HasField("func"):
                yield from graphs_of(graph._get_function(attribute.func.name).graph)


def unknown_shapes(gan, data) -> list[set]:
    """Returns, for each graph of a training step, the results without a fully known shape."""
    gan.compile(jit_compile=True)
    step = tf.function(gan.train_step, autograph=False).get_concrete_function(tf.TensorSpec(data.shape, data.dtype))
    return [
        {
            (op.type, index)
            for op in graph.get_operations()
            for index, output in enumerate(op.outputs)
            if not output.shape.is_fully_defined()
        }
        for graph in graphs_of(step.graph)
    ]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.thorough
def test_shapes_are_static(name):
    """TPUs require this. `check_xla` of the conformance suite compiles every variant with XLA."""
    model = variants.small(variants.find(name), "image", n_critic=2)
    found = unknown_shapes(model, variants.data_for(model, "image"))
    assert set().union(*found) <= KNOWN_TO_XLA


def test_unknown_shapes_are_found_in_conditions():
    class Filtering(VanillaGAN):
        """Uses only positive scores, in one branch of a condition only."""

        def discriminator_loss(self, x, z):
            scores = self.D(x)
            few = tf.cond(mean(scores) > 0, lambda: mean(scores[scores > 0]), lambda: mean(scores))
            return few + super().discriminator_loss(x, z)

    assert "Where" in {kind for graph in unknown_shapes(Filtering.for_points(width=4), POINTS) for kind, _ in graph}
    assert len(unknown_shapes(R1GAN.for_points(width=4, interval=2), POINTS)) > 1
