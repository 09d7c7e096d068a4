"""EXIF orientations: all eight, in PNG and JPEG, of images and labels, read by one rule."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from adeada_jax.data import preparing, sources
from adeada_jax.data.builders.checks import image_file_size
from adeada_jax.data.builders.label_files import ClassMap, FolderLabels, IdLabels, SynthiaLabels
from adeada_jax.data.images import decode_image, decode_map, encode_png
from adeada_jax.data.orientation import orientation, upright
from adeada_jax.errors import InputError
from adeada_jax.run import prediction

ALL = range(1, 9)
COLORS = np.array([[90, 140, 200], [90, 60, 20], [220, 40, 30]], np.uint8)
CLASSES = "classes:\n" + "".join(
    f"  - {{name: {name}, color: {color.tolist()}}}\n"
    for name, color in zip(("sky", "ground", "thing"), COLORS, strict=True)
)


def scene(height=48, width=64):
    """Ids without any symmetry: 0 above 1, and 2 a square at the top left."""
    label = np.zeros((height, width), np.uint8)
    label[height // 2 :] = 1
    label[2:18, 2:18] = 2
    return label


def encoded(array, turn, format="PNG"):
    """A file of these stored pixels whose EXIF says `turn`."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = turn
    Image.fromarray(array).save(file, format, exif=exif, **({"quality": 100} if format == "JPEG" else {}))
    return file.getvalue()


def with_late_exif(png):
    """The same PNG with its eXIf after the pixels, where the format allows it, too."""
    start = png.index(b"eXIf") - 4
    end = start + 12 + struct.unpack_from(">I", png, start)[0]
    return png[:start] + png[end:-12] + png[start:end] + png[-12:]


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("turn", ALL)
def test_images_are_turned_as_pillow_turns_them(turn, format):
    file = encoded(COLORS[scene()], turn, format)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
    decoded = decode_image(file, "x")
    assert orientation(file) == turn
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= (3 if format == "JPEG" else 0)  # decoders differ
    assert image_file_size(file, "x") == decoded.shape[:2]


@pytest.mark.parametrize("turn", ALL)
def test_labels_of_every_kind_are_turned_as_images_are(turn):
    label = scene()
    ids = ClassMap(((0, 0), (1, 1), (2, 2)), (255,))
    readers = [
        (IdLabels(ids), label),
        (FolderLabels(ids, ()), label.astype(np.uint16)),
        (FolderLabels(ids, tuple(map(tuple, COLORS.tolist()))), COLORS[label]),
    ]
    for read_label, stored in readers:
        assert np.array_equal(read_label(encoded(stored, turn), "x"), upright(label, turn))
        assert np.array_equal(read_label(with_late_exif(encoded(stored, turn)), "x"), upright(label, turn))
    assert np.array_equal(decode_map(encoded(label, turn), "x"), upright(label, turn))
    sixteen = encode_png(label.astype(np.uint16))
    rgb16 = cv2.imencode(".png", np.dstack([0 * label, label, label]).astype(np.uint16))[1].tobytes()
    chunk = encoded(label, turn)
    start = chunk.index(b"eXIf") - 4
    chunk = chunk[start : start + 12 + struct.unpack_from(">I", chunk, start)[0]]
    assert np.array_equal(SynthiaLabels(ids)(rgb16[:-12] + chunk + rgb16[-12:], "x"), upright(label, turn))
    assert np.array_equal(decode_map(sixteen[:-12] + chunk + sixteen[-12:], "x"), upright(label, turn))


def test_files_that_say_nothing_sensible_are_left_as_they_are():
    image = COLORS[scene()]
    for format in ("PNG", "JPEG"):
        assert orientation(encoded(image, 0, format)) == 1
        assert orientation(encoded(image, 9, format)) == 1
        file = encoded(image, 6, format)
        damaged = file.replace(b"MM\0*", b"XX\0*").replace(b"II*\0", b"XX*\0")
        assert damaged != file
        assert orientation(damaged) == 1
    for end in (0, 1, 2, 3, 9, 20, 30):
        assert orientation(encoded(image, 6, "JPEG")[:end]) == 1
    # The four letters among a PNG's pixels are no chunk.
    raw = np.frombuffer(b"eXIf" * 3, np.uint8).reshape(2, 6)
    rows = b"".join(b"\0" + row.tobytes() for row in raw)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 6, 2, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 0)),
        (b"IEND", b""),
    )
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    assert b"eXIf" in png
    assert orientation(png) == 1


def folder(root, image, label, suffix="png", splits=("train",)):
    for split in splits:
        for kind, file, end in (("images", image, suffix), ("labels", label, "png")):
            path = root / kind / split / f"0.{end}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file)
    (root / "classes.yaml").write_text(CLASSES)
    return root


def prepared(tmp_path, *files, **options):
    """The example that is read of a folder of one image and its label."""
    source = folder(tmp_path / "own", *files, **options)
    preparing.prepare("folder", tmp_path / "data", source_dir=source, progress=False)
    return sources.open_labelled("folder", tmp_path / "data", "train")[0]


def lies_on_its_image(example):
    far = np.abs(example["image"].astype(int) - COLORS[example["label"]]).max(axis=-1) > 90
    return far.mean() < 0.02  # JPEG's edges


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("turn", ALL)
def test_image_and_label_of_one_orientation_are_turned_alike(tmp_path, turn, suffix):
    label = scene()
    image = encoded(COLORS[label], turn, {"png": "PNG", "jpg": "JPEG"}[suffix])
    example = prepared(tmp_path, image, encoded(label, turn), suffix=suffix)
    assert np.array_equal(example["label"], upright(label, turn))
    assert lies_on_its_image(example)


@pytest.mark.parametrize("turn", ALL)
def test_a_label_without_an_orientation_is_that_of_the_upright_photograph(tmp_path, turn):
    stored = scene()
    example = prepared(
        tmp_path, encoded(COLORS[stored], turn, "JPEG"), encode_png(upright(stored, turn)), suffix="jpg"
    )
    assert lies_on_its_image(example)


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_label_of_the_size_before_turning_is_refused_with_the_remedy(tmp_path, turn, suffix):
    stored = scene()
    image = encoded(COLORS[stored], turn, {"png": "PNG", "jpg": "JPEG"}[suffix])
    words = rf"is 64x48 but its label 48x64 .*before its EXIF orientation \({turn}\) turns it; turn the label"
    with pytest.raises(InputError, match=words):
        prepared(tmp_path, image, encode_png(stored), suffix=suffix)


def test_which_way_up_a_pngs_label_is_must_be_known(tmp_path):
    stored = scene()
    for turn in (5, 6, 7, 8):  # here the size tells
        example = prepared(
            tmp_path / str(turn), encoded(COLORS[stored], turn), encode_png(upright(stored, turn))
        )
        assert lies_on_its_image(example)
    square = scene(48, 48)
    for turn, label in ((2, stored), (3, stored), (4, stored), (6, square)):
        words = rf"has EXIF orientation {turn} and its label none; .*mogrify -auto-orient .*exiftool"
        with pytest.raises(InputError, match=words):
            prepared(tmp_path / f"unknown{turn}", encoded(COLORS[label], turn), encode_png(label))


def test_a_label_with_an_orientation_of_its_own_is_turned_by_it(tmp_path):
    label = scene()
    example = prepared(tmp_path, encode_png(COLORS[upright(label, 8)]), encoded(label, 8))
    assert np.array_equal(example["label"], upright(label, 8))
    assert lies_on_its_image(example)


def test_predictions_are_of_the_upright_image(tmp_path):
    (tmp_path / "0.png").write_bytes(encoded(COLORS[scene()], 6))
    assert np.array_equal(prediction._ImageFiles([tmp_path / "0.png"])[0], COLORS[upright(scene(), 6)])
