"""Growing networks, their schedule, and progressive GAN's loss."""

import itertools
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import callbacks, layers, networks
from gan_zoo.export import saved_model
from gan_zoo.models import ProgressiveGAN
from gan_zoo.networks import growing
from gan_zoo.run_folder import checkpoints
from gan_zoo.schedules.growth import Growth, Phase, schedule
from gan_zoo.training import job_report, pipeline
from gan_zoo.util.errors import UserError

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, size=(4, 16, 16, 1)).astype("float32")


def small(**kwargs):
    return ProgressiveGAN.for_images((16, 16, 1), width=2, latent_dim=3, seed=0, **kwargs)


def trained(gan, data, steps=1, **kwargs):
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_tensors(data).repeat().with_options(options)
    return gan.fit(dataset, steps_per_epoch=steps, verbose=0, **kwargs)


def test_pixel_normalization():
    actual = layers.PixelNormalization()(np.float32(VECTORS["pggan"]["pixelnorm_in"]))
    np.testing.assert_allclose(actual, VECTORS["pggan"]["pixelnorm_out"], rtol=1e-6)


@pytest.mark.parametrize(
    ("group_size", "expected"),
    [
        (None, [VECTORS["pggan"]["mbstd_value_group4"]] * 4),
        (4, [VECTORS["pggan"]["mbstd_value_group4"]] * 4),
        (16, [VECTORS["pggan"]["mbstd_value_group4"]] * 4),
        (2, VECTORS["pggan"]["mbstd_values_group2_reshape_[G,M,...]"] * 2),
    ],
)
def test_standard_deviation_of_the_minibatch(group_size, expected):
    x = np.float32(VECTORS["pggan"]["mbstd_in_NHWC"])
    y = layers.MinibatchStd(group_size=group_size)(x).numpy()
    np.testing.assert_array_equal(y[..., :-1], x)
    for example, value in zip(y[..., -1], expected, strict=True):
        np.testing.assert_allclose(example, value, rtol=1e-6)


def test_standard_deviation_of_the_minibatch_is_that_of_all_replicas(two_replicas):
    x = RNG.normal(size=(4, 2, 2, 3)).astype("float32")
    with two_replicas.scope():
        layer = layers.MinibatchStd()
    expected = layer(x)[..., -1]

    @tf.function
    def call():
        return two_replicas.run(layer, args=(parts,))

    parts = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[2 * context.replica_id_in_sync_group :][:2])
    )
    actual = tf.concat(two_replicas.experimental_local_results(call()), 0)[..., -1]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape", "scale"),
    [
        (layers.EqualizedConv2D(4, 3, use_bias=False), (2, 5, 5, 512), "wscale_conv3x3_fan_in_512_gain_sqrt2"),
        (layers.EqualizedConv2D(3, 1, gain=1.0), (2, 5, 5, 512), "wscale_torgb_fan_in_512_gain1"),
        (layers.EqualizedDense(4, gain=2**0.5 / 4), (2, 512), "wscale_first_dense_latent512_gain_sqrt2_over_4"),
    ],
)
def test_equalised_learning_rate(layer, shape, scale):
    x = RNG.normal(size=shape).astype("float32")
    layer.build(shape)
    if layer.use_bias:
        layer.bias.assign(RNG.normal(size=layer.bias.shape))
    assert np.std(layer.kernel) == pytest.approx(1.0, rel=0.1)
    kernel = layer.kernel.value * VECTORS["pggan"][scale]
    plain = tf.matmul(x, kernel) if len(shape) == 2 else tf.nn.conv2d(x, kernel, 1, "SAME")
    np.testing.assert_allclose(layer(x), plain + layer.bias if layer.use_bias else plain, rtol=1e-4, atol=1e-5)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


class Analytic(keras.layers.Layer):
    """D(x) = sum(a x^2) + b x, for the exact values."""

    def call(self, x):
        a, b = (tf.constant(VECTORS["penalty"]["inputs"][name], tf.float32) for name in "ab")
        return tf.reduce_sum(a * x * x + b * x, axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("target", "penalty"),
    [(1.0, "wgan_gp_lambda10"), (750.0, "wgan_gp_target750_lambda10_over_target2")],
)
def test_loss_with_drift(target, penalty):
    inputs = VECTORS["penalty"]["inputs"]
    x, fake = (np.float32(inputs[f"x_{kind}"]) for kind in ("real", "fake"))
    z, points = keras.Input((2,)), keras.Input((2,))
    gan = ProgressiveGAN(
        keras.Model(z, keras.layers.Identity()(z)), keras.Model(points, Analytic()(points)), gp_target=target
    )
    gan.random.uniform = lambda shape: tf.constant(inputs["eps_weight_on_real"])
    real = np.array(VECTORS["penalty"]["D_real"])
    expected = np.mean(VECTORS["penalty"]["D_fake"]) - np.mean(real) + 1e-3 * np.mean(real**2)
    expected += VECTORS["penalty"][penalty]
    np.testing.assert_allclose(gan.discriminator_loss(x, fake), expected, rtol=1e-5)
    np.testing.assert_allclose(gan.generator_loss(x, fake), -np.mean(VECTORS["penalty"]["D_fake"]), rtol=1e-5)
    if target == 1:
        assert expected == pytest.approx(VECTORS["penalty"]["pggan_full_d_loss_drift0.001"])


@pytest.mark.parametrize("stage", [1, 2])
def test_a_fade_begins_at_the_old_stage_and_ends_at_the_new_path(stage):
    gan = small()
    G, D, z = gan.generator, gan.discriminator, gan.sample_latent(4, seed=0)
    x = growing.downsample(IMAGES, 2 - stage)
    gan.grow(stage - 1, 1.0)
    old_images, old_scores = gan.G(z), gan.D(growing.downsample(x))
    gan.grow(stage, 0.0)
    np.testing.assert_allclose(gan.G(z), growing.upsample(old_images), atol=1e-6)
    np.testing.assert_allclose(gan.D(x), old_scores, atol=1e-6)
    gan.grow(stage, 1.0)
    features = z
    for block in G.blocks[: stage + 1]:
        features = block(features)
    np.testing.assert_allclose(gan.G(z), G.images[stage](features), atol=1e-6)
    features = D.images[stage](x)
    for block in D.blocks[stage::-1]:
        features = block(features)
    np.testing.assert_allclose(gan.D(x), features, atol=1e-6)
    gan.grow(stage, 0.25)
    expected = 0.75 * growing.upsample(old_images) + 0.25 * G.images[stage](
        G.blocks[stage](growing_features(G, z, stage))
    )
    np.testing.assert_allclose(gan.G(z), expected, atol=1e-5)


@pytest.mark.parametrize("condition", ["projection", "concat"])
def test_networks_with_labels_fade_as_exactly(condition, tmp_path):
    builder = networks.Builder((8, 8, 1), network="growing", latent_dim=3, width=2, classes=3, condition=condition)
    G, D = builder.generator(), builder.discriminator()
    x, y, z = tf.constant(IMAGES[:, :8, :8]), tf.constant([0, 1, 2, 1]), tf.random.stateless_normal([4, 3], [0, 0])
    for table in (v for v in D.trainable_variables if "projection" in v.path):
        table.assign(RNG.normal(size=table.shape))
    for network in (G, D):
        network.grow(0, 1.0)
    assert {v.path for v in D.active_variables} < {v.path for v in D.trainable_variables}
    assert any("embedding" in v.path for v in G.active_variables)
    assert any(v.path.endswith("embeddings") for v in D.active_variables)
    old_images, old_scores = G((z, y)), D((growing.downsample(x), y))
    for network in (G, D):
        network.grow(1, 0.0)
    np.testing.assert_allclose(G((z, y)), growing.upsample(old_images), atol=1e-6)
    np.testing.assert_allclose(D((x, y)), old_scores, atol=1e-6)
    D.grow(1, 0.5)
    taken = D.features((x, y), "block_1")
    part = D.blocks[0]
    np.testing.assert_allclose(
        part((taken, y) if condition == "projection" else taken), D((x, y)), rtol=1e-5, atol=1e-6
    )
    network, first = (D, x) if condition == "projection" else (G, z)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded((first, y)), network((first, y)))
    with pytest.raises(UserError, match="no layer 'block_9'"):
        D.features((x, y), "block_9")


def growing_features(G, z, stage):
    for block in G.blocks[:stage]:
        z = block(z)
    return z


def test_real_images_fade_like_the_generated_ones():
    gan = small()
    gan.grow(0, 1.0)
    np.testing.assert_allclose(
        gan.at_stage(tf.constant(IMAGES)), IMAGES.reshape(4, 4, 4, 4, 4, 1).mean((2, 4)), atol=1e-6
    )
    gan.grow(2, 0.25)
    blocks = IMAGES.reshape(4, 8, 2, 8, 2, 1).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(gan.at_stage(tf.constant(IMAGES)), 0.75 * blocks + 0.25 * IMAGES, atol=1e-6)
    with pytest.raises(UserError, match="images of 12 pixels cannot be reduced to the stage's 16"):
        gan.at_stage(tf.zeros([2, 12, 12, 1]))


def test_a_stage_moves_its_own_variables_and_keeps_the_others():
    gan = small()
    gan.compile()
    gan.grow(1, 0.5)
    before = [v.numpy() for v in gan.trainable_variables]
    gan.train_step(tf.constant(IMAGES))
    moved = {id(v) for v, old in zip(gan.trainable_variables, before, strict=True) if not np.array_equal(v, old)}
    for network in (gan.generator, gan.discriminator):
        newest = [*network.blocks[2].trainable_variables, *network.images[2].trainable_variables]
        assert not moved & {id(v) for v in newest}
        kernels = [v for v in network.active_variables if "kernel" in v.path]
        assert len(kernels) == 6 + (network is gan.discriminator)
        assert all(id(v) in moved for v in kernels)
    known = {id(v) for v in gan.d_optimizer._trainable_variables}
    assert known == {id(v) for v in gan.discriminator.trainable_variables}


def test_growth_traces_the_step_once_for_each_stage():
    gan = small()
    gan.compile()
    stages, step = [], gan.train_step

    def counted(batch):
        stages.append(gan.discriminator.stage)
        return step(batch)

    gan.train_step = counted
    phases = Growth(
        [Phase(0, False, 4, 2, 4), Phase(1, True, 4, 3, 4), Phase(1, False, 4, 2, 4), Phase(2, True, 4, 2, 4)]
    )
    logs = trained(gan, IMAGES, steps=9, callbacks=[callbacks.Grow(phases)]).history
    assert [stage for stage, _ in itertools.groupby(stages)] == [0, 1, 2]
    assert len(stages) <= 6  # Keras traces a function once or twice, also for other variants
    assert all(np.isfinite(values).all() for values in logs.values())
    assert gan.generator.output_shape == (None, 16, 16, 1)


def test_schedule():
    growth = schedule(3, fade_kimg=0.1, stabilize_kimg=0.2, batch_sizes=[10, 10, 20], n_critic=2)
    assert [(p.stage, p.fade, p.steps, p.images, p.resolution) for p in growth.phases] == [
        (0, False, 10, 20, 4),
        (1, True, 5, 20, 8),
        (1, False, 10, 20, 8),
        (2, True, 3, 40, 16),
        (2, False, 5, 40, 16),
    ]
    assert growth.steps == 33
    assert [growth.index(step) for step in (0, 9, 10, 14, 15, 25, 32, 33, 99)] == [0, 0, 1, 1, 2, 3, 4, 4, 4]
    assert [growth.alpha(step) for step in (9, 10, 11, 14, 15, 24, 25, 99)] == [1, 0, 0.2, 0.8, 1, 1, 0, 1]
    assert [growth.end(step) for step in (0, 10, 24, 27, 28)] == [10, 15, 25, 28, None]
    assert [growth.images(step) for step in (0, 10, 25, 28, 29)] == [0, 200, 500, 620, 660]


def test_optimizers_start_anew_in_each_phase():
    gan = small(fade_kimg=0.012, stabilize_kimg=0.008)
    gan.compile(keras.optimizers.Adam(0.003), keras.optimizers.Adam(0.003))
    growth = gan.growth(4)
    assert [p.steps for p in growth.phases] == [2, 3, 2, 3, 2]
    seen = []

    class Watch(callbacks.StepCallback):
        def on_step(self, previous, logs):
            moments = max(float(np.abs(m).max()) for m in self.model.d_optimizer._momentums)
            seen.append((int(self.model.d_optimizer.iterations), moments > 0, float(self.model.discriminator.alpha)))
            assert float(self.model.d_optimizer.learning_rate) == pytest.approx(0.003)

    trained(gan, IMAGES, steps=5, callbacks=[callbacks.Grow(growth), Watch()])
    thirds = [pytest.approx(k / 3) for k in range(4)]
    assert seen == [(1, True, 1), (0, False, 0), (1, True, thirds[1]), (2, True, thirds[2]), (0, False, 1)]


def test_copies_of_a_network_know_its_stage():
    gan = small()
    gan.grow(1, 0.5)
    clone = keras.models.clone_model(gan.generator)
    clone.set_weights(gan.generator.get_weights())
    z = gan.sample_latent(2, seed=0)
    np.testing.assert_array_equal(clone(z), gan.generator(z))
    assert clone.output_shape == (None, 8, 8, 1)


def test_the_exported_generator_has_the_current_resolution(tmp_path):
    gan = small()
    gan.grow(1, 0.5)
    exported = tf.saved_model.load(str(saved_model.export(gan, tmp_path / "model")))
    assert exported.sample(2, 0).shape == (2, 8, 8, 1)


def config(run_dir, **kwargs):
    return pipeline.Config(
        **{
            **dict(model="progressive_gan", dataset="digits", resolution=8, width=4, latent_dim=3, batch_size=8),
            **dict(set=("fade_kimg=0.08", "stabilize_kimg=0.04", "batch_sizes={4: 16}"), precision="float32"),
            **dict(run_dir=str(run_dir), sample_every=0, checkpoint_every=3, keep_checkpoints=9, log_every=1),
            **kwargs,
        }
    )


def test_a_run_continues_in_the_middle_of_a_fade(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(saved_model, "export", lambda *args, **kwargs: None)  # of the weights that are compared
    pipeline.run(config(tmp_path / "whole"))
    steps = [checkpoints.read_step(p) for p in checkpoints.list_checkpoints(tmp_path / "whole" / "checkpoints")]
    assert steps == [3, 6, 9, 12, 13, 15, 18]
    # 3 steps of 16 examples at 4 x 4, then 10 steps of 8 during the fade to 8 x 8, then 5.
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert [row["kimg"] for row in rows[:5]] == pytest.approx([0.016, 0.032, 0.048, 0.056, 0.064])
    assert "8 pixels fade 10 steps of 1 x 8 examples" in capsys.readouterr().out
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")  # as a process leaves it that is killed after step 9
    for step in steps[3:]:
        shutil.rmtree(tmp_path / "parts" / "checkpoints" / f"{step:08d}")
    pipeline.run(config(tmp_path / "parts"))
    assert "continuing" in (output := capsys.readouterr().out)
    assert "from step 9" in output
    files = [tmp_path / run / "checkpoints" / "00000018" / "checkpoint.json" for run in ("whole", "parts")]
    gans = []
    for file in files:
        gan = pipeline.Job(config(tmp_path / "unused")).gan
        gan.load_weights(file.parent / checkpoints.MODEL)
        gans.append(gan)
    for one, other in zip(gans[0].variables, gans[1].variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    middle = pipeline.Job(config(tmp_path / "unused")).gan
    middle.load_weights(tmp_path / "parts" / "checkpoints" / "00000009" / checkpoints.MODEL)
    assert (middle.generator.stage, float(middle.generator.alpha)) == (1, pytest.approx(0.6))


@pytest.mark.thorough
def test_dry_run_goes_through_every_stage(tmp_path):
    text = job_report.dry_run(pipeline.Job(config(tmp_path / "run")), steps=2)
    assert "for 18 steps" in text
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"shape": (28, 28, 1)}, "growing networks need images with a side of 4, 8, 16, ... up to 1024, not 28"),
        ({"shape": (16, 8, 1)}, "growing networks need square images, not 16 x 8"),
        ({"norm": "batch"}, "norm must be 'none' with growing networks"),
        ({"fade_kimg": 0}, "fade_kimg must be a positive number, not 0"),
        ({"batch_sizes": {4: 0}}, "batch_sizes must map sides to numbers of examples"),
        ({"batch_sizes": [4]}, "batch_sizes must map sides to numbers of examples"),
    ],
)
def test_bad_arguments(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        ProgressiveGAN.for_images(**{"shape": (16, 16, 1), "width": 2, "latent_dim": 2, **arguments})


def test_there_is_no_other_stage():
    with pytest.raises(UserError, match="stage must be a whole number from 0 to 2, and alpha in"):
        small().grow(3, 1.0)


def test_points_do_not_grow():
    gan = ProgressiveGAN.for_points(width=2)
    assert gan.growth(4) is None
    gan.compile()
    logs = trained(gan, RNG.normal(size=(4, 2)).astype("float32")).history
    assert {"penalty", "drift"} <= logs.keys()


def test_batch_sizes_survive_a_file(tmp_path):
    gan = small(batch_sizes={4: 16})
    gan.compile()
    gan.save(tmp_path / "gan.keras")
    assert keras.models.load_model(tmp_path / "gan.keras").batch_sizes == {4: 16}
