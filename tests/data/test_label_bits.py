"""Ids as they are stored, whatever the bits of a PNG's pixel."""

import struct
import zlib

import numpy as np
import pytest

from adeada_jax.data.builders.label_files import ClassMap, FolderLabels, IdLabels
from adeada_jax.data.images import decode_map
from adeada_jax.errors import InputError


def png(ids, bits, *, palette):
    """A PNG of one channel, packed by hand."""
    packed = np.unpackbits(ids.astype(">u2").view(np.uint8).reshape(*ids.shape, 2), axis=-1)[..., -bits:]
    rows = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 3 if palette else 0, 0, 0, 0)
    colors = np.random.default_rng(0).integers(0, 256, 3 * 2 ** min(bits, 8), dtype=np.uint8).tobytes()
    chunks = [(b"IHDR", header), (b"PLTE", colors), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
        if palette or kind != b"PLTE"
    )


@pytest.mark.parametrize(
    ("bits", "palette"), [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (1, 1), (2, 1), (4, 1), (8, 1)]
)
def test_ids_are_read_as_stored(bits, palette):
    # Each stored id is a class by itself, in another order; the width leaves bits over in each row.
    known = np.linspace(0, 2**bits - 1, min(2**bits, 200)).astype(int)
    stored = np.resize(known, (23, 19))
    order = np.random.default_rng(1).permutation(len(known))
    classes = ClassMap(tuple(zip(known.tolist(), order.tolist(), strict=True)), None)
    expected = np.resize(order, (23, 19))
    for read_label in (IdLabels(classes), FolderLabels(classes, ())):
        assert np.array_equal(read_label(png(stored, bits, palette=palette), "x"), expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_maps_are_decoded_as_stored(bits):
    stored = np.resize(np.arange(min(2**bits, 1000)), (23, 19))
    assert np.array_equal(decode_map(png(stored, bits, palette=False), "x"), stored)


def test_an_unknown_id_of_few_bits_is_named_as_stored():
    with pytest.raises(InputError, match=r"x has ids outside the map: 3; known: 0-1, 255"):
        IdLabels(ClassMap(((0, 0), (1, 1)), (255,)))(png(np.resize([0, 1, 3], (4, 5)), 2, palette=False), "x")
