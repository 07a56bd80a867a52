"""Damaged records in the files of TFDS: each is named and counted, and all others are delivered."""

import io
import itertools
import logging
import shutil
import struct
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_zoo import data
from gan_zoo.data import tfds_images, tfrecords
from gan_zoo.util.errors import UserError

COUNT = 72
SHARDS = 3
EACH = COUNT // SHARDS


class TinyShards(tfds.core.GeneratorBasedBuilder):
    """Pictures with labels. Each file has more of them than TFDS reads from it at a time."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "caption": tfds.features.Text(),
            "image": tfds.features.Image(shape=(4, 4, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=COUNT),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(COUNT):
            pixels = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
            yield i, {"caption": f"number {i}", "image": pixels, "label": i}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    tfds.disable_progress_bar()
    builder = TinyShards(data_dir=folder)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(num_shards=SHARDS))
    assert builder.info.splits["train"].shard_lengths == [EACH] * SHARDS
    return folder


@pytest.fixture
def copy(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "tfds")


def shard(folder, number):
    return folder / "tiny_shards" / "1.0.0" / f"tiny_shards-train.tfrecord-{number:05}-of-{SHARDS:05}"


def name(number, index):
    return f"record {index} of tiny_shards-train.tfrecord-{number:05}-of-{SHARDS:05}"


def read(folder, split="train"):
    """Returns name, bytes and label of every record of a split."""
    found = tfds_images.find("tiny_shards", split=split, data_dir=str(folder), labels=True)
    return [(record.name, record.data, record.label) for record in found.records()]


def frames(content):
    """Returns the start and the end of each record of a file."""
    found, start = [], 0
    while start < len(content):
        end = start + 16 + struct.unpack_from("<Q", content, start)[0]
        found.append((start, end))
        start = end
    return found


def flipped(content, position, bit=0):
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def framed(body):
    length = struct.pack("<Q", len(body))
    return b"".join(
        [length, struct.pack("<I", tfrecords.checksum(length)), body, struct.pack("<I", tfrecords.checksum(body))]
    )


def without_bytes(records, names):
    return [(name, b"", -1) if name in names else (name, *rest) for name, *rest in records]


class TestReader:
    BODIES = [b"one", b"", bytes(range(256)), b"last"]

    def content(self):
        return b"".join(framed(body) for body in self.BODIES)

    def test_it_reads_what_tensorflow_writes(self, tmp_path):
        with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
            for body in self.BODIES:
                writer.write(body)
        assert (tmp_path / "file").read_bytes() == self.content()
        assert list(tfrecords.read(io.BytesIO(self.content()))) == self.BODIES

    @given(st.data())
    @settings(max_examples=200)
    def test_a_flipped_bit(self, draw):
        content = self.content()
        position = draw.draw(st.integers(0, len(content) - 1))
        spoilt = flipped(content, position, draw.draw(st.integers(0, 7)))
        (hit,) = (i for i, (start, end) in enumerate(frames(content)) if start <= position < end)
        in_length = position - frames(content)[hit][0] < 12
        expected = self.BODIES[:hit] + ([] if in_length else [None, *self.BODIES[hit + 1 :]])
        assert list(tfrecords.read(io.BytesIO(spoilt))) == expected

    def test_a_file_that_is_cut_short_anywhere(self):
        content = self.content()
        for length in range(len(content)):
            whole = sum(end <= length for _, end in frames(content))
            assert list(tfrecords.read(io.BytesIO(content[:length]))) == self.BODIES[:whole]


class TestOrder:
    @pytest.mark.parametrize("split", ["train", "train[5:60]", "train[-30:]+train[:30]"])
    def test_it_is_that_of_tfds(self, prepared, split):
        theirs = tfds.builder("tiny_shards", data_dir=prepared).as_dataset(
            split=split, decoders={"image": tfds.decode.SkipDecoding()}
        )
        expected = [(x["image"], int(x["label"])) for x in theirs.as_numpy_iterator()]
        assert [record[1:] for record in read(prepared, split)] == expected

    def test_names_say_where_a_record_is(self, prepared):
        records = read(prepared)
        assert {record[0] for record in records} == {name(*i) for i in itertools.product(range(SHARDS), range(EACH))}
        for number in range(SHARDS):
            with shard(prepared, number).open("rb") as file:
                bodies = [tf.train.Example.FromString(body).features.feature for body in tfrecords.read(file)]
            labels = {record[0]: record[2] for record in records}
            assert [labels[name(number, i)] for i in range(EACH)] == [b["label"].int64_list.value[0] for b in bodies]

    def test_tensorflow_does_not_warn_of_the_names(self, prepared, monkeypatch):
        from tensorflow.python.util import deprecation

        said = []
        handler = logging.Handler()
        handler.emit = said.append
        monkeypatch.setattr(logging.getLogger("tensorflow"), "handlers", [handler])
        # A process prints each deprecation only once.
        monkeypatch.setattr(deprecation, "_PRINTED_WARNING", {})
        read(prepared)
        assert said == []


class TestDamage:
    """Three files have 24 records each, and record 7 of the second is damaged."""

    @pytest.mark.parametrize(
        ("damage", "lost"),
        [
            ("data", [7]),
            ("checksum of the data", [7]),
            ("length", range(7, EACH)),
            ("checksum of the length", range(7, EACH)),
            ("cut within the data", range(7, EACH)),
            ("cut between records", range(7, EACH)),
            ("empty file", range(EACH)),
            ("zeros to the end", range(7, EACH)),
            ("garbage with the right checksum", [7]),
            ("no image", [7]),
            ("garbage behind the last record", []),
            ("one record more than is known of", []),
        ],
    )
    def test_only_what_is_damaged_is_missing(self, prepared, copy, damage, lost, caplog):
        file = shard(copy, 1)
        content = file.read_bytes()
        start, end = frames(content)[7]
        no_image = tf.train.Example()
        no_image.features.feature["label"].int64_list.value.append(3)
        file.write_bytes(
            {
                "data": flipped(content, start + 40),
                "checksum of the data": flipped(content, end - 1),
                "length": flipped(content, start),
                "checksum of the length": flipped(content, start + 9),
                "cut within the data": content[: start + 50],
                "cut between records": content[:start],
                "empty file": b"",
                "zeros to the end": content[:start] + bytes(len(content) - start),
                "garbage with the right checksum": content[:start] + framed(b"\xff\x00garbage") + content[end:],
                "no image": content[:start] + framed(no_image.SerializeToString()) + content[end:],
                "garbage behind the last record": content + b"garbage" * 9,
                "one record more than is known of": content + content[start:end],
            }[damage]
        )
        expected = without_bytes(read(prepared), {name(1, i) for i in lost})
        assert Counter(read(copy)) == Counter(expected)
        (message,) = caplog.messages
        assert message.startswith("tiny_shards: TFDS's reader stopped after 0 of 72 examples (")
        assert message.endswith("): the remaining records are read one by one.")

    def test_a_record_that_moved_to_another_file_is_lost(self, prepared, copy):
        content, other = (shard(copy, number).read_bytes() for number in (1, 0))
        start, end = frames(content)[-1]
        shard(copy, 1).write_bytes(content[:start])
        shard(copy, 0).write_bytes(other + content[start:end])
        expected = without_bytes(read(prepared), {name(1, EACH - 1)})
        assert Counter(read(copy)) == Counter(expected)

    def test_what_was_delivered_before_is_not_delivered_again(self, prepared, copy, monkeypatch, caplog):
        monkeypatch.setattr(tfds_images, "_BATCH", 4)
        content = shard(copy, 1).read_bytes()
        shard(copy, 1).write_bytes(flipped(content, frames(content)[7][0] + 40))
        assert Counter(read(copy)) == Counter(without_bytes(read(prepared), {name(1, 7)}))
        # TFDS takes 16 records of the first file and then turns to the second.
        assert "TFDS's reader stopped after 20 of 72 examples (corrupted record at" in caplog.text

    def test_the_order_is_the_same_every_time(self, copy, monkeypatch):
        monkeypatch.setattr(tfds_images, "_BATCH", 4)
        content = shard(copy, 1).read_bytes()
        shard(copy, 1).write_bytes(flipped(content, frames(content)[7][0] + 40))
        assert read(copy) == read(copy)

    @pytest.mark.parametrize(
        ("split", "field", "lost"),
        [
            ("train[10:40]", "data", [7]),
            ("train[35:50]", "data", []),
            ("train[35:50]", "length", range(11, EACH)),
            ("train[:30]", "length", []),
            ("train[:24]", "length", []),
            ("train[:40]+train[20:]", "data", [7]),
            ("train[:40]+train[20:]", "length", range(7, EACH)),
        ],
    )
    def test_slices(self, prepared, copy, split, field, lost):
        content = shard(copy, 1).read_bytes()
        start = frames(content)[7][0]
        shard(copy, 1).write_bytes(flipped(content, start + {"data": 40, "length": 0}[field]))
        expected = without_bytes(read(prepared, split), {name(1, i) for i in lost})
        assert Counter(read(copy, split)) == Counter(expected)

    def test_several_files(self, prepared, copy):
        for number, index in [(0, 0), (1, 23), (2, 4), (2, 5)]:
            content = shard(copy, number).read_bytes()
            shard(copy, number).write_bytes(flipped(content, frames(content)[index][0] + 30))
        expected = without_bytes(read(prepared), {name(0, 0), name(1, 23), name(2, 4), name(2, 5)})
        assert Counter(read(copy)) == Counter(expected)

    @given(st.data())
    @settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
    def test_any_flipped_bit(self, prepared, copy, draw):
        number = draw.draw(st.integers(0, SHARDS - 1))
        content = shard(prepared, number).read_bytes()
        position = draw.draw(st.integers(0, len(content) - 1))
        shard(copy, number).write_bytes(flipped(content, position, draw.draw(st.integers(0, 7))))
        try:
            found = read(copy)
        finally:
            shard(copy, number).write_bytes(content)
        (hit,) = (i for i, (start, end) in enumerate(frames(content)) if start <= position < end)
        in_length = position - frames(content)[hit][0] < 12
        lost = range(hit, EACH) if in_length else [hit]
        assert Counter(found) == Counter(without_bytes(read(prepared), {name(number, i) for i in lost}))

    @pytest.mark.parametrize(
        ("file", "damage"),
        [
            *(("dataset_info.json", damage) for damage in ("cut", "empty", "no text", "gone")),
            *(("features.json", damage) for damage in ("cut", "empty", "no text")),
        ],
    )
    def test_what_describes_the_set(self, copy, file, damage):
        path = shard(copy, 0).with_name(file)
        content = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "no text": b"\xff\x00"}[damage])
        message = rf"dataset 'tiny_shards': its description in {copy} cannot be read \(.*\)\. The files may"
        with pytest.raises(UserError, match=message):
            read(copy)

    @pytest.mark.parametrize("damage", [False, True])
    def test_a_missing_file_is_an_error(self, copy, damage):
        if damage:
            content = shard(copy, 0).read_bytes()
            shard(copy, 0).write_bytes(flipped(content, 40))
        shard(copy, 2).unlink()
        with pytest.raises(UserError, match=r"failed after \d+ of 72 examples .* copy or prepare the set again\."):
            read(copy)

    @pytest.mark.parametrize("kind", [tf.errors.DataLossError, tf.errors.InvalidArgumentError])
    def test_files_of_other_formats_are_not_read_on(self, prepared, monkeypatch, kind):
        def broken(*_):
            raise kind(None, None, "broken")
            yield

        monkeypatch.setattr(tfds_images, "_stream", broken)
        monkeypatch.setattr(tfds.core.DatasetInfo, "file_format", tfds.core.FileFormat.PARQUET)
        with pytest.raises(UserError, match=r"failed after 0 of 72 examples \(broken\)\. The files may be"):
            read(prepared)

    def test_files_of_a_format_that_cannot_be_streamed(self, tmp_path):
        TinyShards(data_dir=tmp_path, file_format="array_record").download_and_prepare()
        with pytest.raises(UserError, match=r"holds array_record files, .* Prepare the set as TFRecord files\."):
            read(tmp_path)


class TestLimit:
    """Three records of a dataset are damaged."""

    @pytest.fixture
    def damaged(self, copy):
        for number, index in [(0, 3), (1, 7), (2, 20)]:
            content = shard(copy, number).read_bytes()
            shard(copy, number).write_bytes(flipped(content, frames(content)[index][0] + 40))
        return copy

    def open(self, damaged, tmp_path, **arguments):
        arguments = {"data_dir": damaged, "cache_dir": tmp_path / "cache", **arguments}
        return data.open_source("tiny_shards", resolution=4, **arguments)

    @pytest.mark.parametrize("limit", [{}, {"max_skipped": 3}])
    def test_reached(self, prepared, damaged, tmp_path, limit, caplog):
        whole = data.open_source("tiny_shards", data_dir=prepared, resolution=4, cache_dir=tmp_path / "whole")
        source = self.open(damaged, tmp_path, **limit)
        assert source.size == 69
        pictures = {label: image.tobytes() for image, label in zip(whole.images, whole.labels.tolist(), strict=True)}
        found = {label: image.tobytes() for image, label in zip(source.images, source.labels.tolist(), strict=True)}
        assert len(found) == 69
        assert found.items() <= pictures.items()
        assert caplog.messages[-1] == (
            f"tiny_shards: left out 3 of 72 images, which cannot be decoded: damaged or lost record (3): "
            f"{name(0, 3)}, {name(1, 7)}, {name(2, 20)}"
        )

    @pytest.mark.parametrize(("limit", "told"), [(0, [(0, 3)]), (2, [(0, 3), (1, 7), (2, 20)])])
    def test_exceeded(self, damaged, tmp_path, limit, told):
        with pytest.raises(UserError) as error:
            self.open(damaged, tmp_path, max_skipped=limit)
        read = {0: 4, 2: 69}[limit]
        assert str(error.value) == (
            f"tiny_shards: {limit + 1} of the {read} images read cannot be decoded, more than max_skipped={limit} "
            f"allows: damaged or lost record ({limit + 1}): {', '.join(name(*i) for i in told)}. "
            "Copy or prepare the set again, or raise max_skipped."
        )
        assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]

    def test_a_file_cut_short(self, copy, tmp_path):
        shard(copy, 0).write_bytes(shard(copy, 0).read_bytes()[:20])
        with pytest.raises(UserError, match=r"6 of the 6 images read .* \(6\): record 0 of .*, record 5 of .*-00000-"):
            self.open(copy, tmp_path, max_skipped=5)

    def test_a_record_whose_picture_is_none(self, copy, tmp_path, caplog):
        content = shard(copy, 1).read_bytes()
        start, end = frames(content)[7]
        example = tf.train.Example.FromString(content[start + 12 : end - 4])
        example.features.feature["image"].bytes_list.value[0] = b"\x89PNG no more"
        shard(copy, 1).write_bytes(content[:start] + framed(example.SerializeToString()) + content[end:])
        assert self.open(copy, tmp_path, max_skipped=1).size == 71
        assert caplog.messages == [
            f"tiny_shards: left out 1 of 72 images, which cannot be decoded: not an image that Pillow reads (1): "
            f"{name(1, 7)}",
        ]
