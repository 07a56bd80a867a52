"""The experiments behind docs/claims.md. Each function trains or computes one run and returns its measurements.

The arguments are the settings of a run, which are stored in `claims.json`. The key "figure" of a result holds data for
figures only.
"""

import math

import keras
import numpy as np
import tensorflow as tf
import toys
from scipy.optimize import linear_sum_assignment

import gan_zoo
from gan_zoo import dynamics, metrics, refine
from gan_zoo.data import synthetic
from gan_zoo.dynamics.dirac_gan import players
from gan_zoo.gan import GAN
from gan_zoo.registry.variants import find_model


def _points(name: str, batch: int, n_critic: int, seed: int, scale: float = 1.0) -> tf.data.Dataset:
    dataset = gan_zoo.data.load(name, batch_size=batch, n_critic=n_critic, seed=seed)
    return dataset if scale == 1.0 else dataset.map(lambda x: scale * x)


def mixture(
    seed: int,
    *,
    model: str,
    arguments: dict,
    dataset: str,
    generator: str,
    discriminator: str,
    d_optimizer: list,
    g_optimizer: list,
    batch: int,
    steps: int,
    every: int,
    radius: float,
    initializer: list = ("glorot_uniform",),
    input_scale: float = 1.0,
    data_scale: float = 1.0,
    field: bool = False,
    start_on: int | None = None,
    keep: list = (),
    minibatch_discrimination: bool = False,
) -> dict:
    """Trains a GAN on a mixture of Gaussians, and measures it every `every` steps.

    With `field`, L = |v|^2 / 2 is measured too. With `start_on`, the generator starts on that mode only.
    """
    networks = (
        toys.perceptron(generator, initializer),
        toys.perceptron(discriminator, initializer, input_scale, minibatch_discrimination),
    )
    if start_on is not None:
        kernel, bias = networks[0].layers[-1].weights
        kernel.assign(0.01 * kernel.value)
        bias.assign(data_scale * synthetic.modes(dataset)[0][start_on])
    gan = toys.build(model, networks, seed, arguments, d_optimizer, g_optimizer, math.gcd(every, 50))
    data = _points(dataset, batch, gan.n_critic, seed, data_scale)
    centers = data_scale * synthetic.modes(dataset)[0]
    minibatch = data_scale * synthetic.sample(dataset, batch, [seed, -1])
    clouds = {}

    def look(step):
        points = toys.samples(gan, 10_000)
        if step in keep:
            clouds[step] = np.round(points[:500], 2).tolist()
        found = {"step": step, **metrics.coverage(points, centers, radius)}
        return {**found, "field": toys.squared_field(gan, minibatch)} if field else found

    history = [look(0), *toys.train(gan, data, steps, every, look)]
    return {**history[-1], "modes_at_start": history[0]["modes"], "history": history, "figure": {"samples": clouds}}


def feature_gap(
    seed: int, *, dataset: str, generator: str, discriminator: str, optimizer: list, batch: int, steps: int
) -> dict:
    """Trains feature matching, and measures ||E f(x) - E f(G(z))||^2 with the features f of the trained D."""
    networks = toys.perceptron(generator), toys.perceptron(discriminator)
    gan = toys.build("feature_matching", networks, seed, {}, optimizer, execution=50)
    before = toys.samples(gan, 10_000)
    toys.train(gan, _points(dataset, batch, 1, seed), steps, steps, lambda step: None)
    real = gan.features(synthetic.sample(dataset, 10_000, [seed, -1]))

    def gap(points):
        points = tf.constant(points, tf.float32)
        return float(gan_zoo.losses.feature_matching(real, gan.features(points)))

    after = toys.samples(gan, 10_000)
    start, end = gap(before), gap(after)
    centers = synthetic.modes(dataset)[0]
    return {"start": start, "end": end, "factor": start / end, **metrics.coverage(after, centers, 0.3)}


def smoothing(
    seed: int, *, arguments: dict, dataset: str, discriminator: str, optimizer: list, batch: int, steps: int
) -> dict:
    """Trains D against samples at one point far from the data; returns the mean of s(D(x)) at the data."""
    far = tf.constant([[20.0, 20.0]])
    networks = toys.model(toys.Constant(far), 1), toys.perceptron(discriminator)
    gan = toys.build("vanilla_gan", networks, seed, arguments, optimizer)
    toys.repeat(gan.discriminator_step, _points(dataset, batch, 1, seed), steps)
    real = synthetic.sample(dataset, 5000, [seed, -1])
    return {
        name: float(tf.reduce_mean(tf.sigmoid(gan.discriminator(x)))) for name, x in (("real", real), ("fake", far))
    }


# The critics of Wasserstein GANs.


def _at_bounds(gan, clip: float) -> float:
    """Returns the share of the critic's weights within 1 % of +clip or -clip."""
    weights = np.concatenate([v.numpy().ravel() for v in gan.discriminator_variables])
    return float((np.abs(np.abs(weights) - clip) <= 0.01 * clip).mean())


def critic_weights(
    seed: int, *, model: str, arguments: dict, initializer: list, clip: float, optimizer: list, critic_steps: int
) -> dict:
    """Measures the share of a critic's weights at +-clip, during normal training on 25 Gaussians."""
    networks = toys.perceptron("2-128-128-128-2"), toys.perceptron("2-128-128-128-1", initializer)
    gan = toys.build(model, networks, seed, arguments, optimizer, execution=10)
    start = _at_bounds(gan, clip)
    history = toys.train(
        gan,
        _points("grid25", 256, gan.n_critic, seed),
        critic_steps // gan.n_critic,
        100,
        lambda step: {"critic_steps": step * gan.n_critic, "at_bounds": _at_bounds(gan, clip)},
    )
    shares = {look["critic_steps"]: look["at_bounds"] for look in history}
    return {"at_start": start, "at_2000": shares[2000], "at_end": shares[critic_steps], "history": history}


def layer_gradients(
    seed: int, *, model: str, arguments: dict, layers: int, width: int, initializer: list, optimizer: list, steps: int
) -> dict:
    """Measures the norms of the gradient of the critic's loss in each hidden layer's activations, on the Swiss roll."""
    sizes = "-".join(["2", *[str(width)] * layers, "1"])
    networks = toys.perceptron("2-128-128-128-2"), toys.perceptron(sizes, initializer)
    gan = toys.build(model, networks, seed, arguments, optimizer, execution=10)
    toys.train(gan, _points("swiss_roll", 256, gan.n_critic, seed), steps, steps, lambda step: None)
    *hidden, head = [layer for layer in gan.discriminator.layers if isinstance(layer, keras.layers.Dense)]
    real, fake = synthetic.sample("swiss_roll", 256, [seed, -1]), gan(gan.sample_latent(256, seed=seed))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        # E D(G(z)) - E D(x), the critic's loss without a penalty, computed layer by layer.
        x = tf.concat([real, fake], axis=0)
        activations = []
        for layer in hidden:
            x = layer(x)
            tape.watch(x)
            activations.append(x)
        scores = head(x)
        loss = tf.reduce_mean(scores[256:]) - tf.reduce_mean(scores[:256])
    norms = [float(tf.norm(gradient)) for gradient in tape.gradient(loss, activations)]
    decades = [math.log10(norm) if norm > 0 else -46.0 for norm in norms]  # 0 is below the smallest float32
    return {"first": decades[0], "last": decades[-1], "decades": decades[0] - decades[-1], "log10_norms": decades}


def surface(
    seed: int, *, model: str, arguments: dict, dataset: str, optimizer: list, critic_steps: int, initializer: list
) -> dict:
    """Trains a critic between real points and the same points plus N(0, I); returns its slope and values on a grid."""
    critic = toys.perceptron("2-128-128-128-1", initializer)
    gan = toys.build(model, (toys.model(toys.Blurred(dataset, seed), 2), critic), seed, arguments, optimizer)
    toys.repeat(gan.discriminator_step, _points(dataset, 256, 1, seed), critic_steps)
    side = np.linspace(-2.5, 2.5, 48)
    grid = np.stack(np.meshgrid(side, side, indexing="xy"), axis=-1).reshape(-1, 2)
    values = critic(grid).numpy().reshape(48, 48).astype("float64")
    real = synthetic.sample(dataset, 2000, [seed, -1])
    values = (values - values.mean()) / values.std()
    return {
        "slope": float(tf.reduce_mean(gan_zoo.penalties.gradient_norm(gan.D, real))),
        "figure": {"values": np.round(values, 2).tolist(), "real": np.round(real.numpy()[:300], 2).tolist()},
    }


# Games of two or six numbers.


class ZeroSum(GAN):
    """The zero-sum game without data: D maximises E D(G(z)), G minimises it."""

    def discriminator_loss(self, x, z):
        return -tf.reduce_mean(self.D(self.G(z)))

    def generator_loss(self, x, z):
        return tf.reduce_mean(self.D(self.G(z)))


def _zero_sum(model: str | None) -> type:
    """Returns the zero-sum game with the updates of a variant. None uses those of the base class."""
    return ZeroSum if model is None else type("ZeroSum", (ZeroSum, find_model(model)), {})


def bilinear(seed: int, *, model: str | None, arguments: dict, rate: float, steps: int, start: list) -> dict:
    """Plays V(x, y) = x y, where x is the sample of G and y the slope of D."""
    gan = toys.build(_zero_sum(model), players(*start), seed, arguments, ["sgd", rate])
    variables = [*gan.generator_variables, *gan.discriminator_variables]
    path = toys.trajectory(gan.train_step, tf.zeros([2, 1]), variables, steps)
    radius = np.linalg.norm(path, axis=1)
    return {
        "factor": float(radius[1] / radius[0]),
        "growth": float(radius[-1] / radius[0]),
        "monotone": bool((np.diff(radius) > 0).all()),
        "figure": {"path": np.round(path, 3).tolist()},
    }


ROCK_PAPER_SCISSORS = [[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]


def rock_paper_scissors(seed: int, *, model: str | None, arguments: dict, rate: float, steps: int, std: float) -> dict:
    """Plays rock-paper-scissors with mixed strategies, each the softmax of three numbers that start at N(0, std^2)."""
    start = np.random.default_rng(seed).normal(0.0, std, [2, 3])
    networks = (
        toys.model(toys.Constant([start[0]], softmax=True), 1),
        toys.model(toys.Payoff(ROCK_PAPER_SCISSORS, start[1]), 3),
    )
    gan = toys.build(_zero_sum(model), networks, seed, arguments, ["sgd", rate])
    variables = [*gan.generator_variables, *gan.discriminator_variables]
    path = toys.trajectory(gan.train_step, tf.zeros([2, 1]), variables, steps).reshape(-1, 2, 3)
    weights = np.exp(path - path.max(axis=-1, keepdims=True))
    strategies = weights / weights.sum(axis=-1, keepdims=True)
    distance = np.linalg.norm((strategies - 1 / 3).reshape(-1, 6), axis=1)
    first = strategies[:, 0]
    hands = first[distance > 1e-3].argmax(axis=1)
    return {
        "start": float(distance[0]),
        "distance": float(distance[-1]),
        "largest": float(strategies[-1].max()),
        # Number of times that the first player's most probable hand changes.
        "changes": int((np.diff(hands) != 0).sum()),
        "figure": {"path": np.round(first[:1000], 3).tolist()},
    }


def dirac(seed: int, *, model: str, arguments: dict, schedules: list, rate: float, steps: int, start: list) -> dict:
    """Trains the Dirac-GAN: G(z) = theta, D(x) = psi x, data 0; the equilibrium is (0, 0)."""
    game = dynamics.dirac(model, **arguments)
    found, paths = {}, {}
    for schedule in schedules:
        path = game.trajectory(start, step_size=rate, steps=steps, schedule=schedule)
        radius = np.linalg.norm(path, axis=1)
        found[schedule] = {
            "radius": float(radius[-1]),
            "least": float(radius.min()),
            "most": float(radius.max()),
            "grows": bool((np.diff(radius) > 0).all()),
            "theta": float(path[-1, 0]),
            "psi": float(path[-1, 1]),
        }
        paths[schedule] = np.round(path[::2], 3).tolist()
    return {**found, "figure": {"paths": paths}}


# Distributions on lines.


def lines(
    seed: int,
    *,
    model: str,
    arguments: dict,
    discriminator: str,
    optimizer: list,
    batch: int,
    steps: int,
    start: float,
) -> dict:
    """Data (0, U[0, 1]), samples (theta, U[0, 1]). Returns the first step with |theta| < 0.1, and the last |theta|."""
    networks = toys.model(toys.Line(start), 1), toys.perceptron(discriminator)
    gan = toys.build(model, networks, seed, {**arguments, "prior": "uniform"}, optimizer)
    data = _points("two_lines", batch, gan.n_critic, seed)
    path = toys.trajectory(gan.train_step, data, gan.generator_variables, steps)[1:, 0]
    near = np.flatnonzero(np.abs(path) < 0.1)
    return {
        "first": int(near[0]) + 1 if len(near) else None,
        "mean_end": float(np.abs(path[-200:]).mean()),
        "max_end": float(np.abs(path[-200:]).max()),
        "figure": {"theta": np.round(path[:: max(1, steps // 400)], 3).tolist()},
    }


def instance_noise(
    seed: int,
    *,
    model: str,
    arguments: dict,
    discriminator: str,
    d_optimizer: list,
    g_optimizer: list,
    batch: int,
    before: int,
    steps: int,
    start: float,
) -> dict:
    """Trains D alone on parallel lines until it separates them, then both players."""
    networks = toys.model(toys.Line(start), 1), toys.perceptron(discriminator)
    gan = toys.build(model, networks, seed, {**arguments, "prior": "uniform"}, d_optimizer, g_optimizer, 50)
    data = _points("two_lines", batch, 1, seed)
    toys.repeat(gan.discriminator_step, data, before)
    x = synthetic.sample("two_lines", 4096, [seed, -1])
    d_loss = float(gan.discriminator_loss(x, gan.sample_latent(4096)))
    _, (gradient,) = gan.differentiate(gan.generator_loss, x, gan.generator_variables, gan.g_optimizer)
    toys.train(gan, data, steps, steps, lambda step: None)
    return {
        "d_loss": d_loss,
        "jsd": math.log(2.0) - d_loss / 2,
        "gradient": float(tf.norm(gradient)),
        "theta": float(gan.generator_variables[0].numpy()[0, 0]),
    }


# Penalties and the discriminator near the data.


def flatness(
    seed: int,
    *,
    model: str,
    arguments: dict,
    generator: str,
    discriminator: str,
    optimizer: list,
    batch: int,
    steps: int,
) -> dict:
    """Trains a GAN on N((1, 0), 0.25 I); returns the slope of D at the data and the distance of the samples."""
    networks = toys.perceptron(generator), toys.perceptron(discriminator)
    gan = toys.build(model, networks, seed, arguments, optimizer, execution=50)
    toys.train(gan, _points("gaussian", batch, gan.n_critic, seed), steps, steps, lambda step: None)
    real = synthetic.sample("gaussian", 5000, [seed, -1])
    other = synthetic.sample("gaussian", 5000, [seed, -2]).numpy().astype("float64")
    return {
        "slope": float(tf.reduce_mean(gan_zoo.penalties.gradient_norm(gan.D, real))),
        "w1": metrics.sliced_wasserstein(toys.samples(gan, 5000), real.numpy().astype("float64")),
        "w1_real": metrics.sliced_wasserstein(other, real.numpy().astype("float64")),
    }


def density_ratio(seed: int, *, critic: list | str, optimizer: list, steps: int, batch: int, samples: int) -> dict:
    """Computes KL-WGAN's weights for P = N(0, 1), Q = N(1, 1), where log p / q = 1/2 - x.

    `critic` is (slope, offset) of a linear critic, or the sizes of a perceptron.
    """
    generator = toys.model(keras.layers.Dense(1), 1)
    generator.set_weights([np.ones((1, 1)), np.ones(1)])
    if isinstance(critic, str):
        discriminator = toys.perceptron(critic)
    else:
        discriminator = toys.model(keras.layers.Dense(1), 1)
        discriminator.set_weights([np.full((1, 1), critic[0]), np.full(1, critic[1])])
    gan = toys.build("kl_wgan", (generator, discriminator), seed, {"objective": "linear"}, optimizer)
    stream = tf.random.Generator.from_seed(seed + 1)
    if steps:
        data = tf.data.Dataset.counter().map(lambda i: tf.random.stateless_normal([batch, 1], tf.stack([seed, i])))
        toys.repeat(gan.discriminator_step, data, steps)
    x, z = stream.normal([samples, 1]), gan.sample_latent(samples)
    y = gan.G(z)
    w = gan_zoo.losses.density_ratio(gan.D(y))
    ratio = tf.exp(0.5 - y)
    return {
        # E D(x) - E w D(y) + E w log w, the value of the game at the best w.
        "bound": float(tf.reduce_mean(w * tf.math.log(w)) - gan.discriminator_loss(x, z)),
        "mean_weight": float(tf.reduce_mean(w)),
        "mean_ratio": float(tf.reduce_mean(tf.exp(gan.D(y)))),
        "error": float(tf.reduce_mean(w * tf.abs(w / ratio - 1.0))),
    }


def energy(
    seed: int, *, arguments: dict, dataset: str, networks: dict, optimizer: list, batch: int, steps: int, radius: float
) -> dict:
    """Trains EBGAN; returns the energies of data and samples, and the similarity of the samples' codes."""
    cls = find_model("ebgan")
    built = cls.for_points(**networks)
    gan = toys.build(cls, (built.generator, built.discriminator), seed, arguments, optimizer, execution=50)
    toys.train(gan, _points(dataset, batch, 1, seed), steps, steps, lambda step: None)
    x, z = synthetic.sample(dataset, 5000, [seed, -1]), gan.sample_latent(5000, seed=seed)
    (real, _), (fake, codes) = gan.energy(x), gan.energy(gan.G(z))
    return {
        "real": float(tf.reduce_mean(real)) / gan.margin,
        "fake": float(tf.reduce_mean(fake)) / gan.margin,
        "cosine": float(gan_zoo.losses.pulling_away(codes[:1000])),
        **metrics.coverage(toys.samples(gan, 10_000), synthetic.modes(dataset)[0], radius),
    }


def refinement(
    seed: int,
    *,
    model: str,
    arguments: dict,
    dataset: str,
    generator: str,
    discriminator: str,
    optimizer: list,
    batch: int,
    steps: int,
    radius: float,
    dynamics: dict,
    fine_tuning: int,
) -> dict:
    """Returns the share of samples near a mode: from G, after Langevin steps on D, and with D fine-tuned."""
    networks = toys.perceptron(generator), toys.perceptron(discriminator)
    gan = toys.build(model, networks, seed, arguments, optimizer, execution=50)
    toys.train(gan, _points(dataset, batch, gan.n_critic, seed), steps, steps, lambda step: None)
    centers = synthetic.modes(dataset)[0]
    z = gan.sample_latent(10_000, seed=10_000)

    def near(**changes):
        points = refine.refine(gan, z, seed=seed, **{**dynamics, **changes}).numpy().astype("float64")
        return metrics.coverage(points, centers, radius)

    found = {"raw": metrics.coverage(gan(z).numpy().astype("float64"), centers, radius), "pixel": near(space="pixel")}
    found |= {"latent": near(space="latent"), "warm": near(space="pixel", noise=1.0)}
    refine.fine_tune(gan, _points(dataset, batch, 1, seed + 1), fine_tuning, refine.Dynamics(**dynamics, space="pixel"))
    return {**found, "tuned": near(space="pixel")}


# Codes and categories.


def codes(seed: int, *, arguments: dict, dataset: str, networks: dict, batch: int, steps: int, radius: float) -> dict:
    """Trains InfoGAN with one categorical code on a mixture; returns L_I, and how far codes and modes match.

    "match" is the share of samples whose nearest mode is that of their code, if every code has one mode of its own.
    "mode_information" is the mutual information of code and nearest mode, which needs no trained Q.
    """
    gan = find_model("info_gan").for_points(**networks, **arguments, seed=seed)
    gan.compile(steps_per_execution=50)
    toys.train(gan, _points(dataset, batch, 1, seed), steps, steps, lambda step: None)
    z = gan.sample_latent(10_000, seed=10_000)
    points, centers = gan(z).numpy().astype("float64"), synthetic.modes(dataset)[0]
    code = z[:, gan.codes["category_0"].slice].numpy().argmax(axis=1)
    nearest = np.linalg.norm(points[:, np.newaxis] - centers, axis=-1).argmin(axis=1)
    table = np.histogram2d(code, nearest, bins=(np.arange(len(centers) + 1),) * 2)[0] / len(code)
    independent = table.sum(axis=1, keepdims=True) * table.sum(axis=0)
    return {
        "information": float(gan.information(gan(z), z)["category_0"]),
        "mode_information": float((table[table > 0] * np.log(table[table > 0] / independent[table > 0])).sum()),
        "match": _matched(table),
        **metrics.coverage(points, centers, radius),
    }


def clusters(seed: int, *, arguments: dict, dataset: str, networks: dict, batch: int, steps: int) -> dict:
    """Trains CatGAN on a mixture without labels; returns how far its categories are the modes."""
    gan = find_model("cat_gan").for_points(**networks, **arguments, seed=seed)
    gan.compile(steps_per_execution=50)
    toys.train(gan, _points(dataset, batch, 1, seed), steps, steps, lambda step: None)
    x, mode = synthetic.get(dataset).sample_labelled(10_000, [seed, -1])
    sizes = (np.arange(gan.categories + 1), np.arange(len(synthetic.modes(dataset)[0]) + 1))
    table = np.histogram2d(gan.classify(x), mode.numpy(), bins=sizes)[0] / len(x)
    logits = gan.logits(x)
    return {
        "accuracy": _matched(table),
        "marginal_entropy": float(gan_zoo.losses.marginal_entropy(logits)) / math.log(gan.categories),
        "entropy": float(tf.reduce_mean(gan_zoo.losses.entropy(logits))),
    }


def _matched(table: np.ndarray) -> float:
    """Returns the share of a table, [K, M] with sum 1, in the best assignment of one column to each row."""
    return float(table[linear_sum_assignment(table, maximize=True)].sum())
