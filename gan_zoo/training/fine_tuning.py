"""Fine-tunes the discriminator of a run: `python -m gan_zoo.refine --run_dir=runs/mine --output=runs/refined`."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from absl import flags

from gan_zoo.nn import optimizers
from gan_zoo.sampling import refine
from gan_zoo.sampling.refine import SPACES, Dynamics
from gan_zoo.util import checks, command_line, seeds
from gan_zoo.util.errors import NonFiniteLoss, UserError
from gan_zoo.util.files import partial_of


def fine_tune_run(
    run_dir: str | Path,
    output: str | Path,
    steps: int,
    dynamics: Dynamics | None = None,
    *,
    data_dir: str | None = None,
    learning_rate: float | None = None,
    trust: bool = False,
    **options: Any,
) -> Path:
    """Fine-tunes the discriminator of a run's newest checkpoint on the run's own data, and writes a new run folder.

    The new folder can be used to sample, with and without refinement. Training cannot continue in it.

    Args:
        run_dir: A run folder of `train.py`.
        output: The new folder.
        steps: As for `fine_tune`.
        dynamics: As for `fine_tune`.
        data_dir: Folder of TFDS's datasets. Defaults to the one of the run.
        learning_rate: Learning rate of the default optimizer.
        trust: As for `gan_zoo.run_folder.trained_gan.load_gan`.
        **options: Further arguments of `fine_tune`.

    Returns:
        The new folder.

    Raises:
        UserError: If `output` exists or cannot be written, or as for `fine_tune` and `gan_zoo.data.load`.
        NonFiniteLoss: If the loss diverges. Nothing is written.
    """
    from gan_zoo import callbacks, data
    from gan_zoo.export import saved_model
    from gan_zoo.nn import averaged_networks
    from gan_zoo.releases import exports
    from gan_zoo.run_folder import checkpoints, run_json, trained_gan

    run_dir, output = checks.path("--run_dir", run_dir), checks.path("--output", output)
    dynamics = dynamics or Dynamics()
    if learning_rate is not None:
        checks.number("--learning_rate", learning_rate, positive=True)
    if data_dir is not None:
        checks.data_folder("--data_dir", data_dir)
    if output.exists():
        raise UserError(f"--output={output} already exists: name a new folder.")
    gan, step, settings = trained_gan.load_gan(run_dir, trust=trust)
    refine.check_fine_tuning(gan, steps, options.get("turns", 1), options.get("score_weight", 0.0))
    found = data.find_source(
        settings["dataset"],
        split=settings["data"].get("split") or "train",
        data_dir=data_dir or settings.get("data_dir"),
        # The current resolution of the networks. Growing networks may not have reached their last stage.
        resolution=gan.generator.output_shape[1] if settings["data"]["kind"] == "image" else None,
        crop=settings["data"].get("crop"),
        labels=gan.classes is not None,
    )
    optimizer = None if learning_rate is None else optimizers.Adam(learning_rate, beta_1=0.0, beta_2=0.9, epsilon=1e-8)
    found.check(settings["batch_size"], seed=settings["seed"])
    seed = seeds.stream(settings["seed"], "fine-tuning")
    labelled = {} if gan.classes is None else {"labels": True}
    batches = found.open().batches(settings["batch_size"], seed=seed, **labelled)
    progress = callbacks.Progress(steps, lambda k: k * settings["batch_size"])
    how = {
        **{"of": str(run_dir), "steps": steps, "learning_rate": learning_rate, **options},
        "dynamics": dataclasses.asdict(dynamics),
    }
    partial = partial_of(output)
    try:
        partial.mkdir(parents=True)  # fails now rather than after the training
    except OSError as error:
        raise UserError(f"--output={output} cannot be written: {error.strerror or error}.") from error
    try:
        refine.fine_tune(gan, batches, steps, dynamics, optimizer=optimizer, callbacks=[progress], **options)
        run = run_json.read_run(run_dir)
        run["settings"] = {**settings, "fine_tuned": how}
        (partial / "run.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
        checkpoints.save(partial / "checkpoints", gan, step, averaged_networks.average_of(gan), keep=1)
        metadata = saved_model.run_metadata(settings, step)
        saved_model.export(gan, partial / "saved_model", metadata=metadata)
        partial.rename(output)
        exports.remember(output / "saved_model")
    except OSError as error:
        raise UserError(f"--output={output} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


USAGE = """
Fine-tunes a run's discriminator: python -m gan_zoo.refine --run_dir=runs/wgan_gp-mnist --output=runs/refined

The generator does not change. Sample from the new folder with python -m gan_zoo.sample --refine.
"""


GROUPS = {
    "What": ["run_dir", "output", "data_dir"],
    "Dynamics": ["space", "langevin_steps", "step_size", "noise", "gradient_clip"],
    "Training": ["steps", "turns", "hinge", "score_weight", "learning_rate"],
    "Trust": ["trust"],
}


def main() -> int:
    values = flags.FLAGS
    for name in ("run_dir", "output"):
        if not values[name].value:
            raise UserError(f"--{name} is missing.")
    dynamics = Dynamics(values.space, values.langevin_steps, values.step_size, values.noise, values.gradient_clip)
    names = ("data_dir", "learning_rate", "turns", "hinge", "score_weight", "trust")
    try:
        path = fine_tune_run(
            values.run_dir, values.output, values.steps, dynamics, **{name: values[name].value for name in names}
        )
    except (NonFiniteLoss, FloatingPointError) as error:
        print(f"error: {error}; a lower --learning_rate or --step_size often helps.", file=sys.stderr)
        return 1
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("run_dir", None, "A run folder of train.py.")
    flags.DEFINE_string("output", None, "The new run folder.")
    flags.DEFINE_string("data_dir", None, "Folder of TFDS's datasets; by default the one of the run.")
    flags.DEFINE_enum("space", "latent", list(SPACES), "The space in which the Langevin dynamics run.")
    flags.DEFINE_integer("langevin_steps", 20, "Number of Langevin steps.")
    flags.DEFINE_float("step_size", 0.1, "Langevin step size, in units of the latents or of the samples.")
    flags.DEFINE_float("noise", 0.1, "Factor of the Langevin noise; 1 as in the paper.")
    flags.DEFINE_float("gradient_clip", 0.0, "Bound of each component of the score's gradient; 0 for none.")
    flags.DEFINE_integer("steps", 1000, "Number of minibatches to train on.")
    flags.DEFINE_integer("turns", 1, "Number of updates on each minibatch.")
    flags.DEFINE_bool("hinge", False, "Use the hinge loss.")
    flags.DEFINE_float("score_weight", 0.0, "Weight of the mean squared scores.")
    flags.DEFINE_float("learning_rate", None, "Learning rate of Adam; by default 2e-4.")
    flags.DEFINE_bool("trust", False, "Import the module of a run that was trained with --model=module:Class.")
    command_line.main(main, USAGE, GROUPS)
