"""KL-WGAN: a Wasserstein critic that weights the samples by an estimate of the density ratio."""

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.losses import density_ratio, hinge_discriminator, wasserstein_discriminator, wasserstein_generator
from gan_zoo.nn import optimizers
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class KLWGAN(GAN):
    """Wasserstein GAN with importance weights on the samples and a KL penalty on these weights.

    Song and Ermon (2020). Let r = D(x) and f = D(G(z)). Each sample has a weight w >= 0, with mean 1. The game is

        min_G max_D min_w  E[r] - E[w f] + T E[w log w]

    The optimal w is w = exp(f / T) / E[exp(f / T)], with the mean over the whole batch of all replicas. Each player's
    loss is its part of the game at that w:

        L_D = E[w f] - E[r]                                "linear"
        L_D = E[max(0, 1 - r)] + E[max(0, 1 + w f)]        "hinge", the authors' code
        L_G = -E[w f]

    Why: with the optimal w, D maximises E[r] - T log E[exp(f / T)]. With T = 1 this is the Donsker-Varadhan bound on
    KL(data || samples), which is tight if w is the ratio of their densities. As T grows, w tends to 1 and the game
    tends to WGAN's. So the method is both an f-GAN, which estimates the density ratio, and a WGAN, whose critic may be
    Lipschitz. Samples with high scores have large weights, so G gets most of its gradient from them.

    By the envelope theorem, w is a constant in the gradient of either player: w minimises the game, so to first order
    the game does not depend on w. The form "stop_gradient" uses this; with "linear", its gradient is exactly that of
    the bound. The authors' code differentiates through w, which adds a covariance term; this is the form "published".
    The values of the losses are the same in both forms.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: The critic: maps images, [B, H, W, C], to scores, [B, 1].
        temperature: T, in units of the scores. Defaults to 1, as in the authors' 2-D code.
        form: "stop_gradient": w is a constant in the gradient; or "published": gradients flow through w. Defaults to
            "stop_gradient".
        objective: D's loss, "hinge" or "linear". Defaults to "hinge", as in the authors' code.
        n_critic: Critic steps per generator step. Defaults to 5, as in the authors' 2-D code.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If there is no such form or objective, or if the temperature is not above 0.

    Differs from the authors' code: the default form, see above; each of D's steps uses a new minibatch; the
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

    @property
    def score_threshold(self):
        return 0.0 if self.objective == "hinge" else None

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
