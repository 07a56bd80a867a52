"""The three ways to use the library: an installed wheel, a clone without installation, and README's own commands."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["gan_zoo", "models", "export", "setup.py", "pyproject.toml", "README.md", "LICENSE", "train.py"]
USE = """
import gan_zoo
from gan_zoo.models import WGANGP, VARIANTS
from gan_zoo.export import saved_model
gan = WGANGP.for_points(width=4)
gan.compile()
gan.fit(gan_zoo.data.load("ring8", batch_size=8, n_critic=5), steps_per_epoch=1, shuffle=False, verbose=0)
saved_model.export(gan, "exported")
assert gan_zoo.load_pretrained("exported", trust=True).sample(3, seed=1).shape == (3, 2)
assert gan_zoo.load_pretrained("wgan_gp-mnist").sample(2, seed=1).shape == (2, 28, 28, 1)
print(gan_zoo.__file__, WGANGP.__module__, len(VARIANTS))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the source tree without built or installed files."""
    folder = tmp_path_factory.mktemp("clone")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def run(command, cwd, **env):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_CURRENT_TEST")}
    result = subprocess.run(command, cwd=cwd, env={**environment, **env}, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def bare_python(folder):
    """Creates an interpreter with this environment's packages, but without this clone."""
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    packages = {str(Path(p)) for p in sys.path if p.endswith("site-packages")}
    # Files of editable installs are read only in a site folder itself, not in folders that a .pth file adds.
    (site / "dependencies.pth").write_text("\n".join(sorted(packages)) + "\n")
    return folder / "bin" / "python"


def test_the_wheel_works_from_another_folder(clone, tmp_path):
    wheels = tmp_path / "wheels"
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, "."], clone)
    (wheel,) = wheels.glob("gan_zoo-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"gan_zoo/models/wgan_gp.py", "gan_zoo/export/saved_model.py", "gan_zoo/data/table.py"} <= set(names)
    page = {f"gan_zoo/compare/{name}" for name in ("report.html.jinja", "macros.html.jinja", "report.css", "report.js")}
    assert page | {"gan_zoo/releases/index.json"} <= set(names)
    top_level = {name.split("/")[0] for name in names}
    assert {n for n in top_level if not n.endswith(".dist-info")} == {"gan_zoo"}
    python = bare_python(tmp_path / "env")
    run([sys.executable, "-m", "pip", f"--python={python}", "install", "--quiet", "--no-deps", wheel], tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output = run([python, "-c", USE], elsewhere, GAN_ZOO_MIRROR=str(ROOT / "pretrained")).split()
    assert str(tmp_path / "env") in output[0]
    assert output[1] == "gan_zoo.models.wgan_gp"
    arguments = ["--model=wgan_gp", "--dataset=ring8", "--width=4", "--batch_size=8", "--steps=2", "--run_dir=run"]
    assert "step 2/2" in run([python.with_name("gan-zoo"), "train", *arguments], elsewhere)
    recorded = json.loads((elsewhere / "run" / "run.json").read_text())["command"]
    assert recorded == ["-m", "gan_zoo.training", *arguments]


def test_readmes_own_gan_trains_in_a_bare_clone_with_only_the_dependencies(clone, tmp_path):
    code = re.search(r"```python\n# my_gan.py\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "my_gan.py").write_text(code)
    arguments = ["--model=my_gan:MyGAN", "--dataset=digits", "--norm=none", "--width=4", "--batch_size=8", "--steps=2"]
    python = bare_python(tmp_path / "env")
    output = run([python, clone / "train.py", *arguments], tmp_path, GAN_ZOO_CACHE=str(tmp_path / "cache"))
    assert "MyGAN" in output
    assert (tmp_path / "runs" / "my_gan.MyGAN-digits" / "saved_model" / "saved_model.pb").exists()


def test_readme_lists_every_variant():
    from gan_zoo.models import VARIANTS

    table = (ROOT / "README.md").read_text()
    for name, class_name in VARIANTS.items():
        assert f"| [`{name}`](models/{name}.py) | `{class_name}` |" in table
