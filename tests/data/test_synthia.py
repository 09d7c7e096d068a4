"""SYNTHIA-RAND-CITYSCAPES as it is published, small: every pixel's class from 16-bit colour labels."""

import shutil

import numpy as np
import pytest
from PIL import Image

from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError

# trainId by SYNTHIA's id 0..22; -1 is no class.
TRAIN_IDS = [-1, 10, 2, 0, 1, 4, 8, 5, 13, 7, 11, 18, 17, -1, -1, 6, 9, 12, 14, 15, 16, 3, -1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, miniatures):
    root = tmp_path_factory.mktemp("synthia")
    return root, miniatures.synthia(root)


def prepare(data_dir, source_dir):
    preparing.prepare("synthia", data_dir, source_dir=source_dir, progress=False)
    return sources.open_labelled("synthia", data_dir, "train")


def test_every_pixel_has_its_class(folder, tmp_path):
    root, stored = folder
    # The trap: Pillow reads these very files as zeros.
    with Image.open(root / "RAND_CITYSCAPES/GT/LABELS/0000000.png") as label:
        assert not np.asarray(label)[..., 0].any()
    source = prepare(tmp_path, root)
    assert source.names == ("0000000", "0000001", "0000002")
    for index, name in enumerate(source.names):
        expected = np.array(TRAIN_IDS)[stored[name]]
        assert np.array_equal(source[index]["label"], np.where(expected < 0, 255, expected))
    assert set(np.unique(source[0]["label"])) == {*range(19), 255}


def test_the_inner_folder_can_be_given_too(folder, tmp_path):
    root, _ = folder
    assert len(prepare(tmp_path, root / "RAND_CITYSCAPES")) == 3


def test_what_tools_put_beside_the_labels_does_no_harm(folder, tmp_path, write_files):
    root, _ = folder
    shutil.copytree(root, tmp_path / "copy")
    for name in ("0000000_labelTrainIds.png", "0000001_color.png", "@eaDir/0000001.png"):
        write_files.image(tmp_path / "copy/RAND_CITYSCAPES/GT/LABELS" / name, np.zeros((9, 9), np.uint8))
    assert len(prepare(tmp_path, tmp_path / "copy")) == 3


def test_labels_saved_with_8_bits_are_refused(folder, tmp_path, write_files):
    root, _ = folder
    shutil.copytree(root, tmp_path / "copy")
    write_files.image(tmp_path / "copy/RAND_CITYSCAPES/GT/LABELS/0000001.png", np.ones((48, 80, 3), np.uint8))
    with pytest.raises(InputError, match=r"0000001.png' is no 16-bit RGB PNG"):
        prepare(tmp_path, tmp_path / "copy")


def test_ids_outside_the_map_are_named(folder, tmp_path, write_files):
    root, _ = folder
    shutil.copytree(root, tmp_path / "copy")
    red = np.resize([3, 23, 1000], (48, 80))
    write_files.rgb16(tmp_path / "copy/RAND_CITYSCAPES/GT/LABELS/0000001.png", red, red)
    with pytest.raises(InputError, match=r"0000001.png' has ids outside the map: 23, 1000; known: 0-22"):
        prepare(tmp_path, tmp_path / "copy")


def test_another_size_of_the_label_is_refused(folder, tmp_path, write_files):
    root, _ = folder
    shutil.copytree(root, tmp_path / "copy")
    red = np.full((48, 79), 3)
    write_files.rgb16(tmp_path / "copy/RAND_CITYSCAPES/GT/LABELS/0000001.png", red, red)
    with pytest.raises(InputError, match="image '0000001' is 48x80 but its label 48x79"):
        prepare(tmp_path, tmp_path / "copy")


def test_a_wrong_folder_is_named(folder, tmp_path):
    root, _ = folder
    with pytest.raises(InputError, match=r"SYNTHIA: looked for RGB/, GT/LABELS/; found LABELS/"):
        prepare(tmp_path, root / "RAND_CITYSCAPES/GT")
