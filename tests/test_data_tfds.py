"""Datasets of TFDS: reading prepared ones, preparing others, and the messages when that is impossible."""

import hashlib
import http.server
import io
import json
import logging
import shutil
import socket
import threading
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from gan_zoo import data
from gan_zoo.data import decoding, tfds_images
from gan_zoo.training import pipeline
from gan_zoo.util.errors import UserError


def picture(seed, height=10, width=14, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Colour pictures of one size with labels, between features of other kinds."""

    VERSION = tfds.core.Version("1.2.3")

    def _info(self):
        features = {
            "caption": tfds.features.Text(),
            "depth": tfds.features.Image(shape=(10, 14, 1), dtype=np.float32),
            "image": tfds.features.Image(shape=(10, 14, 3), encoding_format="png"),
            "kind": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
            "mask": tfds.features.LabeledImage(shape=(10, 14, 1), labels=2),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 9), "test": self._generate_examples(9, 12)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield (
                f"{i:03}",
                {
                    "caption": str(i),
                    "depth": np.zeros((10, 14, 1), np.float32),
                    "image": picture(i),
                    "kind": i % 3,
                    "mask": np.zeros((10, 14, 1), np.uint8),
                },
            )


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Pictures of all sizes without labels, in two configurations. The image feature has an unusual name."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, version=tfds.core.Version("1.0.0")) for name in ("grey", "colour")
    ]

    def _info(self):
        shape = (None, None, 1 if self.builder_config.name == "grey" else 3)
        features = {"photo": tfds.features.Image(shape=shape, encoding_format="png")}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(1 if self.builder_config.name == "grey" else 3)}

    def _generate_examples(self, channels):
        for i in range(4):
            yield i, {"photo": picture(i, 8 + i, 12 - i, channels)}


class TinyKinds(tfds.core.GeneratorBasedBuilder):
    """Pictures with several class labels, or with a label whose names come late. Labels of the test split are -1."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, version=tfds.core.Version("1.0.0")) for name in ("one", "open", "late")
    ]
    KINDS = {"one": {"form": 3, "label": 4}, "open": {"colour": 2, "form": 3}, "late": {"kind": None}}

    def _info(self):
        features = {"image": tfds.features.Image(shape=(10, 14, 3), encoding_format="png")}
        for key, count in self.KINDS[self.builder_config.name].items():
            features[key] = tfds.features.ClassLabel(num_classes=count)
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        if self.builder_config.name == "late":
            self.info.features["kind"].names = ["a", "b"]
        return {"train": self._generate_examples(0, 6), "test": self._generate_examples(6, 7)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            kinds = self.KINDS[self.builder_config.name].items()
            yield f"{i}", {"image": picture(i), **{key: i % (count or 2) if i < 6 else -1 for key, count in kinds}}


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """A dataset without pictures."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({"x": np.int64, "y": np.int64}))

    def _split_generators(self, dl_manager):
        raise AssertionError("must not be prepared")

    def _generate_examples(self):
        raise AssertionError("must not be prepared")


class TinyDownload(tfds.core.GeneratorBasedBuilder):
    """A picture from a server."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = {}

    def _info(self):
        features = {"image": tfds.features.Image(shape=(10, 14, 3))}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        (url,) = self.url_infos
        return {"train": self._generate_examples(dl_manager.download(url))}

    def _generate_examples(self, path):
        yield 0, {"image": np.asarray(Image.open(path))}


class TinyManual(TinyDownload):
    """Pictures that must be downloaded by hand."""

    MANUAL_DOWNLOAD_INSTRUCTIONS = "Register at example.org\n  and fetch tiny.zip."

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(dl_manager.manual_dir / "tiny.png")}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    for builder in (TinyPictures, TinyShapes, TinyKinds):
        for config in builder.builder_configs or [None]:
            if config != "late":
                builder(data_dir=folder, config=config).download_and_prepare()
    return folder


@pytest.fixture
def offline(monkeypatch):
    """Makes every network access fail the test."""

    def refuse(*arguments, **_):
        raise AssertionError(f"network used: {arguments}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def server():
    """A server that answers every request with its `status` and `content`. `url` is the address of a file on it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests.append(self.path)
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(self.server.content)))
            self.end_headers()
            self.wfile.write(self.server.content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        buffer = io.BytesIO()
        Image.fromarray(picture(5)).save(buffer, "PNG")
        server.status, server.content, server.requests = 200, buffer.getvalue(), []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/tiny.png"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url_info(content, filename):
    return tfds.core.download.checksums.UrlInfo(
        size=tfds.core.utils.Size(len(content)), checksum=hashlib.sha256(content).hexdigest(), filename=filename
    )


@pytest.mark.usefixtures("offline")
class TestPrepared:
    def test_images_and_labels(self, prepared, tmp_path):
        source = data.open_source("tiny_pictures", data_dir=prepared, resolution=10, labels=True, cache_dir=tmp_path)
        assert (source.shape, source.size, source.classes) == ((10, 10, 3), 9, ("ant", "bee", "cat"))
        expected = {picture(i)[:, 2:12].tobytes(): i % 3 for i in range(9)}
        assert {x.tobytes(): y for x, y in zip(source.images, source.labels.tolist(), strict=True)} == expected
        assert source.describe() == {
            "name": "tiny_pictures",
            "kind": "image",
            "shape": [10, 10, 3],
            "size": 9,
            "num_classes": 3,
            "split": "train",
            "resolution": 10,
            "crop": 10,
            "tfds": "tiny_pictures/1.2.3",
            "path": str(prepared / "tiny_pictures" / "1.2.3"),
            "classes": ["ant", "bee", "cat"],
        }

    def test_what_describe_says_opens_the_same(self, prepared, tmp_path):
        first = data.open_source("tiny_pictures", data_dir=prepared, resolution=6, cache_dir=tmp_path)
        said = {k: first.describe()[k] for k in ("name", "split", "resolution", "crop")}
        again = data.open_source(**said, data_dir=prepared, cache_dir=tmp_path)
        np.testing.assert_array_equal(first.images, again.images)
        assert len(list(tmp_path.glob("tiny_pictures-*"))) == 1

    def test_stream(self, prepared, tmp_path):
        dataset = data.load(
            "tiny_pictures", 2, n_critic=2, data_dir=str(prepared), resolution=8, labels=True, cache_dir=tmp_path
        )
        x, y = next(dataset.as_numpy_iterator())
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((4, 8, 8, 3), np.float32, (4,), np.int32)

    @pytest.mark.parametrize(("split", "size"), [("test", 3), ("train[:4]", 4), ("train[4:]", 5), ("train+test", 12)])
    def test_splits(self, prepared, tmp_path, split, size):
        source = data.open_source("tiny_pictures", data_dir=prepared, split=split, resolution=10, cache_dir=tmp_path)
        assert source.size == size
        assert source.describe()["split"] == split

    def test_slices_are_disjoint(self, prepared, tmp_path):
        parts = [
            {
                x.tobytes()
                for x in data.open_source(
                    "tiny_pictures", data_dir=prepared, split=split, resolution=10, cache_dir=tmp_path
                ).images
            }
            for split in ("train[:4]", "train[4:]")
        ]
        assert [len(part) for part in parts] == [4, 5]
        assert not parts[0] & parts[1]

    def test_training_measures_overfitting_on_another_split(self, prepared, tmp_path):
        settings = {"dataset": "tiny_pictures", "data_dir": str(prepared), "cache_dir": str(tmp_path / "cache")}
        settings |= {"resolution": 8, "split": "train[:6]", "run_dir": str(tmp_path / "run"), "augment": "ada(p=0.5)"}
        settings |= {"model": "hinge_gan", "network": "mlp", "width": 4, "batch_size": 2, "steps": 2, "log_every": 1}
        pipeline.run(pipeline.Config(**settings, held_out="test", health_every=1))
        rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
        assert [np.isfinite(row["overfit"]) for row in rows] == [True, True]
        written = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
        assert written["held_out"] == "test"
        assert written["arguments"]["augmentation"] == "ada(p=0.5)"
        with pytest.raises(UserError, match="--held_out is for health checks, and --health_every=0 turns them off"):
            pipeline.run(pipeline.Config(**settings, held_out="test", health_every=0))
        with pytest.raises(UserError, match="--augment: VAE has no argument augmentation: leave the flag out"):
            pipeline.run(pipeline.Config(**{**settings, "model": "vae"}))

    def test_nothing_is_decoded_twice(self, prepared, tmp_path, monkeypatch):
        first = data.open_source("tiny_pictures", data_dir=prepared, resolution=10, cache_dir=tmp_path)
        monkeypatch.setattr(decoding, "_decode", None)
        again = data.open_source("tiny_pictures", data_dir=prepared, resolution=10, cache_dir=tmp_path)
        np.testing.assert_array_equal(first.images, again.images)

    @pytest.mark.parametrize(("name", "channels"), [("tiny_shapes", 1), ("tiny_shapes/colour", 3)])
    def test_all_sizes(self, prepared, tmp_path, name, channels):
        source = data.open_source(name, data_dir=prepared, resolution=8, cache_dir=tmp_path)
        assert source.shape == (8, 8, channels)
        assert source.describe()["crop"] is None
        assert source.num_classes is None
        square = [picture(0, 8, 12, channels)[:, 2:10], None, None, None]
        assert square[0].tobytes() in {x.tobytes() for x in source.images}

    def test_a_version_that_the_code_no_longer_knows(self, prepared, tmp_path):
        old = tmp_path / "tfds" / "mnist" / "1.0.0"
        old.mkdir(parents=True)
        for file in (prepared / "tiny_pictures" / "1.2.3").iterdir():
            content = file.read_bytes().replace(b"tiny_pictures", b"mnist").replace(b"1.2.3", b"1.0.0")
            (old / file.name.replace("tiny_pictures", "mnist")).write_bytes(content)
        source = data.open_source("mnist", data_dir=tmp_path / "tfds", resolution=10, cache_dir=tmp_path / "cache")
        assert source.describe()["tfds"] == "mnist/1.0.0"
        assert source.size == 9

    def test_the_log_is_quiet(self, prepared, tmp_path, caplog, capsys):
        caplog.set_level(logging.WARNING)
        data.open_source("tiny_pictures", data_dir=prepared, resolution=10, cache_dir=tmp_path)
        assert caplog.text == ""
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"split": "dev"}, "split 'dev': tiny_pictures has no split 'dev', it has train, test."),
            ({"split": "dev[:5]"}, "split 'dev[:5]': tiny_pictures has no split 'dev', it has train, test."),
            (
                {"split": "train[:90]"},
                "split 'train[:90]' of tiny_pictures: Requested slice [:90] incompatible with 9 examples. "
                "It has train, test.",
            ),
            ({"split": "train[:0]"}, "split 'train[:0]' of tiny_pictures is empty. It has train, test."),
            (
                {"crop": 11},
                "crop 11 is larger than the images of tiny_pictures, which are 14x10: use a crop of at most 10.",
            ),
        ],
    )
    def test_refused(self, prepared, tmp_path, arguments, message):
        with pytest.raises(UserError) as error:
            data.open_source("tiny_pictures", data_dir=prepared, cache_dir=tmp_path, **arguments)
        assert str(error.value) == message
        assert not list(tmp_path.iterdir())

    def test_no_labels(self, prepared, tmp_path):
        with pytest.raises(UserError, match="labels: tiny_shapes has none. Choose a set with classes"):
            data.load("tiny_shapes", 2, data_dir=prepared, labels=True, cache_dir=tmp_path)
        assert not list(tmp_path.iterdir())

    def test_the_label_named_so_is_the_one_of_several(self, prepared, tmp_path):
        source = data.open_source("tiny_kinds/one", data_dir=prepared, resolution=10, labels=True, cache_dir=tmp_path)
        assert source.classes == ("0", "1", "2", "3")
        expected = {picture(i)[:, 2:12].tobytes(): i % 4 for i in range(6)}
        assert {x.tobytes(): y for x, y in zip(source.images, source.labels.tolist(), strict=True)} == expected

    def test_several_labels_of_which_none_is_named_so(self, prepared, tmp_path):
        with pytest.raises(UserError) as error:
            data.find_source("tiny_kinds/open", data_dir=prepared, labels=True)
        assert str(error.value) == (
            "labels: tiny_kinds/open has several labels, colour, form, none of which is named 'label', so it is not "
            "clear which to use. Choose a set with one, such as mnist or cifar10."
        )
        found = data.find_source("tiny_kinds/open", data_dir=prepared, resolution=10, cache_dir=tmp_path)
        assert found.classes is found.open().classes is None
        assert found.open().size == 6

    def test_of_several_features_the_same_is_taken_in_every_process(self):
        features = {key: tfds.features.Image(shape=(10, 14, 3)) for key in ("left", "right", "above")}
        for keys in (list(features), sorted(features, reverse=True)):
            chosen = tfds_images._features("pairs", tfds.features.FeaturesDict({key: features[key] for key in keys}))
            assert chosen == ("above", [])

    def test_images_of_unknown_class(self, prepared, tmp_path):
        place = {"data_dir": prepared, "cache_dir": tmp_path, "resolution": 10, "split": "train+test"}
        with pytest.raises(
            UserError, match="^labels: 1 of the 7 images of tiny_kinds/one .* belong to no class: .* -1,"
        ):
            data.load("tiny_kinds/one", 2, labels=True, **place)
        assert data.open_source("tiny_kinds/one", **place).size == 7

    def test_classes_that_are_known_once_the_set_is_prepared(self, tmp_path):
        place = {"data_dir": tmp_path / "tfds", "cache_dir": tmp_path, "resolution": 10}
        found = data.find_source("tiny_kinds/late", **place)
        assert found.classes is None
        with pytest.raises(UserError) as error:
            data.find_source("tiny_kinds/late", labels=True, **place)
        assert str(error.value) == (
            "labels: the classes of tiny_kinds/late are known only when TFDS has prepared it. Prepare it first, for "
            "example with gan_zoo.data.open_source('tiny_kinds/late')."
        )
        assert found.open().classes == ("a", "b")
        assert data.find_source("tiny_kinds/late", labels=True, **place).classes == ("a", "b")

    def test_an_incomplete_copy(self, prepared, tmp_path):
        copy = shutil.copytree(prepared, tmp_path / "tfds")
        (file,) = (copy / "tiny_pictures" / "1.2.3").glob("*train.tfrecord*")
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        with pytest.raises(UserError, match=r"record 4 of .*, or raise max_skipped\.") as error:
            data.open_source("tiny_pictures", data_dir=copy, cache_dir=tmp_path / "cache", max_skipped=4)
        assert "Copy or prepare the set again" in str(error.value)
        file.unlink()
        with pytest.raises(UserError, match=r"failed after 0 of 9 examples .* copy or prepare the set again\."):
            data.open_source("tiny_pictures", data_dir=copy, cache_dir=tmp_path / "cache")
        assert not list((tmp_path / "cache").glob("tiny_pictures-*"))


@pytest.mark.usefixtures("offline")
class TestNames:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("celeba", " Did you mean 'celeb_a'?"),
            ("rign8", " Did you mean 'ring8'?"),
            ("tiny_picture", " Did you mean 'tiny_pictures'?"),
            ("oxford_flower102", " Did you mean 'oxford_flowers102'?"),
            ("xqzxqzxqz", ""),
            ("not a name", ""),
        ],
    )
    def test_unknown(self, name, hint, tmp_path):
        with pytest.raises(UserError) as error:
            data.open_source(name, data_dir=tmp_path)
        assert str(error.value) == (
            f"there is no dataset {name!r}.{hint} Use a name of the table (--list), any image dataset of TFDS, "
            "or folder:/path for a folder of images."
        )

    def test_a_folder_without_its_prefix(self, tmp_path):
        with pytest.raises(UserError, match=f"is a folder: write folder:{tmp_path} to train on the images in it."):
            data.open_source(str(tmp_path), data_dir=tmp_path)

    def test_unknown_configuration(self, tmp_path):
        with pytest.raises(UserError) as error:
            data.open_source("tiny_shapes/gray", data_dir=tmp_path)
        assert str(error.value) == (
            "dataset 'tiny_shapes/gray': tiny_shapes has no configuration 'gray'. Did you mean 'grey'? "
            "It has colour, grey."
        )

    def test_unknown_version(self, tmp_path):
        with pytest.raises(UserError) as error:
            data.open_source("tiny_pictures:7.0.0", data_dir=tmp_path)
        assert str(error.value) == (
            "dataset 'tiny_pictures:7.0.0': Dataset tiny_pictures cannot be loaded at version 7.0.0, only: 1.2.3."
        )

    def test_unknown_namespace(self, tmp_path):
        with pytest.raises(UserError, match="dataset 'nobody:mnist': Namespace nobody not found"):
            data.open_source("nobody:mnist", data_dir=tmp_path)

    def test_no_images(self, tmp_path):
        with pytest.raises(UserError) as error:
            data.open_source("tiny_numbers", data_dir=tmp_path)
        assert str(error.value) == "dataset 'tiny_numbers' has no images to train on; its features are x, y."

    def test_labels_are_missed_before_any_download(self, tmp_path):
        with pytest.raises(UserError, match="labels: celeb_a has none"):
            data.load("celeb_a", data_dir=tmp_path, labels=True)


class TestDownload:
    @pytest.fixture(autouse=True)
    def _known_file(self, server, monkeypatch):
        infos = {server.url: url_info(server.content, "tiny.png")}
        monkeypatch.setattr(TinyDownload, "url_infos", infos)

    def open(self, tmp_path, name="tiny_download"):
        return data.open_source(name, data_dir=tmp_path / "tfds", resolution=10, cache_dir=tmp_path / "cache")

    def test_an_absent_set_is_downloaded_once(self, server, tmp_path, capsys):
        source = self.open(tmp_path)
        np.testing.assert_array_equal(source.images, [picture(5)[:, 2:12]])
        assert len(server.requests) == 2
        self.open(tmp_path)
        assert len(server.requests) == 2
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("status", [404, 429, 503])
    def test_the_server_refuses(self, server, tmp_path, status):
        server.status = status
        with pytest.raises(UserError) as error:
            self.open(tmp_path)
        host = server.url.split("/")[2]
        folder = tmp_path / "tfds"
        assert str(error.value).startswith(
            f"tiny_download is not in {folder}, and TFDS could not download and prepare it ({host} answers {status} "
        )
        assert str(error.value).endswith(
            f"). If you can get its files elsewhere, put them under these names in {folder}/downloads/manual and run "
            f"again: tiny.png ({len(server.content)} bytes). Or pass --data_dir with a folder in which TFDS has "
            "already prepared tiny_download, or train on images of your own with folder:/path."
        )

    def test_nobody_answers(self, tmp_path, monkeypatch):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            host = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr(TinyDownload, "url_infos", {f"http://{host}/tiny.png": url_info(b"x", "tiny.png")})
        with pytest.raises(UserError, match=rf"could not download and prepare it \({host} cannot be reached\)"):
            self.open(tmp_path)

    def test_a_server_that_never_speaks(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tfds_images, "PROBE_TIMEOUT", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as mute:
            host = f"127.0.0.1:{mute.getsockname()[1]}"
            monkeypatch.setattr(TinyDownload, "url_infos", {f"http://{host}/tiny.png": url_info(b"x", "tiny.png")})
            with pytest.raises(UserError, match=f"{host} cannot be reached"):
                self.open(tmp_path)

    def test_a_wrong_file(self, server, tmp_path):
        server.content = server.content[:-1]
        with pytest.raises(UserError, match=r"could not download and prepare it \(Artifact .* has wrong checksum:\)"):
            self.open(tmp_path)
        assert not list((tmp_path / "tfds" / "tiny_download").iterdir())

    @pytest.mark.usefixtures("offline")
    def test_the_file_can_be_brought_by_hand(self, server, tmp_path):
        manual = tmp_path / "tfds" / "downloads" / "manual"
        manual.mkdir(parents=True)
        (manual / "tiny.png").write_bytes(server.content)
        assert self.open(tmp_path).size == 1

    def test_a_file_of_an_earlier_try_is_used(self, server, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(TinyDownload, "_generate_examples", lambda self, path: iter([(0, {"image": "broken"})]))
            with pytest.raises(UserError, match="could not download and prepare it"):
                self.open(tmp_path)
        assert len(server.requests) == 2
        assert self.open(tmp_path).size == 1
        assert len(server.requests) == 2

    def test_instructions_are_passed_on(self, tmp_path, capsys):
        folder = tmp_path / "tfds"
        with pytest.raises(UserError) as error:
            self.open(tmp_path, "tiny_manual")
        assert (
            f"It needs files that you must download by hand into {folder}/downloads/manual: Register at example.org "
            "and fetch tiny.zip. Or pass --data_dir"
        ) in str(error.value)


CELEB_A = {
    "img_align_celeba.zip": None,
    "list_eval_partition.txt": "".join(f"{i:06}.jpg {i // 2}\n" for i in range(6)),
    "list_attr_celeba.txt": "6\nSmiling\n" + "".join(f"{i:06}.jpg 1\n" for i in range(6)),
    "list_landmarks_align_celeba.txt": "6\nlefteye_x\n" + "".join(f"{i:06}.jpg 9\n" for i in range(6)),
    "identity_CelebA.txt": "".join(f"{i:06}.jpg {i}\n" for i in range(6)),
}


class TestCelebA:
    def test_what_is_said_when_it_cannot_be_downloaded(self, tmp_path, monkeypatch):
        def no_names(*_, **__):
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", no_names)
        with pytest.raises(UserError) as error:
            data.load("celeb_a", data_dir=tmp_path)
        message = str(error.value)
        assert message.startswith(
            f"celeb_a is not in {tmp_path}, and TFDS could not download and prepare it (drive.google.com cannot be "
            f"reached). If you can get its files elsewhere, put them under these names in {tmp_path}/downloads/manual"
        )
        for file in CELEB_A:
            assert file in message
        assert "--data_dir" in message
        assert "folder:/path" in message
        assert not list(tmp_path.iterdir())

    @pytest.mark.usefixtures("offline")
    def test_files_put_where_the_message_says_are_used(self, tmp_path, monkeypatch):
        manual = tmp_path / "downloads" / "manual"
        manual.mkdir(parents=True)
        with zipfile.ZipFile(manual / "img_align_celeba.zip", "w") as archive:
            for i in range(6):
                jpeg = io.BytesIO()
                Image.new("RGB", (178, 218), (i * 40, 100, 0)).save(jpeg, "JPEG")
                archive.writestr(f"img_align_celeba/{i:06}.jpg", jpeg.getvalue())
        for file, content in CELEB_A.items():
            if content:
                (manual / file).write_text(content)
        builder = tfds.builder_cls("celeb_a")
        module = __import__(builder.__module__, fromlist=["Builder"])
        monkeypatch.setattr(module, "ATTR_HEADINGS", ["Smiling"])
        monkeypatch.setattr(module, "LANDMARK_HEADINGS", ["lefteye_x"])
        official = builder.url_infos
        assert {info.filename for info in official.values()} == set(CELEB_A)
        # The real files have 1.4 GB. Small files with their own checksums replace them.
        infos = {url: url_info((manual / info.filename).read_bytes(), info.filename) for url, info in official.items()}
        monkeypatch.setattr(builder, "url_infos", infos)
        source = data.open_source("celeb_a", data_dir=tmp_path, cache_dir=tmp_path / "cache")
        assert (source.size, source.shape) == (2, (64, 64, 3))
        assert source.describe()["crop"] == 160
        assert sorted(source.images[:, 32, 32, 0].tolist()) == pytest.approx([0, 40], abs=3)
