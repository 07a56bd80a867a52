"""Arguments that combine with any variant: penalties, feature matching, averages, smoothed labels, layers."""

import itertools
import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import GAN, losses, models, testing
from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.models import DCGAN, EBGAN, GRAN, R1GAN, R2GAN, VARIANTS, WGANGP, RothGAN, VanillaGAN
from gan_zoo.nn.historical_averages import HistoricalAverages
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.nn.minibatch_discrimination import MinibatchDiscrimination
from gan_zoo.nn.virtual_batch_normalization import VirtualBatchNormalization
from gan_zoo.registry.variants import parse_arguments
from gan_zoo.util.errors import UserError
from gan_zoo.util.seeds import seeded

from . import variants
from .dirac import dirac, step

RNG = np.random.default_rng(0)
RATE = 0.1


def s(t):
    return 1 / (1 + math.exp(-t))


# One-sided label smoothing.


@pytest.mark.parametrize(("label", "expected"), [(1.0, 0.995163), (0.9, 1.080163), (0.75, 1.207663)])
def test_smoothed_cross_entropy(label, expected):
    real, fake = tf.constant([1.2, -0.3, 0.5, 2.0]), tf.constant([-0.7, 0.4, -1.5, 0.1])
    loss = losses.cross_entropy_discriminator(real, fake, label)
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    by_keras = keras.losses.binary_crossentropy(tf.fill([4], label), real, from_logits=True)
    assert float(loss) == pytest.approx(float(by_keras + tf.reduce_mean(tf.nn.softplus(fake))), abs=1e-6)


def smoothed() -> list[type]:
    """Variants with the argument whose D's loss is the plain cross entropy on the Dirac-GAN."""
    found = [variants.find(name) for name in variants.GAMES]
    return [cls for cls in found if issubclass(cls, CrossEntropyGAN)]


def test_many_variants_have_smoothing_and_the_rest_refuse_it():
    assert {DCGAN, VanillaGAN, R1GAN, RothGAN} < {*smoothed()}
    with pytest.raises(UserError, match="WGAN has no argument 'real_label'"):
        parse_arguments(models.WGAN, ["real_label=0.9"])
    for bad in (0, 1.5, "high"):
        with pytest.raises(UserError, match="real_label must be"):
            DCGAN.for_points(width=2, real_label=bad)


@pytest.mark.parametrize("cls", smoothed(), ids=lambda cls: cls.__name__)
def test_the_target_of_every_such_variant_changes(cls):
    """The loss with alpha is that with 1 plus (1 - alpha) E D(x), for the same networks and random numbers."""
    plain, soft = (variants.small(cls, seed=1, real_label=label) for label in (1.0, 0.7))
    soft.set_weights(plain.get_weights())
    x = tf.constant(variants.POINTS)
    z = plain.sample_latent(8, seed=0)
    scores = float(tf.reduce_mean(plain.D(x)))
    difference = float(soft.discriminator_loss(x, z) - plain.discriminator_loss(x, z))
    assert difference == pytest.approx(0.3 * scores, abs=2e-5)


def test_scores_of_real_data_settle_at_the_target():
    """On data that D can tell from samples with certainty, s(D(x)) tends to alpha and not to 1."""
    for label in (1.0, 0.9):
        gan = dirac(VanillaGAN, 3.0, 0.0, 0.5, real_label=label)
        x, step_of_d = tf.constant([[-3.0]] * 4), tf.function(lambda x, gan=gan: gan.discriminator_step(x))
        with gan.recording():
            for _ in range(400):
                step_of_d(x)
        score = s(float(gan.discriminator(x)[0, 0]))
        # D(x) = -D(G(z)) = t: the optimum of 2 softplus(-t) + (1 - alpha) t is s(-t) = (1 - alpha) / 2.
        assert score == pytest.approx((1 + label) / 2, abs=0.005)


# Feature matching.


def test_feature_matching_is_the_squared_norm_of_the_gap():
    real = tf.constant([[1.0, 2.0, -1.0], [0.0, 1.0, 3.0], [2.0, -2.0, 0.5]])
    fake = tf.constant([[0.5, 1.0, 0.0], [1.0, -1.0, 2.0], [0.0, 0.0, 1.0]])
    assert float(losses.feature_matching(real, fake)) == pytest.approx(0.388889, abs=1e-6)


def test_the_argument_adds_the_term_to_the_generators_loss_of_any_variant():
    for name in variants.GAMES:
        cls = variants.find(name)
        gan = variants.small(cls, seed=0, feature_matching=2.0, n_critic=1)
        gan.compile()
        x = tf.nest.map_structure(tf.constant, variants.data_for(gan))
        z = gan.sample_latent(8, seed=3)
        with gan.recording():
            gan.begin_turn(x)
            state = gan.random.state.numpy()
            total = gan.turn_loss(gan.player("generator"))(x, z)
            gan.random.state.assign(state)
            own = gan.generator_loss(x, z)
            gap = losses.feature_matching(*map(gan.features, gan.discriminator_inputs(x, z)))
        assert float(total - own) == pytest.approx(2 * float(gap), rel=1e-3, abs=1e-4), name


# Penalties.


@pytest.mark.parametrize(
    ("penalty", "cls", "arguments"),
    [
        ("r1(gamma=3)", R1GAN, {"gamma": 3.0}),
        ("r2(gamma=3)", R2GAN, {"gamma": 3.0}),
        ("gp(weight=2)", models.GANGP, {"gp_weight": 2.0}),
        ("js(gamma=3)", RothGAN, {"gamma": 3.0}),
    ],
)
@pytest.mark.parametrize("theta_psi", [(0.8, 0.6), (-0.5, 1.7)])
def test_a_penalty_on_the_original_gan_is_the_variant_of_its_paper(penalty, cls, arguments, theta_psi):
    data = [0.9, -0.3]
    assert step(dirac(VanillaGAN, *theta_psi, RATE, penalties=penalty), data) == pytest.approx(
        step(dirac(cls, *theta_psi, RATE, **arguments), data), abs=1e-6
    )


def test_penalties_add_up_and_points_around_the_data_are_possible():
    theta, psi = 0.4, 0.8
    gan = dirac(VanillaGAN, theta, psi, RATE, penalties="r1(gamma=2) + gp(weight=3, target=0.5, at=around)")
    z = gan.sample_latent(2)
    x = tf.constant([[0.0], [0.0]])
    with gan.recording() as recorded:
        value = gan.turn_loss(gan.player("discriminator"))(x, z)
        terms = {name: float(values[0]) for name, values in recorded.items()}
    assert terms == pytest.approx({"r1": psi**2, "gp": 3 * (psi - 0.5) ** 2}, abs=1e-6)
    assert float(value) == pytest.approx(math.log(2) + math.log(1 + math.exp(psi * theta)) + sum(terms.values()))


def test_bad_penalties():
    for text, sentence in (
        ("r3", "penalties must be 'none' or, joined by"),
        ("r1 + r1", "names r1 twice"),
        ("r1(gamma=-1)", "gamma must be"),
        ("gp(at=there)", "at must be 'between' or 'around', not 'there'"),
        ("r1(weight=1)", "r1 has no argument 'weight'"),
    ):
        with pytest.raises(UserError, match=sentence):
            VanillaGAN.for_points(width=2, penalties=text)
    with pytest.raises(UserError, match="penalties='r1' needs a discriminator with one score"):
        EBGAN.for_points(width=4, penalties="r1")
    gan = DCGAN.for_images((16, 16, 1), width=2, latent_dim=2, norm="batch", penalties="r1")
    with pytest.raises(UserError, match="DCGAN: penalties='r1' penalizes .* batch normalization mixes"):
        gan.check_penalty()
    DCGAN.for_images((16, 16, 1), width=2, latent_dim=2, penalties="r1").check_penalty()
    gan = WGANGP.for_points(width=2, minibatch_discrimination=True)
    with pytest.raises(UserError, match="gp_weight=10 penalizes .* minibatch discrimination mixes"):
        gan.check_penalty()


# Historical averaging.


def test_the_distance_from_the_mean_of_past_weights():
    weights = keras.Variable([1.0, 2.0])
    history = HistoricalAverages([weights])
    assert float(history.distance([weights])) == 0.0
    weights.assign([0.5, 1.0])
    history.distance([weights])
    weights.assign([0.0, 3.0])
    history.distance([weights])
    np.testing.assert_allclose(history.means[0].numpy(), [0.5, 2.0], rtol=1e-6)
    weights.assign([0.2, 1.5])
    with tf.GradientTape() as tape:
        tape.watch(weights.value)
        value = history.distance([weights])
    mean = np.array([1.7, 7.5]) / 4
    assert float(value) == pytest.approx(np.square(np.array([0.2, 1.5]) - mean).sum(), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(value, weights.value), 2 * (np.array([0.2, 1.5]) - mean), rtol=1e-5)


class Bilinear(GAN):
    """The game V(x, y) = x y of the players x and y."""

    def discriminator_loss(self, x, z):
        return -self.generator_loss(x, z)

    def generator_loss(self, x, z):
        return tf.reduce_mean(self.generator(z) * self.discriminator(tf.ones_like(z)))


@pytest.mark.parametrize(("weight", "radius"), [(0.0, 12.032156), (0.1, 0.005730), (1.0, 0.476842)])
def test_it_stops_the_circling_of_a_bilinear_game(weight, radius):
    """Simultaneous descent at rate 0.1 for 500 steps; the radii are those of the recurrence in Python."""
    keras.config.set_dtype_policy("float64")
    gan = dirac(Bilinear, 1.0, 1.0, 0.1, historical_averaging=weight, simultaneous=True)
    run = tf.function(gan.train_step)
    for _ in range(500):
        run(tf.zeros([1, 1], tf.float64))
    x, y = (float(player.get_weights()[0][0, 0]) for player in (gan.generator, gan.discriminator))
    assert math.hypot(x, y) / math.sqrt(2) == pytest.approx(radius, rel=2e-3)


# Layers.


def test_minibatch_discrimination_is_the_papers():
    tensor = np.array([[[0.2, -0.4], [0.1, 0.3]], [[0.5, 0.0], [-0.2, 0.6]]], "float32")
    layer = MinibatchDiscrimination(kernels=2, size=2)
    layer.build((3, 2))
    lengths = np.linalg.norm(tensor, axis=0)
    layer.theta.assign(tensor / lengths)
    layer.log_scale.assign(np.log(lengths))
    features = np.array([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]], "float32")
    expected = [[1.750523, 1.653167], [1.651225, 1.506829], [1.503091, 1.346856]]
    np.testing.assert_allclose(layer(features)[:, 2:], expected, atol=1e-5)
    np.testing.assert_array_equal(layer(features)[:, :2], features)


def test_equal_samples_look_alike():
    layer = MinibatchDiscrimination()
    spread, collapsed = RNG.normal(size=(16, 8)), np.tile(RNG.normal(size=(1, 8)), [16, 1])
    near = [float(tf.reduce_mean(layer(tf.constant(x, tf.float32))[:, 8:])) for x in (spread, collapsed)]
    assert near[1] == pytest.approx(16.0)
    assert 1.0 < near[0] < 4.0


def test_virtual_batch_normalization_is_the_papers():
    reference, x = [[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]], [[2.0, 0.0], [-1.0, 1.0]]
    layer = VirtualBatchNormalization(3)
    layer.build((5, 2))
    layer.gain.assign([1.0, 1.0])
    expected = [[-0.267260, 1.224741], [1.336302, -1.224741], [-1.069042, 0.0]]
    expected += [[0.447212, -0.346409], [-1.183213, 0.346409]]
    np.testing.assert_allclose(layer(np.array(reference + x, "float32")), expected, atol=1e-5)


@pytest.mark.parametrize("settings", [dict(network="dcgan"), dict(network="dcgan", classes=3), dict(network="resnet")])
def test_samples_do_not_depend_on_their_batch(settings):
    gan = DCGAN.for_images((8, 8, 1), width=4, latent_dim=4, g_norm="virtual", **settings)
    z = gan.sample_latent(6, seed=0)
    part = tf.nest.map_structure(lambda t: t[2:3], z)
    for training in (True, False):
        whole = gan.generator(z, training=training)
        np.testing.assert_allclose(whole[2:3], gan.generator(part, training=training), atol=1e-5)
    assert batch_size(gan(z)) == 6
    plain = DCGAN.for_images((8, 8, 1), width=4, latent_dim=4, **settings)
    difference = plain.generator(z, training=True)[2:3] - plain.generator(part, training=True)
    assert float(tf.reduce_max(tf.abs(difference))) > 1e-3


def test_the_reference_batch_has_the_prior_and_stays():
    gan = DCGAN.for_images((8, 8, 1), width=4, latent_dim=4, g_norm="virtual")
    gan.compile()
    (reference,) = (layer for layer in gan.generator.layers if hasattr(layer, "reference"))
    before = reference.reference.numpy()
    assert before.shape == (64, 4)
    assert np.abs(before).max() <= 1
    gan.train_step(tf.constant(variants.IMAGES))
    np.testing.assert_array_equal(reference.reference.numpy(), before)


def test_generators_take_the_normalizations_of_their_family():
    make = partial(VanillaGAN.for_images, (8, 8, 1), norm="none", width=16, latent_dim=4)
    for network in ("mlp", "column_rnn", "growing", "r3"):
        with pytest.raises(UserError, match=f"g_norm='virtual' is for .* networks dcgan, resnet, not '{network}'"):
            make(network=network, g_norm="virtual")
    with pytest.raises(UserError, match="g_norm='batch' is for .* networks dcgan, resnet, mlp, not 'growing'"):
        make(network="growing", g_norm="batch")
    with pytest.raises(UserError, match="g_norm must be one of batch, virtual or None, not 'layer'"):
        make(g_norm="layer")
    with pytest.raises(UserError, match="GRAN's perceptrons have no normalization"):
        GRAN.for_points(width=4, g_norm="batch")
    with pytest.raises(UserError, match="no gains and biases for each class"):
        DCGAN.for_images((8, 8, 1), network="resnet", width=4, latent_dim=4, g_norm="virtual", classes=3)
    with pytest.raises(UserError, match="an autoencoder returns none: leave it out"):
        EBGAN.for_points(width=4, minibatch_discrimination=True)


def test_perceptrons_of_generators_take_batch_normalization():
    def layers_of(norm, network="mlp"):
        gan = VanillaGAN.for_images((8, 8, 1), network=network, width=16, latent_dim=4, g_norm=norm)
        return [type(layer).__name__ for layer in gan.generator.layers[1:]]

    hidden = ["Dense", "BatchNormalization", "ReLU"]
    assert layers_of("batch") == [*hidden, *hidden, "Dense", "Activation", "Reshape"]
    assert layers_of(None) == ["Dense", "ReLU", "Dense", "ReLU", "Dense", "Activation", "Reshape"]
    assert layers_of("batch", "dcgan") == layers_of(None, "dcgan")
    gan = VanillaGAN.for_points(width=32, depth=1, g_norm="batch")
    hidden = keras.Model(gan.generator.input, gan.generator.layers[2].output)
    values = hidden(3 + 2 * gan.sample_latent(512, seed=0), training=True).numpy()
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(axis=0), np.abs(gan.generator.layers[2].gamma.numpy()), rtol=1e-2)


TERMS = dict(penalties="gp(at=around)", feature_matching=0.5, historical_averaging=0.1)
LAYER = dict(minibatch_discrimination=True, real_label=0.9, dtype="float64")


@pytest.mark.parametrize(
    ("settings", "check"),
    [
        pytest.param(TERMS, testing.check_replicas, id="terms-replicas"),
        pytest.param(TERMS, testing.check_keras_file, id="terms-file"),
        pytest.param(LAYER, testing.check_replicas, id="layer-replicas", marks=pytest.mark.thorough),
        pytest.param(LAYER, testing.check_keras_file, id="layer-file"),
    ],
)
def test_they_conform(settings, check):
    check(lambda: VanillaGAN.for_points(width=4, **settings), variants.POINTS)


# All pairs.

OPTIONS = {
    "name": [*VARIANTS],
    "penalties": ("none", "r1(gamma=1)", "gp(weight=1, at=around)"),
    "feature_matching": (0.0, 0.1),
    "historical_averaging": (0.0, 0.1),
    "instance_noise": (0.0, 0.1),
    "augmentation": ("none", "diffaugment(color, translation, cutout)", "ada(p=0.5, pipe=bc)"),
    "lecam": (0.0, 0.3),
    "minibatch_discrimination": (False, True),
    "real_label": (1.0, 0.9),
    "balance": ("constant", "until(d_loss=99.0, turns=2)"),
    "simultaneous": (False, True),
    "n_critic": (1, 2),
    "classes": (None, 3),
}
"""Arguments, with at most three values each, and the variants. The first value of an argument leaves it out."""

NETWORK_ARGUMENTS = ("minibatch_discrimination", "classes")


def missing(cls: type, argument: str) -> bool:
    """Whether a class has no such argument, so that every value but the first is refused by name."""
    if argument == "classes":
        return cls.takes_labels != "optional"
    if argument == "minibatch_discrimination":
        return not issubclass(cls, GAN)
    return argument not in (*cls.parameters(), *NETWORK_ARGUMENTS)


def refusal(row: dict) -> str | None:
    """What the error says about a combination, or a part of one, that the mathematics does not allow; else None."""
    cls = variants.find(row["name"])
    energies = hasattr(cls, "energy")
    scores = issubclass(cls, GAN) and not energies and not hasattr(cls, "class_probabilities")
    own = cls.gradient_penalty_argument
    penalized = row.get("penalties", "none") != "none" or (own and cls.parameters()[own].default)
    if row.get("penalties", "none") != "none" and not scores:
        return "needs a discriminator with one score"
    if row.get("augmentation", "none") != "none" and energies:
        return "reconstructs them: leave augmentation out"
    if row.get("lecam") and not scores:
        return "needs a discriminator with one score"
    if row.get("lecam") and cls.score_threshold is None:
        return "only compares scores with each other"
    if row.get("minibatch_discrimination") and energies:
        return "an autoencoder returns none"
    if row.get("minibatch_discrimination") and penalized:
        return "minibatch discrimination mixes"
    if row.get("simultaneous") and row.get("balance", "constant") != "constant":
        return "simultaneous=True updates both players in each step"
    if cls.parameters()["simultaneous"].default and row.get("balance", "constant") != "constant":
        return "simultaneous"
    return None


def allowed(row: dict) -> bool:
    cls = variants.find(row["name"]) if "name" in row else None
    if cls is None:
        return not (row.get("simultaneous") and row.get("balance", "constant") != "constant") and not (
            row.get("minibatch_discrimination") and row.get("penalties", "none") != "none"
        )
    given = [name for name, value in row.items() if name != "name" and value != OPTIONS[name][0]]
    return refusal(row) is None and not any(missing(cls, name) for name in given)


def pairwise(options: dict[str, tuple]) -> list[dict]:
    """Returns allowed combinations in which every allowed pair of values occurs. Greedy, without random numbers."""
    names = [*options]
    places = {name: k for k, name in enumerate(names)}
    every = [((a, x), (b, y)) for a, b in itertools.combinations(names, 2) for x in options[a] for y in options[b]]
    left = dict.fromkeys(pair for pair in every if allowed(dict(pair)))
    rows = []
    while left:
        row = dict(next(iter(left)))
        for name in names:
            if name not in row:
                fitting = [value for value in options[name] if allowed({**row, name: value})]
                row[name] = max(
                    fitting,
                    key=lambda value, name=name: sum(
                        tuple(sorted([(name, value), other], key=lambda pair: places[pair[0]])) in left
                        for other in row.items()
                    ),
                )
        for pair in itertools.combinations(((name, row[name]) for name in names), 2):
            left.pop(pair, None)
        rows.append({name: row[name] for name in names})
    return rows


def build(row: dict):
    """Builds the model of a combination; arguments with their first value are left out."""
    cls = variants.find(row["name"])
    settings = {name: value for name, value in row.items() if name != "name" and value != OPTIONS[name][0]}
    settings |= {"classes": 3} if cls.takes_labels == "required" else {}
    settings |= {"n_critic": row.get("n_critic", 1)} if "n_critic" in cls.parameters() else {}
    sizes = {"width": 4, "seed": 0}
    if kind_of(row) == "points":
        return cls.for_points(**sizes, **settings)
    family = {"network": "mlp"} if "points" in cls.kinds else {}
    return cls.for_images((8, 8, 1), latent_dim=4, **family, **sizes, **settings)


def kind_of(row: dict) -> str:
    """The examples of a combination: points if possible, with perceptrons for images elsewhere."""
    return "image" if row.get("augmentation", "none") != "none" else variants.kind_of(variants.find(row["name"]))


ROWS = pairwise(OPTIONS)


def test_every_allowed_pair_of_values_occurs():
    for a, b in itertools.combinations(OPTIONS, 2):
        pairs = itertools.product(OPTIONS[a], OPTIONS[b])
        assert {pair for pair in pairs if allowed({a: pair[0], b: pair[1]})} == {(row[a], row[b]) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_arguments_combine(row):
    """A step of each combination has finite values, moves the players, and logs the terms."""
    with seeded(2):
        gan = build(row)
    gan.check_penalty()
    gan.compile()
    before = {player.name: [variable.numpy() for variable in player.variables] for player in gan.players()}
    x = tf.nest.map_structure(tf.constant, variants.data_for(gan, kind_of(row)))
    logs = gan.train_step(x)
    assert all(np.isfinite(value) for value in logs.values())
    for player in gan.players():
        pairs = zip(player.variables, before[player.name], strict=True)
        assert any((variable.numpy() != old).any() for variable, old in pairs), player.name
    assert {name for name in ("r1", "gp") if name in row["penalties"]} <= logs.keys()
    assert ("feature_gap" in logs) == bool(row["feature_matching"])
    assert ("lecam" in logs) == bool(row["lecam"])


def test_what_is_impossible_is_refused_in_a_sentence():
    """Each pair of values that no combination has raises an error that says why."""
    tried = 0
    for a, b in itertools.combinations(OPTIONS, 2):
        for pair in itertools.product(OPTIONS[a], OPTIONS[b]):
            row = {"name": "vanilla_gan", **dict(zip((a, b), pair, strict=True))}
            cls = variants.find(row["name"])
            given = [n for n, value in row.items() if n != "name" and value != OPTIONS[n][0]]
            if len(given) != (1 if a == "name" else 2) or any(missing(cls, name) for name in given):
                continue
            sentence = refusal(row)
            if sentence is not None:
                with pytest.raises(UserError, match=sentence):
                    gan = build(row)
                    gan.check_penalty()
                    gan.compile()
                tried += 1
    assert tried > 10
