"""Labels as they are stored: class ids, made of each label file and kept on disk until the records are.

This is the long part of a preparation, so each is a file of its own: a preparation that was killed goes on
where it stopped, and processes or machines need only share the directory. Their names are checksums of all
that they are made from; so those of a data set that was prepared before can be taken over.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adeada_jax.data.builders.checks import Bar
from adeada_jax.data.builders.layout import Item, LabelReader
from adeada_jax.data.builders.source_files import read_unchanged
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.images import encode_png
from adeada_jax.data.workers import on_beam, ordered_map
from adeada_jax.errors import InputError
from adeada_jax.files import write_bytes_atomic


@dataclass(frozen=True)
class LabelMaps:
    """Makes and finds the stored labels of images.

    Attributes:
      directory: where they are kept.
      read_label: reads label files.
      version: of the data set.
    """

    directory: Path
    read_label: LabelReader | None
    version: str

    def key(self, item: Item) -> str:
        """Of an image's label: another reader or file, another key; '' where the image has none."""
        reader = getattr(
            self.read_label, "__qualname__", self.read_label
        )  # else a function's place in memory
        parts = (self.version, reader, item.label_digest)
        return digest(repr(parts).encode()) if item.label else ""

    def path(self, key: str) -> Path:
        """The file of a label."""
        return self.directory / f"{key}.png"

    def is_made(self, item: Item) -> bool:
        """Whether an image's label is there, if it has one."""
        return not item.label or self.path(self.key(item)).exists()

    def make(self, item: Item) -> None:
        """Makes an image's label unless it is there; runs in worker processes.

        Raises:
          InputError: the file cannot be decoded, or changed since it was checked.
        """
        if item.label and not self.is_made(item):
            assert self.read_label  # what lacks it is refused by `checks.check`
            encoded = read_unchanged(item.label, item.label_digest)
            label = self.read_label(encoded, f"label '{item.label}'")
            write_bytes_atomic(self.path(self.key(item)), encode_png(label))

    def read(self, item: Item) -> bytes:
        """An image's encoded label, empty where there is none."""
        return self.path(self.key(item)).read_bytes() if item.label else b""


def make_labels(
    maps: LabelMaps, items: Sequence[Item], *, jobs: int | None, beam_options: Sequence[str] | None, bar: Bar
) -> None:
    """Makes the labels of all images.

    Args:
      maps: makes one.
      items: the images.
      jobs: processes.
      beam_options: of a Beam pipeline that does the work instead, e.g. `["--runner=DirectRunner"]`.
      bar: shows progress.

    Raises:
      InputError: as `LabelMaps.make`; Beam is asked for and not installed.
    """
    maps.directory.mkdir(parents=True, exist_ok=True)
    if beam_options is not None:
        on_beam(functools.partial(_try_to_make, maps), items, beam_options)
    # After Beam only what failed is left, and fails here with its reason.
    missing = [item for item in items if not maps.is_made(item)]
    with bar("reading labels", len(missing)) as advance:
        for _ in ordered_map(maps.make, missing, processes=jobs):
            advance()


def _try_to_make(maps: LabelMaps, item: Item) -> None:
    try:
        maps.make(item)
    except InputError:
        return
