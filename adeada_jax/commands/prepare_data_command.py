"""Prepares a data set: python scripts/prepare_data.py --dataset=gta5 --source_dir=DIR --data_dir=data.

Writes images, labels and regions in the form that the other programs read. See docs/data.md.
"""

import shlex
from typing import Any

from absl import app, flags

_DATASET = flags.DEFINE_string(
    "dataset",
    None,
    "Data set to prepare: gta5, synthia, cityscapes, folder (your own images), toy (both toy "
    "domains), or a class of your own as package.module:Name.",
    required=True,
)
_SOURCE_DIR = flags.DEFINE_string(
    "source_dir",
    "",
    "Folder of the original data set, laid out as docs/data.md says. Not needed for the toy data.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Directory for the prepared data sets; each gets a folder of its own in it.",
    required=True,
)
_NUM_SEGMENTS = flags.DEFINE_integer(
    "num_segments", 40, "Number of regions that SLIC is asked for in each image.", lower_bound=1
)
_COMPACTNESS = flags.DEFINE_float(
    "compactness",
    10.0,
    "Compactness of SLIC's regions: higher values give squarer regions, lower ones follow colours "
    "more closely.",
)
_JOBS = flags.DEFINE_integer(
    "jobs", None, "Number of worker processes. By default one for each core, at most 16.", lower_bound=1
)
_BEAM_OPTIONS = flags.DEFINE_string(
    "beam_options",
    None,
    "Make labels and regions with an Apache Beam pipeline that has these options, e.g. "
    "--beam_options='--runner=DirectRunner'. Its workers must see both directories.",
)
_UPDATE = flags.DEFINE_bool(
    "update", False, "Prepare again what has changed in --source_dir. By default a change is an error."
)
_WRITE_CLASSES = flags.DEFINE_bool(
    "write_classes",
    False,
    "With --dataset=folder: write a classes.yaml with the ids or colours found in the labels, and "
    "stop. Check it before you prepare the data.",
)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument '{argv[1]}'; flags start with --")
    # Imported late, so that --help and wrong flags answer at once.
    from adeada_jax.data import data_sets, prepared, preparing, sources
    from adeada_jax.partitions.store import DividedImages

    if _WRITE_CLASSES.value:
        path = preparing.write_classes(_DATASET.value, _SOURCE_DIR.value, jobs=_JOBS.value)
        print(f"{path}: written; look it through, then give the same command without --write_classes")
        return
    beam_options = None if _BEAM_OPTIONS.value is None else shlex.split(_BEAM_OPTIONS.value)
    workers: dict[str, Any] = {"jobs": _JOBS.value, "beam_options": beam_options}
    regions = {"kind": "slic", "num_segments": _NUM_SEGMENTS.value, "compactness": _COMPACTNESS.value}
    for name in data_sets.named_by(_DATASET.value):
        options = {} if name in data_sets.EMBEDDED else {"source_dir": _SOURCE_DIR.value, **workers}
        preparing.prepare(name, _DATA_DIR.value, update=_UPDATE.value, **options)
        splits = prepared.split_sizes(name, _DATA_DIR.value)
        if "train" in splits:
            DividedImages(sources.open_images(name, _DATA_DIR.value, "train"), regions).make(**workers)
        print(f"{name}: " + ", ".join(f"{split} {count} images" for split, count in splits.items()))
