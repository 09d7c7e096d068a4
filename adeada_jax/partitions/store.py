"""The region maps of a split's images, kept beside its records: a PNG an image, and an index of all.

Maps of one partition lie in a directory of its kind and settings, so that those of several lie side by side.
A map is named by a checksum of what it is made of: the image's bytes, its name and the partition's mark of
it. So images that stay the same keep theirs when a data set is updated, and a killed making goes on where it
stopped.
"""

import functools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adeada_jax.data import sources
from adeada_jax.data.builders.writing import locked
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.images import decode_map, encode_png
from adeada_jax.data.workers import on_beam, ordered_map
from adeada_jax.errors import InputError
from adeada_jax.files import read_json, write_bytes_atomic, write_json_atomic
from adeada_jax.partitions.partition import Partition, create_partition
from adeada_jax.telemetry import track
from adeada_jax.types import Example

# Of a map as PNG: photographs and toy streets of 1024x2048 in 40 regions took 0.018 to 0.020.
_BYTES_A_PIXEL = 0.05
_MOST_IDS = 2**16


class _Map(NamedTuple):
    """A map to be made: of which image of the split, where it goes, and the partition's mark of the image."""

    image: int
    path: Path
    mark: str


class DividedImages:
    """A split's images with their regions: examples as of `images`, and `regions` `(H, W)` int32.

    Reading is safe from several threads; a pickled one is opened anew.

    Attributes:
      images: the split, with labels or without.
      options: `config.regions`.
      names: of the images.
      directory: of the partition's maps.
      index: the file that says that all are made, for just these images.
      bytes: that the maps take, about and at most.
    """

    def __init__(self, images: sources.Images, options: Mapping[str, Any]):
        """Makes the partition and finds where its maps lie; reads no image.

        Args:
          images: the split.
          options: `config.regions`.

        Raises:
          InputError: as `create_partition`; a file that the partition needs cannot be read.
        """
        self.images, self.options, self.names = images, dict(options), images.names
        self._partition = create_partition(options)
        self._settings = {"kind": self.options["kind"], **self._partition.settings}
        kind = re.sub(r"\W+", "_", self.options["kind"])
        settings = json.dumps(self._settings, sort_keys=True)
        self.directory = images.directory.parent / "partitions" / f"{kind}-{digest(settings.encode())[:12]}"
        self._marks = [_mark(self._partition, name) for name in images.names]
        made_of = zip(images.names, images.marks, self._marks, strict=True)
        keys = [digest("\0".join(parts).encode()) for parts in made_of]
        self._paths = [self.directory / f"{key}.png" for key in keys]
        self.index = self.directory / f"{images.split}-{digest(' '.join(keys).encode())[:12]}.json"
        self.bytes = int(_BYTES_A_PIXEL * sum(height * width for height, width in images.sizes))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.images, self.options)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        """An example of the images with its `regions`.

        Raises:
          InputError: the image cannot be read, or its map, see `regions`.
          IndexError: index out of range.
        """
        return {**self.images[index], "regions": self.regions(index)}

    def regions(self, index: int) -> np.ndarray:
        """An image's region map without the image: `(H, W)` int32.

        Raises:
          InputError: it was not made, or is not what was made; names the file.
        """
        path, maps = self._paths[index], self._maps
        if not path.is_file() or digest(encoded := path.read_bytes()) != maps[index]:
            raise InputError(
                f"region map '{path}' of image '{self.names[index]}' is gone or was altered; delete "
                f"'{self.directory}' and give the same command again to have the maps made anew"
            )
        return decode_map(encoded, f"'{path}'").astype(np.int32)

    def divide(self, index: int) -> Example:
        """An example with its `regions`, which are made now and not kept; see `__getitem__`."""
        example = self.images[index]
        encoded = _divide(self._partition, example, self.options["kind"])
        return {**example, "regions": decode_map(encoded, "regions").astype(np.int32)}

    @property
    def complete(self) -> bool:
        """Whether all maps were made."""
        return self.index.is_file()

    @functools.cached_property
    def _maps(self) -> Sequence[str]:
        """Checksums of the maps."""
        if not self.complete:
            raise InputError(
                f"split '{self.images.split}' of data set '{self.images.dataset}' in '{self.images.data_dir}'"
                f" is not divided into regions yet ({self._settings}); a run does that"
            )
        return read_json(self.index)["maps"]

    def fingerprint(self) -> dict[str, Any]:
        """JSON to be kept and compared, as of `fingerprint.partition_differences`."""
        marks = dict(zip(self.names, self._marks, strict=True)) if any(self._marks) else {}
        maps = dict(zip(self.names, self._maps, strict=True)) if self.complete else {}
        return {"settings": self._settings, "marks": marks, "maps": maps}

    def make(self, *, jobs: int | None = None, beam_options: Sequence[str] | None = None) -> None:
        """Makes the maps that are not there, one process at a time below a data directory.

        Args:
          jobs: processes; one a core, at most 16, unless given.
          beam_options: of an Apache Beam pipeline that does the work instead.

        Raises:
          InputError: an image cannot be divided; the disk is too small, or cannot be written.
        """
        if self.complete:
            return
        with locked(Path(self.images.data_dir)):
            if self.complete:
                return  # type: ignore[unreachable]  # another process was quicker
            self.directory.mkdir(parents=True, exist_ok=True)
            items = list(map(_Map, self.images.positions, self._paths, self._marks))
            self._check_space(sum(not item.path.exists() for item in items) / len(items))
            images = self.images
            made_of = (images.dataset, images.data_dir, images.split, images.digest)
            make = functools.partial(_make, json.dumps(self.options), *made_of)
            if beam_options is not None:
                on_beam(functools.partial(_try_to_make, make), items, beam_options)
            maps = track(
                ordered_map(make, items, processes=jobs),
                total=len(items),
                description=f"dividing {images.dataset} into regions",
            )
            try:
                write_json_atomic(self.index, {"settings": self._settings, "maps": list(maps)})
            except BrokenProcessPool as error:
                raise InputError("a worker process was killed, perhaps for memory; try again") from error

    def _check_space(self, share: float) -> None:
        needed, free = share * self.bytes, shutil.disk_usage(self.directory).free
        if needed > free:
            raise InputError(
                f"data_dir '{self.images.data_dir}' has {free / 1e6:,.0f} MB free, but region maps need about"
                f" {needed / 1e6:,.0f} MB there; free some"
            )


def _make(options: str, dataset: str, data_dir: str, split: str, data: str, item: _Map) -> str:
    """Makes a map unless it is there; runs in worker processes. Its checksum."""
    if item.path.exists():
        return digest(item.path.read_bytes())
    partition, images = _opened(options, dataset, data_dir, split, data)
    example = images[item.image]
    encoded = _divide(partition, example, json.loads(options)["kind"])
    if _mark(partition, example["name"]) != item.mark:
        raise InputError(f"the mask of image '{example['name']}' changed while it was read; start again")
    write_bytes_atomic(item.path, encoded)
    return digest(encoded)


def _try_to_make(make: functools.partial[str], item: _Map) -> None:
    try:
        make(item)
    except InputError:  # which is raised again where it can be told
        return


@functools.lru_cache(maxsize=1)
def _opened(
    options: str, dataset: str, data_dir: str, split: str, data: str
) -> tuple[Partition, sources.ImageSource]:
    """Partition and images, opened once in a process."""
    images = sources.open_again(sources.ImageSource, dataset, data_dir, split, data)
    return create_partition(json.loads(options)), images


def _mark(partition: Partition, name: str) -> str:
    mark = getattr(partition, "mark", None)
    return mark(name) if mark else ""


def _divide(partition: Partition, example: Example, kind: str) -> bytes:
    """An image's map as 16-bit PNG, checked."""
    regions = np.asarray(partition.divide(example["image"], example["name"]))
    size = example["image"].shape[:2]
    if (
        regions.shape != size
        or regions.dtype.kind not in "iu"
        or not 0 <= regions.min() <= regions.max() < _MOST_IDS
    ):
        raise InputError(
            f"config.regions.kind: '{kind}' does not divide image '{example['name']}' into "
            f"{size[0]}x{size[1]} whole ids from 0 to {_MOST_IDS - 1}"
        )
    return encode_png(regions.astype(np.uint16))
