"""SYNTHIA-RAND-CITYSCAPES, over RGB and GT/LABELS as they are unpacked."""

from pathlib import Path

from adeada_jax.data.builders.label_files import ClassMap, SynthiaLabels
from adeada_jax.data.builders.layout import Content, find_files, find_root, pair
from adeada_jax.labels import CLASS_NAMES, PALETTE

# SYNTHIA's ids of the 19 classes, in the order of CLASS_NAMES.
CLASS_IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)

# The other ids: 0 void, 13 parking slot, 14 road work, 22 lane marking.
_LABELS = SynthiaLabels(
    ClassMap(
        classes=tuple((stored, class_id) for class_id, stored in enumerate(CLASS_IDS)),
        ignored=(0, 13, 14, 22),
    )
)


class Synthia:
    """SYNTHIA-RAND-CITYSCAPES: streets rendered from any place, all of them in the split train."""

    name = "synthia"
    version = "2.0.0"

    def find(self, source_dir: str) -> Content:
        """Finds images and labels.

        Args:
          source_dir: `RAND_CITYSCAPES` or the folder that holds it; there lie `RGB/0000000.png`, ... and
            `GT/LABELS/` with the same names.

        Raises:
          InputError: they do not.
        """
        root = find_root("SYNTHIA", source_dir, ("RGB", "GT/LABELS"), inside="RAND_CITYSCAPES")
        items, problems = pair(find_files(root / "RGB", (".png",)), find_files(root / "GT/LABELS", (".png",)))
        return Content(
            title="SYNTHIA",
            source_dir=Path(source_dir),
            splits={"train": items},
            read_label=_LABELS,
            class_names=CLASS_NAMES,
            palette=PALETTE,
            expected={"train": 9400},
            problems=tuple(problems),
        )
