"""The configuration of a run: the flags of `train.py` as one object, their defaults and their ranges."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from gan_zoo import data
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

ON_NAN = ("stop", "restore")
EXPORTS = ("last", "best")

MOST = 10**12
"""Largest number of steps, and of all that is counted in steps."""
MOST_TURNS = 1000
"""Largest number of D's turns in a step: each adds its own part to the graph."""
_RANGES = {
    **dict.fromkeys(("steps", "keep_checkpoints", "log_every"), (1, MOST)),
    **dict.fromkeys(
        ("sample_every", "checkpoint_every", "health_every", "evaluate_every", "max_skipped", "crop"), (0, MOST)
    ),
    "evaluate_num": (10, 10**7),
    "batch_size": (1, 2**31 - 1),
    "n_critic": (1, MOST_TURNS),
    "latent_dim": (1, 2**20),
    "labelled": (1, 2**31 - 1),
    "width": (1, 2**14),
    "resolution": (1, 2**14),
    "steps_per_execution": (1, 10**6),
    "num_virtual_devices": (1, 256),
    "seed": (0, 2**32 - 1),
}
"""Smallest and largest values of the integer flags."""
_LONGEST_WAIT = 10**6
"""Longest wait in seconds."""


@dataclasses.dataclass
class Config:
    """Settings of a run. None selects the default of the dataset or the variant.

    The fields are the flags of `train.py`, which documents them. `learning_rates` holds the learning rates of players
    other than the discriminator and the generator, by the player's name: the flags `--<name>_learning_rate`.
    """

    model: str
    dataset: str
    data_dir: str | None = None
    split: str = "train"
    held_out: str | None = None
    resolution: int | None = None
    crop: int | None = None
    cache_dir: str | None = None
    max_skipped: int = data.MAX_SKIPPED
    batch_size: int | None = None
    steps: int | None = None
    n_critic: int | None = None
    balance: str | None = None
    augment: str | None = None
    learning_rate: float | None = None
    d_learning_rate: float | None = None
    g_learning_rate: float | None = None
    rate_schedule: str | None = None
    learning_rates: dict[str, float] = dataclasses.field(default_factory=dict)
    latent_dim: int | None = None
    width: int | None = None
    network: str | None = None
    norm: str | None = None
    conditional: bool = False
    condition: str | None = None
    minibatch_discrimination: bool = False
    g_norm: str | None = None
    kernel_size: int | None = None
    labelled: int | None = None
    set: tuple[str, ...] = ()
    ema_decay: float | None = None
    ema_half_life: float | None = None
    seed: int = 0
    precision: str = "auto"
    strategy: str = "auto"
    num_virtual_devices: int | None = None
    workers: str | None = None
    worker_index: int | None = None
    worker_timeout: float = 600.0
    tpu: str | None = None
    sync_batch_norm: bool = False
    on_nan: str = "stop"
    jit_compile: bool = False
    run_dir: str | None = None
    sample_every: int = 500
    checkpoint_every: int = 1000
    keep_checkpoints: int = 2
    log_every: int = 50
    health_every: int = 500
    evaluate_every: int = 0
    evaluate_metrics: tuple[str, ...] = ()
    evaluate_num: int | None = None
    evaluate_features: str | None = None
    export: str = "last"
    steps_per_execution: int | None = None


# Values of settings that neither the flags nor the variant give. For images: the usual batch size and width of small
# GANs. For points: the sizes of the 2-D experiments in the WGAN-GP and unrolled GAN papers.
DEFAULTS = {
    "image": {"batch_size": 64, "width": 64, "latent_dim": 128, "steps": 50_000},
    "points": {"batch_size": 256, "width": 128, "latent_dim": 2, "steps": 10_000},
}


EMA_DECAY = 0.999
"""Decay of the moving average, if neither it nor its half-life is given. It is that of progressive GAN."""


@contextlib.contextmanager
def flag_of_labels(flag: str = "--conditional") -> Iterator[None]:
    """Makes errors about the arguments `labels` and `labelled` of datasets name a flag."""
    try:
        yield
    except UserError as error:
        argument, colon, rest = str(error).partition(": ")
        if colon and argument in ("labels", "labelled"):
            raise UserError(f"{flag}: {rest}") from None
        raise


def rates(config: Config) -> dict[str, float]:
    """Returns the learning rates that were given, by their flags: "learning_rate", "d_learning_rate" and so on."""
    found = {name: getattr(config, name) for name in ("learning_rate", "d_learning_rate", "g_learning_rate")}
    found |= {f"{player}_learning_rate": rate for player, rate in config.learning_rates.items()}
    return {name: rate for name, rate in found.items() if rate is not None}


def average(config: Config) -> dict[str, float]:
    """Returns what defines the moving average of a run: {"decay": ...}, or {"half_life": ...} in images."""
    if config.ema_half_life is not None:
        return {"half_life": float(config.ema_half_life)}
    return {"decay": EMA_DECAY if config.ema_decay is None else config.ema_decay}


def check(config: Config) -> None:
    """Checks that the numbers and folders of a configuration are valid.

    Raises:
        UserError: If one is not.
    """
    for name, (least, most) in _RANGES.items():
        value = getattr(config, name)
        if value is not None and value < least:
            never = " (never before the end)" if name.endswith("_every") and not least else ""
            raise UserError(f"--{name} must be {least}{never} or more, not {value}.")
        if value is not None and value > most:
            raise UserError(f"--{name} must be at most {most}, not {value}.")
    for name, value in rates(config).items():
        if not 0 < value < 1e38:
            raise UserError(f"--{name} must be positive, not {value}.")
    if config.rate_schedule is not None:
        from gan_zoo.schedules import rate_schedules

        rate_schedules.parse(config.rate_schedule)
    if config.condition and not config.conditional:
        raise UserError(f"--condition={config.condition} says how networks read labels: add --conditional.")
    if config.labelled and config.conditional:
        raise UserError("--labelled and --conditional exclude each other: a few examples have labels, or all have.")
    for name in ("evaluate_metrics", "evaluate_num", "evaluate_features"):
        if getattr(config, name) and not config.evaluate_every:
            raise UserError(f"--{name} says how samples are evaluated in training: add --evaluate_every.")
    if config.held_out and not config.health_every:
        raise UserError("--held_out is for health checks, and --health_every=0 turns them off: leave one of both out.")
    if config.export == "best" and not config.evaluate_every:
        raise UserError("--export=best exports the best of several evaluations: add --evaluate_every.")
    if not 0 < config.worker_timeout <= _LONGEST_WAIT:
        raise UserError(f"--worker_timeout must be positive and at most {_LONGEST_WAIT}, not {config.worker_timeout}.")
    for name in ("data_dir", "cache_dir", "run_dir"):
        value = getattr(config, name)
        if value is not None:
            folder = (checks.data_folder if name == "data_dir" else checks.path)(f"--{name}", value)
            if name == "run_dir" and folder.resolve() == Path(folder.anchor):
                raise UserError(f"--run_dir={config.run_dir} is the root of the file system: name a folder in it.")
    if config.ema_decay is not None and config.ema_half_life is not None:
        raise UserError("--ema_decay and --ema_half_life exclude each other: each sets the whole moving average.")
    if config.ema_decay is not None and not 0 <= config.ema_decay < 1:
        raise UserError(f"--ema_decay must be in [0, 1), not {config.ema_decay}.")
    if config.ema_half_life is not None:
        checks.number("--ema_half_life", config.ema_half_life, positive=True)
