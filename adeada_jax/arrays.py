"""Named arrays with JSON metadata in one safetensors file, written whole or not at all."""

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import DTypeLike
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from adeada_jax.errors import InputError
from adeada_jax.files import finite, naming, replacing
from adeada_jax.types import Json

_ZEROS = 2**20  # bytes written at a time where place cannot be reserved
# The format's names of the kinds of numbers that are stored here.
_KINDS: dict[str, type[np.generic]] = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64}


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Json]) -> None:
    """Writes arrays and JSON-able metadata under a temporary name, then renames.

    Raises:
      InputError: it cannot be written, as on a full disk; names the file.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    described = {key: json.dumps(finite(value)) for key, value in metadata.items()}
    with replacing(path, temporary):
        try:
            save_file(contiguous, temporary, metadata=described)
        except SafetensorError as error:
            raise InputError(f"'{path}' cannot be written: {error}") from error
        temporary.chmod(0o644)  # safetensors makes it readable for its owner alone


def load_arrays(
    path: Path, names: Sequence[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `save_arrays` wrote: the arrays of these names, or all, and the metadata.

    Raises:
      InputError: the file is missing or is no safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{path}' is no readable safetensors file: {error}") from error
    return arrays, metadata


def map_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """As `load_arrays`, but read-only, and read from the disk only where they are looked at."""
    _, metadata = load_arrays(path, names=())
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {name: _mapped(path, 8 + size, entry, "r") for name, entry in header.items()}, metadata


@contextmanager
def create_arrays(
    path: Path, shapes: Mapping[str, tuple[tuple[int, ...], DTypeLike]], metadata: Mapping[str, Json]
) -> Iterator[dict[str, np.ndarray]]:
    """A safetensors file whose arrays are filled in on the disk, in memory never whole.

    The file gets its name when the `with` block is left, and none if that raises.

    Args:
      path: of the file.
      shapes: shape and dtype by name.
      metadata: JSON-able values.

    Yields:
      Arrays to write to.

    Raises:
      OSError: the disk has no place for all of it; names the file.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    kinds = {np.dtype(kind): name for name, kind in _KINDS.items()}
    header: dict[str, Any] = {"__metadata__": {key: json.dumps(value) for key, value in metadata.items()}}
    end = 0
    # Those of large numbers first, as the format has them, so that all lie at multiples of their size.
    for name, (shape, dtype) in sorted(shapes.items(), key=lambda item: -np.dtype(item[1][1]).itemsize):
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        header[name] = {"dtype": kinds[np.dtype(dtype)], "shape": list(shape), "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with replacing(path, temporary):
        with naming(path), open(temporary, "wb") as file:
            file.write(len(encoded).to_bytes(8, "little") + encoded)
            file.flush()
            _reserve(file, 8 + len(encoded), end)
        yield {name: _mapped(temporary, 8 + len(encoded), header[name], "r+") for name in shapes}


def _reserve(file: BinaryIO, start: int, size: int) -> None:
    """Takes the place of `size` bytes on the disk: what is mapped without having it dies when the disk fills.

    Raises:
      OSError: there is not so much.
    """
    if not size:
        return
    try:
        os.posix_fallocate(file.fileno(), start, size)
    except (AttributeError, OSError) as error:  # macOS; file systems that cannot reserve
        if getattr(error, "errno", None) not in (None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        for position in range(0, size, _ZEROS):
            file.write(bytes(min(_ZEROS, size - position)))


def _mapped(path: Path, start: int, entry: Mapping[str, Any], mode: Literal["r", "r+"]) -> np.ndarray:
    shape, offset = tuple(entry["shape"]), start + entry["data_offsets"][0]
    if not math.prod(shape):
        return np.zeros(shape, _KINDS[entry["dtype"]])
    return np.asarray(np.memmap(path, _KINDS[entry["dtype"]], mode, offset, shape))
