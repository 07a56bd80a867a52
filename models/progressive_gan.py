"""Progressive GAN: networks that grow with the resolution of the images."""

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.losses import wasserstein_discriminator, wasserstein_generator
from gan_zoo.nn import optimizers
from gan_zoo.nn.image_leaves import batch_size
from gan_zoo.penalties import gradient_penalty, interpolate
from gan_zoo.schedules.growth import Grows
from gan_zoo.util.checks import number


class ProgressiveGAN(Grows, GAN):
    """Progressive growing of GANs.

    Karras et al. (2018). Large images are hard to learn directly. G and D first learn images of 4 x 4 pixels; then each
    stage adds layers to both that double the side of the images. So the networks learn coarse structure before fine
    detail, and most steps are cheap. A new stage fades in, so that the trained layers below do not change abruptly
    (Section 2, figure 2). alpha goes from 0 to 1; up doubles and down halves the side of an image:

        G returns  (1 - alpha) up(old image) + alpha (new image)
        D reads    (1 - alpha) features of down(image) + alpha features of image
        x          is faded in the same way: (1 - alpha) up(down(x)) + alpha x

    The loss is that of WGAN-GP with a drift term, which keeps D's scores near 0 (Appendix A.1). With
    x_hat = e x + (1 - e) G(z),

        L_D = E[D(G(z))] - E[D(x)] + lambda E[(||grad D(x_hat)||_2 - t)^2] / t^2 + epsilon E[D(x)^2]
        L_G = -E[D(G(z))]

    The networks (`gan_zoo.networks.growing`) use equalised learning rates, pixel-wise feature normalization in G and
    the standard deviation over the minibatch in D. With networks that do not grow, this is WGAN-GP with the drift term.
    The callback `gan_zoo.callbacks.Grow` or the method `grow` changes the stage:

        gan = ProgressiveGAN.for_images((64, 64, 3), width=64, latent_dim=512)
        gan.compile()
        schedule = gan.growth(batch_size=16)
        gan.fit(dataset_of_64_pixels, steps_per_epoch=schedule.steps, callbacks=[Grow(schedule)])

    Args:
        generator: Maps z, [B, Z], to images of the current stage, [B, H, W, C], about in [-1, 1] (its last activation
            is linear).
        discriminator: Maps such images to scores, [B, 1].
        gp_weight: lambda. Defaults to 10, Appendix A.1.
        gp_target: t. Defaults to 1; the authors' CIFAR-10 run uses 750.
        drift_weight: epsilon. Defaults to 0.001, Appendix A.1.
        fade_kimg: Thousands of real images over which a stage fades in. Defaults to 600, as in the authors' code; its
            CIFAR-10 run uses 400, its CelebA-HQ run 800.
        stabilize_kimg: Thousands of real images for which the stage then trains. Defaults to 600, as in the authors'
            code.
        batch_sizes: Minibatch sizes by side, {4: 128, 8: 64}; stages without an entry use the run's batch size.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If a weight is not a number from 0 up, or if `gp_target` is not above 0.

    Differs from the paper: x is the dataset's image, averaged down to the side of the stage. The standard deviation is
    that of the whole minibatch, as in the paper; the authors' TensorFlow code uses groups of 4.

    References:
        Karras et al., 2018, https://arxiv.org/abs/1710.10196
        Authors' code, https://github.com/tkarras/progressive_growing_of_gans
    """

    score_threshold = None
    discriminator_norm = "none"
    gradient_penalty_argument = "gp_weight"
    default_network = "growing"

    def __init__(self, generator, discriminator, *, gp_weight=10.0, gp_target=1.0, drift_weight=1e-3, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.gp_weight = number("gp_weight", gp_weight, least=0)
        self.gp_target = number("gp_target", gp_target, positive=True)
        self.drift_weight = number("drift_weight", drift_weight, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        x, fake = self.at_stage(x), self.G(z)
        x_hat = interpolate(x, fake, self.random.uniform([batch_size(x)]))
        penalty = gradient_penalty(self.D, x_hat, self.gp_target) / self.gp_target**2
        real_scores, fake_scores = self.D(x, fake)
        drift = tf.reduce_mean(tf.square(real_scores))
        self.record("penalty", penalty)
        self.record("drift", drift)
        loss = wasserstein_discriminator(real_scores, fake_scores)
        return loss + self.gp_weight * penalty + self.drift_weight * drift

    def generator_loss(self, x, z):
        return wasserstein_generator(self.D(self.G(z)))
