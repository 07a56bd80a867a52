"""A GAN in the life cycle of a Keras model: compile, fit with callbacks, evaluate, predict, save, load, export."""

import copy
import importlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo import models, networks
from gan_zoo.callbacks import Checkpoint, GeneratorEMA, MetricsLog, SampleGrid
from gan_zoo.models import DCGAN, R1GAN, WGANGP, ProgressiveGAN, UnrolledGAN, VanillaGAN
from gan_zoo.nn import serialization
from gan_zoo.registry import keras_classes
from gan_zoo.run_folder import checkpoints, loss_curves
from gan_zoo.run_folder.tensorboard import Events
from gan_zoo.schedules import learning_rates
from gan_zoo.util.errors import UserError

from . import variants

Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD
Decay = keras.optimizers.schedules.ExponentialDecay
ROOT = Path(gan_zoo.__file__).parent.parent


def points(n: int = 12) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 2)).astype("float32")


def small(cls=VanillaGAN, **kwargs):
    keras.utils.set_random_seed(1)
    return cls.for_points(latent_dim=3, width=4, depth=1, seed=0, **kwargs)


def compiled(cls=VanillaGAN, d=None, g=None, **kwargs):
    gan = small(cls, **kwargs)
    gan.compile(d, g)
    return gan


def pictures(cls=DCGAN, **kwargs):
    keras.utils.set_random_seed(1)
    return cls.for_images((8, 8, 1), **{"width": 4, "latent_dim": 3, "seed": 0, **kwargs})


def images(n: int = 8) -> np.ndarray:
    return np.tanh(np.random.default_rng(0).normal(size=(n, 8, 8, 1))).astype("float32")


def train(gan, x=None, **kwargs) -> dict:
    x = points() if x is None else x
    return gan.fit(x, **{"batch_size": 6, "verbose": 0, "shuffle": False, **kwargs}).history


def state(gan) -> list[np.ndarray]:
    owners = [gan, *gan.optimizers().values()] if gan.compiled else [gan]
    return [variable.numpy() for owner in owners for variable in owner.variables]


def assert_same(one, other):
    for a, b in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_future(one, other, x=None):
    assert_same(one, other)
    for gan in (one, other):
        train(gan, x)
    assert_same(one, other)


# Loading in a new process.


def run(code: str, folder: Path, *arguments) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, env=env, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_import_alone_lets_keras_load_every_variant_network_and_optimizer(tmp_path):
    kinds = {name: file for name, file in models.VARIANTS.items() if name not in variants.LIKE or name == "r1_gan"}
    for name, file in kinds.items():
        gan = variants.small(getattr(models, file), width=4)
        if name == "r1_gan":
            gan.compile(SGD(learning_rates.Scaled(Decay(0.1, 5, 0.5), 0.5)), SGD(0.1))
        elif name == "progressive_gan":
            gan = pictures(ProgressiveGAN)
        gan.save(tmp_path / f"{name}.keras")
    for network in networks.FAMILIES:
        norm = "none" if network in networks.WITHOUT_NORM else "spectral" if network == "dcgan" else "batch"
        gan = VanillaGAN.for_images((8, 8, 1), network=network, norm=norm, width=16, latent_dim=3)
        for player in ("generator", "discriminator"):
            getattr(gan, player).save(tmp_path / f"{network}-{norm}-{player}.keras")
    half = pictures(dtype="mixed_float16")
    half.compile()
    half.save(tmp_path / "half.keras")
    gan.generator.save(tmp_path / "generator.h5")
    text = "import gan_zoo, keras" if len(models.VARIANTS) % 2 else "import keras, gan_zoo"
    code = f"""{text}, sys, pathlib, json
assert not any(name.startswith(("gan_zoo.nn", "gan_zoo.models.", "gan_zoo.gan")) for name in sys.modules)
found = {{path.name: keras.models.load_model(path) for path in sorted(pathlib.Path().glob("*.*"))}}
print(json.dumps({{name: type(model).__name__ for name, model in found.items()}}))
print(type(found["r1_gan.keras"].d_optimizer.learning_rate).__name__, found["half.keras"].d_optimizer.name)
"""
    found = json.loads(run(code, tmp_path).splitlines()[0])
    assert {n: found[f"{n}.keras"] for n in kinds} == kinds
    assert found["growing-none-generator.keras"] == "GrowingGenerator"
    assert len(found) == len(list(tmp_path.glob("*.*")))


def test_layers_and_optimizers_are_deserialized_by_name_where_keras_came_first(tmp_path):
    from gan_zoo import layers
    from gan_zoo.nn import optimizers

    configs = [
        keras.saving.serialize_keras_object(layers.LeakyReLU(0.3)),
        keras.optimizers.serialize(optimizers.Adam(0.1)),
    ]
    code = """import keras, gan_zoo, json, sys
layer, optimizer = json.loads(sys.argv[1])
print(type(keras.layers.deserialize(layer)).__module__, type(keras.optimizers.deserialize(optimizer)).__module__)
from gan_zoo.layers import LeakyReLU
assert keras.saving.get_registered_object("gan_zoo>LeakyReLU") is LeakyReLU
"""
    assert run(code, tmp_path, json.dumps(configs)).split() == ["gan_zoo.nn.layers", "gan_zoo.nn.optimizers"]


def test_the_import_stays_cheap_and_other_imports_undisturbed(tmp_path):
    code = """import sys, importlib.util, gan_zoo
assert not {"keras", "tensorflow", "numpy"} & set(sys.modules)
assert importlib.util.find_spec("keras").name == "keras"
import keras
assert not [finder for finder in sys.meta_path if type(finder).__module__ == "gan_zoo.registry.keras_classes"]
assert "gan_zoo>Adam" in keras.saving.get_custom_objects()
"""
    run(code, tmp_path)


def test_every_registered_class_of_the_zoo_has_a_stand_in():
    for file in [*ROOT.glob("gan_zoo/**/*.py"), *ROOT.glob("models/*.py")]:
        if file.parent.name in ("networks", "models") or "register_keras_serializable" in file.read_text():
            place = ".".join(file.relative_to(ROOT).with_suffix("").parts).removeprefix("gan_zoo.")
            importlib.import_module(f"gan_zoo.{place}".removesuffix(".__init__"))
    names = {
        name
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith("gan_zoo") and getattr(cls, "__module__", "").startswith("gan_zoo.")
    }
    hidden = {"gan_zoo.networks.growing>_Growing", "gan_zoo.networks.pyramid>_Pyramid"}
    hidden |= {"gan_zoo.sampling.refine>_FineTuner"}
    missing = names - hidden - set(keras_classes.placeholders())
    assert not missing, f"add to gan_zoo/registry/keras_classes.py: {sorted(missing)}"
    for name, placeholder in keras_classes.placeholders().items():
        assert name in names, f"{placeholder} stands for nothing"


def users_class(module: str, name: str = "OfAUser"):
    """Returns a class as if another module had defined it."""
    body = {
        "__module__": module,
        "discriminator_loss": lambda self, x, z: 0.0,
        "generator_loss": lambda self, x, z: 0.0,
    }
    return type(name, (gan_zoo.GAN,), body)


@pytest.fixture
def no_users_classes(monkeypatch):
    monkeypatch.setattr(serialization, "_users_classes", {})
    before = dict(keras.saving.get_custom_objects())
    yield
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(before)


def forget(cls):
    """Removes a class from the registries, as in a process that has not imported its module."""
    keras.saving.get_custom_objects().pop(f"{cls.__module__}>{cls.__name__}", None)
    serialization._users_classes.get(cls.__name__, {}).pop(cls.__module__, None)


@pytest.mark.parametrize("saved", ["__main__", "old_package.gans", "here"])
@pytest.mark.parametrize("by", ["nothing", "class_name", "full_name", "scope"])
def test_a_users_class_is_found_where_it_is_now(tmp_path, no_users_classes, saved, by):
    old = users_class(saved)
    small(old).save(tmp_path / "g.keras")
    forget(old)
    new = users_class("here.now")
    objects = {"nothing": None, "class_name": {"OfAUser": new}, "full_name": {f"{saved}>OfAUser": new}}
    with keras.saving.custom_object_scope({"OfAUser": new} if by == "scope" else {}):
        assert type(keras.models.load_model(tmp_path / "g.keras", custom_objects=objects.get(by))) is new


def test_classes_of_one_name_stay_apart(tmp_path, no_users_classes):
    classes = [users_class(module) for module in ("first", "second", "__main__")]
    for k, cls in enumerate(classes):
        small(cls).save(tmp_path / f"{k}.keras")
    for k, cls in enumerate(classes):
        assert type(keras.models.load_model(tmp_path / f"{k}.keras")) is cls
    other = classes[0]
    assert type(keras.models.load_model(tmp_path / "1.keras", custom_objects={"OfAUser": other})) is other
    forget(classes[2])
    with pytest.raises(UserError, match="first, second .*custom_objects={'OfAUser': OfAUser}"):
        keras.models.load_model(tmp_path / "2.keras")
    assert type(keras.models.load_model(tmp_path / "2.keras", custom_objects={"OfAUser": other})) is other


# compile.


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"optimizer": "adam"}, "optimizer: each player has its own: pass d_optimizer and g_optimizer"),
        ({"loss": "mse"}, "does not take loss: .* override discriminator_loss"),
        ({"loss_weights": [1.0]}, "does not take loss_weights"),
        ({"metrics": ["accuracy"]}, "does not take metrics: .* record"),
        ({"weighted_metrics": ["accuracy"]}, "does not take weighted_metrics"),
        ({"learning_rate": 0.1}, "has no argument 'learning_rate': it takes d_optimizer"),
        ({"d_optimizer": 0.1}, "d_optimizer=0.1 is not an optimizer"),
        ({"g_optimizer": "adamm"}, "g_optimizer='adamm' is not an optimizer"),
        ({"g_optimizer": Adam}, r"g_optimizer is the class Adam: pass an object of it, Adam\("),
        ({"d_optimizer": Decay(0.1, 1, 0.5)}, "d_optimizer is a learning-rate schedule: .*Adam"),
        (dict.fromkeys(("d_optimizer", "g_optimizer"), SGD(0.1)), "are one object"),
    ],
)
def test_compile_refuses_by_name(arguments, sentence):
    gan = small()
    with pytest.raises(UserError, match=sentence):
        gan.compile(**arguments)
    gan.compile(loss=None, metrics=[], jit_compile="auto")  # arguments without effect are accepted
    train(gan)


def test_compile_refuses_optimizers_of_others():
    used = compiled(d=SGD(0.1), g=SGD(0.1))
    with pytest.raises(UserError, match="d_optimizer was built for .* another model or player"):
        small().compile(used.d_optimizer)
    with pytest.raises(UserError, match="d_optimizer was built"):
        used.compile(used.g_optimizer, used.d_optimizer)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_compiling_again_keeps_the_state_of_optimizers_that_are_passed_again(dtype):
    gan = small(dtype=dtype)
    gan.compile(Adam(0.1), Adam(0.1))
    train(gan)
    before = len(gan.d_optimizer.variables)
    gan.compile(gan.d_optimizer, gan.g_optimizer)
    train(gan)
    assert len(gan.d_optimizer.variables) == before
    assert int(gan.d_optimizer.iterations) == 4
    gan.compile()
    assert int(gan.d_optimizer.iterations) == 0


# Learning rates.


def rates(gan) -> list[float]:
    return [round(learning_rates.current_rate(optimizer), 6) for optimizer in (gan.d_optimizer, gan.g_optimizer)]


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_callbacks_set_both_players_rates_from_their_own(dtype):
    gan = small(dtype=dtype)
    gan.compile(SGD(0.4), SGD(0.1))
    logs = train(gan, epochs=2, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)])
    assert rates(gan) == [0.1, 0.025]
    assert logs["learning_rate_d"] == pytest.approx([0.2, 0.1])
    assert logs["learning_rate_g"] == pytest.approx([0.05, 0.025])
    plateau = keras.callbacks.ReduceLROnPlateau("val_g_loss", 0.5, patience=0, min_delta=1e9, mode="min")
    train(gan, epochs=2, callbacks=[plateau], validation_data=points())
    assert rates(gan) == [0.05, 0.0125]
    gan.optimizer.learning_rate = 0.1
    assert rates(gan) == [0.4, 0.1]
    assert float(gan.optimizer.learning_rate) == pytest.approx(0.1)


def test_nothing_sets_a_number_over_a_schedule():
    gan = compiled(d=SGD(0.1), g=SGD(Decay(0.1, 1, 0.5)))
    for callback in (
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.ReduceLROnPlateau("g_loss", 0.5, patience=0, min_delta=1e9, mode="min"),
    ):
        with pytest.raises(UserError, match="follows a schedule, ExponentialDecay"):
            train(gan, epochs=2, callbacks=[callback])
    with pytest.raises(UserError, match="^--learning_rate sets a learning rate, .* ExponentialDecay"):
        learning_rates.set_rate(gan.g_optimizer, 0.1, "--learning_rate")


def test_schedules_are_trained_with_saved_and_scaled(tmp_path):
    gan = compiled(d=SGD(Decay(0.4, 1, 0.5)), g=Adam(Decay(0.1, 1, 0.5)))
    train(gan)
    assert rates(gan) == [0.1, 0.025]
    learning_rates.scale_rate(gan.d_optimizer, 0.5)
    learning_rates.scale_rate(gan.d_optimizer, 0.5)
    gan.make_train_function(force=True)
    assert rates(gan) == [0.025, 0.025]
    gan.save(tmp_path / "g.keras")
    loaded = keras.models.load_model(tmp_path / "g.keras")
    assert loaded.d_optimizer._learning_rate.factor == 0.25
    assert_same_future(gan, loaded)
    assert rates(loaded) == [0.00625, 0.00625]


@pytest.mark.parametrize("swaps", [False, True])
def test_averages_of_optimizers_are_the_weights_at_the_end(swaps):
    gan = compiled(d=Adam(0.1, use_ema=True, ema_momentum=0.5), g=Adam(0.1))
    train(gan, epochs=2, callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if swaps else [])
    averages = gan.d_optimizer._model_variables_moving_average
    for variable, average in zip(gan.discriminator_variables, averages, strict=True):
        np.testing.assert_array_equal(variable, average)
    with pytest.raises(ValueError, match="use_ema=True"):
        train(compiled(), validation_data=points(), callbacks=[keras.callbacks.SwapEMAWeights()])


def test_other_callbacks_of_keras(tmp_path):
    c = keras.callbacks
    best = c.ModelCheckpoint(str(tmp_path / "best.keras"), monitor="val_g_loss", mode="min", save_best_only=True)
    board = c.TensorBoard(str(tmp_path / "board"), write_steps_per_second=True)
    early = c.EarlyStopping("val_d_loss", mode="max", min_delta=1e9, patience=0, restore_best_weights=True)
    gan = compiled()
    csv = c.CSVLogger(str(tmp_path / "log.csv"))
    logs = train(gan, epochs=5, validation_data=points(), callbacks=[best, board, csv, c.TerminateOnNaN(), early])
    assert len(logs["d_loss"]) == 2
    assert (tmp_path / "log.csv").read_text().startswith("epoch,d_loss,g_loss,val_d_loss,val_g_loss")
    assert type(keras.models.load_model(tmp_path / "best.keras")) is VanillaGAN
    gan.summary(print_fn=lambda *args, **kwargs: None)


def test_backup_and_restore_goes_on_bit_for_bit(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(compiled(), epochs=4, callbacks=[keras.callbacks.BackupAndRestore(str(tmp_path / "b")), Stop()])
    one, other = compiled(), compiled()
    train(one, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(str(tmp_path / "b"))])
    train(other, epochs=4)
    assert_same(one, other)


# evaluate and predict.


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (VanillaGAN, {"instance_noise": 0.1, "balance": "warm_up"}),
        (R1GAN, {"interval": 2, "instance_noise": 0.1}),
        (UnrolledGAN, {"unroll_steps": 1, "inner_optimizer": "adam"}),
        (WGANGP, {"n_critic": 3}),
    ],
)
@pytest.mark.thorough
def test_validation_changes_nothing(cls, arguments):
    one, other = (compiled(cls, **arguments) for _ in range(2))
    train(one, epochs=2)
    logs = train(other, epochs=2, validation_data=points(5), validation_batch_size=2)
    assert_same(one, other)
    assert {"val_d_loss", "val_g_loss"} <= set(logs)
    again = [other.evaluate(points(5), batch_size=2, verbose=0, return_dict=True) for _ in range(2)]
    assert again[0] == again[1] == {name[4:]: v[-1] for name, v in logs.items() if name.startswith("val_")}
    assert_same(one, other)


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_evaluation_leaves_statistics_and_singular_vectors(norm):
    gan = pictures(norm=norm)
    gan.compile()
    before = state(gan)
    gan.evaluate(images(), batch_size=4, verbose=0)
    gan.test_on_batch(images())
    for a, b in zip(before, state(gan), strict=True):
        np.testing.assert_array_equal(a, b)


def test_evaluation_is_the_losses_mean_over_the_examples():
    gan = compiled()
    x = points(5)
    logs = [gan.evaluate(part, verbose=0, return_dict=True) for part in (x, tf.data.Dataset.from_tensors(x), (x, None))]
    assert logs[0] == logs[1] == logs[2] == gan.test_on_batch(x, return_dict=True)
    halves = gan.evaluate(x, batch_size=3, verbose=0, return_dict=True)
    gan.steps_per_execution = 4
    assert gan.evaluate(x, batch_size=3, verbose=0, return_dict=True) == halves
    gan.steps_per_execution = 1
    assert gan.evaluate(x, batch_size=3, verbose=0) == [halves["d_loss"], halves["g_loss"]]
    first = gan.evaluate(x[:3], verbose=0, return_dict=True)["g_loss"]
    assert first != halves["g_loss"]  # the second batch has other latents
    assert gan.evaluate(x, batch_size=3, steps=1, verbose=0, return_dict=True)["g_loss"] == pytest.approx(first)


def test_a_lazy_penalty_counts_with_its_mean_in_evaluation():
    lazy, eager = (compiled(R1GAN, interval=interval) for interval in (4, 1))
    for gan in (lazy, eager):
        gan.d_optimizer.iterations.assign(1)
    assert lazy.evaluate(points(), verbose=0) == eager.evaluate(points(), verbose=0)


def test_replicas_evaluate_as_one_does(two_replicas):
    with two_replicas.scope():
        many = compiled(WGANGP)
    one = compiled(WGANGP)
    one.set_weights(many.get_weights())
    kwargs = {"batch_size": 3, "verbose": 0, "return_dict": True}
    expected = one.evaluate(points(7), **kwargs)
    found = many.evaluate(points(7), **kwargs)
    assert found == pytest.approx(expected, rel=1e-5)
    many.predict(many.sample_latent(5), verbose=0)


def test_validation_data_are_checked_as_training_data_are():
    gan = pictures()
    gan.compile()
    for act in (lambda x: gan.evaluate(x, verbose=0), lambda x: train(gan, images(), validation_data=x)):
        with pytest.raises(UserError, match=r"8, 8, 1"):
            act(np.zeros([4, 9, 9, 1], "float32"))
        act((images() * 127).astype("float64") / 127)
    with pytest.raises(UserError):
        gan.evaluate((images() * 127 + 128).astype("uint8"), verbose=0)


def test_predict_maps_latents_and_says_so_of_images():
    gan = pictures()
    z = np.random.default_rng(0).normal(size=(5, 3))
    expected = gan(z.astype("float32"))
    for found in (gan.predict(z, verbose=0), gan.predict(z, batch_size=2, verbose=0), gan.predict_on_batch(z)):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for act in (gan, gan.predict, gan.predict_on_batch):
        for wrong in (images(), z[:, :2]):
            with pytest.raises(UserError, match=r"^A GAN maps latents, \[B, 3\].*sample_latent"):
                act(wrong)


# Saving and exporting.


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"instance_noise": 0.1, "noise_turns": 9, "balance": "warm_up"},
        {"dtype": "mixed_float16"},
        {"d": lambda: Adam(Decay(0.1, 1, 0.5), amsgrad=True), "g": lambda: Adam(0.1, use_ema=True)},
    ],
)
def test_tf_train_checkpoint_holds_everything(tmp_path, arguments):
    def make():
        own = {name: value() if name in "dg" else value for name, value in arguments.items()}
        return compiled(**own)

    gan, restored = make(), make()
    train(gan)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(gan=gan), tmp_path, 1)
    manager.save()
    tf.train.Checkpoint(gan=restored).restore(manager.latest_checkpoint).assert_consumed()
    assert_same_future(gan, restored)


def with_dropout():
    keras.utils.set_random_seed(1)
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x = keras.Input((2,))
    discriminator = keras.Model(x, keras.layers.Dense(1)(keras.layers.Dropout(0.5)(x)))
    gan = VanillaGAN(generator, discriminator, seed=0)
    gan.compile()
    return gan


def test_tf_train_checkpoint_holds_the_seeds_of_users_layers(tmp_path):
    gan, restored = with_dropout(), with_dropout()
    train(gan)
    path = tf.train.Checkpoint(gan=gan).save(str(tmp_path / "c"))
    tf.train.Checkpoint(gan=restored).restore(path).assert_consumed()
    assert_same_future(gan, restored)


@pytest.mark.parametrize("how", ["pickle", "deepcopy", "weights", "shards", "keras"])
def test_copies_train_on_as_the_original(tmp_path, how):
    gan = compiled()
    train(gan)
    if how == "pickle":
        other = pickle.loads(pickle.dumps(gan))
    elif how == "deepcopy":
        other = copy.deepcopy(gan)
    elif how == "keras":
        gan.save(str(tmp_path / "g.keras"))
        other = keras.models.load_model(tmp_path / "g.keras")
    else:
        other = compiled()
        path = tmp_path / ("w.weights.h5" if how == "weights" else "w.weights.json")
        gan.save_weights(path, max_shard_size=None if how == "weights" else 1e-6)
        other.load_weights(path)
    assert_same_future(gan, other)


def test_clones_are_new_gans_of_the_same_arguments():
    gan = compiled(instance_noise=0.1)
    for clone in (keras.models.clone_model(gan), keras.models.model_from_json(gan.to_json())):
        assert type(clone) is VanillaGAN
        assert clone.generator is not gan.generator
        assert clone.instance_noise == 0.1


@pytest.mark.parametrize("name", ["g.h5", "g.hdf5", "g.weights.h5"])
def test_the_old_format_is_refused_before_anything_is_written(tmp_path, name):
    gan = compiled()
    callback = keras.callbacks.ModelCheckpoint(str(tmp_path / "c.h5"))
    for act in (lambda: gan.save(tmp_path / name), lambda: train(gan, callbacks=[callback])):
        with pytest.raises(UserError, match="holds one optimizer.*keras"):
            act()
    assert not list(tmp_path.iterdir())


def lite(content: bytes, z: tf.Tensor) -> np.ndarray:
    interpreter = tf.lite.Interpreter(model_content=content)
    (entry,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(entry["index"], z.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(entry["index"], z.numpy())
    interpreter.invoke()
    return interpreter.get_tensor(out["index"])


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter:UserWarning")
def test_tensorflow_lite_converts_exports_as_its_guide_has_it(tmp_path):
    from gan_zoo.export import saved_model

    gan = pictures(VanillaGAN, network="growing", norm="none")
    z = gan.sample_latent(3, seed=1)
    folder = str(saved_model.export(gan, tmp_path / "m"))
    converters = [tf.lite.TFLiteConverter.from_saved_model(folder)]
    for converter in converters:
        np.testing.assert_allclose(lite(converter.convert(), z), gan(z), atol=1e-5)
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    np.testing.assert_allclose(lite(converter.convert(), z), gan(z), atol=1e-2)


@pytest.mark.parametrize("cls", [DCGAN, ProgressiveGAN])
def test_keras_exports_a_gan_that_was_never_called(tmp_path, cls):
    gan = pictures(cls)
    gan.export(tmp_path / "m", verbose=False)
    z = gan.sample_latent(3, seed=1)
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    np.testing.assert_allclose(loaded.serve(z), gan(z), atol=1e-6)


def test_an_export_says_which_package_is_missing(tmp_path, monkeypatch):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(keras.Model, "export", missing)
    with pytest.raises(UserError, match="format='onnx' needs the package onnx"):
        pictures().export(tmp_path / "m.onnx", format="onnx")


# Stages.


@pytest.mark.thorough
def test_graphs_follow_the_stage_that_weights_bring(tmp_path):
    x = images(4)
    gan = pictures(ProgressiveGAN)
    gan.compile()
    paths = {}
    for stage in (0, 1):
        gan.grow(stage, 1.0)
        paths[stage] = tmp_path / f"{stage}.weights.h5"
        gan.save_weights(paths[stage])
    z = gan.sample_latent(2, seed=0)

    class Load(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.load_weights(paths[epoch])

    losses = {}
    for stage in (0, 1, 0):
        gan.load_weights(paths[stage])
        assert gan.predict(z, verbose=0).shape[1] == 4 * 2**stage
        assert gan.generator.predict(z, verbose=0).shape[1] == 4 * 2**stage
        found = gan.evaluate(x, verbose=0)
        assert found == losses.setdefault(stage, found)
    assert losses[0] != losses[1]
    before = [v.numpy() for v in gan.discriminator.images[1].trainable_variables]
    train(gan, x, batch_size=4, epochs=2, callbacks=[Load()])
    after = gan.discriminator.images[1].trainable_variables
    assert not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    ema = GeneratorEMA()
    ema.set_model(gan)
    ema.generator.load_weights(_generator_file(gan, 0, tmp_path))
    assert ema.generator(z).shape[1] == 4


def _generator_file(gan, stage, folder):
    gan.generator.grow(stage, 1.0)
    gan.generator.save_weights(folder / "generator.weights.h5")
    return folder / "generator.weights.h5"


def test_averages_of_many_models_are_traced_once_each_without_a_warning(caplog):
    for _ in range(7):
        gan = compiled()
        ema = GeneratorEMA()
        ema.set_model(gan)
        ema.step = 1
        ema.on_step(0, {})
        gan.evaluate(points(), verbose=0)
    assert "retracing" not in caplog.text


# Files.


def test_what_callbacks_write_makes_its_folder_from_text_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    gan = compiled()
    callbacks = [
        Checkpoint("~/a/b", every=2),
        SampleGrid("~/c/d", every=2, n=4),
        MetricsLog("~/e/f/m.jsonl", lambda step: step, every=1, events=Events("~/g/h")),
    ]
    train(gan, callbacks=callbacks)
    assert checkpoints.restore("~/a/b", gan) == 2
    loss_curves.plot("~/e/f/m.jsonl", "~/i/j/curves.png")
    names = ("a/b/00000002", "c/d/step-00000002.png", "e/f/m.jsonl", "g/h", "i/j/curves.png")
    assert all((tmp_path / name).exists() for name in names)
