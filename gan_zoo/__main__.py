"""The command `gan-zoo`, also `python -m gan_zoo`: `gan-zoo train --model=wgan_gp --dataset=mnist`."""

import runpy
import sys

from gan_zoo.util import command_line, console, specs

TOOLS = {
    "train": ("gan_zoo.training", "Trains a GAN."),
    "sample": ("gan_zoo.sample", "Draws samples of a trained generator, or reconstructs images."),
    "evaluate": ("gan_zoo.evaluate", "Measures the quality of images against real ones."),
    "compare": ("gan_zoo.compare", "Trains several methods with several seeds, and writes a report."),
    "refine": ("gan_zoo.refine", "Refines a generator with its discriminator."),
    "dynamics": ("gan_zoo.dynamics", "Examines the local convergence of a method on small games."),
    "export": ("gan_zoo.export.saved_model", "Exports the generator of a run folder as a SavedModel."),
    "release": ("gan_zoo.export.release", "Packs a run folder as a release."),
}
"""The tools by name: the module that `python -m` runs, and what it does."""

_HELP = ("--help", "-h", "-help", "help")


def usage() -> str:
    """Returns the text of `gan-zoo --help`."""
    rows = [(name, text) for name, (_, text) in TOOLS.items()]
    return f"gan-zoo TOOL --flag=value ...\n\n{command_line.described(rows)}\n\ngan-zoo TOOL --help lists its flags."


def main() -> None:
    """Runs the tool that the first argument names; does not return."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in _HELP:
        sys.exit(console.finish(usage()))
    if name not in TOOLS:
        command_line.fail(f"{name!r} is not a tool.{specs.suggest(name, [*TOOLS])} There are {', '.join(TOOLS)}.")
    sys.argv[1:] = arguments
    runpy.run_module(TOOLS[name][0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
