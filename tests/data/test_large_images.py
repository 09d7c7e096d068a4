"""Images of more pixels than Pillow would open by itself, and of more than OpenCV reads."""

import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest

from adeada_jax.data.builders.checks import image_file_size
from adeada_jax.data.builders.label_files import open_label
from adeada_jax.data.images import decode_image
from adeada_jax.errors import InputError


def png_of_size(height, width):
    """A PNG whose header says this size and whose pixels are missing, with right checksums."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(9))),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_images_of_180_megapixels_are_read():
    pixels = np.zeros((13500, 13500), np.uint8)
    jpeg, png = (cv2.imencode(end, pixels)[1].tobytes() for end in (".jpg", ".png"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_file_size(jpeg, "x") == (13500, 13500)
        assert image_file_size(png, "x") == (13500, 13500)
        assert open_label(png, "x").size == (13500, 13500)


def test_what_opencv_does_not_read_is_refused_for_its_size():
    file = png_of_size(40000, 40000)
    words = (
        r"x has 1,600 megapixels, more than OpenCV reads \(1,074 megapixels, unless CV_IO_MAX_IMAGE_PIXELS is"
    )
    with pytest.raises(InputError, match=words):
        image_file_size(file, "x")
    with pytest.raises(InputError, match=r"x' is too large, more than OpenCV reads .*cut it into parts"):
        decode_image(file, "x")


def test_the_environment_may_raise_the_limit(monkeypatch):
    monkeypatch.setenv("CV_IO_MAX_IMAGE_PIXELS", str(2**33))
    assert image_file_size(png_of_size(40000, 40000), "x") == (40000, 40000)
