"""The comparison: equal conditions, budgets, divergence, and a kill, which loses only the runs in progress."""

import dataclasses
import functools
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gan_zoo import UserError, evaluate
from gan_zoo.compare import measuring, plots, report, runner
from gan_zoo.compare.run import run
from gan_zoo.compare.settings import Settings
from gan_zoo.registry import variant_lists
from gan_zoo.util.errors import NonFiniteLoss
from gan_zoo.util.pictures import to_uint8
from gan_zoo.util.seeds import stream

from .waiting import HANGING, wait_until

SMALL = Settings("ring8", steps=40, batch_size=16, width=8, samples=200, evaluate_every=20)


IMAGES = Settings(
    "digits",
    steps=2,
    batch_size=8,
    width=2,
    latent_dim=3,
    network="mlp",
    samples=20,
    evaluate_every=1,
    metrics=("kid", "frechet", "nearest"),
    features=f"{__name__}:four_pixels",
)


def four_pixels(images):
    """A network for features: four pixels of 8 x 8."""
    return images[:, 3:5, 3:5, 0].reshape(len(images), 4).astype("float32")


def one(text):
    (method,) = variant_lists.parse(text)
    return method


def command(*arguments, cwd, **kwargs):
    line = [sys.executable, "-m", "gan_zoo.compare", *arguments]
    return subprocess.Popen(line, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def test_all_are_the_variants_that_fit_the_data():
    for conditional, without in ((False, "conditional_gan"), (True, "info_gan")):
        settings = dataclasses.replace(SMALL, conditional=conditional)
        found = settings.find()
        fits = functools.partial(settings.fits, found=found)
        names = {method.name for method in variant_lists.parse("all", fits)}
        assert {"dcgan", "vae", "gran"} < names
        assert not names & {"lapgan", "progressive_gan", without}


def test_all_methods_start_from_the_same_networks_and_see_the_same_data():
    start, first = [], []
    for text in ("vanilla_gan", "wgan_gp(n_critic=1)", "r1_gan(gamma=1)"):
        gan = SMALL.build(one(text), (2,), seed=3)
        start.append(gan.generator.get_weights() + gan.discriminator.get_weights())
        first.append(next(SMALL.source().batches(16, n_critic=gan.n_critic, seed=3).as_numpy_iterator()))
    for weights, data in zip(start[1:], first[1:], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(start[0], weights, strict=True))
        np.testing.assert_array_equal(first[0], data)
    other = SMALL.build(one("vanilla_gan"), (2,), seed=4)
    assert not np.array_equal(start[0][0], other.generator.get_weights()[0])


def test_a_run_is_a_function_of_its_settings_and_seed():
    seen = []
    results = [run(SMALL, one("vanilla_gan"), seed, seen.append) for seed in (0, 0, 1)]
    same, again, other = results
    assert seen[-1] == 40
    assert [row["step"] for row in same["curve"]] == [0, 20, 40]
    assert (same["status"], same["reason"], same["steps"]) == ("done", None, 40)
    assert np.shape(same["samples"]) == (200, 2)
    assert same["samples"] == again["samples"] != other["samples"]
    assert [row["w1"] for row in same["curve"]] == [row["w1"] for row in again["curve"]]
    assert [row["step"] for row in same["losses"]] == [20, 40]  # one for each call of the graph
    assert same["losses"] == again["losses"]
    # Time is the time of training: 0 at the start, the total at the end.
    assert same["curve"][0]["seconds"] == 0
    assert 0 < same["curve"][1]["seconds"] < same["curve"][2]["seconds"] == same["seconds"]
    assert json.loads(json.dumps(same)) == same


def test_labels():
    settings = Settings("ring8", steps=2, batch_size=8, width=4, samples=50, evaluate_every=1, conditional=True)
    settings.check()
    assert settings.build(one("wgan_gp"), (2,), 0).classes == 8
    assert np.shape(run(settings, one("vanilla_gan"), 0)["samples"]) == (50, 2)
    assert settings.asdict()["conditional"] is True
    assert "conditional" not in SMALL.asdict()  # as in results from before there were labels
    with pytest.raises(UserError, match="^--conditional: swiss_roll has none. Choose a set with classes"):
        Settings("swiss_roll", conditional=True).check()


def test_a_model_of_another_kind():
    """A VAE: one player, its own loss, its own networks."""
    settings = Settings("ring8", steps=2, batch_size=8, width=4, samples=50, evaluate_every=1)
    method = variant_lists.Method("vae", "tests.systems:VAE", {})
    described = runner.describe(settings, method, (2,))
    assert (described["arguments"], described["n_critic"]) == ({}, 1)
    assert described["optimizer"].startswith("Adam(0.0002")
    result = run(settings, method, 0)
    assert result["status"] == "done"
    assert [[*row] for row in result["losses"]] == [["step", "vae_loss"]] * 2
    results = {"methods": [described], "runs": [result]}
    assert plots._loss_names(results, "vae") == ["vae_loss"]
    assert plots.all_losses(results).startswith(b"\x89PNG")


def test_a_budget_of_time_is_spent(monkeypatch):
    ticks = itertools.count()
    clock = types.SimpleNamespace(perf_counter=lambda: 0.1 * next(ticks))  # each call advances it by a tick
    monkeypatch.setattr("gan_zoo.compare.run.time", clock)
    settings = Settings("ring8", steps=20, seconds=0.3, batch_size=16, width=8, samples=50, evaluate_every=20)
    result = run(settings, one("vanilla_gan"), 0)
    assert result["seconds"] >= 0.3
    assert result["steps"] > 20
    assert result["steps"] % 20 == 0


def test_a_run_that_diverges_says_so():
    settings = Settings("ring8", steps=40, batch_size=16, width=8, samples=50, optimizer="sgd", learning_rate=1e30)
    result = run(settings, one("wgan_gp"), 0)
    assert result["status"] == "diverged"
    assert "at step" in result["reason"]
    assert result["steps"] < 40
    assert result["curve"][0]["step"] == 0


def test_optimizers():
    for name, cls in (("adam", "Adam"), ("rmsprop", "RMSprop"), ("sgd", "SGD")):
        settings = Settings("ring8", width=4, optimizer=name, learning_rate=0.01)
        gan = settings.build(one("r1_gan"), (2,), 0)
        assert type(gan.d_optimizer).__name__ == type(gan.g_optimizer).__name__ == cls
        assert float(gan.d_optimizer.learning_rate) == pytest.approx(0.01)
    own = Settings("ring8", width=4, learning_rate=0.02).build(one("wgan"), (2,), 0)
    assert type(own.d_optimizer).__name__ == "RMSprop"
    assert float(own.g_optimizer.learning_rate) == pytest.approx(0.02)


@pytest.mark.parametrize("steps", [1, 7, 40, 1000, 5000, 9999])
def test_looks_divide_the_steps(steps):
    every = Settings("ring8", steps=steps).every
    assert steps % every == 0
    assert min(steps, 10) <= steps // every <= 25


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"width": 0}, "--width must be 1 or more"),
        ({"seconds": 0.0}, "--seconds must be positive"),
        ({"learning_rate": math.nan}, "--learning_rate must be positive"),
        ({"seconds": math.inf}, "--seconds must be positive"),
        ({"learning_rate": math.inf}, "--learning_rate must be positive"),
        ({"steps": 5003}, "--steps=5003 cannot be divided into about 20 equal parts"),
        ({"samples": 1}, "--samples must be 2 or more"),
        ({"evaluate_every": 7}, "must be 0 or a divisor of --steps=40"),
        ({"optimizer": "adam"}, "needs a --learning_rate"),
        ({"dataset": "rings8"}, "there is no dataset 'rings8'. Did you mean 'ring8'?"),
        ({"dataset": "circle(radius=2)"}, "--dataset"),
        ({"metrics": ["kid"]}, "--metrics is for other images: ring8 has exact metrics: leave it out."),
        ({"dataset": "color_mnist", "resolution": 32}, "--resolution is for other images: color_mnist has exact"),
        ({"network": "resnet"}, "--network=resnet is for images, and ring8 has points: leave it out."),
        ({"dataset": "digits", "metrics": ["fid"]}, "--metrics=fid is not one of frechet, kid"),
        ({"dataset": "digits", "metrics": ["ms_ssim", "kid"]}, "--metrics=ms_ssim has no better or worse"),
        ({"dataset": "digits", "features": "vgg"}, "--features=vgg is not one of inception"),
        ({"dataset": "digits", "resolution": 0}, "--resolution must be 1 or more"),
    ],
)
def test_settings_that_will_not_do(changes, sentence):
    with pytest.raises(UserError) as caught:
        Settings(**{"dataset": "ring8", "steps": 40, **changes}).check()
    assert sentence in str(caught.value)


def test_images_are_measured_by_the_judge():
    source, features = IMAGES.source(), evaluate.find_features(IMAGES.features)
    result = run(IMAGES, one("vanilla_gan"), 5)
    assert [row["step"] for row in result["curve"]] == [0, 1, 2]
    assert np.shape(result["samples"]) == (16, 8, 8, 1)
    assert "columns" not in result
    assert json.loads(json.dumps(result)) == result
    # Another method starts from the same weights, and has the same latents.
    subject = evaluate.of_model(IMAGES.build(one("r1_gan(gamma=1)"), source.shape, 5))
    found = evaluate.evaluate(subject, source, features, metrics=IMAGES.metrics, num=20, seed=5, floor=False)
    expected = {name: found.metrics[name].value for name in IMAGES.metrics}
    assert {name: result["curve"][0][name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_images_of_classes_have_rows():
    settings = dataclasses.replace(IMAGES, conditional=True, metrics=("label_accuracy",), steps=1)
    settings.check()
    source = settings.source()
    gan = settings.build(one("vanilla_gan"), source.shape, 0)
    values, pictures = look_of(settings, source)(gan)
    assert 0 <= values["label_accuracy"] <= 1
    assert pictures.shape == (4 * 10, 8, 8, 1)
    labels = np.repeat(np.arange(10), 4)
    z, y = gan.sample_latent(40, seed=stream(0, "pictures"), label=labels)
    np.testing.assert_array_equal(pictures, to_uint8(gan((z, y))))
    assert run(settings, one("vanilla_gan"), 0)["columns"] == 4


def look_of(settings, source):
    return measuring.measuring_of(settings).look(source, 0)


def test_samples_that_are_not_finite_are_a_divergence():
    source = IMAGES.source()
    gan = IMAGES.build(one("vanilla_gan"), source.shape, 0)
    gan.generator.set_weights([weights * np.nan for weights in gan.generator.get_weights()])
    with pytest.raises(NonFiniteLoss, match="samples are not finite"):
        look_of(IMAGES, source)(gan)


@pytest.mark.parametrize(
    ("changes", "method", "sentence"),
    [
        ({"metrics": ["label_accuracy"]}, "lsgan", "--metrics=label_accuracy needs labels, and lsgan has none"),
        ({"metrics": ["inception_score"]}, "lsgan", "--metrics=inception_score needs the classes of a classifier"),
        ({"samples": 9}, "lsgan", "--samples=9 is too few samples to measure"),
        ({"features": f"{__name__}:one"}, "lsgan", f"--features={__name__}:one failed on images of shape"),
        ({"network": None, "resolution": 16}, "progressive_gan", "--models=progressive_gan grows its networks"),
    ],
)
def test_metrics_that_cannot_be_computed(changes, method, sentence):
    settings = dataclasses.replace(IMAGES, **changes)
    settings.check()
    found = settings.find()
    with pytest.raises(UserError) as caught:
        gan = settings.build(one(method), found.shape, 0)
        what = measuring.measuring_of(settings)
        what.check(gan, method, found)
        what.trial(gan, method, found.open())
    assert str(caught.value).startswith(sentence)


def test_a_comparison_of_images_has_one_protocol(tmp_path, monkeypatch):
    settings = dataclasses.replace(IMAGES, metrics=["kid", "frechet"]).resolved()
    methods, source = variant_lists.parse("vanilla_gan,lsgan"), settings.source()
    what = measuring.measuring_of(settings)
    trial = what.trial(settings.build(methods[0], source.shape, 0), "vanilla_gan", source)
    runner.open_folder(tmp_path, settings, trial.protocol)
    runner.open_folder(tmp_path, settings, trial.protocol)
    wanted = runner.jobs(methods, range(1), tmp_path)
    wanted[0].path.parent.mkdir()
    for job, value in zip(wanted, (2.0, 1.0), strict=True):
        row = {"step": 2, "seconds": 1.0, "kid": value, "frechet": 3.0}
        found = {"method": job.method.name, "seed": 0, "status": "done", "reason": None, "steps": 2, "seconds": 1.0}
        job.path.write_text(json.dumps({**found, "curve": [row], "losses": [], "samples": None}))
    described = [runner.describe(settings, method, source.shape) for method in methods]
    results = json.loads(json.dumps(runner.collect(wanted, settings, source, described, tmp_path, trial)))
    assert results["primary"] == "kid"
    assert [metric["label"] for metric in results["metrics"]] == [
        f"Frechet distance ({settings.features})",
        "Kernel distance x 1000",
    ]
    assert [row["method"] for row in results["tables"]["steps"]] == ["lsgan", "vanilla_gan"]
    assert results["reference"]["kid"] == {"mean": trial.metrics["kid"].floor, "std": None, "n": 1}
    assert "20 samples, seed of the run, uint8 | digits train, 1797 images 8x8x1" in results["protocol"]
    assert "20 real images" in runner.text_table(results, "steps")
    for name in ("curve", "losses", "all_curves", "all_losses", "all_samples"):
        monkeypatch.setattr(plots, name, lambda *_: b"")
    page = report.write(results, tmp_path / "report").read_text()
    assert f"{settings.features} (pixels as uint8; " in page
    assert "The metrics of 20 real images in the place of samples" in page

    with pytest.raises(UserError, match=r"holds a comparison with other settings: samples \(20, now 30\)"):
        runner.check_folder(tmp_path, dataclasses.replace(settings, samples=30))
    before = (tmp_path / "compare.json").read_bytes()
    other = dataclasses.replace(trial.protocol, reference={**trial.protocol.reference, "sha256": "0" * 64})
    with pytest.raises(UserError, match="holds a comparison by another protocol: its reference differ"):
        runner.open_folder(tmp_path, settings, other)
    other = dataclasses.replace(trial.protocol, metrics={**trial.protocol.metrics, "kid": "linear"})
    with pytest.raises(UserError, match="holds a comparison by another protocol: its kid differ"):
        runner.open_folder(tmp_path, settings, other)
    assert (tmp_path / "compare.json").read_bytes() == before


def test_defaults_are_recorded():
    """Another network that is installed later must not change a comparison that is continued."""
    resolved = Settings("digits", features="digits").resolved()
    assert (*resolved.metrics,) == evaluate.measures.DEFAULT
    assert resolved.features == "digits"
    assert SMALL.resolved() == SMALL
    assert not {"metrics", "features", "network", "resolution"} & {*SMALL.asdict()}  # as in results of older versions
    assert Settings(**json.loads(json.dumps(resolved.asdict()))).asdict() == resolved.asdict()


def test_too_few_images_for_a_floor():
    settings = dataclasses.replace(IMAGES, samples=1000, metrics=["frechet"])
    source = settings.source()
    what = measuring.measuring_of(settings)
    trial = what.trial(settings.build(one("lsgan"), source.shape, 0), "lsgan", source)
    assert trial.metrics["frechet"].floor_size == 898
    assert what.reference(source, [0], trial)["reference"] == {}


def test_runs_have_files_of_their_own(tmp_path):
    jobs = runner.jobs(variant_lists.parse("wgan_gp(gp_weight=0.1),wgan_gp,dcgan"), range(2), tmp_path)
    assert len({job.path for job in jobs}) == 6
    assert [(job.method.model, job.seed) for job in jobs][:3] == [("wgan_gp", 0), ("wgan_gp", 0), ("dcgan", 0)]
    jobs[0].path.parent.mkdir()
    jobs[0].path.write_text('{"status": "do')  # as after a full disk
    assert jobs[0].result is None


def test_the_budget_of_time_is_that_of_the_fastest_method():
    found = [
        {"method": method, "status": status, "seconds": seconds}
        for method, status, seconds in [
            ("a", "done", 3.0), ("a", "done", 5.0), ("a", "done", 40.0), ("b", "done", 6.0), ("c", "diverged", 0.1)
        ]
    ]  # fmt: skip
    assert runner._time_budget(SMALL, found) == 5.0
    assert runner._time_budget(Settings("ring8", seconds=2.0), found) == 2.0
    assert runner._time_budget(SMALL, found[-1:]) is None


def test_what_comes_after_the_budget_does_not_count(tmp_path):
    """The number of further steps until a run's time is up depends on the machine."""
    settings = Settings("ring8", steps=40, seconds=5.0, width=4, samples=50, evaluate_every=20)
    runner.open_folder(tmp_path, settings)
    wanted = runner.jobs([one("vanilla_gan")], range(3), tmp_path)
    for job, (end, seconds) in zip(wanted, [("done", 5.5), ("diverged", 4.0), ("diverged", 6.0)], strict=True):
        curve = [{"step": step, "seconds": step / 10, "w1": 100.0 - step, "modes": 1} for step in (0, 20, 40, 60)]
        if job.seed == 1:
            curve = curve[:3]
        found = {"method": "vanilla_gan", "seed": job.seed, "status": end, "reason": None, "steps": 60}
        job.path.parent.mkdir(exist_ok=True)
        job.path.write_text(json.dumps({**found, "seconds": seconds, "curve": curve, "losses": [], "samples": []}))
    described = [runner.describe(settings, one("vanilla_gan"), (2,))]
    results = runner.collect(wanted, settings, settings.source(), described, tmp_path)
    assert [run["at_steps"]["w1"] for run in results["runs"]] == [60.0] * 3
    assert [run["at_seconds"] and run["at_seconds"]["step"] for run in results["runs"]] == [40, None, 40]
    (steps,), (seconds,) = results["tables"]["steps"], results["tables"]["seconds"]
    assert (steps["diverged"], steps["w1"]["n"]) == (0, 3)
    assert (seconds["diverged"], seconds["w1"]["n"]) == (1, 2)
    runner.open_folder(tmp_path, settings)  # the continuation is recorded
    assert len(json.loads((tmp_path / "compare.json").read_text())["continued"]) == 1


def test_seeds_are_those_of_the_comparison():
    with pytest.raises(UserError, match="leave seed out"):
        variant_lists.parse("r1_gan(seed=3)")


def test_workers_answer_beside_what_others_print(tmp_path):
    """Imports a module that prints, from Python and from a child process."""
    (tmp_path / "chatty.py").write_text(
        "import os\n"
        "from gan_zoo.models import VanillaGAN\n"
        "class Chatty(VanillaGAN):\n"
        "    def default_optimizer(self, player):\n"
        "        print('hello')\n"
        "        os.system('echo hello')\n"
        "        return super().default_optimizer(player)\n"
    )
    order = {
        "settings": SMALL.asdict(),
        "method": {"name": "chatty", "model": "chatty:Chatty", "arguments": {}},
        "seed": 0,
        "path": str(tmp_path / "result.json"),
    }
    process = subprocess.run(
        [sys.executable, "-m", "gan_zoo.compare.worker", str(os.getpid())],
        input=json.dumps(order) + "\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANGING,
    )
    answers = [json.loads(line) for line in process.stdout.splitlines()]
    assert answers[-1] == {"done": str(tmp_path / "result.json")}, process.stderr
    assert process.stderr.count("hello") == 4
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "done"


FLAGS = ["--dataset=ring8", "--seeds=2", "--steps=400", "--width=8", "--batch_size=16", "--samples=100", "--workers=1"]


def workers_in(folder):
    """Returns the worker processes of comparisons in a folder."""
    found = subprocess.run(["pgrep", "-f", "gan_zoo.compare.worker"], capture_output=True, text=True).stdout.split()

    def runs_here(pid):
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
        except FileNotFoundError:  # the process has just ended
            return False

    return [pid for pid in found if runs_here(pid)]


@pytest.mark.slow
@pytest.mark.thorough
def test_killed_and_continued(tmp_path):
    models = "--models=vanilla_gan,r1_gan(gamma=1)"
    process = command(models, *FLAGS, "--output=found", cwd=tmp_path)
    runs = tmp_path / "found" / "runs"
    wait_until(lambda: list(runs.glob("*.json")), lambda: process.poll() is None, process.communicate)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not workers_in(tmp_path))  # workers end when their parent is gone
    kept = {path.name: path.read_bytes() for path in runs.glob("*.json")}
    assert kept

    process = command(models, *FLAGS, "--output=found", cwd=tmp_path)
    output, errors = process.communicate(timeout=HANGING)
    assert process.returncode == 0, errors
    assert f"continuing found: {len(kept)} of 4 runs are done" in output
    for name, content in kept.items():
        assert (runs / name).read_bytes() == content
    assert "r1_gan(gamma=1.0)" in output and "After 400 steps" in output and "seconds of training" in output
    results = json.loads((tmp_path / "found" / "results.json").read_text())
    assert {(result["method"], result["seed"]) for result in results["runs"]} == {
        (name, seed) for name in ("vanilla_gan", "r1_gan(gamma=1.0)") for seed in (0, 1)
    }
    for result in results["runs"]:
        assert result["at_steps"] == result["curve"][-1]
        assert result["at_seconds"]["seconds"] <= results["settings"]["seconds"]
    assert (tmp_path / "found" / "report.html").stat().st_size > 10_000

    other = command(models, *FLAGS, "--output=found", "--width=9", cwd=tmp_path)
    _, errors = other.communicate(timeout=HANGING)
    assert other.returncode == 2
    assert "found holds a comparison with other settings: width (8, now 9)" in errors


@pytest.mark.slow
def test_a_method_that_fails_stops_the_comparison(tmp_path):
    (tmp_path / "broken.py").write_text(
        "from gan_zoo.models import VanillaGAN\n"
        "class Broken(VanillaGAN):\n"
        "    def generator_loss(self, x, z):\n"
        "        raise ArithmeticError('no such loss')\n"
    )
    process = command("--models=vanilla_gan,broken:Broken", *FLAGS, "--output=found", cwd=tmp_path)
    _, errors = process.communicate(timeout=HANGING)
    assert process.returncode == 1
    assert "error: broken:Broken with seed 0: ArithmeticError: no such loss" in errors
    assert "Traceback" not in errors
    assert "Traceback" in (tmp_path / "found" / "worker-0.log").read_text()
    assert [path.name for path in (tmp_path / "found" / "runs").glob("*.json")] == ["vanilla_gan-seed0.json"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        runner.open_folder(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(UserError, match="notes.txt is a file"):
        runner.open_folder(tmp_path / "notes.txt", SMALL)
