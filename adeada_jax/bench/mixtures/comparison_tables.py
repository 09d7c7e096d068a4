"""Region tables of a run as the comparison's samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adeada_jax.bench.mixtures.synthetic import DomainFeatures
from adeada_jax.errors import InputError


def read_tables(paths: Sequence[str]) -> tuple[DomainFeatures, DomainFeatures, int]:
    """Target and source of `TARGET,SOURCE` safetensors files, and the number of classes.

    A single path is the target's; its source lies beside it, "source" in its name.

    Raises:
        InputError: a file is missing or holds no features or probabilities.
    """
    if len(paths) == 1:
        path = Path(paths[0])
        paths = [paths[0], str(path.with_name(path.name.replace("target", "source")))]
    if len(paths) != 2 or paths[0] == paths[1]:
        raise InputError("--features: give TARGET,SOURCE, two region tables (.safetensors)")
    domains, classes = [], 0
    for given in paths:
        table = _read(Path(given))
        domains.append(
            DomainFeatures(table["features"], table["probabilities"].argmax(axis=1).astype("int32"))
        )
        classes = max(classes, table["probabilities"].shape[1])
    return domains[0], domains[1], classes


def _read(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise InputError(f"--features: {path} does not exist; give a run's region table")
    try:
        table = load_file(path)
    except SafetensorError as error:
        raise InputError(f"--features: {path} is no safetensors file ({error})") from error
    for name in ("features", "probabilities"):
        if name not in table:
            raise InputError(f"--features: {path} holds no '{name}'; give a region table")
    return table
