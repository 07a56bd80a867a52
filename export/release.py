"""Makes a release of a finished run: a folder that `load_pretrained` finds by its name.

    python -m gan_zoo.export.release --run_dir=runs/wgan_gp-mnist --output=pretrained/wgan_gp-mnist

This command writes saved_model/, samples.png (64 samples of seed 0) and run.json (the settings of the run, without
paths and the name of the machine). The card.md beside them is written by hand.
"""

import json
import shutil
from pathlib import Path

from absl import flags

from gan_zoo.releases import exports
from gan_zoo.releases.index import update_index
from gan_zoo.run_folder.ownership import check_export
from gan_zoo.run_folder.run_json import read_run
from gan_zoo.util import checks, command_line
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file, partial_of

_PRIVATE_SETTINGS = ("data_dir", "run_dir")
_PRIVATE_FLAGS = ("--data_dir", "--run_dir", "--cache_dir")


def release(run_dir: Path, output: Path) -> None:
    """Copies the files of a release from a run folder.

    Args:
        run_dir: Folder of a run that has ended and was exported.
        output: Folder of the release; created if missing. Files of an older release in it are replaced.

    Raises:
        UserError: If `run_dir` is not a run folder with a SavedModel, or `output` cannot be written.
    """
    from gan_zoo.sampling.sample import write_samples

    try:
        run = public(read_run(run_dir))
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"--run_dir={run_dir}: its run.json lacks the host or the command: restore it.") from None
    _check_free(output)
    if not (run_dir / "saved_model" / "saved_model.pb").exists():
        raise UserError(f"--run_dir={run_dir} has no saved_model: let the run end first.")
    partial = partial_of(output.absolute())
    try:
        partial.mkdir(parents=True)
        # Samples come first, because they test the model. They need `trust`, because the model is not in an index yet.
        # It is from the user's own run.
        write_samples(run_dir / "saved_model", partial / "samples.png", num=64, seed=0, trust=True)
        with exports.opened(run_dir / "saved_model") as own:
            is_own = own is not None
            shutil.copytree(own or run_dir / "saved_model", partial / "saved_model")
        output.mkdir(exist_ok=True)
        with atomic_file(output / "run.json") as file:
            file.write(json.dumps(run, indent=1).encode() + b"\n")
        (partial / "samples.png").replace(output / "samples.png")
        shutil.rmtree(output / "saved_model", ignore_errors=True)
        (partial / "saved_model").rename(output / "saved_model")
        if is_own:
            exports.remember(output / "saved_model")
    except OSError as error:
        raise UserError(f"--output={output} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_free(output: Path) -> None:
    """Checks that the files to be replaced in the release's folder are those of a release.

    Raises:
        UserError: If they are not.
    """
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output} is a file: name a folder.")
    check_export("--output", output / "saved_model")
    there = [name for name in ("saved_model", "samples.png") if (output / name).exists()]
    if (output / "run.json").exists():
        read_run(output)
    elif there:
        raise UserError(f"--output={output} holds {' and '.join(there)} but no run.json of a release: name another.")


def public(run: dict) -> dict:
    """Returns the contents of a `run.json` without paths and the name of the machine."""
    run = {**run, "host": {k: v for k, v in run["host"].items() if k != "name"}}
    run["settings"] = {k: v for k, v in run["settings"].items() if k not in _PRIVATE_SETTINGS}
    run["command"] = [word for word in run["command"] if word.split("=")[0] not in _PRIVATE_FLAGS]
    run.pop("continued", None)
    return run


def main() -> None:
    values = flags.FLAGS
    if not values.output:
        raise UserError("--output is missing: it names the folder of the release.")
    if not (values.run_dir or values.index):
        raise UserError("--run_dir is missing: name the run or, for an existing release, the --index to add it to.")
    output = checks.path("--output", values.output)
    if values.run_dir:
        release(checks.path("--run_dir", values.run_dir), output)
        print(f"wrote {output}")
    if values.index:
        entry = update_index(values.index, output)
        print(f"wrote {len(entry.files)} files of {entry.name} in {values.index}")


if __name__ == "__main__":
    flags.DEFINE_string("run_dir", None, "The run folder. Without it, --output is an existing release.")
    flags.DEFINE_string("output", None, "Folder of the release, such as pretrained/wgan_gp-mnist.")
    flags.DEFINE_string("index", None, "Index to which the release is added, such as gan_zoo/releases/index.json.")
    usage = "Makes a release of a run: python -m gan_zoo.export.release --run_dir=RUN --output=pretrained/NAME"
    command_line.main(main, usage, {"Flags": ["run_dir", "output", "index"]})
