"""Gradient-regularized GAN: the generator also makes the discriminator's gradient small."""

import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator
from gan_zoo.nn import optimizers
from gan_zoo.nn.precision import inner_gradient
from gan_zoo.replicas.distribution import replica_mean
from gan_zoo.util.checks import number


class GradientRegularizedGAN(CrossEntropyGAN):
    """GAN whose generator also minimises the norm of the discriminator's gradient.

    Nagarajan & Kolter (2017). Let V be the objective of the minimax game, theta the generator's weights and psi the
    discriminator's:

        V(theta, psi) = E[log s(D(x))] + E[log(1 - s(D(G(z))))]

        L_D = -V
        L_G =  V + eta ||grad_psi V||_2^2

    The norm is that of the gradient of the minibatch mean, over all of D's weights together. G's step does not change
    these weights, but the penalty is differentiated through grad_psi. This is a mixed second derivative of V.

    Why: near the equilibrium of the plain game, each player's gradient depends on the other player's position, and both
    circle the equilibrium. D moves along the gradient of V. A G that makes this gradient small lets D stay where it is,
    which damps the circling. After D's next step, V(theta, psi + eta grad_psi V) = V + eta ||grad_psi V||^2 + O(eta^2).
    So, to first order, L_G is the loss of `unrolled_gan` with one inner step at the rate eta.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        eta: Weight of the squared norm, without a factor of 1/2. Defaults to 0.5, as in the authors' code.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `eta` is not a number from 0 up.

    Logs:
        penalty: ||grad_psi V||^2 at G's turn.

    Differs from the authors' code: none known in the losses and optimizers; the networks are this library's.

    References:
        Nagarajan & Kolter, 2017, https://arxiv.org/abs/1706.04156
        Authors' code, https://github.com/locuslab/gradient_regularized_gan
    """

    def __init__(self, generator, discriminator, *, eta: float = 0.5, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.eta = number("eta", eta, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(1e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        weights = [weight.value for weight in self.discriminator_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss = self.discriminator_loss(x, z)
        # A weight that the loss does not depend on has no gradient, and adds nothing to the norm.
        gradients = [replica_mean(g) for g in inner_gradient(tape, loss, weights) if g is not None]
        penalty = tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients])
        self.record("penalty", penalty)
        return -loss + self.eta * penalty
