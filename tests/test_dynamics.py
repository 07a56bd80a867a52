"""The Dirac-GAN's eigenvalues and paths against exact values, small games, the table and the figure."""

import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_zoo import GAN, UserError, dynamics, losses, models
from gan_zoo.dynamics import dirac_gan, report
from gan_zoo.dynamics.dirac_gan import normal_points, players
from gan_zoo.model import GenerativeModel
from gan_zoo.models import DRAGAN, R1GAN, VARIANTS, WGAN, GradientRegularizedGAN
from gan_zoo.players import Player

from .small_models import Pairs, conditional
from .systems import VAE
from .waiting import HANGING

VECTORS = json.loads((Path(__file__).parent / "data" / "vectors.json").read_text())["dirac"]


class MinimaxR1(R1GAN):
    """R1 with the zero-sum generator of its authors."""

    def generator_loss(self, x, z):
        return losses.minimax_generator(self.D(self.G(z)))


class MinimaxDRAGAN(DRAGAN):
    def generator_loss(self, x, z):
        return losses.minimax_generator(self.D(self.G(z)))


GAMES = {
    "gan": ("vanilla_gan", {"saturating": True}),
    "nsgan": ("vanilla_gan", {}),
    "wgan_unclipped": ("wgan", {"clip": 10.0}),
    "rsgan": ("rgan", {}),
    "instance_noise_s0.7": ("vanilla_gan", {"saturating": True, "instance_noise": 0.7}),
    "instance_noise_scrit_sqrt2": ("vanilla_gan", {"saturating": True, "instance_noise": 2**0.5}),
    "instance_noise_s2": ("vanilla_gan", {"saturating": True, "instance_noise": 2.0}),
    **{f"r1_gamma{g:g}": (MinimaxR1, {"gamma": g}) for g in (0.3, 1.0, 2.0)},
    **{f"nsgan_r1_gamma{g:g}": ("r1_gan", {"gamma": g}) for g in (0.3, 1.0, 2.0)},
    **{f"consensus_gamma{g:g}": ("consensus_gan", {"gamma": g, "saturating": True}) for g in (0.3, 1.0)},
    **{f"nagarajan_kolter_eta{e:g}": ("gradient_regularized_gan", {"eta": e}) for e in (0.5, 1.0)},
    **{f"unrolled_K{k}_eta0.2": ("unrolled_gan", {"unroll_steps": k, "inner_learning_rate": 0.2}) for k in (1, 5, 10)},
}
PATHS = {
    **{name: GAMES[name] for name in ("gan", "nsgan", "instance_noise_s0.7", "r1_gamma0.3", "r1_gamma1")},
    **{name: GAMES[name] for name in ("nsgan_r1_gamma0.3", "consensus_gamma1", "nagarajan_kolter_eta0.5")},
    "wgan_clip1": ("wgan", {"clip": 1.0}),
    "wgan_gp_reg0.7_target1": ("wgan_gp", {"gp_weight": 0.35}),
    "dragan_reg0.7_target1": (MinimaxDRAGAN, {"gp_weight": 0.35}),
}


def test_all_of_the_table_is_tested():
    assert set(GAMES) == set(VECTORS["continuous"])


@pytest.mark.parametrize("name", GAMES)
def test_eigenvalues(name):
    model, arguments = GAMES[name]
    game = dynamics.dirac(model, **arguments)
    expected = VECTORS["continuous"][name]
    found = dynamics.eigenvalues(game.jacobian())
    np.testing.assert_allclose(
        found, np.sort_complex([e["re"] + 1j * e["im"] for e in expected["eig"]]), atol=1e-6, rtol=0
    )
    # The sign of psi depends on which data are called real, and only the mixed derivatives change with it.
    np.testing.assert_allclose(np.abs(game.jacobian()), np.abs(expected["J"]), atol=1e-9)
    assert game.is_differentiable()
    for rate in (0.1, 0.2):
        for key, schedule, d_steps in (
            ("simgd", "simultaneous", 1),
            ("altgd_nd1", "alternating", 1),
            ("altgd_nd5", "alternating", 5),
        ):
            update = game.update_jacobian(step_size=rate, schedule=schedule, d_steps=d_steps)
            radius = VECTORS[key][f"h{rate}"][name]["spectral_radius"]
            assert dynamics.spectral_radius(update) == pytest.approx(radius, abs=1e-6)


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("key", ["sim", "alt1", "alt5"])
def test_trajectories(name, key):
    model, arguments = PATHS[name]
    schedule, d_steps = ("simultaneous", 1) if key == "sim" else ("alternating", int(key[3:]))
    path = dynamics.dirac(model, **arguments).trajectory(
        [1.0, -1.0], step_size=0.2, steps=500, schedule=schedule, d_steps=d_steps
    )
    assert path.shape == (501, 2)
    for step, (theta, psi) in _points(name, key):
        np.testing.assert_allclose(path[step] * [1, -1], (theta, psi), atol=1e-6, rtol=0)


def _points(name, key):
    entries = VECTORS["trajectories"][name][key].items()
    return [(int(step.removeprefix("step")), point) for step, point in entries if step.startswith("step")]


def test_the_minimax_game_grows_at_every_simultaneous_step_and_stays_bounded_otherwise():
    game = dynamics.dirac("vanilla_gan", saturating=True)
    radius = np.linalg.norm(game.trajectory([1.0, -1.0], step_size=0.2, steps=500), axis=1)
    assert (np.diff(radius) > 0).all()
    path = game.trajectory([1.0, -1.0], step_size=0.2, steps=500, schedule="alternating")
    radius = np.linalg.norm(path, axis=1)
    assert radius.min() >= 1.3435 and radius.max() <= 1.4221
    # |w'|^2 = |w|^2 (1 + h^2 f'(psi theta)^2), exactly.
    slope = 1 / (1 + math.e)  # f'(1)
    first = np.linalg.norm(game.trajectory([1.0, -1.0], step_size=0.2, steps=1)[1])
    assert first**2 == pytest.approx(2 * (1 + 0.04 * slope**2), rel=1e-12)


def test_the_non_saturating_game_settles_on_a_circle():
    """The radius is sqrt(2 h), where the outward error of the step and the inward pull of the loss balance."""
    path = dynamics.dirac("vanilla_gan").trajectory([0.3, -0.2], step_size=0.05, steps=10_000)
    assert np.linalg.norm(path[-1000:], axis=1).mean() == pytest.approx(math.sqrt(0.1), rel=1e-3)


def test_the_field_is_what_is_written_in_the_paper():
    game = dynamics.dirac("vanilla_gan", saturating=True)
    slope = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    for theta, psi in ((0.7, 1.3), (-2.0, 0.4), (0.0, -1.0)):
        # L = log s(-psi theta) in the zoo's sign: D ascends, G descends.
        expected = (psi * slope(psi * theta), -theta * slope(psi * theta))
        np.testing.assert_allclose(game.field([theta, psi]), expected, rtol=1e-12)
    points = np.array([[0.7, 1.3], [-2.0, 0.4]])
    np.testing.assert_allclose(game.fields(points), [game.field(w) for w in points], rtol=1e-13)
    np.testing.assert_array_equal(game.point, [0.0, 0.0])  # no player has moved


@pytest.mark.parametrize(
    "model", ["vanilla_gan", "r1_gan", "consensus_gan", "unrolled_gan", "gradient_regularized_gan"]
)
def test_the_derivative_is_that_of_the_field(model):
    game, w, delta = dynamics.dirac(model), np.array([0.6, -0.9]), 1e-5
    slopes = [(game.field(w + d) - game.field(w - d)) / (2 * delta) for d in delta * np.eye(2)]
    np.testing.assert_allclose(game.jacobian(w), np.stack(slopes, axis=1), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("model", ["wgan_gp", "gan_gp", "dragan"])
def test_where_the_field_jumps_it_has_no_derivative(model):
    game = dynamics.dirac(model, gp_weight=0.35)
    assert not game.is_differentiable()
    assert game.is_differentiable([1.0, -1.0])
    # At psi = 0 with theta = +-1.4 (0.7 for WGAN-GP) penalty and discriminator cancel: a rest, not an equilibrium.
    theta = 0.7 if model == "wgan_gp" else 1.4
    assert game.field([theta, 1e-9])[1] == pytest.approx(0.0, abs=1e-8)
    assert game.field([theta, -1e-9])[1] == pytest.approx(-1.4, abs=1e-8)


def test_an_alternating_update_is_its_players_turns():
    """Compares the derivative of two turns with differences along the variant's own steps."""
    game, w, rate, delta = dynamics.dirac("r1_gan", gamma=0.4), np.array([0.8, -0.5]), 0.3, 1e-5
    for d_steps in (1, 3):
        how = {"step_size": rate, "schedule": "alternating", "d_steps": d_steps}
        ends = [
            (game.trajectory(w + d, steps=1, **how)[-1] - game.trajectory(w - d, steps=1, **how)[-1]) / (2 * delta)
            for d in delta * np.eye(2)
        ]
        np.testing.assert_allclose(game.update_jacobian(w, **how), np.stack(ends, axis=1), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("cls", [WGAN, GradientRegularizedGAN])
def test_a_path_is_that_of_training(cls):
    """Compares with `train_step` with Keras's own SGD, and with the players' turns, G first."""
    arguments = {"n_critic": 1, "seed": 0, **({"clip": 0.9} if cls is WGAN else {})}
    game = dynamics.Game(cls(*players(0, 0, "float64"), **arguments), tf.zeros([2, 1], tf.float64))
    for simultaneous in (True, False):
        gan = cls(*players(1.0, -1.0), simultaneous=simultaneous, **arguments)
        gan.compile(keras.optimizers.SGD(0.2), keras.optimizers.SGD(0.2))
        for _ in range(20):
            if simultaneous:
                gan.train_step(tf.zeros([2, 1]))
            else:
                gan.generator_step(tf.zeros([2, 1]))
                gan.discriminator_step(tf.zeros([2, 1]))
        schedule = "simultaneous" if simultaneous else "alternating"
        expected = [m.get_weights()[0].item() for m in (gan.generator, gan.discriminator)]
        path = game.trajectory([1.0, -1.0], step_size=0.2, steps=20, schedule=schedule)
        np.testing.assert_allclose(path[-1], expected, rtol=1e-5)


def test_a_larger_game():
    """V = theta' A psi, two numbers against two: v = (-A psi, A' theta), eigenvalues +-i times A's singular values."""
    A = np.array([[1.0, 2.0], [0.5, -1.0]])

    class Bilinear(GAN):
        def value(self):
            (kernel,), (row,) = self.discriminator_variables, self.generator_variables
            return tf.reduce_sum(row.value * tf.transpose(A @ kernel.value))

        def discriminator_loss(self, x, z):
            return -self.value()

        def generator_loss(self, x, z):
            return self.value()

    def linear(sizes):
        x = keras.Input((sizes[0],), dtype="float64")
        return keras.Model(x, keras.layers.Dense(sizes[1], use_bias=False, dtype="float64")(x))

    game = dynamics.Game(Bilinear(linear([1, 2]), linear([2, 1]), seed=0), tf.zeros([2, 2], tf.float64))
    assert game.names == ["generator"] * 2 + ["discriminator"] * 2
    w = np.array([1.0, 2.0, -3.0, 0.5])
    np.testing.assert_allclose(game.field(w), [*(-A @ w[2:]), *(A.T @ w[:2])])
    np.testing.assert_allclose(game.jacobian(w), np.block([[np.zeros((2, 2)), -A], [A.T, np.zeros((2, 2))]]))
    sizes = np.linalg.svd(A, compute_uv=False)
    np.testing.assert_allclose(sorted(dynamics.eigenvalues(game.jacobian(w)).imag), sorted([*sizes, *-sizes]))
    for wrong in ([1.0], np.zeros((4, 1))):
        with pytest.raises(UserError, match="has 4 numbers"):
            game.field(wrong)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda gamma: dynamics.dirac("r1_gan", gamma=gamma), 1.0),
        (lambda std: dynamics.dirac("vanilla_gan", saturating=True, instance_noise=std), math.sqrt(2)),
        (lambda eta: dynamics.dirac("gradient_regularized_gan", eta=eta), 2.0),
    ],
)
@pytest.mark.thorough
def test_critical_regularisation(make, expected):
    assert dynamics.critical(make, 0.1, 3.0, tolerance=1e-6) == pytest.approx(expected, abs=1e-6)


def test_noise_on_both_sides_of_a_pair_is_independent():
    """D(x + n) - D(G(z) + n') damps psi by s^2 / 2, because f'' is 1/4 and the variance of n - n' is 2 s^2."""
    game = dynamics.dirac("rgan", instance_noise=1.0)
    np.testing.assert_allclose(game.jacobian(), [[0.0, 0.5], [-0.5, -0.5]], atol=1e-7)


@pytest.mark.parametrize("arguments", [{"gamma": 1.0, "interval": 3}, {"instance_noise": 0.5, "noise_turns": 10}])
def test_turns_that_are_counted(arguments):
    """A lazy penalty has `interval` times its weight in its turn. Noise has its full size in the first turn, G's."""
    field = dynamics.dirac("r1_gan", **arguments).field([0.5, -1.0])
    plain = {"gamma": 3.0} if "interval" in arguments else {"instance_noise": 0.5}
    expected = dynamics.dirac("r1_gan", **plain).field([0.5, -1.0])
    np.testing.assert_allclose(field[:1], expected[:1], rtol=1e-12)
    assert (abs(field[1] / expected[1] - 1) < 1e-12) == ("interval" in arguments)


@pytest.mark.parametrize("text", ["wgan(n_critic=5)", "vanilla_gan(simultaneous=True)", "wgan(balance='warm_up')"])
def test_what_the_schedules_decide_is_no_argument(text):
    with pytest.raises(UserError, match="--d_steps"):
        dynamics.methods(text)


def test_critical_regularisation_lies_between():
    with pytest.raises(UserError, match="low=1.5: the players do not circle there"):
        dynamics.critical(lambda gamma: dynamics.dirac("r1_gan", gamma=gamma), 1.5, 2.0)
    with pytest.raises(UserError, match="high=0.5: the players circle there"):
        dynamics.critical(lambda gamma: dynamics.dirac("r1_gan", gamma=gamma), 0.1, 0.5)


def test_points_stand_for_the_normal_distribution():
    x = normal_points(4096)
    assert len(x) == 4096
    assert np.mean(x) == pytest.approx(0.0, abs=1e-12)
    assert np.mean(x**2) == pytest.approx(1.0, abs=1e-12)
    assert np.mean(np.cos(x)) == pytest.approx(math.exp(-0.5), abs=5e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"schedule": "both"}, "schedule must be one of simultaneous, alternating"),
        ({"d_steps": 0}, "d_steps must be a whole number from 1 up"),
        ({"steps": -1}, "steps must be 0 or more"),
    ],
)
def test_bad_schedules(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        dynamics.dirac().trajectory([1.0, 1.0], **{"step_size": 0.1, "steps": 3, **arguments})


def test_every_variant_plays():
    rows = dynamics.methods("all")
    games = {name for name in VARIANTS if dirac_gan._scores(getattr(models, VARIANTS[name]))}
    assert {row.model for row in rows} == games
    assert len(games) >= 19
    assert "ebgan" not in games
    assert [row.name for row in dynamics.methods("r1_gan")] == ["R1, γ = 0.3", "R1, γ = 1, critical", "R1, γ = 2"]
    (one,) = dynamics.methods("r1_gan(gamma=5)")
    assert (one.name, one.arguments) == ("r1_gan(gamma=5.0)", {"gamma": 5.0})
    with pytest.raises(UserError, match="ebgan: the Dirac-GAN needs a generator"):
        dynamics.methods("dcgan,ebgan")
    with pytest.raises(UserError, match="VanillaGAN has no argument 'gamma'. It has saturating,"):
        dynamics.dirac("vanilla_gan", gamma=1.0)


class Chase(GenerativeModel):
    """Three players of one number each: a wants to be b, b to be c, and c to be 0."""

    averaged = ("a",)

    def __init__(self, a, b, c):
        super().__init__({"a": a, "b": b, "c": c}, seed=0)

    def players(self):
        return [Player(n, getattr(self, f"loss_{n}"), getattr(self, n).trainable_variables) for n in "abc"]

    def gap(self, one, other=None):
        (mine,) = getattr(self, one).trainable_variables
        target = getattr(self, other).trainable_variables[0].value if other else 0.0
        return tf.reduce_sum(tf.square(mine.value - target)) / 2

    def loss_a(self, x, z):
        return self.gap("a", "b")

    def loss_b(self, x, z):
        return self.gap("b", "c")

    def loss_c(self, x, z):
        return self.gap("c")


def test_any_number_of_players():
    game = dynamics.Game(Chase(*(players(0.0, 0.0, "float64")[1] for _ in "abc")), tf.zeros([1, 1], tf.float64))
    assert game.names == ["c", "b", "a"]  # the last of the players moves first
    c, b, a = w = [1.0, 3.0, 7.0]
    np.testing.assert_allclose(game.field(w), [-c, c - b, b - a])
    end = game.trajectory(w, step_size=0.5, steps=1, schedule="alternating", d_steps=2)[-1]
    c = 0.5 * c
    b = b + 0.5 * (c - b)
    for _ in range(2):
        a = a + 0.5 * (b - a)
    np.testing.assert_allclose(end, [c, b, a])
    factors = np.linalg.eigvals(game.update_jacobian(w, step_size=0.5, schedule="alternating", d_steps=2))
    np.testing.assert_allclose(np.sort(factors), [0.25, 0.5, 0.5])


def test_other_forms_of_models():
    x = np.float32([[0.5], [1.0]])
    labelled = dynamics.Game(conditional(shape=(1,), classes=2, latent_dim=1), (x, np.int32([0, 1])))
    assert np.isfinite(labelled.field()).all() and {*labelled.names} == {"generator", "discriminator"}
    alone = dynamics.Game(VAE.for_points(1, latent_dim=1, width=1, depth=1, seed=0), x)
    assert {*alone.names} == {"vae"} and np.isfinite(alone.field()).all()
    with pytest.raises(UserError, match="schedule='alternating' needs two players or more, and VAE has one, vae"):
        alone.trajectory(alone.point, step_size=0.1, steps=1, schedule="alternating")
    for cls, names in ((VAE, "encoder, decoder"), (Pairs, "generator, discriminator, encoder")):
        with pytest.raises(UserError, match=f"{cls.__name__} has the networks {names}"):
            dynamics.dirac(cls)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("r1_gam", "--models=r1_gam is not in the zoo. Did you mean 'r1_gan'?"),
        ("r1_gan(gamma=1", "has an unmatched bracket"),
        ("r1_gan,dcgan,r1_gan", "r1_gan twice"),
        ("r1_gan(gamma)", "--models=r1_gan(gamma): 'gamma' is not of the form name=value"),
        ("r1_gan(gama=1)", "has no argument 'gama'. Did you mean 'gamma'?"),
        ("r1_gan(gamma=high)", "--models=r1_gan(gamma=high): gamma must be a number, not 'high'"),
        (" , ", "--models is empty"),
    ],
)
def test_methods_that_are_none(text, sentence):
    with pytest.raises(UserError) as caught:
        dynamics.methods(text)
    assert sentence in str(caught.value)


def test_verdicts():
    names = {
        "GAN, minimax": "at once: moves away; in turns: undecided",
        "LSGAN": "undecided",
        "R1, γ = 0.3": "in a spiral",
        "R1, γ = 2": "without circling",
    }
    names |= {"WGAN-GP": "the field jumps"}
    methods = [method for method in dynamics.METHODS if method.name in names]
    found = {m.name: report.examine(m, start=(1, -1), step_size=0.2, steps=20, grid=3) for m in methods}
    for name, words in names.items():
        assert words in found[name].verdict
    large = report.examine(dynamics.METHODS[17], start=(1, -1), step_size=2.0, steps=500, grid=3)
    assert (large.name, large.verdict) == ("R1, γ = 2", "moves away")
    assert not large.distance("simultaneous") < 1e6
    assert "< 1e-06" not in report.table([large], 2.0, 500)
    lines = report.table(list(found.values()), 0.2, 20).splitlines()
    assert len(lines) == 1 + len(names)
    assert "± 0.5i" in lines[1] and "1.004988" in lines[1]
    assert report.complex_text(np.array([-0.15 - 0.47697j, -0.15 + 0.47697j])) == "-0.15 ± 0.47697i"
    assert report.complex_text(np.array([-1.866 + 0j, -0.134])) == "-1.866, -0.134"


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "gan_zoo.dynamics", *arguments], cwd=cwd, capture_output=True, text=True, timeout=HANGING
    )


def test_the_figure_and_the_animation(tmp_path):
    done = run("--models=vanilla_gan,r1_gan(gamma=0.5)", "--steps=30", "--animate", "--output=dirac.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "r1_gan(gamma=0.5)    -0.25 ± 0.433013i" in done.stdout
    figure = np.asarray(Image.open(tmp_path / "dirac.png").convert("RGB")).reshape(-1, 3)
    for colour in ((0, 114, 178), (213, 94, 0)):  # both paths are drawn
        assert (np.abs(figure.astype(int) - colour).max(axis=1) < 12).sum() > 100
    with Image.open(tmp_path / "dirac.gif") as animation:
        pictures = []
        for index in (0, animation.n_frames - 1):
            animation.seek(index)
            pictures.append(np.asarray(animation.convert("RGB")))
        assert animation.n_frames > 10
    assert (pictures[0] != pictures[1]).any()


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--output=x.svg", "must end in .png"),
        ("--step_size=0", "--step_size must be positive"),
        ("--start=1", "must be two numbers"),
        ("--d_steps=0", "--d_steps must be 1 or more"),
    ],
)
def test_bad_flags(flag, sentence, tmp_path):
    done = run(flag, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
