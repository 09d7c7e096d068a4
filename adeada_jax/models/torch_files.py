"""PyTorch's files read without PyTorch, and without running anything that is in them.

A `.pth` file is a pickle beside raw numbers: since torch 1.6 a zip archive, before that one stream. A pickle
may call any function by name. The reader here knows the handful of names that tensors need, each of which
stands for a function of this module that only takes notes; every other name is refused, and named.
"""

import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from adeada_jax.errors import InputError

# By torch's storage class and by safetensors' name.
_DTYPES = {
    name: np.dtype(dtype)
    for *names, dtype in (
        ("DoubleStorage", "F64", np.float64),
        ("FloatStorage", "F32", np.float32),
        ("HalfStorage", "F16", np.float16),
        ("BFloat16Storage", "BF16", jnp.bfloat16),
        ("LongStorage", "I64", np.int64),
        ("IntStorage", "I32", np.int32),
        ("ShortStorage", "I16", np.int16),
        ("CharStorage", "I8", np.int8),
        ("ByteStorage", "U8", np.uint8),
        ("BoolStorage", "BOOL", np.bool_),
    )
    for name in names
}

# What torch pickled first before 1.6.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C

# What zipfile raises on bytes that are no zip archive any more.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OverflowError, ValueError, RuntimeError)


class StoredTensor(NamedTuple):
    """A tensor that is still in its file.

    Attributes:
      shape: as torch counts it.
      dtype: of its numbers.
      read: takes it out of the file: `shape`, in the machine's byte order; raises InputError where the file
        ends too early or is damaged.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


class _Storage(NamedTuple):
    """Numbers in a row, of which tensors are views."""

    dtype: np.dtype
    size: int
    read: Callable[[], np.ndarray]


def read_tensors(path: str | Path) -> object:
    """What a `.pth` or safetensors file holds, its numbers left in the file until they are asked for.

    Args:
      path: the file; which kind it is is seen from its content.

    Returns:
      Dicts, lists and plain values as they were saved, with a StoredTensor for each tensor.

    Raises:
      InputError: the file cannot be read, is of no known kind, is damaged, or wants to run code; names what
        it wants to run. Nothing of it was run.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(16)
        if start.startswith(b"PK"):
            return _read_zip(path)
        if start.startswith(pickle.PROTO):
            return _read_old(path)
        if start[8:9] == b"{":
            return _read_safetensors(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}") from error
    raise _unknown(path)


def _unknown(path: Path) -> InputError:
    return InputError(
        f"'{path}' is neither a file of torch.save nor safetensors; give a .pth or .safetensors file"
    )


def _damaged(path: Path, why: object) -> InputError:
    why = " ".join(str(why).split())  # names in a file may hold anything
    return InputError(f"'{path}' is damaged ({why}); fetch it anew")


def _read_zip(path: Path) -> object:
    """The format since torch 1.6: NAME/data.pkl, and NAME/data/KEY for each storage."""
    try:
        archive = zipfile.ZipFile(path)
    except _ZIP_ERRORS as error:
        raise _damaged(path, error) from error
    pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError(f"'{path}' is a zip archive, but none of torch.save: it has no data.pkl")
    prefix = pickles[0].removesuffix("data.pkl")
    order = "<"
    if f"{prefix}byteorder" in archive.namelist():
        order = ">" if _entry(path, archive, f"{prefix}byteorder") == b"big" else "<"

    def numbers(key: str, dtype: np.dtype, size: int) -> np.ndarray:
        return _numbers(path, _entry(path, archive, f"{prefix}data/{key}"), dtype, size, order)

    return _load(path, io.BytesIO(_entry(path, archive, pickles[0])), numbers)


def _entry(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return archive.read(name)
    except KeyError as error:
        raise _damaged(path, f"'{name}' is missing") from error
    except _ZIP_ERRORS as error:
        raise _damaged(path, error) from error


def _read_old(path: Path) -> object:
    """Reads the format before torch 1.6.

    Five pickles, the fourth of which is the content and the fifth the storages' keys, then each storage's
    size and numbers.
    """
    places: dict[str, int] = {}
    order = "<"

    def numbers(key: str, dtype: np.dtype, size: int) -> np.ndarray:
        with open(path, "rb") as file:
            file.seek(places[key])
            content = file.read(size * dtype.itemsize)
        return _numbers(path, content, dtype, size, order)

    storages: dict[str, _Storage] = {}
    with open(path, "rb") as file:
        if _load(path, file, None) != _OLD_MAGIC:
            raise _unknown(path)
        version, system = _load(path, file, None), _load(path, file, None)
        if version != 1001 or not isinstance(system, dict):
            raise InputError(f"'{path}' was written by a torch whose format {version!r} is not known")
        order = "<" if system.get("little_endian", True) else ">"
        content = _load(path, file, numbers, storages)
        for key in _list(path, _load(path, file, None)):
            if key not in storages:
                raise _damaged(path, f"a storage '{key}' that no tensor has")
            size = int.from_bytes(file.read(8), "big" if order == ">" else "little", signed=True)
            if size != storages[key].size:
                raise _damaged(path, f"storage '{key}' has {size} numbers instead of {storages[key].size}")
            places[key] = file.tell()
            file.seek(size * storages[key].dtype.itemsize, 1)
    missing = storages.keys() - places.keys()
    if missing:
        raise _damaged(path, f"storage '{min(missing)}' is missing")
    return content


def _list(path: Path, value: object) -> list[str]:
    if not isinstance(value, list):
        raise _damaged(path, "no list of storages")
    return [str(key) for key in value]


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open  # networks work without it

    try:
        file = safe_open(path, framework="np")
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _damaged(path, error) from error
    unknown = {name: part.get_dtype() for name, part in slices.items() if part.get_dtype() not in _DTYPES}
    if unknown:
        raise InputError(f"'{path}' has numbers of a type that is not known: {unknown}")
    return {
        name: StoredTensor(tuple(part.get_shape()), _DTYPES[part.get_dtype()], partial(file.get_tensor, name))
        for name, part in slices.items()
    }


def _numbers(path: Path, content: bytes, dtype: np.dtype, size: int, order: str) -> np.ndarray:
    if len(content) != size * dtype.itemsize:
        raise _damaged(path, f"{size * dtype.itemsize} bytes expected, {len(content)} found")
    if order == ">":
        content = np.frombuffer(content, f"u{dtype.itemsize}").byteswap().tobytes()
    return np.frombuffer(content, dtype)


# Takes a storage's key, type and size, and gives its numbers.
_ReadNumbers = Callable[[str, np.dtype, int], np.ndarray]


def _load(
    path: Path, file: BinaryIO, numbers: _ReadNumbers | None, storages: dict[str, _Storage] | None = None
) -> object:
    """The next pickle; `numbers` gives the storages' content, None where there may be no tensors."""
    try:
        loaded = _Reader(path, file, numbers, {} if storages is None else storages).load()
        return _plain(loaded, {})
    except InputError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


class _Reader(pickle.Unpickler):
    """Knows the names that tensors need, and no others."""

    def __init__(
        self, path: Path, file: BinaryIO, numbers: _ReadNumbers | None, storages: dict[str, _Storage]
    ):
        super().__init__(file, encoding="utf-8")  # names in files that Python 2 wrote
        self._path, self._numbers, self._storages = path, numbers, storages

    def find_class(self, module: str, name: str) -> object:
        if module == "torch" and name.endswith("Storage") and name in _DTYPES:
            return name
        try:
            return _NAMES[module, name]
        except KeyError:
            wanted = f"{module}.{name}"
            raise InputError(
                f"'{self._path}' wants to run {wanted!r}, which no weights need; nothing was run. "
                "Give a file that holds a state_dict alone, from somebody you trust"
            ) from None

    def persistent_load(self, pid: tuple[Any, ...]) -> _Storage:
        """A storage: ('storage', type, key, device, size) and, before torch 1.6, a view of another."""
        word, kind, key, _, size, *view = pid
        if word != "storage" or self._numbers is None or view not in ([], [None]) or size < 0:
            raise pickle.UnpicklingError(f"unknown storage {pid[:5]}")
        dtype = _DTYPES[kind]
        storage = _Storage(dtype, int(size), partial(self._numbers, str(key), dtype, int(size)))
        if self._storages.setdefault(str(key), storage)[:2] != storage[:2]:
            raise pickle.UnpicklingError(f"two storages '{key}'")
        return storage


class _Function:
    """One of this module's functions under torch's name; a pickle can call it, not change it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]):
        self._function = function

    def __call__(self, *args: object) -> object:
        return self._function(*args)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a function has no state")


class _Mapping(dict[object, object]):
    """An OrderedDict; what is attached to it (a state_dict's versions of modules) is left out."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Settings(dict[object, object]):
    """What trainings save of their options: an argparse.Namespace, Lightning's AttributeDict; left empty."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        pass


class _Parameter:
    """A parameter as torch wrote it before 0.4, pickled as an object with a tensor in it."""

    __slots__ = ("tensor",)

    def __new__(cls, tensor: StoredTensor | None = None, requires_grad: bool = True) -> "_Parameter":
        parameter = super().__new__(cls)
        parameter.tensor = tensor
        return parameter

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if len(state) == 5:
            self.tensor = state[0]


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> StoredTensor:
    """A view of a storage, checked to lie inside it."""
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor without numbers")
    counts = [offset, *shape, *strides]
    if any(type(n) is not int or n < 0 for n in counts):
        raise pickle.UnpicklingError(f"a tensor with shape {shape} and strides {strides}")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.size:
        raise pickle.UnpicklingError("a tensor that is larger than its storage")

    def read() -> np.ndarray:
        row = storage.read()[offset:]
        steps = [stride * row.itemsize for stride in strides]
        view = np.lib.stride_tricks.as_strided(row, shape, steps, writeable=False)
        return np.ascontiguousarray(view).reshape(shape)

    return StoredTensor(tuple(shape), storage.dtype, read)


def _plain(value: object, done: dict[int, object]) -> object:
    """Dicts, lists and tensors in place of what stood for torch's and Python's own.

    What a pickle holds many times is made once (`done`, by identity): nested, it could stand for billions.
    """
    if isinstance(value, _Parameter):
        return value.tensor
    if isinstance(value, StoredTensor) or not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) not in done:
        if isinstance(value, dict):
            done[id(value)] = {key: _plain(item, done) for key, item in value.items()}
        else:
            done[id(value)] = [_plain(item, done) for item in value]
    return done[id(value)]


_NAMES: dict[tuple[str, str], object] = {
    ("collections", "OrderedDict"): _Function(_Mapping),
    ("torch._utils", "_rebuild_tensor"): _Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(lambda tensor, *_: tensor),
    ("torch.nn.parameter", "Parameter"): _Parameter,
    ("argparse", "Namespace"): _Settings,
    ("pytorch_lightning.utilities.parsing", "AttributeDict"): _Settings,
    ("lightning.pytorch.utilities.parsing", "AttributeDict"): _Settings,
    ("lightning_fabric.utilities.data", "AttributeDict"): _Settings,
    ("lightning.fabric.utilities.data", "AttributeDict"): _Settings,
}
