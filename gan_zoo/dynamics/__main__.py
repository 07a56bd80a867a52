"""The Dirac-GAN of every method in one figure: `python -m gan_zoo.dynamics --models=all --output=dirac.png`."""

import math

from absl import flags

from gan_zoo.util import checks, command_line
from gan_zoo.util.errors import UserError

USAGE = """
Draws training methods on the Dirac-GAN, and prints eigenvalues and verdicts: python -m gan_zoo.dynamics --models=all

All data are 0, G(z) = theta, D(x) = psi x; the equilibrium is (0, 0). Each panel shows the field that moves the players
and the paths of gradient descent; its title has the eigenvalues of the field's derivative at the equilibrium.
"""

GROUPS = {
    "What": ["models"],
    "Gradient descent": ["steps", "step_size", "d_steps", "start"],
    "Result": ["output", "animate", "limit"],
}

_MOST_STEPS = 10**6
"""Largest number of steps, because all points of a path are kept in memory."""


def define_flags() -> None:
    flags.DEFINE_string("models", "all", "Methods: all, or variants with arguments, 'wgan_gp,r1_gan(gamma=0.5)'.")
    flags.DEFINE_integer("steps", 500, "Number of steps of gradient descent.")
    flags.DEFINE_float("step_size", 0.2, "Step size h of gradient descent.")
    flags.DEFINE_integer("d_steps", 1, "Steps of D for each step of G, if they alternate.")
    flags.DEFINE_string("start", "1,-1", "Starting point of the paths: theta,psi.")
    flags.DEFINE_string("output", "dirac.png", "The figure, a .png file.")
    flags.DEFINE_bool("animate", False, "Also write a .gif file of the same name, in which the paths grow.")
    flags.DEFINE_float("limit", 3.0, "The figure shows theta and psi from -limit to limit.")


def main() -> None:
    values = flags.FLAGS
    output = checks.path("--output", values.output)
    if output.suffix.lower() != ".png":
        raise UserError(f"--output={values.output} must end in .png.")
    if output.is_dir():
        raise UserError(f"--output={values.output} is a folder: name a file.")
    for name in ("step_size", "limit"):
        if not 0 < values[name].value < math.inf:
            raise UserError(f"--{name} must be positive, not {values[name].value}.")
    for name in ("steps", "d_steps"):
        if values[name].value < 1:
            raise UserError(f"--{name} must be 1 or more, not {values[name].value}.")
        if values[name].value > _MOST_STEPS:
            raise UserError(f"--{name} must be at most {_MOST_STEPS}, not {values[name].value}.")
    start = _point(values.start)

    from gan_zoo import dynamics
    from gan_zoo.dynamics import report

    settings = {"step_size": values.step_size, "steps": values.steps}
    found = [
        report.examine(method, start=start, d_steps=values.d_steps, limit=values.limit, **settings)
        for method in dynamics.methods(values.models)
    ]
    print(report.table(found, **settings))
    try:
        report.draw(found, output, values.limit)
        print(f"figure     {output}")
        if values.animate:
            report.animate(found, output.with_suffix(".gif"), limit=values.limit)
            print(f"animation  {output.with_suffix('.gif')}")
    except OSError as error:
        raise UserError(f"--output={values.output} cannot be written: {error.strerror or error}.") from None


def _point(text: str) -> tuple[float, float]:
    try:
        theta, psi = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--start={text} must be two numbers, theta,psi, such as 1,-1.") from None
    if not (math.isfinite(theta) and math.isfinite(psi)):
        raise UserError(f"--start={text} must be two finite numbers.")
    return theta, psi


if __name__ == "__main__":
    define_flags()
    command_line.main(main, USAGE, GROUPS)
