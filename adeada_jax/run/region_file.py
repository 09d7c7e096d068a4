"""Tables of regions on the disk, one safetensors file each: written whole or not at all, never changed.

What is bought is not in them: of that the selections are the record.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adeada_jax.arrays import create_arrays, map_arrays, save_arrays
from adeada_jax.method.regions import Regions

# Rows of a table that are copied at once.
_ROWS = 1 << 16


def arrays_of(regions: Regions) -> dict[str, np.ndarray]:
    """All columns by name, those that say which region it is included."""
    return {"image": regions.image, "region": regions.region, "pixels": regions.pixels, **regions.columns}


def save_regions(path: Path, regions: Regions) -> None:
    """Writes a table."""
    save_arrays(path, arrays_of(regions), {"names": regions.names})


def load_regions(path: Path) -> Regions:
    """A table of which nothing is bought yet; rows are read from the disk as they are asked for.

    Raises:
      InputError: the file is missing or is no safetensors file.
    """
    arrays, metadata = map_arrays(path)
    return Regions.unbought(metadata["names"], **arrays)


def join_regions(tables: Sequence[Regions], names: Sequence[str], path: Path) -> None:
    """Writes one table of parts of a domain's images, in the order of `names`, a column at a time.

    Args:
      tables: of disjoint images; each region's row is copied from there, so parts on the disk stay there.
      names: of all images.
      path: of the table.
    """
    position = {name: i for i, name in enumerate(names)}
    image = np.concatenate([np.array([position[n] for n in t.names], np.int32)[t.image] for t in tables])
    order = np.lexsort((np.concatenate([table.region for table in tables]), image))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    parts = [arrays_of(table) for table in tables]
    shapes = {name: ((len(order), *array.shape[1:]), array.dtype) for name, array in parts[0].items()}
    bounds = np.cumsum([0, *map(len, tables)])
    with create_arrays(path, shapes, {"names": list(names)}) as joined:
        joined["image"][:] = image[order]
        for name in shapes.keys() - {"image"}:
            for part, low in zip(parts, bounds, strict=False):
                for start in range(0, len(part[name]), _ROWS):
                    rows = part[name][start : start + _ROWS]
                    joined[name][place[low + start : low + start + len(rows)]] = rows
