"""Feature matching: the generator matches the mean of the discriminator's features."""

from gan_zoo.cross_entropy import CrossEntropyGAN
from gan_zoo.losses import cross_entropy_discriminator, feature_matching
from gan_zoo.nn import optimizers


class FeatureMatchingGAN(CrossEntropyGAN):
    """GAN whose generator matches statistics of the data instead of maximising D's score.

    Section 3.1 of Salimans et al. (2016). With f the activations of D's last hidden layer,

        L_D = -E[log s(D(x))] - E[log(1 - s(D(G(z))))]
        L_G = ||E f(x) - E f(G(z))||_2^2

    Why: a G that maximises D's score moves all samples to where the current D is highest, and has to move them again
    when D changes. The features are what D finds most different between data and samples. A G that matches their means
    has a fixed target, the statistics of the data. The target does not ask for single samples that D accepts, so G does
    not overtrain on the current D. If the samples have the distribution of the data, L_G is 0.

    The means are over the whole batch of all replicas, and x in L_G is the minibatch of D's last turn. The gradient
    reaches G only. Every variant takes this term in addition to its own loss: `feature_matching=w` of `GAN`.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to raw scores, [B, 1]. Its features are those of
            `gan_zoo.networks.features`: the output of the layer "features".
        **kwargs: As for `GAN`, and `real_label`: see `gan_zoo.cross_entropy`.

    Differs from the authors' code: it takes the squared norm, as in the paper; their scripts average squares (MNIST) or
    absolute values (CIFAR-10) over the features. Their D also has noise, dropout and weight normalization.

    References:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498
        Authors' code, https://github.com/openai/improved-gan
    """

    def default_optimizer(self, player):
        return optimizers.Adam(3e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def discriminator_loss(self, x, z):
        return cross_entropy_discriminator(*self.D(x, self.G(z)), self.real_label)

    def generator_loss(self, x, z):
        return feature_matching(self.features(x), self.features(self.G(z)))
