"""Taking over the labels of a data set as it was prepared before, where they would be made the same again."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from adeada_jax.data.builders.label_maps import LabelMaps
from adeada_jax.data.builders.layout import Item
from adeada_jax.data.builders.source_files import FILE
from adeada_jax.data.records import DamagedRecordError, Records
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_bytes_atomic


def take_over(directory: Path, maps: LabelMaps, items: Sequence[Item]) -> None:
    """Copies the labels that the items need from a former data set to where `maps` keeps them.

    Args:
      directory: of the former data set; without one nothing is done.
      maps: makes labels; those that it has stay.
      items: the images, checked.

    Raises:
      InputError: a record of the former data set cannot be read.
    """
    if not (directory / FILE).exists():
        return
    wanted = {maps.key(item) for item in items if not maps.is_made(item)}
    info = tfds.builder_from_directory(directory).info
    for split, keys in read_json(directory / FILE)["labels"].items():
        try:
            records = Records(info, split, ("name", "label"))
            for index in (i for i, key in enumerate(keys) if key in wanted):
                write_bytes_atomic(maps.path(keys[index]), records[index]["label"])
        except DamagedRecordError as error:
            raise InputError(
                f"records of split '{split}' in '{directory}' are damaged; delete that directory, then give "
                "the same command again"
            ) from error
