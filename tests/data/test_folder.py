"""One's own images: labels as ids, palette indices or colours, their class file, and no labels at all."""

import codecs
import json

import numpy as np
import pytest
import yaml
from PIL import Image

from adeada_jax.data import prepared, preparing, sources
from adeada_jax.data.builders.class_files import read_classes
from adeada_jax.errors import InputError

CLASSES = [
    {"name": "water", "color": [0, 0, 200], "ids": [3]},
    {"name": "field", "color": [0, 200, 0], "ids": [7, 300]},
    {"name": "roof", "color": [200, 0, 0], "ids": [0]},
]
IDS = [0, 3, 7, 9, 255]
OF_IDS = {0: 2, 3: 0, 7: 1, 9: 255, 255: 255, 300: 1}


def prepare(data_dir, source_dir):
    preparing.prepare("folder", data_dir, source_dir=source_dir, progress=False)


def write_classes(root, classes, name="classes.json"):
    root.mkdir(parents=True, exist_ok=True)
    write = json.dumps if name.endswith(".json") else yaml.safe_dump
    (root / name).write_text(write({"classes": classes}))


@pytest.fixture
def own(tmp_path, write_files):
    """A folder with one labelled image of 40x56 and a class file; the stored ids."""
    rng = np.random.default_rng(4)
    ids = write_files.blocks(rng, IDS, 40, 56)
    write_files.image(tmp_path / "own/images/street.png", write_files.photograph(rng, 40, 56))
    write_files.palette(tmp_path / "own/labels/street.png", ids)
    write_classes(tmp_path / "own", CLASSES)
    return tmp_path / "own", ids


def classes_of(ids):
    return np.vectorize(OF_IDS.get)(ids)


def test_every_pixel_of_a_palette_has_its_class(own, tmp_path, capsys):
    folder, ids = own
    prepare(tmp_path, folder)
    source = sources.open_labelled("folder", tmp_path, "train")
    assert np.array_equal(source[0]["label"], classes_of(ids))
    assert source.class_names == ("water", "field", "roof")
    assert source.palette.tolist() == [[0, 0, 200], [0, 200, 0], [200, 0, 0]]
    assert f"{np.isin(ids, [9, 255]).mean():.1%} of the labels' pixels are ignored" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_pixel_of_plain_ids_has_its_class(own, tmp_path, write_files, dtype):
    folder, _ = own
    stored = [*IDS, 300] if dtype == np.uint16 else IDS
    ids = write_files.blocks(np.random.default_rng(5), stored, 40, 56)
    write_files.image(folder / "labels/street.png", ids.astype(dtype))
    prepare(tmp_path, folder)
    assert np.array_equal(sources.open_labelled("folder", tmp_path, "train")[0]["label"], classes_of(ids))


@pytest.mark.parametrize("channels", [3, 4])
def test_every_pixel_of_painted_labels_has_its_class(own, tmp_path, write_files, channels):
    folder, _ = own
    painted = write_files.blocks(np.random.default_rng(6), range(4), 40, 56)
    colors = np.array([[0, 0, 200, 255], [0, 200, 0, 255], [200, 0, 0, 9], [200, 0, 1, 255]], np.uint8)
    write_files.image(folder / "labels/street.png", colors[painted][..., :channels])
    prepare(tmp_path, folder)
    label = sources.open_labelled("folder", tmp_path, "train")[0]["label"]
    assert np.array_equal(label, np.array([0, 1, 2, 255])[painted])


def test_painted_labels_of_16_bits_are_refused(own, tmp_path, write_files):
    folder, ids = own
    write_files.rgb16(folder / "labels/street.png", ids, ids)
    with pytest.raises(InputError, match=r"street.png' has 16 bits a colour"):
        prepare(tmp_path, folder)


def test_without_ids_classes_are_stored_as_their_number(own, tmp_path, write_files):
    folder, _ = own
    (folder / "classes.json").unlink()
    write_classes(folder, [{k: c[k] for k in ("name", "color")} for c in CLASSES], "classes.yaml")
    write_files.image(folder / "labels/street.png", np.resize([0, 1, 2, 255], (40, 56)).astype(np.uint8))
    prepare(tmp_path / "good", folder)
    label = sources.open_labelled("folder", tmp_path / "good", "train")[0]["label"]
    assert np.array_equal(label, np.resize([0, 1, 2, 255], (40, 56)))
    write_files.image(folder / "labels/street.png", np.resize([0, 1, 3, 255], (40, 56)).astype(np.uint8))
    with pytest.raises(InputError, match=r"has ids outside the map: 3; known: 0-2, 255"):
        prepare(tmp_path / "bad", folder)


def test_labels_in_which_nothing_is_a_class_are_refused(own, tmp_path, write_files):
    folder, _ = own
    write_files.image(folder / "labels/street.png", np.full((40, 56), 99, np.uint8))
    with pytest.raises(InputError, match="no pixel of any label belongs to a class"):
        prepare(tmp_path, folder)


@pytest.mark.parametrize("classes", [["water", {"name": "field", "color": [9, 9, 9]}, "roof"], list("abc")])
def test_names_are_enough_and_colours_are_made_for_the_others(own, tmp_path, write_files, classes):
    folder, _ = own
    write_classes(folder, classes)
    write_files.image(folder / "labels/street.png", np.resize([0, 1, 2, 255], (40, 56)).astype(np.uint8))
    prepare(tmp_path, folder)
    source = sources.open_labelled("folder", tmp_path, "train")
    assert np.array_equal(source[0]["label"], np.resize([0, 1, 2, 255], (40, 56)))
    assert len({tuple(color) for color in [*source.palette.tolist(), (0, 0, 0)]}) == 4
    given = [entry["color"] for entry in classes if "color" in entry]
    assert all(color in source.palette.tolist() for color in given)


def test_painted_labels_need_the_colours_of_all_classes(own, tmp_path, write_files):
    folder, _ = own
    write_classes(folder, ["water", {"name": "field", "color": [9, 9, 9]}, "roof"])
    write_files.image(folder / "labels/street.png", np.zeros((40, 56, 3), np.uint8))
    with pytest.raises(
        InputError, match=r"street.png' is painted in colours, but the class file gives none for class 0, 2"
    ):
        prepare(tmp_path, folder)


def test_photographs_alone_can_name_their_classes(own, tmp_path):
    folder, _ = own
    (folder / "labels/street.png").unlink()
    (folder / "labels").rmdir()
    prepare(tmp_path, folder)
    images = sources.open_images("folder", tmp_path, "train")
    assert (images.class_names, images.labelled) == (("water", "field", "roof"), False)
    assert images.palette.tolist() == [[0, 0, 200], [0, 200, 0], [200, 0, 0]]


def test_a_target_needs_no_labels(tmp_path, write_files):
    rng = np.random.default_rng(7)
    photographs = [write_files.photograph(rng, 40, 56) for _ in range(3)]
    for photograph, name in zip(photographs, ("a/b/one.png", "a/two.jpg", "THREE.JPEG"), strict=True):
        write_files.image(tmp_path / "own/images" / name, photograph)
    (tmp_path / "own/images/notes.txt").write_text("not an image")
    prepare(tmp_path, tmp_path / "own")
    source = sources.open_images("folder", tmp_path, "train")
    assert source.names == ("THREE", "a/b/one", "a/two")
    assert np.array_equal(source[1]["image"], photographs[0])
    assert source._parse(0)["image"] == (tmp_path / "own/images/THREE.JPEG").read_bytes()
    assert source.class_names == ()
    assert not source.labelled
    with pytest.raises(
        InputError, match=r"split 'train' of data set 'folder' in .* was prepared without labels"
    ):
        sources.open_labelled("folder", tmp_path, "train")
    with pytest.raises(InputError, match="no split 'val'; it has: train"):
        sources.open_labelled("folder", tmp_path, "val")


def test_a_split_may_have_labels_and_the_other_none(own, tmp_path, write_files, capsys):
    folder, ids = own
    (folder / "images/val").mkdir()
    (folder / "labels/val").mkdir()
    (folder / "images/street.png").rename(folder / "images/val/street.png")
    (folder / "labels/street.png").rename(folder / "labels/val/street.png")
    rng = np.random.default_rng(8)
    for name in ("train/x.jpg", "train/y.png", "test/z.png"):
        write_files.image(folder / "images" / name, write_files.photograph(rng, 32, 48))
    (folder / "images/train/x.heic").write_bytes(b"?")
    prepare(tmp_path, folder)
    assert prepared.split_sizes("folder", tmp_path) == {"train": 2, "val": 1}
    assert not sources.open_images("folder", tmp_path, "train").labelled
    assert np.array_equal(sources.open_labelled("folder", tmp_path, "val")[0]["label"], classes_of(ids))
    printed = capsys.readouterr().out
    assert "not used: 1 .png in images/test/, 1 .heic in images/train/" in printed
    assert "split train: 2 images, without labels" in printed


def test_photographs_are_turned_as_their_cameras_say(own, tmp_path, write_files):
    folder, ids = own
    (folder / "images/street.png").unlink()
    photograph = Image.fromarray(write_files.photograph(np.random.default_rng(9), 56, 40))
    exif = photograph.getexif()
    exif[0x0112] = 6  # turn by a quarter
    photograph.save(folder / "images/street.jpg", exif=exif)
    prepare(tmp_path, folder)
    example = sources.open_labelled("folder", tmp_path, "train")[0]
    assert example["image"].shape == (40, 56, 3)
    assert np.array_equal(example["label"], classes_of(ids))


def test_two_folders_need_two_data_directories(own, tmp_path, write_files):
    folder, _ = own
    prepare(tmp_path, folder)
    prepare(tmp_path, folder)
    write_files.image(tmp_path / "other/images/a.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(
        InputError, match=r"prepared from '.*own', not from '.*other'; give another --data_dir"
    ):
        prepare(tmp_path, tmp_path / "other")
    prepare(tmp_path / "second", tmp_path / "other")
    assert sources.open_images("folder", tmp_path / "second", "train").names == ("a",)


def test_mistakes_in_the_folder_are_named(own, tmp_path, write_files):
    folder, ids = own
    write_files.image(folder / "images/lone.png", np.zeros((32, 32, 3), np.uint8))
    (folder / "labels/street.png").rename(folder / "labels/stret.png")
    with pytest.raises(InputError, match=r"3 problems, .* image '.*lone.png' has no label"):
        prepare(tmp_path, folder)
    (folder / "labels/stret.png").rename(folder / "labels/street.png")
    (folder / "images/lone.png").rename(folder / "images/street.jpg")
    with pytest.raises(InputError, match="share the name 'street'"):
        prepare(tmp_path, folder)
    (folder / "images/street.jpg").unlink()
    write_files.palette(folder / "labels/street.png", ids[:, :-1])
    with pytest.raises(InputError, match="image 'street' is 40x56 but its label 40x55"):
        prepare(tmp_path, folder)
    (folder / "classes.json").unlink()
    with pytest.raises(InputError, match=r"has labels/ but no classes.yaml or classes.yml or classes.json"):
        prepare(tmp_path, folder)
    (folder / "images/street.png").unlink()
    (folder / "labels/street.png").unlink()
    with pytest.raises(InputError, match=r"images' has no image: .png, .jpg, .jpeg are looked for"):
        prepare(tmp_path, folder)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([], "needs a key 'classes' with a list of 1 to 254 classes"),
        ([{"color": [1, 2, 3]}], "class 0 needs name and may have color; it has: color"),
        ([7], "class 0 needs name and may have color; it has: 7"),
        (["a", {"name": "b", "ids": [3]}], "class 0 needs name and ids and may have color; it has: name"),
        (["a", "a"], "classes share the name a"),
        ([{"name": "a", "colour": [1, 2, 3]}], "it has: colour, name"),
        ([{"name": "", "color": [1, 2, 3]}], "class 0: name: '' is no text"),
        ([{"name": "a", "color": [1, 2, 300]}], r"class 0 \(a\): color: \[1, 2, 300\] is not three numbers"),
        ([{"name": "a", "color": [1, 2, True]}], "is not three numbers"),
        ([{"name": "a", "color": [1, 2, 3], "ids": 7}], r"class 0 \(a\): ids: 7 is no list"),
        ([{"name": "a", "color": [1, 2, 3], "ids": [70000]}], r"ids: \[70000\] is no list of ids"),
        ([CLASSES[0], {**CLASSES[1], "ids": [3]}], "classes share the id 3"),
        ([CLASSES[0], {**CLASSES[1], "name": "water"}], "classes share the name water"),
        ([CLASSES[0], {**CLASSES[1], "color": [0, 0, 200]}], r"classes share the color \(0, 0, 200\)"),
        ([CLASSES[0], {"name": "a", "color": [1, 2, 3]}], "class 1 needs name and ids and may have color"),
    ],
)
def test_mistakes_in_the_class_file_are_named(tmp_path, classes, words):
    for name in ("classes.json", "classes.yaml"):
        write_classes(tmp_path, classes, name)
        with pytest.raises(InputError, match=words) as error:
            read_classes(tmp_path / name)
        assert name in str(error.value)


@pytest.mark.parametrize("name", ["classes.json", "classes.yaml"])
def test_a_class_file_may_begin_with_a_byte_order_mark(tmp_path, name):
    write_classes(tmp_path, CLASSES, name)
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + (tmp_path / name).read_bytes())
    assert read_classes(tmp_path / name).names == ("water", "field", "roof")


def test_class_files_that_are_none(own, tmp_path):
    folder, _ = own
    (folder / "classes.json").write_text("{classes")
    with pytest.raises(InputError, match=r"classes.json' cannot be read: .* line 1 column 2"):
        prepare(tmp_path, folder)
    write_classes(folder, CLASSES, "classes.yaml")
    with pytest.raises(InputError, match=r"has classes.yaml and classes.json; keep one"):
        prepare(tmp_path, folder)
    (folder / "classes.json").unlink()
    (folder / "classes.yaml").write_text("classes: [\n")
    with pytest.raises(InputError, match=r"classes.yaml' cannot be read") as error:
        prepare(tmp_path, folder)
    assert "\n" not in str(error.value)
