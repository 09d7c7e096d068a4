"""Checking a folder: everything that is wrong is found and listed before any work is done."""

import contextlib

import cv2
import numpy as np
import pytest

from adeada_jax.data import preparing
from adeada_jax.data.builders import checks
from adeada_jax.data.builders.checks import check_png, image_file_size
from adeada_jax.data.builders.cityscapes import Cityscapes
from adeada_jax.data.builders.layout import Item
from adeada_jax.data.images import encode_png
from adeada_jax.errors import InputError


@pytest.fixture
def folder(tmp_path, miniatures):
    miniatures.cityscapes(tmp_path / "cityscapes")
    return tmp_path / "cityscapes"


@contextlib.contextmanager
def no_bar(description, total):
    yield lambda: None


@pytest.fixture(scope="module")
def png():
    return encode_png(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def test_a_whole_png_gives_its_size(png):
    assert image_file_size(png, "x") == (20, 30)
    assert image_file_size(encode_png(np.zeros((7, 9), np.uint8)), "x") == (7, 9)


def test_a_png_that_ends_anywhere_too_early_is_found(png):
    for end in (0, 5, 8, 12, 30, len(png) // 2, len(png) - 13, len(png) - 12, len(png) - 1):
        with pytest.raises(InputError, match=r"x is (truncated|empty|no PNG)"):
            image_file_size(png[:end], "x")


def test_one_wrong_byte_is_found_anywhere(png):
    for place in range(16, len(png), 97):
        damaged = bytearray(png)
        damaged[place] ^= 1
        with pytest.raises(InputError, match=r"x is (damaged|truncated)"):
            check_png(bytes(damaged), "x")


def test_jpegs_are_decoded_to_the_end():
    image = np.random.default_rng(1).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    assert image_file_size(jpeg, "x") == (40, 56)
    with pytest.raises(InputError, match=r"x is no PNG or JPEG, or truncated"):
        image_file_size(jpeg[: len(jpeg) // 2], "x")
    with pytest.raises(InputError, match=r"x is no PNG or JPEG, or truncated"):
        image_file_size(b"GIF89a", "x")


def spoil(folder):
    """Three files of a miniature Cityscapes, each wrong in its own way."""
    images, labels = folder / "leftImg8bit", folder / "gtFine"
    truncated = images / "train/ulm/ulm_000001_000019_leftImg8bit.png"
    truncated.write_bytes(truncated.read_bytes()[:-20])
    empty = labels / "train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    empty.write_bytes(b"")
    unknown = labels / "val/lindau/lindau_000000_000019_gtFine_labelIds.png"
    cv2.imwrite(str(unknown), np.resize([7, 34, 200], (64, 128)).astype(np.uint8))
    small = labels / "val/lindau/lindau_000001_000019_gtFine_labelIds.png"
    cv2.imwrite(str(small), np.full((32, 64), 7, np.uint8))


def test_all_problems_are_listed_not_the_first_only(folder, tmp_path, capsys):
    spoil(folder)
    with pytest.raises(InputError) as error:
        preparing.prepare("cityscapes", tmp_path / "data", source_dir=folder, progress=False)
    assert "4 problems, listed above; the first: label" in str(error.value)
    assert "\n" not in str(error.value)
    lines = capsys.readouterr().out.split("4 problems in")[1].splitlines()[1:]
    for line, words in zip(
        sorted(lines),
        (
            "image '{i}/train/ulm/ulm_000001_000019_leftImg8bit.png' is truncated (at",
            "image 'lindau_000001_000019' is 64x128 but its label 32x64 ('{l}/val/lindau/lindau_000001_",
            "label '{l}/train/aachen/aachen_000000_000019_gtFine_labelIds.png' is empty (0 bytes)",
            "label '{l}/val/lindau/lindau_000000_000019_gtFine_labelIds.png' has ids outside the map: 34,",
        ),
        strict=True,
    ):
        assert words.format(i=folder / "leftImg8bit", l=folder / "gtFine") in line
    assert not (tmp_path / "data/cityscapes").exists()


def test_long_lists_are_cut_with_a_count(folder, monkeypatch, capsys):
    spoil(folder)
    monkeypatch.setattr(checks, "_SHOWN", 2)
    with pytest.raises(InputError, match="4 problems"):
        checks.check(Cityscapes().find(folder), jobs=1, bar=no_bar)
    lines = capsys.readouterr().out.split("4 problems in")[1].splitlines()[1:]
    assert len(lines) == 3
    assert lines[-1] == "  and 2 more"


def test_sizes_are_noted_and_classes_counted(folder, capsys):
    content = checks.check(Cityscapes().find(folder), jobs=1, bar=no_bar)
    assert [item.size for item in content.items] == [(64, 128)] * 5
    for path in folder.glob("gtFine/*/*/*labelIds.png"):
        cv2.imwrite(str(path), np.resize([7, 7, 8, 0], (64, 128)).astype(np.uint8))
    capsys.readouterr()
    checks.check(Cityscapes().find(folder), jobs=1, bar=no_bar)
    printed = capsys.readouterr().out
    assert "25.0% of the labels' pixels are ignored" in printed
    assert "classes without a pixel: building, wall" in printed


def test_files_that_vanish_are_named(folder):
    content = Cityscapes().find(folder)
    content.items[0].image.unlink()
    with pytest.raises(InputError, match=r"leftImg8bit.png' cannot be read: No such file"):
        checks.check(content, jobs=1, bar=no_bar)


def test_a_label_that_the_data_set_gives_no_reader_for_is_a_problem(tmp_path, png):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png)
    found = checks.inspect(Item("a", tmp_path / "a.png", tmp_path / "b.png"), read_label=None)
    assert found.problems == (
        f"label '{tmp_path / 'b.png'}' cannot be read: the data set's Content has no read_label",
    )
