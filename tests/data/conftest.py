"""Writes the data sets small, in the formats in which they are published."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from adeada_jax.labels import PALETTE


def photograph(rng, height, width):
    """Smooth colours with some noise, so that there is something to divide into regions."""
    small = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(image + rng.integers(-8, 9, image.shape), 0, 255).astype(np.uint8)


def blocks(rng, ids, height, width):
    """`(height, width)` blocks of 8x8 pixels, each of one of the ids; all ids occur if there is room."""
    rows, columns = -(-height // 8), -(-width // 8)
    cells = np.resize(rng.permutation(ids), rows * columns).reshape(rows, columns)
    return np.repeat(np.repeat(cells, 8, axis=0), 8, axis=1)[:height, :width]


def write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_palette_png(path, indices):
    """As GTA5's labels: 8-bit indices into a palette of colours that are not the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(np.roll(np.resize(PALETTE, (256, 3)), 5, axis=0).tobytes())
    assert image.mode == "P"
    image.save(path)


def write_rgb16_png(path, red, green):
    """As SYNTHIA's labels, written chunk by chunk: 16 bits big-endian, class in red, instance in green."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.stack([red, green, np.zeros_like(red)], axis=-1).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", red.shape[1], red.shape[0], 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


class Miniatures:
    """Each method writes a data set into a directory and returns its stored ids by image name."""

    @staticmethod
    def gta5(root, sizes=((64, 96), (60, 96), (64, 96)), mismatched=2):
        rng, stored = np.random.default_rng(1), {}
        for number, (height, width) in enumerate(sizes, 1):
            name = f"{number:05d}"
            stored[name] = blocks(rng, range(35), height, width)
            write_image(root / "images" / f"{name}.png", photograph(rng, height, width))
            cut = 6 if number == mismatched else 0
            write_palette_png(root / "labels" / f"{name}.png", stored[name][: height - cut])
        return stored

    @staticmethod
    def synthia(root, count=3):
        rng, stored = np.random.default_rng(2), {}
        for number in range(count):
            name = f"{number:07d}"
            stored[name] = blocks(rng, range(23), 48, 80)
            instances = rng.integers(0, 2**15, stored[name].shape)
            write_image(root / "RAND_CITYSCAPES/RGB" / f"{name}.png", photograph(rng, 48, 80))
            write_rgb16_png(root / "RAND_CITYSCAPES/GT/LABELS" / f"{name}.png", stored[name], instances)
        return stored

    @staticmethod
    def cityscapes(root, cities=(("train", "ulm", 2), ("train", "aachen", 1), ("val", "lindau", 2))):
        rng, stored = np.random.default_rng(3), {}
        for split, city, count in cities:
            for frame in range(count):
                name = f"{city}_{frame:06d}_000019"
                stored[name] = blocks(rng, range(34), 64, 128)
                image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
                label = root / "gtFine" / split / city / f"{name}_gtFine_labelIds.png"
                write_image(image, photograph(rng, 64, 128))
                write_image(label, stored[name].astype(np.uint8))
                # Of the other files that are shipped with each label.
                write_image(label.with_name(f"{name}_gtFine_color.png"), photograph(rng, 64, 128))
        return stored


@pytest.fixture(scope="session")
def miniatures():
    return Miniatures


@pytest.fixture(scope="session")
def write_files():
    """The functions that write single files in published formats."""

    class Writers:
        image = staticmethod(write_image)
        palette = staticmethod(write_palette_png)
        rgb16 = staticmethod(write_rgb16_png)
        photograph = staticmethod(photograph)
        blocks = staticmethod(blocks)

    return Writers
