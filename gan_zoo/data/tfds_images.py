"""Image datasets of TensorFlow Datasets, by name.

A dataset that is already prepared in the data folder is read from its files alone, whatever its version, without
network access. Any other dataset is downloaded and prepared by TFDS's own code.

TFDS reads the records, in its order. If it finds a damaged record in a TFRecord file, this module reads the remaining
records one by one, file by file, so that only the damaged records are lost.
"""

import contextlib
import dataclasses
import json
import logging
import os
import queue
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from gan_zoo.data import tfrecords
from gan_zoo.data.decoding import ImageSet, Record, no_labels
from gan_zoo.data.synthetic import SYNTHETIC
from gan_zoo.data.table import DATASETS
from gan_zoo.util import checks
from gan_zoo.util.errors import UserError
from gan_zoo.util.specs import suggest

PROBE_TIMEOUT = 10
"""Seconds to wait for the answer of a server before a download counts as impossible."""

REACH_TIMEOUT = 30
"""Seconds to wait for the answer of a remote data folder."""

_log = logging.getLogger(__name__)
_BATCH = 256
_COMMUNITY = re.compile(r"\w+:[A-Za-z_]")  # namespace:name, where name:1.0.0 is a version
_FILES_NAMED = 8


def find(name: str, *, split: str, data_dir: str | None, labels: bool) -> ImageSet:
    """Finds a TFDS dataset. If it is not prepared yet, the result has `ImageSet.prepare`.

    Args:
        name: Name as in TFDS: "celeb_a", "lsun/bedroom", "mnist:3.0.1".
        split: "train", or with TFDS's slicing, "train[:7000]".
        data_dir: Folder of prepared datasets. None: `$TFDS_DATA_DIR` or ~/tensorflow_datasets.
        labels: Whether class labels are required.

    Returns:
        The dataset.

    Raises:
        UserError: If there is no such dataset or split, or it has no images or labels.
    """
    with _owners_without_names():
        builder = _builder(name, data_dir)
    info = builder.info
    image, kinds = _features(name, info.features)
    label = kinds[0] if len(kinds) == 1 else None
    if labels:
        _check_labels(name, info, kinds)
    height, width, depth = info.features[image].shape
    found = ImageSet(
        name=name,
        key={"source": "tfds", "name": info.full_name, "split": split, "path": str(builder.data_path)},
        count=None,
        records=lambda: _records(name, builder, split, image, label),
        channels=lambda: 1 if depth == 1 else 3,
        native=(height, width) if height and width else None,
        class_names=_class_names(info, label),
        details={"tfds": info.full_name, "path": str(builder.data_path)},
        remedy="Copy or prepare the set again",
    )
    if builder.data_path.exists():
        return _with_files(found, builder, split)

    def prepare() -> ImageSet:
        _prepare(name, builder)
        # The names of the classes may be known only after the preparation.
        classes = _class_names(builder.info, label)
        return _with_files(dataclasses.replace(found, class_names=classes), builder, split)

    return dataclasses.replace(found, prepare=prepare)


def _class_names(info, label: str | None) -> tuple[str, ...] | None:
    """Names of the values of a class label, if there is one and they are known before the set is prepared."""
    feature = info.features[label] if label else None
    return tuple(feature.names) if feature and feature.num_classes else None


def _with_files(found: ImageSet, builder, split: str) -> ImageSet:
    """Returns a prepared dataset with the properties that depend on its files."""
    files = _stamps(builder.data_path)
    return dataclasses.replace(
        found,
        key={**found.key, "files": [list(file) for file in sorted(files)]},
        count=_split(found.name, split, builder.info).num_examples,
        prepare=None,
    )


def _stamps(folder) -> list[tuple[str, int, int]]:
    """Returns name, size and modification time of a dataset's files."""
    with _owners_without_names():
        return [(p.name, stat.length, stat.mtime) for p in folder.iterdir() for stat in [p.stat()]]


def _records(name: str, builder, split: str, image: str, label: str | None) -> Iterator[Record]:
    """Yields the images and classes of a split.

    Raises:
        UserError: If a file is missing or cannot be read at all.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    info = builder.info
    part = info.splits[split]
    shards = _shards(part)
    damage = (
        tf.errors.DataLossError,  # a wrong checksum, or a truncated record
        tf.errors.InvalidArgumentError,  # not an example, or one without an image
        tf.errors.FailedPreconditionError,  # a different number of records than the dataset should have
        UnicodeDecodeError,  # raised by TensorFlow itself when it quotes a damaged record
    )

    def delivered() -> str:
        return f"{part.num_examples - sum(sum(s.wanted) for s in shards.values())} of {part.num_examples} examples"

    try:
        try:
            yield from _stream(builder, split, image, label, shards)
        except damage as error:
            if info.file_format not in (None, tfds.core.FileFormat.TFRECORD):
                raise
            _log.warning(
                "%s: TFDS's reader stopped after %s (%s): the remaining records are read one by one.",
                name,
                delivered(),
                _first_line(error),
            )
        yield from _one_by_one(image, label, shards)
    except (tf.errors.OpError, OSError) as error:
        raise UserError(
            f"{name}: reading {builder.data_path} failed after {delivered()} ({_first_line(error)}). "
            "The files may be an incomplete copy: copy or prepare the set again."
        ) from error
    except (NotImplementedError, ImportError) as error:
        raise UserError(
            f"{name}: {builder.data_path} holds {info.file_format.value} files, which cannot be read here "
            f"({_first_line(error)}). Prepare the set as TFRecord files."
        ) from error


@dataclasses.dataclass
class _Shard:
    """One file of a dataset.

    Attributes:
        path: Path of the file.
        wanted: For each record, how often it must still be delivered: once, unless slices exclude it or overlap.
    """

    path: str
    wanted: bytearray = dataclasses.field(default_factory=bytearray)

    def deliver(self, index: int) -> bool:
        """Records that a record was delivered. Returns False if it is not wanted."""
        if index >= len(self.wanted) or not self.wanted[index]:
            return False
        self.wanted[index] -= 1
        return True


def _shards(part) -> dict[str, _Shard]:
    """Returns the files of a split by their names."""
    shards = {}
    for instruction in part.file_instructions:
        shard = shards.setdefault(instruction.basename(), _Shard(instruction.filename))
        end = instruction.skip + instruction.take
        shard.wanted.extend(bytes(max(0, end - len(shard.wanted))))
        for index in range(instruction.skip, end):
            shard.wanted[index] += 1
    return shards


def _stream(builder, split: str, image: str, label: str | None, shards: dict[str, _Shard]) -> Iterator[Record]:
    """Yields the records that TFDS reads, up to the first error."""
    import tensorflow_datasets as tfds

    wanted = {image: True} | ({label: True} if label else {})
    decoders = tfds.decode.PartialDecoding(wanted, decoders={image: tfds.decode.SkipDecoding()})
    config = tfds.ReadConfig(try_autocache=False, add_tfds_id=True)
    with _no_warnings():
        dataset = builder.as_dataset(split=split, decoders=decoders, read_config=config)
    for batch in dataset.batch(_BATCH).prefetch(2).as_numpy_iterator():
        classes = batch[label].tolist() if label else [-1] * len(batch[image])
        for record, data, y in zip(batch["tfds_id"].tolist(), batch[image].tolist(), classes, strict=True):
            file, _, index = record.decode().rpartition("__")
            # If a file has more records than the dataset lists, TFDS fails at the end.
            if shards[file].deliver(int(index)):
                yield Record(_record(file, index), data, y)


def _one_by_one(image: str, label: str | None, shards: dict[str, _Shard]) -> Iterator[Record]:
    """Yields the remaining records of TFRecord files, file by file. A damaged or lost record has no bytes."""
    import tensorflow_datasets as tfds

    for name, shard in shards.items():
        if not any(shard.wanted):
            continue
        with tfds.core.Path(shard.path).open("rb") as file:
            contents = tfrecords.read(file)
            for index in range(len(shard.wanted)):
                content = next(contents, None)
                while shard.deliver(index):
                    yield Record(_record(name, index), *_parse(content, image, label))


def _parse(content: bytes | None, image: str, label: str | None) -> tuple[bytes, int]:
    """Returns the encoded image and the class of an example, or no bytes if it is damaged."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        feature = tf.train.Example.FromString(content or b"").features.feature
    except DecodeError:
        return b"", -1
    images = feature[image].bytes_list.value
    labels = feature[label].int64_list.value if label else [-1]
    return (images[0], labels[0]) if len(images) == len(labels) == 1 else (b"", -1)


def _record(file: str, index: int | str) -> str:
    return f"record {index} of {file}"


@contextlib.contextmanager
def _no_warnings():
    """Suppresses warnings of TFDS, and warnings of TensorFlow about TFDS's code."""
    loggers = [logging.getLogger(name) for name in ("absl", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _builder(name: str, data_dir: str | None):
    import tensorflow_datasets as tfds
    from google.protobuf.json_format import ParseError
    from tensorflow_datasets.core import read_only_builder
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    data_dir = _data_dir(name, data_dir)
    try:
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except DatasetNotFoundError:
        pass
    except (ParseError, json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(
            f"dataset {name!r}: its description in {data_dir or 'the data folder of TFDS'} cannot be read "
            f"({_first_line(error)}). The files may be an incomplete copy: copy or prepare the set again."
        ) from error
    except ValueError as error:
        _check_known(name)
        raise UserError(f"dataset {name!r}: {_first_line(error)}") from error

    _check_known(name)
    try:
        return tfds.builder(name, data_dir=data_dir, try_gcs=False)
    except Exception as error:
        # TFDS raises many types of exceptions.
        raise UserError(f"dataset {name!r}: {_first_line(error)}") from error


def _data_dir(name: str, data_dir: str | None) -> str | None:
    """Returns the folder of prepared datasets for TFDS; None to use the default of TFDS.

    Raises:
        UserError: If it is an address that does not answer, or there is no default.
    """
    given = data_dir if data_dir is not None else os.environ.get("TFDS_DATA_DIR")
    if given is None:
        try:
            Path.home()
        except RuntimeError:  # TFDS would create a folder named "~"
            raise UserError(
                f"dataset {name!r}: this user has no home folder, in which TFDS keeps its datasets: name a folder with "
                f"--data_dir, or in the variable TFDS_DATA_DIR."
            ) from None
        return None
    argument = "TFDS_DATA_DIR" if data_dir is None else "data_dir"
    folder = checks.data_folder(argument, given)
    if checks.scheme(folder):
        _reach(argument, folder)
        return folder
    return str(Path(folder).resolve())


def _reach(argument: str, address: str) -> None:
    """Checks that TensorFlow can read from an address. Without this check, some storage is retried for minutes.

    Raises:
        UserError: If it cannot be reached.
    """
    import tensorflow as tf

    answers: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def ask():
        try:
            tf.io.gfile.exists(address)
        except Exception as error:  # storage plugins may raise anything
            answers.put(error)
        else:
            answers.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        error = answers.get(timeout=REACH_TIMEOUT)
    except queue.Empty:
        error = TimeoutError(f"no answer within {REACH_TIMEOUT} seconds")
    if error is None:
        return
    if isinstance(error, tf.errors.UnimplementedError):
        reason = f"TensorFlow has no file system for {checks.scheme(address)}:// here"
    else:
        reason = _first_line(error).removesuffix(".")
    raise UserError(
        f"{argument}={address} cannot be reached ({reason}): check the address and your access to it, or copy the "
        f"prepared datasets to a local folder."
    ) from error


@contextlib.contextmanager
def _owners_without_names():
    """Lets TFDS read files whose owner or group has no name, as in containers, where it would raise a KeyError."""
    try:
        import grp
        import pwd
    except ModuleNotFoundError:  # on Windows TFDS does not look up names
        yield
        return
    user, group = pwd.getpwuid, grp.getgrgid

    def user_of(number):
        try:
            return user(number)
        except KeyError:
            return pwd.struct_passwd((str(number), "x", number, number, "", "~", ""))

    def group_of(number):
        try:
            return group(number)
        except KeyError:
            return grp.struct_group((str(number), "x", number, []))

    pwd.getpwuid, grp.getgrgid = user_of, group_of
    try:
        yield
    finally:
        pwd.getpwuid, grp.getgrgid = user, group


def _check_known(name: str):
    import tensorflow_datasets as tfds

    if name[0] in "/.~" and checks.path("dataset", name).is_dir():
        raise UserError(f"{name!r} is a folder: write folder:{name} to train on the images in it.")
    # Without community datasets, because TFDS would download the list of them.
    listed = tfds.list_builders(with_community_datasets=False)
    base = re.split("[/:]", name)[0]
    if base not in listed and not _COMMUNITY.match(name):
        hint = suggest(base, [*DATASETS, *SYNTHETIC, *listed])
        raise UserError(
            f"there is no dataset {name!r}.{hint} Use a name of the table (--list), any image dataset of TFDS, "
            "or folder:/path for a folder of images."
        )
    config = _config(name)
    configs = () if _COMMUNITY.match(name) else tfds.builder_cls(base).builder_configs
    if config and configs and "=" not in config and config not in configs:
        raise UserError(
            f"dataset {name!r}: {base} has no configuration {config!r}.{suggest(config, configs)} "
            f"It has {', '.join(sorted(configs))}."
        )


def _config(name: str) -> str:
    return re.split("[/:]", name.partition("/")[2])[0]


def _features(name: str, features) -> tuple[str, list[str]]:
    """Returns the keys of the image and of the class label in a dataset's features; all labels if it is ambiguous."""
    import tensorflow_datasets as tfds

    # TFDS reads the features of a prepared set in an order that differs from process to process.
    items = dict(sorted(features.items())) if isinstance(features, tfds.features.FeaturesDict) else {}
    # If there are several, the one with the usual name is used. A LabeledImage is a map of classes and not a picture.
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
    return image, ["label"] if "label" in labels else labels


def _check_labels(name: str, info, kinds: list[str]) -> None:
    """Checks that the classes of a dataset are known.

    Raises:
        UserError: If there are none, several kinds of them, or their names are in files that are not downloaded.
    """
    if not kinds:
        raise no_labels(name)
    if len(kinds) > 1:
        raise UserError(
            f"labels: {name} has several labels, {', '.join(kinds)}, none of which is named 'label', so it is not "
            f"clear which to use. Choose a set with one, such as mnist or cifar10."
        )
    if not _class_names(info, kinds[0]):
        raise UserError(
            f"labels: the classes of {name} are known only when TFDS has prepared it. Prepare it first, for example "
            f"with gan_zoo.data.open_source({name!r})."
        )


def _split(name: str, split: str, info):
    known = ", ".join(info.splits)
    try:
        part = info.splits[split]
    except (ValueError, KeyError, AttributeError) as error:
        base = re.split(r"[\[+]", str(split))[0]
        if base not in info.splits:
            raise UserError(f"split {split!r}: {name} has no split {base!r}, it has {known}.") from error
        raise UserError(f"split {split!r} of {name}: {_first_line(error)} It has {known}.") from error
    if not part.num_examples:
        raise UserError(f"split {split!r} of {name} is empty. It has {known}.")
    return part


def _prepare(name: str, builder):
    import tensorflow_datasets as tfds

    _log.info("%s is not in %s: TFDS downloads and prepares it there", name, builder.data_dir_root)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            _probe(builder)
        with _owners_without_names():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False, compute_stats="skip")
            )
    except Exception as error:
        # The code of any dataset runs here, over a network, and may raise anything.
        raise UserError(_cannot_prepare(name, builder, error)) from error


def _probe(builder):
    """Requests one byte from each server that is needed.

    TFDS itself retries for more than three minutes when a server cannot be reached, and much longer when a firewall
    drops the packets.

    Raises:
        OSError: If a server does not answer, or does not have the file.
    """
    import requests
    from tensorflow_datasets.core.download import resource

    here = _files_here(builder)
    hosts = {}
    for url, info in (builder.url_infos or {}).items():
        names = {f"manual/{info.filename}", resource.get_dl_fname(url, info.checksum)}
        if url.startswith("http") and not names & here:
            hosts.setdefault(urlsplit(url).netloc, url)
    for host, url in hosts.items():
        try:
            with requests.get(url, stream=True, timeout=PROBE_TIMEOUT) as response:
                status = f"{response.status_code} {response.reason}"
                fine = response.ok
        except requests.RequestException as error:
            raise OSError(f"{host} cannot be reached") from error
        if not fine:
            raise OSError(f"{host} answers {status}")


def _files_here(builder) -> set[str]:
    """Returns the names of files that TFDS need not download; those in the manual folder begin with "manual/"."""
    downloads = Path(builder.data_dir_root) / "downloads"
    fetched = [*downloads.glob("*"), *(downloads / builder.name).rglob("*")]
    return {p.name for p in fetched} | {f"manual/{p.name}" for p in (downloads / "manual").glob("*")}


def _cannot_prepare(name: str, builder, error: Exception) -> str:
    root = builder.data_dir_root
    manual = f"{root}/downloads/manual"
    said = f"{name} is not in {root}, and TFDS could not download and prepare it ({_first_line(error)})."
    instructions = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    known = [info for info in (builder.url_infos or {}).values() if info.filename]
    config = _config(name)
    # Some datasets list the files of all their configurations.
    known = [info for info in known if config and config in info.filename] or known
    files = [f"{info.filename} ({info.size})" for info in known]
    if instructions:
        byhand = f"It needs files that you must download by hand into {manual}: {' '.join(instructions.split())}"
    elif files:
        more = len(files) - _FILES_NAMED
        named = ", ".join(files[:_FILES_NAMED]) + (f" and {more} more" if more > 0 else "")
        byhand = f"If you can get its files elsewhere, put them under these names in {manual} and run again: {named}."
    else:
        byhand = "Try again when the network is available."
    return (
        f"{said} {byhand} Or pass --data_dir with a folder in which TFDS has already prepared {name}, "
        "or train on images of your own with folder:/path."
    )


def _first_line(error: Exception) -> str:
    line = str(error).strip().split("\n")[0][:300]
    line = re.sub(r'^Failed to construct dataset .*?}": |^\{\{.*?\}\} | \[Op:.*$', "", line)
    return line if line and not isinstance(error, KeyError) else f"{type(error).__name__} {line}".strip()
