"""Primal-dual GAN: the generator also corrects its density at the data points."""

import math

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.losses import cross_entropy_discriminator, kernel_density, mean, minimax_generator, softplus
from gan_zoo.nn.image_leaves import images_of
from gan_zoo.replicas.distribution import whole_batch
from gan_zoo.util.checks import number


class PrimalDualGAN(GAN):
    """GAN trained by a primal-dual subgradient method.

    Chen, Wang & Ge (2018). With f0(t) = log s(t) and f1(t) = log(2 (1 - s(t))) = log(2 s(-t)) for raw scores t,

        L_D = -E[f0(D(x))] - E[f1(D(G(z)))]
        L_G =  E[f1(D(G(z)))] + w 1/m sum_i (p~(x_i) - p_g(x_i))^2

        p_g(x_i) = mean_j k(G(z_j) - x_i),  k(u) = exp(-||u||^2 / (2 sigma^2))
        p~(x_i)  = p_g(x_i) - alpha f1(D(x_i)), a constant in the gradient

    Why: D's outputs are the variables of a convex program, max sum p_data(x) f0(D(x)) subject to f1(D(x)) >= 0. The
    constraint says that D's probability is at most 1/2. The game's objective is the Lagrangian of this program, and
    p_g(x) is the multiplier of the constraint at x. A subgradient method moves each multiplier by -alpha f1(D(x)), that
    is, upward where D's probability is above 1/2. The first term of L_G does this only where G already has samples. At
    a mode of the data that G misses, D is certain and p_g should grow, but no sample gets a gradient from there. The
    second term provides it: it pulls a kernel estimate of the density at the data points to the value that the
    subgradient method would give it.

    At the weights where the penalty is computed, its value is alpha^2 mean f1(D(x_i))^2 for any p_g. Its gradient,
    2 alpha mean_i f1(D(x_i)) grad p_g(x_i), is what trains G.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1], or points.
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1].
        alpha: Step size of the subgradient method. Defaults to 0.1. With 0 the game is the minimax game.
        sigma: Width of the kernel, in the units of x. Samples further than a few sigma from all x_i get no gradient.
            Defaults to 1; for points, start with 3 to 10 times the width of a mode. Distances between images are
            large: the distance of two random images in [-1, 1] grows with the square root of H W C.
        normalized: Whether k has the factor (2 pi sigma^2)^(-d/2) of a density in d dimensions. Defaults to False,
            because for images the factor is outside the range of float32.
        penalty_weight: w. Defaults to 1.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If sigma is not above 0, or if another number is not finite or is below 0.

    Logs:
        penalty: The mean of (p~ - p_g)^2, without its weight.

    Differs from the paper: the paper does not specify the kernel, its width and the step, and no code of the authors is
    known. These and the optimizers are choices of this library. Distances are between images, not features.

    References:
        Chen, Wang & Ge, 2018, https://arxiv.org/abs/1802.01765
    """

    def __init__(
        self, generator, discriminator, *, alpha=0.1, sigma=1.0, normalized=False, penalty_weight=1.0, **kwargs
    ):
        super().__init__(generator, discriminator, **kwargs)
        self.alpha = number("alpha", alpha, least=0)
        self.sigma = number("sigma", sigma, positive=True)
        self.normalized = normalized
        self.penalty_weight = number("penalty_weight", penalty_weight, least=0)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z))) - math.log(2.0)

    def generator_loss(self, x, z):
        samples = self.G(z)
        real, fake = self.D(x, samples)
        constraint = whole_batch(math.log(2.0) - softplus(tf.reshape(real, [-1])))  # f1 at all replicas' x
        density = kernel_density(images_of(samples), whole_batch(images_of(x)), self.sigma, self.normalized)
        target = tf.stop_gradient(density - self.alpha * constraint)
        penalty = mean(tf.square(target - density))
        self.record("penalty", penalty)
        return minimax_generator(fake) + math.log(2.0) + self.penalty_weight * penalty
