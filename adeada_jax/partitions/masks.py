"""Regions of an image: masks that were made elsewhere, such as SAM's, a PNG of ids an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from adeada_jax.data.builders.label_files import BIT_DEPTH, open_label
from adeada_jax.data.builders.source_files import read_file
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.orientation import orientation, upright
from adeada_jax.errors import InputError
from adeada_jax.types import Json


class Masks:
    """Regions of the ids in `<regions.masks>/<image name>.png`, numbered in the order of the ids.

    A PNG has one channel of up to 16 bits, a palette, or three channels of 8 bits whose id is
    R + 256 G + 65536 B. All pixels of 0, where no mask lies, are one region, too: the rest.
    """

    def __init__(self, options: Mapping[str, Any]):
        """Looks whether the folder is there.

        Args:
          options: `config.regions`.

        Raises:
          InputError: there is no folder of masks.
        """
        self._folder = Path(options["masks"])
        if not options["masks"] or not self._folder.is_dir():
            raise InputError(f"config.regions.masks: '{self._folder}' is no folder of masks")
        self.settings: dict[str, Json] = {}

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
            raise InputError(
                f"config.regions.masks: image '{name}' has no mask '{self._path(name)}'; each needs one"
            )
        return read_file(self._path(name))


def decode_ids(encoded: bytes, what: str) -> np.ndarray:
    """`(H, W)` int64 ids of an encoded PNG, upright.

    Raises:
      InputError: it is no PNG, or of no kind that holds ids; names `what`.
    """
    image = open_label(encoded, what)
    pixels = np.asarray(image).astype(np.int64)
    if image.mode == "RGB" and encoded[BIT_DEPTH] == 8:
        pixels = pixels @ np.array([1, 256, 65536])
    elif pixels.ndim != 2:
        raise InputError(
            f"{what} holds {encoded[BIT_DEPTH]}-bit {image.mode}; ids are one channel, the indices of a "
            "palette, or 8-bit RGB with R + 256 G + 65536 B"
        )
    return upright(pixels, orientation(encoded))
