"""Semi-supervised GAN: the discriminator classifies, and a few labels suffice; the generator matches its features."""

import tensorflow as tf

from gan_zoo.gan import GAN
from gan_zoo.keras_model.few_labels import Classifies
from gan_zoo.losses import feature_matching, mean, softplus
from gan_zoo.nn import optimizers
from gan_zoo.util.checks import number


class SemiSupervisedGAN(Classifies, GAN):
    """Semi-supervised GAN with feature matching.

    Sections 3.1 and 5 of Salimans et al. (2016). D returns logits l_1, ..., l_K of the K classes of the data. The class
    of samples is a further one whose logit is 0, so D(x) = log sum_k exp l_k(x) is the logit of "real":

        L_D = -E[log s(D(x))] / 2 - E[log(1 - s(D(G(z))))] / 2 + lambda CE
        L_G = ||E[f(x)] - E[f(G(z))]||^2

        CE = -E[log p(y_l | x_l)],  p(k | x) = exp l_k / sum_j exp l_j,  f: the activations before D's last layer

    The halves are those of the authors' code: each unlabelled term weighs half of the labelled one.

    Why: a classifier of a few examples has many borders that fit them. Here it must also place the unlabelled examples
    in one of the classes and samples in none. Samples near the data keep the borders away from the data. Feature
    matching makes imperfect samples on purpose, which classifiers learn more from: Section 5.

    The data are dictionaries with a few labelled examples: see `gan_zoo.keras_model.few_labels`. With examples alone,
    CE is left out, and D separates data from samples only. `classify(x)` and `class_probabilities(x)` use the trained
    model. The means of features are over the whole batch of all replicas.

    Args:
        generator: Maps z, [B, Z], to images, [B, H, W, C] in [-1, 1].
        discriminator: Maps images, [B, H, W, C], to logits, [B, K].
        categories: K, the number of classes in the data. Defaults to 10.
        labelled_weight: lambda. Defaults to 1, as in the authors' code.
        prior: That of z. Defaults to "uniform".
        **kwargs: As for `GAN`. The paper's discriminator for MNIST has noise on its input: instance_noise=0.3.

    Raises:
        UserError: If K is less than 2, or the weight is below 0.

    Logs:
        unlabelled_loss: L_D without the labelled term.
        labelled_loss, labelled_accuracy: CE, and the share of labelled examples in their class, with labels.

    Differs from the paper: the networks are this library's, without weight normalization and without noise inside of D.
    z is from U[-1, 1] instead of U[0, 1]. The authors' code for CIFAR-10 takes the mean absolute difference of the
    features, and that for MNIST the mean square.

    References:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498
        Authors' code, https://github.com/openai/improved-gan
    """

    def __init__(self, generator, discriminator, *, labelled_weight=1.0, prior="uniform", **kwargs):
        super().__init__(generator, discriminator, prior=prior, **kwargs)
        self.labelled_weight = number("labelled_weight", labelled_weight, least=0)

    def default_optimizer(self, player):
        return optimizers.Adam(3e-4, beta_1=0.5, beta_2=0.999, epsilon=1e-8)

    def score(self, x):
        """The logits of "real" of examples x in inference mode, [B, 1]."""
        return tf.reduce_logsumexp(self.logits(x), axis=-1, keepdims=True)

    def discriminator_loss(self, x, z):
        x, labelled, labels = self.parts(x)
        real, fake = (tf.reduce_logsumexp(logits, axis=-1) for logits in self.D(x, self.G(z)))
        loss = 0.5 * mean(softplus(-real)) + 0.5 * mean(softplus(fake))
        self.record("unlabelled_loss", loss)
        return loss if labels is None else loss + self.labelled_weight * self.labelled_loss(labelled, labels)

    def generator_loss(self, x, z):
        x, _, _ = self.parts(x)
        return feature_matching(self.features(x), self.features(self.G(z)))
