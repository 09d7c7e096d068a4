"""TFDS builder of a user's own images, with labels or without."""

from collections import Counter
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from adeada_jax.data.builders.class_files import NAMES, find_classes
from adeada_jax.data.builders.from_files import FilesBuilder
from adeada_jax.data.builders.layout import Content, Item, find_files, find_root, pair
from adeada_jax.errors import InputError

_IMAGES = (".png", ".jpg", ".jpeg")
_SPLITS = ("train", "val")


class Folder(FilesBuilder, skip_registration=True):
    """A folder of images of one's own."""

    VERSION = tfds.core.Version("1.1.0")


BUILDER = Folder


def find(source_dir: str) -> Content:
    """Finds images, labels and what the labels mean.

    Args:
      source_dir: holds `images/`, at will divided into `train/` and `val/`; for labels also `labels/` with
        PNGs of the same names, and classes.yaml or classes.json.

    Raises:
      InputError: there are no images, or labels without a class file.
    """
    root = find_root("images of your own", source_dir, ("images",))
    classes = find_classes(root)
    places, notes = _places(root)
    notes += _other_files(root)
    splits, problems = {}, []
    for split, place in places.items():
        items, wrong = _find_split(root, place)
        splits[split] = items
        problems += wrong
    if not any(splits.values()) and not problems:
        raise InputError(f"'{root / 'images'}' has no image: {', '.join(_IMAGES)} are looked for")
    labelled = any(item.label for items in splits.values() for item in items)
    if labelled and not classes:
        raise InputError(f"'{root}' has labels/ but no {' or '.join(NAMES)} that says what they mean")
    return Content(
        title="folder", source_dir=Path(source_dir), splits=splits,
        read_label=classes.read_label if classes else None, class_names=classes.names if classes else (),
        palette=classes.palette if classes else np.zeros((0, 3), np.uint8), expected={},
        problems=tuple(problems), notes=tuple(notes),
        others=tuple(root / name for name in NAMES if (root / name).is_file()),
    )  # fmt: skip


def _places(root: Path) -> tuple[dict[str, str], list[str]]:
    """The folder of each split below images/ and labels/, and what is left out."""
    splits = [split for split in _SPLITS if (root / "images" / split).is_dir()]
    if not splits:
        return {"train": "."}, []
    others = [
        path.name
        for path in sorted((root / "images").iterdir())
        if path.name not in splits and not path.name.startswith(".")
    ]
    notes = [f"left out, since it lies beside {' and '.join(splits)}: images/{name}" for name in others]
    return {split: split for split in splits}, notes


def _other_files(root: Path) -> list[str]:
    """How many files below images/ are none that can be read, by suffix."""
    suffixes = Counter(
        path.suffix.lower() or path.name
        for path in (root / "images").rglob("*")
        if path.is_file() and path.suffix.lower() not in _IMAGES and not path.name.startswith(".")
    )
    return [f"left out of images/: {count} files of {suffix}" for suffix, count in sorted(suffixes.items())]


def _find_split(root: Path, place: str) -> tuple[tuple[Item, ...], list[str]]:
    """A split's images; labels are for all of them or for none."""
    images = find_files(root / "images" / place, _IMAGES)
    labels = find_files(root / "labels" / place, (".png",))
    if labels:
        return pair(images, labels)
    return tuple(Item(name, images[name], None) for name in sorted(images)), []
