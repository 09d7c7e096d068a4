"""What lies in the folder of a data set as it was downloaded: images, their labels, what is missing."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adeada_jax.errors import InputError
from adeada_jax.faults import is_utf8, printable

# Encoded label file and its name to `(H, W)` uint8 class ids, 255 = ignore; InputError if it is none.
LabelReader = Callable[[bytes, str], np.ndarray]

_SHOWN = 8  # entries of a directory that an error names


@dataclass(frozen=True)
class Item:
    """An image on disk.

    Attributes:
      name: unique in its split; what selections and reports call it.
      image: its file.
      label: the file of its label; None where there is none.
    """

    name: str
    image: Path
    label: Path | None


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
      pixels: of all images, once they are checked.
      drop_mismatched: whether images of another size than their label are left out; else they are problems.
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
    pixels: int = 0
    drop_mismatched: bool = False

    @property
    def items(self) -> list[Item]:
        """The images of all splits."""
        return [item for items in self.splits.values() for item in items]


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
    missing = f"; missing: {', '.join(missing)}" if len(missing) < len(needed) else ""
    message = (
        f"source_dir '{given}' is not the folder of {title}: looked for {looked}{missing}; "
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
    """Files below a directory by their relative path without suffix; hidden ones do not count.

    Args:
      directory: searched recursively.
      suffixes: e.g. '_labelIds.png', matched in any case.

    Raises:
      InputError: two files share a name.
    """
    found: dict[str, Path] = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        suffix = next((s for s in suffixes if path.name.lower().endswith(s.lower())), None)
        if suffix is None or any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        name = relative.as_posix()[: -len(suffix)]
        if not is_utf8(name):
            raise InputError(f"the name {printable(str(path))} is no UTF-8; rename the file or its folder")
        if name in found:
            raise InputError(f"'{found[name]}' and '{path}' share the name '{name}'; rename or remove one")
        found[name] = path
    return found


def pair(images: Mapping[str, Path], labels: Mapping[str, Path]) -> tuple[tuple[Item, ...], list[str]]:
    """The images, sorted by name, and a line for each image or label that stands alone."""
    items = tuple(Item(name, images[name], labels.get(name)) for name in sorted(images))
    problems = [f"image '{item.image}' has no label" for item in items if not item.label]
    problems += [f"label '{labels[name]}' has no image" for name in sorted(labels.keys() - images.keys())]
    return items, problems
