"""Base class of GANs whose discriminator minimises a cross entropy."""

from gan_zoo.gan import GAN
from gan_zoo.util.checks import number
from gan_zoo.util.errors import UserError


class CrossEntropyGAN(GAN):
    """A GAN whose D is a classifier with the loss `losses.cross_entropy_discriminator(real, fake, self.real_label)`.

    Args:
        *args: Arguments of `GAN`.
        real_label: D's target for real examples, alpha, above 0 and at most 1. Below 1 it is one-sided label smoothing,
            Salimans et al. (2016), Section 3.4: s(D(x)) is at most about alpha, so D is never certain of real examples.
            The target of generated examples stays 0. Defaults to 1; the paper names 0.9.
        **kwargs: Arguments of `GAN`.

    Raises:
        UserError: If `real_label` is not in (0, 1].

    References:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498
    """

    def __init__(self, *args, real_label: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.real_label = number("real_label", real_label, positive=True)
        if self.real_label > 1:
            raise UserError(f"real_label must be above 0 and at most 1, not {real_label!r}.")
