"""Reading label files as data sets ship them, to class ids 0..C-1 and 255 = ignore, upright as images."""

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass, field

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
        return self.classes(_ids(image, encoded), what)


def _ids(image: Image.Image, encoded: bytes) -> np.ndarray:
    """The ids of a label that is opened, `(H, W)` uint16, upright."""
    ids = np.asarray(image).astype(np.uint16)
    if image.mode == "L" and encoded[BIT_DEPTH] < 8:
        ids //= 255 // (2 ** encoded[BIT_DEPTH] - 1)  # Pillow spreads 2 and 4 bits over 0 to 255
    return upright(ids, orientation(encoded))


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
class Stored:
    """A label as it is stored, upright.

    Attributes:
      values: `(H, W)` ids, or where it is painted colours as 0xRRGGBB.
      painted: whether it is.
      palette: RGB by id, of a PNG with a palette.
    """

    values: np.ndarray
    painted: bool
    palette: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)


def read_stored(encoded: bytes, what: str) -> Stored:
    """Reads a label of ids, palette indices or colours, whatever they mean.

    Raises:
      InputError: it cannot be decoded, or has 16 bits a colour.
    """
    image = open_label(encoded, what)
    if image.mode in ("RGB", "RGBA"):
        if encoded[BIT_DEPTH] == 16:
            raise InputError(f"{what} has 16 bits a colour; save it with 8, or with ids in one channel")
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(np.int32), -1, 0)
        return Stored(upright(red << 16 | green << 8 | blue, orientation(encoded)), painted=True)
    if image.mode == "LA":
        raise InputError(f"{what} has grey and transparency; save it with ids in one channel")
    flat = image.getpalette("RGB") or [] if image.mode == "P" else []
    palette = {i: (flat[3 * i], flat[3 * i + 1], flat[3 * i + 2]) for i in range(len(flat) // 3)}
    return Stored(_ids(image, encoded), painted=False, palette=palette)


@dataclass(frozen=True)
class FolderLabels:
    """Labels of ids or palette indices, or painted in the classes' colours.

    Attributes:
      classes: for ids.
      colors: RGB by class, for painted labels; other colours are ignored. None where none is given.
    """

    classes: ClassMap
    colors: tuple[tuple[int, int, int] | None, ...]

    def __call__(self, encoded: bytes, what: str) -> np.ndarray:
        """See `layout.LabelReader`."""
        return self.classes_of(read_stored(encoded, what), what)

    def classes_of(self, stored: Stored, what: str) -> np.ndarray:
        """What a label means: `(H, W)` uint8 class ids, 255 = ignore.

        Raises:
          InputError: ids that are neither classes nor ignored; colours, where not every class has one.
        """
        if not stored.painted:
            return self.classes(stored.values, what)
        if None in self.colors:
            lacking = ", ".join(str(i) for i, color in enumerate(self.colors) if color is None)
            raise InputError(
                f"{what} is painted in colours, but the class file gives none for class {lacking} (counted "
                "from 0); give every class the color that it is painted in"
            )
        label = np.full(stored.values.shape, IGNORE_LABEL, np.uint8)
        for class_id, (red, green, blue) in enumerate(filter(None, self.colors)):
            label[stored.values == (red << 16 | green << 8 | blue)] = class_id
        return label


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
