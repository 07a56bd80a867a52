"""Image datasets of TensorFlow Datasets, by name.

A set that lies prepared in the data folder is read from its files alone, whatever its version, without a look at the
network. Anything else is downloaded and prepared by TFDS's own code.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from gan_zoo.data.images import ImageSet, Record, is_grey
from gan_zoo.data.synthetic import SYNTHETIC
from gan_zoo.data.table import DATASETS, suggest
from gan_zoo.errors import UserError

PROBE_TIMEOUT = 10
"""Seconds that a server has to answer before a download counts as impossible."""

_log = logging.getLogger(__name__)
_BATCH = 256
_COMMUNITY = re.compile(r"\w+:[A-Za-z_]")  # namespace:name, where name:1.0.0 is a version
_FILES_NAMED = 8


def find(name: str, *, split: str, data_dir: str | None) -> ImageSet:
    """Finds a TFDS dataset, preparing it first if it is not there.

    Args:
        name: As TFDS writes it: "celeb_a", "lsun/bedroom", "mnist:3.0.1".
        split: "train", or with TFDS's slicing, "train[:7000]".
        data_dir: Folder of prepared sets. None: `$TFDS_DATA_DIR` or ~/tensorflow_datasets.

    Returns:
        The set.

    Raises:
        UserError: There is no such dataset or split, it holds no images, or it is absent and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    builder = _builder(name, data_dir)
    info = builder.info
    image, label = _features(name, info.features)
    feature = info.features[image]
    part = _split(name, split, info)
    height, width, depth = feature.shape

    def records() -> Iterator[Record]:
        import tensorflow as tf

        wanted = {image: True} | ({label: True} if label else {})
        decoders = tfds.decode.PartialDecoding(wanted, decoders={image: tfds.decode.SkipDecoding()})
        config = tfds.ReadConfig(try_autocache=False)
        index = 0
        try:
            dataset = builder.as_dataset(split=split, decoders=decoders, read_config=config).batch(_BATCH)
            for batch in dataset.prefetch(2).as_numpy_iterator():
                labels = batch[label].tolist() if label else [-1] * len(batch[image])
                for data, y in zip(batch[image].tolist(), labels, strict=True):
                    yield Record(f"example {index}", data, y)
                    index += 1
        except (tf.errors.OpError, OSError) as error:
            raise UserError(
                f"{name}: reading {builder.data_path} failed after {index} of {part.num_examples} examples "
                f"({_first_line(error)}). The files may be an incomplete copy: copy or prepare the set again."
            ) from error

    def channels() -> int:
        if depth is None:
            return 1 if is_grey(next(iter(records())).data) else 3
        return 1 if depth == 1 else 3

    files = [(p.name, p.stat().length, p.stat().mtime) for p in builder.data_path.iterdir()]
    return ImageSet(
        name=name,
        key={
            "source": "tfds",
            "name": info.full_name,
            "split": split,
            "path": str(builder.data_path),
            "files": [list(file) for file in sorted(files)],
        },
        count=part.num_examples,
        records=records,
        channels=channels,
        native=(height, width) if height and width else None,
        class_names=tuple(info.features[label].names) if label else None,
        details={"tfds": info.full_name, "path": str(builder.data_path)},
    )


def _builder(name: str, data_dir: str | None):
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    if data_dir is not None:
        data_dir = data_dir if "://" in data_dir else str(Path(data_dir).expanduser().resolve())
    try:
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except DatasetNotFoundError:
        pass
    except ValueError as error:
        _check_known(name)
        raise UserError(f"dataset {name!r}: {_first_line(error)}") from error

    _check_known(name)
    try:
        builder = tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except Exception as error:
        # TFDS raises whatever it meets for a wrong config or version.
        raise UserError(f"dataset {name!r}: {_first_line(error)}{_config_hint(name)}") from error
    if not builder.data_path.exists():
        _prepare(name, builder)
    return builder


def _check_known(name: str):
    import tensorflow_datasets as tfds

    if Path(name).is_dir() and "/" in name:
        raise UserError(f"{name!r} is a folder: write folder:{name} to train on the images in it.")
    # The list of community sets would be fetched from the network.
    listed = tfds.list_builders(with_community_datasets=False)
    base = re.split("[/:]", name)[0]
    if base not in listed and not _COMMUNITY.match(name):
        hint = suggest(base, [*DATASETS, *SYNTHETIC, *listed])
        raise UserError(
            f"there is no dataset {name!r}.{hint} Use a name of the table (--list), any image dataset of TFDS, "
            "or folder:/path for a folder of images."
        )


def _config_hint(name: str) -> str:
    import tensorflow_datasets as tfds

    base, _, config = name.partition("/")
    with contextlib.suppress(Exception):
        configs = tfds.builder_cls(base).builder_configs
        return suggest(config, configs) if config and config not in configs else ""
    return ""


def _features(name: str, features) -> tuple[str, str | None]:
    """Keys of the image and of the class label among the features of a set."""
    import tensorflow_datasets as tfds

    items = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    # Of several, the one with the usual name; a LabeledImage is a map of classes and not a picture.
    images = [
        key
        for key, feature in items.items()
        if isinstance(feature, tfds.features.Image)
        and not isinstance(feature, tfds.features.LabeledImage)
        and np.dtype(feature.np_dtype) in (np.uint8, np.uint16)
    ]
    labels = [k for k, f in items.items() if isinstance(f, tfds.features.ClassLabel)]
    if not images:
        raise UserError(f"dataset {name!r} has no images to train on; its features are {', '.join(items) or features}.")
    image = "image" if "image" in images else images[0]
    return image, "label" if "label" in labels else next(iter(labels), None)


def _split(name: str, split: str, info):
    known = ", ".join(info.splits)
    try:
        part = info.splits[split]
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"split {split!r} of {name}: {_first_line(error)} It has these splits: {known}.") from error
    if not part.num_examples:
        raise UserError(f"split {split!r} of {name} is empty. It has these splits: {known}.")
    return part


def _prepare(name: str, builder):
    import tensorflow_datasets as tfds

    _log.info("%s is not in %s: TFDS downloads and prepares it there", name, builder.data_dir_root)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        _probe(builder)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False, compute_stats="skip")
        )
    except Exception as error:
        # The code of any dataset, over a network: nothing says what it may raise.
        raise UserError(_cannot_prepare(name, builder, error)) from error


def _probe(builder):
    """Asks each server that is needed for one byte.

    TFDS itself tries again for more than three minutes when a server cannot be reached, and for ever longer when a
    firewall swallows the packets.

    Raises:
        OSError: A server does not answer, or not with the file.
    """
    import requests

    downloads = Path(builder.data_dir_root) / "downloads"
    hosts = {}
    for url, info in (builder.url_infos or {}).items():
        if url.startswith("http") and not _is_here(downloads, url, info):
            hosts.setdefault(urlsplit(url).netloc, url)
    for url in hosts.values():
        with requests.get(url, stream=True, timeout=PROBE_TIMEOUT) as response:
            response.raise_for_status()


def _is_here(downloads: Path, url: str, info) -> bool:
    from tensorflow_datasets.core.download import resource

    if info.filename and (downloads / "manual" / info.filename).exists():
        return True
    return downloads.is_dir() and any(downloads.rglob(resource.get_dl_fname(url, info.checksum)))


def _cannot_prepare(name: str, builder, error: Exception) -> str:
    root = builder.data_dir_root
    manual = f"{root}/downloads/manual"
    said = f"{name} is not in {root}, and TFDS could not download and prepare it ({_first_line(error)})."
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    files = [f"{info.filename} ({info.size})" for info in (builder.url_infos or {}).values() if info.filename]
    if instructions:
        byhand = f"It takes files that have to be fetched by hand into {manual}: {' '.join(instructions.split())}"
    elif files:
        more = len(files) - _FILES_NAMED
        named = ", ".join(files[:_FILES_NAMED]) + (f" and {more} more" if more > 0 else "")
        byhand = f"If you can get its files elsewhere, put them under these names in {manual} and run again: {named}."
    else:
        byhand = "Try again when the network is there."
    return (
        f"{said} {byhand} Or pass --data_dir with a folder in which TFDS has already prepared {name}, "
        "or train on images of your own with folder:/path."
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    line = text[0][:300] if text else ""
    return f"{type(error).__name__}: {line}" if not isinstance(error, ValueError) else line
