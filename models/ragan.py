"""RaGAN: the relativistic average discriminator."""

from gan_zoo.gan import GAN
from gan_zoo.losses import OBJECTIVES, relativistic_average
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.penalties import gradient_penalty, interpolate
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class RaGAN(GAN):
    """Relativistic average GAN: D compares each example's score to the mean score of the other kind.

    Section 4.2 and Algorithm 2 of Jolicoeur-Martineau (2019). With r = D(x) and f = D(G(z)),

        L_D = E[h(r - E f)] + E[l(f - E r)]
        L_G = E[h(f - E r)] + E[l(r - E f)]

        h(t), l(t) = -log s(t), -log(1 - s(t))         "standard": RaSGAN
        h(t), l(t) = (t - 1)^2, (t + 1)^2              "least_squares": RaLSGAN
        h(t), l(t) = max(0, 1 - t), max(0, 1 + t)      "hinge": RaHingeGAN

    The inner means are over the whole batch of all replicas. With gp_weight = 10 the loss of D is
    L_D + lambda E[(||grad D(x_hat)||_2 - 1)^2], with the penalty of WGAN-GP; this is the paper's RaSGAN-GP. D may not
    use batch normalization then (`norm="none"` or "spectral").

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        objective: h and l. Defaults to "standard".
        gp_weight: lambda. Defaults to 0, no penalty.
        reduction: How to combine the two expectations: "sum", as in the paper, or "mean", as in the author's code,
            which doubles the relative weight of a penalty. Defaults to "sum".
        **kwargs: As for `GAN`.

    Raises:
        UserError: If there is no such objective or reduction, or if the weight is below 0.

    Differs from the author's code: G's turn uses the real minibatch of D's last turn; the code draws a new one.

    References:
        Jolicoeur-Martineau, 2019, https://arxiv.org/abs/1807.00734
        Author's code, https://github.com/AlexiaJM/RelativisticGAN
    """

    score_threshold = None
    gradient_penalty_argument = "gp_weight"

    def __init__(self, generator, discriminator, *, objective="standard", gp_weight=0.0, reduction="sum", **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        if objective not in OBJECTIVES:
            raise UserError(f"objective must be one of {', '.join(OBJECTIVES)}, not {objective!r}.")
        if reduction not in ("sum", "mean"):
            raise UserError(f"reduction must be 'sum' or 'mean', not {reduction!r}.")
        self.objective = objective
        self.gp_weight = number("gp_weight", gp_weight, least=0)
        self.reduction = reduction

    def relativistic_loss(self, higher, lower):
        """The loss: small if `higher` are above the mean of `lower`, and `lower` are below the mean of `higher`."""
        loss = relativistic_average(higher, lower, self.objective)
        return loss if self.reduction == "sum" else 0.5 * loss

    def discriminator_loss(self, x, z):
        fake = self.G(z)
        loss = self.relativistic_loss(*self.D(x, fake))
        if self.gp_weight:
            penalty = gradient_penalty(self.D, interpolate(x, fake, self.random.uniform([batch_size(x)])))
            self.record("penalty", penalty)
            loss += self.gp_weight * penalty
        return loss

    def generator_loss(self, x, z):
        return self.relativistic_loss(self.D(self.G(z)), self.D(x))
