"""Environments: folders of any name, users without a home, outputs of any kind, systems without some modules."""

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo.callbacks import Progress, StopOnSignal
from gan_zoo.data import cache, tfds_images
from gan_zoo.export import release, saved_model
from gan_zoo.run_folder import ownership
from gan_zoo.run_folder.tensorboard import Events
from gan_zoo.sampling import pretrained
from gan_zoo.training import config, pipeline
from gan_zoo.util import checks, command_line, console, files, machine, tensorflow_paths
from gan_zoo.util.errors import UserError

from .thorough import thoroughly

ROOT = Path(__file__).resolve().parent.parent
NAMES = [
    "x [1]",
    "a*b?",
    "{1,2}",
    "$HOME %d #",
    "q'\"&;:",
    "back\\slash",
    "new\nline",
    "-dash",
    "é日本",
    "end. ",
    "\udcff",
]
FIRST = ("x [1]", "new\nline", "\udcff")
"""The names that are tried without --thorough: a pattern, a control character, and a byte that is not UTF-8."""


def _points_gan():
    return gan_zoo.models.VanillaGAN.for_points(2, width=4, latent_dim=2)


def settings(tmp_path, **more):
    values = {
        **{"model": "vanilla_gan", "dataset": "ring8", "width": 4, "batch_size": 8, "steps": 2},
        **{"health_every": 0, "log_every": 1, "run_dir": str(tmp_path / "run")},
    }
    return config.Config(**{**values, **more})


def tool(*arguments, cwd, site=None, redirect="", **environment):
    """Runs train.py in a new process. `site` is code for sitecustomize; None in `environment` unsets a variable."""
    path = [str(ROOT)]
    if site:
        (cwd / "site").mkdir(exist_ok=True)
        (cwd / "site" / "sitecustomize.py").write_text(site)
        path.insert(0, str(cwd / "site"))
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "GAN_ZOO_CACHE": str(cwd / "cache"), **environment}
    variables = {name: value for name, value in variables.items() if value is not None}
    command = [sys.executable, *arguments]
    if redirect:
        command = ["bash", "-c", f'"$@" {redirect}', "bash", *command]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, timeout=300)


TRAIN = [
    *(str(ROOT / "train.py"), "--model=vanilla_gan", "--dataset=ring8", "--width=4", "--batch_size=8", "--steps=2"),
    *("--health_every=0", "--run_dir=run"),
]


# Folders of any name.


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if name in FIRST] + thoroughly(*(name for name in NAMES if name not in FIRST)),
    ids=ascii,
)
def test_exports_load_from_folders_of_any_name(tmp_path, name):
    gan = _points_gan()
    path = saved_model.export(gan, tmp_path / name / name)
    loaded = gan_zoo.load_pretrained(tmp_path / name / name, trust=True)
    np.testing.assert_allclose(loaded.sample(3, seed=1), gan(gan.sample_latent(3, seed=1)), atol=1e-5)
    assert [p.name for p in path.parent.iterdir()] == [name]
    assert saved_model.export(gan, path) == path  # a second export replaces the first


def test_names_as_long_as_file_systems_take(tmp_path):
    path = saved_model.export(_points_gan(), tmp_path / ("x" * 255))
    assert gan_zoo.load_pretrained(path, trust=True).sample(2, seed=0).shape == (2, 2)


@pytest.mark.parametrize("name", ["x [1]*", *thoroughly("\udcff?")], ids=ascii)
def test_runs_samples_and_releases_in_folders_of_any_name(tmp_path, monkeypatch, name):
    (tmp_path / name / "tmp").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name / "tmp"))
    run_dir = tmp_path / name / "run"
    pipeline.run(settings(tmp_path, run_dir=str(run_dir)))
    pipeline.run(settings(tmp_path, run_dir=str(run_dir), steps=4))
    assert list((run_dir / "events").iterdir())
    from gan_zoo.sample import write_samples

    out = tmp_path / name / "samples.npy"
    write_samples(str(run_dir), str(out), num=3, trust=True)
    assert np.load(out).shape == (3, 2)
    made = tmp_path / name / "my-release"
    release.release(run_dir, made)
    index = tmp_path / name / "index.json"
    release.update_index(index, made)
    assert pretrained.load_pretrained("my-release", index=index).sample(2, seed=0).shape == (2, 2)
    assert not list((tmp_path / name).glob(".*"))


def test_a_link_serves_where_open_files_are_no_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_paths, "_OPEN_FOLDERS", tmp_path / "none")
    folder = tmp_path / "x [1]"
    folder.mkdir()
    with tensorflow_paths.tensorflow_path(folder) as path:
        assert "[" not in path
        (folder / "a").write_text("1")
        assert Path(path, "a").read_text() == "1"
    assert not os.path.lexists(path)
    assert folder.is_dir()


def test_plain_folders_are_taken_as_they_are(tmp_path):
    with tensorflow_paths.tensorflow_path(tmp_path) as path:
        assert path == str(tmp_path)


def test_events_of_a_folder_with_brackets(tmp_path):
    events = Events(tmp_path / "[1]")
    events.scalars(1, {"a": 1.0})
    (file,) = (tmp_path / "[1]").iterdir()
    assert file.stat().st_size > 100


# Addresses.


@pytest.mark.parametrize(
    "address", ["gs://b/x", "s3://b/x", "hdfs://h/x", "https://h/x", "hf://a/b", "GS://b", "dbfs:/x"]
)
@pytest.mark.parametrize("name", ["run_dir", "cache_dir"])
def test_addresses_are_refused_before_anything_is_written(tmp_path, monkeypatch, address, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"--{name}={address} is an address .*local path"):
        pipeline.run(settings(tmp_path, **{name: address}))
    assert not list(tmp_path.iterdir())


def test_addresses_in_python_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gan = _points_gan()
    for call in (
        lambda: saved_model.export(gan, "gs://b/x"),
        lambda: saved_model.export(gan, Path("gs://b/x")),
        lambda: gan_zoo.load_pretrained("gs://b/x", trust=True),
        lambda: cache.fetch(_no_images(), resolution=8, crop=None, cache_dir="s3://b", memory_limit=1, max_skipped=0),
    ):
        with pytest.raises(UserError, match="is an address"):
            call()
    assert not list(tmp_path.iterdir())


def test_file_addresses_are_told_as_paths():
    with pytest.raises(UserError, match=re.escape("write the plain path, --output=/a b/c.")):
        checks.path("--output", "file:///a%20b/c")


@pytest.mark.parametrize("path", [r"C:\runs\a", "C:/runs", "a:b", "x/gs:/y", "./gs:/y"])
def test_paths_that_are_no_addresses(path):
    assert checks.scheme(path) is None


def test_remote_data_folders_go_through_tfds(monkeypatch):
    asked = []
    monkeypatch.setattr(tf.io.gfile, "exists", lambda path: asked.append(path) or True)
    assert tfds_images._data_dir("mnist", "gs://b/x") == "gs://b/x"
    assert checks.data_folder("data_dir", Path("gs://b/x")) == "gs://b/x"
    assert asked == ["gs://b/x"]


def test_remote_data_folders_that_do_not_answer(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(tf.io.gfile, "exists", lambda path: never.wait(60))
    monkeypatch.setattr(tfds_images, "REACH_TIMEOUT", 0.1)
    with pytest.raises(UserError, match="data_dir=gs://b cannot be reached .no answer within"):
        tfds_images._data_dir("mnist", "gs://b")
    never.set()


def test_remote_data_folders_without_a_file_system():
    with pytest.raises(UserError, match="no file system for s3://"):
        tfds_images._data_dir("mnist", "s3://b/x")


# Folders of others.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", '{"epoch": 1, "loss": 0.1}\n'),
        ("samples/a.wav", "x"),
        ("checkpoints/model.pt", "x"),
        ("saved_model/keras_metadata.pb", "x"),
        ("events/log", "x"),
        ("curves.png", "x"),
        ("run.json", '{"id": 1}'),
        ("run.json", "[]"),
        (".lock", "pid 1"),
    ],
)
def test_nothing_of_others_is_touched(tmp_path, monkeypatch, name, content):
    folder = tmp_path / "run"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(content)
    (folder / ".download.partial").write_text("x")
    before = {str(p) for p in folder.rglob("*")}
    monkeypatch.setattr(pipeline, "Job", lambda _: pytest.fail("the folder is looked at first"))
    with pytest.raises(UserError, match=r"new or empty folder|another --run_dir"):
        pipeline.run(settings(tmp_path))
    assert (folder / name).read_text() == content
    assert {str(p) for p in folder.rglob("*")} == before


def test_files_that_no_run_writes_may_lie_in_a_run_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("notes.txt", "slurm-1.out", ".gitkeep", ".DS_Store", ".download.partial", "run.tmp", "metrics.tmp"):
        (folder / name).write_text(name)
    (folder / ".0123456789ab.partial").write_text("of a run that was killed before its first record")
    (folder / "samples").mkdir()
    (folder / ".lock").touch()
    pipeline.run(settings(tmp_path))
    pipeline.run(settings(tmp_path, steps=4))
    for name in ("notes.txt", "slurm-1.out", ".gitkeep", ".DS_Store", ".download.partial", "run.tmp", "metrics.tmp"):
        assert (folder / name).read_text() == name
    assert not (folder / ".0123456789ab.partial").exists()


def test_a_run_that_lost_its_run_json_goes_on(tmp_path):
    pipeline.run(settings(tmp_path))
    (tmp_path / "run" / "run.json").unlink()
    ownership.check_run_folder(tmp_path / "run")


def test_releases_do_not_replace_other_things(tmp_path):
    pipeline.run(settings(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    (out / "samples.png").write_text("mine")
    with pytest.raises(UserError, match=r"samples\.png but no run\.json"):
        release.release(tmp_path / "run", out)
    assert (out / "samples.png").read_text() == "mine"
    assert [p.name for p in out.iterdir()] == ["samples.png"]


# Users.


def test_without_a_home_a_cache_that_is_not_needed_does_not_matter(monkeypatch, caplog):
    _no_home(monkeypatch)
    monkeypatch.delenv("GAN_ZOO_CACHE", raising=False)
    pixels, _, _ = cache.fetch(
        _no_images(1), resolution=8, crop=None, cache_dir=None, memory_limit=10**6, max_skipped=0
    )
    assert pixels.shape == (1, 8, 8, 1)
    assert "GAN_ZOO_CACHE" in caplog.text
    with pytest.raises(UserError, match=r"home folder.*--cache_dir"):
        cache.fetch(_no_images(1), resolution=8, crop=None, cache_dir=None, memory_limit=1, max_skipped=0)
    with pytest.raises(UserError, match="GAN_ZOO_CACHE"):
        gan_zoo.load_pretrained("wgan_gp-mnist", mirror="http://localhost:1/x")
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(UserError, match="--data_dir"):
        tfds_images._data_dir("mnist", None)
    assert gan_zoo.load_pretrained("wgan_gp-mnist", mirror=ROOT / "pretrained").sample(1, seed=0).shape[0] == 1


def test_owners_without_a_name(monkeypatch, tmp_path):
    import grp
    import pwd

    def unknown(number):
        raise KeyError(number)

    from tensorflow_datasets import core

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(grp, "getgrgid", unknown)
    (tmp_path / "a").write_text("12")
    assert [(name, size) for name, size, _ in tfds_images._stamps(core.Path(tmp_path))] == [("a", 2)]
    assert pwd.getpwuid is unknown


def test_home_of_an_unknown_user():
    with pytest.raises(UserError, match="there is no home folder of that user"):
        checks.path("--output", "~nobody-of-this-name/x")


# Output.


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_output_that_lacks_letters(encoding):
    raw = io.BytesIO()
    stream = console.Tolerant(io.TextIOWrapper(raw, encoding=encoding, errors="strict"))
    print("ring 日本 \udcff", file=stream, flush=True)
    assert b"ring \\u65e5" in raw.getvalue()


class _Closed(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def test_training_goes_on_without_output(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "stdout", _Closed())
    pipeline.run(settings(tmp_path))
    assert "Standard output cannot be written (Broken pipe)" in caplog.text
    monkeypatch.setattr(sys, "stdout", None)
    pipeline.run(settings(tmp_path, steps=4))
    Progress(1, int).on_train_end()


@pytest.mark.thorough
def test_a_training_whose_output_goes_nowhere(tmp_path):
    result = tool(*TRAIN, cwd=tmp_path, redirect=">&- 2>&-")
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr
    assert b"run_dir" not in result.stderr
    assert (tmp_path / "run" / "saved_model" / "saved_model.pb").exists()


def test_help_into_a_pipe_that_closes(tmp_path):
    result = tool(
        str(ROOT / "train.py"), "--help", cwd=tmp_path, redirect="| head -c 1 >/dev/null; exit ${PIPESTATUS[0]}"
    )
    assert result.returncode in (0, 141)  # 0 if the pipe takes all output before the reader ends
    assert result.stderr == b""
    result = tool(str(ROOT / "train.py"), "--help", cwd=tmp_path, redirect=">/dev/full")
    assert (result.returncode, result.stderr.count(b"\n")) == (1, 1)


# Threads.


def test_training_in_a_thread_and_in_an_event_loop(tmp_path):
    failures = []

    def work():
        try:
            pipeline.run(settings(tmp_path))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures

    async def serve():
        pipeline.run(settings(tmp_path, run_dir=str(tmp_path / "other")))

    asyncio.run(serve())
    assert (tmp_path / "other" / "saved_model").is_dir()


def test_a_handler_that_python_does_not_know(monkeypatch):
    set_to = []
    monkeypatch.setattr(signal, "signal", lambda number, handler: set_to.append(handler))
    with StopOnSignal().listening():
        pass
    assert set_to[-2:] == [signal.SIG_DFL] * 2


# Systems.

BARE = """
import os, sys
class _Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("resource", "fcntl", "termios"):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, _Absent())
for name in ("sysconf", "posix_fallocate", "fork", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
"""


@pytest.mark.thorough
def test_a_system_without_unix_modules(tmp_path):
    for arguments in (TRAIN, [*TRAIN, "--dry_run"]):
        result = tool(*arguments, cwd=tmp_path, site=BARE)
        assert result.returncode == 0, result.stderr.decode()
    assert (tmp_path / "run" / "saved_model" / "saved_model.pb").exists()


@pytest.mark.thorough
def test_text_is_utf_8_in_every_locale(tmp_path):
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [word.replace("--run_dir=run", "--run_dir=é日本") for word in TRAIN]
    result = tool(*command, cwd=tmp_path, **variables)
    assert result.returncode == 0, result.stderr.decode()
    assert (tmp_path / "é日本" / "saved_model" / "saved_model.pb").exists()


def test_files_name_their_encoding():
    bare = re.compile(r"\.(read_text|write_text)\((?!.*utf-8)|\.open\(\"[aw]\"\)")
    for folder in ("gan_zoo", "export", "models"):
        for file in (ROOT / folder).rglob("*.py"):
            for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
                assert not bare.search(line), f"{file}:{number}"


def test_memory_without_sysconf(monkeypatch):
    known = machine.memory()
    monkeypatch.delattr(os, "sysconf")
    assert abs(machine.memory() - known) < 0.1 * known
    assert machine.peak_memory() > 2**20


def test_folders_that_cannot_be_synced(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "open", refuse)
    files.sync(tmp_path)
    with pytest.raises(PermissionError):
        files.sync(tmp_path / "a")


# Lists.


def test_lists_fit_the_terminal(monkeypatch):
    rows = [("gradient_regularized_gan", "a description of " + "many words " * 20), ("gan", "b"), ("...", "")]
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = command_line.described(rows).splitlines()
        assert max(map(len, lines)) <= width
        assert lines[0].startswith("  gradient_regularized_gan  a description")
    monkeypatch.setenv("COLUMNS", "10")
    assert "gradient_regularized_gan  a" in command_line.described(rows)


def _no_home(monkeypatch):
    import pwd

    def unknown(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def _no_images(count=0):
    from gan_zoo.data.decoding import ImageSet, Record

    return ImageSet(
        name="x",
        key={"a": count},
        count=count,
        records=lambda: (Record("a", np.zeros((8, 8), np.uint8)) for _ in range(count)),
        channels=lambda: 1,
    )
