"""Preparing data sets: as a user asks for it, or on first use."""

import shutil
from pathlib import Path
from typing import Any

from adeada_jax import seams
from adeada_jax.data.builders import writing
from adeada_jax.data.builders.folder import Folder
from adeada_jax.data.builders.layout import DataSet
from adeada_jax.data.data_sets import EMBEDDED, ToyStreets, directory_of, find_data_set, named_by
from adeada_jax.data.prepared import is_complete, open_builder
from adeada_jax.errors import InputError


def prepare(
    dataset: str, data_dir: str | Path, *, progress: bool = True, update: bool = False, **options: Any
) -> None:
    """Makes a data set below `data_dir`, unless it is there.

    One that is there is compared with the files that it was prepared from. What a killed preparation finished
    is used, the rest made again; a second process waits for the first.

    Args:
      dataset: its name, see `data_sets.find_data_set`.
      data_dir: directory for prepared data sets.
      progress: shows a progress bar.
      update: prepares anew what changed in those files since; else a change is an error.
      **options: of the toy streets the settings; of a data set that lies on disk `source_dir`, `jobs` and
        `beam_options` (see `builders.writing.write_from_files`).

    Raises:
      InputError: unknown name; the directory cannot be written or is too small; something is wrong with the
        files that the data set is made from; the data set is there from another folder; its files changed
        since, which are listed in print, and `update` is not set.
    """
    found, directory = find_data_set(dataset), Path(data_dir) / directory_of(dataset)
    whole = is_complete(directory) and not update and not writing.leftovers(directory)
    # What is complete is only read, wherever it lies.
    if whole and (
        isinstance(found, ToyStreets)
        or not _outdated(found, dataset, data_dir, update=False, options=options)
    ):
        return
    with writing.locked(Path(data_dir)):
        writing.tidy(directory)
        if is_complete(directory):
            if isinstance(found, ToyStreets) or not _outdated(
                found, dataset, data_dir, update=update, options=options
            ):
                shutil.rmtree(writing.parts_directory(directory), ignore_errors=True)
                return
        elif directory.exists():
            # Nothing goes before it is known that there is something to make it of.
            if not isinstance(found, ToyStreets):
                found.find(options.get("source_dir", ""))
            shutil.rmtree(directory)
        if isinstance(found, ToyStreets):
            writing.write_toy_streets(found.domain, Path(data_dir), progress, **options)
        else:
            writing.write_from_files(found, directory, Path(data_dir), progress, **options)


def write_classes(
    dataset: str, source_dir: str | Path, *, jobs: int | None = None, progress: bool = True
) -> Path:
    """Writes classes.yaml into a folder of one's own images, of what is found in its labels.

    Args:
      dataset: 'folder'.
      source_dir: the folder.
      jobs: processes; one a core unless given.
      progress: shows a progress bar.

    Returns:
      The file.

    Raises:
      InputError: another data set; as `class_drafts.write_draft`.
    """
    found = find_data_set(named_by(dataset)[0])
    if not isinstance(found, Folder):
        raise InputError(f"--write_classes: '{dataset}' has classes of its own; it is for --dataset=folder")
    return writing.write_classes(found, source_dir, jobs=jobs, progress=progress)


def make_if_embedded(dataset: str, data_dir: str | Path, seam: seams.Seam) -> None:
    """Makes the toy streets on first use; of other data sets checks that they are prepared.

    Raises:
      InputError: as `prepare`, or the data set is not prepared.
    """
    find_data_set(dataset, seam)
    if dataset in EMBEDDED:
        prepare(dataset, data_dir)
    else:
        open_builder(dataset, data_dir)


def _outdated(
    found: DataSet, dataset: str, data_dir: str | Path, *, update: bool, options: dict[str, Any]
) -> bool:
    """Whether a data set is to be prepared anew, as its files changed; refuses that without `update`.

    Another folder with the same content will do; one with other content is another data set's, unless the
    former is gone. Where no folder is given the former is looked at, if it is still there.
    """
    directory = Path(data_dir) / directory_of(dataset)
    stored = open_builder(dataset, data_dir).info.metadata["source_dir"]
    source_dir = options.get("source_dir") or stored
    if not options.get("source_dir") and not Path(stored).exists():
        return False
    options["source_dir"] = source_dir
    changes = writing.source_changes(found, directory, source_dir, jobs=options.get("jobs"))
    if not changes:
        return False
    if Path(stored) != Path(source_dir).resolve() and Path(stored).exists():
        raise InputError(
            f"data_dir '{data_dir}' holds '{dataset}' prepared from '{stored}', not from '{source_dir}'; "
            f"give another --data_dir, or delete '{directory}'"
        )
    print(f"'{source_dir}' changed since '{dataset}' was prepared in '{data_dir}':")
    changes.show()
    if not update:
        raise InputError(
            f"source_dir '{source_dir}' changed since '{dataset}' was prepared in '{data_dir}': {changes}; "
            "give --update to prepare what changed anew, or another --data_dir"
        )
    return True
