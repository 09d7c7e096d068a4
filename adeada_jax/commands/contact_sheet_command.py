"""Shows a data set: python scripts/contact_sheet.py --dataset=toy/filmed --data_dir=data --output=FILE.

Writes one PNG that shows each image three times: as it is, with the borders of its regions, and its label in
the colours of the classes.
"""

from typing import TYPE_CHECKING

from absl import app, flags

from adeada_jax.types import Example

if TYPE_CHECKING:
    import numpy as np

_DATASET = flags.DEFINE_string(
    "dataset", None, "Data set to show, e.g. toy/rendered or toy/filmed.", required=True
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of the prepared data sets.", required=True)
_SPLIT = flags.DEFINE_string("split", "train", "Split to show, e.g. train or val.")
_NUM_SEGMENTS = flags.DEFINE_integer(
    "num_segments", 40, "Number of regions that SLIC is asked for in each image.", lower_bound=1
)
_COMPACTNESS = flags.DEFINE_float(
    "compactness",
    10.0,
    "Compactness of SLIC's regions: higher values give squarer regions, lower ones follow colours "
    "more closely.",
)
_IMAGES = flags.DEFINE_integer("images", 12, "Number of images, spread evenly over the split.", lower_bound=1)
_COLUMNS = flags.DEFINE_integer("columns", 2, "Number of images in a row of the sheet.", lower_bound=1)
_WIDTH = flags.DEFINE_integer("width", 256, "Width of each picture on the sheet, in pixels.", lower_bound=16)
_OUTPUT = flags.DEFINE_string("output", None, "PNG file to write.", required=True)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    # Imported late, so that --help and wrong flags answer at once.
    import numpy as np

    from adeada_jax.data import sources
    from adeada_jax.files import write_png_atomic
    from adeada_jax.partitions.store import DividedImages

    source = sources.open_labelled(_DATASET.value, _DATA_DIR.value, _SPLIT.value)
    regions = {"kind": "slic", "num_segments": _NUM_SEGMENTS.value, "compactness": _COMPACTNESS.value}
    divided = DividedImages(source, regions)
    chosen = np.unique(np.linspace(0, len(source) - 1, _IMAGES.value).round().astype(int))
    strips = [strip(divided.divide(int(i)), source.palette, _WIDTH.value) for i in chosen]
    while len(strips) % _COLUMNS.value:
        strips.append(np.zeros_like(strips[0]))
    rows = [np.hstack(strips[i : i + _COLUMNS.value]) for i in range(0, len(strips), _COLUMNS.value)]
    write_png_atomic(_OUTPUT.value, np.vstack(rows))
    print(f"{_OUTPUT.value}: {len(chosen)} images of {_DATASET.value}/{_SPLIT.value}")


def strip(example: "Example", palette: "np.ndarray", width: int) -> "np.ndarray":
    """Picture, borders of regions and label of one example side by side: `(H, 3 * width, 3)` uint8."""
    import cv2
    import numpy as np
    from skimage.segmentation import mark_boundaries

    from adeada_jax.labels import colorize

    size = (width, round(width * example["image"].shape[0] / example["image"].shape[1]))
    image = cv2.resize(example["image"], size, interpolation=cv2.INTER_AREA)
    regions = cv2.resize(example["regions"], size, interpolation=cv2.INTER_NEAREST_EXACT)
    label = cv2.resize(example["label"], size, interpolation=cv2.INTER_NEAREST_EXACT)
    borders = mark_boundaries(image, regions, color=(1, 1, 0), mode="inner")
    return np.hstack([image, np.rint(borders * 255).astype(np.uint8), colorize(label, palette)])
