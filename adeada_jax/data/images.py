"""Encoding and decoding of images and label maps, with errors that name the file."""

from pathlib import Path

import cv2
import numpy as np

from adeada_jax.errors import InputError


def encode_png(array: np.ndarray) -> bytes:
    """Encodes `(H, W, 3)` uint8 RGB, or `(H, W)` uint8 or uint16, as PNG."""
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", array)[1].tobytes()


def decode_image(encoded: bytes, name: str) -> np.ndarray:
    """Decodes a PNG or JPEG to `(H, W, 3)` uint8 RGB.

    Raises:
      InputError: the bytes are no image; names the image.
    """
    return cv2.cvtColor(_decode(encoded, cv2.IMREAD_COLOR, f"image '{name}'"), cv2.COLOR_BGR2RGB)


def decode_map(encoded: bytes, what: str) -> np.ndarray:
    """Decodes a one-channel PNG to `(H, W)` uint8 or uint16.

    Raises:
      InputError: the bytes are no image or have several channels; names `what`.
    """
    decoded = _decode(encoded, cv2.IMREAD_UNCHANGED, what)
    if decoded.ndim != 2:
        raise InputError(f"{what} has {decoded.shape[2]} channels, where one is expected")
    return decoded


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
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if decoded is None:
        raise InputError(f"{what} cannot be decoded; replace the file and prepare the data again")
    return decoded
