"""RGAN: the paired relativistic discriminator."""

from gan_zoo.gan import GAN
from gan_zoo.losses import OBJECTIVES, relativistic
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.penalties import gradient_penalty, interpolate
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class RGAN(GAN):
    """Relativistic GAN: D compares the score of each real example to that of a generated one.

    Section 4.1 of Jolicoeur-Martineau (2019). With r = D(x) and f = D(G(z)) paired by index,

        L_D = E[h(r - f)],  L_G = E[h(f - r)]

        h(t) = -log s(t)         "standard": RSGAN
        h(t) = (t - 1)^2         "least_squares"
        h(t) = max(0, 1 - t)     "hinge"

    With gp_weight = 10 the loss of D is L_D + lambda E[(||grad D(x_hat)||_2 - 1)^2], with the penalty of WGAN-GP; this
    is the paper's RSGAN-GP. D may not use batch normalization then (`norm="none"` or "spectral").

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        objective: h. Defaults to "standard".
        gp_weight: lambda. Defaults to 0, no penalty.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If there is no such objective, or if the weight is below 0.

    Differs from the author's code: G's turn uses the real minibatch of D's last turn; the code draws a new one.

    References:
        Jolicoeur-Martineau, 2019, https://arxiv.org/abs/1807.00734
        Author's code, https://github.com/AlexiaJM/RelativisticGAN
    """

    score_threshold = None
    gradient_penalty_argument = "gp_weight"

    def __init__(self, generator, discriminator, *, objective: str = "standard", gp_weight: float = 0.0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        if objective not in OBJECTIVES:
            raise UserError(f"objective must be one of {', '.join(OBJECTIVES)}, not {objective!r}.")
        self.objective = objective
        self.gp_weight = number("gp_weight", gp_weight, least=0)

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        loss = relativistic(*self.D(x, fake), self.objective)
        if self.gp_weight:
            penalty = gradient_penalty(self.D, interpolate(x, fake, self.random.uniform([batch_size(x)])))
            self.record("penalty", penalty)
            loss += self.gp_weight * penalty
        return loss

    def generator_loss(self, x, z):
        return relativistic(self.D(self.G(z)), self.D(x), self.objective)
