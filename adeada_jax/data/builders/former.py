"""Taking over the maps of a data set as it was prepared before, where they would be made the same again."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow_datasets as tfds

from adeada_jax.data.builders.layout import Item
from adeada_jax.data.builders.maps import MapMaker
from adeada_jax.data.builders.source_files import FILE
from adeada_jax.data.records import DamagedRecordError, Records
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_bytes_atomic


def take_over(directory: Path, maker: MapMaker, items: Sequence[Item]) -> None:
    """Copies the maps that the items need from a former data set to where `maker` keeps them.

    Args:
      directory: of the former data set; without one nothing is done.
      maker: of the maps; those that it has stay.
      items: the images, checked.

    Raises:
      InputError: a record of the former data set cannot be read.
    """
    if not (directory / FILE).exists():
        return
    wanted = {pair for item in items for pair in maker.keys(item).items()}
    wanted = {pair for pair in wanted if not maker.path(*pair).exists()}
    info = tfds.builder_from_directory(directory).info
    for split, keys in read_json(directory / FILE)["maps"].items():
        try:
            _copy(Records(info, split, ("name", "regions", "label")), keys, maker, wanted)
        except DamagedRecordError as error:
            raise InputError(
                f"records of split '{split}' in '{directory}' are damaged; delete that directory, then give "
                "the same command again"
            ) from error


def _copy(records: Records, keys: list[dict[str, str]], maker: MapMaker, wanted: set) -> None:
    for index, by_kind in enumerate(keys):
        pairs = wanted & by_kind.items()
        if pairs:
            fields = records[index]
            for kind, key in pairs:
                write_bytes_atomic(maker.path(kind, key), fields[kind])
