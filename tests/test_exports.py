"""Trust in exports: the user's own load without trust; changed, copied and foreign ones do not."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import gan_zoo
from gan_zoo import sample
from gan_zoo.export import release, saved_model
from gan_zoo.models import VanillaGAN
from gan_zoo.releases import exports
from gan_zoo.sampling import pretrained
from gan_zoo.util.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("GAN_ZOO_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def gan():
    return VanillaGAN.for_points(width=4, depth=1)


@pytest.fixture
def exported(gan, cache, tmp_path):
    return saved_model.export(gan, tmp_path / "run" / "saved_model")


def write(folder, content=b"graph"):
    """Returns a folder that looks like a SavedModel, which is sufficient for the list."""
    (folder / "variables").mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(content)
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


@pytest.fixture
def own(tmp_path):
    folder = write(tmp_path / "own" / "saved_model")
    exports.remember(folder)
    return folder


def is_known(folder):
    with exports.opened(Path(folder)) as copy:
        if copy is None:
            return False
        assert (copy / "saved_model.pb").read_bytes() == (Path(folder) / "saved_model.pb").read_bytes()
        assert (copy / "variables" / "variables.index").is_file()
        return True


def test_an_own_export_loads_like_a_release(gan, exported, monkeypatch):
    monkeypatch.chdir(exported.parent.parent)
    for path in (exported, exported.parent, "run", Path("run") / "saved_model"):
        loaded = gan_zoo.load_pretrained(path)
        np.testing.assert_allclose(loaded.sample(3, seed=0), gan(gan.sample_latent(3, 0)), atol=1e-6)
    assert loaded.path.resolve() == exported
    sample.write_samples("run", "samples.png", num=2)
    (exported.parent / "link").symlink_to(exported)
    assert gan_zoo.load_pretrained(exported.parent / "link").metadata["model"] == "vanilla_gan"


def test_another_process_of_the_same_user(exported):
    code = f"import gan_zoo; print(gan_zoo.load_pretrained({str(exported)!r}).sample(2, seed=0).shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout == "(2, 2)\n", done.stderr


def test_a_changed_export_needs_trust(exported, monkeypatch):
    monkeypatch.setattr(pretrained, "_read", None)
    file = exported / "variables" / "variables.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="has changed since you exported it, and the graph of a SavedModel is code"):
        gan_zoo.load_pretrained(exported)


def test_what_is_loaded_is_what_was_verified(exported, monkeypatch):
    read = pretrained._read

    def late(folder, path):
        (exported / "saved_model.pb").write_bytes(b"something else")
        return read(folder, path)

    monkeypatch.setattr(pretrained, "_read", late)
    assert gan_zoo.load_pretrained(exported).sample(2, seed=0).shape == (2, 2)


def test_files_besides_are_not_given_to_tensorflow(own):
    (own / "saved_model.pbtxt").write_text("more")
    with exports.opened(own) as copy:
        assert sorted(path.name for path in copy.rglob("*") if path.is_file()) == ["saved_model.pb", "variables.index"]
    assert not copy.exists()


def test_a_missing_file_needs_trust(own):
    (own / "variables" / "variables.index").unlink()
    assert not is_known(own)
    assert exports.was_own(own)


def test_a_folder_that_was_moved_is_known(own, tmp_path):
    own.parent.rename(tmp_path / "renamed")
    assert is_known(tmp_path / "renamed" / "saved_model")
    assert not is_known(own)


def test_a_copy_needs_trust(own, tmp_path):
    shutil.copytree(own, tmp_path / "copy")
    assert not is_known(tmp_path / "copy")
    assert is_known(own)


def test_another_export_to_the_same_place(own, cache):
    before = json.loads((cache / "exports.json").read_text())
    write(own, b"a newer graph")
    assert not is_known(own)
    exports.remember(own)
    assert is_known(own)
    write(own)  # restores the older export, as after a kill
    assert is_known(own)
    exports.remember(own)
    after = json.loads((cache / "exports.json").read_text())
    assert len(after["exports"]) == 2
    assert after["exports"][-1] == before["exports"][0]


def test_the_list_is_private_and_bounded(own, cache, tmp_path, monkeypatch):
    record = cache / "exports.json"
    assert record.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(exports, "_MOST", 3)
    others = [write(tmp_path / f"{k}", bytes([k])) for k in range(4)]
    exports.remember(others[0])
    shutil.rmtree(others[0])
    for folder in others[1:3]:
        exports.remember(folder)
    assert [is_known(folder) for folder in (own, *others[1:3])] == [True] * 3  # the missing one has left the list
    exports.remember(others[3])
    assert [is_known(folder) for folder in (own, *others[1:])] == [False, True, True, True]
    assert not list(cache.glob(".*.partial"))


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_list_that_others_can_write_does_not_count(own, cache, caplog, mode):
    (cache / "exports.json").chmod(mode)
    assert not is_known(own)
    assert "other users can write it" in caplog.text
    exports.remember(own)
    assert is_known(own)
    assert (cache / "exports.json").stat().st_mode & 0o777 == 0o600


def test_a_list_of_another_user_does_not_count(own, monkeypatch):
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert not is_known(own)


def test_a_list_behind_a_link_does_not_count(own, cache):
    (cache / "exports.json").rename(cache / "elsewhere.json")
    (cache / "exports.json").symlink_to(cache / "elsewhere.json")
    assert not is_known(own)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '{"version": 2, "exports": []}', '{"version": 1}', '{"version": 1, "exports": [1]}'),
        '{"version": 1, "exports": [{"path": "/a", "files": {"saved_model.pb": 1}}]}',
        '{"version": 1, "exports": [{"files": {"saved_model.pb": {}, "../x": {"size": 1, "sha256": ""}}}]}',
        "[" * 100_000,
    ],
)
def test_a_list_of_any_content(own, cache, text):
    (cache / "exports.json").write_text(text)
    assert not is_known(own)
    exports.remember(own)
    assert is_known(own)


def test_what_others_could_have_written_is_not_remembered(tmp_path, caplog):
    folder = write(tmp_path / "folder")
    (folder / "variables" / "variables.index").unlink()
    (folder / "variables" / "variables.index").symlink_to("/etc/hostname")
    exports.remember(folder)
    assert not is_known(folder)
    assert "cannot be recorded as your export" in caplog.text


@pytest.mark.parametrize("broken", ["a file", "no home"])
def test_the_export_goes_on_without_a_cache(gan, tmp_path, caplog, monkeypatch, broken):
    if broken == "a file":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "file" / "cache"))
    else:
        monkeypatch.setattr(exports, "default_cache", lambda: Path("~nobody-of-that-name").expanduser())
    caplog.set_level(logging.WARNING, "gan_zoo")
    folder = saved_model.export(gan, tmp_path / "exported")
    assert "loading it will need trust=True" in caplog.text
    with pytest.raises(UserError, match="with trust=True"):
        gan_zoo.load_pretrained(folder)
    assert gan_zoo.load_pretrained(folder, trust=True).sample(1, seed=0).shape == (1, 2)


def test_a_failed_export_leaves_the_older_one_known(gan, exported, monkeypatch):
    monkeypatch.setattr(saved_model, "_put", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        saved_model.export(VanillaGAN.for_points(width=3, depth=1), exported)
    assert gan_zoo.load_pretrained(exported).sample(1, seed=0).shape == (1, 2)


def test_exports_at_the_same_time(tmp_path):
    folders = [write(tmp_path / f"{k}", bytes([k])) for k in range(8)]
    threads = [threading.Thread(target=exports.remember, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(is_known, folders))


@pytest.mark.parametrize("remembered", [True, False])
def test_a_release_of_an_own_run(exported, cache, tmp_path, remembered):
    run = {"settings": {}, "command": ["train.py"], "host": {"name": "mine"}, "versions": {}}
    (exported.parent / "run.json").write_text(json.dumps(run))
    if not remembered:
        (cache / "exports.json").unlink()
    release.release(exported.parent, tmp_path / "made")
    assert is_known(tmp_path / "made" / "saved_model") == remembered
