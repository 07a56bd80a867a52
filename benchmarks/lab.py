"""Writes the results of comparisons into docs/lab.md: tables between marks, numbers as JSON, and pictures.

python benchmarks/lab.py runs/lab-ring8 runs/lab-grid25
"""

import argparse
import json
import shutil
from pathlib import Path

from gan_zoo import dynamics
from gan_zoo.compare.runner import table_rows
from gan_zoo.dynamics import report

DOCS = Path(__file__).parent.parent / "docs"
DIRAC = {"step_size": 0.2, "steps": 500}
PICTURES = ("samples.png", "curves-steps.png")


def dirac(found: list[report.Found]) -> str:
    """Returns the table of the Dirac-GAN."""
    head = ["method", "eigenvalues of v'", "|F'|, at once", "G, then D", "|w|, at once", "G, then D", "verdict"]
    return _table([head, ["---"] * len(head), *report.rows(found, **DIRAC)[1:]])


def _table(rows: list) -> str:
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)


def summary(results: dict) -> dict:
    """Returns the results of a comparison without the single runs."""
    return {name: value for name, value in results.items() if name != "runs"}


def markdown(results: dict, key: str) -> str:
    """Returns the ranking "steps" or "seconds" as a table."""
    head, *rows = table_rows(results, key)
    return _table(
        [head, ["---"] * len(head), *([rank, f"`{name}`" if rank else name, *rest] for rank, name, *rest in rows)]
    )


def blocks(results: dict) -> dict[str, str]:
    """Returns {name of the mark: text} for the marks of this comparison in docs/lab.md."""
    name = results["dataset"]["name"]
    environment, settings = results["environment"], results["settings"]
    conditions = [
        f"{settings['seeds']} seeds, {settings['steps']:,} generator updates, batches of {settings['batch_size']}",
        f"perceptrons of {settings['depth']} hidden layers of {settings['width']} units",
        f"{settings['samples']:,} samples measured",
        f"{environment['cores']} cores of {environment['cpu']}",
        f"TensorFlow {environment['tensorflow']}, Keras {environment['keras']}",
    ]
    return {
        f"{name} command": f"```sh\n{environment['command']}\n```",
        f"{name} conditions": "; ".join(conditions) + ".",
        f"{name} steps": markdown(results, "steps"),
        f"{name} seconds": f"After {settings['seconds']:.1f} seconds of training:\n\n{markdown(results, 'seconds')}",
    }


def fill(page: str, found: dict[str, str]) -> str:
    """Returns the page with each block between its marks, `<!-- name -->` and `<!-- end -->`."""
    for name, block in found.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        if not mark:
            raise SystemExit(f"docs/lab.md has no mark <!-- {name} -->")
        _, end, after = rest.partition("<!-- end -->")
        page = f"{before}{mark}{block}\n{end}{after}"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="of finished comparisons")
    folders = parser.parse_args().folders
    page = DOCS / "lab.md"
    found = [report.examine(method, start=(1.0, -1.0), **DIRAC) for method in dynamics.methods("all")]
    report.draw(found, DOCS / "lab-dirac.png")
    page.write_text(fill(page.read_text(), {"dirac": dirac(found)}))
    for folder in folders:
        results = json.loads((folder / "results.json").read_text())
        name = results["dataset"]["name"]
        (DOCS / f"lab-{name}.json").write_text(json.dumps(summary(results), indent=1) + "\n")
        for picture in PICTURES:
            shutil.copy(folder / picture, DOCS / f"lab-{name}-{picture}")
        page.write_text(fill(page.read_text(), blocks(results)))


if __name__ == "__main__":
    main()
