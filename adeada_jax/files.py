"""Writing files whole or not at all: under a temporary name, then renamed."""

import contextlib
import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adeada_jax.errors import InputError


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Gives errors of the system the file's name, which those of writing (a full disk) lack."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextlib.contextmanager
def replacing(path: Path, temporary: Path) -> Iterator[None]:
    """Gives what the `with` block wrote to `temporary` the name `path`, once it is on the disk.

    If anything fails nothing stays of it, so that a disk that was full has place again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
        with naming(path):
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: str | Path, content: bytes) -> None:
    """Writes a file; whoever looks sees the old content or the new, never a part."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with replacing(path, temporary), naming(path):
        temporary.write_bytes(content)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Writes UTF-8 text; see `write_bytes_atomic`."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: str | Path, content: object) -> None:
    """Writes JSON, indented, keys in the order given; numbers that are not finite become null."""
    write_text_atomic(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def write_png_atomic(path: str | Path, array: np.ndarray) -> None:
    """Writes `(H, W)` or `(H, W, 3)` uint8 as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(array, np.uint8)).save(buffer, format="PNG")
    write_bytes_atomic(path, buffer.getvalue())


def read_json(path: str | Path) -> Any:
    """Reads JSON.

    Raises:
      InputError: the file is missing or is not JSON; the message names it.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"'{path}' is not JSON: {error}. Remove it to have it made again") from error


def finite(value: Any) -> Any:
    """The value with every number that JSON cannot hold (NaN, infinity) replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
