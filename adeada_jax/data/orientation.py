"""Which way up an image file is to be seen: its EXIF orientation, read and applied alike for all files."""

import struct
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"

_TAG = 0x0112
# How `cv2.flip` mirrors an array after the axes are exchanged, as 5 to 8 say.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}


def orientation(encoded: bytes) -> int:
    """The EXIF orientation of a PNG (chunk eXIf) or JPEG (segment APP1), found without decoding.

    Returns:
      1, to be seen as it is stored, to 8, as EXIF numbers them; 1 where the file says nothing sensible.
    """
    exif = _exif_of_png(encoded) if encoded.startswith(PNG) else _exif_of_jpeg(encoded)
    if not exif:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        value = tags.get(_TAG, 1)
    except (SyntaxError, ValueError, struct.error, OSError):  # damaged, as Pillow says it
        return 1
    return value if value in range(1, 9) else 1


def upright(array: np.ndarray, turn: int) -> np.ndarray:
    """Turns an image as it is to be seen.

    Args:
      array: `(H, W)` or `(H, W, C)` uint8 or uint16, as stored.
      turn: 1 to 8, see `orientation`.

    Returns:
      The same pixels; `(W, H)` or `(W, H, C)` where `turn` is 5 to 8.
    """
    if turn >= 5:
        array = cv2.transpose(array)
    return cv2.flip(array, _FLIPS[turn]) if turn in _FLIPS else array


def png_chunks(encoded: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and end of the data of each chunk of a PNG, up to the end that it has.

    A chunk that is cut off is the last, with an end beyond the file's.
    """
    position, kind = len(PNG), b""
    while kind != b"IEND" and position + 8 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, position)
        yield kind, position + 8, position + 8 + length
        position += 12 + length


def _exif_of_png(encoded: bytes) -> bytes:
    # Going from chunk to chunk is much faster than searching the bytes.
    return next((encoded[start:end] for kind, start, end in png_chunks(encoded) if kind == b"eXIf"), b"")


def _exif_of_jpeg(encoded: bytes) -> bytes:
    if not encoded.startswith(b"\xff\xd8"):
        return b""
    position = 2
    while encoded[position : position + 1] == b"\xff":
        kind, length = encoded[position + 1 : position + 2], encoded[position + 2 : position + 4]
        if kind == b"\xff":  # a byte that fills
            position += 1
            continue
        if kind in (b"\xda", b"\xd9", b""):  # the pixels begin
            break
        end = position + 2 + int.from_bytes(length, "big")
        if kind == b"\xe1" and encoded[position + 4 : position + 10] == b"Exif\0\0":
            return encoded[position + 10 : end]
        position = end
    return b""
