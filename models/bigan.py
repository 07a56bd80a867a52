"""BiGAN: a GAN with an encoder, whose discriminator sees pairs of an image and a code."""

import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator


class BiGAN(CrossEntropyGAN):
    """Bidirectional GAN.

    Equation 3 of Donahue et al. (2017). D sees pairs: images with their codes, or samples with their latents. With
    r = D(x, E(x)) and f = D(G(z), z),

        L_D = -E[log s(r)] - E[log(1 - s(f))]
        L_G,E = -E[log s(f)] - E[log(1 - s(r))]

    Why: D can tell the pairs apart unless their joint distributions are equal. Then E is the inverse of G: G(E(x)) = x
    and E(G(z)) = z, although no loss compares images with their reconstructions. So a reconstruction resembles its
    image in what D looks at, not in each pixel.

    G and E are one player, "generator". E has gradients from r only, and G from f only. Both players move at the same
    time, from the same weights, as in the authors' code.

    E(x) has the range of the prior: for "uniform" it is 2 s(e(x)) - 1 for the network's output e(x), and for "normal"
    e(x) itself. A code outside of the prior's range would show D at once that the pair is real.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps pairs of images, [B, H, W, C], and latents, [B, Z], to raw scores, [B, 1]: see
            `gan_zoo.networks.joint`.
        encoder: e, maps images, [B, H, W, C], to [B, Z], without an activation at its end.
        prior: p(z). Defaults to "uniform", as in the authors' code.
        simultaneous: Whether both players move at the same time. Defaults to True, as in the authors' code.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`. `instance_noise`, `augmentation` and
            `penalties` act on the images of the pairs, not on the codes.

    Differs from the paper: the networks, but the perceptron for pairs is like the paper's for MNIST. Differs from the
    authors' code: it has half of each loss, which changes nothing for Adam. No weight decay, no decay of the rate.

    References:
        Donahue et al., 2017, https://arxiv.org/abs/1605.09782
        Authors' code, https://github.com/jeffdonahue/bigan
    """

    averaged = ("generator", "encoder")
    takes_labels = "never"

    def __init__(self, generator, discriminator, encoder, *, prior="uniform", simultaneous=True, **kwargs):
        super().__init__(generator, discriminator, prior=prior, simultaneous=simultaneous, **kwargs)
        self.encoder = encoder

    @property
    def generator_variables(self):
        return [*self.generator.trainable_variables, *self.encoder.trainable_variables]

    def code_of(self, x, training=False):
        code = super().code_of(x, training)
        return tf.tanh(0.5 * code) if self.prior == "uniform" else code  # 2 s(e) - 1

    def discriminator_inputs(self, x, z):
        return (x, self.code_of(x, training=True)), (self.G(z), z)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(*self.discriminator_inputs(x, z)), self.real_label)

    def generator_loss(self, x, z):
        return cross_entropy_discriminator(*reversed(self.D(*self.discriminator_inputs(x, z))))

    @classmethod
    def build_networks(cls, builder):
        """A generator and an encoder of the family, and a discriminator of pairs."""
        networks = {"generator": builder.generator(), "discriminator": builder.joint_discriminator()}
        return {**networks, "encoder": builder.encoder(builder.latent_dim)}
