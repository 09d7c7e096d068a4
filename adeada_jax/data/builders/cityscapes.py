"""Cityscapes, over leftImg8bit and gtFine as they are unpacked."""

from pathlib import Path

from adeada_jax.data.builders.label_files import ClassMap, IdLabels
from adeada_jax.data.builders.layout import Content, find_files, find_root, pair
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES, PALETTE

# Cityscapes' label ids of the 19 classes, in the order of CLASS_NAMES.
CLASS_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

# The other ids are no class of the benchmark: 0-6 void, then e.g. 9 parking, 14 guard rail, 29 caravan;
# -1, the licence plate, would be stored as 255.
_LABELS = IdLabels(
    ClassMap(
        classes=tuple((stored, class_id) for class_id, stored in enumerate(CLASS_IDS)),
        ignored=(*(stored for stored in range(34) if stored not in CLASS_IDS), 255),
    )
)
_SPLITS = {"train": 2975, "val": 500}


class Cityscapes:
    """Cityscapes: filmed streets of 50 cities, finely labelled, splits train and val."""

    name = "cityscapes"
    version = "2.0.0"

    def find(self, source_dir: str) -> Content:
        """Finds images and labels.

        Args:
          source_dir: holds `leftImg8bit/<split>/<city>/*_leftImg8bit.png` and
            `gtFine/<split>/<city>/*_gtFine_labelIds.png`.

        Raises:
          InputError: it does not.
        """
        needed = [f"{kind}/{split}" for split in _SPLITS for kind in ("leftImg8bit", "gtFine")]
        root = find_root("Cityscapes", source_dir, needed)
        splits, problems = {}, []
        for split in _SPLITS:
            images = find_files(root / "leftImg8bit" / split, ("_leftImg8bit.png",))
            labels = find_files(root / "gtFine" / split, ("_gtFine_labelIds.png",))
            splits[split], missing = pair(_without_city(images), _without_city(labels))
            problems += missing if labels or not images else [_no_labels(root / "gtFine" / split)]
        return Content(
            title="Cityscapes",
            source_dir=Path(source_dir),
            splits=splits,
            read_label=_LABELS,
            class_names=CLASS_NAMES,
            palette=PALETTE,
            expected=_SPLITS,
            problems=tuple(problems),
        )


def _no_labels(directory: Path) -> str:
    """Says that a split has no label at all, and whether it has those of another kind."""
    derived = find_files(directory, ("_gtFine_labelTrainIds.png",))
    instead = f", only {len(derived)} *_gtFine_labelTrainIds.png, made from them" if derived else ""
    return (
        f"'{directory}' has no *_gtFine_labelIds.png{instead}; unpack gtFine_trainvaltest.zip of "
        "cityscapes-dataset.com there, which has them"
    )


def _without_city(files: dict[str, Path]) -> dict[str, Path]:
    """Files by their own name, which begins with the city that their folder is named after."""
    renamed = {name.rsplit("/", 1)[-1]: path for name, path in files.items()}
    for name, path in files.items():
        if renamed[name.rsplit("/", 1)[-1]] != path:
            raise InputError(f"'{path}' lies in two folders of cities; remove one")
    return renamed
