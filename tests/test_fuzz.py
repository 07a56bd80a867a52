"""Bad input of every kind gives one sentence and exit status 2, before anything is written.

The tests run the real command lines in this process. Accepted input does not train. `GAN_ZOO_FUZZ=50` tests 50 times as
many examples, and `--hypothesis-seed=random` different ones.
"""

import contextlib
import dataclasses
import io
import json
import os
import runpy
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from absl import flags
from absl import logging as absl_logging
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gan_zoo import UserError, networks
from gan_zoo.data import tfds_images
from gan_zoo.models import VARIANTS
from gan_zoo.registry import variants
from gan_zoo.replicas import workers
from gan_zoo.run_folder import loss_curves
from gan_zoo.training import job_report, pipeline, trainer

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "train.py"
SAMPLE, REFINE = ROOT / "gan_zoo" / "sampling" / "sample.py", ROOT / "gan_zoo" / "training" / "fine_tuning.py"
COMPARE, DYNAMICS = ROOT / "gan_zoo" / "compare" / "__main__.py", ROOT / "gan_zoo" / "dynamics" / "__main__.py"
SAVED_MODEL, RELEASE = ROOT / "export" / "saved_model.py", ROOT / "export" / "release.py"
MORE = int(os.environ.get("GAN_ZOO_FUZZ", "1"))


class Accepted(Exception):  # noqa: N818
    """Raised when valid input would start the work."""


@dataclasses.dataclass
class Result:
    """The result of a command: its exit status, None if the input was accepted, and its standard error."""

    status: int | None
    errors: str


def fuzz(examples: int):
    """Returns the settings of a test with this number of examples."""
    return settings(
        max_examples=examples * MORE,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


@pytest.fixture(autouse=True)
def _nothing_begins(monkeypatch):
    """Disables training, network and other workers, and simulates one device."""

    def begin(*args, **kwargs):
        raise Accepted

    def unreachable(host, *args, **kwargs):
        raise socket.gaierror(f"{host} is not to be reached from tests")

    def no_tpu(tpu=None):
        raise ValueError("there is no TPU")

    monkeypatch.setattr(trainer.Trainer, "train", begin)
    monkeypatch.setattr(job_report, "dry_run", begin)
    monkeypatch.setattr(workers, "meet", begin)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setattr(tfds_images, "_prepare", _cannot_prepare)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices=None: tf.distribute.get_strategy())
    monkeypatch.setattr(tf.distribute.cluster_resolver.TPUClusterResolver, "connect", no_tpu)
    monkeypatch.delenv("TF_CONFIG", raising=False)


def _cannot_prepare(name, builder):
    raise UserError(f"{name} cannot be downloaded in tests.")


@contextlib.contextmanager
def folder():
    """A new working folder, and caches outside of it."""
    before, variable = Path.cwd(), os.environ.get("GAN_ZOO_CACHE")
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as cache:
        os.chdir(work)
        os.environ["GAN_ZOO_CACHE"] = cache
        try:
            yield Path(work)
        finally:
            os.chdir(before)
            if variable is None:
                del os.environ["GAN_ZOO_CACHE"]
            else:
                os.environ["GAN_ZOO_CACHE"] = variable


def command(script: Path, *arguments: str) -> Result:
    """Runs the command line of a tool in this process."""
    own, path, argv, modules = set(flags.FLAGS), list(sys.path), sys.argv, set(sys.modules)
    policy, verbosity = keras.config.dtype_policy(), absl_logging.get_verbosity()
    sys.argv = [str(script), *arguments]
    errors, status = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        status = end.code
    except Accepted:
        pass
    finally:
        sys.argv, sys.path[:] = argv, path
        keras.config.set_dtype_policy(policy)
        absl_logging.set_verbosity(verbosity)
        for name in set(flags.FLAGS) - own:
            delattr(flags.FLAGS, name)
        flags.FLAGS.unparse_flags()
        here = str(Path.cwd())
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(here):
                del sys.modules[name]
    return Result(status, errors.getvalue())


def contents(root: Path) -> dict[str, bytes | None]:
    """Returns everything under a folder: bytes of files, None for folders and links."""
    return {
        str(p.relative_to(root)): p.read_bytes() if p.is_file() and not p.is_symlink() else None
        for p in sorted(root.rglob("*"))
        if "__pycache__" not in p.parts
    }


def assert_one_sentence(result: Result) -> str:
    lines = [line for line in result.errors.splitlines() if line.startswith("error: ")]
    assert result.status == 2, result
    assert len(lines) == 1, result
    assert "Traceback" not in result.errors
    sentence = lines[0].removeprefix("error: ")
    assert len(sentence) > 10
    assert len(sentence) < 1600
    assert sentence.endswith((".", "?", "!")), sentence
    return sentence


def try_out(script: Path, *arguments: str, root: Path) -> Result:
    """Runs a command. It must be accepted, or refused in one sentence with nothing written."""
    before = contents(root)
    result = command(script, *arguments)
    if result.status in (None, 0):
        return result
    assert_one_sentence(result)
    assert contents(root) == before
    return result


# Values of flags. Valid values are cheap ones; invalid values may be anything.

POINTS = {"model": "wgan_gp", "dataset": "ring8", "batch_size": "8", "width": "4", "run_dir": "run"}
IMAGES = {**POINTS, "model": "dcgan", "dataset": "digits", "resolution": "8", "latent_dim": "2", "precision": "float32"}

garbage = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", " ", "\0", "a\nb", "\udcff", "é" * 300, "x" * 5000, "--", "nan", "None", "[]", "${HOME}", "$(ls)"]
    ),
)
wholes = st.one_of(
    st.sampled_from(["0", "-1", "1", "7", "1.5", "1e9", "nan", "inf", "", "0x10", "٣", "9" * 5000]),
    st.sampled_from([10**6, 10**9, 10**12, 10**30, 2**31, 2**63, 2**64, -(2**63)]).map(str),
    st.integers().map(str),
    garbage,
)
# Valid for a width or a number of examples, but slow.
sizes = wholes.filter(lambda text: not (text.strip().isdecimal() and 64 < int(text[:4300]) < 2**14))
numbers = st.one_of(
    st.sampled_from(["nan", "inf", "-inf", "0", "-0.0", "1e-300", "1e300", "1e999", "-1", "0.5", ""]),
    st.floats().map(str),
    garbage,
)
paths = st.one_of(
    st.sampled_from(
        ["", "file", "file/below", "nowhere", "nowhere/below", "link", "link/below", "/", "~nobody-here/x"]
    ),
    st.sampled_from(["a\0b", "x" * 300, "x/" * 3000, "circle", "/dev/null", "/proc/x", "\udcff", "é", "full", "."]),
    garbage.filter(lambda text: not text.startswith(("/", "~"))),
)
datasets = st.one_of(
    st.sampled_from(
        [
            *("", "ring9", "folder:", "folder:/nonexistent", "folder:file", "folder:full", "folder:~nobody-here/x"),
            *(
                "folder:a\0b",
                "folder:circle",
                "../x",
                "./full",
                "/",
                "~",
                ".",
                "ring8(",
                "ring8)",
                "ring8()",
                "ring8(1)",
            ),
            *("gaussian_hyperplane(dim=10**9)", "gaussian_hyperplane(dim=1000000000)", "two_lines(theta=nan)"),
            *(
                "two_lines(theta=1e999)",
                "two_lines(theta=1e300)",
                "two_lines(theta=None)",
                "two_lines(theta=" + "(" * 3000,
            ),
            *(
                "two_lines(theta=" + "9" * 5000 + ")",
                "two_lines(theta=1, theta=2)",
                "two_lines(**{})",
                "two_lines(theta=x)",
            ),
            *("mixture1d(centres=[])", "mixture1d(centres=[1, 1])", "mixture1d(std=1e-320)", "mixture1d(std=0)"),
            *(
                "mixture1d(centres='ab')",
                "mixture1d(weights=[1e308, 1e308, 1, 1])",
                "mixture1d(centres=[1e308, -1e308])",
            ),
            *(
                "gaussian_line(angle=1e308)",
                "four_lines(length=1e200)",
                "mnist:9.9.9",
                "mnist/x",
                "lsun/nothing",
                "mnist:",
            ),
            *(
                "color_mnist",
                "digits:1.0.0",
                "digits/x",
                "a:b",
                "ring8;ls",
                "$(ls)",
                "`ls`",
                "ring8 ",
                " ring8",
                "RING8",
            ),
            *("mnist/x:1.0.0/y", "/mnist", "mnist/", "mnist:1", "mnist:*.*.*", "mnist:1.*.*", "imdb_reviews", "a/b/c"),
        ]
    ),
    st.sampled_from(
        ["two_lines(theta={})", "mixture1d(std={})", "gaussian_hyperplane(rank={})", "{}", "folder:{}"]
    ).flatmap(lambda form: garbage.map(lambda text: form.replace("{}", text))),
)
literals = st.one_of(
    st.sampled_from(
        [
            *(
                "__import__('os').system('x')",
                "[]*10**9",
                "[" * 5000,
                "(" * 90 + ")" * 90,
                "9" * 5000,
                "-" * 5000 + "1",
            ),
            *("nan", "inf", "1e999", "None", "True", "0", "-1", "1", "2", "1.5", "''", "'x'", "[]", "{}", "b'x'", "1j"),
            *(
                "{4: 8}",
                "{4: -8}",
                "{'a': 'b'}",
                "[1, 2]",
                "1000000000",
                "9223372036854775807",
                "1e300",
                "-1e300",
                "1e-320",
            ),
        ]
    ),
    garbage,
)


@st.composite
def assignments(draw, model: str):
    """Draws a --set for a variant, usually for one of its own arguments."""
    known = variants.find_model(model).argument_names() if model in VARIANTS else []
    name = draw(st.sampled_from([*known, *known, "name", "dtype", "trainable", "", "self", "kwargs"]))
    form = draw(st.sampled_from(["{}={}", "{}={}", "{}={}", "{}={}", "{}", "{} = {}", "={}", "--{}={}"]))
    return form.replace("{}", name, 1).replace("{}", draw(literals))


def enums(*values):
    return st.one_of(st.sampled_from(values), garbage)


VALUES = {
    **dict.fromkeys(("batch_size", "width", "latent_dim", "resolution", "n_critic"), sizes),
    **dict.fromkeys(("steps", "seed", "crop", "max_skipped", "steps_per_execution", "keep_checkpoints"), wholes),
    **dict.fromkeys(("sample_every", "checkpoint_every", "log_every", "health_every", "worker_index"), wholes),
    **dict.fromkeys(
        ("learning_rate", "d_learning_rate", "g_learning_rate", "ema_decay", "ema_half_life", "worker_timeout"), numbers
    ),
    **dict.fromkeys(("data_dir", "cache_dir", "run_dir"), paths),
    "num_virtual_devices": sizes,
    "model": st.one_of(
        st.sampled_from(
            [*VARIANTS, "", ":", "x:", ":X", "os:path", ".x:Y", "a b:C", "é:É", "gan_zoo:GAN", "json:x", "a:b:c"]
        ),
        garbage,
    ),
    "dataset": datasets,
    "split": st.one_of(
        st.sampled_from(["", "test", "train[", "train[:0]", "train[:9%]", "all", "train+test"]), garbage
    ),
    "network": enums(*networks.FAMILIES),
    "norm": enums(*networks.NORMS),
    "precision": enums("float32", "float64", "mixed_float16", "mixed_bfloat16", "auto"),
    "strategy": enums("auto", "one_device", "mirrored", "multi_worker", "tpu"),
    "on_nan": enums("stop", "restore"),
    "tpu": garbage,
    "workers": enums("a:1,b:1", "a:1", "a", "a:0", ":1", "a:1,a:1", "a:1,,b:1", "a:99999", "a:" + "9" * 100, ","),
    "balance": enums(
        *(
            "constant",
            "warm_up",
            "warm_up(turns=0)",
            "warm_up(turns=1, first=2, every=0)",
            "until",
            "until(d_loss=nan)",
        ),
        *(
            "until(d_loss=1e999)",
            "until(turns=1e9)",
            "warm_up(turns=10000000000000000000000)",
            "until(",
            "constant(x=1)",
        ),
        *("until(d_loss='x')", "until(d_loss=True)", "(" * 3000, "until(turns=" + "9" * 5000 + ")"),
    ),
    "sync_batch_norm": enums("true", "false"),
    "jit_compile": enums("true", "false"),
    "dry_run": enums("true", "false"),
}


@st.composite
def command_lines(draw):
    """Draws a valid command line in which one to three flags have arbitrary values."""
    chosen = dict(draw(st.sampled_from([POINTS, POINTS, IMAGES])))
    if draw(st.booleans()):
        chosen["model"] = draw(st.sampled_from(list(VARIANTS)))
    for name in draw(st.lists(st.sampled_from(list(VALUES)), max_size=3, unique=True)):
        chosen[name] = draw(VALUES[name])
    line = [f"--{name}={value}" for name, value in chosen.items()]
    if draw(st.booleans()):
        line += [f"--set={draw(assignments(chosen['model']))}" for _ in range(draw(st.integers(1, 2)))]
    return line


stray = st.one_of(
    garbage,
    st.sampled_from(
        [
            *(
                "--",
                "-",
                "--steps",
                "--set",
                "--no",
                "--nosteps",
                "--model",
                "--nomodel",
                "--dry_run=maybe",
                "--nodry_run",
            ),
            *(
                "-x",
                "--steps=",
                "--=3",
                "--steps=3=4",
                "--flagfile=nowhere",
                "--flagfile=.",
                "--flagfile=file",
                "--mdoel=dcgan",
            ),
            *("--undefok=x", "--undefok", "--x", "--help", "-h", "--list", "--width=4", "--list=maybe", "---model=x"),
        ]
    ),
)


def prepare(root: Path):
    """Creates the files and folders that the strategies name."""
    (root / "file").write_bytes(b"\xff\xfe no image")
    (root / "link").symlink_to("dangling")
    (root / "circle").symlink_to("circle")
    (root / "full").mkdir()
    (root / "full" / "broken.png").write_bytes(b"\x89PNG")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--dataset=folder:~nobody-here/x"], "dataset folder=~nobody-here/x: there is no home folder of that user"),
        (["--dataset=folder:circle"], ""),
        (["--dataset=folder:" + "x" * 300], "File name too long"),
        (["--dataset=~nobody-here"], "there is no home folder of that user"),
        (["--dataset=/" + "x" * 300], "File name too long"),
        (["--dataset=mnist", "--data_dir=circle"], ""),
        (["--dataset=mnist", "--data_dir=file"], "mnist"),
        (["--dataset=folder:full", "--max_skipped=0", "--batch_size=1", "--n_critic=1"], "cannot be decoded"),
        (["--dataset=folder:file"], "there is no folder 'file'"),
        (["--run_dir=file/below"], "--run_dir=file/below cannot be written: Not a directory."),
        (["--run_dir=file"], "--run_dir=file is a file: name a folder."),
        (["--flagfile=file"], "cannot be read as text"),
        (["--balance=until(d_loss=1e999)"], ""),
    ],
)
def test_paths_and_names(line, words):
    with folder() as root:
        prepare(root)
        result = try_out(TRAIN, *(f"--{name}={value}" for name, value in POINTS.items()), *line, root=root)
        if words:
            assert words in assert_one_sentence(result)


@fuzz(50)
@given(command_lines())
def test_flags(line):
    with folder() as root:
        prepare(root)
        try_out(TRAIN, *line, root=root)


@fuzz(20)
@given(st.lists(st.one_of(stray, st.sampled_from([f"--{n}={v}" for n, v in POINTS.items()])), max_size=6))
def test_command_lines_of_any_form(line):
    with folder() as root:
        prepare(root)
        try_out(TRAIN, *line, root=root)


# Runs with damaged or edited files.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of two steps."""
    work = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        pipeline.run(pipeline.Config(**RUN, run_dir="run"))
    return work / "run"


RUN = dict(model="wgan_gp", dataset="ring8", batch_size=8, width=4, steps=2, n_critic=1, log_every=1, health_every=0)
CONTINUE = [f"--{name}={value}" for name, value in RUN.items() if name != "steps"]

values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.sampled_from([10**30, "x" * 9999])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
wholly = st.one_of(
    st.binary(max_size=50),
    values.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"", b"{", b"[" * 100_000, b'{"settings": {}}', b'{"settings": null}', b'"x"', b'{"a": ' * 5000]),
    st.just(b" " * 10**6),
)


def places(document, path=()):
    """Returns the paths of all values in a JSON document."""
    yield path
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in children:
        yield from places(value, (*path, name))


@st.composite
def changed(draw, document):
    """Draws the document as JSON, with one or two of its values missing or of another type."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 2))):
        *parents, name = draw(st.sampled_from([path for path in places(document) if path]))
        owner = document
        for parent in parents:
            owner = owner[parent]
        if draw(st.booleans()):
            del owner[name]
        else:
            owner[name] = draw(values)
    return json.dumps(document).encode()


READERS = [
    (TRAIN, [*CONTINUE, "--run_dir=run", "--steps=2"]),
    (TRAIN, [*CONTINUE, "--run_dir=run", "--steps=4"]),
    (SAMPLE, ["--model=run", "--refine=latent", "--num=2", "--refine_steps=1", "--output=out.png"]),
    (REFINE, ["--run_dir=run", "--output=out", "--steps=1"]),
    (SAVED_MODEL, ["--run_dir=run", "--output=out"]),
    (RELEASE, ["--run_dir=run", "--output=out"]),
]


@fuzz(20)
@given(st.data())
def test_run_json(run, monkeypatch, data):
    from gan_zoo import refine
    from gan_zoo.export import saved_model

    monkeypatch.setattr(refine, "fine_tune", trainer.Trainer.train)
    monkeypatch.setattr(saved_model, "export", trainer.Trainer.train)
    monkeypatch.setattr("gan_zoo.sample.write_samples", trainer.Trainer.train, raising=True)
    script, line = data.draw(st.sampled_from(READERS))
    document = json.loads((run / "run.json").read_text())
    with folder() as root:
        shutil.copytree(run, root / "run")
        (root / "run" / "run.json").write_bytes(data.draw(st.one_of(changed(document), changed(document), wholly)))
        try_out(script, *line, root=root)


@pytest.mark.parametrize(("script", "line"), READERS)
def test_a_folder_in_the_place_of_run_json(run, script, line):
    with folder() as root:
        shutil.copytree(run, root / "run")
        (root / "run" / "run.json").unlink()
        (root / "run" / "run.json").mkdir()
        assert "run.json" in assert_one_sentence(try_out(script, *line, root=root))


@fuzz(4)
@given(wholly)
def test_metrics_of_any_form_are_left_out_of_the_curves(contents_of_file):
    with folder() as root:
        good = b'{"step": 1, "d_loss": 0.5}\n'
        (root / "metrics.jsonl").write_bytes(good + contents_of_file + b"\n" + good)
        loss_curves.plot(root / "metrics.jsonl", root / "curves.png")
        assert (root / "curves.png").read_bytes().startswith(b"\x89PNG")


# Models of users.

GAN_CODE = """
import tensorflow as tf
from gan_zoo import GAN

{top}

class MyGAN(GAN):
    def __init__(self, generator, discriminator, *, scale={default}, **kwargs):
        {constructor}
        self.scale = scale

    def discriminator_loss(self, x, z):
        loss = tf.reduce_mean(self.D(x) ** 2 + (self.D(self.G(z)) - 1.0) ** 2)
        {d_loss}
        return loss

    def generator_loss(self, x, z):
        loss = tf.reduce_mean(self.D(self.G(z)))
        {g_loss}
        return loss

    {methods}
"""
GOOD = {
    **dict(top="", default="1.0", constructor="super().__init__(generator, discriminator, **kwargs)"),
    **dict(d_loss="", g_loss="", methods=""),
}


def write_model(root: Path, **changes: str):
    (root / "own_gan.py").write_text(GAN_CODE.format(**{**GOOD, **changes}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(top="raise RuntimeError('no\\nluck')"), "importing own_gan failed: RuntimeError: no."),
        (dict(top="import sys; sys.exit(3)"), "importing own_gan failed: SystemExit: 3."),
        (dict(top="class Odd(BaseException): pass\nraise Odd"), "importing own_gan failed: Odd."),
        (dict(top="def f(:"), "importing own_gan failed: SyntaxError"),
        (dict(top="def __getattr__(name): raise OSError(name)", methods="pass\ndel MyGAN"), "OSError: MyGAN"),
        (dict(methods="pass\ndel MyGAN"), "no subclass of gan_zoo.GAN or gan_zoo.GenerativeModel named 'MyGAN'"),
        (dict(methods="pass\nMyGAN = 3"), "no subclass of gan_zoo.GAN or gan_zoo.GenerativeModel named 'MyGAN'"),
        (
            dict(methods="pass\nclass MyGAN: pass"),
            "no subclass of gan_zoo.GAN or gan_zoo.GenerativeModel named 'MyGAN'",
        ),
        (dict(methods="pass\nclass MyGAN(GAN): pass"), "NotImplementedError: MyGAN must implement discriminator_loss"),
        (dict(methods="pass\ndel MyGAN.generator_loss"), "NotImplementedError: MyGAN must implement generator_loss"),
        (dict(constructor="raise KeyError('x')"), "KeyError: 'x' ({file}, line 9)."),
        (dict(constructor="pass"), "cannot be trained: "),
        (dict(default="None, needed"), "TypeError: "),
        (dict(default="object()"), "cannot be trained: TypeError: "),
        (dict(default="float('nan')"), "cannot be trained: ValueError: "),
        (dict(methods="__init__ = lambda self, *args, odd=1, **kwargs: GAN.__init__(self, *args, **kwargs)"), "odd"),
        (dict(d_loss="raise ValueError('odd: ' + 'x' * 9999)"), "ValueError: odd: xxx"),
        (dict(d_loss="1 / 0"), "ZeroDivisionError: division by zero ({file}, line 14)."),
        (dict(d_loss="return None"), "discriminator_loss must return a real number as a tensor without axes, not None"),
        (dict(g_loss="return None"), "generator_loss must return a real number as a tensor without axes, not None"),
        (dict(g_loss="return 1.0"), "not an object of type float"),
        (dict(g_loss="return tf.complex(loss, loss)"), "not complex64 of shape ()"),
        (dict(g_loss="return self.D(self.G(z))"), "not float32 of shape (8, 1)"),
        (dict(g_loss="return tf.constant(1)"), "not int32 of shape ()"),
        (dict(g_loss="return x @ x"), "({file}, line 19)."),
        (dict(methods="networks = 3"), "TypeError: 'int' object is not callable."),
        (dict(methods="networks = lambda self: 3"), "AttributeError: 'int' object has no attribute"),
        (dict(methods="def default_optimizer(self, player): return 3"), "d_optimizer=3 is not an optimizer"),
        (dict(methods="def sample_latent(self, n, seed=None): return tf.zeros([n, 9])"), "cannot be trained: "),
        (dict(methods="def train_step(self, data): return self.nothing"), "AttributeError: "),
    ],
)
def test_models_of_ones_own(changes, words):
    with folder() as root:
        write_model(root, **changes)
        sentence = assert_one_sentence(
            try_out(TRAIN, "--model=own_gan:MyGAN", *CONTINUE[1:], "--run_dir=run", root=root)
        )
        assert words.format(file=root / "own_gan.py") in sentence


def test_a_good_model_of_ones_own_is_accepted():
    with folder() as root:
        write_model(root)
        line = ["--model=own_gan:MyGAN", *CONTINUE[1:], "--run_dir=run"]
        assert try_out(TRAIN, *line, "--set=scale=3", root=root).status is None
        assert json.loads((root / "run" / "run.json").read_text())["settings"]["arguments"]["scale"] == 3.0


# The other tools.

TOOLS = {
    SAMPLE: (
        {"model": "run", "trust": "true", "output": "out.png", "num": "2"},
        {
            **dict.fromkeys(("num", "seed", "columns", "refine_steps"), sizes),
            **dict.fromkeys(("refine_step_size", "refine_noise", "refine_gradient_clip"), numbers),
            **dict.fromkeys(("model", "mirror", "index"), paths),
            **{"output": st.one_of(paths, paths.map(lambda path: f"{path}.png")), "refine": enums("latent", "pixel")},
            **{"interpolate": enums("true"), "trust": enums("false")},
        },
    ),
    COMPARE: (
        {"models": "dcgan", "output": "out", "width": "4", "steps": "20", "workers": "1", "seeds": "1"},
        {
            **dict.fromkeys(("seeds", "first_seed", "batch_size", "width", "depth", "latent_dim", "workers"), sizes),
            **{"resolution": sizes, "network": enums("mlp"), "metrics": garbage, "features": enums("digits")},
            **dict.fromkeys(("steps", "samples", "evaluate_every"), wholes),
            **dict.fromkeys(("seconds", "learning_rate"), numbers),
            **{"dataset": datasets, "data_dir": paths, "output": paths, "optimizer": enums("own", "adam")},
            "models": st.one_of(
                literals.map(lambda value: f"wgan_gp(gp_weight={value})"),
                literals.map(lambda value: f"dcgan,unrolled_gan(unroll_steps={value})"),
                st.sampled_from(
                    ["dcgan,dcgan", "dcgan(", ")", ",", "(seed=1)", "dcgan(seed=1)", "x:Y", "dcgan()", "''"]
                ),
                garbage,
            ),
        },
    ),
    DYNAMICS: (
        {"models": "wgan_gp", "output": "out.png", "steps": "2"},
        {
            **{"steps": wholes, "d_steps": wholes, "step_size": numbers, "limit": numbers, "output": paths},
            "start": st.one_of(
                st.sampled_from(["1", "1,2,3", "nan,1", "1,1e999", ",", "a,b", "1," + "9" * 5000]), garbage
            ),
            "models": st.one_of(literals.map(lambda value: f"r1_gan(gamma={value})"), garbage),
        },
    ),
    REFINE: (
        {"run_dir": "run", "output": "out", "steps": "1", "langevin_steps": "1"},
        {
            **dict.fromkeys(("run_dir", "output", "data_dir"), paths),
            **dict.fromkeys(("step_size", "noise", "gradient_clip", "score_weight", "learning_rate"), numbers),
            **{"space": enums("latent", "pixel"), "steps": enums("0", "-1", "x"), "turns": enums("0", "-1", "x")},
        },
    ),
    SAVED_MODEL: ({"run_dir": "run", "output": "out"}, {"run_dir": paths, "output": paths, "step": wholes}),
    RELEASE: ({"run_dir": "run", "output": "out"}, {"run_dir": paths, "output": paths}),
}


@fuzz(30)
@given(st.data())
def test_other_tools(run, monkeypatch, data):
    starts = ("pretrained.Pretrained.__call__", "refine.refine", "dynamics.report.examine", "compare.runner.work")
    for work in (*starts, "compare.measuring.ImageMetrics.trial"):
        monkeypatch.setattr(f"gan_zoo.{work}", trainer.Trainer.train)
    script = data.draw(st.sampled_from(list(TOOLS)))
    good, flags_of_tool = TOOLS[script]
    names = data.draw(st.lists(st.sampled_from(list(flags_of_tool)), max_size=2, unique=True))
    chosen = {**good, **{name: data.draw(flags_of_tool[name]) for name in names}}
    with folder() as root:
        prepare(root)
        shutil.copytree(run, root / "run")
        try_out(script, *(f"--{name}={value}" for name, value in chosen.items()), root=root)
