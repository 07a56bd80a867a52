"""Rebuilds the GAN of a run folder from its settings and a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from gan_zoo.util import checks
from gan_zoo.util.errors import UserError

if TYPE_CHECKING:
    from gan_zoo.gan import GAN
from gan_zoo.run_folder.run_json import read_settings


def load_gan(run_dir: str | Path, step: int | None = None, trust: bool = False) -> tuple["GAN", int, dict]:
    """Returns the model of a run's checkpoint, with the moving average in place of the networks that make samples.

    Args:
        run_dir: A run folder of `train.py`.
        step: Step of the checkpoint. Defaults to the newest undamaged one.
        trust: Whether to import the module of a run of `--model=module:Class`, which runs its code. Variants of the
            zoo need no trust: their checkpoints hold arrays and no graph.

    Returns:
        The GAN, not compiled; the step of the checkpoint; and the settings of the run.

    Raises:
        UserError: If there is no such run or checkpoint.
    """
    from gan_zoo.nn import averaged_networks, precision
    from gan_zoo.registry import variants
    from gan_zoo.run_folder import checkpoints
    from gan_zoo.util import seeds

    run_dir = checks.path("run_dir", run_dir)
    settings = read_settings(run_dir)
    found = {checkpoints.read_step(p): p for p in checkpoints.list_checkpoints(run_dir / "checkpoints") if p.is_dir()}
    sound = {s: p for s, p in found.items() if not checkpoints.verify(p, [checkpoints.MODEL, checkpoints.EMA])}
    if not sound or step not in (None, *sound):
        there = ", ".join(map(str, sound)) or "none"
        raise UserError(f"{run_dir} has no undamaged checkpoint of step {step or 'any'}; steps that it has: {there}.")
    step = max(sound) if step is None else step
    if ":" in settings["model"] and not trust:
        raise UserError(
            f"{run_dir} is a run of {settings['model']}, code that would be imported and run with your rights. If you "
            f"trust it, pass trust=True, or --trust on the command line."
        )
    cls = variants.find_model(settings["model"])
    try:
        # The random initial weights are replaced by those of the checkpoint below.
        with precision.policy(settings["precision"], "float32"), seeds.seeded(settings["seed"]):
            gan = variants.build_gan(
                cls,
                settings["data"]["shape"],
                **{name: settings[name] for name in ("network", "width", "norm", "arguments")},
                **{name: settings[name] for name in variants.NETWORK_OPTIONS if name in settings},
            )
        gan.load_weights(sound[step] / checkpoints.MODEL)
        averaged_networks.average_of(gan).load_weights(sound[step] / checkpoints.EMA)
    except Exception as error:  # modified settings may fail anywhere in Keras
        line = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{sound[step]} cannot be loaded with the settings of {run_dir}/run.json ({type(error).__name__}: {line})."
        ) from error
    return gan, step, settings
