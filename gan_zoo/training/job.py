"""A job: the strategy, data, model and optimizers of a configuration, with all settings resolved and checked."""

import contextlib
import functools
import json
import math
from collections.abc import Iterator
from typing import Any

from gan_zoo import data
from gan_zoo.registry.variants import (
    NETWORK_OPTIONS,
    build_gan,
    find_model,
    parse_arguments,
    trial_step,
    wrap_user_errors,
)
from gan_zoo.training.config import DEFAULTS, MOST, MOST_TURNS, Config, check, flag_of_labels, rates
from gan_zoo.training.data_schedule import DataSchedule
from gan_zoo.training.devices import cluster_of, make_strategy
from gan_zoo.training.evaluation import evaluation_of
from gan_zoo.util import checks, machine
from gan_zoo.util.errors import UserError


class Job:
    """The strategy, data, model and optimizers of a configuration.

    The constructor checks everything that can be checked without decoding images. `schedule.source` decodes images when
    it is first used.

    Args:
        config: The configuration.

    Attributes:
        cls: Class of the model.
        gan: The model, compiled.
        strategy: The `tf.distribute` strategy.
        cluster: The workers that train together; None for one process.
        found: Facts about the data that are known before images are decoded.
        schedule: The data of each step.
        points: Whether the data are points, not images.
        held_out: Like `schedule`, for the examples that are not trained on; None without `--held_out`.
        evaluation: What is measured while training; None without `--evaluate_every`, and in workers but the chief.
        batch_size, width, network, precision, steps, execution: The resolved settings. `execution` is the number of
            steps in one call of the graph.

    Raises:
        UserError: If the configuration is not valid.
    """

    def __init__(self, config: Config):
        self.config = config
        self.cls = find_model(config.model)
        check(config)
        arguments = self._arguments()
        self.strategy = make_strategy(config)
        self.cluster = cluster_of(config)

        from gan_zoo.nn import precision

        self.found = self._find(config.resolution)
        self.points = self.found.kind == "points"
        self.precision, self.precision_reason = precision.resolve(config.precision, self.points)
        defaults = DEFAULTS[self.found.kind]
        self.batch_size = config.batch_size or defaults["batch_size"]
        self.width = config.width or defaults["width"]
        family = self.cls.default_network or data.lookup(config.dataset).family
        self.network = config.network or ("mlp" if self.points else family)
        replicas = self.strategy.num_replicas_in_sync
        if config.jit_compile and replicas > 1 and not self.on_accelerators:
            raise UserError("--jit_compile does not work with several CPUs under one strategy: leave one of them out.")
        with wrap_user_errors(config.model), self.global_settings("weights"), self.strategy.scope():
            self.gan = self._build(arguments)
        self.schedule = self._schedule(self.found, self._find, defaults["steps"], config.labelled)
        for size in self.schedule.batch_sizes():
            if size % replicas:
                raise UserError(f"--batch_size={size} cannot be divided evenly among {replicas} replicas.")
        self.steps = self.schedule.steps
        self.execution = config.steps_per_execution or (self._steps_between_events() if self.points else 1)
        if self.steps % self.execution:
            raise UserError(f"--steps={self.steps} is not a multiple of --steps_per_execution={self.execution}.")
        self.gan.steps_per_execution = self.execution
        self._anneal()
        if not self.steps <= MOST:
            raise UserError(f"--steps: {self.steps:.3g} steps are more than {MOST:,}, the most that can be counted.")
        self.schedule.check(self.found)
        self.held_out = None
        if config.held_out:
            find = functools.partial(self._find, split=config.held_out)
            self.held_out = self._schedule(find(config.resolution), find, defaults["steps"])
            self.held_out.check(self.held_out.found)
        self._check_memory()
        self.evaluation = evaluation_of(self) if self.is_chief else None
        if ":" in config.model:
            with self.global_settings("training"):
                trial_step(config.model, self.gan, self._element_spec())
            with wrap_user_errors(config.model):
                for name, value in self.arguments().items():
                    json.dumps({name: value}, allow_nan=False)

    def arguments(self) -> dict[str, Any]:
        """Returns the constructor's arguments as resolved, without the networks, for `run.json`."""
        networks = self.gan.networks()
        arguments = {n: getattr(self.gan, n) for n in self.gan.argument_names() if n not in networks}
        if arguments.get("classes") is None:  # runs without labels record no classes, like runs of older versions
            arguments.pop("classes", None)
        return arguments

    @contextlib.contextmanager
    def global_settings(self, purpose: str) -> Iterator[None]:
        """Sets the global settings of Keras and of all random generators for this run, and restores them afterwards.

        `floatx` is one of them: Keras reads it from a file in the user's home, and learning rates have its precision.

        Args:
            purpose: Purpose of the random numbers: see `gan_zoo.util.seeds.stream`.
        """
        from gan_zoo.nn import precision
        from gan_zoo.util import seeds

        seed = seeds.stream(self.config.seed, purpose)
        with precision.policy(self.precision, "float32"), seeds.seeded(seed):
            yield

    def _find(self, resolution: int | None, split: str | None = None) -> data.Found:
        config = self.config
        # Held-out examples, of another split, need no labels for a model that learns from a few.
        with flag_of_labels("--labelled" if config.labelled else "--conditional"):
            return data.find_source(
                config.dataset,
                split=split or config.split,
                data_dir=config.data_dir,
                resolution=resolution,
                crop=config.crop,
                cache_dir=config.cache_dir,
                max_skipped=config.max_skipped,
                labels=config.conditional or bool(config.labelled and not split),
            )

    def _arguments(self) -> dict[str, Any]:
        """Returns the constructor arguments that flags give."""
        config = self.config
        arguments = parse_arguments(self.cls, config.set)
        for flag, name in (("n_critic", "n_critic"), ("balance", "balance"), ("augment", "augmentation")):
            if getattr(config, flag) is not None:
                if name not in self.cls.parameters():
                    raise UserError(f"--{flag}: {self.cls.__name__} has no argument {name}: leave the flag out.")
                arguments[name] = getattr(config, flag)
        if config.conditional and ("classes" not in self.cls.parameters() or self.cls.takes_labels == "never"):
            raise UserError(f"--conditional: {self.cls.__name__} has no argument classes: leave the flag out.")
        if not config.conditional and self.cls.takes_labels == "required":
            raise UserError(f"--model={config.model} needs labels: add --conditional, and take data that have classes.")
        if config.labelled and not self.cls.takes_few_labels:
            raise UserError(f"--labelled: {self.cls.__name__} does not learn from a few labels: leave the flag out.")
        checks.whole("--n_critic", arguments.get("n_critic", 1), 1, MOST_TURNS)
        arguments.setdefault("seed", config.seed)
        checks.whole("--set=seed", arguments["seed"], 0, 2**63 - 1)
        return arguments

    def _build(self, arguments: dict[str, Any]):
        from gan_zoo.nn import layers
        from gan_zoo.schedules import learning_rates

        config, cls = self.config, self.cls
        arguments = {**arguments, "latent_dim": config.latent_dim or DEFAULTS[self.found.kind]["latent_dim"]}
        if config.conditional:
            arguments["classes"] = len(self.found.classes)
        if config.labelled:
            categories = arguments.setdefault("categories", len(self.found.classes))
            if isinstance(categories, int) and categories < len(self.found.classes):
                raise UserError(
                    f"--set categories={categories}: {config.dataset} has {len(self.found.classes)} classes: take as "
                    f"many categories, or more."
                )
        if self.points and (self.network != "mlp" or config.norm not in (None, "none")):
            flag = f"--network={self.network}" if self.network != "mlp" else f"--norm={config.norm}"
            raise UserError(f"{flag} is for images, and {config.dataset} has points: leave it out.")
        gan = build_gan(
            cls,
            self.found.shape,
            network=self.network,
            width=self.width,
            norm=config.norm,
            **{name: getattr(config, name) for name in NETWORK_OPTIONS},
            arguments=arguments,
        )
        gan.check_penalty()
        if config.sync_batch_norm and not layers.synchronize(gan):
            raise UserError("--sync_batch_norm: these networks have no batch normalization: leave it out.")
        asked, players = rates(config), gan.players()
        flags = {f"{player.key}_learning_rate": player for player in players}
        unknown = next((flag for flag in asked if flag not in (*flags, "learning_rate")), None)
        if unknown:
            names = ", ".join(f"--{flag}" for flag in flags)
            raise UserError(f"--{unknown}: {cls.__name__} has no such player; its rates are {names}.")
        optimizers = {}
        for flag, player in flags.items():
            optimizer = gan.default_optimizer(player.name)
            flag = flag if flag in asked else "learning_rate"
            if flag in asked:
                learning_rates.set_rate(optimizer, asked[flag], f"--{flag}")
            optimizers[f"{player.key}_optimizer"] = optimizer
        gan.compile(**optimizers, jit_compile=config.jit_compile)
        return gan

    def _anneal(self) -> None:
        """Gives all players the schedule of `--rate_schedule`, from their rates so far."""
        if self.config.rate_schedule is None:
            return
        from gan_zoo.nn.optimizers import inner
        from gan_zoo.schedules import learning_rates, rate_schedules

        flag = f"--rate_schedule={self.config.rate_schedule}"
        schedule = rate_schedules.parse(self.config.rate_schedule)
        if schedule.warm_up >= self.steps:
            raise UserError(f"{flag}: the warm-up must be shorter than the run, which has {self.steps} steps.")
        turns = {f"{player.key}_optimizer": player.turns for player in self.gan.players()}
        for name, optimizer in self.gan.optimizers().items():
            rate = learning_rates.current_rate(optimizer)
            learning_rates.set_rate(optimizer, rate, flag)  # refuses a schedule of the variant's own
            inner(optimizer).learning_rate = schedule.over(rate, self.steps, turns[name])

    def _schedule(self, found, find, default_steps: int, labelled: int | None = None) -> DataSchedule:
        growth = self.gan.growth(self.batch_size) if hasattr(self.gan, "growth") else None
        return DataSchedule(
            found,
            find,
            batch_size=self.batch_size,
            turns=self.gan.minibatches_per_step,
            seed=self.config.seed,
            labelled=labelled,
            growth=growth,
            steps=self.config.steps or (None if growth else default_steps),
        )

    def _element_spec(self):
        """Returns the spec of an element of the data, before distribution to the replicas."""
        import tensorflow as tf

        size = self.gan.minibatches_per_step * self.batch_size
        images = tf.TensorSpec([size, *self.found.shape], tf.float32)
        labels = tf.TensorSpec([size], tf.int32)
        if self.config.labelled:
            return {"images": images, "labelled": images, "labels": labels}
        return (images, labels) if self.config.conditional else images

    def _check_memory(self) -> None:
        """Checks that the examples of a step and the layer outputs of one minibatch fit in memory.

        Raises:
            UserError: If they do not fit.
        """
        turns, growth = self.gan.minibatches_per_step, self.schedule.growth
        if growth:
            size = max(p.images * p.resolution**2 * self.found.shape[-1] for p in growth.phases)
        else:
            sides = [output.shape[1:] for output in _outputs(self.gan)]
            made = sum(math.prod(side or 1 for side in shape) for shape in sides)
            share = self.batch_size // self.strategy.num_replicas_in_sync
            parts = 2 if self.config.labelled else 1
            size = self.batch_size * turns * parts * math.prod(self.found.shape) + share * made
        has = machine.memory()
        if has is not None and 4 * size > has:
            raise UserError(
                f"--batch_size={self.batch_size}: a step of {turns} such minibatches takes {4 * size / 2**30:.3g} GiB "
                f"of memory or more, and this machine has {has / 2**30:.3g}: take a smaller --batch_size or --width."
            )

    def _steps_between_events(self) -> int:
        """Returns the largest number of steps per call of the graph that divides all intervals of the run, at most 25.

        A step of a perceptron takes about as long as the return to Python after it.
        """
        config = self.config
        common = math.gcd(self.steps, config.log_every, config.sample_every, config.checkpoint_every)
        common = math.gcd(common, config.evaluate_every)
        return max(n for n in range(1, 26) if common % n == 0)

    @property
    def on_accelerators(self) -> bool:
        """Whether the strategy's devices are not CPUs."""
        return not all("CPU" in device for device in self.strategy.extended.worker_devices)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files."""
        return self.cluster is None or self.cluster.is_chief


def _outputs(gan) -> list:
    """Returns the outputs of the layers of a model's networks as symbolic Keras tensors, where they are known."""
    import keras

    outputs = []
    for network in gan.networks().values():
        for layer in network._flatten_layers():
            try:
                made = layer.output
            except (AttributeError, ValueError):  # the layer was not called on symbolic tensors
                continue
            outputs += [tensor for tensor in keras.tree.flatten(made) if len(tensor.shape) > 1]
    return outputs
