"""From a configuration to a trained, exported generator: what `train.py` runs."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
import math
import statistics
from pathlib import Path
from typing import Any

from gan_zoo import checks, data, machine, workers
from gan_zoo.config import DEFAULTS, MOST, MOST_TURNS, Config, check, rates
from gan_zoo.errors import Interrupted, NonFiniteLoss, NotWritten, Stopped, UserError
from gan_zoo.output import say
from gan_zoo.randomness import stream
from gan_zoo.run_folders import check_run_folder
from gan_zoo.runs import check_run, clear_leftovers, hold, open_run
from gan_zoo.strategies import cluster_of, make_strategy
from gan_zoo.variants import build_gan, find_model, parse_arguments, rehearse, told

_RESTORES = 5
"""How often a run that diverges goes back to its last good state, with half the learning rates each time."""

_log = logging.getLogger("gan_zoo")


def run(config: Config) -> Path | None:
    """Trains, or continues to train, what `config` describes; returns the SavedModel's folder.

    Of several workers only the chief returns one; the others return None.

    Raises:
        UserError: If the configuration cannot be used.
        Interrupted: If a signal ended training before the last step. The same configuration continues it.
        NonFiniteLoss: If training diverged. The last good checkpoint stays.
        NotWritten: If a file cannot be written, say because the disk is full. The last checkpoint stays.
        WorkerLost: If another worker has gone. The last checkpoint stays.
    """
    run_dir = _run_dir(config)
    with _noticing(config):
        job = Job(config)
        if job.is_chief:
            check_run(run_dir, job.settings(run_dir, job.found))
        job.check_data(job.source)
        if not job.is_chief:
            return job.train(run_dir)
        settings = job.settings(run_dir)
        # The process that a restarted one follows may be on a machine that died: its lock on a file server outlives it.
        check_run_folder(run_dir)
        with hold(run_dir, wait=120 if job.cluster else 0):
            clear_leftovers(run_dir)
            open_run(run_dir, settings)
            try:
                return job.train(run_dir)
            except OSError as error:
                what = f"{error.filename or run_dir}: {error.strerror or error}"
                raise NotWritten(
                    f"{what}. Training has stopped; {_last_checkpoint(run_dir)}. Once that is put right, the same "
                    f"command goes on from there."
                ) from error


def _run_dir(config: Config) -> Path:
    """The run folder; that of a single process is looked at now, before data are decoded.

    Raises:
        UserError: If it cannot be one, or holds something else.
    """
    name = config.run_dir or f"runs/{config.model.replace(':', '.')}-{_plain(config.dataset)}"
    run_dir = checks.path("--run_dir", name)
    if config.strategy != "multi_worker":  # of several workers the chief alone writes
        check_run_folder(run_dir)
    return run_dir


def dry_run(config: Config) -> str:
    """What `Job.dry_run` says of a configuration.

    Raises:
        UserError: If it cannot be used.
        WorkerLost: If another worker has gone.
    """
    with _noticing(config):
        return Job(config).dry_run()


def _noticing(config: Config):
    return workers.noticing_losses() if config.strategy == "multi_worker" else contextlib.nullcontext()


def _last_checkpoint(run_dir: Path) -> str:
    from gan_zoo.checkpoints import list_checkpoints

    found = list_checkpoints(run_dir / "checkpoints")
    return f"the last good checkpoint is {found[-1]}" if found else "no checkpoint had been written"


class Job:
    """A configuration brought to life: strategy, data, model and optimizers.

    Whatever can be known without an image is checked here; `source` decodes them.

    Attributes:
        found: The data, as far as they are known before images are decoded.
    """

    def __init__(self, config: Config):
        self.config = config
        self.cls = find_model(config.model)
        check(config)
        arguments = self._arguments()
        self.strategy = make_strategy(config)
        self.cluster = cluster_of(config)

        from gan_zoo import precision

        self.found = self._find(config.resolution)
        self._phase_source = None
        self._examples = None, None
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
        with told(config.model), self._globals("weights"), self.strategy.scope():
            self.gan = self._build(arguments)
        # Where networks grow, the schedule says which images they see when, and how many.
        self.growth = self.gan.growth(self.batch_size) if hasattr(self.gan, "growth") else None
        for size in {self.batch_size} if self.growth is None else {p.batch_size for p in self.growth.phases}:
            if size % replicas:
                raise UserError(f"--batch_size={size} cannot be shared out evenly to {replicas} replicas.")
        self.steps = config.steps or (self.growth.steps if self.growth else defaults["steps"])
        self.execution = config.steps_per_execution or (self._steps_between_events() if self.points else 1)
        if self.steps % self.execution:
            raise UserError(f"--steps={self.steps} is not a multiple of --steps_per_execution={self.execution}.")
        self.gan.steps_per_execution = self.execution
        if not self.steps <= MOST:
            raise UserError(f"--steps: {self.steps:.3g} steps are more than {MOST:,}, the most that can be counted.")
        self.check_data(self.found)
        self._check_memory()
        if ":" in config.model:
            with self._globals("training"):
                rehearse(config.model, self.gan, self._element_spec())
            with told(config.model):
                for name, value in self.settings(Path(), self.found).items():
                    json.dumps({name: value}, allow_nan=False)

    @contextlib.contextmanager
    def _globals(self, purpose: str):
        """Keras's and all random generators' global settings as this run needs them, and as they were afterwards.

        `floatx` is part of it: Keras reads it from a file in the user's home, and learning rates have its precision.

        Args:
            purpose: Of the random numbers: see `gan_zoo.randomness.stream`.
        """
        from gan_zoo import precision, randomness

        seed = randomness.stream(self.config.seed, purpose)
        with precision.policy(self.precision, "float32"), randomness.seeded(seed):
            yield

    @functools.cached_property
    def source(self) -> data.Source:
        """The data at the networks' last resolution. They are decoded, or read from their cache, at the first use."""
        return self.found.open()

    def check_data(self, known: data.Found | data.Source) -> None:
        """Makes sure that the data fill a batch of every phase that training comes to.

        Raises:
            UserError: If they do not.
        """
        sizes = {self.batch_size}
        if self.growth:
            sizes = {phase.batch_size for phase in self.growth.phases_before(self.steps)}
        for size in sizes:
            known.check(size, n_critic=self.gan.turns, seed=self.config.seed)

    def _find(self, resolution: int | None) -> data.Found:
        config = self.config
        return data.find_source(
            config.dataset,
            split=config.split,
            data_dir=config.data_dir,
            resolution=resolution,
            crop=config.crop,
            cache_dir=config.cache_dir,
            max_skipped=config.max_skipped,
            labels=config.conditional,
        )

    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments that flags name."""
        config = self.config
        arguments = parse_arguments(self.cls, config.set)
        for name in ("n_critic", "balance"):
            if getattr(config, name) is not None:
                if name not in self.cls.parameters():
                    raise UserError(f"--{name}: {self.cls.__name__} has no argument {name}: leave the flag out.")
                arguments[name] = getattr(config, name)
        if config.conditional and "classes" not in self.cls.parameters():
            raise UserError(f"--conditional: {self.cls.__name__} has no argument classes: leave the flag out.")
        checks.whole("--n_critic", arguments.get("n_critic", 1), 1, MOST_TURNS)
        arguments.setdefault("seed", config.seed)
        checks.whole("--set=seed", arguments["seed"], 0, 2**63 - 1)
        return arguments

    def _build(self, arguments: dict[str, Any]):
        from gan_zoo import layers, learning_rates

        config, cls = self.config, self.cls
        arguments = {**arguments, "latent_dim": config.latent_dim or DEFAULTS[self.found.kind]["latent_dim"]}
        if config.conditional:
            arguments["classes"] = len(self.found.classes)
        if self.points and (self.network != "mlp" or config.norm not in (None, "none")):
            flag = f"--network={self.network}" if self.network != "mlp" else f"--norm={config.norm}"
            raise UserError(f"{flag} is for images, and {config.dataset} has points: leave it out.")
        gan = build_gan(
            cls,
            self.found.shape,
            network=self.network,
            width=self.width,
            norm=config.norm,
            condition=config.condition,
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

    def _element_spec(self):
        """What an element of the data is, before it goes to the replicas."""
        import tensorflow as tf

        size = self.gan.turns * self.batch_size
        images = tf.TensorSpec([size, *self.found.shape], tf.float32)
        return (images, tf.TensorSpec([size], tf.int32)) if self.config.conditional else images

    def _check_memory(self) -> None:
        """Refuses a minibatch that fills the machine by itself: the examples of a step, and what layers make of one.

        Raises:
            UserError: If it does.
        """
        turns = self.gan.turns
        if self.growth:
            size = max(p.images * p.resolution**2 * self.found.shape[-1] for p in self.growth.phases)
        else:
            sides = [output.shape[1:] for output in _outputs(self.gan)]
            made = sum(math.prod(side or 1 for side in shape) for shape in sides)
            share = self.batch_size // self.strategy.num_replicas_in_sync
            size = self.batch_size * turns * math.prod(self.found.shape) + share * made
        has = machine.memory()
        if has is not None and 4 * size > has:
            raise UserError(
                f"--batch_size={self.batch_size}: a step of {turns} such minibatches takes {4 * size / 2**30:.3g} GiB "
                f"of memory or more, and this machine has {has / 2**30:.3g}: take a smaller --batch_size or --width."
            )

    def _steps_between_events(self) -> int:
        """As many steps in one call of the graph as go into every cadence of the run, up to 25.

        A step of a perceptron takes about as long as the return to Python after it.
        """
        config = self.config
        common = math.gcd(self.steps, config.log_every, config.sample_every, config.checkpoint_every)
        return max(n for n in range(1, 26) if common % n == 0)

    @property
    def on_accelerators(self) -> bool:
        """Whether the strategy's devices are other than CPUs."""
        return not all("CPU" in device for device in self.strategy.extended.worker_devices)

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.cluster is None or self.cluster.is_chief

    def settings(self, run_dir: Path, known: data.Found | None = None) -> dict[str, Any]:
        """Every setting of the run as it was resolved, for `run.json`, of `known` data or those of `source`."""
        gan, config = self.gan, self.config
        networks = gan.networks()
        arguments = {n: getattr(gan, n) for n in gan.argument_names() if n not in networks}
        if arguments.get("classes") is None:  # as in runs from before there were labels
            arguments.pop("classes", None)
        return {
            "model": config.model,
            "dataset": config.dataset,
            "data_dir": config.data_dir,
            "data": self.describe_data(known),
            "batch_size": self.batch_size,
            "steps": self.steps,
            "network": self.network,
            "width": self.width,
            "norm": "none" if self.points else config.norm or self.cls.default_norm(self.network, arguments),
            "arguments": arguments,
            "condition": config.condition,
            **{name: _plain_config(optimizer) for name, optimizer in gan.optimizers().items()},
            "ema_decay": config.ema_decay,
            "seed": config.seed,
            "precision": self.precision,
            "strategy": type(self.strategy).__name__,
            "replicas": self.strategy.num_replicas_in_sync,
            "sync_batch_norm": config.sync_batch_norm,
            "jit_compile": config.jit_compile,
            "run_dir": str(run_dir),
            "sample_every": config.sample_every,
            "checkpoint_every": config.checkpoint_every,
            "keep_checkpoints": config.keep_checkpoints,
            "log_every": config.log_every,
            "health_every": config.health_every,
            "on_nan": config.on_nan,
            "steps_per_execution": self.execution,
            **({"growth": [dataclasses.asdict(phase) for phase in self.growth.phases]} if self.growth else {}),
        }

    def describe_data(self, known: data.Found | None = None) -> dict[str, Any]:
        """What `known` data are, or those of `source`, wherever on this machine they lie."""
        return {name: value for name, value in (known or self.source).describe().items() if name != "path"}

    def images_shown(self, step: int) -> int:
        """Real images that the first `step` steps show."""
        return self.growth.images(step) if self.growth else step * self.batch_size * self.gan.turns

    def phase_end(self, step: int) -> int:
        """The step at which other data than those of step `step` are due, or the last step."""
        return min((self.growth and self.growth.end(step)) or self.steps, self.steps)

    def dataset(self, step: int):
        """The data from step `step` on, as far as `phase_end`."""
        settings = {"n_critic": self.gan.turns, "seed": self.config.seed}
        if self.growth is None:
            return self.source.batches(self.batch_size, start_step=step, **settings)
        start, before = step - self.growth.start(step), self.growth.before(step)
        size = self.growth.phase(step).batch_size
        return self._source(step).batches(size, start_step=start, before=before, **settings)

    def _source(self, step: int) -> data.Source:
        """The images at the resolution of step `step`. Beside those of the last, one resolution is kept at a time."""
        resolution = self.growth.phase(step).resolution if self.growth else self.found.shape[0]
        if resolution == self.found.shape[0]:
            return self.source
        if self._phase_source is None or self._phase_source.shape[0] != resolution:
            self._phase_source = self._find(resolution).open()
        return self._phase_source

    def real_points(self):
        """Points of the data to draw samples over, [N, D]; None for images."""
        if not self.points:
            return None
        batch = next(self.source.batches(2048, seed=stream(self.config.seed, "pictures")).as_numpy_iterator())
        return batch[0] if self.config.conditional else batch

    def real_examples(self, step: int):
        """A minibatch of real examples at the resolution of the networks at step `step`, the same each time.

        A pipeline that was made for each look would leave its functions behind in TensorFlow.
        """
        step = min(step, self.steps - 1)
        source, size = self._source(step), self.growth.phase(step).batch_size if self.growth else self.batch_size
        if self._examples[0] is not source:
            batches = source.batches(size, n_critic=self.gan.turns, seed=stream(self.config.seed, "health"))
            self._examples = source, next(iter(batches))
        return self._examples[1]

    def train(self, run_dir: Path) -> Path | None:
        """Trains from the newest checkpoint in `run_dir`, if there is one, to the last step, and exports.

        Of several workers the chief alone reads and writes `run_dir`: the others get their state from it.
        """
        with self._globals("training"):
            return self._train(run_dir)

    def _train(self, run_dir: Path) -> Path | None:
        from gan_zoo import callbacks, checkpoints, curves
        from gan_zoo.events import Events

        config, gan, chief = self.config, self.gan, self.is_chief
        talk = workers.Communication(self.strategy)
        self._compare(talk)
        ema = callbacks.GeneratorEMA(config.ema_decay)
        ema.set_model(gan)
        step = checkpoints.restore(run_dir / "checkpoints", gan, ema.average) if chief else 0
        step = self._share(talk, ema, step)
        say(self.describe())
        if step:
            say(f"continuing {run_dir} from step {step}")
        interrupted = callbacks.StopOnSignal(talk.any)
        events = Events(run_dir / "events") if chief else None
        with interrupted.listening():
            for restores_left in reversed(range(_RESTORES + 1 if config.on_nan == "restore" else 1)):
                try:
                    self._fit(run_dir, step, ema, interrupted, events)
                    break
                except (NonFiniteLoss, FloatingPointError) as error:
                    step = self._after_divergence(run_dir, talk, ema, error, restores_left)
            if chief and (run_dir / "metrics.jsonl").exists():
                curves.plot(run_dir / "metrics.jsonl", run_dir / "curves.png")
            if interrupted.stopping:
                what = f"saved {run_dir}" if chief else "stopped"
                raise Interrupted(
                    f"{interrupted.reason}: {what} at step {ema.step}; the same command continues it",
                    interrupted.signal,
                )
            return self._export(run_dir, ema) if chief else None

    def _export(self, run_dir: Path, ema) -> Path:
        from gan_zoo.export import saved_model

        path = run_dir / "saved_model"
        try:
            saved_model.export(ema.averaged_model, path, metadata=self.metadata(ema.step))
        except UserError as error:
            if isinstance(error.__cause__, OSError):  # not bad input, but a disk that is full
                raise error.__cause__ from None
            raise
        say(f"samples  {run_dir / 'samples'}\ncurves   {run_dir / 'curves.png'}\nmodel    {path}")
        return path

    def _compare(self, talk: workers.Communication) -> None:
        """Makes sure that all workers found the same data, of which each takes its part, and made the same of "auto".

        Raises:
            UserError: If they did not.
        """
        if self.cluster is None:
            return
        resolved = [self.precision, self.network, self.execution, self.steps]
        for flag, value in (("--dataset", [self.describe_data(), self.source.checksum()]), ("--precision", resolved)):
            mine = int(hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:15], 16)
            differs = talk.of_chief(mine) != mine
            if talk.any(differs):
                which = "this worker has other than worker 0" if differs else "another worker has other than worker 0"
                what = "data" if flag == "--dataset" else "arithmetic, network and steps"
                raise UserError(f"{flag}: all workers need the same {what}, and {which}. Give all of them the same.")

    def _share(self, talk: workers.Communication, ema, step: int) -> int:
        """Gives all workers the chief's state; returns its step."""
        owners = [self.gan, *self.gan.optimizers().values(), ema.average]
        talk.share([variable for owner in owners for variable in owner.variables])
        return talk.of_chief(step)

    def _fit(self, run_dir: Path, step: int, ema, interrupted, events) -> None:
        """Trains from `step` to the last one, or until `interrupted`. Only who has `events` writes files."""
        from gan_zoo import callbacks
        from gan_zoo.health import Health, mode_target

        config, gan = self.config, self.gan
        ema.step = step
        # The order matters: what is not finite must not be averaged, shown or saved.
        watchers = [interrupted, callbacks.StopOnNonFinite(step), ema]
        if self.growth:
            watchers.append(callbacks.Grow(self.growth, ema, step))
        log = None
        if events:
            log = callbacks.MetricsLog(run_dir / "metrics.jsonl", self.images_shown, config.log_every, events, step)
        modes = mode_target(config.dataset, self.source.shape)
        watchers.append(
            Health(self.real_examples, config.health_every, log, modes, config.seed, step=step, warns=bool(events))
        )
        if events:
            watchers += [
                log,
                callbacks.SampleGrid(
                    run_dir / "samples",
                    config.sample_every,
                    ema,
                    seed=config.seed,
                    real=self.real_points(),
                    events=events,
                    step=step,
                ),
            ]
        checkpoints = run_dir / "checkpoints" if events else None
        watchers.append(callbacks.Checkpoint(checkpoints, config.checkpoint_every, config.keep_checkpoints, ema, step))
        if events:
            watchers.append(callbacks.Progress(self.steps, self.images_shown, step=step))
        while step < self.steps and not interrupted.stopping:
            end = self.phase_end(step)
            # A run that is made longer may have stopped between two multiples of the new number.
            gan.steps_per_execution = math.gcd(self.execution, end - step)
            gan.fit(self.dataset(step), steps_per_epoch=end - step, verbose=0, callbacks=watchers)
            if ema.step != end and not interrupted.stopping:  # Keras takes some errors for the end of the data
                raise Stopped(f"Training ended at step {ema.step} instead of {end}; {_last_checkpoint(run_dir)}.")
            step = end

    def _after_divergence(
        self, run_dir: Path, talk: workers.Communication, ema, error: Exception, restores_left: int
    ) -> int:
        """Goes back to the last good state with half the learning rates, and returns its step; or gives up.

        Raises:
            NonFiniteLoss: If that is not asked for, there is no such state, or it has been tried often enough.
        """
        from gan_zoo import checkpoints, learning_rates

        folder = run_dir / "checkpoints"
        if not restores_left or not talk.of_chief(bool(checkpoints.list_checkpoints(folder))):
            advice = "A lower --learning_rate often helps: --on_nan=restore takes one by itself."
            if self.config.on_nan == "restore" and not restores_left:
                advice = f"Halving the learning rates {_RESTORES} times has not helped: look at the model and its data."
            state = _last_checkpoint(run_dir) if self.is_chief else "worker 0 has the checkpoints"
            raise NonFiniteLoss(f"Training diverged: {error}; {state}. {advice}") from None
        named = self.gan.optimizers()
        optimizers = [*named.values()]
        # Checkpoints hold rates, too, which may be those of before an earlier divergence.
        rates = [learning_rates.current_rate(optimizer) for optimizer in optimizers]
        step = self._share(talk, ema, checkpoints.restore(folder, self.gan, ema.average) if self.is_chief else 0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            if not learning_rates.has_schedule(optimizer):
                learning_rates.set_rate(optimizer, rate, "--on_nan=restore")
            learning_rates.scale_rate(optimizer, 0.5)
        if any(map(learning_rates.has_schedule, optimizers)):
            self.gan.make_train_function(force=True)  # schedules are part of the graph
        _log.warning(
            "Training diverged: %s. Going on from step %d with half the learning rates: %s.",
            error,
            step,
            ", ".join(f"{learning_rates.current_rate(optimizer):g} ({name})" for name, optimizer in named.items()),
        )
        return step

    def metadata(self, step: int) -> dict[str, Any]:
        """What an exported generator says of itself."""
        classes = {"classes": list(self.found.classes)} if self.config.conditional else {}
        return {
            "model": self.config.model,
            "dataset": self.config.dataset,
            "data": self.describe_data(),
            "step": step,
            "ema_decay": self.config.ema_decay,
            **classes,
        }

    def describe(self) -> str:
        """A few lines on what will be trained, on what, and with what."""
        gan = self.gan
        rows = {
            "model": f"{type(gan).__name__}, {self.network} networks of width {self.width}, latents {gan.latent_dim}",
            **{name: self._describe_network(network) for name, network in gan.networks().items()},
            "data": f"{self.config.dataset} {self.source.shape}, "
            + (f"{self.source.size:,} examples" if self.source.size else "endless"),
            "step": f"{gan.turns} x {self.batch_size} examples, {self.strategy.num_replicas_in_sync} replica(s)",
            "precision": f"{self.precision} ({self.precision_reason})",
        }
        if self.growth:
            del rows["step"]
            for phase in self.growth.phases:
                rows[f"{phase.resolution:>4} pixels{' fade' if phase.fade else ''}"] = (
                    f"{phase.steps:,} steps of {gan.turns} x {phase.batch_size} examples"
                )
        return "\n".join(f"{name:<17}{value}" for name, value in rows.items())

    def _describe_network(self, network) -> str:
        output = f", output {network.output_shape[1:]}" if network is self.gan.sampling_network else ""
        return f"{network.count_params():,} parameters{output}"

    def dry_run(self, steps: int = 10) -> str:
        """Runs a few steps and estimates the whole; writes nothing to the run folder."""
        with self._globals("training"):
            return self._dry_run(steps)

    def _dry_run(self, steps: int) -> str:
        from gan_zoo import callbacks

        seconds, total, count, start = [], 0.0, 0, 0
        while start < self.steps:
            end = self.phase_end(start)
            if self.growth:
                self.gan.grow(self.growth.phase(start).stage, self.growth.alpha(start))
            timer = callbacks.StepTimer()
            self.gan.fit(
                self.dataset(start),
                steps_per_epoch=steps * self.execution,
                verbose=0,
                callbacks=[callbacks.GeneratorEMA(self.config.ema_decay), timer],
            )
            seconds.append(statistics.median(timer.seconds[1:]) / self.execution)  # the first step compiles
            count += len(timer.seconds) - 1
            total += seconds[-1] * (end - start)
            start = end
        peak = machine.peak_memory()
        times = " to ".join(f"{s * 1000:.2f}" for s in dict.fromkeys((min(seconds), max(seconds))))
        rows = {
            "step time": f"{times} ms (medians of {count // len(seconds)})",
            "speed": f"{self.images_shown(self.steps) / total:.1f} images/s",
            "total time": f"{callbacks.duration(total)} for {self.steps} steps",
            "peak memory": "unknown" if peak is None else f"{peak / 2**30:.2f} GiB",
        }
        return self.describe() + "\n" + "\n".join(f"{name:<17}{value}" for name, value in rows.items())


def _outputs(gan) -> list:
    """What the layers of a model's networks make, as Keras's symbolic tensors, as far as it is known."""
    import keras

    outputs = []
    for network in gan.networks().values():
        for layer in network._flatten_layers():
            try:
                made = layer.output
            except (AttributeError, ValueError):  # it was not called on symbols
                continue
            outputs += [tensor for tensor in keras.tree.flatten(made) if len(tensor.shape) > 1]
    return outputs


def _plain(dataset: str) -> str:
    """A dataset's name as part of a folder's, of which file systems take 255 bytes."""
    plain = "".join(c if c.isalnum() or c in "_-." else "-" for c in dataset.removeprefix("folder:").strip("/"))
    return plain[-50:]


def _plain_config(optimizer) -> dict[str, Any]:
    config = json.loads(json.dumps(optimizer.get_config(), default=str))
    settings = {k: v for k, v in config.items() if v not in (None, False) and k not in ("name", "ema_momentum")}
    return {"class": type(optimizer).__name__, **settings}
