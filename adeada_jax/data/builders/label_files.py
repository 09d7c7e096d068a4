"""Reading label files as data sets ship them, to class ids 0..C-1 and 255 = ignore, upright as images."""

import functools
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from adeada_jax.data.images import decode_unchanged
from adeada_jax.data.orientation import orientation, upright
from adeada_jax.errors import InputError
from adeada_jax.types import IGNORE_LABEL

_UNKNOWN = 256
BIT_DEPTH = 24  # its place in a PNG


@dataclass(frozen=True)
class ClassMap:
    """Which stored id means which class.

    Attributes:
      classes: pairs of stored id and class.
      ignored: stored ids that are known and no class; None: all that are not in `classes`.
    """

    classes: tuple[tuple[int, int], ...]
    ignored: tuple[int, ...] | None

    def __call__(self, ids: np.ndarray, what: str) -> np.ndarray:
        """Maps stored ids to classes.

        Args:
          ids: `(H, W)` uint8 or uint16.
          what: the label's name in errors.

        Returns:
          `(H, W)` uint8, 255 where the id is ignored.

        Raises:
          InputError: ids that are neither classes nor ignored.
        """
        mapped = _table(self)[ids]
        if mapped.max(initial=0) == _UNKNOWN:
            unknown = np.unique(ids[mapped == _UNKNOWN])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            known = sorted({i for i, _ in self.classes} | set(self.ignored or ()))
            raise InputError(
                f"{what} has ids outside the map: {', '.join(map(str, unknown[:10]))}{more}; "
                f"known: {_ranges(known)}"
            )
        return mapped.astype(np.uint8)


@functools.lru_cache(maxsize=8)
def _table(classes: ClassMap) -> np.ndarray:
    """Class by stored id, `(65536,)`."""
    table = np.full(2**16, IGNORE_LABEL if classes.ignored is None else _UNKNOWN, np.uint16)
    table[list(classes.ignored or ())] = IGNORE_LABEL
    for stored, class_id in classes.classes:
        table[stored] = class_id
    return table


def _ranges(ids: list[int]) -> str:
    """'0-18, 255' for 0, 1, ..., 18, 255."""
    starts = [i for i in ids if i - 1 not in ids]
    ends = [i for i in ids if i + 1 not in ids]
    return ", ".join(f"{a}-{b}" if a < b else str(a) for a, b in zip(starts, ends, strict=True))


@dataclass(frozen=True)
class IdLabels:
    """Labels whose pixels are ids: one channel, or the indices of a palette."""

    classes: ClassMap

    def __call__(self, encoded: bytes, what: str) -> np.ndarray:
        """See `layout.LabelReader`."""
        image = open_label(encoded, what)
        if image.mode in ("RGB", "RGBA", "LA"):
            raise InputError(
                f"{what} holds colours ({image.mode}), where ids or palette indices are expected"
            )
        ids = np.asarray(image).astype(np.uint16)
        if image.mode == "L" and encoded[BIT_DEPTH] < 8:
            ids //= 255 // (2 ** encoded[BIT_DEPTH] - 1)  # Pillow spreads 2 and 4 bits over 0 to 255
        return self.classes(upright(ids, orientation(encoded)), what)


@dataclass(frozen=True)
class SynthiaLabels:
    """SYNTHIA's labels: 16-bit RGB, the class in the first channel, the instance in the second.

    Pillow and imageio keep the high byte of each channel, which is zero everywhere; OpenCV does not.
    """

    classes: ClassMap

    def __call__(self, encoded: bytes, what: str) -> np.ndarray:
        """See `layout.LabelReader`."""
        decoded = decode_unchanged(encoded, what)
        if decoded.dtype != np.uint16 or decoded.ndim != 3:
            raise InputError(
                f"{what} is no 16-bit RGB PNG, as SYNTHIA's labels are; unpack them again, a viewer may "
                "have saved it anew"
            )
        return self.classes(decoded[..., 2], what)  # OpenCV's order is BGR


@dataclass(frozen=True)
class FolderLabels:
    """Labels of ids or palette indices, or painted in the classes' colours.

    Attributes:
      classes: for ids.
      colors: RGB by class, for painted labels; other colours are ignored.
    """

    classes: ClassMap
    colors: tuple[tuple[int, int, int], ...]

    def __call__(self, encoded: bytes, what: str) -> np.ndarray:
        """See `layout.LabelReader`."""
        image = open_label(encoded, what)
        if image.mode not in ("RGB", "RGBA"):
            return IdLabels(self.classes)(encoded, what)
        if encoded[BIT_DEPTH] == 16:
            raise InputError(f"{what} has 16 bits a colour; save it with 8, or with ids in one channel")
        rgb = np.asarray(image.convert("RGB")).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        label = np.full(rgb.shape, IGNORE_LABEL, np.uint8)
        for class_id, (red, green, blue) in enumerate(self.colors):
            label[rgb == (red << 16 | green << 8 | blue)] = class_id
        return upright(label, orientation(encoded))


def open_label(encoded: bytes, what: str) -> Image.Image:
    """Opens a PNG with Pillow, which, unlike OpenCV, gives the indices of a palette.

    Raises:
      InputError: it is no PNG, or cannot be decoded.
    """
    try:
        image = Image.open(io.BytesIO(encoded), formats=["PNG"])
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{what} cannot be decoded as PNG") from error
    return image
