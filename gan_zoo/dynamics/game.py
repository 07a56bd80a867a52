"""The vector field of a game between two small networks, its derivative, and the paths of gradient descent."""

import contextlib
import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from gan_zoo.model import GenerativeModel
from gan_zoo.players import Player
from gan_zoo.util.errors import UserError

SCHEDULES = ("simultaneous", "alternating")
"""SimGD: all players move from the same point. AltGD: G moves, then D from where G has gone; of players other than
these two, the last of `players()` moves first."""


class _Descent(keras.optimizers.SGD):
    """Gradient descent at `rate`, in the variables' own precision, that keeps the gradients; held, it does not move."""

    rate, held = 0.0, True

    def apply(self, grads, trainable_variables=None):
        self.gradients = [
            tf.zeros_like(variable.value) if gradient is None else gradient
            for gradient, variable in zip(grads, trainable_variables, strict=True)
        ]
        if self.held:
            return
        self.iterations.assign_add(1)
        for gradient, variable in zip(self.gradients, trainable_variables, strict=True):
            variable.assign_sub(tf.cast(self.rate, gradient.dtype) * gradient)


class Game:
    """A model on a fixed minibatch, seen as a point that moves in the space of all its players' weights.

    With theta the generator's and psi the discriminator's weights, the field at w = (theta, psi) is

        v(w) = -(grad_theta L_G, grad_psi L_D),

    or what the variant makes of it: the gradients are those that its own `joint_step` hands to the optimizers, so that
    consensus optimization has its corrected field, and an unrolled GAN that of its surrogate loss. Derivatives of v are
    taken by automatic differentiation through that step. Mescheder et al. (2018), Section 2.

    Of a model with other players than these two, w holds the weights of the last of `players()` first, and v is minus
    the gradient of each player's own loss.

    Networks with float64 weights, on data in float64, make everything here exact to about 1e-12.

    Random draws of the losses are the same at every evaluation of the field; those of a trajectory go on.

    Args:
        gan: A GAN or another model. It is compiled again, with gradient descent for all players, and its weights are
            moved: do not train it elsewhere.
        x: The minibatch of every step, [B, ...]; a tuple or a dict where the losses take one, as (images, labels).

    Attributes:
        gan: The model.
        size: N, the number of weights of all players.
        names: The player that each weight belongs to, "generator" or "discriminator" in a GAN, N of them.

    Raises:
        UserError: If two players share a weight.

    References:
        Mescheder et al., 2018, https://arxiv.org/abs/1801.04406
    """

    def __init__(self, gan: GenerativeModel, x):
        self.gan = gan
        structured = isinstance(x, tuple | dict)
        self.x = tf.nest.map_structure(tf.convert_to_tensor, x) if structured else tf.convert_to_tensor(x)
        players = gan.players()
        _check_apart(gan, players)
        gan.compile(*(_Descent() for _ in players))
        self._movers = [player.name for player in reversed(players)]
        self._optimizers = {player.name: gan.optimizer_of(player) for player in reversed(players)}
        self._variables = [variable for player in reversed(players) for variable in player.variables]
        self._sizes = [int(np.prod(variable.shape)) for variable in self._variables]
        self.size = sum(self._sizes)
        owners = [player.name for player in reversed(players) for _ in player.variables]
        self.names = [owner for owner, size in zip(owners, self._sizes, strict=True) for _ in range(size)]
        self._evaluate = tf.function(self._differentiated, autograph=False)
        self._evaluate_all = tf.function(self._mapped, autograph=False, reduce_retracing=True)
        self._paths = {}

    @property
    def point(self) -> np.ndarray:
        """w, the present weights, float64 [N]: the generator's, then the discriminator's; or as `names` says."""
        return np.concatenate([variable.numpy().astype("float64").ravel() for variable in self._variables])

    @point.setter
    def point(self, w: Sequence[float]) -> None:
        for variable, part in zip(self._variables, np.split(self._point(w), np.cumsum(self._sizes)[:-1]), strict=True):
            variable.assign(part.reshape(variable.shape))

    def field(self, w: Sequence[float] | None = None) -> np.ndarray:
        """v(w), [N]; by default at the present point. The point does not move."""
        return self._at(w)[0]

    def fields(self, points: Sequence[Sequence[float]]) -> np.ndarray:
        """v at many points, [M, N], as one computation: to draw it."""
        points = np.stack([self._point(w) for w in points])
        with self._unchanged():
            return self._evaluate_all(tf.constant(points)).numpy()

    def jacobian(self, w: Sequence[float] | None = None) -> np.ndarray:
        """v'(w), [N, N]: row i is the gradient of component i. By default at the present point."""
        return self._at(w)[1]

    def is_differentiable(self, w: Sequence[float] | None = None, radius: float = 1e-3) -> bool:
        """Whether v has the derivative v'(w): differences over `radius` agree with it to 5 %.

        They do not where the field jumps, as that of WGAN-GP and DRAGAN does at the Dirac-GAN's equilibrium: what
        automatic differentiation finds there is the slope of the few 1e-6 over which a norm is smoothed.
        """
        centre = self._point(w)
        jacobian = self.jacobian(centre)
        directions = radius * np.eye(self.size)
        slopes = np.stack(
            [(self.field(centre + d) - self.field(centre - d)) / (2 * radius) for d in directions], axis=1
        )
        return bool(np.abs(slopes - jacobian).max() <= 0.05 * max(1.0, np.abs(slopes).max()))

    def update_jacobian(
        self,
        w: Sequence[float] | None = None,
        *,
        step_size: float,
        schedule: str = "simultaneous",
        d_steps: int = 1,
    ) -> np.ndarray:
        """F'(w), [N, N], the derivative of one update w -> F(w) of gradient descent.

        Simultaneous: F = id + h v. Alternating: G's step, then `d_steps` steps of D, each from where the last one led;
        of other players a step each, the first of `players()` last and `d_steps` times. The order of the players does
        not change the eigenvalues at an equilibrium.

        Args:
            w: By default the present point.
            step_size: h.
            schedule: One of `SCHEDULES`.
            d_steps: n_d, for "alternating".

        Raises:
            UserError: If the schedule is not one of these, or is "alternating" and the model has one player.
        """
        self._check_schedule(schedule, d_steps)
        w = self._point(w)
        if schedule == "simultaneous":
            return np.eye(self.size) + step_size * self.jacobian(w)
        update = np.eye(self.size)
        for (mover,) in self._turns(schedule, d_steps):
            moves = np.array([name == mover for name in self.names])
            v, jacobian = self._at(w)
            update = (np.eye(self.size) + step_size * moves[:, np.newaxis] * jacobian) @ update
            w = w + step_size * moves * v
        return update

    def trajectory(
        self,
        start: Sequence[float],
        *,
        step_size: float,
        steps: int,
        schedule: str = "simultaneous",
        d_steps: int = 1,
    ) -> np.ndarray:
        """The points of gradient descent from `start` on, [steps + 1, N], `start` included.

        Each step is the variant's own, with all that belongs to it, such as the clipping of WGAN's weights. In an
        alternating one, G moves first, as in the authors' code of Mescheder et al. (2018).

        Args:
            start: w at step 0, [N].
            step_size: h.
            steps: How many.
            schedule: One of `SCHEDULES`.
            d_steps: Steps of D for each of G, for "alternating".

        Raises:
            UserError: As for `update_jacobian`, or if `steps` is negative.
        """
        self._check_schedule(schedule, d_steps)
        if steps < 0:
            raise UserError(f"steps must be 0 or more, not {steps}.")
        key = schedule, d_steps
        if key not in self._paths:
            self._paths[key] = tf.function(functools.partial(self._walk, *key), autograph=False)
        with self._unchanged():
            self.point = start
            rate = tf.constant(step_size, tf.float64)
            return self._paths[key](rate, tf.constant(steps)).numpy()

    def _point(self, w) -> np.ndarray:
        if w is None:
            return self.point
        w = np.asarray(w, "float64")
        if w.shape != (self.size,):
            raise UserError(f"A point of this game has {self.size} numbers, not the shape {w.shape}.")
        return w

    def _at(self, w) -> tuple[np.ndarray, np.ndarray]:
        with self._unchanged():
            if w is not None:
                self.point = w
            return tuple(part.numpy() for part in self._evaluate())

    @contextlib.contextmanager
    def _unchanged(self):
        """Puts every variable of the model back: weights, random stream, clipped values, power iterations."""
        kept = [(variable, variable.numpy()) for variable in self.gan.variables]
        try:
            yield
        finally:
            for variable, value in kept:
                variable.assign(value)

    def _both(self, moving: Sequence[str], rate=0.0) -> list[tf.Tensor]:
        """The model's step from one point for all players, in which only `moving` ones move; returns gradients."""
        gan = self.gan
        for name, optimizer in self._optimizers.items():
            optimizer.held, optimizer.rate = name not in moving, rate
        schedule, gan.simultaneous = gan.simultaneous, True
        try:
            gan.joint_step(self.x)
        finally:
            gan.simultaneous = schedule
        return [gradient for optimizer in self._optimizers.values() for gradient in optimizer.gradients]

    def _turns(self, schedule: str, d_steps: int) -> list[list[str]]:
        """The names of the players that move in each turn of a step."""
        if schedule == "simultaneous":
            return [self._movers]
        *others, first = self._movers
        return [*([name] for name in others), *[[first]] * d_steps]

    def _check_schedule(self, schedule: str, d_steps: int) -> None:
        if schedule not in SCHEDULES:
            raise UserError(f"schedule must be one of {', '.join(SCHEDULES)}, not {schedule!r}.")
        if not isinstance(d_steps, int) or d_steps < 1:
            raise UserError(f"d_steps must be a whole number from 1 up, not {d_steps!r}.")
        if schedule == "alternating" and len(self._movers) == 1:
            raise UserError(
                f"schedule='alternating' needs two players or more, and {type(self.gan).__name__} has one, "
                f"{self._movers[0]}: use 'simultaneous'."
            )

    def _differentiated(self):
        values = [variable.value for variable in self._variables]
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
            tape.watch(values)
            v = -_flat(self._both([]))
            components = tf.unstack(v)
        return v, tf.stack([_flat(tape.gradient(c, values, unconnected_gradients="zero")) for c in components])

    def _mapped(self, points):
        players = {id(variable) for variable in self._variables}
        kept = [(variable, variable.value + 0) for variable in self.gan.variables if id(variable) not in players]

        def at(w):
            for variable, part in zip(self._variables, tf.split(w, self._sizes), strict=True):
                variable.assign(tf.reshape(tf.cast(part, variable.dtype), variable.shape))
            for variable, value in kept:  # every point sees the same draws
                variable.assign(value)
            return -_flat(self._both([]))

        return tf.map_fn(at, points, parallel_iterations=1)

    def _walk(self, schedule: str, d_steps: int, rate, steps):
        turns = self._turns(schedule, d_steps)

        def state():
            return _flat([variable.value for variable in self._variables])

        def step(k, points):
            for moving in turns:
                self._both(moving, rate)
            return k + 1, points.write(k + 1, state())

        points = tf.TensorArray(tf.float64, steps + 1, element_shape=[self.size]).write(0, state())
        _, points = tf.while_loop(lambda k, _: k < steps, step, [0, points], parallel_iterations=1)
        return points.stack()


def _flat(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(part, tf.float64), [-1]) for part in parts], axis=0)


def eigenvalues(jacobian: np.ndarray) -> np.ndarray:
    """Of a derivative, complex [N], sorted by real part, then by imaginary part."""
    return np.sort_complex(np.linalg.eigvals(jacobian))


def spectral_radius(jacobian: np.ndarray) -> float:
    """The largest |eigenvalue| of an update's derivative F'.

    Below 1 at a fixed point, the update converges there linearly, with at least this factor a step in the end; above
    1, it does not; at 1 the linear part does not decide, and convergence, if there is any, is slower than linear.
    Mescheder et al. (2018), Section 2.
    """
    return float(np.abs(np.linalg.eigvals(jacobian)).max())


def critical(game: Callable[[float], Game], low: float, high: float, tolerance: float = 1e-9) -> float:
    """The least amount of regularisation from which on the players no longer circle: v' has real eigenvalues only.

    From there on more regularisation only slows the slowest direction down. Mescheder et al. (2018), Lemmas 3.2 and
    3.3: for the Dirac-GAN gamma = 2 |f'(0)| = 1, and an instance noise of variance 2.

    Args:
        game: Makes the game for an amount: `lambda gamma: dirac("r1_gan", gamma=gamma)`. At its present point.
        low: An amount at which they circle.
        high: A larger one at which they do not.
        tolerance: To which the amount is bracketed, by bisection.

    Raises:
        UserError: If they do not circle at `low`, or do at `high`.
    """

    def circles(amount: float) -> bool:
        found = eigenvalues(game(amount).jacobian())
        # Where two eigenvalues meet, rounding errors of 1e-16 part them by 1e-8.
        return bool(np.abs(found.imag).max() > 1e-7 * max(1.0, np.abs(found).max()))

    for name, amount, expected in (("low", low, True), ("high", high, False)):
        if circles(amount) != expected:
            raise UserError(
                f"{name}={amount:g}: the players {'do not circle' if expected else 'circle'} there, so the critical "
                f"amount does not lie between low and high."
            )
    while high - low > tolerance:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if circles(middle) else (low, middle)
    return 0.5 * (low + high)


def _check_apart(gan: GenerativeModel, players: Sequence[Player]) -> None:
    owners: dict[int, str] = {}
    for player in players:
        for variable in player.variables:
            other = owners.setdefault(id(variable), player.name)
            if other != player.name:
                raise UserError(
                    f"gan: the players {other} and {player.name} of {type(gan).__name__} share the weight "
                    f"{variable.path}, and a point of a game has one owner for each weight."
                )
