"""Health checks of a run: numbers that show when training goes wrong, and warnings that say what usually helps."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from gan_zoo.callbacks import MetricsLog, StepCallback
from gan_zoo.nn.image_leaves import batch_size, images_of, takes
from gan_zoo.nn.precision import cast_floats, dtype_of, inner_gradient
from gan_zoo.players import name_of
from gan_zoo.util.seeds import stream

if TYPE_CHECKING:
    from gan_zoo.data.synthetic import Distribution
    from gan_zoo.metrics.digits import ColorMNIST

_log = logging.getLogger("gan_zoo")

EXAMPLES = 256
"""Maximum number of real examples, and of generated ones, in a check."""
MODE_SAMPLES = 2000
"""Number of samples in which modes are counted."""

SATURATED = 0.995
"""Limit for "d_auc". From this value on, the discriminator separates real and generated examples too well."""
VANISHED = 0.01
"""Limit for the generator's gradient norm divided by its largest value so far. Below it, the gradient vanishes."""
EXPLODED = 100.0
"""Limit for a gradient norm divided by its median so far. Above it, the gradient explodes."""
DUPLICATED = 0.25
"""Limit for "duplicates". From this value on, samples repeat."""
OVERFITTED = 0.5
"""Limit for "overfit". From this value on, D scores held-out examples more like generated ones than like its data."""
_USUAL = 5
"""Number of earlier checks above which their median is a reliable gradient norm."""


class Health(StepCallback):
    """Measures the health of training, writes the numbers to `metrics.jsonl`, and warns once for each kind of problem.

    d_auc: The probability that D scores a real example above a generated one. 0.5 is chance, and 1 is a discriminator
        that separates them perfectly. This is normal for a Wasserstein critic. If the generator's gradient also
        vanishes, the discriminator is saturated (Arjovsky & Bottou, 2017, Section 2). The value is missing if D does
        not give one score for a sample, as in a BiGAN, whose D takes pairs. A class can define `score(x)` to provide
        it.
    d_gradient, g_gradient: The norm of each player's gradient over all of its weights. The key of a player with another
        name is "<player>_gradient".
    duplicates: The share of samples that have a near-duplicate among the other samples. Two samples are near-duplicates
        if their distance is less than half of a usual small distance: the 1 % quantile of the distances of as many real
        examples to their nearest neighbours. This is the birthday test of Arora & Zhang (2017) with a distance instead
        of visual inspection: if a set of s samples contains duplicates with a probability of about one half, the
        generator has about s^2 different samples.
    overfit: Only with held-out examples: (E D(x) - E D(v)) / (E D(x) - E D(G(z))) for training examples x and held-out
        ones v. 0 is a discriminator that does not distinguish them, and 1 is one that takes all it has not seen for
        generated. It is missing where "d_auc" is, and where both means of the denominator are equal. See Karras et al.
        (2020), Section 3, equation 1, r_v.
    modes: The number of modes that the samples cover, if the distribution has known modes: see `gan_zoo.metrics`.

    A check does not change training: it restores the statistics of the networks, the random stream and all other state.
    It takes about as long as a few steps, or a few dozen steps for points, whose steps take a millisecond.

    Args:
        real: Returns real examples for a step, [N, ...], as the losses get them: with `classes`, (images, labels). The
            latents then get these labels.
        every: Steps between checks; 0 for none.
        log: Receives the numbers, for the line of the same step.
        target: The distribution whose modes are counted, or None.
        seed: Seed of the latents.
        step: The step at which training starts.
        held_out: Like `real`, for examples that are not trained on; or None.
        warns: Whether to log warnings. A check needs all replicas, so all workers run it, but only one of them warns.

    References:
        Arjovsky & Bottou, 2017, https://arxiv.org/abs/1701.04862
        Arora & Zhang, 2017, https://arxiv.org/abs/1706.08224
        Karras et al., 2020, https://arxiv.org/abs/2006.06676
    """

    def __init__(
        self,
        real: Callable[[int], Any],
        every: int = 500,
        log: MetricsLog | None = None,
        target: "Distribution | ColorMNIST | None" = None,
        seed: int = 0,
        step: int = 0,
        warns: bool = True,
        held_out: Callable[[int], Any] | None = None,
    ):
        super().__init__(step)
        self.warns, self.held_out = warns, held_out
        self.real, self.every, self.log, self.target, self.seed = real, every, log, target, seed
        self.history: list[dict[str, float]] = []
        self._warned: set[str] = set()

    def on_step(self, previous, logs):
        if not self.passed(self.every, previous):
            return
        found = self.look()
        self.history.append(found)
        if self.log:
            self.log.note(found)
        for trouble, sentence in diagnose(self.history):
            if self.warns and trouble not in self._warned:
                self._warned.add(trouble)
                _log.warning("step %d: %s", self.step, sentence)

    def look(self) -> dict[str, float]:
        """Checks the model in its current state, and returns the numbers."""
        model = self.model
        x, *held_out = (self._examples(source) for source in (self.real, self.held_out) if source)
        seed = stream(self.seed, "health")
        labels = {}
        if model.classes is not None:
            labels = {"label": x[1]}
        z = model.sample_latent(int(batch_size(x)), seed=seed, **labels)
        with model.recording():
            replicated = model.distribute_strategy.run(lambda: _measure(model, x, z, held_out))
        here = tf.nest.map_structure(
            lambda value: np.asarray(model.distribute_strategy.experimental_local_results(value)[0], np.float64),
            replicated,
        )
        found = {"d_auc": auc(*here["scores"][:2])} if here["scores"] else {}
        if len(here["scores"]) > 2 and (gauge := overfitting(*here["scores"])) is not None:
            found["overfit"] = gauge
        found |= {name: float(norm) for name, norm in here["gradients"].items()}
        found["duplicates"] = duplicates(here["samples"], np.asarray(images_of(x)))
        if self.target is not None:
            from gan_zoo import metrics

            many = np.asarray(model(model.sample_latent(MODE_SAMPLES, seed=seed)), np.float32)
            found["modes"] = float(metrics.mode_coverage(self.target, many)["modes"])
        return found

    def _examples(self, source: Callable[[int], Any]) -> Any:
        """The first examples of a source, as a step gets them."""
        x = tf.nest.map_structure(lambda t: tf.convert_to_tensor(t)[:EXAMPLES], source(self.step))
        x = cast_floats(x, dtype_of(*self.model.networks().values()))
        return x if self.model.classes is None else (x[0], tf.cast(x[1], tf.int32))


def mode_target(dataset: str, shape: tuple[int, ...]) -> "Distribution | ColorMNIST | None":
    """The distribution whose modes are counted in samples: see `gan_zoo.metrics.target`. None if it has no known modes.

    The modes of color_mnist need the resolution of the classifier of digits, and the classifier itself, which is part
    of a clone.

    Args:
        dataset: Name of the dataset.
        shape: Shape of one sample.
    """
    from gan_zoo.data import synthetic
    from gan_zoo.metrics import digits

    if synthetic.is_synthetic(dataset):
        distribution = synthetic.get(dataset)
        return distribution if distribution.modes is not None and len(distribution.modes[0]) > 1 else None
    if dataset == digits.ColorMNIST.name and shape == digits.ColorMNIST.shape and digits.has_classifier():
        return digits.ColorMNIST()
    return None


def _measure(model, x, z, others) -> dict[str, Any]:
    """Returns the players' gradient norms and samples at x and z, and the scores of x, the samples and other examples.

    Restores all state that this changes.
    """
    trainable = {id(variable) for variable in model.trainable_variables}
    state = [variable for variable in model.variables if id(variable) not in trainable]
    kept = [tf.identity(variable.value) for variable in state]
    model.begin_turn(x)
    norms = {}
    for player in model.players():
        values = [variable.value for variable in player.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            value = player.loss(x, z)
        norms[f"{player.key}_gradient"] = tf.linalg.global_norm(inner_gradient(tape, value, values))
    samples = model.G(z) if hasattr(model, "G") else model(z)
    results = {"gradients": norms, "scores": _scores(model, samples, x, *others), "samples": images_of(samples)}
    for variable, value in zip(state, kept, strict=True):
        variable.assign(value)
    return results


def _scores(model, samples, x, *others) -> tuple[tf.Tensor, ...]:
    """Returns scores of x, samples and others, [B, 1] or [B] each; empty if the model does not score one example."""
    examples = (x, samples, *others)
    if hasattr(model, "score"):
        return tuple(map(model.score, examples))
    discriminator = model.networks().get("discriminator")
    if not hasattr(model, "D") or discriminator is None or not takes(discriminator, samples):
        return ()
    scores = tuple(map(model.D, examples))
    return scores if all(tf.is_tensor(score) and score.shape[1:] in ([], [1]) for score in scores) else ()


def auc(real: np.ndarray, fake: np.ndarray) -> float:
    """The probability that a real example scores above a generated one; ties count half. NaN without finite scores."""
    from scipy.stats import rankdata

    real, fake = np.ravel(real), np.ravel(fake)
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        return float("nan")
    ranks = rankdata(np.concatenate([real, fake]))[: len(real)]
    return float((ranks.sum() - len(real) * (len(real) + 1) / 2) / (len(real) * len(fake)))


def overfitting(real: np.ndarray, fake: np.ndarray, held_out: np.ndarray) -> float | None:
    """The place of the mean score of held-out examples between training examples, 0, and samples, 1: see `Health`.

    None if training examples and samples have the same mean score.
    """
    real, fake, held_out = (float(np.mean(scores)) for scores in (real, fake, held_out))
    return (real - held_out) / (real - fake) if real != fake else None


def duplicates(samples: np.ndarray, real: np.ndarray) -> float:
    """The share of samples that have a near-duplicate among the other samples: see `Health`.

    Args:
        samples: [N, ...], N from 2 up.
        real: As many real examples, [N, ...].
    """
    usual = np.quantile(_nearest(real), 0.01)
    if not np.isfinite(samples).all():
        return float("nan")
    return float((_nearest(samples) < usual / 2).mean())


def _nearest(points: np.ndarray) -> np.ndarray:
    """Each point's distance to the nearest other one."""
    from scipy.spatial.distance import pdist, squareform

    distances = squareform(pdist(np.reshape(points, (len(points), -1)).astype(np.float64)))
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


def diagnose(history: list[dict[str, float]]) -> list[tuple[str, str]]:
    """Returns the problems that the last check shows: pairs of a kind, and a sentence with the problem and a remedy.

    Args:
        history: The results of `Health.look` so far, oldest first.
    """
    last, found = history[-1], []

    def in_the_last(looks: int, wrong: Callable[[dict[str, float]], bool]) -> bool:
        return len(history) > looks and all(wrong(look) for look in history[-looks:])

    is_gan = {"d_gradient", "g_gradient"} <= {*last}
    largest = max(look.get("g_gradient", 0.0) for look in history)
    told_apart = in_the_last(3, lambda look: look.get("d_auc", 0.0) >= SATURATED)
    if told_apart and is_gan and last["g_gradient"] <= VANISHED * largest:
        sentence = (
            f"the discriminator separates real and generated examples almost perfectly (AUC {last['d_auc']:.3f}), and "
            f"the generator's gradient is only {100 * last['g_gradient'] / largest:.2g} % of its largest value: the "
            f"generator hardly learns. A lower --d_learning_rate, noise (--set instance_noise=0.1) or a variant with a "
            f"penalty (r1_gan, wgan_gp) usually helps."
        )
        found.append(("saturation", sentence))
    for name in (name for name in last if name.endswith("_gradient")):
        usual = np.median([look[name] for look in history[:-1]]) if len(history) > _USUAL else np.inf
        if last[name] > EXPLODED * usual > 0:
            key = name.removesuffix("_gradient")
            helps = f"A lower --{key}_learning_rate"
            if key in ("d", "g"):
                helps = "A lower learning rate, --norm=spectral or a variant with a penalty (r1_gan, wgan_gp)"
            sentence = (
                f"the {name_of(key)}'s gradient is {last[name] / usual:.0f} times as large as usual. {helps} "
                f"usually helps."
            )
            found.append((f"{name} exploded", sentence))
    repeats, loses = "A larger batch or a lower --learning_rate", "A lower --learning_rate"
    if is_gan:
        repeats = (
            "More discriminator turns (--n_critic), a larger batch, a lower --g_learning_rate or another variant "
            "(unrolled_gan, ragan, wgan_gp)"
        )
        loses = (
            "More discriminator turns (--n_critic), a lower learning rate or another variant (unrolled_gan, "
            "consensus_gan, wgan_gp)"
        )
    who = "generator" if is_gan else "model"
    if in_the_last(2, lambda look: look["duplicates"] >= DUPLICATED):
        sentence = (
            f"{100 * last['duplicates']:.0f} % of the samples have a near-duplicate among the others: the {who} "
            f"repeats itself. {repeats} usually helps."
        )
        found.append(("duplicates", sentence))
    if in_the_last(3, lambda look: look.get("overfit", 0.0) >= OVERFITTED):
        sentence = (
            f"the discriminator scores held-out examples {100 * last['overfit']:.0f} % of the way from its training "
            f"data to samples: it memorises the data. --augment=ada, --augment='diffaugment(translation, cutout)', "
            f"--set lecam=0.3 or more data usually helps."
        )
        found.append(("overfitting", sentence))
    most = max(look.get("modes", 0) for look in history)
    if in_the_last(2, lambda look: look.get("modes", most) < most / 2):
        sentence = (
            f"the samples cover {last['modes']:.0f} modes, but covered {most:.0f} before: the {who} is losing modes. "
            f"{loses} usually helps."
        )
        found.append(("lost modes", sentence))
    return found
