"""Reading classes.yaml or classes.json, which say what the labels of a user's own folder mean."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from adeada_jax.data.builders.class_colors import fill_palette
from adeada_jax.data.builders.label_files import ClassMap, FolderLabels
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL

NAMES = ("classes.yaml", "classes.yml", "classes.json")


@dataclass(frozen=True)
class Classes:
    """The classes of a folder.

    Attributes:
      names: by class id.
      palette: `(C, 3)` uint8 RGB.
      read_label: reads its label files.
      ids_given: whether the file says which stored ids each class has.
    """

    names: tuple[str, ...]
    palette: np.ndarray
    read_label: FolderLabels
    ids_given: bool


def find_classes(root: Path) -> Classes | None:
    """Reads the one class file of a folder; None where there is none.

    Raises:
      InputError: there are several, or it cannot be understood.
    """
    found = [root / name for name in NAMES if (root / name).is_file()]
    if len(found) > 1:
        raise InputError(f"'{root}' has {' and '.join(path.name for path in found)}; keep one of them")
    return read_classes(found[0]) if found else None


def read_classes(path: Path) -> Classes:
    """Reads a class file: `classes`, a list of names, or of `name` with, at will, `color` and `ids`.

    Where the file gives ids, it gives them for all classes, and all others are ignored. Where it gives none,
    class i is stored as i, and other ids than 0..C-1 and 255 are refused. Colours that it does not give are
    made.

    Raises:
      InputError: names the file, the class and what is wrong.
    """
    entries: list[Any] = [{"name": entry} if isinstance(entry, str) else entry for entry in _load(path)]
    given = any(isinstance(entry, dict) and "ids" in entry for entry in entries)
    for class_id, entry in enumerate(entries):
        _check_entry(entry, f"'{path}': class {class_id}", ids=given)
    names = [entry["name"] for entry in entries]
    colors = [tuple(entry["color"]) if "color" in entry else None for entry in entries]
    pairs: list[tuple[int, int]] = [
        (stored, i) for i, entry in enumerate(entries) for stored in (entry["ids"] if given else [i])
    ]
    _check_unique(names, f"'{path}': classes share the name")
    _check_unique([color for color in colors if color], f"'{path}': classes share the color")
    _check_unique([stored for stored, _ in pairs], f"'{path}': classes share the id")
    ignored = None if given else (IGNORE_LABEL,)
    labels = FolderLabels(ClassMap(tuple(pairs), ignored), tuple(colors))
    return Classes(tuple(names), fill_palette(colors), labels, given)


def _load(path: Path) -> list[object]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"'{path}' cannot be read: {' '.join(str(error).split())}") from error
    entries = content.get("classes") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) < IGNORE_LABEL:
        raise InputError(f"'{path}' needs a key 'classes' with a list of 1 to {IGNORE_LABEL - 1} classes")
    return entries


def _check_entry(entry: object, what: str, *, ids: bool) -> None:
    """Refuses a class whose keys or values are not as they should be."""
    needed = {"name", "ids"} if ids else {"name"}
    if not isinstance(entry, dict) or not needed <= set(entry) <= needed | {"color"}:
        found = ", ".join(sorted(map(str, entry))) if isinstance(entry, dict) else repr(entry)
        keys = " and ".join(sorted(needed, reverse=True))
        raise InputError(f"{what} needs {keys} and may have color; it has: {found}")
    if not isinstance(entry["name"], str) or not entry["name"]:
        raise InputError(f"{what}: name: {entry['name']!r} is no text")
    if "color" in entry and (not _are_integers(entry["color"], 255) or len(entry["color"]) != 3):
        raise InputError(f"{what} ({entry['name']}): color: {entry['color']!r} is not three numbers 0 to 255")
    if ids and not _are_integers(entry["ids"], 2**16 - 1):
        raise InputError(f"{what} ({entry['name']}): ids: {entry['ids']!r} is no list of ids 0 to 65535")


def _are_integers(values: object, largest: int) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= largest for v in values)


def _check_unique(values: Sequence[object], message: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise InputError(f"{message} {value}")
