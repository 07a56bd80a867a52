"""Unrolled GAN: the generator answers to where the discriminator will be after K steps."""

import threading

import keras
import tensorflow as tf

from gan_zoo import optimizers
from gan_zoo.checks import number, whole
from gan_zoo.distribution import replica_mean
from gan_zoo.errors import UserError
from gan_zoo.gan import GAN
from gan_zoo.losses import cross_entropy_discriminator
from gan_zoo.precision import inner_gradient

_MOST_STEPS = 1000
"""Each step is a part of the graph of its own, and takes its time to trace."""


class UnrolledGAN(GAN):
    """Unrolled generative adversarial network.

    Section 2.2 of Metz et al. (2017). With f the minimax game's objective, theta the generator's weights, psi the
    discriminator's and eta the size of an inner step,

        f(theta, psi) = E[log s(D(x))] + E[log(1 - s(D(G(z))))]
        psi_0 = psi,  psi_k+1 = psi_k + eta grad_psi f(theta, psi_k)
        f_K(theta, psi) = f(theta, psi_K(theta, psi))

        L_D = -f(theta, psi): one step from psi, not from psi_K
        L_G = f_K(theta, psi), differentiated through psi_K as well

    Why: G's problem is min_theta max_psi f, but plain training shows it f at the present psi only. The best G then puts
    all samples where D is highest now; D moves away, G follows, and modes are visited one after the other. f_K stands
    for max_psi f. Its gradient has a second term,

        d f_K / d theta = df/dtheta(theta, psi_K) + df/dpsi(theta, psi_K) dpsi_K/dtheta,

    which tells G how D would answer, and so punishes samples that pile up. K = 0 is the minimax game, `vanilla_gan`
    with saturating=True; for K to infinity D is optimal and the second term vanishes. To first order in eta, K eta
    plays the part of eta in `gradient_regularized_gan`.

    All inner steps see the same x and G(z). They move tensors only: D's weights, its moving statistics of batch
    normalization and the optimizers stay what they are. `discriminator_loss` is what is unrolled: a subclass that
    overrides it with another L_D plays the game f = -L_D. Random numbers from `self.random` differ between inner
    steps; those of Keras's own layers, such as dropout, do not.

    Time and memory of a generator turn grow with K.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        unroll_steps: K. Defaults to 5, as in the authors' notebook; the paper's ring of Gaussians has 10.
        inner_optimizer: "sgd", the ascent above, or "adam": each inner step is the one that the discriminator's own
            optimizer, which must be Adam, would take from its present moments, as in the authors' notebook. Defaults to
            "sgd".
        inner_learning_rate: eta. By default 0.1 for "sgd", the zoo's choice, and for "adam" the learning rate that the
            discriminator's optimizer has at that step.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If there is no such inner optimizer, K is not from 0 to 1000, or eta is not positive. With "adam",
            from the generator's loss, if the discriminator's optimizer is not Adam, or is Adam with clipping, weight
            decay or amsgrad.

    Differs from the paper: none known with "sgd". Adam's settings are those of the ring of Gaussians.

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
        self._made = threading.local()  # replicas are traced in threads of their own

    def default_optimizer(self, player):
        return optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)))

    def G(self, z):
        latents, samples = self._made.__dict__.get("pair", (None, None))
        return samples if latents is z else super().G(z)

    def generator_loss(self, x, z):
        self._made.pair = z, self.G(z)  # one pass for all inner steps: D moves, the samples do not
        try:
            return -_unrolled_loss(self, x, z)
        finally:
            del self._made.pair


def _unrolled_loss(gan: UnrolledGAN, x, z):
    """L_D at psi_K."""
    step = _inner_step(gan)
    weights = [tf.convert_to_tensor(weight.value) for weight in gan.discriminator_variables]
    draws = tf.convert_to_tensor(gan.random.state.value)
    for _ in range(gan.unroll_steps):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss, draws = _loss_at(gan, weights, draws, x, z)
        gradients = inner_gradient(tape, loss, weights, unconnected_gradients="zero")
        weights = step(weights, [replica_mean(gradient) for gradient in gradients])
    loss, draws = _loss_at(gan, weights, draws, x, z)
    gan.random.state.assign(draws)
    return loss


def _loss_at(gan: UnrolledGAN, weights, draws, x, z):
    """L_D where D has these weights and the random stream that state; and the state that the loss leaves it in."""
    state = [*zip(gan.discriminator_variables, weights, strict=True), (gan.random.state, draws)]
    with keras.StatelessScope(state) as scope:
        loss = gan.discriminator_loss(x, z)
    return loss, scope.get_current_value(gan.random.state)


def _inner_step(gan: UnrolledGAN):
    """Maps D's weights and the gradients of L_D, tensors, to the weights an inner step later."""
    rate = gan.inner_learning_rate
    if gan.inner_optimizer == "sgd":
        rate = 0.1 if rate is None else rate
        return lambda weights, gradients: [
            w - tf.cast(rate * g, w.dtype) for w, g in zip(weights, gradients, strict=True)
        ]
    adam = getattr(gan, "d_optimizer", None)  # there is none before compile
    adam = getattr(adam, "inner_optimizer", adam)  # of loss scaling
    if not isinstance(adam, keras.optimizers.Adam):
        raise UserError(
            "inner_optimizer='adam' continues the discriminator's own Adam: compile with one as d_optimizer, not "
            f"with {'none' if adam is None else type(adam).__name__}, or take inner_optimizer='sgd'."
        )
    return optimizers.AdamFormula(adam, gan.discriminator_variables, rate)
