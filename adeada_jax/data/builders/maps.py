"""The maps that are made for each image, kept on disk until the records are written.

This is the long part of a preparation, so each image's maps are files of their own: a preparation that was
killed goes on where it stopped, and processes or machines need only share the directory. Their names are
checksums of all that they are made from; so those of a data set that was prepared before can be taken over.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adeada_jax.data.builders.checks import Bar
from adeada_jax.data.builders.examples import ordered_map
from adeada_jax.data.builders.layout import Item, LabelReader
from adeada_jax.data.builders.source_files import read_unchanged
from adeada_jax.data.builders.tfds_records import RegionSettings
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.images import decode_image, encode_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_bytes_atomic
from adeada_jax.partitions.slic import slic_regions


@dataclass(frozen=True)
class MapMaker:
    """Makes and finds the maps of images.

    Attributes:
      directory: where they are kept.
      regions: settings of SLIC.
      read_label: reads label files.
      version: of the data set's builder.
    """

    directory: Path
    regions: RegionSettings
    read_label: LabelReader | None
    version: str

    def keys(self, item: Item) -> dict[str, str]:
        """Keys of an image's `regions` and, if it has one, `label`: other settings or files, other keys."""
        made_of: dict[str, tuple] = {}
        if item.label:
            made_of["label"] = (self.version, self.read_label, item.label_digest)
        made_of["regions"] = (self.version, self.regions, item.image_digest)
        return {kind: digest(repr(parts).encode()) for kind, parts in made_of.items()}

    def path(self, kind: str, key: str) -> Path:
        """The file of a map, `kind` 'regions' or 'label'."""
        return self.directory / f"{key}_{kind}.png"

    def is_made(self, item: Item) -> bool:
        """Whether all maps of an image are there."""
        return all(self.path(kind, key).exists() for kind, key in self.keys(item).items())

    def make(self, item: Item) -> None:
        """Makes the maps of an image unless they are there; runs in worker processes.

        Raises:
          InputError: a file cannot be decoded, or changed since it was checked.
        """
        make = {"label": self._label, "regions": self._regions}
        for kind, key in self.keys(item).items():
            path = self.path(kind, key)
            if not path.exists():
                write_bytes_atomic(path, encode_png(make[kind](item)))

    def _label(self, item: Item) -> np.ndarray:
        return self.read_label(read_unchanged(item.label, item.label_digest), f"label '{item.label}'")

    def _regions(self, item: Item) -> np.ndarray:
        image = decode_image(read_unchanged(item.image, item.image_digest), str(item.image))
        settings = self.regions
        regions = slic_regions(image, num_segments=settings.num_segments, compactness=settings.compactness)
        return regions.astype(np.uint16)

    def read(self, item: Item) -> dict[str, bytes]:
        """An image's encoded `regions` and `label`, which is empty where there is none."""
        maps = {kind: self.path(kind, key).read_bytes() for kind, key in self.keys(item).items()}
        return {"label": b"", **maps}


def make_maps(
    maker: MapMaker, items: Sequence[Item], *, jobs: int | None, beam_options: Sequence[str] | None, bar: Bar
) -> None:
    """Makes the maps of all images.

    Args:
      maker: of the maps.
      items: the images.
      jobs: processes.
      beam_options: of a Beam pipeline that does the work instead, e.g. `["--runner=DirectRunner"]`.
      bar: shows progress.

    Raises:
      InputError: as `MapMaker.make`; Beam is asked for and not installed.
    """
    maker.directory.mkdir(parents=True, exist_ok=True)
    if beam_options is not None:
        _run_on_beam(functools.partial(_try_to_make, maker), items, beam_options)
    # After Beam only what failed is left, and fails here with its reason.
    missing = [item for item in items if not maker.is_made(item)]
    with bar("dividing images into regions", len(missing)) as advance:
        for _ in ordered_map(maker.make, missing, processes=jobs):
            advance()


def _try_to_make(maker: MapMaker, item: Item) -> None:
    try:
        maker.make(item)
    except InputError:
        return


def _run_on_beam(function: Callable[[Item], None], items: Sequence[Item], options: Sequence[str]) -> None:
    """Calls a function on all items by the workers of a Beam runner, which see the same directories."""
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError("--beam_options: Beam is not installed; pip install 'adeada_jax[beam]'") from error
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        # Reshuffling spreads the items over the workers; else they stay where they were created.
        _ = pipeline | beam.Create(items) | beam.Reshuffle() | beam.Map(function)
