"""Encoding and decoding of images and label maps, with errors that name the file.

Whatever is decoded comes upright, turned as the file's EXIF orientation says (`data.orientation`).
"""

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from adeada_jax.data.orientation import PNG, orientation, upright
from adeada_jax.errors import InputError

# OpenCV's own limit of an image's pixels, unless the environment has another.
_LARGEST, _LIMIT = 2**30, "CV_IO_MAX_IMAGE_PIXELS"
_TOO_LARGE = (
    f"more than OpenCV reads ({_LARGEST / 1e6:,.0f} megapixels, unless {_LIMIT} is set); cut it into parts"
)

# Pillow's limit is against strangers' files; these are the user's own.
Image.MAX_IMAGE_PIXELS = None


def encode_png(array: np.ndarray) -> bytes:
    """Encodes `(H, W, 3)` uint8 RGB, or `(H, W)` uint8 or uint16, as PNG."""
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", array)[1].tobytes()


def decode_image(encoded: bytes, name: str) -> np.ndarray:
    """Decodes a PNG or JPEG to `(H, W, 3)` uint8 RGB, upright.

    Raises:
      InputError: the bytes are no image, or one that is too large; names the image.
    """
    return cv2.cvtColor(_decode(encoded, cv2.IMREAD_COLOR, f"image '{name}'"), cv2.COLOR_BGR2RGB)


def decode_map(encoded: bytes, what: str) -> np.ndarray:
    """Decodes a one-channel PNG to `(H, W)` uint8 or uint16, upright, its values as they are stored.

    Raises:
      InputError: the bytes are no image or have several channels; names `what`.
    """
    decoded = decode_unchanged(encoded, what)
    if decoded.ndim != 2:
        raise InputError(f"{what} has {decoded.shape[2]} channels, where one is expected")
    bits = encoded[24] if encoded.startswith(PNG) else 8
    # OpenCV spreads values of few bits over 0 to 255.
    return decoded // np.uint8(255 // (2**bits - 1)) if bits < 8 else decoded


def decode_unchanged(encoded: bytes, what: str) -> np.ndarray:
    """Decodes a PNG to `(H, W)` or, in OpenCV's order of channels, `(H, W, C)`, 8 or 16 bits, upright.

    Raises:
      InputError: the bytes are no image, or one that is too large; names `what`.
    """
    return _decode(encoded, cv2.IMREAD_UNCHANGED, what)


def read_png(path: str | Path) -> np.ndarray:
    """Reads a one-channel PNG file: `(H, W)` uint8 or uint16.

    Raises:
      InputError: the file is missing or is no such image; names the file.
    """
    try:
        encoded = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from error
    return decode_map(encoded, f"'{path}'")


def _decode(encoded: bytes, flags: int, what: str) -> np.ndarray:
    # Whether OpenCV itself turns images depends on its version, the format and the flags.
    flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    except cv2.error as error:
        if _LIMIT in str(error):
            raise InputError(f"{what} is too large, {_TOO_LARGE}") from error
        if error.code == cv2.Error.StsNoMem:
            raise InputError(f"{what} needs more memory than there is; cut it into parts") from error
        decoded = None
    if decoded is None:
        raise InputError(f"{what} cannot be decoded; replace the file")
    return upright(decoded, orientation(encoded))


def check_pixels(height: int, width: int, what: str) -> None:
    """Refuses what OpenCV will not read for its size, before it is tried.

    Raises:
      InputError: it has too many pixels; says how many there may be and what to do.
    """
    if height * width > _LARGEST and _LIMIT not in os.environ:
        raise InputError(f"{what} has {height * width / 1e6:,.0f} megapixels, {_TOO_LARGE}")
