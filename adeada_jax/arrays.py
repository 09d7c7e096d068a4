"""Named arrays with JSON metadata in one safetensors file, written whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from adeada_jax.errors import InputError


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Writes arrays and JSON-able metadata under a temporary name, then renames."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(contiguous, temporary, metadata={key: json.dumps(value) for key, value in metadata.items()})
    temporary.chmod(0o644)  # safetensors makes it readable for its owner alone
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `save_arrays` wrote.

    Raises:
      InputError: the file is missing or is no safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"'{path}' is no readable safetensors file: {error}") from error
    return arrays, metadata
