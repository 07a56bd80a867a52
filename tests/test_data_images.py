"""Folders of images, the resulting pixels, and their cache."""

import concurrent.futures
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gan_zoo
from gan_zoo import data
from gan_zoo.data import cache, decoding
from gan_zoo.data.folder import find
from gan_zoo.training import pipeline
from gan_zoo.util import files
from gan_zoo.util.errors import UserError

from .waiting import HANGING


def picture(seed, width=12, height=10, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)


@pytest.fixture
def folder(tmp_path):
    """A folder of six square colour images in two classes."""
    root = tmp_path / "pictures"
    for i in range(6):
        save(root / ("cat" if i % 2 else "ant") / f"{i}.png", picture(i, 8, 8))
    return root


@pytest.fixture
def store(tmp_path):
    return tmp_path / "cache"


def open_folder(root, store, **arguments):
    arguments.setdefault("resolution", 8)
    return data.open_source(f"folder:{root}", cache_dir=store, **arguments)


def entries(store):
    """Returns the contents of a cache, without locks."""
    return [path for path in store.iterdir() if not path.name.startswith(".")]


class TestFolder:
    def test_images_in_the_order_of_their_paths(self, folder, store):
        source = open_folder(folder, store)
        assert source.shape == (8, 8, 3)
        assert source.classes == ("ant", "cat")
        assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
        np.testing.assert_array_equal(source.images, [picture(i, 8, 8) for i in (0, 2, 4, 1, 3, 5)])
        assert source.describe() == {
            "name": f"folder:{folder}",
            "kind": "image",
            "shape": [8, 8, 3],
            "size": 6,
            "num_classes": 2,
            "split": "train",
            "resolution": 8,
            "crop": None,
            "path": str(folder),
        }

    def test_stream(self, folder, store):
        x, y = next(data.load(f"folder:{folder}", 6, resolution=8, labels=True, cache_dir=store).as_numpy_iterator())
        assert sorted(y.tolist()) == [0, 0, 0, 1, 1, 1]
        back = np.round((x + 1) * 127.5).astype(np.uint8)
        assert {image.tobytes() for image in back} == {picture(i, 8, 8).tobytes() for i in range(6)}

    def test_numbers_of_numpy(self, folder, store):
        source = open_folder(folder, store, resolution=np.int64(8), crop=np.int32(8), memory_limit=np.int64(10))
        json.dumps(source.describe())

    def test_default_resolution(self, folder, store):
        assert data.open_source(f"folder:{folder}", cache_dir=store).shape == (64, 64, 3)

    def test_nested_upper_case_and_other_files(self, tmp_path, store):
        save(tmp_path / "a" / "b" / "c.PNG", picture(0))
        save(tmp_path / "d.jpeg", picture(1))
        save(tmp_path / "e.jpg", picture(2))
        save(tmp_path / ".hidden.png", picture(3))
        save(tmp_path / ".cache" / "f.png", picture(3))
        (tmp_path / "notes.txt").write_text("none")
        source = open_folder(tmp_path, store)
        assert source.size == 3
        assert source.num_classes is None
        assert source.labels is None

    def test_links_are_followed_but_not_in_circles(self, tmp_path, store):
        save(tmp_path / "elsewhere" / "a.png", picture(0))
        root = tmp_path / "root"
        root.mkdir()
        (root / "linked").symlink_to(tmp_path / "elsewhere")
        (root / "linked" / "back").symlink_to(root)
        assert open_folder(root, store).size == 1

    def test_home(self, folder, store, monkeypatch):
        monkeypatch.setenv("HOME", str(folder.parent))
        assert data.open_source("folder:~/pictures", resolution=8, cache_dir=store).size == 6

    def test_bad_files_are_named_and_left_out(self, folder, store, caplog):
        (folder / "ant" / "broken.jpg").write_bytes(b"no image")
        whole = (folder / "cat" / "1.png").read_bytes()
        (folder / "cat" / "cut.png").write_bytes(whole[:60])
        for opening in range(2):
            caplog.clear()
            source = open_folder(folder, store)
            assert source.size == 6
            assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
            messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
            assert messages == [
                f"folder:{folder}: left out 2 of 8 images, which cannot be decoded: "
                "not an image that Pillow reads (1): ant/broken.jpg; cut short (1): cat/cut.png"
            ], opening

    def test_a_link_to_nowhere_is_a_bad_file(self, folder, store, caplog):
        (folder / "ant" / "lost.png").symlink_to(folder / "nowhere.png")
        assert open_folder(folder, store).size == 6
        assert (
            "left out 1 of 7 images, which cannot be decoded: no such file or directory (1): ant/lost.png"
            in caplog.text
        )

    def test_names_that_are_no_text(self, folder, store):
        source = os.fsencode(folder / "ant" / "0.png")
        Path(os.fsdecode(source)).rename(os.fsdecode(source.replace(b"0.png", b"\xff.png")))
        assert open_folder(folder, store).size == 6

    def test_many_bad_files(self, folder, store, caplog):
        for i in range(14):
            (folder / f"{i:02}.png").write_bytes(b"")
        assert open_folder(folder, store).size == 6
        (message,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert "left out 14 of 20 images" in message
        assert ": empty (14): 00.png, 01.png" in message
        assert message.endswith("07.png, 08.png, 09.png and 4 more")

    @pytest.mark.parametrize("name", ["folder:", "folder:/no/such/folder"])
    def test_missing(self, name, store):
        with pytest.raises(
            UserError, match=r"there is no folder .* Write the path of a folder of images after folder:\."
        ):
            data.open_source(name, cache_dir=store)

    def test_empty(self, tmp_path, store):
        with pytest.raises(
            UserError, match="the folder holds no .jpg, .jpeg, .png or other image files, at any depth."
        ):
            open_folder(tmp_path, store)

    def test_all_bad(self, tmp_path, store):
        (tmp_path / "a.png").write_bytes(b"x")
        (tmp_path / "b.jpg").write_bytes(b"y")
        with pytest.raises(
            UserError,
            match=r"none of the 2 images of .* can be decoded: not an image that Pillow reads \(2\): a.png, b.jpg.",
        ):
            open_folder(tmp_path, store)
        assert not entries(store)

    def test_no_classes(self, tmp_path, store):
        save(tmp_path / "a" / "1.png", picture(0))
        save(tmp_path / "2.png", picture(0))
        advice = "Put all images of each class into a subfolder named after the class."
        with pytest.raises(UserError) as error:
            open_folder(tmp_path, store, labels=True)
        assert str(error.value) == (
            f"labels: folder:{tmp_path} has none: 1 of its 2 images lie in no subfolder (2.png). {advice}"
        )
        assert not store.exists()
        with pytest.raises(UserError, match=f"has none. {advice}"):
            open_folder(tmp_path, store).batches(1, labels=True)

    def test_classes_are_the_folders_of_the_first_level(self, tmp_path, store):
        root = tmp_path / "pictures"
        for i, path in enumerate(["2/a.png", "10/deep/b.png", "10/deep/er/c.png", "Z/2/d.png"]):
            save(root / path, picture(i, 8, 8))
        (root / ".hidden").mkdir()
        found = data.find_source(f"folder:{root}", labels=True, resolution=8, cache_dir=store)
        assert found.classes == ("10", "2", "Z")
        assert not store.exists()
        source = found.open()
        assert found.describe() == source.describe()
        expected = {picture(i, 8, 8).tobytes(): label for i, label in enumerate([1, 0, 0, 2])}
        x, y = next(source.batches(4).as_numpy_iterator())
        back = np.round((x + 1) * 127.5).astype(np.uint8)
        assert {image.tobytes(): label for image, label in zip(back, y.tolist(), strict=True)} == expected

    def test_a_class_without_images(self, folder, store):
        for name in ("dog", "bee"):
            (folder / name).mkdir()
        (folder / "bee" / "notes.txt").write_text("none")
        with pytest.raises(UserError) as error:
            data.find_source(f"folder:{folder}", labels=True)
        assert str(error.value) == (
            f"labels: every subfolder of folder:{folder} is a class, and these hold no images: bee, dog. Put images "
            f"into them, or remove them."
        )
        assert data.find_source(f"folder:{folder}").classes == ("ant", "cat")

    def test_a_class_of_which_nothing_can_be_decoded(self, folder, store):
        (folder / "bee").mkdir()
        (folder / "bee" / "broken.png").write_bytes(b"no image")
        for _ in range(2):  # the second time from the cache
            with pytest.raises(UserError) as error:
                open_folder(folder, store, labels=True)
            assert str(error.value) == (
                f"labels: every subfolder of folder:{folder} is a class, and no image of these can be decoded: bee "
                f"(not an image that Pillow reads (1): bee/broken.png). Repair or remove these files, or remove the "
                f"subfolders."
            )
        assert open_folder(folder, store).labels.tolist() == [0, 0, 0, 2, 2, 2]

    def test_batch_larger_than_the_set(self, folder, store):
        with pytest.raises(UserError, match=r"n_critic \* batch_size = 7 examples, but folder:.* has only 6\."):
            data.load(f"folder:{folder}", 7, resolution=8, cache_dir=store)

    def test_split(self, folder, store):
        with pytest.raises(UserError, match="has only the split 'train'"):
            open_folder(folder, store, split="test")


class TestSkipped:
    """Three of nine images cannot be decoded: the first, the fifth and the last."""

    @pytest.fixture
    def damaged(self, folder):
        for bad in ("ant/+.png", "cat/+.png", "cat/x.png"):
            (folder / bad).write_bytes(b"no image")
        return folder

    def test_as_many_as_may_be(self, damaged, store):
        assert open_folder(damaged, store, max_skipped=3).size == 6
        source = next(
            data.load(f"folder:{damaged}", 6, resolution=8, cache_dir=store, max_skipped=3).as_numpy_iterator()
        )
        assert source.shape == (6, 8, 8, 3)

    @pytest.mark.parametrize(
        ("limit", "read", "names"), [(0, 1, "ant/+.png"), (2, 9, "ant/+.png, cat/+.png, cat/x.png")]
    )
    @pytest.mark.parametrize("cached", [False, True])
    def test_more(self, damaged, store, limit, read, names, cached):
        if cached:
            open_folder(damaged, store)
        with pytest.raises(UserError) as error:
            open_folder(damaged, store, max_skipped=limit)
        skipped = 3 if cached else limit + 1
        names = "ant/+.png, cat/+.png, cat/x.png" if cached else names
        assert str(error.value) == (
            f"folder:{damaged}: {skipped} of the {9 if cached else read} images read cannot be decoded, more than "
            f"max_skipped={limit} allows: not an image that Pillow reads ({skipped}): {names}. "
            "Repair or remove these files, or raise max_skipped."
        )
        assert len(entries(store)) == cached

    def test_a_refused_set_stays_for_those_who_take_it(self, damaged, store, monkeypatch):
        open_folder(damaged, store)
        with pytest.raises(UserError, match="max_skipped=2"):
            open_folder(damaged, store, max_skipped=2)
        monkeypatch.setattr(decoding, "_decode", None)
        assert open_folder(damaged, store, max_skipped=3).size == 6

    def test_decoding_stops_at_once(self, damaged, store, monkeypatch):
        monkeypatch.setattr(decoding, "_CHUNK", 2)
        done = []
        real = decoding._decode
        monkeypatch.setattr(decoding, "_decode", lambda path, channels: done.append(path) or real(path, channels))
        with pytest.raises(UserError, match="2 of the 5 images read"):
            open_folder(damaged, store, max_skipped=1)
        assert len(done) == 6

    def test_without_a_cache(self, damaged, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="3 of the 9 images read .* max_skipped=2"):
            open_folder(damaged, tmp_path / "file", max_skipped=2)

    def test_training_hands_it_over(self, damaged, store):
        config = pipeline.Config(
            model="dcgan",
            dataset=f"folder:{damaged}",
            resolution=8,
            batch_size=2,
            width=2,
            cache_dir=str(store),
            max_skipped=1,
        )
        with pytest.raises(UserError, match="max_skipped=1"):
            pipeline.run(config)

    def test_many_names(self, folder, store):
        for i in range(130):
            (folder / "ant" / f"{i:03}.png").write_bytes(b"")
        with pytest.raises(
            UserError, match=r"101 of the \d+ images .* more than max_skipped=100 allows: .* and 91 more\."
        ):
            open_folder(folder, store)


class TestKindsOfDamage:
    """Every kind of damaged file is named and counted, and all other files are used."""

    def check(self, folder, store, caplog, name, reason):
        assert open_folder(folder, store, max_skipped=1).size == 6
        assert caplog.messages == [
            f"folder:{folder}: left out 1 of 7 images, which cannot be decoded: {reason} (1): {name}"
        ]

    def test_empty(self, folder, store, caplog):
        (folder / "ant" / "bad.png").write_bytes(b"")
        self.check(folder, store, caplog, "ant/bad.png", "empty")

    def test_jpeg_cut_short(self, folder, store, caplog):
        file = folder / "ant" / "bad.jpg"
        save(file, picture(0, 64, 64))
        file.write_bytes(file.read_bytes()[:-300])
        self.check(folder, store, caplog, "ant/bad.jpg", "cut short")

    # Pillow refuses images of more than twice its limit of pixels, and by default only warns of smaller ones.
    @pytest.mark.parametrize("side", [10, 20])
    def test_more_pixels_than_pillow_takes(self, folder, store, caplog, monkeypatch, side):
        save(folder / "ant" / "bad.png", picture(0, side, side))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.check(folder, store, caplog, "ant/bad.png", "more than 80 pixels, shrink it or cut it up")

    def test_a_bomb_does_not_decide_the_channels(self, tmp_path, store, monkeypatch):
        save(tmp_path / "a.png", picture(0, 8, 8, 1))
        save(tmp_path / "b.png", picture(0, 10, 10, 3))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert open_folder(tmp_path, store).shape == (8, 8, 1)

    def test_unreadable(self, folder, store, caplog):
        # No user, not even root, can read a process's memory at address 0.
        (folder / "ant" / "bad.png").symlink_to("/proc/self/mem")
        self.check(folder, store, caplog, "ant/bad.png", "input/output error")

    def test_a_pipe(self, folder, store, caplog):
        os.mkfifo(folder / "ant" / "bad.png")
        self.check(folder, store, caplog, "ant/bad.png", "not a file")

    def test_gone_since_the_folder_was_listed(self, folder, store, caplog, monkeypatch):
        real = find

        def find_and_lose(name, **_):
            found = real(name)
            (folder / "ant" / "bad.png").unlink()
            return found

        save(folder / "ant" / "bad.png", picture(0, 8, 8))
        monkeypatch.setattr("gan_zoo.data.folder.find", find_and_lose)
        self.check(folder, store, caplog, "ant/bad.png", "no such file or directory")

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
    def test_what_is_no_damage_is_not_counted(self, folder, store, monkeypatch, stop):
        def stopped(path, channels):
            raise stop

        monkeypatch.setattr(decoding, "_decode", stopped)
        with pytest.raises(stop):
            open_folder(folder, store)
        assert not entries(store)


class TestPixels:
    def one(self, tmp_path, store, image, name="a.png", **arguments):
        image.save(tmp_path / name)
        return open_folder(tmp_path, store, **arguments).images[0]

    def test_centre_crop(self, tmp_path, store):
        pixels = picture(0, width=14, height=10)
        result = self.one(tmp_path, store, Image.fromarray(pixels), resolution=6, crop=6)
        np.testing.assert_array_equal(result, pixels[2:8, 4:10])

    @pytest.mark.parametrize(("width", "height"), [(20, 10), (10, 20)])
    def test_largest_square_by_default(self, tmp_path, store, width, height):
        pixels = picture(0, width, height)
        result = self.one(tmp_path, store, Image.fromarray(pixels), resolution=10)
        np.testing.assert_array_equal(result, pixels[:, 5:15] if width > height else pixels[5:15])

    def test_shrinking_is_antialiased(self, tmp_path, store):
        checks = np.indices((64, 64)).sum(axis=0) % 2 * 255
        result = self.one(tmp_path, store, Image.fromarray(checks.astype(np.uint8)), resolution=16)
        np.testing.assert_allclose(result, 127.5, atol=2)

    def test_resize_is_that_of_pillow_within_the_crop(self, tmp_path, store):
        pixels = picture(0, 20, 20)
        result = self.one(tmp_path, store, Image.fromarray(pixels), resolution=8, crop=16)
        inner = Image.fromarray(pixels[2:18, 2:18]).resize((8, 8), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(result, inner)

    def test_grey(self, tmp_path, store):
        pixels = picture(0, 8, 8, 1)
        result = self.one(tmp_path, store, Image.fromarray(pixels[..., 0]))
        np.testing.assert_array_equal(result, pixels)

    def test_one_colour_image_makes_all_three_channels(self, tmp_path, store):
        save(tmp_path / "a.png", picture(0, 8, 8, 1))
        save(tmp_path / "b.png", picture(1, 8, 8, 3))
        source = open_folder(tmp_path, store)
        assert source.shape == (8, 8, 3)
        np.testing.assert_array_equal(source.images[0], np.repeat(picture(0, 8, 8, 1), 3, axis=2))

    def test_a_bad_file_does_not_decide_the_channels(self, tmp_path, store):
        (tmp_path / "0.png").write_bytes(b"x")
        save(tmp_path / "a.png", picture(0, 8, 8, 1))
        assert open_folder(tmp_path, store).shape == (8, 8, 1)

    def test_sixteen_bits_are_scaled(self, tmp_path, store):
        deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
        result = self.one(tmp_path, store, Image.fromarray(deep))
        np.testing.assert_array_equal(result[..., 0], deep >> 8)

    def test_transparency_is_laid_on_white(self, tmp_path, store):
        pixels = picture(0, 8, 8, 4)
        pixels[..., 3] = 255
        pixels[:4, :, 3] = 0
        result = self.one(tmp_path, store, Image.fromarray(pixels))
        assert (result[:4] == 255).all()
        np.testing.assert_array_equal(result[4:], pixels[4:, :, :3])

    def test_palette_and_black_and_white(self, tmp_path, store):
        pixels = np.repeat(np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 4, 3, axis=2)
        pixels[..., 1] = 0
        result = self.one(tmp_path, store, Image.fromarray(pixels).quantize(64))
        np.testing.assert_array_equal(result, pixels)
        bits = Image.fromarray((np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)).convert("1")
        assert self.one(tmp_path, store, bits, "bits.png").shape[-1] == 3

    def test_photographs_are_turned_upright(self, tmp_path, store):
        exif = Image.Exif()
        exif[0x0112] = 6
        pixels = np.zeros((8, 8, 3), np.uint8)
        pixels[0] = 255
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        result = open_folder(tmp_path, store).images[0]
        assert (result[:, -1] == 255).all()
        assert (result[:, 0] == 0).all()

    def test_crop_larger_than_an_image(self, tmp_path, store):
        save(tmp_path / "a.png", picture(0, 20, 20))
        save(tmp_path / "b.png", picture(0, 20, 15))
        with pytest.raises(UserError) as error:
            open_folder(tmp_path, store, crop=16)
        assert str(error.value) == "crop 16 is larger than the image b.png, which is 20x15: use a crop of at most 15."
        assert not entries(store)

    def test_enlarging_is_told_once(self, tmp_path, store, caplog):
        save(tmp_path / "a.png", picture(0, 20, 20))
        save(tmp_path / "b.png", picture(1, 10, 10))
        open_folder(tmp_path, store, resolution=16)
        (message,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        assert message == (f"folder:{tmp_path}: enlarged 1 of 2 images, which are smaller than 16x16 after cropping.")


class TestCache:
    @pytest.fixture
    def decoded(self, monkeypatch):
        """Counts the images that are decoded."""
        done = []
        real = decoding._decode

        def counting(data, channels):
            done.append(data)
            return real(data, channels)

        monkeypatch.setattr(decoding, "_decode", counting)
        return done

    def entry(self, store):
        (entry,) = entries(store)
        return entry

    def test_nothing_is_decoded_twice(self, folder, store, decoded):
        first = open_folder(folder, store)
        assert len(decoded) == 6
        again = open_folder(folder, store)
        assert len(decoded) == 6
        np.testing.assert_array_equal(first.images, again.images)
        np.testing.assert_array_equal(first.labels, again.labels)
        assert first.describe() == again.describe()
        assert sorted(p.name for p in self.entry(store).iterdir()) == ["images.u8", "labels.npy", "meta.json"]

    def test_labels_are_in_the_cache_whoever_filled_it(self, folder, store, decoded):
        plain = open_folder(folder, store)
        labelled = open_folder(folder, store, labels=True)
        assert len(decoded) == 6
        assert (plain.labelled, labelled.labelled) == (False, True)
        assert labelled.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert labelled.checksum() != plain.checksum()
        (self.entry(store) / "labels.npy").unlink()  # for example by another program
        assert open_folder(folder, store, labels=True).labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert len(decoded) == 12

    @pytest.mark.parametrize("arguments", [{"resolution": 9}, {"crop": 6}])
    def test_other_settings_are_other_entries(self, folder, store, decoded, arguments):
        open_folder(folder, store)
        open_folder(folder, store, **arguments)
        assert len(decoded) == 12
        assert len(entries(store)) == 2

    def test_new_preprocessing_is_another_entry(self, folder, store, decoded, monkeypatch):
        open_folder(folder, store)
        monkeypatch.setattr(cache, "PIXELS_VERSION", -1)
        open_folder(folder, store)
        assert len(decoded) == 12

    @pytest.mark.parametrize("change", ["added", "removed", "touched", "rewritten"])
    def test_a_changed_folder_is_decoded_again(self, folder, store, decoded, change):
        open_folder(folder, store)
        file = folder / "ant" / "0.png"
        if change == "added":
            save(folder / "ant" / "new.png", picture(9, 8, 8))
        elif change == "removed":
            file.unlink()
        elif change == "touched":
            os.utime(file, (1, 1))
        else:
            save(file, picture(9, 7, 7))
        open_folder(folder, store)
        assert len(decoded) == {"added": 13, "removed": 11, "touched": 12, "rewritten": 12}[change]

    @pytest.mark.parametrize("file", ["images.u8", "labels.npy", "meta.json"])
    @pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "gone"])
    def test_damage_is_found_and_mended(self, folder, store, decoded, file, damage, caplog):
        expected = open_folder(folder, store)
        path = self.entry(store) / file
        content = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes({"cut": content[:-9], "empty": b"", "garbage": b"\x93\x00{[" * 7}[damage])
        source = open_folder(folder, store)
        assert len(decoded) == 12
        assert "cannot be used" in caplog.text
        assert "are decoded again" in caplog.text
        np.testing.assert_array_equal(source.images, expected.images)
        caplog.clear()
        open_folder(folder, store)
        assert len(decoded) == 12
        assert caplog.text == ""

    def test_a_file_in_the_place_of_the_entry(self, folder, store, decoded):
        open_folder(folder, store)
        entry = self.entry(store)
        for file in entry.iterdir():
            file.unlink()
        entry.rmdir()
        entry.write_text("")
        with pytest.raises(
            UserError, match=r"cache_dir: .* cannot be used \(.*\)\. Delete it or choose another cache_dir"
        ):
            open_folder(folder, store)

    def test_entries_of_other_sets_are_not_trusted(self, folder, store, decoded):
        open_folder(folder, store)
        meta = self.entry(store) / "meta.json"
        changed = json.loads(meta.read_text())
        changed["key"]["path"] = "/elsewhere"
        meta.write_text(json.dumps(changed))
        open_folder(folder, store)
        assert len(decoded) == 12

    def test_an_interrupted_run_leaves_nothing(self, folder, store, monkeypatch):
        def interrupted(file):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(cache, "_sync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                open_folder(folder, store)
        assert not entries(store)

    def test_a_killed_run_leaves_nothing_that_is_trusted(self, folder, store):
        code = """
import os, signal, sys
from gan_zoo.data import cache, open_source
cache._sync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
open_source(sys.argv[1], resolution=8, cache_dir=sys.argv[2])
"""
        env = {**os.environ, "PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
        killed = subprocess.run([sys.executable, "-c", code, f"folder:{folder}", store], env=env, timeout=HANGING)
        assert killed.returncode == -signal.SIGKILL
        assert [p.name for p in self.entry(store).iterdir()] == ["images.u8"]
        source = open_folder(folder, store)
        np.testing.assert_array_equal(source.images[0], picture(0, 8, 8))
        assert sorted(p.name for p in self.entry(store).iterdir()) == ["images.u8", "labels.npy", "meta.json"]

    @pytest.mark.parametrize("days", [-400, 0, 400])
    def test_leftovers_of_dead_processes_go_whatever_the_clock_says(self, folder, store, days):
        open_folder(folder, store)
        entry = self.entry(store)
        leftovers = [entry.with_name(f"{entry.name}.partial{behind}") for behind in ("", "-0123456789ab")]
        for leftover in leftovers:
            leftover.mkdir()
            (leftover / "images.u8").write_bytes(b"half")
            for path in (leftover / "images.u8", leftover):
                os.utime(path, (time.time() + days * 86400,) * 2)
        (entry / "meta.json").unlink()
        open_folder(folder, store)
        assert entries(store) == [entry]

    @pytest.mark.parametrize("jump", [-1e9, 1e9])
    def test_another_process_is_waited_for(self, folder, store, decoded, monkeypatch, caplog, jump):
        real, started, go = cache._write, threading.Event(), threading.Event()

        def slow(partial, *rest):
            started.set()
            assert go.wait(HANGING)
            real(partial, *rest)

        monkeypatch.setattr(cache, "_write", slow)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            first = pool.submit(open_folder, folder, store)
            assert started.wait(HANGING)
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + jump)
            second = pool.submit(open_folder, folder, store)
            while not caplog.messages and not second.done():
                go.wait(0.01)
            (partial,) = entries(store)
            assert partial.suffix == ".partial"
            go.set()
            sources = [first.result(HANGING), second.result(HANGING)]
        assert caplog.messages == [f"folder:{folder} is being decoded by another process: waiting until that is done."]
        assert len(decoded) == 6
        np.testing.assert_array_equal(sources[0].images, sources[1].images)
        assert entries(store) == [self.entry(store)]

    def test_where_another_process_fails_this_one_decodes(self, folder, store, monkeypatch):
        real, started, go = cache._write, threading.Event(), threading.Event()

        def failing(partial, *rest):
            monkeypatch.setattr(cache, "_write", real)
            started.set()
            assert go.wait(HANGING)
            raise KeyboardInterrupt

        monkeypatch.setattr(cache, "_write", failing)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            first = pool.submit(open_folder, folder, store)
            assert started.wait(HANGING)
            second = pool.submit(open_folder, folder, store)
            go.set()
            assert isinstance(first.exception(HANGING), KeyboardInterrupt)
            assert second.result(HANGING).size == 6
        assert len(entries(store)) == 1

    def test_a_process_that_is_killed_is_waited_for_no_longer(self, folder, store, caplog):
        code = """
import sys, time
from gan_zoo.data import cache, open_source
def forever(file):
    print("started", flush=True)
    time.sleep(600)
cache._sync = forever
open_source(sys.argv[1], resolution=8, cache_dir=sys.argv[2])
"""
        env = {**os.environ, "PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
        command = [sys.executable, "-c", code, f"folder:{folder}", store]
        with (
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as other,
            concurrent.futures.ThreadPoolExecutor() as pool,
        ):
            assert other.stdout.readline() == "started\n"
            opening = pool.submit(open_folder, folder, store)
            while not caplog.messages and not opening.done():
                time.sleep(0.01)
            other.kill()
            assert opening.result(HANGING).size == 6
        assert caplog.messages == [f"folder:{folder} is being decoded by another process: waiting until that is done."]
        assert len(entries(store)) == 1

    @pytest.mark.parametrize("file", ["images.u8", "labels.npy"])
    def test_a_flipped_bit_is_found_and_mended(self, folder, store, decoded, file, caplog):
        expected = open_folder(folder, store)
        path = self.entry(store) / file
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        source = open_folder(folder, store)
        assert f"cannot be used ({file} has changed since it was written) and are decoded again." in caplog.text
        assert len(decoded) == 12
        np.testing.assert_array_equal(source.images, expected.images)
        np.testing.assert_array_equal(source.labels, expected.labels)

    def test_sets_without_checksums_are_accepted(self, folder, store, decoded):
        open_folder(folder, store)
        meta = self.entry(store) / "meta.json"
        content = json.loads(meta.read_text())
        del content["crc32c"]
        meta.write_text(json.dumps(content))
        assert open_folder(folder, store).size == 6
        assert len(decoded) == 6

    def test_images_on_the_disk_are_not_read_to_check_them(self, folder, store, decoded):
        open_folder(folder, store)
        file = self.entry(store) / "images.u8"
        file.write_bytes(bytes(file.stat().st_size))
        assert not open_folder(folder, store, memory_limit=0).images.any()
        assert len(decoded) == 6

    def test_memory_or_map(self, folder, store):
        size = 6 * 8 * 8 * 3
        kept = open_folder(folder, store, memory_limit=size)
        mapped = open_folder(folder, store, memory_limit=size - 1)
        np.testing.assert_array_equal(kept.images, mapped.images)
        file = str(self.entry(store) / "images.u8")

        def is_mapped(source):
            address = source.images.ctypes.data
            with Path("/proc/self/maps").open() as maps:
                for line in maps:
                    start, end = (int(a, 16) for a in line.split()[0].split("-"))
                    if start <= address < end:
                        return line.rstrip().endswith(file)
            return False

        assert not is_mapped(kept)
        assert is_mapped(mapped)
        a = list(kept.batches(2, labels=True).take(9).as_numpy_iterator())
        b = list(mapped.batches(2, labels=True).take(9).as_numpy_iterator())
        for (x, y), (x2, y2) in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)

    def test_where_it_lies(self, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("GAN_ZOO_CACHE", raising=False)
        assert cache.default_dir() == tmp_path / "home" / ".cache" / "gan_zoo" / "data"
        monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "mine"))
        data.open_source(f"folder:{folder}", resolution=8)
        assert len(entries(tmp_path / "mine")) == 1

    def test_without_a_cache_small_sets_still_work(self, folder, tmp_path, caplog):
        blocked = tmp_path / "file"
        blocked.write_text("")
        source = open_folder(folder, blocked)
        assert source.size == 6
        assert f"cache_dir {blocked} cannot be used" in caplog.text
        assert "is decoded at every start." in caplog.text
        assert next(source.batches(6).as_numpy_iterator()).shape == (6, 8, 8, 3)

    def test_without_a_cache_large_sets_do_not(self, folder, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("")
        with pytest.raises(UserError, match=r"cache_dir .* cannot be used .* Choose another cache_dir, or raise"):
            open_folder(folder, blocked, memory_limit=10)

    def test_too_little_room_is_known_before(self, folder, store, monkeypatch, decoded):
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=7))
        with pytest.raises(UserError, match="0 MiB needed, 0 MiB free"):
            open_folder(folder, store, memory_limit=10)
        assert not decoded

    def test_the_disk_fills_up(self, folder, store, monkeypatch):
        def full(file):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(cache, "_sync", full)
        with pytest.raises(
            UserError, match=r"writing the decoded images of .* failed \(.*No space left.*\)\. Make room"
        ):
            open_folder(folder, store)
        assert not entries(store)

    def test_a_disk_that_is_really_full(self, folder, store):
        code = """
import resource, sys
from gan_zoo.data import open_source
from gan_zoo.util.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
try:
    open_source(sys.argv[1], resolution=8, cache_dir=sys.argv[2])
except UserError as error:
    print(error)
"""
        env = {**os.environ, "PYTHONPATH": str(Path(gan_zoo.__file__).parents[1])}
        command = [sys.executable, "-c", code, f"folder:{folder}", store]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=HANGING)
        assert done.stdout == (
            f"cache_dir: writing the decoded images of folder:{folder} to {store} failed ([Errno 27] File too large). "
            "Make room there or choose another cache_dir.\n"
        )
        assert not entries(store)
        assert open_folder(folder, store).size == 6

    def test_a_cache_that_may_only_be_read(self, folder, store, decoded, monkeypatch, caplog):
        open_folder(folder, store)

        def refused(path, name):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(files, "lock_of", refused)
        assert open_folder(folder, store).size == 6
        assert len(decoded) == 6
        assert not caplog.messages
        assert open_folder(folder, store, resolution=4).size == 6
        assert caplog.messages == [
            f"cache_dir {store} cannot be used ([Errno 13] Permission denied): "
            f"folder:{folder} is decoded at every start."
        ]

    def test_chunks(self, folder, store, monkeypatch):
        expected = open_folder(folder, store).images
        monkeypatch.setattr(decoding, "_CHUNK", 2)
        np.testing.assert_array_equal(open_folder(folder, store / "other").images, expected)

    def test_progress(self, folder, store, monkeypatch, capsys):
        monkeypatch.setattr(decoding, "_BIG", 6)
        monkeypatch.setattr(decoding.sys.stderr, "isatty", lambda: True, raising=False)
        open_folder(folder, store)
        assert capsys.readouterr().err == f"\rfolder:{folder}: decoded 6 of 6 images\n"
