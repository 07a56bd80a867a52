"""Unrolled GAN: the generator minimises its loss against the discriminator after K further steps."""

import keras
import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator
from gan_zoo.nn import optimizers
from gan_zoo.nn.precision import inner_gradient
from gan_zoo.replicas.distribution import replica_mean
from gan_zoo.util.checks import number, whole
from gan_zoo.util.errors import UserError

_MOST_STEPS = 1000
"""The largest `unroll_steps`. Every inner step adds nodes to the graph and takes time to trace."""


class UnrolledGAN(CrossEntropyGAN):
    """Unrolled generative adversarial network.

    Section 2.2 of Metz et al. (2017). Let f be the objective of the minimax game, theta the generator's weights, psi
    the discriminator's and eta the size of an inner step:

        f(theta, psi) = E[log s(D(x))] + E[log(1 - s(D(G(z))))]
        psi_0 = psi,  psi_k+1 = psi_k + eta grad_psi f(theta, psi_k)
        f_K(theta, psi) = f(theta, psi_K(theta, psi))

        L_D = -f(theta, psi): D takes one step from psi, not from psi_K
        L_G = f_K(theta, psi), also differentiated through psi_K

    Why: G's problem is min_theta max_psi f, but in plain training G sees f at the current psi only. The best G for this
    psi puts all samples where D is highest. Then D changes, G follows, and G visits one mode after the other. f_K
    approximates max_psi f. Its gradient has a second term,

        d f_K / d theta = df/dtheta(theta, psi_K) + df/dpsi(theta, psi_K) dpsi_K/dtheta,

    which describes D's reaction to a change of G, and so penalises samples that concentrate in one place. With K = 0
    the game is the minimax game, `vanilla_gan` with saturating=True. As K grows, D tends to the optimum and the second
    term vanishes. To first order in eta, K eta corresponds to eta in `gradient_regularized_gan`.

    All inner steps use the same x and G(z). They change tensors only: D's weights, its moving statistics of batch
    normalization and the optimizers keep their values. The unrolled loss is `discriminator_loss`: a subclass that
    overrides it with another L_D plays the game f = -L_D. The inner steps also descend the terms that `penalties` and
    `historical_averaging` add to L_D; f has none. Random numbers from `self.random` differ between inner
    steps; those of Keras's own layers, such as dropout, do not.

    The time and memory of a generator turn grow with K.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        unroll_steps: K. Defaults to 5, as in the authors' notebook; the paper's ring of Gaussians uses 10.
        inner_optimizer: "sgd", the gradient ascent above, or "adam": each inner step is the step that the
            discriminator's own optimizer would take from its current moments, as in the authors' notebook. That
            optimizer must be Adam. Defaults to "sgd".
        inner_learning_rate: eta. By default 0.1 for "sgd", a choice of this library. For "adam" the default is the
            current learning rate of the discriminator's optimizer.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If there is no such inner optimizer, if K is not from 0 to 1000, or if eta is not positive. With
            "adam", the generator's loss raises it if the discriminator's optimizer is not Adam, or is Adam with
            clipping, weight decay or amsgrad.

    Differs from the paper: none known with "sgd". The settings of Adam are those of the ring of Gaussians.

    References:
        Metz et al., 2017, https://arxiv.org/abs/1611.02163
        Authors' notebook, https://github.com/poolio/unrolled_gan
    """

    def __init__(
        self, generator, discriminator, *, unroll_steps=5, inner_optimizer="sgd", inner_learning_rate=None, **kwargs
    ):
        super().__init__(generator, discriminator, **kwargs)
        if inner_optimizer not in ("sgd", "adam"):
            raise UserError(f"inner_optimizer must be 'sgd' or 'adam', not {inner_optimizer!r}.")
        if inner_learning_rate is not None:
            number("inner_learning_rate", inner_learning_rate, positive=True)
        self.unroll_steps = whole("unroll_steps", unroll_steps, 0, _MOST_STEPS)
        self.inner_optimizer = inner_optimizer
        self.inner_learning_rate = inner_learning_rate

    def default_optimizer(self, player):
        return optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        with self.samples_once():  # one pass for all inner steps: D changes, the samples do not
            self.G(z)
            return -_unrolled_loss(self, x, z)


def _unrolled_loss(gan: UnrolledGAN, x, z):
    """L_D at psi_K."""
    step = _inner_step(gan)
    weights = [tf.convert_to_tensor(weight.value) for weight in gan.discriminator_variables]
    draws = tf.convert_to_tensor(gan.random.state.value)
    for _ in range(gan.unroll_steps):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss, draws = _loss_at(gan, weights, draws, x, z, gan.turn_loss(gan.player("discriminator")))
        gradients = inner_gradient(tape, loss, weights, unconnected_gradients="zero")
        weights = step(weights, [replica_mean(gradient) for gradient in gradients])
    loss, draws = _loss_at(gan, weights, draws, x, z, gan.discriminator_loss)
    gan.random.state.assign(draws)
    return loss


def _loss_at(gan: UnrolledGAN, weights, draws, x, z, loss_of):
    """Returns `loss_of(x, z)` with these weights of D and this random state, `draws`, and the state after it."""
    state = [*zip(gan.discriminator_variables, weights, strict=True), (gan.random.state, draws)]
    with keras.StatelessScope(state) as scope:
        loss = loss_of(x, z)
    return loss, scope.get_current_value(gan.random.state)


def _inner_step(gan: UnrolledGAN):
    """A function that maps D's weights and the gradients of L_D, tensors, to the weights after an inner step."""
    rate = gan.inner_learning_rate
    if gan.inner_optimizer == "sgd":
        rate = 0.1 if rate is None else rate
        return lambda weights, gradients: [
            w - tf.cast(rate * g, w.dtype) for w, g in zip(weights, gradients, strict=True)
        ]
    adam = getattr(gan, "d_optimizer", None)  # does not exist before compile
    adam = getattr(adam, "inner_optimizer", adam)  # unwraps loss scaling
    if not isinstance(adam, keras.optimizers.Adam):
        raise UserError(
            "inner_optimizer='adam' continues the discriminator's own Adam: compile with one as d_optimizer, not "
            f"with {'none' if adam is None else type(adam).__name__}, or take inner_optimizer='sgd'."
        )
    return optimizers.AdamFormula(adam, gan.discriminator_variables, rate)
