"""EBGAN: the discriminator is an energy, an autoencoder's reconstruction error."""

import math

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.losses import DISTANCES, energy_hinge, mean, pulling_away, reconstruction_error
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class EBGAN(GAN):
    """Energy-based GAN, with an autoencoder for a discriminator.

    CAREFUL, THE SIGN: here D(x) is an ENERGY, LOW for real data. In every other variant D(x) is a score, high for real
    data. `score(x)` is the negative energy, for code that needs scores.

    Equations 1 and 2 of Zhao et al. (2017), with the energy D(x) = ||Dec(Enc(x)) - x||_2 and [t]+ = max(0, t):

        L_D = E[D(x)] + E[[m - D(G(z))]+]
        L_G = E[D(G(z))]  (+ w PT for EBGAN-PT)

        PT = 1 / (N (N - 1)) sum over i != j of cos(S_i, S_j)^2,  S = Enc(G(z))

    Why: an autoencoder that is trained on data reconstructs similar images well and all others badly, so its error
    measures how different an image is from the data. D is such an autoencoder. It also learns to reconstruct samples
    with an error of at least m. The hinge is per sample: a sample whose error is above m has no effect. Every pixel of
    an image trains this D, while a classifier learns one bit from each image. At the equilibrium, samples have the
    distribution of the data, all energies equal one constant between 0 and m, and L_D is m. The pulling-away term makes
    the codes of the samples point in different directions, so the samples cannot all be equal.

    G(z) enters the energy twice, as the autoencoder's input and as its target. Gradients reach G through both.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: The autoencoder: maps images, [B, H, W, C], to a pair (reconstruction, code), [B, H, W, C] and
            [B, ...], see `gan_zoo.networks.autoencoder`. With pt_weight=0 it may return the reconstruction alone.
        margin: m, in units of the distance: a norm of m is an error of m / sqrt(H W C) in every pixel. If the margin
            is too small, D stops teaching G while samples are still bad. If it is larger than the error of any image,
            the hinge never becomes 0. Defaults to 10. The default of `for_images` is an error of 1/3 in every pixel,
            and that of `for_points` is 1.
        pt_weight: w. Defaults to 0; the paper's EBGAN-PT uses 0.1.
        distance: "norm", the Euclidean norm over the whole image, as in the paper, or "mse", the mean squared error
            per pixel, which is at most 4 and needs margins below 1. Defaults to "norm".
        **kwargs: As for `GAN`. With `instance_noise`, the autoencoder's input is the noisy image and its target is the
            clean one. `augmentation` raises an error, because no target would fit.

    Raises:
        UserError: If there is no such distance, if the margin is not above 0, if the weight is below 0, or if PT has a
            weight and D returns no code.

    Logs:
        real_energy, fake_energy: E[D(x)] and E[D(G(z))], in D's turns.
        pulling_away: PT, if it has a weight.

    Differs from the paper: the margins, the generators and the details of the autoencoders are this library's.

    References:
        Zhao et al., 2017, https://arxiv.org/abs/1609.03126
    """

    def __init__(self, generator, discriminator, *, margin=10.0, pt_weight=0.0, distance="norm", **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        if distance not in DISTANCES:
            raise UserError(f"distance must be one of {', '.join(DISTANCES)}, not {distance!r}.")
        self.margin = number("margin", margin, positive=True)
        self.pt_weight = number("pt_weight", pt_weight, least=0)
        self.distance = distance

    def default_optimizer(self, player):
        return optimizers.Adam(1e-3, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def energy(self, x, training=True):
        """The energies of x, [B], low for real data, and the codes of x, [B, ...], or None if D returns no codes."""
        output = self.D(x) if training else self.discriminator(x, training=False)
        reconstruction, code = output if isinstance(output, list | tuple) else (output, None)
        return reconstruction_error(images_of(x), reconstruction, self.distance), code

    def score(self, x):
        """The negative energies of x in inference mode, [B, 1]: high for real data."""
        return -self.energy(x, training=False)[0][:, tf.newaxis]

    def discriminator_loss(self, x, z):
        (real, _), (fake, _) = self.energy(x), self.energy(self.G(z))
        self.record("real_energy", mean(real))
        self.record("fake_energy", mean(fake))
        return energy_hinge(real, fake, self.margin)

    def generator_loss(self, x, z):
        energies, code = self.energy(self.G(z))
        if not self.pt_weight:
            return mean(energies)
        if code is None:
            raise UserError("pt_weight needs a discriminator that returns (reconstruction, code); or set it to 0.")
        pt = pulling_away(code)
        self.record("pulling_away", pt)
        return mean(energies) + self.pt_weight * pt

    @classmethod
    def build_networks(cls, builder):
        """A generator, and an autoencoder as the discriminator."""
        return {"generator": builder.generator(), "discriminator": builder.autoencoder()}

    @classmethod
    def for_images(cls, shape, **kwargs):
        """Like `GAN.for_images`, with an autoencoder of the same width as D and a margin of 1/3 in every pixel."""
        margin = 1 / 9 if kwargs.get("distance") == "mse" else math.prod(shape) ** 0.5 / 3
        return super().for_images(shape, **{"margin": margin, **kwargs})

    @classmethod
    def for_points(cls, dim=2, *, margin=1.0, **kwargs):
        """Like `GAN.for_points`, with an autoencoder of the same size as D."""
        return super().for_points(dim, margin=margin, **kwargs)
