"""Regions of an image: masks that were made elsewhere, such as SAM's, a PNG of ids an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.data.builders.source_files import read_file
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.images import decode_map, decode_unchanged
from adeada_jax.data.orientation import PNG
from adeada_jax.errors import InputError


class Masks:
    """Regions of the ids in `<regions.masks>/<image name>.png`, numbered in the order of the ids.

    A PNG has one channel of 8 or 16 bits, or three of 8 bits whose id is R + 256 G + 65536 B. All pixels of
    0, where no mask lies, are one region, too: the rest.
    """

    def __init__(self, options: Mapping[str, Any]):
        """
        Args:
          options: `config.regions`.

        Raises:
          InputError: there is no folder of masks.
        """
        self._folder = Path(options["masks"])
        if not options["masks"] or not self._folder.is_dir():
            raise InputError(f"config.regions.masks: '{self._folder}' is no folder of masks")
        self.settings: dict[str, Any] = {}

    def mark(self, name: str) -> str:
        """Checksum of an image's mask.

        Raises:
          InputError: it cannot be read; names the image and the file.
        """
        return digest(self._read(name))

    def divide(self, image: np.ndarray, name: str) -> np.ndarray:
        what = f"mask '{self._path(name)}'"
        ids = decode_ids(self._read(name), what)
        if ids.shape != image.shape[:2]:
            sizes = [f"{size[0]}x{size[1]}" for size in (ids.shape, image.shape)]
            raise InputError(
                f"{what} is {sizes[0]}, but image '{name}' is {sizes[1]}; export it at that size"
            )
        return np.unique(ids, return_inverse=True)[1].reshape(ids.shape).astype(np.int32)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"

    def _read(self, name: str) -> bytes:
        if not self._path(name).is_file():
            raise InputError(f"config.regions.masks: image '{name}' has no mask '{self._path(name)}'")
        return read_file(self._path(name))


def decode_ids(encoded: bytes, what: str) -> np.ndarray:
    """`(H, W)` int64 ids of an encoded PNG, upright.

    Raises:
      InputError: it is no PNG, or of neither of the kinds that hold ids; names `what`.
    """
    if not encoded.startswith(PNG):
        raise InputError(f"{what} is no PNG; export masks as PNGs, since other formats change ids")
    decoded = decode_unchanged(encoded, what)
    if decoded.ndim == 2:
        return decode_map(encoded, what).astype(np.int64)
    if decoded.shape[2] != 3 or decoded.dtype != np.uint8:
        raise InputError(
            f"{what} has {decoded.shape[2]} channels of {8 * decoded.itemsize} bits; ids are one channel of "
            "8 or 16 bits, or three of 8 bits with R + 256 G + 65536 B"
        )
    blue, green, red = np.moveaxis(decoded.astype(np.int64), -1, 0)
    return red + 256 * green + 65536 * blue
