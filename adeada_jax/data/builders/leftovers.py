"""Files of a user's folder that are neither image nor label: those surely meant to be, and the others."""

from collections import Counter
from collections.abc import Mapping, Set
from pathlib import Path

from adeada_jax.data.builders.layout import DERIVED, Item, walk

_LOSSLESS = (".tif", ".tiff", ".bmp", ".gif", ".pgm")
_LOSSY = (".jpg", ".jpeg")
_SHOWN = 8  # kinds of files that a line names


def no_png_labels(labels: Path, names: Set[str], *, any_kind: bool) -> list[str]:
    """A line for each kind of files that have the names of images without a label, but are no PNGs.

    Args:
      labels: folder of a split's labels.
      names: of the images without a label.
      any_kind: whether polygons, tables and the like count, besides pictures.
    """
    suffixes = Counter(
        path.suffix.lower()
        for path in walk(labels)
        if path.suffix.lower() != ".png" and _name(path, labels) in names
    )
    problems = []
    for suffix, count in sorted(suffixes.items()):
        if suffix in _LOSSY:
            remedy = "JPEG changes ids; export the labels anew, as PNGs"
        elif suffix in _LOSSLESS:
            remedy = "save them as PNGs of the same values (docs/data.md has a command)"
        else:
            remedy = "export PNGs of ids from the tool that made them"
        if any_kind or suffix in _LOSSLESS + _LOSSY:
            problems.append(f"labels must be PNGs, but '{labels}' has {count} {suffix}: {remedy}")
    return problems


def misplaced_labels(images: Path, labels: Path, splits: Mapping[str, tuple[Item, ...]]) -> list[str]:
    """A line for each folder of labels whose files have the names of images that lie elsewhere and have none.

    Args:
      images: the folder images/.
      labels: the folder of labels.
      splits: what was found in both, by split.
    """
    items = [item for items in splits.values() for item in items]
    bare = {item.image.stem for item in items if not item.label}
    used = {item.label for item in items}
    if not bare:
        return []
    own = {_name(path, images) for path in walk(images)}
    pngs = [path for path in walk(labels) if path.suffix.lower() == ".png" and path not in used]
    lost = [path for path in pngs if path.stem in bare and _name(path, labels) not in own]
    folders = Counter(path.parent for path in lost)
    places = " or ".join(f"{labels.name}/{split}/" for split in splits)
    return [
        f"'{folder}' has {count} labels of images in other folders; put each into {places}, as its image lies"
        for folder, count in sorted(folders.items())
    ]


def unused_files(root: Path, used: Set[Path]) -> list[str]:
    """One line that counts what is there and not used, by folder and kind; none if there is nothing.

    What tools derive from labels and put beside them is not worth a word.
    """
    counts: Counter[str] = Counter()
    for path in walk(root):
        if path not in used and not path.stem.endswith((*DERIVED, "_polygons")):
            folder = "/".join(path.relative_to(root).parent.parts[:2])
            counts[f"{path.suffix.lower() or 'files'} in {folder or '.'}/"] += 1
    if not counts:
        return []
    by_folder = sorted(counts.items(), key=lambda counted: counted[0].partition(" in ")[::-1])
    shown = [f"{count} {kind}" for kind, count in by_folder]
    rest = f" and in {len(shown) - _SHOWN} more places" if len(shown) > _SHOWN else ""
    return [f"not used: {', '.join(shown[:_SHOWN])}{rest}"]


def _name(path: Path, directory: Path) -> str:
    return path.relative_to(directory).with_suffix("").as_posix()
