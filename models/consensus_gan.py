"""Consensus optimization: both players move so that all gradients become small."""

import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, minimax_generator, non_saturating_generator
from gan_zoo.nn import optimizers
from gan_zoo.nn.precision import at_least_float32, inner_gradient
from gan_zoo.replicas.distribution import replica_mean
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class ConsensusGAN(CrossEntropyGAN):
    """GAN trained by consensus optimization.

    Mescheder et al. (2017). Let theta be the generator's weights and psi the discriminator's. Both losses use the same
    minibatch x and the same z:

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))]
        L_G = -E[log s(D(G(z)))], or E[log(1 - s(D(G(z))))] if saturating

        v = (grad_psi L_D, grad_theta L_G)
        L = 1/2 ||v||_2^2
        (psi, theta) moves along -(v + gamma grad L), both in one update

    Each player descends its own loss. All weights also descend gamma L, which depends on both players' gradients.

    Why: at an equilibrium, the eigenvalues of the Jacobian v' of v describe how both players move together. For two
    networks, the imaginary parts of these eigenvalues are large compared to the real parts. The players then circle
    the equilibrium, and all but tiny steps carry them away from it. L is 0 where both gradients are 0. Descent on L
    alone finds such points, but it does not distinguish minima of a player's loss from maxima; the term v does. At an
    equilibrium, grad L adds gamma v'^T v' to v'. This matrix is positive definite and damps the circling, and the
    equilibria themselves do not change. On the bilinear game L_G = -L_D = psi theta, each plain step of 0.1 multiplies
    the distance to the equilibrium by 1.005; with gamma = 1 the factor is 0.906.

    The value of L on a minibatch is biased, because it includes the variance of the gradients.

    The update is simultaneous by definition. So `simultaneous` is True, and G moves in every step. The last of the
    `n_critic` discriminator turns is the consensus step; the turns before it are plain ones.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        gamma: Weight of grad L. Defaults to 10, as in most of the authors' experiments; the one with their smallest
            network uses 0.1. With 0 the method is simultaneous gradient descent.
        saturating: Whether G plays the zero-sum game. Defaults to False, as in the authors' experiments on images.
        simultaneous: Must be True.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If `simultaneous` is False, if `balance` is not "constant", or if `gamma` is not a number from 0 up.

    Logs:
        field_energy: L before the step.

    Differs from the authors' code: none known in the losses and the update; the networks are this library's.

    References:
        Mescheder et al., 2017, https://arxiv.org/abs/1705.10461
        Authors' code, https://github.com/LMescheder/TheNumericsOfGANs
    """

    discriminator_norm = "none"

    def __init__(self, generator, discriminator, *, gamma=10.0, saturating=False, simultaneous=True, **kwargs):
        super().__init__(generator, discriminator, simultaneous=simultaneous, **kwargs)
        if not simultaneous:
            raise UserError("simultaneous must be True: consensus optimization moves both players at once.")
        self.gamma = number("gamma", gamma, least=0)
        self.saturating = saturating

    def default_optimizer(self, player):
        # The authors' CIFAR-10 experiments. The last two are the defaults of their optimizer.
        return optimizers.RMSprop(1e-4, rho=0.9, epsilon=1e-10)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        fake = self.D(self.G(z))
        return minimax_generator(fake) if self.saturating else non_saturating_generator(fake)

    def joint_step(self, x):
        self.begin_turn(x)
        z = self.latents_for(x)
        d_objective, g_objective = (self.turn_loss(player) for player in self.players())
        players = ((self.discriminator_variables, self.d_optimizer), (self.generator_variables, self.g_optimizer))
        psi, theta = ([variable.value for variable in variables] for variables, _ in players)
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch([*psi, *theta])
            with tf.GradientTape(watch_accessed_variables=False, persistent=True) as inner:
                inner.watch([*psi, *theta])
                d_loss, g_loss = d_objective(x, z), g_objective(x, z)
            zero = {"unconnected_gradients": "zero"}
            v = [*inner_gradient(inner, d_loss, psi, **zero), *inner_gradient(inner, g_loss, theta, **zero)]
            v = [replica_mean(part) for part in v]
            energy = 0.5 * tf.add_n([tf.reduce_sum(tf.square(part)) for part in v])
        # One second derivative serves both players, so it uses the smaller one of their loss scales.
        scale = tf.minimum(*(optimizer.scale_loss(tf.ones([], energy.dtype)) for _, optimizer in players))
        corrections = outer.gradient(energy, [*psi, *theta], output_gradients=scale, **zero)
        # Optimizers sum over replicas. Each replica holds all of v, but only its own part of the energy's gradient.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        corrections = [at_least_float32(c) / scale for c in corrections]
        w = [(part + self.gamma * c) / replicas for part, c in zip(v, corrections, strict=True)]
        with tf.control_dependencies(w):  # no variable moves before all gradients are computed
            w = [tf.identity(part) for part in w]
        for (variables, optimizer), own in zip(players, (w[: len(psi)], w[len(psi) :]), strict=True):
            optimizer.apply([optimizer.scale_loss(part) for part in own], variables)
        for name, value in (("d_loss", d_loss), ("g_loss", g_loss), ("field_energy", energy)):
            self.record(name, value)
