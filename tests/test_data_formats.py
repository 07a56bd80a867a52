"""Every format that Pillow decodes is read; other files are counted and named, with the reason."""

import json
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms

from gan_zoo import data
from gan_zoo.data import cache, decoding, folder, formats
from gan_zoo.util.errors import UserError

SIDE = 16
RAMP = np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)
COLOUR = Image.fromarray(np.stack([RAMP, RAMP.T, np.full_like(RAMP, 90)], axis=2))
GREY = Image.fromarray(RAMP)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


def opened(root, **arguments):
    return data.open_source(f"folder:{root}", **{"resolution": SIDE, "cache_dir": root.parent / "cache", **arguments})


def writable():
    """Returns one suffix of each format that Pillow writes and the zoo reads."""
    readable, found = formats.suffixes(), {}
    for suffix, name in sorted(Image.registered_extensions().items()):
        if name in Image.SAVE and suffix in readable and name != "ICNS":  # ICNS allows only certain sizes
            found.setdefault(name, suffix)
    return sorted(found.values())


@pytest.mark.parametrize("suffix", writable())
def test_formats(root, suffix):
    kept = []
    for image in (COLOUR, GREY, COLOUR.quantize(256), GREY.convert("1")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # a later Pillow will not write IM
                image.save(root / f"{len(kept)}{suffix}")
            kept.append(image)
        except (OSError, ValueError, KeyError):  # the format does not support such images
            (root / f"{len(kept)}{suffix}").unlink(missing_ok=True)
    assert kept
    source = opened(root)
    channels = source.shape[-1]
    for pixels, image in zip(source.images, kept, strict=True):
        expected = np.asarray(image.convert("RGB" if channels == 3 else "L"), int).reshape(SIDE, SIDE, channels)
        assert np.abs(pixels - expected).mean() < 12


def test_the_usual_suffixes_are_among_them():
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp"} <= formats.suffixes()
    assert {".tif", ".tiff", ".jp2", ".avif", ".tga", ".ppm", ".mpo", ".psd", ".ico"} <= formats.suffixes()
    assert not {".pdf", ".eps", ".mpg", ".h5", ".svg", ".heic", ".txt"} & formats.suffixes()


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("CMYK", ".jpg"), ("CMYK", ".tif"), ("YCbCr", ".tif"), ("LAB", ".tif"), ("RGBA", ".webp"), ("RGBX", ".tif")],
)
def test_colours(root, mode, suffix):
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(COLOUR, srgb, lab, outputMode="LAB")
    else:
        image = COLOUR.convert(mode)
    image.save(root / f"a{suffix}", quality=95) if suffix != ".tif" else image.save(root / "a.tif")
    source = opened(root)
    assert source.shape[-1] == 3
    assert np.abs(source.images[0] - np.asarray(COLOUR, int)).mean() < 12


@pytest.mark.parametrize(
    "pixels",
    [
        *((RAMP / 255).astype(np.float32), RAMP.astype(np.float32)),
        *(RAMP.astype(np.uint16) * 257, RAMP.astype(np.int32) * 257),
    ],
    ids=["floats to 1", "floats to 255", "16 bits", "32 bits"],
)
def test_greys_of_other_depths(root, pixels):
    Image.fromarray(pixels).save(root / "a.tif")
    source = opened(root)
    assert source.shape[-1] == 1
    np.testing.assert_array_equal(source.images[0, ..., 0], RAMP)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (RAMP.astype(np.float32) * 100, "floats outside [0, 255], scale them to [0, 1] (1): b.tif"),
        (np.full((4, 4), np.nan, np.float32), "floats outside [0, 255], scale them to [0, 1] (1): b.tif"),
        (RAMP.astype(np.int32) * 2**20, "whole numbers beyond 16 bits, save it with 8 or 16 (1): b.tif"),
        (RAMP.astype(np.int32) - 1, "whole numbers beyond 16 bits, save it with 8 or 16 (1): b.tif"),
    ],
)
def test_pixels_of_unknown_scale_are_left_out(root, caplog, pixels, reason):
    GREY.save(root / "a.png")
    Image.fromarray(pixels).save(root / "b.tif")
    assert opened(root).size == 1
    assert caplog.messages == [f"folder:{root}: left out 1 of 2 images, which cannot be decoded: {reason}"]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
def test_the_first_of_several_pictures(root, caplog, suffix):
    more = {"lossless": True} if suffix == ".webp" else {}
    COLOUR.save(root / f"a{suffix}", save_all=True, append_images=[COLOUR.rotate(90)], **more)
    for _ in range(2):
        caplog.clear()
        assert np.abs(opened(root).images[0] - np.asarray(COLOUR, int)).mean() < 12
        (message,) = caplog.messages
        assert "1 of 1 files hold several pictures (animations, pages): only the first of each is used." in message


def test_pictures_that_belong_together_are_no_warning(root, caplog):
    COLOUR.save(root / "a.mpo", save_all=True, append_images=[COLOUR])
    assert opened(root).size == 1
    assert not caplog.messages


def test_suffixes_in_capitals_of_other_formats_and_none(root):
    COLOUR.save(root / "a.JFIF", format="JPEG")
    COLOUR.save(root / "b.jpg", format="WEBP")
    COLOUR.save(root / "c", format="PNG")
    COLOUR.save(root / "d", format="BMP")
    (root / "README").write_text("BMs of mine")
    (root / "LICENSE").write_text("")
    assert opened(root).size == 4


def test_what_is_passed_over_is_named(root, caplog):
    COLOUR.save(root / "a.png")
    for k in range(5):
        (root / f"{k}.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "film.mp4").write_bytes(b"film")
    COLOUR.save(root / "frame.0001", format="PNG")
    for name in ("notes.txt", "boxes.json", "Thumbs.db", ".DS_Store", "classes.csv", "data.zip", "x.unknown"):
        (root / name).write_text("x")
    for _ in range(2):
        caplog.clear()
        assert opened(root).size == 1
        assert caplog.messages == [
            f"folder:{root}: Files in formats that are not read are ignored: 5 .heic (0.HEIC, 1.HEIC, 2.HEIC and 2 "
            f"more), 1 .mp4 (film.mp4). Convert them to PNG or JPEG to train on them.",
            f"folder:{root}: 1 files contain images but do not have the suffix of an image format (frame.0001), and "
            f"are ignored: rename them to train on them.",
        ]
    (root / "a.png").unlink()
    with pytest.raises(UserError, match="holds no .jpg, .* Files in formats that are not read .* 5 .heic"):
        opened(root)


def test_reasons_are_counted(root, caplog):
    COLOUR.save(root / "a.png")
    whole = (root / "a.png").read_bytes()
    for k in range(12):
        (root / f"cut{k:02}.png").write_bytes(whole[: len(whole) // 2])
    (root / "empty.webp").write_bytes(b"")
    (root / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (root / "text.gif").write_text("no image")
    cut = ", ".join(f"cut{k:02}.png" for k in range(10))
    for _ in range(2):
        caplog.clear()
        assert opened(root).size == 1
        assert caplog.messages == [
            f"folder:{root}: left out 15 of 16 images, which cannot be decoded: cut short (12): {cut} and 2 more; "
            f"empty (1): empty.webp; HEIF, which Pillow does not read, convert it to PNG or JPEG (1): phone.jpg; not "
            f"an image that Pillow reads (1): text.gif"
        ]


class TestSize:
    def test_beyond_pillows_limit(self, root, caplog, monkeypatch):
        """Tests an image of which Pillow alone would warn, and one that it would refuse."""
        assert formats.PILLOWS_LIMIT == Image.MAX_IMAGE_PIXELS
        for module, name in ((formats, "PILLOWS_LIMIT"), (Image, "MAX_IMAGE_PIXELS")):
            monkeypatch.setattr(module, name, 100)
        GREY.resize((12, 12)).save(root / "a.png")
        GREY.save(root / "b.png")
        assert opened(root, resolution=12).size == 2
        assert not caplog.messages
        assert Image.MAX_IMAGE_PIXELS == 100

    def test_what_memory_does_not_hold(self, root, caplog, monkeypatch):
        COLOUR.save(root / "a.png")
        Image.new("1", (10_000, 10_000), 1).save(root / "b.png")
        monkeypatch.setattr(formats.machine, "memory", lambda: 2**20)
        assert opened(root).size == 1
        assert "more than 89,478,485 pixels, shrink it or cut it up (1): b.png" in caplog.text

    def test_memory_that_gives_out(self, root, caplog, monkeypatch):
        convert = decoding._convert

        def out_of_memory(image, mode):
            if image.width > SIDE:
                raise MemoryError
            return convert(image, mode)

        COLOUR.save(root / "a.png")
        Image.new("1", (10_000, 10_000), 1).save(root / "b.png")
        monkeypatch.setattr(decoding, "_convert", out_of_memory)
        assert opened(root).size == 1
        assert "not enough memory for its pixels, shrink it (1): b.png" in caplog.text

    def test_the_limit_follows_the_memory(self, monkeypatch):
        monkeypatch.setattr(formats.machine, "memory", lambda: 24 * 10**8)
        assert formats.most_pixels() == 10**8
        monkeypatch.setattr(formats.machine, "memory", lambda: 2**50)
        assert formats.most_pixels() == 2**30
        monkeypatch.setattr(formats.machine, "memory", lambda: None)
        assert formats.most_pixels() == 2 * formats.PILLOWS_LIMIT
        for own in (1000, None):
            monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", own)
            assert formats.most_pixels() == own

    def test_two_sets_at_once(self):
        before, inside = Image.MAX_IMAGE_PIXELS, threading.Barrier(2)

        def decode():
            with decoding.pixel_limit():
                inside.wait()
                assert before <= Image.MAX_IMAGE_PIXELS

        threads = [threading.Thread(target=decode) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert before == Image.MAX_IMAGE_PIXELS


class TestCache:
    def test_a_new_format_is_another_set(self, root):
        COLOUR.save(root / "a.png")
        assert opened(root).size == 1
        COLOUR.save(root / "b.webp")
        assert opened(root).size == 2

    def test_sets_of_earlier_versions(self, root, monkeypatch):
        """Complete caches are used, and those that lack images are decoded again."""
        COLOUR.save(root / "a.png")
        opened(root)
        (meta,) = (root.parent / "cache").glob("*/meta.json")
        document = json.loads(meta.read_text())
        document["report"] = {"count": 1, "skipped": 0, "skipped_names": [], "enlarged": 0}
        meta.write_text(json.dumps(document))
        with monkeypatch.context() as patched:
            patched.setattr(cache, "decode_all", None)
            assert opened(root).size == 1
        document["report"] |= {"skipped": 1, "skipped_names": ["scan.png"]}
        meta.write_text(json.dumps(document))
        assert opened(root).size == 1
        assert json.loads(meta.read_text())["report"]["reasons"] == {}

    def test_channels_are_known_from_it(self, root, monkeypatch):
        GREY.save(root / "a.png")
        opened(root)
        monkeypatch.setattr(folder, "is_grey", None)
        assert opened(root).shape[-1] == 1
