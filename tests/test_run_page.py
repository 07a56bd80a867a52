"""The page of a run: what it shows, that it loads nothing, and that its commands are valid."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_zoo.run_folder import page
from gan_zoo.util import pictures

HOME = Path(__file__).parent.parent
SETTINGS = {
    **dict(model="lsgan", dataset="fashion10k", data_dir=None, steps=40, batch_size=8, network="dcgan", width=4),
    "data": {"kind": "image", "shape": [8, 8, 1], "size": 100, "split": "train", "crop": 8, "classes": ["a<b", "two"]},
    "arguments": {"classes": 2, "b": 1.0},
    "d_optimizer": {"class": "Adam", "learning_rate": 0.00019999999494757503, "clipnorm": None, "amsgrad": False},
}


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "my run"
    for step in range(0, 41, 5):
        grid = pictures.grid(np.full([4, 8, 8, 1], 6 * step, np.uint8), columns=2)
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        pictures.save_png(grid, folder / "samples" / f"step-{step:08d}.png")
    (folder / "run.json").write_text(
        json.dumps({"settings": SETTINGS, "command": ["train.py", "--model=lsgan", "--set", "a=b c"]})
    )
    return folder


def test_the_page_shows_samples_classes_curves_and_settings(run_dir):
    pictures.save_png(np.zeros([4, 4, 3], np.uint8), run_dir / "curves.png")
    text = page.write(run_dir).read_text("utf-8")
    assert re.findall(r"<figcaption>\D*(\d+)</figcaption>", text) == ["40", "0", "10", "20", "25", "35"]
    assert re.findall(r"<li>(.*)</li>", text) == ["a&lt;b", "two"]
    assert text.count("data:image/png;base64,") == 7  # the last grid, five earlier ones, the curves
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "<td>class Adam, learning_rate 0.0002, clipnorm none, amsgrad no</td>" in text
    assert "<td>a&lt;b, two</td>" in text
    assert "<td>fashion10k</td>" in text and "train.py --model=lsgan --set &#39;a=b c&#39;</pre>" in text
    assert all(
        tag in text for tag in ('lang="en"', "<main>", 'alt="Samples after step 40, a class a row: a&lt;b, two"')
    )


def test_a_run_without_pictures_or_labels_has_a_page(run_dir):
    settings = {**SETTINGS, "arguments": {}, "data": {"kind": "points", "shape": [2], "size": None}}
    (run_dir / "run.json").write_text(json.dumps({"settings": settings}))
    for picture in (run_dir / "samples").iterdir():
        picture.unlink()
    text = page.write(run_dir).read_text("utf-8")
    assert "<img" not in text and "<li>" not in text and "Train longer" not in text


def test_commands_are_valid(run_dir, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = {**SETTINGS, "data_dir": "/some data", "data": {**SETTINGS["data"], "split": "train[:50]"}}
    commands = page.next_commands(settings, Path("my run"))
    assert len(commands) == 3
    for command in commands.values():
        program, _, module, *given = shlex.split(command)
        file = {"gan_zoo.sample": "sampling/sample.py", "gan_zoo.evaluate": "evaluate/__main__.py"}[module]
        known = re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (HOME / "gan_zoo" / file).read_text("utf-8"))
        values = dict(word.removeprefix("--").split("=", 1) for word in given)
        assert program == "python" and set(values) <= set(known) and values["model"] == "my run"
    assert (values["data_dir"], values["split"], values["dataset"]) == ("/some data", "train[:50]", "fashion10k")
    monkeypatch.chdir(Path(sys.executable).parent.parent)
    assert page.next_commands(SETTINGS, Path("r"))["Draw more samples"].startswith(f"bin/{Path(sys.executable).name} ")
