"""GTA5 ("Playing for Data"), over images and labels as they are unpacked."""

from pathlib import Path

from adeada_jax.data.builders.cityscapes import CLASS_IDS
from adeada_jax.data.builders.label_files import ClassMap, IdLabels
from adeada_jax.data.builders.layout import Content, find_files, find_root, pair
from adeada_jax.labels import CLASS_NAMES, PALETTE

# The palette's indices are Cityscapes' label ids, and 34 for licence plates.
_LABELS = IdLabels(
    ClassMap(
        classes=tuple((stored, class_id) for class_id, stored in enumerate(CLASS_IDS)),
        ignored=(*(stored for stored in range(35) if stored not in CLASS_IDS), 255),
    )
)


class Gta5:
    """GTA5: streets rendered by a computer game, all of them in the split train."""

    name = "gta5"
    version = "2.0.0"

    def find(self, source_dir: str) -> Content:
        """Finds images and labels; split.mat is not looked at, since the paper trains on all images.

        Of the 24,966 images 62 differ in size from their labels; they are left out by what is measured.

        Args:
          source_dir: holds `images/00001.png`, ... and `labels/` with the same names.

        Raises:
          InputError: it does not.
        """
        root = find_root("GTA5", source_dir, ("images", "labels"))
        items, problems = pair(find_files(root / "images", (".png",)), find_files(root / "labels", (".png",)))
        return Content(
            title="GTA5",
            source_dir=Path(source_dir),
            splits={"train": items},
            read_label=_LABELS,
            class_names=CLASS_NAMES,
            palette=PALETTE,
            expected={"train": 24966},
            problems=tuple(problems),
            drop_mismatched=True,
        )
