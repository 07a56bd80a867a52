"""KL-WGAN: a Wasserstein critic that re-weighs the samples, and so estimates a density ratio."""

import tensorflow as tf

from gan_zoo import optimizers
from gan_zoo.checks import number
from gan_zoo.errors import UserError
from gan_zoo.gan import GAN
from gan_zoo.losses import density_ratio, hinge_discriminator, wasserstein_discriminator, wasserstein_generator


class KLWGAN(GAN):
    """Wasserstein GAN with importance weights on the samples, at the price of their KL divergence from 1.

    Song and Ermon (2020). With r = D(x), f = D(G(z)) and weights w >= 0 of mean 1, one for each sample, the game is

        min_G max_D min_w  E[r] - E[w f] + T E[w log w]

    w has a closed form, w = exp(f / T) / E[exp(f / T)], the mean being over the whole batch of all replicas, and each
    player's loss is its part of the game at that w:

        L_D = E[w f] - E[r]                                "linear"
        L_D = E[max(0, 1 - r)] + E[max(0, 1 + w f)]        "hinge", the authors' code
        L_G = -E[w f]

    Why: put w back in, and D maximises E[r] - T log E[exp(f / T)]. With T = 1 that is the bound of Donsker and Varadhan
    on KL(data || samples), tight where w is the ratio of their densities; as T grows, w tends to 1 and the game to
    WGAN's. So this is an f-GAN, which knows the density ratio, and a WGAN, whose critic may be Lipschitz, in one.
    Samples that D finds real weigh more: G gets most of its gradient from them.

    By the envelope theorem, w is a constant of either player's gradient: at its minimum, the game does not depend on it
    to first order. The default form takes it so; its gradient with "linear" is exactly that of the bound. The authors'
    code differentiates through w, which adds a covariance term, and is the form "published". The losses' values are the
    same.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: The critic: maps images, [B, H, W, C], to scores, [B, 1].
        temperature: T, in units of the scores. Defaults to 1, as in the authors' 2-D code.
        form: "stop_gradient", w is a constant of the gradient, or "published", it is not. Defaults to "stop_gradient".
        objective: D's loss, "hinge" or "linear". Defaults to "hinge", as in the authors' code.
        n_critic: Critic steps per generator step. Defaults to 5, as in the authors' 2-D code.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If there is no such form or objective, or the temperature is not above 0.

    Differs from the authors' code: the default form, see above; each of D's steps sees a fresh minibatch; the
    perceptrons of `for_points` have no spectral normalization.

    References:
        Song and Ermon, 2020, https://arxiv.org/abs/1910.09779
        Authors' code, https://github.com/ermongroup/f-wgan
    """

    discriminator_norm = "spectral"

    def __init__(
        self,
        generator,
        discriminator,
        *,
        temperature=1.0,
        form="stop_gradient",
        objective="hinge",
        n_critic=5,
        **kwargs,
    ):
        super().__init__(generator, discriminator, n_critic=n_critic, **kwargs)
        if form not in ("stop_gradient", "published"):
            raise UserError(f"form must be 'stop_gradient' or 'published', not {form!r}.")
        if objective not in ("hinge", "linear"):
            raise UserError(f"objective must be 'hinge' or 'linear', not {objective!r}.")
        self.temperature = number("temperature", temperature, positive=True)
        self.form = form
        self.objective = objective

    def default_optimizer(self, player):
        # The authors' 2-D code. The decay is the default of its optimizer; Keras's own is 0.9.
        return optimizers.RMSprop(2e-4, rho=0.99, epsilon=1e-8)

    def weighted(self, fake):
        """w f for the scores f, [B, 1]."""
        w = density_ratio(fake, self.temperature)
        return (tf.stop_gradient(w) if self.form == "stop_gradient" else w) * fake

    def discriminator_loss(self, x, z):
        real, fake = self.D(x, self.G(z))
        loss = hinge_discriminator if self.objective == "hinge" else wasserstein_discriminator
        return loss(real, self.weighted(fake))

    def generator_loss(self, x, z):
        return wasserstein_generator(self.weighted(self.D(self.G(z))))
