"""What lies in the folder of a data set as it was downloaded: images, their labels, what is missing."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from adeada_jax.data.builders.source_files import SourceFile, relative
from adeada_jax.errors import InputError
from adeada_jax.faults import is_utf8, printable

# Encoded label file and its name to `(H, W)` uint8 class ids, 255 = ignore; InputError if it is none.
LabelReader = Callable[[bytes, str], np.ndarray]

# What file managers, archivers and storage systems leave in folders, in lower case.
_LEFT_BEHIND = frozenset(
    ["@eadir", "#recycle", "@recycle", "$recycle.bin", "__macosx", "lost+found", "thumbs.db", "desktop.ini"]
)
# Ends of the names of labels that tools make from other labels and put beside them.
DERIVED = ("_labelTrainIds", "_labelIds", "_instanceIds", "_instanceTrainIds", "_color")
_SHOWN = 8  # entries of a directory that an error names


@dataclass(frozen=True)
class Item:
    """An image on disk.

    Attributes:
      name: unique in its split; what selections and reports call it.
      image: its file.
      label: the file of its label; None where there is none.
      image_digest: checksum of the image's file, once it is checked.
      label_digest: the same of the label.
      size: height and width of the image, upright.
    """

    name: str
    image: Path
    label: Path | None
    image_digest: str = ""
    label_digest: str = ""
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Content:
    """What a data set's folder holds.

    Attributes:
      title: the data set's name as people write it.
      source_dir: the folder.
      splits: images by split, sorted by name.
      read_label: reads its label files; None where there are none.
      class_names: of the classes, by id.
      palette: `(C, 3)` uint8 RGB.
      expected: images by split as published; empty where nobody knows.
      problems: what is wrong, one line each.
      notes: what is remarkable but no mistake, one line each.
      drop_mismatched: whether images of another size than their label are left out; else they are problems.
      others: files that the data set depends on besides, such as one that names the classes.
      ids_given: whether the class file says which stored ids each class has.
      files: of the images, labels and others, by path below `source_dir`, once they are checked.
    """

    title: str
    source_dir: Path
    splits: Mapping[str, tuple[Item, ...]]
    read_label: LabelReader | None
    class_names: tuple[str, ...]
    palette: np.ndarray
    expected: Mapping[str, int]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    drop_mismatched: bool = False
    others: tuple[Path, ...] = ()
    ids_given: bool = False
    files: Mapping[str, SourceFile] = field(default_factory=dict)

    @property
    def items(self) -> list[Item]:
        """The images of all splits."""
        return [item for items in self.splits.values() for item in items]

    @property
    def paths(self) -> dict[str, Path]:
        """All files that the data set is made from, by path below `source_dir`."""
        files = [path for item in self.items for path in (item.image, item.label) if path]
        return relative([*files, *self.others], self.source_dir)


class DataSet(Protocol):
    """A data set that lies on disk as it was downloaded; one of your own is a class like this.

    Attributes:
      name: of its folder below the data directory; lower-case letters, digits and _.
      version: such as '1.0.0'; data that were prepared under another have to be prepared again.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...

    def find(self, source_dir: str) -> Content:
        """Finds images, labels and what the labels mean; reads no image.

        Raises:
          InputError: the folder is not one of this data set.
        """
        ...


def find_root(title: str, source_dir: str | Path, needed: Iterable[str], *, inside: str = "") -> Path:
    """The folder that holds the needed subfolders: `source_dir`, or `inside` below it.

    Args:
      title: the data set's name.
      source_dir: what the user gave.
      needed: relative paths of folders that must be there.
      inside: a folder that the data set's archives unpack to.

    Raises:
      InputError: says what was looked for and what was found, and where it lies if that is near.
    """
    if not str(source_dir):
        raise InputError(f"--source_dir: give the folder of {title} as downloaded")
    given, needed = Path(source_dir), tuple(needed)
    if not given.is_dir():
        raise InputError(f"source_dir '{given}' is no directory")
    for root in (given, given / inside):
        if all((root / name).is_dir() for name in needed):
            return root
    looked = ", ".join(f"{name}/" for name in needed)
    missing = [f"{name}/" for name in needed if not (given / name).is_dir()]
    which = f"; missing: {', '.join(missing)}" if len(missing) < len(needed) else ""
    message = (
        f"source_dir '{given}' is not the folder of {title}: looked for {looked}{which}; "
        f"found {_listing(given)}"
    )
    near = _nearby(given, needed)
    raise InputError(message + (f"; try --source_dir={near}" if near else ""))


def _listing(directory: Path) -> str:
    entries = sorted(f"{path.name}/" if path.is_dir() else path.name for path in directory.iterdir())
    if not entries:
        return "nothing"
    rest = len(entries) - _SHOWN
    return ", ".join(entries[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _nearby(given: Path, needed: tuple[str, ...]) -> Path | None:
    """A parent or child of the given folder that holds what is needed."""
    resolved = given.resolve()
    children = sorted(path for path in given.iterdir() if path.is_dir())
    for candidate in (*children, *list(resolved.parents)[:2]):
        try:
            if all((candidate / name).is_dir() for name in needed):
                return candidate
        except OSError:  # a folder that may not be looked into
            continue
    return None


def find_files(directory: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below a directory by their relative path without suffix, as `walk` finds them.

    Args:
      directory: searched recursively.
      suffixes: e.g. '_labelIds.png', matched in any case.

    Raises:
      InputError: two files share a name; links lead nowhere; a folder cannot be read.
    """
    found: dict[str, Path] = {}
    broken = []
    for path in walk(directory):
        suffix = next((s for s in suffixes if path.name.lower().endswith(s.lower())), None)
        if suffix and os.path.isfile(path):
            name = path.relative_to(directory).as_posix()[: -len(suffix)]
            if not is_utf8(name):
                raise InputError(
                    f"the name {printable(str(path))} is no UTF-8; rename the file or its folder"
                )
            if name in found:
                raise InputError(
                    f"'{found[name]}' and '{path}' share the name '{name}'; rename or remove one"
                )
            found[name] = path
        elif os.path.isdir(path):
            raise InputError(f"folder '{path}' cannot be read; check its permissions")
        elif (suffix or not path.suffix) and os.path.islink(path) and not os.path.exists(path):
            broken.append(f"'{path}'")
    if broken:
        number = f"{len(broken)} links lead nowhere" if len(broken) > 1 else "a link leads nowhere"
        more = f" and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise InputError(
            f"{number}: {', '.join(broken[:_SHOWN])}{more}; bring back what they point to, or remove them"
        )
    return found


def walk(directory: Path) -> Iterator[Path]:
    """All files below a directory, sorted; links are followed, links back to a folder above are not.

    Hidden files and folders and what systems leave behind do not count. A link that leads nowhere comes like
    a file, and so does a folder that cannot be read.
    """
    above = frozenset(map(_place, (*directory.absolute().parents, *directory.resolve().parents)))
    return _walk(directory, above)


def _place(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _walk(directory: Path, above: frozenset[tuple[int, int]]) -> Iterator[Path]:
    try:
        place = _place(directory)
        names = sorted(os.listdir(directory))
    except OSError:
        yield directory
        return
    if place in above:
        return
    for name in names:
        path = directory / name
        if name.startswith(".") or name.lower() in _LEFT_BEHIND:
            continue
        if os.path.isdir(path):
            yield from _walk(path, above | {place})
        else:
            yield path


def pair(images: Mapping[str, Path], labels: Mapping[str, Path]) -> tuple[tuple[Item, ...], list[str]]:
    """The images, sorted by name, and a line for each image or label that stands alone.

    Labels that tools derive from others, such as `x_labelTrainIds` where there is an image `x`, are left.
    """
    items = tuple(Item(name, images[name], labels.get(name)) for name in sorted(images))
    problems = [f"image '{item.image}' has no label" for item in items if not item.label]
    for name in sorted(labels.keys() - images.keys()):
        if not (name.endswith(DERIVED) and any(name.removesuffix(end) in images for end in DERIVED)):
            problems.append(f"label '{labels[name]}' has no image")
    return items, problems
