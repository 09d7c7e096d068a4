"""What lies where in a folder of one's own: found and used, named, or refused with what to do."""

import os

import numpy as np
import pytest
from PIL import Image

from adeada_jax.data import preparing, sources
from adeada_jax.data.builders.folder import Folder
from adeada_jax.data.builders.layout import find_files, walk
from adeada_jax.errors import InputError

CLASSES = """classes:
  - {name: sky, color: [70, 130, 180]}
  - {name: ground, color: [90, 60, 20]}
"""


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make(root, *, images="images", labels="labels", splits=("train", "val"), names="ab", suffix=".png"):
    """Images of 24x32 and their labels, of both classes."""
    ids = np.repeat(np.array([0, 1], np.uint8), 12)[:, None].repeat(32, axis=1)
    for split in splits:
        for name in names:
            write(root / images / split / f"{name}.png", np.full((24, 32, 3), 90, np.uint8))
            if labels:
                write(root / labels / split / f"{name}{suffix}", ids)
    (root / "classes.yaml").write_text(CLASSES)
    return root


def prepare(root):
    preparing.prepare("folder", root.parent / "data", source_dir=root, progress=False)


def labelled(content):
    return {split: [item.label is not None for item in items] for split, items in content.splits.items()}


@pytest.mark.parametrize(
    ("suffix", "remedy"),
    [
        (".tif", "save them as PNGs of the same values"),
        (".bmp", "save them as PNGs of the same values"),
        (".jpg", "JPEG changes ids; export the labels anew"),
    ],
)
def test_labels_that_are_no_pngs_are_refused(tmp_path, suffix, remedy):
    make(tmp_path / "own", suffix=suffix, splits=("train",))
    with pytest.raises(
        InputError, match=rf"labels must be PNGs, but '.*/labels/train' has 2 {suffix}: {remedy}"
    ):
        prepare(tmp_path / "own")


def test_polygons_are_refused_where_classes_are_told_and_named_where_not(tmp_path, capsys):
    own = make(tmp_path / "own", labels="", splits=("",))
    (own / "labels").mkdir()
    for name in "ab":
        (own / "labels" / f"{name}.json").write_text("{}")
    with pytest.raises(InputError, match=r"has 2 .json: export PNGs of ids"):
        prepare(own)
    (own / "classes.yaml").unlink()
    prepare(own)
    assert "not used: 2 .json in labels/" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["masks", "Masks", "annotations", "gt", "Labels", "SegmentationClass"])
def test_a_folder_of_labels_may_have_another_usual_name(tmp_path, name):
    content = Folder().find(make(tmp_path / "own", labels=name))
    assert labelled(content) == {"train": [True, True], "val": [True, True]}
    assert f"labels are taken from {name}/" in content.notes


def test_of_several_folders_of_labels_one_must_be_the_one(tmp_path):
    own = make(tmp_path / "own", labels="masks")
    (own / "annotations").mkdir()
    (own / "annotations/instances.json").write_text("{}")
    assert "not used: 1 .json in annotations/" in Folder().find(own).notes
    make(own, labels="gt")
    with pytest.raises(
        InputError, match=r"has gt/ and masks/; rename the one that holds the labels to labels/"
    ):
        Folder().find(own)
    make(own, labels="labels")
    content = Folder().find(own)
    assert all(item.label.parts[-3] == "labels" for item in content.items)
    assert any("2 .png in masks/train/" in note for note in content.notes)


@pytest.mark.parametrize("place", ["labels", "labels/all"])
def test_labels_beside_the_folders_of_the_splits_are_refused(tmp_path, place):
    own = make(tmp_path / "own", labels="")
    for name in "ab":
        write(own / place / f"{name}.png", np.zeros((24, 32), np.uint8))
    words = rf"/{place}' has 2 labels of images in other folders; put each into labels/train/ or labels/val/"
    with pytest.raises(InputError, match=words):
        prepare(own)


def test_labels_of_images_that_are_not_used_are_no_mistake(tmp_path):
    own = make(make(tmp_path / "own", splits=("val", "test")), splits=("train",), labels="")
    content = Folder().find(own)
    assert content.problems == ()
    assert labelled(content) == {"train": [False, False], "val": [True, True]}
    assert "not used: 2 .png in images/test/, 2 .png in labels/test/" in content.notes


@pytest.mark.parametrize(
    ("train", "val"),
    [("Train", "Val"), ("training", "validation"), ("TRAIN", "valid"), ("train", "Validation")],
)
def test_splits_may_be_spelled_as_usual(tmp_path, train, val):
    own = make(make(tmp_path / "own", splits=(train,)), splits=(val,), names="c")
    for name in ("images", "labels"):  # not both alike
        (own / name / val).rename(own / name / ("val" if name == "images" else val))
    content = Folder().find(own)
    assert labelled(content) == {"train": [True, True], "val": [True]}


def test_folders_of_splits_that_cannot_be_told_apart_are_refused(tmp_path):
    own = make(tmp_path / "own", splits=("train", "training"))
    with pytest.raises(InputError, match=r"has train/ and training/, both for the split 'train'"):
        Folder().find(own)
    with pytest.raises(InputError, match=r"images' has test/ alone, which has no use here; name it train/"):
        Folder().find(make(tmp_path / "second", splits=("test",)))


def test_what_is_not_used_is_counted_in_one_line(tmp_path):
    own = make(tmp_path / "own", splits=("train",))
    for name in ("images/loose.png", "images/train/c.TIF", "old/x/y/z.png", "old/x/y/w.png", "README"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(b"")
    left_behind = (
        "images/train/@eaDir/a.png/thumb.png", "images/train/Thumbs.db", "__MACOSX/images/._a.png",
        "images/.DS_Store", "labels/train/a_labelTrainIds.png", "labels/train/a_color.png",
        "labels/train/a_polygons.json", "labels/train/desktop.ini",
    )  # fmt: skip
    for name in left_behind:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(b"")
    content = Folder().find(own)
    assert content.problems == ()
    assert content.notes == (
        "not used: 1 files in ./, 1 .png in images/, 1 .tif in images/train/, 2 .png in old/x/",
    )


def test_without_an_image_what_is_there_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.tif").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"has no image: .png, .jpg, .jpeg are looked for; not used: 1 .tif in"
    ):
        Folder().find(tmp_path)


def test_links_are_followed_and_circles_are_not(tmp_path):
    far = make(tmp_path / "far", splits=("",))
    own = tmp_path / "own"
    (own / "images").mkdir(parents=True)
    (own / "labels").mkdir()
    (own / "classes.yaml").symlink_to(far / "classes.yaml")
    for kind in ("images", "labels"):
        (own / kind / "train").symlink_to(far / kind)
        (far / kind / "deeper").mkdir()
        (far / kind / "deeper/circle").symlink_to(own / kind)
        (far / kind / "a.png").rename(far / kind / "deeper/a.png")
    content = Folder().find(own)
    assert [item.name for item in content.splits["train"]] == ["b", "deeper/a"]
    assert labelled(content) == {"train": [True, True]}


def test_a_split_that_links_to_the_folder_of_all_splits_takes_no_other_splits_images(tmp_path):
    own = make(tmp_path / "own", splits=("train", "val"))
    before = {split: [item.name for item in items] for split, items in Folder().find(own).splits.items()}
    for kind in ("images", "labels"):
        (own / kind / "train/round").symlink_to(own / kind)
    after = {split: [item.name for item in items] for split, items in Folder().find(own).splits.items()}
    assert after == before


def test_links_that_lead_nowhere_are_named(tmp_path):
    own = make(tmp_path / "own", splits=("train",))
    (own / "images/train/c.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"a link leads nowhere: '.*/images/train/c.png'; bring back"):
        Folder().find(own)
    (own / "images/train/city").symlink_to(tmp_path / "gone")
    (own / "images/train/notes.txt").symlink_to(tmp_path / "gone.txt")  # not missed
    with pytest.raises(InputError, match=r"2 links lead nowhere: '.*c.png', '.*city'; bring back"):
        Folder().find(own)


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    make(tmp_path, splits=("train", "train/locked"))
    listdir = os.listdir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(
        InputError, match=r"folder '.*/images/train/locked' cannot be read; check its permissions"
    ):
        find_files(tmp_path / "images", (".png",))
    assert tmp_path / "images/train/locked" in set(walk(tmp_path))


def masks(root, values, colors=((0, 0, 0), (255, 255, 255)), ids=None):
    make(root, splits=("train", "val"))
    entries = [{"name": n, "color": list(c)} for n, c in zip(("background", "object"), colors, strict=True)]
    for entry, stored in zip(entries, ids or (), strict=bool(ids)):
        entry["ids"] = stored
    (root / "classes.yaml").write_text(f"classes: {entries}")
    for path in root.glob("labels/*/*.png"):
        write(path, np.resize(values, (24, 32)).astype(np.uint8))
    return root


def test_masks_of_0_and_255_are_refused_with_the_remedy_which_works(tmp_path):
    words = (
        r"no pixel is of class 1 \(object\), and 33.3% are ignored: .* ids: \[0\] .* ids: \[255\] with object"
    )
    with pytest.raises(InputError, match=words):
        prepare(masks(tmp_path / "own", [0, 0, 255]))
    prepare(masks(tmp_path / "own", [0, 0, 255], ids=([0], [255])))
    label = sources.open_labelled("folder", tmp_path / "data", "val")[0]["label"]
    assert np.array_equal(label, np.resize([0, 0, 1], (24, 32)))


def test_two_classes_with_an_ignored_border_are_fine(tmp_path):
    prepare(masks(tmp_path / "own", [0, 1, 255]))
    prepare(masks(tmp_path / "second/own", [0]))


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_nothing_but_ignored_pixels_is_refused(tmp_path, split):
    own = make(tmp_path / "own")
    for path in (own / "labels" / split).glob("*.png"):
        write(path, np.full((24, 32), 255, np.uint8))
    with pytest.raises(InputError, match=rf"split '{split}': no pixel of any label belongs to a class"):
        prepare(own)
