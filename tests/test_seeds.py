"""Random streams: one seed for each purpose, data that continue over phases, and the moving average."""

import itertools
import random

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import callbacks, data
from gan_zoo.callbacks import health
from gan_zoo.distribution import FixedStream, RandomStream
from gan_zoo.export import saved_model
from gan_zoo.models import WGANGP, VanillaGAN
from gan_zoo.schedules.growth import Growth, Phase
from gan_zoo.training import pipeline
from gan_zoo.util.seeds import seeded, stream


def test_streams_differ_by_seed_and_by_purpose():
    seeds = {stream(seed, purpose) for seed in range(20) for purpose in ("data", "training", "weights", "health")}
    assert len(seeds) == 80
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream(3, "data") == stream(np.int64(3), "data") == 7662800300816881121


def test_no_two_purposes_share_their_draws():
    state = keras.Variable([0, 0], dtype="int64", trainable=False)
    training_draws, other = RandomStream(state), RandomStream(keras.Variable([0, 0], dtype="int64"), "refinement")
    points = data.open_source("gaussian").batches(8, seed=0)
    draws = [np.asarray(training_draws.normal([8, 2])) for _ in range(4)]
    draws += [np.asarray(other.normal([8, 2])) for _ in range(4)]
    fixed = FixedStream(0)
    draws += [np.asarray(fixed.normal([8, 2])) for _ in range(4)]
    draws += [np.asarray(fixed.normal([8, 2])) for seed in (stream(0, "pictures"), stream(0, "health"))]
    draws += list(points.take(4).as_numpy_iterator())
    for first, second in itertools.combinations(draws, 2):
        assert not np.isin(np.round(first, 5), np.round(second, 5)).any()


def test_seeding_is_put_back_also_after_an_error():
    with seeded(1):
        expected = random.random(), np.random.random(), float(tf.random.normal([])), float(keras.random.normal([]))
    keras.utils.set_random_seed(5)
    before = random.getstate()
    with pytest.raises(ZeroDivisionError), seeded(1):
        drawn = random.random(), np.random.random(), float(tf.random.normal([])), float(keras.random.normal([]))
        raise ZeroDivisionError
    assert drawn == expected
    assert random.getstate() == before


def numbers(dataset, count):
    """Returns the numbers of the digits in elements, which are identified by their bytes."""
    return [[image.tobytes() for image in element] for element in dataset.take(count).as_numpy_iterator()]


def test_data_go_on_where_other_batch_sizes_ended():
    source = data.open_source("digits")
    order = [image for element in numbers(source.batches(1, seed=3), 400) for image in element]
    stage = [(50, 3), (20, 5), (7, 10)]
    shown = []
    for k, (size, count) in enumerate(stage):
        shown += sum(numbers(source.batches(size, seed=3, before=stage[:k]), count), [])
    assert shown == order[:320]
    # A stream may start anywhere in a phase, also after the end of an epoch, whose rest is not used.
    whole = numbers(source.batches(100, seed=3, before=stage), 40)
    assert whole[0] == order[320:420][:80] + whole[0][80:]
    for step in (1, 13, 14, 15, 33):
        assert numbers(source.batches(100, seed=3, before=stage, start_step=step), 3) == whole[step : step + 3]
    epochs = numbers(source.batches(100, seed=3), 40)
    assert whole[14:31] == epochs[17:34]  # 14 elements remain in the first epoch
    # Phases longer than an epoch.
    for earlier in ([(100, 17)], [(100, 18)], [(100, 40)], [(600, 7)], [(600, 2), (100, 3)]):
        (first, *_), fresh = numbers(source.batches(100, seed=3, before=earlier), 1), sum(c * n for c, n in earlier)
        assert len(first) == 100 and fresh > 0
    assert numbers(source.batches(100, seed=3, before=[(100, 40)]), 2) == numbers(
        source.batches(100, seed=3, start_step=40), 2
    )
    assert numbers(source.batches(100, seed=3, before=[(100, 17)]), 2) == epochs[17:19]


def test_drawn_data_go_on_too():
    source = data.open_source("ring8")
    first = next(source.batches(8).as_numpy_iterator())
    later = next(source.batches(8, before=[(4, 5)]).as_numpy_iterator())
    np.testing.assert_array_equal(later, next(source.batches(8, start_step=5).as_numpy_iterator()))
    assert (first != later).any()


def test_phases_of_growth_show_distinct_images(tmp_path):
    job = pipeline.Job(
        pipeline.Config(
            model="progressive_gan",
            dataset="digits",
            resolution=8,
            width=2,
            batch_size=10,
            set=("fade_kimg=0.2", "stabilize_kimg=0.2", "batch_sizes={4: 20, 8: 10}"),
            cache_dir=str(tmp_path),
        )
    )
    assert job.schedule.growth.before(50) == [(20, 10), (10, 20)]
    # Digits of 4 x 4 pixels may be equal, so the order of the 8 x 8 ones is compared.
    order = sum(numbers(job.schedule.source.batches(1, seed=0), 600), [])
    assert sum(numbers(job.schedule.dataset(10), 20), []) == order[200:400]
    assert sum(numbers(job.schedule.dataset(30), 20), []) == order[400:600]
    assert sum(numbers(job.schedule.dataset(35), 3), []) == order[450:480]
    assert job.schedule.real_examples(35) is job.schedule.real_examples(40)


def test_what_comes_before_a_phase():
    growth = Growth([Phase(0, False, 4, 10, 8), Phase(1, True, 2, 5, 4), Phase(1, False, 2, 5, 4)])
    assert growth.before(0) == growth.before(9) == []
    assert growth.before(10) == [(8, 10)]
    assert growth.before(99) == [(8, 10), (4, 5)]


def test_initial_weights_are_those_of_the_seed():
    def built(seed):
        return pipeline.Job(
            pipeline.Config(model="vanilla_gan", dataset="ring8", width=4, steps=4, seed=seed)
        ).gan.get_weights()

    first, again, other = built(1), built(1), built(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def run(path, steps, **changes):
    settings = dict(model="vanilla_gan", dataset="ring8", width=4, batch_size=8, log_every=50, health_every=0)
    pipeline.run(pipeline.Config(**{**settings, **changes}, steps=steps, run_dir=str(path)))


def arrays(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def test_an_extended_run_equals_one_in_one_go(tmp_path, monkeypatch):
    """The number of steps per call of the graph differs between runs of 40 and 60 steps, 1 and the 19 in between."""
    monkeypatch.setattr(saved_model, "export", lambda *args, **kwargs: None)  # of the weights that are compared
    run(tmp_path / "whole", 60)
    for steps in (40, 41, 60):
        run(tmp_path / "parts", steps)
    for file in ("model", "ema"):
        whole, parts = (
            arrays(tmp_path / name / "checkpoints" / "00000060" / f"{file}.weights.h5") for name in ("whole", "parts")
        )
        assert whole.keys() == parts.keys()
        for name, value in whole.items():
            np.testing.assert_array_equal(parts[name], value, err_msg=name)
    picture = "samples/step-00000060.png"
    assert (tmp_path / "whole" / picture).read_bytes() == (tmp_path / "parts" / picture).read_bytes()


# An extended run compares the averages of one replica bit for bit.
@pytest.mark.parametrize("replicas", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_the_average_takes_every_step_in(replicas, two_replicas):
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    averages = []
    for count in (1, 5):
        strategy = two_replicas if replicas == 2 else tf.distribute.get_strategy()
        with strategy.scope(), seeded(0):
            gan = VanillaGAN.for_points(width=4, seed=0)
            gan.compile()
        gan.steps_per_execution = count
        ema = callbacks.GeneratorEMA(0.9)
        gan.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=10, verbose=0, callbacks=[ema])
        assert ema.step == 10
        averages.append(ema.generator.get_weights())
        assert gan._followers == ()
    for one, five in zip(*averages, strict=True):
        np.testing.assert_allclose(one, five, rtol=1e-6, atol=1e-7)


class Sensitive(VanillaGAN):
    """A GAN whose loss and gradient are NaN if its data are: TensorFlow's fused ReLU may replace NaN by 0."""

    def discriminator_loss(self, x, z):
        return super().discriminator_loss(x, z) * (1.0 + 1e-20 * tf.reduce_sum(x))


def test_the_average_leaves_out_what_diverged():
    gan = Sensitive.for_points(width=4, seed=0)
    gan.compile()
    gan.steps_per_execution = 4
    x = np.full((4, 8, 2), 0.5, "float32")
    x[2] = np.nan
    ema = callbacks.GeneratorEMA(0.5)
    with pytest.raises(Exception, match="nan"):
        dataset = tf.data.Dataset.from_tensor_slices(x)
        gan.fit(dataset, verbose=0, callbacks=[callbacks.StopOnNonFinite(), ema])
    assert all(np.isfinite(weight).all() for weight in ema.generator.get_weights())


def test_looks_at_health_keep_nothing():
    gan = WGANGP.for_points(width=4, seed=0)
    gan.compile()
    look = health.Health(lambda step: np.zeros((4, 2), "float32"))
    look.set_model(gan)
    for _ in range(3):
        look.look()
    assert gan._recorded.__dict__ == {}
    for _ in range(3):
        gan.discriminator_loss(tf.zeros([4, 2]), gan.sample_latent(4))
    assert len(gan.recorded("penalty")) == 1
    gan.train_step(tf.zeros([20, 2]))
    assert len(gan.recorded("penalty")) == 1
    with gan.recording() as recorded:
        gan.record("term", tf.constant(1.0))
        gan.record("term", tf.constant(3.0))
        assert len(recorded["term"]) == 2
    assert gan.recorded("term") == []
