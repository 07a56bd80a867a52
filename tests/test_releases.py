"""Released files: the index, mirrors with faults, concurrent processes, and hostile archives."""

import ast
import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gan_zoo
from gan_zoo import releases
from gan_zoo.releases import archives, downloads, files
from gan_zoo.releases import index as index_module
from gan_zoo.releases.files import File, describe
from gan_zoo.releases.index import read_index, update_index
from gan_zoo.util.errors import UserError

from .waiting import HANGING, wait_until

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = bytes(range(256)) * 1200
CONTENTS = {"saved_model/saved_model.pb": b"graph", "saved_model/variables/weights": WEIGHTS, "card.md": b""}


def file(content):
    return File(len(content), hashlib.sha256(content).hexdigest())


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def mirror(tmp_path):
    """A folder with one release, "faces"."""
    for name, content in CONTENTS.items():
        write(tmp_path / "mirror" / "faces" / name, content)
    return tmp_path / "mirror"


@pytest.fixture
def index(mirror, tmp_path):
    update_index(tmp_path / "index.json", mirror / "faces")
    return tmp_path / "index.json"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(downloads, "_BACKOFF", 0.001)
    monkeypatch.setattr(downloads, "_READ_TIMEOUT", 0.3)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("GAN_ZOO_MIRROR", raising=False)


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder on loopback. `faults` apply to the next requests in order; the last one to all later ones."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.faults, self.requests = folder, [], []
        self.encodings = set()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.closing = threading.Event()

    def next_fault(self):
        if not self.faults:
            return {}
        return self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]

    def handle_error(self, *_):
        """Ignores clients that disconnect, which the tests do on purpose."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        wanted = self.headers["Range"]
        self.server.requests.append((self.path, wanted))
        self.server.encodings.add(self.headers["Accept-Encoding"])
        fault = self.server.next_fault()
        self.server.closing.wait(fault.get("wait", 0))
        if "redirect" in fault:
            return self.answer(302, b"", {"Location": fault["redirect"]}, fault)
        if "status" in fault:
            return self.answer(fault["status"], b"no")
        content = (self.server.folder / self.path.lstrip("/")).read_bytes()
        if "corrupt" in fault:
            content = content[:100] + bytes([content[100] ^ 1]) + content[101:]
        if "extra" in fault:
            content += fault["extra"]
        start = 0
        if wanted and "ignore_range" not in fault:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        start += fault.get("shift", 0)
        status = 206 if wanted and "ignore_range" not in fault else 200
        headers = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if status == 206 else {}
        return self.answer(status, content[start:], headers, fault)

    def answer(self, status, body, headers=None, fault=None):
        fault = fault or {}
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "no_length" not in fault:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: fault.get("stop", len(body))])
        self.wfile.flush()
        while "endless" in fault:
            self.wfile.write(bytes(2**16))
        if "stall" in fault:
            self.server.closing.wait(fault["stall"])
        for _ in range(fault.get("drip", 0)):
            self.wfile.write(b"x")
            self.wfile.flush()
            if self.server.closing.wait(0.05):
                break
        if "reset" in fault:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.connection.close()

    def log_message(self, *_):
        """Prints nothing."""


@pytest.fixture
def server(mirror):
    with serving(mirror) as server:
        yield server


@contextlib.contextmanager
def serving(folder):
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server, index, cache):
    """Opens the weights of the release from the server and returns their bytes."""

    def get(part="saved_model/variables/", url=None):
        with releases.opened("faces", part, mirror=url or server.url, cache_dir=cache, index=index) as (folder, _):
            return (folder / "saved_model/variables/weights").read_bytes()

    return get


def partial_file(cache, index):
    return cache / read_index(index)["faces"].key / "saved_model/variables/.weights.part"


class TestIndex:
    def test_the_packages_own_names_the_clones_files_and_no_others(self):
        """If this fails after a change: python -m gan_zoo.export.release --output=pretrained/NAME --index=..."""
        folders = {folder.name: index_module.contents(folder) for folder in (ROOT / "pretrained").iterdir()}
        assert {name: dict(release.files) for name, release in read_index().items()} == folders
        assert all("saved_model/saved_model.pb" in found or "classifier.keras" in found for found in folders.values())

    def test_update_keeps_the_others_and_gives_sizes_and_hashes(self, index, mirror, tmp_path):
        write(tmp_path / "more" / "x.bin", b"abc")
        release = update_index(index, tmp_path / "more")
        assert release.files == {"x.bin": file(b"abc")}
        found = read_index(index)
        assert list(found) == ["faces", "more"]
        assert found["faces"].files == {name: file(content) for name, content in CONTENTS.items()}
        write(mirror / "faces" / "card.md", b"new")
        before = found["faces"].key
        assert update_index(index, mirror / "faces").files["card.md"] == file(b"new")
        assert read_index(index)["faces"].key != before

    def test_update_refuses_names_that_it_could_not_read_again(self, index, tmp_path):
        write(tmp_path / "more" / ".hidden", b"")
        before = index.read_text()
        with pytest.raises(UserError, match="more cannot be released: more: '.hidden' is not a path for a file"):
            update_index(index, tmp_path / "more")
        with pytest.raises(UserError, match="absent is not a folder"):
            update_index(index, tmp_path / "absent")
        assert index.read_text() == before

    @pytest.mark.parametrize(
        ("change", "sentence"),
        [
            (lambda c: c.update(version=2), "is not of version 1"),
            (lambda c: c.pop("models"), "lacks 'models'"),
            (lambda c: c.update(url="x"), "has 'url', which is not a known name"),
            (lambda c: c.update(models=[]), "'models' is not an object"),
            (lambda c: c["models"].update({"..": {}}), "'..' is not a name for a model"),
            (lambda c: c["models"].update({"a/b": {}}), "'a/b' is not a name for a model"),
            (lambda c: c["models"].update(x=1), "x is not an object"),
            (lambda c: c["models"].update(x={"files": {}}), "x: 'files' is not an object with files"),
            (lambda c: c["models"]["faces"].update(archve=1), "faces has 'archve'"),
            (lambda c: c["models"]["faces"]["files"].update({"../x": {}}), "faces: '../x' is not a path for a file"),
            (lambda c: c["models"]["faces"]["files"].update({"CARD.md": {}}), "two files differ in capitals only"),
            (lambda c: c["models"]["faces"]["files"].update({"card.md/x": {}}), "'card.md' is a file and a folder"),
            (lambda c: c["models"]["faces"]["files"]["card.md"].update(size=-1), "faces: card.md has no size in bytes"),
            (lambda c: c["models"]["faces"]["files"]["card.md"].update(size=True), "faces: card.md has no size"),
            (lambda c: c["models"]["faces"]["files"]["card.md"].update(sha256="A" * 64), "has no SHA-256 of 64 digits"),
            (lambda c: c["models"]["faces"]["files"]["card.md"].pop("sha256"), "faces: card.md lacks 'sha256'"),
            (lambda c: c["models"]["faces"].update(archive={"name": "a.zip"}), "'archive' lacks 's"),
            (
                lambda c: c["models"]["faces"].update(archive={"name": "../a.zip", "size": 1, "sha256": "0" * 64}),
                "'archive' has no valid file name",
            ),
            (
                lambda c: c["models"]["faces"].update(archive={"name": "a.rar", "size": 1, "sha256": "0" * 64}),
                "'archive' must end in .tar.gz, .tgz, .zip",
            ),
        ],
    )
    def test_malformed(self, index, change, sentence):
        content = json.loads(index.read_text())
        change(content)
        index.write_text(json.dumps(content))
        with pytest.raises(UserError) as error:
            read_index(index)
        assert str(error.value).startswith(f"index: {index} ")
        assert sentence in str(error.value)

    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"])
    def test_no_json(self, index, text):
        index.write_bytes(text.encode("latin-1"))
        with pytest.raises(UserError, match=f"^index: {index} is not JSON"):
            read_index(index)
        index.write_text("[]")
        with pytest.raises(UserError, match="is not an object"):
            read_index(index)

    @given(st.one_of(st.text(), st.lists(st.sampled_from(["..", ".", "", "a", "/", "\\", "C:", "\0"])).map("/".join)))
    def test_no_path_leads_out_of_its_folder(self, path):
        entry = {"files": {path: dataclasses.asdict(file(b""))}}
        try:
            (found,) = index_module._release("m", entry).files
        except index_module._MalformedError:
            return
        assert found == os.path.normpath(found)
        assert Path("/folder/model", found).resolve().is_relative_to("/folder/model")
        assert not set(found) & set("\\:\0\n ")


class TestLocalFolder:
    def test_the_wanted_files_are_copied_and_go_away(self, mirror, index):
        with releases.opened("faces", "saved_model/", mirror=mirror, index=index) as (folder, origin):
            assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
                "saved_model/saved_model.pb",
                "saved_model/variables/weights",
            }
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert (folder / "saved_model/variables/weights").read_bytes() == WEIGHTS
        assert origin == mirror / "faces"
        assert not folder.exists()
        with releases.opened("faces", mirror=mirror, index=index) as (folder, _):
            assert (folder / "card.md").read_bytes() == b""

    def test_an_index_of_ones_own_lies_beside_its_files(self, mirror, index, monkeypatch):
        monkeypatch.setenv("GAN_ZOO_MIRROR", "http://127.0.0.1:1")
        index = index.rename(mirror / "index.json")
        with releases.opened("faces", "card", index=index) as (_, origin):
            assert origin == mirror / "faces"

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (WEIGHTS[:-1] + b"x", "has another SHA-256 than the index gives"),
            (WEIGHTS + b"x", f"is larger than the {len(WEIGHTS)} bytes that the index gives"),
            (WEIGHTS[:7], f"has 7 bytes, but the index gives {len(WEIGHTS)}"),
        ],
    )
    def test_other_content(self, mirror, index, content, sentence):
        path = write(mirror / "faces/saved_model/variables/weights", content)
        with (
            pytest.raises(UserError, match=f"^{path} {sentence}: it is damaged"),
            releases.opened("faces", mirror=mirror, index=index),
        ):
            pass
        with releases.opened("faces", "card", mirror=mirror, index=index):
            pass  # card.md is unchanged

    def test_missing(self, mirror, index):
        (mirror / "faces/card.md").unlink()
        os.mkfifo(mirror / "faces/card.md")  # opening it would block
        with pytest.raises(UserError, match="^faces: there is no file .*card.md"):
            releases.opened("faces", mirror=mirror, index=index).__enter__()
        with pytest.raises(UserError, match="^faces has no file 'nothing' in the index"):
            releases.opened("faces", "nothing", mirror=mirror, index=index).__enter__()
        with pytest.raises(UserError, match="^'none' is not a released model"):
            releases.opened("none", mirror=mirror, index=index).__enter__()

    def test_no_room(self, mirror, index, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files, "copy", full)
        with pytest.raises(UserError, match=r"^faces cannot be copied from .* \(No space left on device\).*TMPDIR"):
            releases.opened("faces", mirror=mirror, index=index).__enter__()

    def test_no_place_for_temporary_files(self, mirror, index, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(mirror / "absent"))
        with pytest.raises(UserError, match=r"^a temporary folder cannot be created \(No such file.*TMPDIR"):
            releases.opened("faces", mirror=mirror, index=index).__enter__()

    @pytest.mark.parametrize(
        ("place", "sentence"),
        [
            ("/no/such", "mirror=/no/such is neither a folder"),
            ("file:///tmp", "mirror=file:///tmp must be an http or https address without"),
            ("ftp://host/x", "must be an http or https address"),
            ("http://", "must be an http or https address"),
            ("http://host:port/", "must be an http or https address"),
            ("https://host/?token=1", "must be an http or https address"),
        ],
    )
    def test_mirrors_that_are_none(self, index, place, sentence, monkeypatch):
        with pytest.raises(UserError, match=sentence):
            releases.opened("faces", mirror=place, index=index).__enter__()
        monkeypatch.setenv("GAN_ZOO_MIRROR", place)
        with pytest.raises(UserError, match=f"^GAN_ZOO_MIRROR={place[:4]}"):
            releases.opened("wgan_gp-mnist").__enter__()

    def test_is_here(self, mirror, cache, monkeypatch):
        assert releases.is_here("wgan_gp-mnist", "saved_model/")
        monkeypatch.setenv("GAN_ZOO_CACHE", str(cache))
        monkeypatch.setenv("GAN_ZOO_MIRROR", "http://127.0.0.1:1")
        assert not releases.is_here("digit_classifier", "classifier.keras")
        release = read_index()["digit_classifier"]
        assert releases.default_cache() == cache / "pretrained"
        size = release.files["classifier.keras"].size
        write(cache / "pretrained" / release.key / "classifier.keras", bytes(size))
        assert releases.is_here("digit_classifier", "classifier.keras")


class TestDownload:
    def test_is_kept_and_verified_at_each_use(self, get, server, cache, index):
        assert get() == WEIGHTS
        assert get() == WEIGHTS
        assert server.encodings == {"identity"}
        assert server.requests == [("/faces/saved_model/variables/weights", None)]
        kept = cache / read_index(index)["faces"].key / "saved_model/variables/weights"
        kept.write_bytes(WEIGHTS[:-1] + b"x")
        assert get() == WEIGHTS
        assert (len(server.requests), kept.read_bytes()) == (2, WEIGHTS)
        assert get("") == WEIGHTS
        assert sorted(path for path, _ in server.requests[2:]) == [
            "/faces/card.md",
            "/faces/saved_model/saved_model.pb",
        ]

    def test_a_complete_cache_needs_no_server_and_no_lock(self, get, server, cache, index, monkeypatch):
        get()
        monkeypatch.setattr(releases, "_fill", None)
        assert get(url="http://127.0.0.1:1") == WEIGHTS

    @pytest.mark.parametrize("fault", ["stop", "reset", "stall"])
    def test_what_breaks_off_goes_on(self, get, server, fault):
        server.faults = [{"stop": 70_000, fault: {"stop": 70_000, "stall": 2}.get(fault, True)}, {}]
        assert get() == WEIGHTS
        start = server.requests[1][1]
        if fault == "reset":  # a reset drops data in transit
            assert start is None or start.startswith("bytes=")
        else:
            assert start == "bytes=70000-"

    def test_no_length_is_told(self, get, server):
        server.faults = [{"stop": 1000, "no_length": True}, {}]
        assert get() == WEIGHTS
        assert server.requests[1][1] == "bytes=1000-"

    def test_a_server_that_always_breaks_off(self, get, server, cache, index):
        server.faults = [{"stop": 10}]
        with pytest.raises(UserError) as error:
            get()
        assert str(error.value) == (
            f"{server.url}/faces/saved_model/variables/weights cannot be downloaded: the connection broke "
            f"(IncompleteRead), at the last of 4 attempts. The 40 of {len(WEIGHTS)} bytes that have arrived are kept: "
            f"try again later, or give another mirror."
        )
        assert [start for _, start in server.requests] == [None, "bytes=10-", "bytes=20-", "bytes=30-"]
        assert partial_file(cache, index).read_bytes() == WEIGHTS[:40]
        server.faults = []
        assert get() == WEIGHTS
        assert server.requests[-1][1] == "bytes=40-"

    def test_a_server_that_stalls_is_given_up_in_time(self, get, server):
        server.faults = [{"stop": 0, "stall": HANGING}]
        with pytest.raises(UserError, match=f"^{server.url}.*: the server has not sent anything in time, at the last"):
            get()

    def test_a_server_that_drips_is_given_up_in_time(self, get, server, monkeypatch):
        monkeypatch.setattr(downloads, "_SLOWEST", 2**20)
        server.faults = [{"stop": 0, "drip": 1000}]
        with pytest.raises(UserError, match="the server sends less than 1048576 bytes a second"):
            get()

    def test_nobody_listens(self, get):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(UserError, match="weights cannot be downloaded: the connection broke .Connection refused"):
            get(url=url)

    def test_ranges_are_ignored(self, get, server):
        server.faults = [{"stop": 500}, {"ignore_range": True}]
        assert get() == WEIGHTS
        assert [start for _, start in server.requests] == [None, "bytes=500-"]

    def test_another_range_than_asked_for(self, get, server):
        server.faults = [{"stop": 500}, {"shift": 1}, {}]
        assert get() == WEIGHTS
        assert [start for _, start in server.requests] == [None, "bytes=500-", None]

    def test_a_range_beyond_the_end_starts_anew(self, get, server, cache, index, mirror):
        write(partial_file(cache, index), WEIGHTS[:-10])
        server.faults = [{"status": 416}, {}]
        assert get() == WEIGHTS
        assert [start for _, start in server.requests] == [f"bytes={len(WEIGHTS) - 10}-", None]

    @pytest.mark.parametrize("left", [WEIGHTS[:1000], b"x" * 1000, b"x" * len(WEIGHTS), WEIGHTS + b"x", WEIGHTS, b""])
    def test_what_a_killed_process_left(self, get, server, cache, index, left):
        write(partial_file(cache, index), left)
        assert get() == WEIGHTS
        starts = {
            WEIGHTS[:1000]: ["bytes=1000-"],
            b"x" * 1000: ["bytes=1000-", None],
            WEIGHTS: [],
        }
        assert [start for _, start in server.requests] == starts.get(left, [None])
        assert not partial_file(cache, index).exists()

    def test_corrupted_once(self, get, server):
        server.faults = [{"corrupt": True}, {}]
        assert get() == WEIGHTS
        assert [start for _, start in server.requests] == [None, None]

    def test_corrupted_always(self, get, server, cache):
        server.faults = [{"corrupt": True}]
        with pytest.raises(
            UserError, match=f"^{server.url}.* has another SHA-256 than the index gives, and was not kept"
        ):
            get()
        assert len(server.requests) == 2
        assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]

    @pytest.mark.parametrize("fault", [{}, {"no_length": True, "endless": True}])
    def test_more_than_the_index_gives_is_not_taken(self, get, server, cache, fault):
        server.faults = [{"extra": bytes(5_000_000), **fault}]
        with pytest.raises(UserError, match=f"weights is larger than the {len(WEIGHTS)} bytes that the index gives"):
            get()
        assert len(server.requests) == 1
        assert not [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]

    def test_passing_errors_are_waited_for(self, get, server):
        server.faults = [{"status": 503}, {"status": 429}, {}]
        assert get() == WEIGHTS
        server.faults = [{"status": 500}]
        with pytest.raises(UserError, match="card.md cannot be downloaded: the server answers 500, at the last"):
            get("")

    @pytest.mark.parametrize("status", [404, 403, 206])
    def test_lasting_errors_are_told_at_once(self, get, server, status):
        server.faults = [{"status": status}]
        with pytest.raises(UserError, match=f"cannot be downloaded: the server answers {status}. Give another mirror"):
            get()
        assert len(server.requests) == 1

    def test_redirects_are_followed(self, get, server, mirror):
        (mirror / "faces/saved_model/variables/weights").rename(mirror / "moved")
        server.faults = [{"redirect": "/moved"}, {"redirect": f"{server.url}/moved"}, {}]
        assert get() == WEIGHTS
        assert [path for path, _ in server.requests][1:] == ["/moved", "/moved"]

    def test_bodies_of_redirects_are_not_read(self, get, server, mirror):
        (mirror / "faces/saved_model/variables/weights").rename(mirror / "moved")
        server.faults = [{"redirect": "/moved", "no_length": True, "endless": True}, {}]
        assert get() == WEIGHTS

    def test_redirects_end(self, get, server):
        server.faults = [{"redirect": "/loop"}]
        with pytest.raises(UserError, match="weights redirects more than 5 times"):
            get()
        assert len(server.requests) == 6

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
    def test_redirects_lead_to_no_other_scheme(self, get, server, target):
        server.faults = [{"redirect": target}]
        with pytest.raises(
            UserError, match=f"redirects to {target}, and from http only redirects to http or https are"
        ):
            get()
        assert len(server.requests) == 1

    @pytest.mark.parametrize("target", ["http://[", "http://host:port/", "//[::1/x"])
    def test_redirects_to_what_is_no_address(self, get, server, target):
        server.faults = [{"redirect": target}]
        with pytest.raises(UserError, match="weights redirects to an invalid address: give"):
            get()
        assert len(server.requests) == 1

    def test_redirects_from_https_lead_to_https(self, server):
        class Answer:
            is_redirect = True
            headers = {"Location": server.url}

            def close(self):
                pass

        class Session:
            def get(self, url, **_):
                assert url == "https://user:secret@host/x"
                return Answer()

        with pytest.raises(UserError) as error:
            downloads._get(Session(), "https://user:secret@host/x", {})
        assert str(error.value).startswith(f"https://host/x redirects to {server.url}, and from https only")
        assert server.requests == []

    def test_passwords_stay_out_of_messages(self, get, server):
        server.faults = [{"status": 404}]
        with pytest.raises(UserError) as error:
            get(url=server.url.replace("127", "user:secret@127"))
        assert str(error.value).startswith(f"{server.url}/faces/")

    def test_a_full_disk(self, get, server, monkeypatch):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match=r"^cache_dir: .* cannot be used \(No space left on device\). Make room"):
            get()

    def test_a_cache_that_cannot_be_written(self, get, cache):
        cache.write_text("a file")
        with pytest.raises(UserError, match=r"^cache_dir: .* cannot be used \(.*GAN_ZOO_CACHE"):
            get()

    def test_the_progress_of_large_files_is_shown_on_terminals_alone(self, get, cache, monkeypatch, capsys):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        assert get() == WEIGHTS
        shutil.rmtree(cache)
        monkeypatch.setattr(downloads, "_LARGE", 1000)
        assert get() == WEIGHTS
        assert capsys.readouterr() == ("", "")
        shutil.rmtree(cache)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        assert get() == WEIGHTS
        assert "weights:" in terminal.getvalue()
        assert "307k/307k" in terminal.getvalue()

    def test_the_zoos_own_releases_come_from_a_server(self, cache):
        with serving(ROOT / "pretrained") as server:
            got = gan_zoo.load_pretrained("wgan_gp-mnist", mirror=f"{server.url}/", cache_dir=cache)
            names = [path.removeprefix("/wgan_gp-mnist/saved_model/") for path, _ in server.requests]
        variables = ["variables/variables.data-00000-of-00001", "variables/variables.index"]
        assert sorted(names) == ["assets.extra/metadata.json", "fingerprint.pb", "saved_model.pb", *variables]
        assert got.path == cache / read_index()["wgan_gp-mnist"].key / "saved_model"
        expected = gan_zoo.load_pretrained("wgan_gp-mnist").sample(2, seed=0)
        np.testing.assert_array_equal(got.sample(2, seed=0), expected)


FETCH = """
import sys
from gan_zoo import releases
print("ready", flush=True)
sys.stdin.readline()
mirror, cache, index = sys.argv[1:]
with releases.opened("faces", mirror=mirror, cache_dir=cache, index=index) as (folder, _):
    print((folder / "saved_model/variables/weights").stat().st_size)
print("tensorflow" in sys.modules)
"""


@contextlib.contextmanager
def processes(number, *arguments):
    # Files of killed processes are removed with the test's folder.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(arguments[-1].parent)}
    command = [sys.executable, "-c", FETCH, *map(str, arguments)]
    with contextlib.ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        made = [
            stack.enter_context(subprocess.Popen(command, env=environment, text=True, **pipes)) for _ in range(number)
        ]
        for process in made:
            assert process.stdout.readline() == "ready\n"
        yield made
        for process in made:
            process.kill()


def start(process):
    process.stdin.write("\n")
    process.stdin.flush()


class TestProcesses:
    def test_two_at_once_fetch_once(self, server, index, cache):
        server.faults = [{"wait": 0.5}, {}]
        with processes(2, server.url, cache, index) as both:
            for process in both:
                start(process)
            results = [process.communicate(timeout=HANGING) for process in both]
        assert results == [(f"{len(WEIGHTS)}\nFalse\n", "")] * 2
        whole = [path for path, start in server.requests if start is None]
        assert sorted(whole) == sorted(f"/faces/{name}" for name in CONTENTS)

    def test_the_next_goes_on_where_a_killed_one_was(self, server, index, cache, get):
        # The weights are third in the order of the names.
        server.faults = [{}, {}, {"stop": 70_000, "stall": HANGING}, {}]
        with processes(1, server.url, cache, index) as (process,):
            start(process)
            partial = partial_file(cache, index)
            wait_until(lambda: partial.exists() and partial.stat().st_size, lambda: process.poll() is None)
            process.kill()
            process.communicate()
        left = partial.stat().st_size
        assert 0 < left <= 70_000
        assert get() == WEIGHTS
        assert server.requests[-1] == ("/faces/saved_model/variables/weights", f"bytes={left}-")

    def test_one_that_never_ends_is_not_waited_for_for_ever(self, get, cache, index, monkeypatch):
        from filelock import FileLock

        monkeypatch.setattr(releases, "_LOCK_TIMEOUT", 0.1)
        cache.mkdir()
        lock = cache / f"{read_index(index)['faces'].key}.lock"
        with FileLock(lock), pytest.raises(UserError, match=f"another process has held {lock} for"):
            get()


def tar_of(members):
    """Returns the bytes of a compressed tar file. Members are pairs (TarInfo or name, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as contents:
        for member, content in members:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Duplicate name", UserWarning)
                contents.writestr(member, content)
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def linked(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


GENUINE = [("a/x.bin", b"x" * 1000), ("y.bin", b"yy")]
EXPECTED = {name: file(content) for name, content in GENUINE}
PACK = {"m.tar.gz": tar_of, "m.zip": zip_of}


@pytest.fixture
def unpack(tmp_path):
    def unpack(content, name):
        folder = tmp_path / "deep" / "folder"
        folder.mkdir(parents=True)
        try:
            archives.extract(io.BytesIO(content), name, EXPECTED, folder)
        finally:
            inside = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
            assert inside <= set(EXPECTED)
            assert not any(p.is_symlink() for p in folder.rglob("*"))
            assert [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(folder)] == []
        return {name: (folder / name).read_bytes() for name in inside}

    return unpack


class TestArchives:
    @pytest.mark.parametrize("name", PACK)
    def test_genuine(self, unpack, name):
        assert unpack(PACK[name](GENUINE), name) == dict(GENUINE)

    def test_of_a_folder_as_tools_write_it(self, unpack):
        assert unpack(tar_of([(special("./a", tarfile.DIRTYPE), b""), *(("./" + n, c) for n, c in GENUINE)]), "m.tgz")
        assert archives.SUFFIXES == (".tar.gz", ".tgz", ".zip")

    @pytest.mark.parametrize("name", PACK)
    @pytest.mark.parametrize(
        "path", ["../evil", "a/../../evil", "/tmp/evil", "./../evil", "..\\evil", "C:\\evil", "extra.bin", "y.bin", "."]
    )
    @pytest.mark.parametrize("first", [True, False])
    def test_members_that_the_index_does_not_name(self, unpack, name, path, first):
        evil = [(path, b"evil" if path != "y.bin" else b"yy")]
        with pytest.raises(files.Mismatch, match="which is not in the index or is there twice"):
            # y.bin is in the index, but twice in the archive.
            unpack(PACK[name](evil + GENUINE if first else GENUINE + evil), name)

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    )
    @pytest.mark.parametrize("path", ["y.bin", "a", "evil"])
    def test_links_and_devices_in_a_tar(self, unpack, kind, path):
        content = tar_of([(special(path, kind, "/etc/passwd"), b""), *GENUINE])
        with pytest.raises(files.Mismatch, match=f"holds '{path}', which is a link or a device and not a file of the"):
            unpack(content, "m.tar.gz")

    def test_links_in_a_zip(self, unpack):
        with pytest.raises(files.Mismatch, match="holds 'y.bin', which is a link or a device"):
            unpack(zip_of([(linked("y.bin"), b"/etc/passwd"), *GENUINE]), "m.zip")

    def test_encrypted(self, unpack):
        content = bytearray(zip_of(GENUINE))
        for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            content[content.index(signature) + offset] |= 1
        with pytest.raises(files.Mismatch, match="which is encrypted and not a file"):
            unpack(bytes(content), "m.zip")

    @pytest.mark.parametrize("name", PACK)
    def test_other_content_or_size_or_none(self, unpack, name, tmp_path):
        with pytest.raises(files.Mismatch, match="another SHA-256"):
            unpack(PACK[name]([("a/x.bin", b"z" * 1000), GENUINE[1]]), name)
        (tmp_path / "deep").rename(tmp_path.parent / f"{tmp_path.name}-{name}")
        with pytest.raises(files.Mismatch, match="holds 'a/x.bin' of 1001 bytes, but the index gives 1000"):
            unpack(PACK[name]([("a/x.bin", b"x" * 1001), GENUINE[1]]), name)
        (tmp_path / "deep" / "folder").rmdir()
        with pytest.raises(files.Mismatch, match="does not hold 'y.bin'"):
            unpack(PACK[name](GENUINE[:1]), name)

    def test_bombs(self, unpack):
        bomb = zip_of([("a/x.bin", bytes(50_000_000))])
        # The headers give the correct size, but the data expand to 50 MB.
        bomb = bomb.replace((50_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
        with pytest.raises(files.Mismatch, match="cannot be read as an archive|another SHA-256|larger than"):
            unpack(bomb, "m.zip")

    def test_bombs_among_the_headers(self, tmp_path):
        header = tarfile.TarInfo("x")
        header.type, header.size = tarfile.GNUTYPE_LONGNAME, 100_000_000
        bomb = gzip.compress(header.tobuf() + bytes(header.size), compresslevel=1)
        with pytest.raises(files.Mismatch, match="unpacks to more than the index gives"):
            archives.extract(io.BytesIO(bomb), "m.tar.gz", EXPECTED, tmp_path)

    @pytest.mark.parametrize("name", PACK)
    @pytest.mark.parametrize("damage", [lambda c: b"", lambda c: b"nonsense" * 100, lambda c: c[: len(c) // 2]])
    def test_no_archive(self, unpack, name, damage):
        with pytest.raises(files.Mismatch, match="cannot be read as an archive|does not hold"):
            unpack(damage(PACK[name](GENUINE)), name)

    def release(self, tmp_path, content):
        write(tmp_path / "mirror" / "m.zip", content)
        entry = {"files": {name: dataclasses.asdict(expected) for name, expected in EXPECTED.items()}}
        entry["archive"] = {"name": "m.zip", **dataclasses.asdict(file(content))}
        return write(tmp_path / "index.json", json.dumps({"version": 1, "models": {"m": entry}}).encode())

    def test_from_a_folder_and_from_a_server(self, tmp_path, cache):
        index = self.release(tmp_path, zip_of(GENUINE))
        with releases.opened("m", "a/", mirror=tmp_path / "mirror", index=index) as (folder, origin):
            assert (folder / "a/x.bin").read_bytes() == GENUINE[0][1]
            assert origin == tmp_path / "mirror" / "m.zip"
        with serving(tmp_path / "mirror") as server:
            for _ in range(2):
                with releases.opened("m", mirror=server.url, cache_dir=cache, index=index) as (folder, origin):
                    assert {p.name: p.read_bytes() for p in folder.rglob("*.bin")} == {
                        "x.bin": GENUINE[0][1],
                        "y.bin": GENUINE[1][1],
                    }
            assert server.requests == [("/m.zip", None)]
            assert describe(origin) == read_index(index)["m"].packed

    def test_a_hostile_archive_that_the_index_names(self, tmp_path, cache):
        index = self.release(tmp_path, zip_of([("../evil", b"x"), *GENUINE]))
        for mirror in (tmp_path / "mirror", None):
            with contextlib.ExitStack() as stack:
                mirror = mirror or stack.enter_context(serving(tmp_path / "mirror")).url
                with pytest.raises(UserError, match=r"m.zip holds '\.\./evil', which is not in the index"):
                    releases.opened("m", mirror=mirror, cache_dir=cache, index=index).__enter__()
        assert not list(tmp_path.rglob("evil"))


FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_ARGUMENTS = {"allow_pickle": True, "safe_mode": False, "weights_only": False}
FORBIDDEN_NAMES = {"enable_unsafe_deserialization", "TFSMLayer"}


def unsafe(source):
    """Returns the calls in a source that could run code from a data file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(node.module)
        elif isinstance(node, ast.keyword) and node.arg in FORBIDDEN_ARGUMENTS:
            # Allowed: a constant other than the forbidden value. Not allowed: a value known only at run time.
            good = isinstance(node.value, ast.Constant) and node.value.value is not FORBIDDEN_ARGUMENTS[node.arg]
            found += [] if good else [node.arg]
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            found += [name] if name in FORBIDDEN_NAMES | FORBIDDEN_MODULES else []
    return found


def test_no_source_reads_pickles_or_leaves_safe_mode():
    folders = [ROOT / name for name in ("gan_zoo", "models", "export", "benchmarks")]
    sources = [ROOT / "train.py", *(path for folder in folders for path in folder.rglob("*.py"))]
    assert len(sources) > 80
    found = {str(path.relative_to(ROOT)): set(unsafe(path.read_text())) for path in sources if unsafe(path.read_text())}
    # This file has an unpickler that refuses all names but those of tensors: see test_features.py.
    assert found == {"gan_zoo/evaluate/features/torch_file.py": {"pickle"}}


def test_the_one_unpickler_is_restricted():
    tree = ast.parse((ROOT / "gan_zoo/evaluate/features/torch_file.py").read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _name(node.value) == "pickle"}
    assert used == {"Unpickler", "UnpicklingError"}
    (own,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and "Unpickler" in map(_name, node.bases))
    assert "find_class" in {node.name for node in own.body if isinstance(node, ast.FunctionDef)}


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch.utils, dill as d",
        "np.load(x, allow_pickle=True)",
        "keras.models.load_model(x, safe_mode=False)",
        "load_model(x, safe_mode=flag)",
        "keras.config.enable_unsafe_deserialization()",
        "pd.compat.pickle.load(x)",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert len(unsafe(source)) == 1
