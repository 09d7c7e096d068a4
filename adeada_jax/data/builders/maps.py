"""The maps that are made for each image, kept on disk until the records are written.

This is the long part of a preparation, so each image's maps are files of their own: a preparation that was
killed goes on where it stopped, and processes or machines need only share the directory.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adeada_jax.data.builders.base import RegionSettings
from adeada_jax.data.builders.checks import Bar, read_file
from adeada_jax.data.builders.examples import ordered_map
from adeada_jax.data.builders.layout import Item, LabelReader
from adeada_jax.data.images import decode_image, encode_png
from adeada_jax.errors import InputError
from adeada_jax.files import write_bytes_atomic
from adeada_jax.regions.slic import slic_regions


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

    def paths(self, item: Item) -> tuple[Path, Path | None]:
        """Files of an image's region map and label; other settings or changed files give other names."""
        made_of = [self.version, self.regions, self.read_label]
        for path in (item.image, item.label):
            stat = path.stat() if path else None
            made_of.append((str(path), stat.st_size, stat.st_mtime_ns) if stat else None)
        key = hashlib.blake2b(repr(made_of).encode(), digest_size=16).hexdigest()
        label = self.directory / f"{key}_label.png" if item.label else None
        return self.directory / f"{key}_regions.png", label

    def make(self, item: Item) -> None:
        """Makes the maps of an image unless they are there; runs in worker processes.

        Raises:
          InputError: a file cannot be decoded, or image and label differ in size.
        """
        regions_path, label_path = self.paths(item)
        if regions_path.exists():  # written last
            return
        image = decode_image(read_file(item.image), str(item.image))
        if item.label:
            label = self.read_label(read_file(item.label), f"label '{item.label}'")
            if label.shape != image.shape[:2]:
                raise InputError(f"image '{item.image}' is {image.shape[:2]} but its label {label.shape}")
            write_bytes_atomic(label_path, encode_png(label))
        regions = slic_regions(
            image, num_segments=self.regions.num_segments, compactness=self.regions.compactness
        )
        write_bytes_atomic(regions_path, encode_png(regions.astype(np.uint16)))

    def read(self, item: Item) -> tuple[bytes, bytes]:
        """An image's encoded region map and label, which is empty where there is none."""
        regions_path, label_path = self.paths(item)
        return regions_path.read_bytes(), label_path.read_bytes() if label_path else b""


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
    with bar("dividing images into regions", len(items)) as advance:
        for _ in ordered_map(maker.make, items, processes=jobs):
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
