"""Data sets as they lie prepared below a data directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adeada_jax.data import fingerprint as fingerprints
from adeada_jax.data.builders import writing
from adeada_jax.data.data_sets import directory_of, remedy
from adeada_jax.errors import InputError

if TYPE_CHECKING:  # with what it imports it takes seconds
    import tensorflow_datasets as tfds


def fingerprint(dataset: str, data_dir: str | Path, splits: Sequence[str]) -> dict[str, Any]:
    """What some splits of a prepared data set hold, to be kept and compared; see `data.fingerprint`.

    Raises:
      InputError: unknown data set; not or half prepared; missing or empty split.
    """
    for split in splits:
        info = open_split(dataset, data_dir, split)
    return fingerprints.fingerprint(info.metadata, splits)


def classes(dataset: str, data_dir: str | Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of a prepared data set's classes, by id, and their colours, `(C, 3)` uint8 RGB; it may have none.

    Raises:
      InputError: unknown data set; not or half prepared.
    """
    metadata = open_builder(dataset, data_dir).info.metadata
    palette = np.asarray(metadata["palette"], np.uint8).reshape(-1, 3)
    return tuple(metadata["class_names"]), palette


def split_sizes(dataset: str, data_dir: str | Path) -> dict[str, int]:
    """Images by split of a prepared data set.

    Raises:
      InputError: unknown data set; not or half prepared.
    """
    splits = open_builder(dataset, data_dir).info.splits
    return {name: split.num_examples for name, split in splits.items()}


def open_split(dataset: str, data_dir: str | Path, split: str) -> "tfds.core.DatasetInfo":
    """The DatasetInfo of a data set that has this split, with examples in it."""
    info = open_builder(dataset, data_dir).info
    if split not in info.splits:
        raise InputError(
            f"data set '{dataset}' in '{data_dir}' has no split '{split}'; it has: {', '.join(info.splits)}"
        )
    if not info.splits[split].num_examples:
        raise InputError(f"split '{split}' of data set '{dataset}' in '{data_dir}' is empty")
    return info


def open_builder(dataset: str, data_dir: str | Path) -> "tfds.core.DatasetBuilder":
    """A TFDS builder that reads what was prepared."""
    import tensorflow_datasets as tfds

    directory = Path(data_dir) / directory_of(dataset)
    if not Path(data_dir).is_dir():
        raise InputError(f"data_dir '{data_dir}' does not exist; {remedy(dataset, data_dir)}")
    if not is_complete(directory):
        state = _state(directory)
        raise InputError(f"data set '{dataset}' is {state} in '{data_dir}'; {remedy(dataset, data_dir)}")
    return tfds.builder_from_directory(directory)


def _state(directory: Path) -> str:
    """What there is of a data set that is not complete."""
    if any(path.exists() for path in (directory, writing.parts_directory(directory))) or any(
        directory.parent.glob(f"incomplete.*_{directory.name}")
    ):
        return "only half prepared"
    earlier = [path.parent.name for path in directory.parent.glob("[0-9]*/metadata.json")]
    earlier.sort(key=lambda version: [int(part) for part in version.split(".") if part.isdigit()])
    if earlier:
        return f"prepared by an earlier version of adeada_jax ({earlier[-1]}, now {directory.name})"
    return "not prepared"


def is_complete(directory: Path) -> bool:
    """Whether a prepared data set's directory holds every file that it should."""
    import tensorflow_datasets as tfds

    if not all(
        (directory / name).is_file() for name in ("dataset_info.json", "features.json", "metadata.json")
    ):
        return False
    try:
        info = tfds.builder_from_directory(directory).info
    except (ValueError, KeyError, RuntimeError, FileNotFoundError):  # a file that was cut off
        return False
    files = [Path(path) for split in info.splits.values() for path in split.filepaths]
    return bool(files) and all(path.is_file() and path.stat().st_size for path in files)
