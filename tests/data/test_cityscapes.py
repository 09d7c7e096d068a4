"""Cityscapes as it is published, small: cities, both splits, every pixel's class."""

import shutil

import numpy as np
import pytest

from adeada_jax.data import prepared, preparing, sources
from adeada_jax.errors import InputError

# trainId by Cityscapes' label id 0..33, from its documentation; -1 is no class.
TRAIN_IDS = [
    -1, -1, -1, -1, -1, -1, -1, 0, 1, -1, -1, 2, 3, 4, -1, -1, -1, 5, -1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    -1, -1, 16, 17, 18,
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory, miniatures):
    root = tmp_path_factory.mktemp("cityscapes")
    return root, miniatures.cityscapes(root)


@pytest.fixture
def spoiled(folder, tmp_path):
    """A copy of the miniature that a test may change."""
    shutil.copytree(folder[0], tmp_path / "cityscapes")
    return tmp_path / "cityscapes"


def prepare(data_dir, source_dir):
    preparing.prepare("cityscapes", data_dir, source_dir=source_dir, progress=False)


def test_every_pixel_has_its_class(folder, tmp_path):
    root, stored = folder
    prepare(tmp_path, root)
    names = []
    for split in ("train", "val"):
        source = sources.open_labelled("cityscapes", tmp_path, split)
        names += source.names
        for index, name in enumerate(source.names):
            expected = np.array(TRAIN_IDS)[stored[name]]
            assert np.array_equal(source[index]["label"], np.where(expected < 0, 255, expected))
        assert set(np.unique(source[0]["label"])) == {*range(19), 255}
    assert names == [
        "aachen_000000_000019", "ulm_000000_000019", "ulm_000001_000019",
        "lindau_000000_000019", "lindau_000001_000019",
    ]  # fmt: skip
    assert prepared.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}


def test_missing_pairs_are_all_listed(spoiled, tmp_path, capsys):
    (spoiled / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png").unlink()
    (spoiled / "gtFine/val/lindau/lindau_000001_000019_gtFine_labelIds.png").unlink()
    (spoiled / "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png").unlink()
    lone = spoiled / "leftImg8bit/val/lindau/lindau_000001_000019_leftImg8bit.png"
    lone.write_bytes(lone.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"4 problems, listed above; the first: image .*ulm_000000"):
        prepare(tmp_path, spoiled)
    printed = capsys.readouterr().out
    assert "ulm_000000_000019_leftImg8bit.png' has no label" in printed
    assert "lindau_000001_000019_leftImg8bit.png' has no label" in printed
    assert "lindau_000000_000019_gtFine_labelIds.png' has no image" in printed
    assert "lindau_000001_000019_leftImg8bit.png' is truncated" in printed


def test_a_missing_split_is_named(spoiled, tmp_path):
    shutil.rmtree(spoiled / "leftImg8bit/val")
    with pytest.raises(InputError, match="missing: leftImg8bit/val/; found gtFine/, leftImg8bit/"):
        prepare(tmp_path, spoiled)


def test_an_empty_split_is_refused(spoiled, tmp_path):
    shutil.rmtree(spoiled / "leftImg8bit/val/lindau")
    shutil.rmtree(spoiled / "gtFine/val/lindau")
    with pytest.raises(InputError, match="split 'val' of Cityscapes is empty"):
        prepare(tmp_path, spoiled)


def test_a_name_in_two_cities_is_refused(spoiled, tmp_path):
    frame = "ulm_000000_000019_leftImg8bit.png"
    shutil.copy(spoiled / "leftImg8bit/train/ulm" / frame, spoiled / "leftImg8bit/train/aachen" / frame)
    with pytest.raises(InputError, match=r"two folders of cities"):
        prepare(tmp_path, spoiled)


def test_hidden_files_do_not_count(spoiled, tmp_path):
    # What a Mac adds to archives and folders.
    frame = spoiled / "leftImg8bit/train/ulm/._ulm_000000_000019_leftImg8bit.png"
    frame.write_bytes(b"\0\5\26\7")
    prepare(tmp_path, spoiled)
    assert prepared.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}


def test_cities_may_be_links(spoiled, tmp_path):
    for kind in ("leftImg8bit", "gtFine"):
        (spoiled / kind / "train/ulm").rename(tmp_path / f"{kind}_ulm")
        (spoiled / kind / "train/ulm").symlink_to(tmp_path / f"{kind}_ulm")
    prepare(tmp_path, spoiled)
    assert prepared.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}
    shutil.rmtree(tmp_path / "leftImg8bit_ulm")
    with pytest.raises(InputError, match=r"a link leads nowhere: '.*/leftImg8bit/train/ulm'; bring back"):
        prepare(tmp_path / "second", spoiled)


def test_without_label_ids_it_is_said_where_they_are(spoiled, tmp_path):
    for path in spoiled.glob("gtFine/*/*/*_labelIds.png"):
        path.rename(path.with_name(path.name.replace("labelIds", "labelTrainIds")))
    words = (
        r"2 problems, listed above; the first: '.*/gtFine/train' has no \*_gtFine_labelIds.png, only 3 "
        r"\*_gtFine_labelTrainIds.png, made from them; unpack gtFine_trainvaltest.zip"
    )
    with pytest.raises(InputError, match=words):
        prepare(tmp_path, spoiled)
    for path in spoiled.glob("gtFine/*/*/*_labelTrainIds.png"):
        path.unlink()
    with pytest.raises(InputError, match=r"gtFine/train' has no \*_gtFine_labelIds.png; unpack"):
        prepare(tmp_path, spoiled)
