"""A user's own images, with labels or without."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from adeada_jax.data.builders.class_files import NAMES, Classes, find_classes
from adeada_jax.data.builders.label_files import ClassMap, FolderLabels
from adeada_jax.data.builders.layout import Content, Item, LabelReader, find_files, find_root, pair
from adeada_jax.data.builders.leftovers import misplaced_labels, no_png_labels, unused_files
from adeada_jax.errors import InputError

_IMAGES = (".png", ".jpg", ".jpeg")
# Names of folders, in any case, by split; a test split has no use here.
_SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
# Names of the folder of labels, in any case.
_LABELS = (
    "labels",
    "label",
    "masks",
    "mask",
    "annotations",
    "annotation",
    "gt",
    "ground_truth",
    "groundtruth",
    "segmentation",
    "segmentations",
    "segmentationclass",
)


class Folder:
    """A folder of images of one's own."""

    name = "folder"
    version = "2.0.0"

    def find(self, source_dir: str) -> Content:
        """Finds images, labels and what the labels mean.

        Args:
          source_dir: holds `images/`, at will divided into `train/` and `val/`; for labels also `labels/` (or
            `masks/`, ...) with PNGs of the same names, and classes.yaml or classes.json, which may also name
            the classes of images without labels.

        Raises:
          InputError: there are no images, or labels without a class file.
        """
        root = find_root("images of your own", source_dir, ("images",))
        classes = find_classes(root)
        labels = _label_folder(root)
        splits, problems = {}, []
        for split, images in _places(root / "images").items():
            divided = images != root / "images"
            place = labels and (_split_folder(labels, split) if divided else labels)
            splits[split], wrong = _find_split(split, images, place, classified=classes is not None)
            problems += wrong
        problems += misplaced_labels(root / "images", labels, splits) if labels else []
        unused = unused_files(root, _used(root, splits))
        if not any(splits.values()) and not problems:
            looked = f"{', '.join(_IMAGES)} are looked for"
            raise InputError(f"'{root / 'images'}' has no image: {'; '.join([looked, *unused])}")
        labelled = any(item.label for items in splits.values() for item in items)
        if labels and labelled and not classes:
            problems.insert(0, _unexplained(labels))
        return Content(
            title="folder",
            source_dir=Path(source_dir),
            splits=splits,
            read_label=_reader(classes, labelled),
            class_names=classes.names if classes else (),
            palette=classes.palette if classes else np.zeros((0, 3), np.uint8),
            expected={},
            problems=tuple(problems),
            notes=(*_label_notes(labels, labelled), *_partly(splits), *unused),
            others=tuple(root / name for name in NAMES if (root / name).is_file()),
            ids_given=classes.ids_given if classes else False,
        )


def _places(images: Path) -> dict[str, Path]:
    """The folder of each split; without any, all of images/ is the split train."""
    folders = {split: _split_folder(images, split) for split in _SPLITS}
    if not any(folders.values()):
        return {"train": images}
    places = {split: folder for split, folder in folders.items() if folder and split != "test"}
    if not places and folders["test"]:
        raise InputError(
            f"'{images}' has {folders['test'].name}/ alone, which has no use here; name it train/ "
            "or val/, or put its images right into images/"
        )
    return places


def _split_folder(directory: Path, split: str) -> Path | None:
    """The subfolder of a split, as it may be spelled."""
    found = _subfolders(directory, _SPLITS[split])
    if len(found) > 1:
        names = " and ".join(f"{path.name}/" for path in found)
        raise InputError(f"'{directory}' has {names}, both for the split '{split}'; keep one of them")
    return found[0] if found else None


def _label_folder(root: Path) -> Path | None:
    """The folder of labels: labels/, or the one that has another usual name and PNGs."""
    found = _subfolders(root, _LABELS)
    if root / "labels" in found:
        return root / "labels"
    if len(found) > 1:
        found = [path for path in found if find_files(path, (".png",))]
    if len(found) > 1:
        names = " and ".join(f"{path.name}/" for path in found)
        raise InputError(f"'{root}' has {names}; rename the one that holds the labels to labels/")
    return found[0] if found else None


def _subfolders(directory: Path, names: Iterable[str]) -> list[Path]:
    return [path for path in sorted(directory.iterdir()) if path.name.lower() in names and path.is_dir()]


def _find_split(
    split: str, images: Path, labels: Path | None, *, classified: bool
) -> tuple[tuple[Item, ...], list[str]]:
    """A split's images with their labels.

    Images to train on without one are no mistake where every label has its image: they are not labelled yet.

    Args:
      split: its name.
      images: folder of the images.
      labels: folder of their labels, if there is one.
      classified: whether there is a file of classes, so that labels are meant to be here.
    """
    found = find_files(images, _IMAGES)
    pngs = find_files(labels, (".png",)) if labels else {}
    others = no_png_labels(labels, found.keys() - pngs.keys(), any_kind=classified) if labels else []
    if pngs and not others:
        items, problems = pair(found, pngs)
        alone = [line for line in problems if line.startswith("label ")]
        begun = split == "train" and any(item.label for item in items) and not alone
        return items, [] if begun else problems
    return tuple(Item(name, found[name], None) for name in sorted(found)), others


def _used(root: Path, splits: Mapping[str, tuple[Item, ...]]) -> set[Path]:
    items = [item for items in splits.values() for item in items]
    return {root / name for name in NAMES} | {path for i in items for path in (i.image, i.label) if path}


def _reader(classes: Classes | None, labelled: bool) -> LabelReader | None:
    """What reads the labels; without a file of classes nothing in them is one."""
    if not labelled:
        return None
    return classes.read_label if classes else FolderLabels(ClassMap((), None), ())


def _unexplained(labels: Path) -> str:
    """What is said of labels without a file of classes."""
    return (
        f"it has {labels.name}/ but no {' or '.join(NAMES)} that says what they mean; the same command "
        f"with --write_classes writes a {NAMES[0]} of what was found in them, to be looked through"
    )


def _partly(splits: Mapping[str, tuple[Item, ...]]) -> list[str]:
    """How many images of a split have no label, where others have one."""
    counts = {split: sum(item.label is None for item in items) for split, items in splits.items()}
    return [
        f"split {split}: {count} of {len(splits[split])} images have no label yet"
        for split, count in counts.items()
        if 0 < count < len(splits[split])
    ]


def _label_notes(labels: Path | None, labelled: bool) -> list[str]:
    """Where labels were found, if not in labels/."""
    return (
        [f"labels are taken from {labels.name}/"] if labels and labelled and labels.name != "labels" else []
    )
