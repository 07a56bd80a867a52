"""The systems of tests/systems.py, which have other networks and players than a GAN."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import gan_zoo
from gan_zoo import testing
from gan_zoo.export import saved_model
from gan_zoo.model import GenerativeModel
from gan_zoo.players import Player
from gan_zoo.training import pipeline
from gan_zoo.util.errors import UserError

from . import systems
from .thorough import thoroughly
from .waiting import HANGING
from .weights import arrays, assert_same, checkpoint

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "tests" / "systems.py"
RNG = np.random.default_rng(0)
POINTS, LABELS = RNG.normal(size=(8, 2)).astype("float32"), (np.arange(8) % 3).astype("int32")
LOSSES = {
    "VAE": {"vae_loss"},
    "EncoderGAN": {"d_loss", "g_loss"},
    "AAE": {"autoencoder_loss", "d_loss", "g_loss"},
    "ClassifierGAN": {"d_loss", "g_loss"},
    "TwoGenerators": {"d_loss", "g_loss", "second_loss"},
}
NAMES = tuple(LOSSES)
SHOWN = ["TwoGenerators", *thoroughly(*(name for name in NAMES if name != "TwoGenerators"))]
"""The zoo has variants like the others, and tests them in the same ways."""
STEPS = 6

# Forks a process for each system after TensorFlow is imported. Each kills itself just after its second checkpoint.
KILLED = """
import json, os, signal, sys
import tensorflow, keras
from gan_zoo import callbacks
from gan_zoo.export import saved_model
from gan_zoo.run_folder import checkpoints
from gan_zoo.training import pipeline

ends = []
for settings in json.loads(sys.argv[1]):
    if os.fork() == 0:
        try:
            save = checkpoints.save
            def save_and_die(folder, model, step, *args, **kwargs):
                save(folder, model, step, *args, **kwargs)
                if step == 4:
                    os.kill(os.getpid(), signal.SIGKILL)
            checkpoints.save = save_and_die
            pipeline.run(pipeline.Config(**settings))
        finally:
            os._exit(1)
    ends.append(os.WTERMSIG(os.wait()[1]))
print(*ends)
"""


def settings(name, run_dir):
    return {
        **dict(model=f"systems:{name}", dataset="ring8", width=8, batch_size=8, latent_dim=2, steps=STEPS),
        **dict(steps_per_execution=2, checkpoint_every=2, log_every=2, health_every=2, sample_every=0),
        **dict(conditional=name == "ClassifierGAN", run_dir=str(run_dir)),
    }


def test_each_is_a_class_of_at_most_25_lines():
    tree = ast.parse(FILE.read_text("utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    assert tuple(classes) == NAMES
    for name, node in classes.items():
        lines = FILE.read_text("utf-8").splitlines()[node.lineno - 1 : node.end_lineno]
        docstring = node.body[0].end_lineno - node.body[0].lineno + 1
        assert len([line for line in lines if line.strip()]) - docstring <= 25, name


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SHOWN)
def test_it_conforms(name, check):
    data, classes = ((POINTS, LABELS), 3) if name == "ClassifierGAN" else (POINTS, None)
    check(lambda: getattr(systems, name).for_points(width=4, classes=classes), data)


@pytest.fixture(scope="module")
def killed(tmp_path_factory, request):
    """Run folders of the systems that are shown. Their processes were killed at step 4 of 6."""
    folder = tmp_path_factory.mktemp("killed")
    names = NAMES if request.config.getoption("--thorough") else SHOWN[:1]
    orders = [settings(name, folder / name) for name in names]
    result = subprocess.run(
        [sys.executable, "-c", KILLED, json.dumps(orders)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))},
        capture_output=True,
        text=True,
        timeout=HANGING,
    )
    assert result.stdout.split()[-len(names) :] == [str(int(signal.SIGKILL))] * len(names), result.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", SHOWN)
def test_a_killed_run_continues_bit_for_bit_exports_and_samples(name, killed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FILE.parent))
    run, whole = killed / name, tmp_path / "whole"
    assert not checkpoint(run, STEPS).exists()
    pipeline.run(pipeline.Config(**settings(name, run)))
    monkeypatch.setattr(saved_model, "export", lambda *args, **kwargs: None)  # of the run whose weights are compared
    pipeline.run(pipeline.Config(**{**settings(name, whole), "health_every": 0}))
    assert_same(arrays(checkpoint(run, STEPS)), arrays(checkpoint(whole, STEPS)))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert LOSSES[name] <= rows[-1].keys()
    samples = gan_zoo.load_pretrained(run).sample(5, seed=1)
    assert samples.shape == (5, 2)
    assert np.isfinite(samples).all()


def test_rates_are_those_of_players(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FILE.parent))
    asked = {**settings("AAE", tmp_path), "learning_rate": 1e-3, "learning_rates": {"autoencoder": 5e-4}}
    gan = pipeline.Job(pipeline.Config(**asked)).gan
    rates = {name: float(optimizer.learning_rate) for name, optimizer in gan.optimizers().items()}
    assert rates == pytest.approx({"autoencoder_optimizer": 5e-4, "d_optimizer": 1e-3, "g_optimizer": 1e-3})
    with pytest.raises(UserError, match="--judge_learning_rate: AAE has no such player; its rates are --autoencoder_"):
        pipeline.Job(pipeline.Config(**{**asked, "learning_rates": {"judge": 1.0}}))
    with pytest.raises(UserError, match="--n_critic: AAE has no argument n_critic"):
        pipeline.Job(pipeline.Config(**{**asked, "n_critic": 2}))


def test_what_a_model_must_say():
    class Nothing(GenerativeModel):
        averaged = ("maker",)

        def __init__(self, maker, **kwargs):
            super().__init__({"maker": maker}, **kwargs)

    with pytest.raises(UserError, match="Nothing does not say how to build its maker: override build_networks"):
        Nothing.for_points(width=4)
    model = Nothing(systems.VAE.for_points(width=4).decoder)
    with pytest.raises(NotImplementedError, match="players"):
        model.compile()


def test_players_have_names_and_turns():
    for arguments, sentence in (
        (dict(name="the judge"), "identifier"),
        (dict(turns=0), "turns must be a whole number from 1 up, not 0"),
    ):
        with pytest.raises(UserError, match=sentence):
            Player(**{"name": "judge", "loss": None, "variables": [], **arguments})

    class Twins(systems.VAE):
        def players(self):
            return super().players() * 2

    with pytest.raises(UserError, match="Two players have the same name"):
        Twins.for_points(width=4).compile()
    vae = systems.VAE.for_points(width=4)
    with pytest.raises(UserError, match="compile takes 1 optimizers, vae_optimizer, not 2"):
        vae.compile("adam", "adam")
    with pytest.raises(UserError, match="compile has no argument 'd_optimizer': it takes vae_optimizer"):
        vae.compile(d_optimizer="adam")
    with pytest.raises(UserError, match="compile got vae_optimizer twice"):
        vae.compile("adam", vae_optimizer="sgd")


def test_more_turns_see_more_minibatches():
    aae, seen = systems.AAE.for_points(width=4), []
    aae.turn = lambda player, x: seen.append((player.name, x.numpy().tolist()))
    assert aae.minibatches_per_step == 2
    x = np.arange(8.0, dtype="float32").reshape(4, 2)
    aae.play(aae.split(tf.constant(x)))
    first, last = x[::2].tolist(), x[1::2].tolist()
    expected = [("discriminator", first), ("autoencoder", last), ("discriminator", last), ("generator", last)]
    assert seen == expected


def test_simultaneous_players_move_from_one_point():
    arguments = dict(width=4, simultaneous=True, seed=0)
    make = lambda **more: systems.AAE.for_points(**{**arguments, **more})  # noqa: E731
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(*(keras.optimizers.SGD(0.1) for _ in model.players()))
    start = [variable.numpy() for variable in model.trainable_variables]
    with model.recording() as recorded:
        model.joint_step(tf.constant(POINTS))
        together = {name: float(values[0]) for name, values in recorded.items()}
    for variable, value in zip(model.trainable_variables, start, strict=True):
        variable.assign(value)
    losses = {f"{player.key}_loss": player.loss for player in model.players()}
    # The losses of the autoencoder and the generator use no latents, so they equal those of the first step.
    for name in ("autoencoder_loss", "g_loss"):
        assert together[name] == pytest.approx(float(losses[name](tf.constant(POINTS), None)))


def test_readmes_own_vae_trains():
    code = re.search(r"```python\n# my_vae.py\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL).group(1)
    own = {"__name__": "my_vae"}
    exec(code, own)
    vae = own["VAE"].for_images((8, 8, 1), network="mlp", width=8, latent_dim=2)
    vae.compile()
    logs = vae.train_step(tf.constant(RNG.uniform(-1, 1, size=(4, 8, 8, 1)).astype("float32")))
    assert np.isfinite(float(logs["vae_loss"]))
