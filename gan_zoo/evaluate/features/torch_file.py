"""Reads the tensors of a file that `torch.save` has written, without PyTorch and without running code from the file.

Such a file holds a pickle, and pickles can call any function. The unpickler here knows only what a dictionary of
tensors needs: `OrderedDict`, PyTorch's functions that build a tensor, and its types of storage. It replaces the last
two by its own. It refuses every other name.

Two formats exist. PyTorch 1.6 and later writes a zip archive with the pickle in `data.pkl` and the numbers of storage N
in `data/N`. Earlier versions write several pickles in a row, and then the numbers of all storages.

References:
    PyTorch, Serialization semantics, https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

import collections
import io
import pickle
import zipfile
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from gan_zoo.util.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_DTYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "DoubleStorage": "<f8", "LongStorage": "<i8"}


class _Storage(NamedTuple):
    """A block of numbers, which lies elsewhere in the file."""

    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """A view of a storage. Offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _FormatError(Exception):
    """The file is not as it must be. The message says how, to be placed after "it"."""


def read(content: bytes, shown: str = "the file") -> dict[str, np.ndarray]:
    """Returns the tensors of a file, by their names.

    Args:
        content: The content of the file: a dictionary of names and tensors, such as a module's `state_dict()`.
        shown: Name of the file in error messages.

    Returns:
        Read-only arrays of float16, float32, float64 or int64.

    Raises:
        UserError: If the content is something else, is damaged, or refers to other functions or types.
    """
    try:
        return _read_zip(content) if content.startswith(b"PK") else _read_legacy(content)
    except _FormatError as error:
        reason = str(error)
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, ArithmeticError, AttributeError, EOFError, LookupError),
        *(MemoryError, NotImplementedError, RecursionError, RuntimeError, TypeError, ValueError),
    ) as error:
        # Damaged pickles and archives raise many types of exceptions.
        reason = f"is damaged ({type(error).__name__})"
    raise UserError(f"{shown} cannot be read as tensors of PyTorch: it {reason}. Give the original file.")


def _read_zip(content: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}

        def entry(name: str) -> bytes:
            _require(name in entries, f"has no {name}")
            # PyTorch does not compress. Without this check, a small archive could fill the memory.
            _require(entries[name].compress_type == zipfile.ZIP_STORED, "is compressed")
            return archive.read(entries[name])

        _require(entry("byteorder") == b"little" if "byteorder" in entries else True, "is not little-endian")
        tensors = _tensors(_Unpickler(io.BytesIO(entry("data.pkl"))).load())
        storages = {tensor.storage for tensor in tensors.values()}
        blocks = {storage: _block(entry(f"data/{storage.key}"), storage) for storage in storages}
    return {name: _view(tensor, blocks[tensor.storage]) for name, tensor in tensors.items()}


def _read_legacy(content: bytes) -> dict[str, np.ndarray]:
    stream = io.BytesIO(content)
    _require(_load(stream) == _MAGIC, "does not begin as one")
    _require(_load(stream) == _VERSION, f"is not of version {_VERSION}")
    system = _load(stream)
    _require(isinstance(system, dict) and system.get("little_endian") is True, "is not little-endian")
    tensors = _tensors(_Unpickler(stream).load())
    keys = _load(stream)
    _require(isinstance(keys, list) and all(isinstance(key, str) for key in keys), "has no list of storages")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    blocks = {}
    for key in keys:
        _require(key in storages, "has a storage without a tensor")
        storage = storages[key]
        _require(int.from_bytes(stream.read(8), "little") == storage.size, "has a storage of another size")
        blocks[storage] = _block(stream.read(storage.size * storage.dtype.itemsize), storage)
    _require(all(tensor.storage in blocks for tensor in tensors.values()), "lacks a storage")
    return {name: _view(tensor, blocks[tensor.storage]) for name, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """Builds `_Tensor`s and refuses all but the names that they need."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns what a name stands for.

        A pickle can set attributes of what it names. So the functions are new ones at each call.
        """
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) in (("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor")):
            return lambda *arguments: _tensor(*arguments[:4])
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *rest: tensor
        raise _FormatError(f"refers to {module}.{name}, which a dictionary of tensors does not need")

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns a storage: ("storage", type, key, device, size), and None at the end of the legacy format."""
        _require(isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage", "has an unknown storage")
        _, dtype, key, _, size, *rest = pid
        known = isinstance(dtype, str) and dtype in _DTYPES.values() and isinstance(key, str) and rest in ([], [None])
        _require(known and _is_size(size), "has an unknown storage")
        return _Storage(key, np.dtype(dtype), size)


def _load(stream: BinaryIO) -> Any:
    """Returns the next object of the legacy format. Only tensors need names, so it refuses all."""
    found = _Unpickler(stream).load()
    _require(not isinstance(found, _Tensor), "has a tensor in the wrong place")
    return found


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    sizes = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides)
    _require(isinstance(storage, _Storage) and sizes and _is_size(offset, *shape, *strides), "has a malformed tensor")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    _require(0 in shape or last < storage.size, "has a tensor that is larger than its storage")
    return _Tensor(storage, offset, shape, strides)


def _tensors(found: Any) -> dict[str, _Tensor]:
    _require(isinstance(found, dict) and bool(found), "holds no dictionary of tensors")
    _require(
        all(isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in found.items()),
        "holds other things than tensors by their names",
    )
    return dict(found)


def _block(content: bytes, storage: _Storage) -> np.ndarray:
    _require(len(content) == storage.size * storage.dtype.itemsize, "has a storage of another size")
    return np.frombuffer(content, storage.dtype)


def _view(tensor: _Tensor, block: np.ndarray) -> np.ndarray:
    steps = [step * block.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(block[tensor.offset :], tensor.shape, steps, writeable=False)


def _is_size(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise _FormatError(sentence)
