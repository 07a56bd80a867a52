"""Augmentation of what D sees: the formulas of DiffAugment and ADA, exact gradients, p, and the seam in the GAN."""

import numpy as np
import pytest
import tensorflow as tf

from gan_zoo import testing
from gan_zoo.models import DCGAN, EBGAN, LSGAN, R1GAN, WGAN, WGANGP, CatGAN, HingeGAN, VanillaGAN
from gan_zoo.nn.augment import ada, color, diffaugment, geometry, resampling
from gan_zoo.penalties import squared_gradient_norm
from gan_zoo.replicas.distribution import FixedStream
from gan_zoo.util.errors import UserError

from .variants import IMAGES, LABELS

RNG = np.random.default_rng(0)


def images(*shape):
    return tf.constant(np.random.default_rng(1).uniform(-1, 1, shape))


# Resampling.


def test_the_filter_is_an_orthonormal_symlet():
    h, k = np.array(resampling.SYM6), np.arange(12.0)
    assert h.sum() == pytest.approx(2**0.5, abs=1e-12)
    shifted = [h[2 * n :] @ h[: 12 - 2 * n] for n in range(6)]
    np.testing.assert_allclose(shifted, [1, 0, 0, 0, 0, 0], atol=1e-11)
    moments = [((-1) ** k * h) @ (k / 11) ** n for n in range(7)]
    np.testing.assert_allclose(moments[:6], 0, atol=1e-11)
    assert abs(moments[6]) > 1e-5


def identity(n, dtype=tf.float64):
    return tf.eye(2, 3, [n], dtype)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 4), (28, 28), (33, 7)])
def test_the_identity_changes_nothing(shape):
    x = tf.cast(images(2, *shape, 3), tf.float32)
    np.testing.assert_allclose(resampling.transform(x, identity(2, tf.float32)), x, atol=1e-6)


def test_linear_images_stay_linear():
    """A rotated and scaled ramp is the ramp at the positions of the map, away from the edges."""
    rows, columns = np.meshgrid(np.arange(32) - 15.5, np.arange(32) - 15.5, indexing="ij")
    ramp = lambda x, y: 0.1 * x - 0.05 * y + 0.3  # noqa: E731
    matrix = np.array([[0.6, -0.5, 1.3], [0.5, 0.6, -0.7]])
    x = tf.constant(ramp(columns, rows)[None, :, :, None])
    there = np.einsum("ij,jhw->ihw", matrix, np.stack([columns, rows, np.ones_like(rows)]))
    expected = ramp(*there)
    inside = slice(10, 22)
    found = resampling.transform(x, tf.constant(matrix[None]))[0, inside, inside, 0]
    np.testing.assert_allclose(found, expected[inside, inside], atol=1e-6)


def test_the_transform_equals_its_definition():
    """Up-sampling, bilinear sampling and down-sampling by loops over pixels and taps."""
    size, h = 6, np.array(resampling.SYM6)
    x = RNG.normal(size=(size, size))
    matrix = np.array([[0.8, 0.3, 0.4], [-0.2, 1.1, -0.3]])
    up = {
        (i, j): 2
        * sum(
            h[i - 2 * m + 5] * h[j - 2 * n + 5] * np.pad(x, 20, "reflect")[m + 20, n + 20]
            for m in range(-8, size + 8)
            for n in range(-8, size + 8)
            if 0 <= i - 2 * m + 5 < 12 and 0 <= j - 2 * n + 5 < 12
        )
        for i in range(-6, 2 * size + 6)
        for j in range(-6, 2 * size + 6)
    }
    centre = h @ (np.arange(12) - 5) / h.sum()

    def position(p):
        fine = 2 * (p + (size - 1) / 2) + centre
        if not -5.25 <= fine <= 2 * size + 4.25:
            p = np.abs((p + (size - 1) / 2) % (2 * size - 2) - (size - 1))
            fine = 2 * (size - 1 - p) + centre
        return int(np.floor(fine)), fine - np.floor(fine)

    def sample(i, j):
        u, v = (i - centre) / 2 - (size - 1) / 2, (j - centre) / 2 - (size - 1) / 2
        (m, a), (n, b) = position(matrix[1] @ [v, u, 1]), position(matrix[0] @ [v, u, 1])
        return (1 - a) * ((1 - b) * up[m, n] + b * up[m, n + 1]) + a * ((1 - b) * up[m + 1, n] + b * up[m + 1, n + 1])

    fine = np.array([[sample(i, j) for j in range(-5, 2 * size + 5)] for i in range(-5, 2 * size + 5)])
    expected = [[h @ fine[2 * i : 2 * i + 12, 2 * j : 2 * j + 12] @ h / 2 for j in range(size)] for i in range(size)]
    found = resampling.transform(tf.constant(x[None, :, :, None]), tf.constant(matrix[None]))
    np.testing.assert_allclose(found[0, :, :, 0], expected, atol=1e-10)


def everything(x, p=0.9):
    """ADA with all transforms, and then DiffAugment, with fixed draws."""
    stream = FixedStream(3)
    draws = {"gates": stream.uniform([len(x), ada.GATES]), "uniforms": stream.uniform([len(x), ada.UNIFORMS])}
    draws["normals"] = stream.normal([len(x), ada.NORMALS])
    x = ada.augmented(x, p, draws)
    return diffaugment.augmented(x, {"translation": stream.uniform([len(x), 2]), "cutout": stream.uniform([len(x), 2])})


def test_gradients_equal_finite_differences():
    x, weights = images(3, 6, 5, 3), RNG.normal(size=(3, 6, 5, 3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(weights * tf.sin(everything(x)))
    gradient = tape.gradient(value, x)
    direction = RNG.normal(size=x.shape)
    ahead, behind = (tf.reduce_sum(weights * tf.sin(everything(x + s * 1e-5 * direction))) for s in (1, -1))
    assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-6)


def test_the_gradient_is_the_adjoint():
    """<T x, y> = <x, T' y>, with T' the gradient; the second derivative of a penalty needs T again."""
    zero = everything(tf.zeros([3, 6, 5, 3], tf.float64))
    x, y = images(3, 6, 5, 3), tf.constant(RNG.normal(size=(3, 6, 5, 3)))
    with tf.GradientTape() as outer:
        outer.watch(y)
        with tf.GradientTape() as inner:
            inner.watch(x)
            value = tf.reduce_sum(y * everything(x))
        pulled = inner.gradient(value, x)
        product = tf.reduce_sum(pulled * x)
    linear = everything(x) - zero
    assert float(product) == pytest.approx(float(tf.reduce_sum(y * linear)), rel=1e-9)
    np.testing.assert_allclose(outer.gradient(product, y), linear, atol=1e-9)


# DiffAugment.

SMALL = tf.constant([[[0.1, -0.2, 0.3], [0.5, 0.5, -0.5]], [[-1.0, 0.0, 1.0], [0.2, 0.4, 0.6]]])[None]


@pytest.mark.parametrize(
    ("u", "expected"),
    [
        ((0.75, 0.5, 0.5), [0.35, 0.05, 0.55, 0.75, 0.75, -0.25, -0.75, 0.25, 1.25, 0.45, 0.65, 0.85]),
        (
            (0.75, 0.75, 0.5),
            [0.366667, -0.083333, 0.666667, 0.916667, 0.916667, -0.583333, -1.25, 0.25, 1.75, 0.35, 0.65, 0.95],
        ),
        (
            (0.75, 0.75, 0.75),
            [
                *(0.35625, -0.20625, 0.73125, 1.04375, 1.04375, -0.83125),
                *(-1.664583, 0.210417, 2.085417, 0.335417, 0.710417, 1.085417),
            ],
        ),
    ],
    ids=["brightness", "saturation", "contrast"],
)
def test_colours(u, expected):
    found = diffaugment.augmented(SMALL, {"color": tf.constant([u])})
    np.testing.assert_allclose(tf.reshape(found, [-1]), expected, atol=1e-6)
    same = diffaugment.augmented(SMALL, {"color": tf.fill([1, 3], 0.5)})
    np.testing.assert_allclose(same, SMALL, atol=1e-6)


def test_saturation_keeps_grey_images():
    grey = images(2, 4, 4, 1)
    found = diffaugment.augmented(grey, {"color": tf.constant([[0.5, 0.9, 0.5], [0.5, 0.1, 0.5]])})
    np.testing.assert_allclose(found, grey, atol=1e-12)


@pytest.mark.parametrize(("size", "most"), [(32, 4), (28, 4), (8, 1), (3, 0)])
def test_translation(size, most):
    x = tf.reshape(tf.range(1.0, size * size + 1), [1, size, size, 1])
    n = 2 * most + 1
    u = (tf.range(n, dtype=tf.float32) + 0.5) / n
    found = diffaugment.augmented(tf.tile(x, [n, 1, 1, 1]), {"translation": tf.stack([u, u[::-1]], axis=1)})
    for k, image in enumerate(found.numpy()):
        down, right = k - most, most - k
        padded = np.pad(x[0, :, :, 0], most)
        expected = padded[most - down : most - down + size, most - right : most - right + size]
        np.testing.assert_array_equal(image[:, :, 0], expected)
    ends = diffaugment.augmented(x, {"translation": tf.constant([[np.nextafter(np.float32(1), 0), 0.0]])})
    np.testing.assert_array_equal(ends[0, most:, : size - most], x[0, : size - most, most:])


@pytest.mark.parametrize("size", [8, 7, 5])
def test_cutout(size):
    side = int(size / 2 + 0.5)
    count = size + 1 - side % 2
    u = np.float32((np.arange(count) + 0.5) / count)
    found = diffaugment.augmented(tf.ones([count, size, size, 2]), {"cutout": np.stack([u, u[::-1]], axis=1)})
    for k, image in enumerate(found.numpy()):
        expected = np.ones((size, size))
        rows, columns = (range(max(o - side // 2, 0), min(o - side // 2 + side, size)) for o in (k, count - 1 - k))
        expected[np.ix_(rows, columns)] = 0
        np.testing.assert_array_equal(image[:, :, 0], expected)
        np.testing.assert_array_equal(image[:, :, 1], expected)


def test_pixels_are_kept_or_dropped():
    x = images(16, 9, 8, 2)
    draws = {name: FixedStream(k).uniform([16, 2]) for k, name in enumerate(("translation", "cutout"))}
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = tf.reduce_sum(diffaugment.augmented(x, draws))
    assert set(np.unique(tape.gradient(value, x))) == {0.0, 1.0}


# ADA.


THOROUGH = pytest.mark.thorough


def test_nothing_happens_with_probability_zero():
    x = tf.cast(images(4, 12, 12, 3), tf.float32)
    np.testing.assert_allclose(everything(x, p=0.0)[0, 2:4, 5:7], everything(x, p=-1.0)[0, 2:4, 5:7])
    draws = {"gates": np.zeros((4, ada.GATES)), "uniforms": RNG.uniform(size=(4, ada.UNIFORMS))}
    draws["normals"] = RNG.normal(size=(4, ada.NORMALS))
    np.testing.assert_allclose(ada.augmented(x, 0.0, draws), x, atol=2e-6)


def test_blits_move_pixels():
    x = RNG.normal(size=(5, 5, 2))
    flips, turns, shifts = zip(*[(f, t, s) for f in (0, 1) for t in range(4) for s in ((0, 0), (1, -2))], strict=True)
    found = geometry.blit(
        tf.constant(np.tile(x, [len(flips), 1, 1, 1])), tf.constant(flips), tf.constant(turns), tf.constant(shifts)
    )
    for flip, turn, (down, right), image in zip(flips, turns, shifts, found.numpy(), strict=True):
        moved = np.rot90(x[:, ::-1] if flip else x, turn)
        padded = np.pad(moved, [(3, 3), (3, 3), (0, 0)], "reflect")
        np.testing.assert_array_equal(image, padded[3 - down : 8 - down, 3 - right : 8 - right])
    wide = geometry.blit(images(4, 3, 6, 1), tf.constant([0, 1, 0, 1]), tf.range(4), tf.zeros([4, 2], tf.int32))
    assert wide.shape == (4, 3, 6, 1)


def test_affine_maps_compose_in_their_order():
    scale, before, stretch, after, shift = 1.3, 0.4, 0.8, -1.1, np.array([0.7, -0.2])
    rotation = lambda a: np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])  # noqa: E731
    point = np.array([2.0, -1.5])
    moved = rotation(after) @ np.diag([stretch, 1 / stretch]) @ rotation(before) @ (scale * point) + shift
    inverse = geometry.affine_matrices(
        *(tf.constant([value], tf.float64) for value in (scale, before, stretch, after)), tf.constant([shift])
    )
    np.testing.assert_allclose(inverse[0].numpy() @ [*moved, 1], point, atol=1e-12)
    none = geometry.affine_matrices(*(tf.constant([v]) for v in (1.0, 0.0, 1.0, 0.0)), tf.zeros([1, 2]))
    np.testing.assert_array_equal(none[0], np.eye(2, 3))


def test_maps_of_colours():
    b, c, flip, hue, s = 0.2, 1.4, 1.0, 0.7, 0.6
    matrix = color.color_matrices(*(tf.constant([value], tf.float64) for value in (b, c, flip, hue, s)))
    v = np.ones(3) / np.sqrt(3)
    x = np.array([0.3, -0.5, 0.9])
    expected = c * (x + b)
    expected = expected - 2 * v * (v @ expected)
    along, across = v * (v @ expected), expected - v * (v @ expected)
    expected = along + s * (np.cos(hue) * across + np.sin(hue) * np.cross(v, across))
    np.testing.assert_allclose(matrix[0].numpy() @ [*x, 1], expected, atol=1e-12)
    image = tf.constant(x[None, None, None])
    np.testing.assert_allclose(color.recolor(image, matrix)[0, 0, 0], expected, atol=1e-12)
    grey = color.recolor(tf.constant([[[[0.3]]]], tf.float64), matrix)
    assert float(grey[0, 0, 0, 0]) == pytest.approx(-c * (0.3 + b))
    none = color.color_matrices(*(tf.constant([value]) for value in (0.0, 1.0, 0.0, 0.0, 1.0)))
    np.testing.assert_allclose(none[0], np.eye(3, 4), atol=1e-7)


def test_each_transform_has_its_probability():
    """With gates in a grid, the share of images that change is p, or half of it where half of the settings are none."""
    n, p = 400, 0.3
    x = tf.tile(images(1, 8, 8, 3), [n, 1, 1, 1])
    shares = []
    for k in range(ada.GATES):
        gates = np.ones((n, ada.GATES))
        gates[:, k] = (np.arange(n) + 0.5) / n
        draws = {"gates": gates, "uniforms": np.full((n, ada.UNIFORMS), 0.9), "normals": np.ones((n, ada.NORMALS))}
        changed = np.abs(ada.augmented(x, p, draws) - x).max(axis=(1, 2, 3)) > 1e-3
        shares.append(changed.mean())
    rotates = 1 - np.sqrt(1 - p)
    expected = [p, p, p, p, rotates, p, rotates, p, p, p, p, p, p]
    np.testing.assert_allclose(shares, expected, atol=1 / n)


def test_p_follows_the_scores():
    gan = VanillaGAN.for_images((8, 8, 1), network="mlp", width=2, latent_dim=2, augmentation="ada(kimg=0.2)")
    layer = gan._transform
    step = 4 * 16 / 200
    up, down = tf.fill([16, 1], 0.3), tf.constant([[0.3]] * 12 + [[-5.0]] * 4)  # r = 1, and r = 0.5 < 0.6
    found = [float(layer.adapt(scores)) for scores in [up] * 8 + [down] * 12]
    expected = [*[0] * 3, *[step] * 4, *[2 * step] * 4, *[step] * 4, *[0] * 5]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    mixed = [float(layer.adapt(scores)) for scores in (up, down, down, up)]  # r = 0.75 over four turns
    np.testing.assert_allclose(mixed, [0, 0, 0, step], atol=1e-6)


def small(cls=VanillaGAN, **kwargs):
    return cls.for_images((8, 8, 1), **{"network": "mlp", "width": 8, "latent_dim": 4, "seed": 0, **kwargs})


# In the GAN.


def test_real_generated_and_other_images_are_augmented_in_both_turns():
    gan = small(WGANGP, augmentation="diffaugment", n_critic=1)
    gan.compile()
    seen = []
    score = gan._score
    gan._score = lambda x: (seen.append(x), score(x))[1]
    gan.train_step(tf.constant(IMAGES))
    real = next(x for x in seen if not np.array_equal(x, IMAGES))
    assert len(seen) == 4  # the penalty, real, generated; generated
    assert all((np.abs(x) == 0).any() for x in seen)
    tiled = small(augmentation="diffaugment(translation)").augment(tf.tile(IMAGES[:1], [8, 1, 1, 1]), None)
    assert len({image.numpy().tobytes() for image in tiled}) > 2
    assert real.shape == IMAGES.shape


def test_the_same_seed_gives_the_same_draws_and_labels_pass():
    first, again, other = (small(seed=seed, classes=3, augmentation="ada(p=1)") for seed in (1, 1, 2))
    x = (tf.constant(IMAGES), tf.constant(LABELS))
    found = [gan.augment(x, "real") for gan in (first, again, other)]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert np.abs(found[0][0] - found[2][0]).max() > 0.01
    assert found[0][1] is x[1]
    assert np.abs(first.augment(x, "real")[0] - found[0][0]).max() > 0.01


@pytest.mark.parametrize("augmentation", ["diffaugment", "ada(p=0.7)"])
def test_penalties_differentiate_at_the_image_before_augmentation(augmentation):
    """||d D(T(x)) / dx||^2 for a linear D is that of the transposed map, not the constant ||w||^2."""
    gan = small(R1GAN, augmentation=augmentation, norm="none")
    x = tf.constant(IMAGES)
    start = gan.random.state.numpy()
    found = squared_gradient_norm(gan.D, x)
    gan.random.state.assign(start)
    with tf.GradientTape() as tape:
        tape.watch(x)
        augmented = gan.augment(x, None)
        score = tf.reduce_sum(gan.discriminator(augmented, training=True))
    whole, at_augmented = tape.gradient(score, [x, augmented])
    np.testing.assert_allclose(found, tf.reduce_sum(whole**2, axis=[1, 2, 3]), rtol=1e-5)
    assert np.abs(found - tf.reduce_sum(at_augmented**2, axis=[1, 2, 3])).max() > 1e-4


def test_p_is_logged_and_moves_every_four_turns_of_d():
    gan = small(HingeGAN, norm="none", augmentation="ada(kimg=0.1, target=-0.99)", n_critic=2)
    gan.compile()
    x = tf.constant(np.concatenate([IMAGES, IMAGES]))
    logs = [float(gan.train_step(x)["augment_p"]) for _ in range(4)]
    change = 4 * 8 / 100
    assert logs[0] == 0
    assert logs[1] == pytest.approx(change / 2)  # the mean of both turns
    assert logs[2] == pytest.approx(change)
    before = gan._transform.state.numpy()
    gan.test_step(tf.constant(IMAGES))
    np.testing.assert_array_equal(gan._transform.state, before)


def test_scores_are_relative_to_the_threshold():
    gan = small(LSGAN, norm="none", augmentation="ada(kimg=0.1)")
    gan.compile()
    gan.discriminator.layers[-1].kernel.assign(tf.zeros_like(gan.discriminator.layers[-1].kernel))
    for bias, total in ((0.6, 1.0), (0.4, -1.0)):
        gan.discriminator.layers[-1].bias.assign([bias])
        gan._transform.state.assign([0, 0, 0])
        gan.d_optimizer.learning_rate = 0.0
        gan.train_step(tf.constant(IMAGES))
        assert float(gan._transform.state[1]) == total


@pytest.mark.parametrize(
    ("check", "settings"),
    [
        (testing.check_replicas, dict(augmentation="diffaugment", penalties="r1")),
        pytest.param(testing.check_replicas, dict(augmentation="ada(kimg=0.02, target=-0.9)"), marks=THOROUGH),
        pytest.param(testing.check_xla, dict(augmentation="ada(p=0.8)"), marks=THOROUGH),
        (testing.check_keras_file, dict(augmentation="ada(kimg=0.02, target=-0.9)", n_critic=2)),
    ],
    ids=["diffaugment-replicas", "ada-replicas", "ada-xla", "ada-resume"],
)
def test_augmentations_conform(settings, check):
    check(lambda: small(VanillaGAN, norm="none", **settings), IMAGES)


def test_convolutions_and_half_precision():
    make = lambda: DCGAN.for_images((8, 8, 1), width=2, latent_dim=2, augmentation="ada(p=0.5)")  # noqa: E731
    testing.check_mixed_precision(make, IMAGES)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mixup", "augmentation must be 'none', 'diffaugment"),
        ("none(1)", "augmentation must be 'none'"),
        ("diffaugment(colour)", "diffaugment takes color, translation, cutout, each at most once, not 'colour'"),
        ("diffaugment(color, color)", "each at most once"),
        ("ada(p=2)", "p must be from 0 to 1, not 2.0"),
        ("ada(q=1)", "ada has no argument 'q'"),
        ("ada(target=1)", "target must be between -1 and 1"),
        ("ada(kimg=0)", "kimg must be a positive number"),
        ("ada(pipe=bx)", "pipe must be bgc or some of these letters"),
        ("ada(p=0.1, kimg=3)", "p is constant, so target and kimg have no effect"),
    ],
)
def test_bad_augmentations(text, sentence):
    with pytest.raises(UserError, match=sentence):
        small(augmentation=text)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UserError, match="these examples are points: leave it out"):
        VanillaGAN.for_points(width=2, augmentation="diffaugment")
    with pytest.raises(UserError, match="colours of 1 or 3 channels, not 2: add pipe=bg"):
        VanillaGAN.for_images((8, 8, 2), network="mlp", width=2, augmentation="ada")
    with pytest.raises(UserError, match="needs a discriminator of images, and that of EBGAN reconstructs them"):
        small(EBGAN, augmentation="diffaugment")
    with pytest.raises(UserError, match="augmentation='ada' needs a discriminator with one score"):
        small(CatGAN, augmentation="ada")
    small(CatGAN, augmentation="ada(p=0.1)")
    gan = small(WGAN, augmentation="ada")
    with pytest.raises(UserError, match="WGAN only compares scores .* constant probability, 'ada\\(p=0.2\\)'"):
        gan.compile()
