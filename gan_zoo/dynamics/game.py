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
"""Orders of the players' moves.

"simultaneous" (SimGD): all players move from the same point. "alternating" (AltGD): G moves first, and D moves from the
point after G's move. For other players, the last of `players()` moves first.
"""


class _Descent(keras.optimizers.SGD):
    """Gradient descent at `rate` in the variables' precision. It stores gradients, and moves nothing if `held`."""

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
    """A model on a fixed minibatch as a dynamical system: a point w in the space of all players' weights.

    If theta are the generator's weights and psi the discriminator's weights, the field at w = (theta, psi) is

        v(w) = -(grad_theta L_G, grad_psi L_D).

    The gradients are those that the variant's own `joint_step` passes to the optimizers. So consensus optimization has
    its corrected field, and an unrolled GAN has the field of its surrogate loss. Automatic differentiation of that step
    gives the derivatives of v. Mescheder et al. (2018), Section 2.

    For a model with other players, w contains the weights of the last of `players()` first, and v is minus the gradient
    of each player's own loss.

    If the weights and the data are float64, all results are exact to about 1e-12.

    The losses use the same random draws at every evaluation of the field. Along a trajectory they use new draws in
    each step.

    Args:
        gan: A GAN or another model. It is compiled again, with gradient descent for all players, and its weights
            change: do not train it elsewhere.
        x: The minibatch of every step, [B, ...]; a tuple or a dict if the losses take one, such as (images, labels).

    Attributes:
        gan: The model.
        size: N, the number of weights of all players.
        names: N names: the player of each weight, which is "generator" or "discriminator" in a GAN.

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
        """w, the current weights, float64 [N], in the order of `names`: in a GAN those of the generator first."""
        return np.concatenate([variable.numpy().astype("float64").ravel() for variable in self._variables])

    @point.setter
    def point(self, w: Sequence[float]) -> None:
        for variable, part in zip(self._variables, np.split(self._point(w), np.cumsum(self._sizes)[:-1]), strict=True):
            variable.assign(part.reshape(variable.shape))

    def field(self, w: Sequence[float] | None = None) -> np.ndarray:
        """Returns v(w), [N]; by default at the current point. The current point does not change."""
        return self._at(w)[0]

    def fields(self, points: Sequence[Sequence[float]]) -> np.ndarray:
        """Returns v at many points, [M, N], in one computation."""
        points = np.stack([self._point(w) for w in points])
        with self._unchanged():
            return self._evaluate_all(tf.constant(points)).numpy()

    def jacobian(self, w: Sequence[float] | None = None) -> np.ndarray:
        """Returns v'(w), [N, N]: row i is the gradient of component i. By default w is the current point."""
        return self._at(w)[1]

    def is_differentiable(self, w: Sequence[float] | None = None, radius: float = 1e-3) -> bool:
        """Returns whether v is differentiable at w: whether differences over `radius` agree with v'(w) to 5 %.

        They do not agree where the field jumps, for example at the equilibrium of the Dirac-GAN for WGAN-GP and DRAGAN.
        There, automatic differentiation returns the slope of a norm that is smoothed over a few 1e-6.
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
        """Returns F'(w), [N, N], the derivative of one update w -> F(w) of gradient descent.

        A simultaneous update is F = id + h v. An alternating update is one step of G and then `d_steps` steps of D,
        each from the point after the step before. With other players, each takes one step, except for the first of
        `players()`, which is the last to move and takes `d_steps` steps. The order of the players does not change the
        eigenvalues at an equilibrium.

        Args:
            w: The point; by default the current one.
            step_size: Step size h.
            schedule: One of `SCHEDULES`.
            d_steps: Steps of D for each step of G, n_d, for "alternating".

        Raises:
            UserError: If the schedule is not one of these, or if it is "alternating" and the model has one player.
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
        """Returns the points of gradient descent, [steps + 1, N]. The first is `start`.

        Each step is the variant's own step, for example with the clipping of WGAN's weights. In an alternating step, G
        moves first, as in the code of Mescheder et al. (2018).

        Args:
            start: w at step 0, [N].
            step_size: Step size h.
            steps: Number of steps.
            schedule: One of `SCHEDULES`.
            d_steps: Steps of D for each step of G, for "alternating".

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
        """Context that restores every variable of the model at its end, such as weights and the random stream."""
        kept = [(variable, variable.numpy()) for variable in self.gan.variables]
        try:
            yield
        finally:
            for variable, value in kept:
                variable.assign(value)

    def _both(self, moving: Sequence[str], rate=0.0) -> list[tf.Tensor]:
        """Takes a step with all gradients at one point; only the players in `moving` move. Returns the gradients."""
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
        """Returns the names of the players that move in each turn of a step."""
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
            for variable, value in kept:  # every point uses the same draws
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
    """Returns the eigenvalues of a derivative, complex [N], sorted by real part, then by imaginary part."""
    return np.sort_complex(np.linalg.eigvals(jacobian))


def spectral_radius(jacobian: np.ndarray) -> float:
    """Returns the largest |eigenvalue| of an update's derivative F'.

    If it is below 1 at a fixed point, the update converges there linearly: near the point, each step multiplies the
    distance by about this factor. If it is above 1, the update does not converge. If it is 1, the linear part does not
    decide, and any convergence is slower than linear. Mescheder et al. (2018), Section 2.
    """
    return float(np.abs(np.linalg.eigvals(jacobian)).max())


def critical(game: Callable[[float], Game], low: float, high: float, tolerance: float = 1e-9) -> float:
    """Returns the smallest amount of regularisation for which the players do not circle: v' has real eigenvalues only.

    Above it, more regularisation only makes the slowest direction slower. For the Dirac-GAN it is
    gamma = 2 |f'(0)| = 1, or instance noise of variance 2: Mescheder et al. (2018), Lemmas 3.2 and 3.3.

    Args:
        game: Function that builds the game for an amount, `lambda gamma: dirac("r1_gan", gamma=gamma)`. The
            eigenvalues are those at the game's current point.
        low: An amount for which the players circle.
        high: A larger amount for which they do not.
        tolerance: Largest width of the interval at the end of the bisection.

    Raises:
        UserError: If the players do not circle for `low`, or if they circle for `high`.
    """

    def circles(amount: float) -> bool:
        found = eigenvalues(game(amount).jacobian())
        # If two eigenvalues are equal, rounding errors of 1e-16 separate them by 1e-8.
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
                    f"{variable.path}, but in a Game each weight belongs to one player."
                )
