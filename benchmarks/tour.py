"""Runs the commands of docs/tour.md, and writes the page with their results and pictures.

    python benchmarks/tour.py                       # runs what docs/tour.json does not have, about half an hour
    python benchmarks/tour.py --stops=unrolled,wgan # only these stops, again
    python benchmarks/tour.py --page                # only writes docs/tour.md again

Commands run in the folder of the clone, and write to runs/tour, which is removed after each stop. `tour_stops.py` has
the texts.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from absl import flags
from tour_stops import INTRODUCTION, STOPS, Stop

from gan_zoo.util import command_line, versions
from gan_zoo.util.errors import UserError
from gan_zoo.util.files import atomic_file

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
GROUPS = {"What": ["stops", "page"]}


def define_flags() -> None:
    """Defines the flags; not at import, because other tools have flags of the same names."""
    flags.DEFINE_list("stops", [], "Stops whose commands run again; by default those without results.")
    flags.DEFINE_bool("page", False, "Only write the page.")


def run(command: str) -> dict:
    """Runs a command as a shell would, and returns its exit status, its time and the last line that it prints."""
    words = shlex.split(command)
    assert words[0] == "python"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"{command} failed: {done.stderr[-2000:]}")
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if line.startswith("step ")), lines[-1] if lines else "")
    found = {
        "exit": done.returncode,
        "seconds": round(time.perf_counter() - start),
        "result": last.split("  0s left")[0],
    }
    return {**found, "cpu": versions.cpu_model()}


def visit(stop: Stop, results: dict[str, dict]) -> None:
    """Runs the commands of a stop, and keeps their results and its picture."""
    for command in stop.commands:
        results[command] = run(command)
        print(f"{results[command]['seconds']:4d} s  {command}", flush=True)
    if stop.picture:
        found = sorted(ROOT.glob(stop.picture))
        if not found:
            raise UserError(f"{stop.name}: its commands wrote no {stop.picture}.")
        (DOCS / "tour").mkdir(exist_ok=True)
        shutil.copyfile(found[-1], DOCS / "tour" / f"{stop.name}.png")
    shutil.rmtree(ROOT / "runs" / "tour", ignore_errors=True)


def read_results() -> dict[str, dict]:
    """Returns the results of all commands that were run."""
    path = DOCS / "tour.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def write_results(results: dict[str, dict]) -> None:
    """Writes the results of the stops that are still in the tour and whose commands were all run."""
    complete = [stop for stop in STOPS if all(command in results for command in stop.commands)]
    kept = {command: results[command] for stop in complete for command in stop.commands}
    with atomic_file(DOCS / "tour.json") as file:
        file.write((json.dumps(kept, indent=1, ensure_ascii=False) + "\n").encode())


def page(results: dict[str, dict]) -> str:
    """Returns the text of docs/tour.md: the stops whose commands were run."""
    parts = [INTRODUCTION]
    shown = [stop for stop in STOPS if all(command in results for command in stop.commands)]
    for number, stop in enumerate(shown, 1):
        lines = [f"## {number}. {stop.title}\n", f"*Problem.* {stop.problem}\n", f"*Remedy.* {stop.remedy}\n"]
        lines += ["```sh", *stop.commands, "```\n"]
        done = [results[command] for command in stop.commands]
        seconds = sum(result["seconds"] for result in done)
        lines.append(f"{seconds} seconds on two cores of {done[-1]['cpu']}. Last line: `{done[-1]['result']}`\n")
        if stop.picture:
            lines.append(f"![{stop.title}](tour/{stop.name}.png)\n")
        if stop.see:
            lines.append(f"{stop.see}\n")
        parts.append("\n".join(lines))
    return "\n".join(parts)


def write_page(results: dict[str, dict]) -> None:
    with atomic_file(DOCS / "tour.md") as file:
        file.write(page(results).encode())


def main() -> None:
    values = flags.FLAGS
    known = {stop.name: stop for stop in STOPS}
    unknown = next((name for name in values.stops if name not in known), None)
    if unknown:
        raise UserError(f"--stops: there is no stop {unknown!r}; the stops are {', '.join(known)}.")
    results = read_results()
    for stop in STOPS:
        missing = any(command not in results for command in stop.commands)
        if not values.page and (stop.name in values.stops or (missing and not values.stops)):
            visit(stop, results)
            write_results(results)
            write_page(results)
    write_page(results)


if __name__ == "__main__":
    define_flags()
    command_line.main(main, __doc__, GROUPS)
