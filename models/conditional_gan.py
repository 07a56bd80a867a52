"""Conditional GAN: the game of Goodfellow et al. (2014) for each label."""

import dataclasses

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.networks.builder import EVERY_LAYER


class ConditionalGAN(CrossEntropyGAN):
    """Conditional generative adversarial nets.

    Equation 2 of Mirza & Osindero (2014): both networks get the label y, and play the game of Goodfellow et al. (2014)
    on pairs. With s the sigmoid,

        L_D = -E[log s(D(x, y))] - E[log(1 - s(D(G(z, y), y)))]
        L_G = -E[log s(D(G(z, y), y))]

    y is the label of the real example in both pairs: the labels of generated examples have the distribution of the
    data, and D sees no real example with another example's label. D learns that a pair is generated if x does not look
    like data, or not like data of the class y. So it teaches G both.

    Other classes of the zoo also take labels. What is special here is where they enter the networks: the one-hot label
    is joined to the input of every layer of G and D, as vector or as constant maps, as in the code of DCGAN for MNIST
    (`condition="every_layer"`). With `network="maxout"` the networks are the paper's own perceptrons, where z and y, or
    x and y, each have a layer of their own before a joint one.

    Args:
        generator: Maps (z, y), [B, Z] and labels int32, [B], to images, [B, H, W, C] in [-1, 1], or points, [B, D].
        discriminator: Maps (x, y) to raw scores, [B, 1].
        prior: p(z). Defaults to "uniform", as in the paper, here on [-1, 1].
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`; `classes` is required.

    Raises:
        UserError: If `classes` is missing.

    Differs from the paper: it prints the minimax game; G's loss is the non-saturating one of Goodfellow et al. (2014).
    The optimizer is DCGAN's Adam instead of gradient descent with momentum, and there is no dropout. In the generator
    of `network="dcgan"`, z and y each have a first layer of their own, which are normalized separately: see
    `gan_zoo.networks.dcgan`.

    References:
        Mirza & Osindero, 2014, https://arxiv.org/abs/1411.1784
        Code of DCGAN for MNIST, https://github.com/Newmu/dcgan_code
    """

    takes_labels = "required"

    def __init__(self, generator, discriminator, *, prior="uniform", **kwargs):
        super().__init__(generator, discriminator, prior=prior, **kwargs)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))

    @classmethod
    def build_networks(cls, builder):
        """A generator and a discriminator, by default with labels at every layer, or joined if the family has none."""
        default = "every_layer" if builder.network in EVERY_LAYER else "concat"
        return super().build_networks(dataclasses.replace(builder, condition=builder.condition or default))
