"""The conformance suite: checks that every model must pass, whatever its losses are.

    import numpy as np
    from gan_zoo.testing import check_gan

    def test_my_gan():
        data = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
        check_gan(lambda: MyGAN.for_points(width=8), data)

Every check takes the same two arguments and may be called alone:

    make: Function that returns a new, uncompiled GAN with small float32 networks, the same at each call. A check calls
        it several times, with seeded random numbers for the initial weights.
    data: One dataset batch: an array, or a structure of arrays, whose first axis holds `n_critic` minibatches of a
        number of examples that 4 divides.

A check raises an AssertionError whose message says what is wrong. `check_replicas` needs two logical CPUs, and also
tests four replicas if there are four CPUs. The test process must configure them before TensorFlow starts:

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
"""

import copy
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gan_zoo.export import saved_model
from gan_zoo.model import GenerativeModel
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.nn.layers import synchronize
from gan_zoo.util.errors import UserError
from gan_zoo.util.seeds import seeded
from gan_zoo.util.tensorflow_paths import tensorflow_path

Make = Callable[[], GenerativeModel]

# Largest difference of two computations of the same step that round differently: float32 sums of a few thousand terms
# near 1. Weights differ by up to 1e-7. The unit vectors of spectral normalization differ by up to 2e-5, because they
# depend on the relative change of a small kernel.
_TOLERANCE = 3e-5

REPLICAS = (2, 4)
"""Numbers of replicas that `check_replicas` compares with one replica, if there are as many logical CPUs."""


def check_gan(make: Make, data: Any) -> None:
    """Runs every check of this module on the GAN that `make` builds and one dataset batch of its data.

    Raises:
        AssertionError: If the GAN breaks a contract of `gan_zoo.GAN`; the message says which and how.
        UserError: If the process has only one logical CPU, or if the replicas cannot share a batch equally.
    """
    for check in CHECKS:
        check(make, data)


def check_config(make: Make, data: Any) -> None:
    """Checks that `get_config` and `from_config` keep all arguments of the constructor, with any value."""
    gan = _build(make)
    for name in gan.argument_names():
        _require(
            hasattr(gan, name),
            f"the constructor's argument {name!r} must be kept in an attribute of that name: get_config reads it.",
        )
    for name in gan.argument_names():
        other = _another(getattr(gan, name))
        if other is None:
            continue
        try:
            changed = gan.rebuilt(**{name: other})
        except UserError:
            continue
        _require(
            getattr(changed, name) == other,
            f"the constructor's argument {name!r} was {other!r}, but the attribute is {getattr(changed, name)!r}.",
        )
    config = gan.get_config()
    kept = type(gan).from_config(copy.deepcopy(config)).get_config()
    lost = [name for name in gan.argument_names() if name not in config or kept.get(name) != config[name]]
    _require(not lost, f"arguments of the constructor are lost by get_config and from_config: {', '.join(lost)}.")


def check_latents(make: Make, data: Any) -> None:
    """Checks that `sample_latent` repeats its result only with a seed, and then does not change the stream."""
    gan = _build(make)
    start = gan.random.state.numpy()
    first, again, other = (_arrays(gan.sample_latent(4, seed=seed)) for seed in (3, 3, 4))
    _require(_equal(first, again), "sample_latent(n, seed) must give the same latents each time.")
    _require(not _equal(first, other), "sample_latent(n, seed) must give other latents for another seed.")
    _require(
        (gan.random.state.numpy() == start).all(),
        "sample_latent(n, seed) must not draw from self.random: sampling would change what training sees next.",
    )
    first, other = (_arrays(gan.sample_latent(4)) for _ in range(2))
    _require(not _equal(first, other), "sample_latent(n) must give other latents at each call.")
    sizes = {batch_size(leaf) for leaf in first}
    _require(sizes == {4}, f"sample_latent(4) must give 4 latents, but the first axes have the sizes {sorted(sizes)}.")


def check_turns(make: Make, data: Any) -> None:
    """Checks that a player's turn changes the trainable variables that the player declares, and no others."""
    gan = _compiled(make)
    x = gan.split(_tensors(data))[-1]
    networks = gan.networks()
    for player in gan.players():
        before = [variable.numpy() for variable in gan.trainable_variables]
        gan.turn(player, x)
        moved = {
            id(variable): variable.path
            for variable, old in zip(gan.trainable_variables, before, strict=True)
            if not np.array_equal(variable.numpy(), old)
        }
        rival = {"discriminator": "generator", "generator": "discriminator"}.get(player.name)
        rivals = networks[rival].trainable_variables if rival in networks else []
        strayed = [moved[id(variable)] for variable in rivals if id(variable) in moved]
        _require(not strayed, f"the {player.name}'s turn moved variables of the other player: {', '.join(strayed)}.")
        owned = {id(variable) for variable in player.variables}
        strayed = [path for key, path in moved.items() if key not in owned]
        _require(
            not strayed,
            f"the {player.name}'s turn moved variables that the player does not declare: {', '.join(strayed)}.",
        )
        _require(owned & {*moved}, f"the {player.name}'s turn moved no variable of the {player.name}.")


def check_batch_split(make: Make, data: Any) -> None:
    """Checks that a batch without `n_critic` equal minibatches raises a `UserError`, for models with this argument."""
    data = _tensors(data)
    n = batch_size(data)
    gan = _build(make)
    if "n_critic" not in gan.argument_names():
        return
    try:
        gan = gan.rebuilt(n_critic=n + 1)
        gan.compile()
        gan.train_step(data)
    except UserError:
        return
    raise AssertionError(f"with n_critic={n + 1}, a batch of {n} examples must raise a UserError that says so.")


def check_mixed_precision(make: Make, data: Any) -> None:
    """Checks that losses and variables stay float32 and finite under the policies mixed_bfloat16 and mixed_float16."""
    former = keras.config.dtype_policy()
    try:
        for policy in ("mixed_bfloat16", "mixed_float16"):
            keras.config.set_dtype_policy(policy)
            _check_precision(make, _tensors(data), policy)
    finally:
        keras.config.set_dtype_policy(former)


def _check_precision(make: Make, data: Any, policy: str) -> None:
    gan = _compiled(make)
    x = gan.split(data)[-1]
    z = gan.latents_for(x)
    for player in gan.players():
        dtype = player.loss(x, z).dtype
        _require(dtype == "float32", f"{player.loss.__name__} must be float32 under {policy}, not {dtype.name}.")
    logs = gan.train_step(data)
    for name, value in logs.items():
        _require(np.isfinite(value).all(), f"the log {name!r} must be finite under {policy}, not {value}.")
    for variable in gan.trainable_variables:
        _require(
            variable.dtype == "float32" and np.isfinite(variable.numpy()).all(),
            f"{variable.path} must be float32 and finite after a step under {policy}.",
        )


def check_logs(make: Make, data: Any) -> None:
    """Checks that `fit` logs finite scalars, including every player's loss, and traces the step once."""
    gan = _compiled(make)
    traces = []
    step = gan.train_step

    def counted(batch):
        traces.append(None)
        return step(batch)

    gan.train_step = counted
    logs = _fit(gan, data, steps=1)
    first = len(traces)
    logs |= {f"{name}, second step": value for name, value in _fit(gan, data, steps=1).items()}
    _require(
        len(traces) == first,
        "train_step was traced again on its second step: it must not depend on Python values that change.",
    )
    for name in (f"{player.key}_loss" for player in gan.players()):
        _require(name in logs, f"train_step must log {name!r}; it logs {', '.join(sorted(logs))}.")
    for name, value in logs.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise AssertionError(f"the log {name!r} must be a scalar, not {value!r}.") from None
        _require(math.isfinite(number), f"the log {name!r} must be finite, not {number}.")


def check_weights(make: Make, data: Any) -> None:
    """Checks that training after `save_weights` and `load_weights` continues bit for bit as without them."""
    data = _tensors(data)
    gan = _trained(make, data)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "gan.weights.h5")
        gan.save_weights(path)
        loaded = _compiled(make, seed=2)
        loaded.load_weights(path)
    _assert_same_future(gan, loaded, data, "save_weights and load_weights")


def check_keras_file(make: Make, data: Any) -> None:
    """Checks that training after `save` and `load_model` continues bit for bit as without them."""
    data = _tensors(data)
    gan = _trained(make, data)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "gan.keras")
        gan.save(path)
        loaded = keras.models.load_model(path)
    _require(type(loaded) is type(gan), f"load_model must give a {type(gan).__name__}, not a {type(loaded).__name__}.")
    ours, theirs = (
        {name: optimizer.get_config() for name, optimizer in model.optimizers().items()} for model in (gan, loaded)
    )
    _require(ours == theirs, f"load_model must keep the optimizers' settings: they were {ours} and became {theirs}.")
    _assert_same_future(gan, loaded, data, "save and load_model")


def check_replicas(make: Make, data: Any) -> None:
    """Checks that N replicas with B / N examples each take the same steps as one replica with all B examples.

    The check takes five steps of gradient descent with N = 2 and 4. It synchronizes batch normalization, because by
    default each replica has its own statistics.

    Raises:
        UserError: If there is only one logical CPU, or if the replicas cannot share a minibatch equally.
    """
    devices = tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise UserError(
            "check_replicas needs two logical CPUs, or four: before TensorFlow starts, call "
            "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], "
            "[tf.config.LogicalDeviceConfiguration()] * 4)."
        )
    counts = [count for count in REPLICAS if count <= len(devices)]
    one = _descending(make)
    synchronize(one)
    n = batch_size(_tensors(data)) // one.minibatches_per_step
    if n % counts[-1]:
        raise UserError(
            f"data must hold a number of examples that {counts[-1]} divides for each of n_critic minibatches, not {n}."
        )
    for _ in range(5):
        one.train_step(_tensors(data))
    for count in counts:
        # The default, in-process collectives, takes keys from the process, so two strategies would mix their messages.
        strategy = tf.distribute.MirroredStrategy(
            [device.name for device in devices[:count]], cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
        with strategy.scope():
            many = _descending(make)
        synchronize(many)
        _fit(many, data, steps=5)
        _assert_close(
            one,
            many,
            f"5 steps on {count} replicas differ from 5 on one with the whole batch. A loss must average over the "
            f"batch, take any inner batch statistic by gan_zoo.distribution.global_mean, and draw random numbers from "
            f"self.random",
        )


def check_xla(make: Make, data: Any) -> None:
    """Checks that two steps of gradient descent with `jit_compile=True` equal two eager steps."""
    eager, compiled = _descending(make), _descending(make, jit_compile=True)
    for _ in range(2):
        eager.train_step(_tensors(data))
    _fit(compiled, data, steps=2)
    _assert_close(
        eager,
        compiled,
        "2 steps with jit_compile=True differ from 2 eager steps. A loss must draw random numbers from self.random "
        "and have no side effects of Python",
    )


def check_export(make: Make, data: Any) -> None:
    """Checks that a generator exported by `gan_zoo.export.saved_model` makes the same samples as before."""
    gan = _trained(make, _tensors(data))  # the export must also contain moving statistics that have changed
    with (
        tempfile.TemporaryDirectory() as folder,
        tensorflow_path(saved_model.export(gan, Path(folder) / "generator")) as path,
    ):
        exported = tf.saved_model.load(path)
    expected = gan(gan.sample_latent(4, seed=3)).numpy()
    difference = np.abs(exported.sample(4, 3).numpy() - expected).max() / max(1.0, np.abs(expected).max())
    _require(difference <= _TOLERANCE, f"the exported generator's samples differ from its own by {difference:.1g}.")


CHECKS = (
    check_config,
    check_latents,
    check_turns,
    check_batch_split,
    check_mixed_precision,
    check_logs,
    check_weights,
    check_keras_file,
    check_replicas,
    check_xla,
    check_export,
)


def _require(condition: Any, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _build(make: Make, seed: int = 1) -> GenerativeModel:
    with seeded(seed):
        return make()


def _compiled(make: Make, seed: int = 1) -> GenerativeModel:
    gan = _build(make, seed)
    gan.compile()
    return gan


def _trained(make: Make, data: Any) -> GenerativeModel:
    """Returns a compiled GAN after one step, so that its state differs from that of a new GAN."""
    gan = _compiled(make)
    gan.train_step(data)
    return gan


def _descending(make: Make, **kwargs) -> GenerativeModel:
    """Returns a GAN with gradient descent: Adam hides wrong factors and enlarges rounding errors of zero gradients."""
    gan = _build(make)
    gan.compile(*(keras.optimizers.SGD(0.05) for _ in gan.players()), **kwargs)
    return gan


def _another(value: Any) -> Any:
    """Returns another value of the same kind, or None if no other valid value is known."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return {"normal": "uniform", "uniform": "normal"}.get(value) if isinstance(value, str) else None


def _tensors(data: Any) -> Any:
    return tf.nest.map_structure(tf.convert_to_tensor, data)


def _arrays(tensors: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in tf.nest.flatten(tensors)]


def _equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def _fit(gan: GenerativeModel, data: Any, steps: int) -> dict[str, Any]:
    """Trains on copies of one batch; returns the logs."""
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of fit
    dataset = tf.data.Dataset.from_tensors(data).repeat().with_options(options)
    history = gan.fit(dataset, steps_per_epoch=steps, verbose=0, shuffle=False).history
    return {name: values[-1] for name, values in history.items()}


def _state(gan: GenerativeModel) -> dict[str, list[np.ndarray]]:
    """Returns all that training changes: the copies of each variable on all replicas, by a unique name."""
    variables = [*gan.variables]
    for optimizer in gan.optimizers().values():
        variables += optimizer.variables
    strategy = gan.distribute_strategy
    return {
        f"{variable.path} ({index})": _arrays(strategy.experimental_local_results(variable.value))
        for index, variable in enumerate(variables)
    }


def _assert_same_future(gan: GenerativeModel, loaded: GenerativeModel, data: Any, how: str) -> None:
    """Checks that both models have equal states now and after eager steps, which no graph optimization changes."""
    for when in ("right", "1 step", "2 steps"):
        if when != "right":
            for model in (gan, loaded):
                model.train_step(data)
        for (name, (expected,)), (value,) in zip(_state(gan).items(), _state(loaded).values(), strict=True):
            _require(np.array_equal(value, expected), f"{name} differs {when} after {how}.")


def _assert_close(one: GenerativeModel, other: GenerativeModel, message: str) -> None:
    worst, where = 0.0, ""
    for (name, (expected,)), values in zip(_state(one).items(), _state(other).values(), strict=True):
        for value in values:
            scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
            difference = float(np.abs(value - expected).max(initial=0.0)) / scale
            if not difference <= worst:
                worst, where = difference, name
    _require(worst <= _TOLERANCE, f"{message} (by {worst:.1g} in {where}).")
