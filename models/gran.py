"""GRAN: a recurrent generator that draws an image in several steps on one canvas."""

import tensorflow as tf

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.networks import activations, canvas
from gan_zoo.nn import optimizers
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.util.checks import whole
from gan_zoo.util.errors import UserError


class GRAN(CrossEntropyGAN):
    """Generative recurrent adversarial network.

    Im et al. (2016). The game is the non-saturating one of Goodfellow et al. (2014), and the generator is recurrent. In
    T steps, which share their weights, a decoder f adds increments C_t to a canvas, and an encoder g reads the last
    increment:

        h_z = tanh(W_z z),  h_c,1 = 0
        C_t = f([h_z, h_c,t]),  h_c,t+1 = tanh(W_c g(C_t))
        G(z) = tanh(C_1 + ... + C_T)

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))]
        L_G = -E[log s(D(G(z)))]

    Why: images of high quality can be made by gradient descent on the pixels, so that the features of a network match
    those of a reference. Such a descent, unrolled, is a recurrent network: an encoder computes features, a decoder
    carries a gradient back to the pixels, and the canvas sums the steps. GRAN learns both. The generator need not draw
    an image at once: it may correct what it has drawn. The same z enters each step. With T = 1 it is a plain generator.

    `gan_zoo.metrics.battle` compares two models as the paper does, by letting each discriminator judge the other's
    samples.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1], or points, [B, D]: a network of
            `gan_zoo.networks.canvas` with `time_steps` steps.
        discriminator: Maps images or points to raw scores, [B, 1].
        time_steps: T. Defaults to 3; the paper compares 1, 3 and 5.
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Raises:
        UserError: If T is not a whole number from 1 up, or not that of the generator.

    Differs from the paper: images are in [-1, 1], so G ends in tanh(a) = 2 s(2 a) - 1 instead of a sigmoid s. Batch
    normalization is separate for each step, and samples use moving statistics. The authors' code always uses those of
    the batch. Decoder, encoder and discriminator have the layers of DCGAN, and the optimizer is Adam with the rates of
    the authors' code. Points have perceptrons, whose canvas has no tanh.

    References:
        Im et al., 2016, https://arxiv.org/abs/1602.05110
        Authors' code, https://github.com/jiwoongim/GRAN
    """

    def __init__(self, generator, discriminator, *, time_steps=3, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.time_steps = whole("time_steps", time_steps, 1)
        found = [layer.name for layer in generator.layers]
        if canvas.name_of(time_steps) not in found or canvas.name_of(time_steps + 1) in found:
            raise UserError(
                f"time_steps={time_steps} is not that of the generator: build it with gan_zoo.networks.canvas for as "
                f"many steps, or the model with GRAN.for_images or GRAN.for_points."
            )

    def default_optimizer(self, player):
        return optimizers.Adam(4e-5 if player == "discriminator" else 1e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        return non_saturating_generator(self.D(self.G(z)))

    def canvases(self, z):
        """The canvas after each step, [T, B, H, W, C] or [T, B, D], in inference mode: the last one is the sample."""
        shape, found = self.generator.output_shape, []
        for step in range(1, self.time_steps + 1):
            total = at_least_float32(activations.at(self.generator, z, canvas.name_of(step), training=False))
            found.append(tf.reshape(tf.tanh(total) if len(shape) > 2 else total, [-1, *shape[1:]]))
        return tf.stack(found)

    @classmethod
    def build_networks(cls, builder, time_steps=3):
        """A generator with a canvas, of convolutions or perceptrons, and the discriminator of the same family."""
        if builder.network not in ("dcgan", "mlp"):
            raise UserError(f"network={builder.network!r} cannot draw on a canvas: GRAN takes dcgan or mlp.")
        sizes = (builder.shape, builder.latent_dim, builder.width, whole("time_steps", time_steps, 1))
        if builder.network == "dcgan":
            own = {"norm": builder.g_norm, "prior": builder.prior, "kernel_size": builder.kernel_size}
            generator = canvas.convolutional(*sizes, classes=builder.classes, **own)
        elif builder.g_norm:
            raise UserError(f"g_norm={builder.g_norm!r}: GRAN's perceptrons have no normalization: leave g_norm out.")
        else:
            generator = canvas.perceptron(*sizes, depth=builder.depth, classes=builder.classes)
        return {"generator": generator, "discriminator": builder.discriminator()}
