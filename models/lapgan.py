"""LAPGAN: one GAN for each level of a Laplacian pyramid, from coarse images to fine details."""

from collections.abc import Sequence

from gan_zoo.losses import cross_entropy_discriminator, non_saturating_generator
from gan_zoo.model import GenerativeModel
from gan_zoo.networks import pyramid
from gan_zoo.nn.precision import at_least_float32
from gan_zoo.players import Player
from gan_zoo.util.errors import UserError

Levels = str | int | Sequence[int]


class LAPGAN(GenerativeModel):
    """Laplacian pyramid of generative adversarial networks.

    Denton et al. (2015). Let d halve and u double the side of an image, both fixed and smooth. An image I_k of a level
    is the sum of a coarse part l and the details h that the level adds:

        l = u(d(I_k)),  h = I_k - l

    The coarsest level, 8 x 8 or 14 x 14 pixels, has a plain GAN. Every finer level has a conditional GAN of h given l,
    in which D sees h + l. With s the sigmoid, each level k has the losses

        L_D = -1/2 E[log s(D_k(h, l))] - 1/2 E[log(1 - s(D_k(G_k(z_k, l), l)))]
        L_G = -E[log s(D_k(G_k(z_k, l), l))]

    A sample begins with the coarsest generator, and each level adds its details:

        I_k = u(I_k-1) + G_k(z_k, u(I_k-1))

    Why: natural images have structure at all scales, and a network finds it hard to learn all of them at once. Given
    the coarse image, the details are a small problem. In training, l comes from data. So the levels depend on nothing
    but the data, and may be trained apart: this class trains all of them in one step, as 2 K players named
    "discriminator_8", "generator_8", "discriminator_16" and so on.

    Args:
        generator: The generators of all levels: a `gan_zoo.networks.pyramid.PyramidGenerator`, which maps z, [B, Z], to
            images, [B, H, W, C], about in [-1, 1] (the last activation is linear).
        discriminator: The discriminators of all levels: a `gan_zoo.networks.pyramid.PyramidDiscriminator`.
        levels: Sides of the levels that train: "all", the default, or some of them, such as "16,32" or [16, 32]. The
            others keep their weights.
        prior: p(z). Defaults to "uniform", as in the authors' code.
        latent_dim: Size of the coarsest level's part of z. Each finer level has one number for each pixel, so Z is
            128 + 16^2 + 32^2 = 1408 for images of 32 x 32 pixels and the default 128.
        **kwargs: As for `GenerativeModel`.

    Raises:
        UserError: If there is no such level, if the networks are not those of a pyramid, or if `latent_dim` is not that
            of the generator.

    Differs from the paper: the coarsest level has convolutional networks instead of perceptrons (see
    `gan_zoo.networks.pyramid`). Images have any side 8 * 2^k or 14 * 2^k; the paper trains on crops of 28 x 28 of
    CIFAR-10, from 8 pixels. Pixels are in [-1, 1] instead of standardised, u and d are linear interpolation and the
    mean of 2 x 2 pixels, and D has no dropout. The optimizer is DCGAN's Adam; the authors use gradient descent with
    momentum.

    References:
        Denton et al., 2015, https://arxiv.org/abs/1506.05751
        Authors' code, https://github.com/facebook/eyescream
    """

    kinds = ("image",)
    discriminator_norm = "none"

    def __init__(self, generator, discriminator, *, levels: Levels = "all", prior="uniform", latent_dim=None, **kwargs):
        networks = {"generator": generator, "discriminator": discriminator}
        _check(generator, discriminator, latent_dim)
        super().__init__(networks, prior=prior, latent_dim=generator.latent_dim, **kwargs)
        self.levels = _parse(levels, generator.sides)

    @property
    def latent_size(self):
        return sum(self.generator.parts)

    def players(self):
        """The discriminator and the generator of each level that trains, coarsest first."""
        return [player for k in _trained(self) for player in _players(self, k)]

    def discriminator_loss(self, x, z, k):
        """L_D of level k, 0 for the coarsest, on a minibatch x and latents z."""
        real, given, part = _at_level(self, x, z, k)
        fake = self.generator.at(k, *part, *given, training=True)
        return 0.5 * cross_entropy_discriminator(*(self._scores(k, h, given) for h in (real, fake)))

    def generator_loss(self, x, z, k):
        """L_G of level k, 0 for the coarsest, on a minibatch x and latents z."""
        _, given, part = _at_level(self, x, z, k)
        fake = self.generator.at(k, *part, *given, training=True)
        return non_saturating_generator(self._scores(k, fake, given))

    def _scores(self, k, details, given):
        return at_least_float32(self.discriminator.at(k, details, *given, training=True))

    def pyramid(self, z):
        """The samples for z, [B, Z], or (z, y), at all levels in inference mode: a list, coarsest first."""
        return self.generator.pyramid(z)

    @classmethod
    def build_networks(cls, builder):
        """The networks of a pyramid, whatever the size of the images."""
        for name in ("network", "condition", "g_norm", "kernel_size", "minibatch_discrimination"):
            value = getattr(builder, name)
            if value not in ("dcgan", None, False):
                raise UserError(f"{name}={value!r}: LAPGAN has networks of its own for each level: leave {name} out.")
        shape, width, classes = builder.shape, builder.width, builder.classes
        made = pyramid.generator(shape, builder.latent_dim, width, classes)
        return {"generator": made, "discriminator": pyramid.discriminator(shape, width, builder.norm, classes)}


def _trained(model: LAPGAN) -> list[int]:
    """The indices of the levels that train."""
    asked = model.levels.split(",")
    return [k for k, side in enumerate(model.generator.sides) if model.levels == "all" or str(side) in asked]


def _players(model: LAPGAN, k: int) -> list[Player]:
    """The two players of level k, 0 for the coarsest."""
    side, found = model.generator.sides[k], []
    for name, loss in (("discriminator", model.discriminator_loss), ("generator", model.generator_loss)):
        variables = getattr(model, name).levels[k].trainable_variables
        found.append(Player(f"{name}_{side}", lambda x, z, loss=loss: loss(x, z, k), variables))
    return found


def _at_level(model: LAPGAN, x, z, k: int):
    """What level k of a model is trained on.

    Returns:
        The details h of a minibatch x, or at the coarsest level the images themselves, [B, H, W, C]; the list of what
        both networks are given, l and the labels where there are any; and z_k in a list.
    """
    images, labels = (x, []) if model.classes is None else (x[0], [x[1]])
    z = z if model.classes is None else z[0]
    sides = model.generator.sides
    found = pyramid.levels_of(images, len(sides))
    part = [model.generator.split(z)[k]]
    if k == 0:
        return found[0], labels, part
    coarse = pyramid.upsample(found[k - 1])
    return found[k] - coarse, [coarse, *labels], part


def _check(generator, discriminator, latent_dim) -> None:
    kinds = (pyramid.PyramidGenerator, pyramid.PyramidDiscriminator)
    for network, kind in zip((generator, discriminator), kinds, strict=True):
        if not isinstance(network, kind):
            raise UserError(
                f"LAPGAN takes networks of gan_zoo.networks.pyramid, not a {type(network).__name__}: build it with "
                f"LAPGAN.for_images."
            )
    if latent_dim not in (None, generator.latent_dim):
        raise UserError(
            f"latent_dim must be {generator.latent_dim}, the size of the coarsest level's latents in this generator, "
            f"not {latent_dim!r}."
        )


def _parse(levels, sides: list[int]) -> str:
    """The argument `levels` as a text: "all", or sides with commas between them."""
    parts = levels.split(",") if isinstance(levels, str) else [levels] if isinstance(levels, int) else levels
    asked = {str(part).strip() for part in parts}
    if asked == {"all"}:
        return "all"
    known = [str(side) for side in sides]
    if not asked or not asked <= set(known):
        raise UserError(f"levels must be 'all' or some of the sides {', '.join(known)}, not {levels!r}.")
    return ",".join(side for side in known if side in asked)
