"""CatGAN: the discriminator is a classifier without labels, certain of real examples and uncertain of samples."""

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.keras_model.few_labels import Classifies
from gan_zoo.losses import entropy, marginal_entropy, mean
from gan_zoo.nn import optimizers
from gan_zoo.util.checks import number


class CatGAN(Classifies, GAN):
    """Categorical GAN, unsupervised or semi-supervised.

    Section 3 of Springenberg (2016). D returns the logits of p(y | x) over K categories and no score of real
    and fake. H is the entropy, and marginals are means of p over the minibatch:

        L_D = -H(E[p(y | x)]) + E[H(p(y | x))] - E[H(p(y | G(z)))]  (+ lambda CE for labelled examples)
        L_G = -H(E[p(y | G(z))]) + E[H(p(y | G(z)))]

        CE = -E[log p(y_l | x_l)]

    Why: a good clustering assigns each example to one category with certainty, and uses all categories equally often.
    D maximises this mutual information of x and y on the data, and must be uncertain of samples. So the borders between
    its categories lie where there are no data, and categories become clusters. G makes samples of which D is certain,
    and as many of each category.

    Both entropies of marginals assume categories that are equally frequent in the data. Marginals are means over the
    whole batch of all replicas; a batch of less than a few times K examples cannot use all categories equally.

    The labels of a few examples name the categories and move them to the classes: see `gan_zoo.keras_model.few_labels`.
    `classify(x)` and `class_probabilities(x)` use the trained model.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to logits, [B, K].
        categories: K. Defaults to 10. It may be larger than the number of classes in the data.
        labelled_weight: lambda. Defaults to 1.
        **kwargs: As for `GAN`.

    Raises:
        UserError: If K is less than 2, or the weight is below 0.

    Logs:
        marginal_entropy: H(E[p(y | x)]), at most log K; log K if all categories are equally frequent.
        real_entropy, fake_entropy: E[H(p(y | x))] and E[H(p(y | G(z)))].
        labelled_loss, labelled_accuracy: CE, and the share of labelled examples in their class, with labels.

    Differs from the paper: the networks and the optimizer are this library's. By default D has no batch normalization,
    which the paper's has: its moving averages mix data and samples, so that many examples get a wrong category in
    inference mode. The authors published no code.

    References:
        Springenberg, 2016, https://arxiv.org/abs/1511.06390
    """

    def __init__(self, generator, discriminator, *, labelled_weight=1.0, **kwargs):
        super().__init__(generator, discriminator, **kwargs)
        self.labelled_weight = number("labelled_weight", labelled_weight, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def score(self, x):
        """The certainty of D about examples x in inference mode, -H(p(y | x)), [B, 1]: high for real data."""
        return -entropy(self.logits(x))[:, tf.newaxis]

    def discriminator_loss(self, x, z):
        x, labelled, labels = self.parts(x)
        real, fake = self.D(x, self.G(z))
        terms = {"marginal_entropy": marginal_entropy(real), "real_entropy": mean(entropy(real))}
        terms["fake_entropy"] = mean(entropy(fake))
        for name, value in terms.items():
            self.record(name, value)
        loss = terms["real_entropy"] - terms["marginal_entropy"] - terms["fake_entropy"]
        return loss if labels is None else loss + self.labelled_weight * self.labelled_loss(labelled, labels)

    def generator_loss(self, x, z):
        fake = self.D(self.G(z))
        return mean(entropy(fake)) - marginal_entropy(fake)
