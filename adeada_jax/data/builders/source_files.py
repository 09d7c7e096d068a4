"""The files that a data set was prepared from, and what changed in them since."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from adeada_jax.data.fingerprint import digest, shown
from adeada_jax.data.workers import ordered_map
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_json_atomic

# In a prepared data set's directory: `files`, by path below the source directory, and `labels`, by split the
# key of each record's label, '' where there is none.
FILE = "sources.json"

_LINES = 100  # that a list of changes prints


class SourceFile(NamedTuple):
    """A file as it was when it was read.

    Attributes:
      size: in bytes.
      modified: time of its last change in ns.
      digest: checksum of its content.
    """

    size: int
    modified: int
    digest: str


@dataclass(frozen=True)
class Changes:
    """Paths of files that came, went or hold something else, sorted."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    altered: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)

    def __str__(self) -> str:
        parts = [f"{len(names)} {what} ({shown(names)})" for what, names in vars(self).items() if names]
        return ", ".join(parts)

    def show(self) -> None:
        """Prints the files, at most 100 of each kind."""
        for what, names in vars(self).items():
            for name in names[:_LINES]:
                print(f"  {what}: {name}")
            if len(names) > _LINES:
                print(f"  {what}: and {len(names) - _LINES} more")


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
      InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error


def read_source(path: Path) -> tuple[bytes, SourceFile]:
    """A file's bytes, and what tells later whether it is still the same.

    Raises:
      InputError: it cannot be read.
    """
    size, modified = _status(path)  # before the content, so that a change meanwhile shows
    content = read_file(path)
    return content, SourceFile(size, modified, digest(content))


def read_unchanged(path: Path, expected: str) -> bytes:
    """A file's bytes, which must still be those that were checked.

    Raises:
      InputError: they are not.
    """
    content = read_file(path)
    if digest(content) != expected:
        raise InputError(f"'{path}' changed while it was prepared; give the same command again")
    return content


def write_sources(directory: Path, files: Mapping[str, SourceFile], labels: Mapping[str, object]) -> None:
    """Notes what a data set was prepared from."""
    write_json_atomic(directory / FILE, {"files": files, "labels": labels})


def find_changes(directory: Path, paths: Mapping[str, Path], *, jobs: int | None) -> Changes:
    """Compares the files that are there with those that a data set was prepared from.

    A file of the same size and time counts as the same; of others the content decides.

    Args:
      directory: of the prepared data set.
      paths: the files that are there, by path below the source directory.
      jobs: processes that read.

    Raises:
      InputError: a file cannot be read.
    """
    stored = {name: SourceFile(*values) for name, values in read_json(directory / FILE)["files"].items()}
    both = [name for name in sorted(paths) if name in stored]
    doubtful = [name for name in both if _status(paths[name]) != stored[name][:2]]
    same_size = [name for name in doubtful if _status(paths[name])[0] == stored[name].size]
    digests = ordered_map(_digest, [paths[name] for name in same_size], processes=jobs)
    same = {n for n, found in zip(same_size, digests, strict=True) if found == stored[n].digest}
    return Changes(
        added=tuple(sorted(paths.keys() - stored.keys())),
        removed=tuple(sorted(stored.keys() - paths.keys())),
        altered=tuple(name for name in doubtful if name not in same),
    )


def relative(paths: Iterable[Path], source_dir: Path) -> dict[str, Path]:
    """Paths by their place below the source directory."""
    return {Path(os.path.relpath(path, source_dir)).as_posix(): path for path in paths}


def _digest(path: Path) -> str:
    return digest(read_file(path))


def _status(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns
