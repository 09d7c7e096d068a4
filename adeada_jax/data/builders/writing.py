"""Making a data set below a directory: one process at a time, with progress and clear errors."""

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from adeada_jax.data.builders import checks, class_drafts, source_files
from adeada_jax.data.builders.layout import DataSet
from adeada_jax.errors import InputError
from adeada_jax.faults import machine_fault


def parts_directory(directory: Path) -> Path:
    """Where the labels of a data set are kept until its records are written."""
    return directory.parent / f"parts_{directory.name}"


def _former_directory(directory: Path) -> Path:
    """Where a data set lies for the moment in which another takes its place."""
    return directory.parent / f"former_{directory.name}"


def _staging_directory(directory: Path) -> Path:
    """The data directory in which a data set's records are written before it takes its place."""
    return directory.parent / f"new_{directory.name}"


def tidy(directory: Path) -> None:
    """Undoes what a killed preparation had begun: a data set that was there is there, the labels are kept."""
    former = _former_directory(directory)
    if former.exists() and not directory.exists():
        os.rename(former, directory)
    for leftover in leftovers(directory):
        shutil.rmtree(leftover)


def leftovers(directory: Path) -> list[Path]:
    """What a killed preparation left beside a data set, but for the labels."""
    beside = directory.parent.glob(f"incomplete.*_{directory.name}")
    candidates = (_former_directory(directory), _staging_directory(directory), *beside)
    return [path for path in candidates if path.exists()]


def put_in_place(made: Path, directory: Path) -> None:
    """Replaces a data set, if there is one; killed at any moment, it leaves what `tidy` makes whole."""
    former = _former_directory(directory)
    if directory.exists():
        os.rename(directory, former)
    os.rename(made, directory)
    tidy(directory)
    shutil.rmtree(parts_directory(directory))


def write_toy_streets(domain: str, data_dir: Path, progress: bool, **options: Any) -> None:
    """Makes the toy streets.

    Args:
      domain: 'rendered' or 'filmed'.
      data_dir: directory for prepared data sets.
      progress: shows a progress bar.
      **options: see `toy.create`.
    """
    from adeada_jax.data.builders import tfds_records, toy  # with TFDS, which takes seconds

    builder = toy.create(str(data_dir), domain, **options)
    with _bar(f"preparing toy/{domain}", builder.num_examples, visible=progress) as advance:
        tfds_records.write(builder, on_example=advance)
    if progress and not sys.stdout.isatty():
        print(f"prepared toy/{domain} in {data_dir}")


def write_from_files(
    data_set: DataSet,
    directory: Path,
    data_dir: Path,
    progress: bool,
    *,
    source_dir: str | Path = "",
    jobs: int | None = None,
    beam_options: Sequence[str] | None = None,
) -> None:
    """Makes a data set from what was downloaded; goes on where a killed preparation stopped.

    One that is there is replaced at the end, and what did not change is taken over from it.

    Args:
      data_set: what finds its files.
      directory: of the data set, below `data_dir`.
      data_dir: directory for prepared data sets.
      progress: shows progress bars.
      source_dir: what was downloaded.
      jobs: processes; one a core unless given.
      beam_options: of a Beam pipeline that makes the labels, instead of processes.

    Raises:
      InputError: something is wrong with the files or the disk.
    """
    content = data_set.find(str(source_dir))
    from adeada_jax.data.builders import from_files  # with TFDS, which takes seconds

    def bar(description: str, total: int) -> contextlib.AbstractContextManager[Callable[[], None]]:
        return _bar(description, total, visible=progress)

    made = from_files.prepare(
        data_set,
        content,
        Path(data_dir),
        staging=_staging_directory(directory),
        parts=parts_directory(directory),
        former=directory,
        jobs=jobs,
        beam_options=beam_options,
        bar=bar,
    )
    put_in_place(made, directory)


def source_changes(
    data_set: DataSet, directory: Path, source_dir: str | Path, *, jobs: int | None
) -> source_files.Changes:
    """What changed in the files that a data set was prepared from.

    Args:
      data_set: what finds its files.
      directory: of the prepared data set.
      source_dir: where the files lie now.
      jobs: processes that read those whose size or time changed.

    Raises:
      InputError: the folder is not one of such a data set; nothing changed but that something is wrong now,
        such as a label without an image.
    """
    content = data_set.find(str(source_dir))
    changes = source_files.find_changes(directory, content.paths, jobs=jobs)
    if content.problems and not changes:
        checks.refuse(content, content.problems)
    return changes


def write_classes(data_set: DataSet, source_dir: str | Path, *, jobs: int | None, progress: bool) -> Path:
    """Writes a file of classes into a folder; see `class_drafts.write_draft`."""

    def bar(description: str, total: int) -> contextlib.AbstractContextManager[Callable[[], None]]:
        return _bar(description, total, visible=progress)

    return class_drafts.write_draft(data_set.find(str(source_dir)), jobs=jobs, bar=bar)


@contextlib.contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Lets one process at a time prepare data here; the lock goes with the process.

    Raises:
      InputError: the directory cannot be written, then or while the lock is held.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = open(data_dir / ".prepare.lock", "w", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"data_dir '{data_dir}' cannot be written: {error.strerror}") from error
    with lock:
        _wait_for(lock, data_dir)
        try:
            yield
        except OSError as error:
            fault = machine_fault(error)
            if fault is None:
                raise
            elsewhere = error.filename is not None and not Path(error.filename).is_relative_to(data_dir)
            said = fault if elsewhere else f"data_dir '{data_dir}' cannot be written: {error.strerror}"
            raise InputError(said) from error


def _wait_for(lock: IO[str], data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process that prepares data in '{data_dir}'", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


@contextlib.contextmanager
def _bar(description: str, total: int, *, visible: bool) -> Iterator[Callable[[], None]]:
    """A progress bar, where the output is a terminal; yields what advances it."""
    # The bar keeps the real output while TFDS' own prints go nowhere.
    console = Console(file=sys.stdout)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    visible = visible and console.is_terminal
    with Progress(*columns, console=console, redirect_stdout=False, disable=not visible) as progress:
        task = progress.add_task(description, total=total)
        yield lambda: progress.advance(task)
