"""Checkpoints in orbax's format, complete or absent: orbax writes under a temporary name and renames."""

import shutil
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from adeada_jax import timers
from adeada_jax.errors import InputError
from adeada_jax.models.norm_places import is_of_segmenter, with_norms_as_now
from adeada_jax.types import PyTree

T = TypeVar("T")  # a tree of arrays


@timers.timed("checkpoint")
def save(path: Path, tree: PyTree) -> None:
    """Writes a pytree of arrays to the directory `path`, replacing what is there; from one process."""
    tree = jax.device_get(tree)  # else orbax notes the devices, and restores onto no others
    with _checkpointer() as checkpointer:
        checkpointer.save(Path(path).absolute(), tree, force=True)


@timers.timed("checkpoint")
def restore(path: Path, like: T) -> T:
    """Reads NumPy arrays with the structure, shapes and types of `like`, whatever devices saved them.

    Raises:
      InputError: there is no checkpoint, or it holds other arrays; the message names the first few.
    """
    path = _checked(path)
    with _checkpointer() as checkpointer:
        stored = checkpointer.metadata(path).item_metadata.tree
        _compare(path, with_norms_as_now(stored), like)
        if not is_of_segmenter(stored):
            return checkpointer.restore(path, _on_the_host(like))
        return with_norms_as_now(checkpointer.restore(path, _on_the_host(stored)))


def check(path: Path, like: PyTree, name: str | None = None) -> None:
    """Raises what `restore` (or, with a part's name, `restore_subtree`) would, without reading arrays."""
    path = _checked(path)
    with _checkpointer() as checkpointer:
        stored = with_norms_as_now(checkpointer.metadata(path).item_metadata.tree)
    _compare(path, _part(stored, name) if name else stored, _part(like, name) if name else like)


def restore_subtree(path: Path, like: dict[str, PyTree], name: str) -> dict[str, PyTree]:
    """Takes over one part of another model, such as a pretrained backbone, and leaves the rest as it is.

    Args:
      path: a checkpoint whose tree has the same top level as `like`.
      like: `{"params": {part: ...}, "batch_stats": {part: ...}}`.
      name: the part taken over, whole: every array of it must be there and none besides.

    Raises:
      InputError: as `restore`, for that part.
    """
    path = _checked(path)
    with _checkpointer() as checkpointer:
        stored = checkpointer.metadata(path).item_metadata.tree
        _compare(path, _part(with_norms_as_now(stored), name), _part(like, name))
        loaded = with_norms_as_now(checkpointer.restore(path, _on_the_host(stored)))
    return {
        key: {part: loaded[key][part] if part == name else value for part, value in parts.items()}
        for key, parts in like.items()
    }


def _checkpointer() -> ocp.StandardCheckpointer:
    """One that works in this process alone, whatever the others do."""
    if jax.process_count() == 1:
        return ocp.StandardCheckpointer()
    own = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
        )
    )


def _on_the_host(tree: PyTree) -> PyTree:
    """What tells orbax to restore to NumPy arrays, which ask for no devices."""
    return jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), tree)


def _part(tree: dict[str, PyTree], name: str) -> dict[str, PyTree]:
    return {key: parts[name] for key, parts in tree.items() if name in parts}


def _checked(path: Path) -> Path:
    path = Path(path).absolute()
    if not path.is_dir():
        raise InputError(f"checkpoint '{path}' does not exist; give a directory such as rounds/00/checkpoint")
    if not (path / "_CHECKPOINT_METADATA").exists():
        raise InputError(f"'{path}' is no orbax checkpoint; give a directory such as rounds/00/checkpoint")
    return path


def _compare(path: Path, stored: PyTree, wanted: PyTree) -> None:
    stored, wanted = _shapes(stored), _shapes(wanted)
    if stored != wanted:
        raise InputError(f"checkpoint '{path}' is of another model: {_difference(stored, wanted)}")


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves
    }


def _difference(stored: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], most: int = 3) -> str:
    lines = [f"'{key}' is not needed" for key in stored.keys() - wanted.keys()]
    lines += [f"'{key}' is missing" for key in wanted.keys() - stored.keys()]
    lines += [
        f"'{key}' has shape {stored[key]}, not {wanted[key]}"
        for key in stored.keys() & wanted.keys()
        if stored[key] != wanted[key]
    ]
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return ", ".join(sorted(lines)[:most]) + more


class Progress:
    """The newest checkpoint of a stage in training, for a run that is killed; written in the background.

    As a context manager it waits at the end, however that comes, for what is being written.

    Attributes:
      directory: holds one directory a saved step.
    """

    def __init__(self, directory: Path):
        self.directory = Path(directory)
        self._writing: ocp.StandardCheckpointer | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def latest_step(self) -> int:
        """Steps done at the newest complete checkpoint, 0 if there is none."""
        return max((int(path.name) for path in self.directory.glob("*") if path.name.isdigit()), default=0)

    def save(self, step: int, state: PyTree) -> None:
        """Begins to write `state` as of `step`, of which it keeps a copy until that is done."""
        self.finish()
        copy = jax.device_get(state)  # no copy on a CPU, where JAX does not reuse a buffer that is held
        self.directory.mkdir(parents=True, exist_ok=True)  # orbax would wait ten minutes before it says no
        self._writing = _checkpointer()
        self._writing.save((self.directory / str(step)).absolute(), copy, force=True)

    def finish(self) -> None:
        """Waits until what was begun is written, and drops what is older."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        writing.close()
        newest = str(self.latest_step())
        for path in self.directory.glob("*"):
            if path.name != newest:
                shutil.rmtree(path)

    def restore(self, step: int, like: T) -> T:
        """The state saved at `step`."""
        return restore(self.directory / str(step), like)

    def clear(self) -> None:
        """Removes all of it: the stage is finished."""
        self.finish()
        shutil.rmtree(self.directory, ignore_errors=True)
