"""GTA5 as it is published, small: every pixel's class, and what is left out."""

import re

import numpy as np
import pytest
from PIL import Image

from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError

# trainId by Cityscapes' label id, from its documentation; -1 is no class. 34 is GTA5's licence plate.
TRAIN_IDS = [
    -1, -1, -1, -1, -1, -1, -1, 0, 1, -1, -1, 2, 3, 4, -1, -1, -1, 5, -1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    -1, -1, 16, 17, 18, -1,
]  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, miniatures):
    """The miniature, prepared: its folder, the data directory, the stored ids."""
    root = tmp_path_factory.mktemp("gta5")
    stored = miniatures.gta5(root / "GTA5")
    preparing.prepare("gta5", root / "data", source_dir=root / "GTA5", progress=False)
    return root / "GTA5", root / "data", stored


def test_every_pixel_has_its_class(prepared):
    folder, data_dir, stored = prepared
    # Read as colours, the palette would give other numbers than the indices.
    with Image.open(folder / "labels/00001.png") as label:
        assert label.mode == "P"
    source = sources.open_labelled("gta5", data_dir, "train")
    for example in (source[i] for i in range(len(source))):
        expected = np.array(TRAIN_IDS)[stored[example["name"]]]
        assert np.array_equal(example["label"], np.where(expected < 0, 255, expected))
    assert set(np.unique(source[0]["label"])) == {*range(19), 255}


def test_images_keep_their_bytes_and_sizes(prepared, miniatures, tmp_path):
    folder, data_dir, _ = prepared
    source = sources.open_images("gta5", data_dir, "train")
    for index, name in enumerate(source.names):
        assert source._parse(index)["image"] == (folder / "images" / f"{name}.png").read_bytes()
    miniatures.gta5(tmp_path / "GTA5", mismatched=None)
    preparing.prepare("gta5", tmp_path, source_dir=tmp_path / "GTA5", progress=False)
    source = sources.open_labelled("gta5", tmp_path, "train")
    assert [source[i]["label"].shape for i in range(3)] == [(64, 96), (60, 96), (64, 96)]
    assert [source[i]["label"].shape for i in range(3)] == [(64, 96), (60, 96), (64, 96)]


def test_mismatched_files_are_left_out_aloud(prepared, miniatures, tmp_path, capsys):
    _, data_dir, _ = prepared
    assert sources.open_images("gta5", data_dir, "train").names == ("00001", "00003")
    miniatures.gta5(tmp_path / "GTA5", mismatched=3)
    preparing.prepare("gta5", tmp_path, source_dir=tmp_path / "GTA5", progress=False)
    printed = capsys.readouterr().out
    assert "left out, since image and label differ in size: 1\n" in printed
    assert "image '00003' is 64x96 but its label 58x96" in printed
    assert "GTA5, split train: 3 images; as published it has 24966" in printed


def test_nothing_left_is_refused(tmp_path, miniatures):
    miniatures.gta5(tmp_path / "GTA5", sizes=((64, 96),), mismatched=1)
    with pytest.raises(InputError, match="split 'train' of GTA5 is empty"):
        preparing.prepare("gta5", tmp_path, source_dir=tmp_path / "GTA5", progress=False)


def test_ids_outside_the_map_are_named(tmp_path, miniatures, write_files):
    miniatures.gta5(tmp_path / "GTA5")
    write_files.palette(tmp_path / "GTA5/labels/00003.png", np.resize([7, 35, 90, 34], (64, 96)))
    words = r"labels/00003.png' has ids outside the map: 35, 90; known: 0-34, 255"
    with pytest.raises(InputError, match=words):
        preparing.prepare("gta5", tmp_path, source_dir=tmp_path / "GTA5", progress=False)


def test_painted_labels_are_refused(tmp_path, miniatures, write_files):
    miniatures.gta5(tmp_path / "GTA5")
    write_files.image(tmp_path / "GTA5/labels/00001.png", np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(InputError, match=r"00001.png' holds colours \(RGB\)"):
        preparing.prepare("gta5", tmp_path, source_dir=tmp_path / "GTA5", progress=False)


def test_what_tools_put_beside_the_labels_does_no_harm(tmp_path, miniatures, write_files):
    miniatures.gta5(tmp_path / "GTA5", mismatched=None)
    for name in ("00001_labelTrainIds.png", "00002_color.png", "00003_instanceIds.png", "@eaDir/00001.png"):
        write_files.image(tmp_path / "GTA5/labels" / name, np.full((9, 9), 99, np.uint8))
    (tmp_path / "GTA5/labels/00001_polygons.json").write_text("{}")
    (tmp_path / "GTA5/sample_class_stats.json").write_text("{}")
    preparing.prepare("gta5", tmp_path, source_dir=tmp_path / "GTA5", progress=False)
    assert sources.open_images("gta5", tmp_path, "train").names == ("00001", "00002", "00003")
    # A label whose image is missing is no such file.
    (tmp_path / "GTA5/images/00001.png").unlink()
    with pytest.raises(InputError, match=r"label '.*/labels/00001.png' has no image"):
        preparing.prepare("gta5", tmp_path / "second", source_dir=tmp_path / "GTA5", progress=False)


def test_a_wrong_folder_is_named_with_what_was_looked_for_and_found(tmp_path, miniatures):
    folder = tmp_path / "downloads" / "GTA5"
    miniatures.gta5(folder)
    (tmp_path / "downloads" / "01_images.zip").write_bytes(b"")
    for wrong, found in (
        (folder.parent, "01_images.zip, GTA5/"),
        (folder / "images", "00001.png, 00002.png"),
    ):
        with pytest.raises(InputError, match="not the folder of GTA5: looked for images/, labels/") as error:
            preparing.prepare("gta5", tmp_path / "data", source_dir=wrong, progress=False)
        assert f"found {found}" in str(error.value)
        assert re.search(r"try --source_dir=\S*/downloads/GTA5$", str(error.value))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found nothing"):
        preparing.prepare("gta5", tmp_path / "data", source_dir=tmp_path / "empty", progress=False)
    with pytest.raises(InputError, match="absent' is no directory"):
        preparing.prepare("gta5", tmp_path / "data", source_dir=tmp_path / "absent", progress=False)
    with pytest.raises(InputError, match="--source_dir: give the folder of GTA5"):
        preparing.prepare("gta5", tmp_path / "data", progress=False)
