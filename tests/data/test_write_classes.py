"""What labels hold is listed, and a file of classes to begin with is made of it."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from adeada_jax.data import preparing, sources
from adeada_jax.data.builders.cityscapes import CLASS_IDS
from adeada_jax.data.builders.label_files import read_stored
from adeada_jax.data.builders.tallies import Tally, lines, tally_of
from adeada_jax.data.images import encode_png
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES, PALETTE
from tests.warm_start import PYTHON

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"


@pytest.fixture
def own(tmp_path, write_files):
    """Makes a folder of images of 40x56 with these labels."""

    def make(*labels):
        rng = np.random.default_rng(3)
        for i, label in enumerate(labels):
            write_files.image(tmp_path / f"own/images/{i}.png", write_files.photograph(rng, 40, 56))
            (tmp_path / "own/labels").mkdir(exist_ok=True)
            image = label if isinstance(label, Image.Image) else Image.fromarray(label)
            image.save(tmp_path / f"own/labels/{i}.png")
        return tmp_path / "own"

    return make


def ids(*values):
    return np.resize(np.array(values, np.uint8), (40, 56))


def indexed(label, palette):
    image = Image.fromarray(label).convert("L")
    image.putpalette(np.asarray(palette, np.uint8).tobytes())
    return image


def write(folder):
    return yaml.safe_load(preparing.write_classes("folder", folder, progress=False).read_text())["classes"]


def prepared(folder, tmp_path):
    preparing.prepare("folder", tmp_path / "data", source_dir=folder, progress=False)
    return sources.open_labelled("folder", tmp_path / "data", "train")


def test_every_pixel_is_counted_whatever_the_label_is_made_of(write_files):
    rng = np.random.default_rng(0)
    for dtype, most in ((np.uint8, 256), (np.uint16, 2**16)):
        label = rng.integers(0, most, (31, 17)).astype(dtype)
        tally = tally_of(read_stored(encode_png(label), "x"))
        values, counts = np.unique(label, return_counts=True)
        assert tally.ids == dict(zip(values.tolist(), counts.tolist(), strict=True))
    painted = write_files.blocks(rng, range(3), 31, 17)
    colors = np.array([[1, 2, 3], [0, 0, 0], [255, 255, 255]], np.uint8)
    tally = tally_of(read_stored(encode_png(colors[painted]), "x"))
    assert tally.colors == {code: int((painted == i).sum()) for i, code in enumerate((0x010203, 0, 0xFFFFFF))}
    assert tally.total == 31 * 17


def test_a_photograph_among_the_labels_takes_little_memory():
    tally, noise = Tally(), np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    tally.add(tally_of(read_stored(encode_png(noise), "x")))
    assert len(tally.colors) == 1000
    assert tally.total == 100 * 100
    assert "9" in lines(tally, lambda *_: "")[-1]


def test_ids_are_listed_with_shares_and_names_before_the_work(own, tmp_path, capsys):
    folder = own(ids(0, 0, 2, 255), ids(0, 2, 7, 255))
    (folder / "classes.yaml").write_text("classes: [{name: road, ids: [0]}, {name: car, ids: [2, 5]}]")
    prepared(folder, tmp_path)
    printed = capsys.readouterr().out.splitlines()
    start = printed.index("ids in the labels, with their shares of the pixels:")
    listed = [line.split(maxsplit=2) for line in printed[start + 1 : start + 5]]
    assert [(value, what) for value, _, what in listed] == [
        ("0", "road"), ("2", "car"), ("7", "ignored"), ("255", "ignored"),
    ]  # fmt: skip
    assert [share for _, share, _ in listed] == ["37.500%", "25.000%", "12.500%", "25.000%"]


def test_ids_outside_the_file_of_classes_are_listed_before_the_failure(own, tmp_path, capsys):
    folder = own(ids(0, 1, 9))
    (folder / "classes.yaml").write_text("classes: [road, car]")
    with pytest.raises(InputError, match="ids outside the map: 9"):
        prepared(folder, tmp_path)
    assert " 9  33.304%  not in the file of classes" in capsys.readouterr().out


def test_colours_are_listed_and_of_many_a_count(own, tmp_path, capsys):
    shades = np.zeros((40, 56, 3), np.uint8)
    shades[..., 0] = np.resize(np.arange(40), (40, 56))
    folder = own(shades)
    (folder / "classes.yaml").write_text("classes: [{name: road, color: [3, 0, 0]}]")
    prepared(folder, tmp_path)
    printed = capsys.readouterr().out
    assert "colours in the labels" in printed
    assert "[3, 0, 0]   2.500%  road" in printed
    assert "and 10 more, 25.000%" in printed


def test_labels_without_a_file_of_classes_are_listed_and_the_remedy_is_named(own, tmp_path, capsys):
    folder = own(ids(0, 3, 200))
    with pytest.raises(
        InputError, match=r"has labels/ but no classes.yaml .* --write_classes writes a classes"
    ):
        prepared(folder, tmp_path)
    printed = capsys.readouterr().out
    assert [line.split()[0] for line in printed.splitlines() if line.endswith("%")] == ["0", "3", "200"]
    assert "ignored" not in printed
    assert not (tmp_path / "data/folder").exists()


def test_from_the_command_line_to_prepared_data(own, tmp_path):
    folder = own(ids(0, 3, 255), ids(3, 200, 3))
    command = [*PYTHON, str(SCRIPT), "--dataset=folder", f"--source_dir={folder}",
               f"--data_dir={tmp_path / 'data'}"]  # fmt: skip

    def run(*flags):
        return subprocess.run([*command, *flags], capture_output=True, text=True, timeout=100, check=False)

    written = run("--write_classes")
    assert (written.returncode, written.stderr) == (0, "")
    assert f"{folder / 'classes.yaml'}: written" in written.stdout
    assert not (tmp_path / "data").exists()
    again = run("--write_classes")
    assert again.returncode == 2
    assert "classes.yaml' is there already and is not overwritten" in again.stderr
    assert run().returncode == 0
    source = sources.open_labelled("folder", tmp_path / "data", "train")
    assert source.class_names == ("class 0", "class 3", "class 200")
    assert np.array_equal(source[0]["label"], ids(0, 1, 255))
    assert np.array_equal(source[1]["label"], ids(1, 2, 1))


def test_a_palette_gives_its_colours_but_black_and_what_two_ids_share(own, tmp_path):
    palette = np.zeros((256, 3), np.uint8)
    palette[[1, 2, 3, 4]] = [[9, 8, 7], [200, 0, 0], [0, 200, 0], [0, 200, 0]]
    folder = own(indexed(ids(0, 1, 2, 3, 4), palette))
    assert write(folder) == [
        {"name": "class 0", "ids": [0]}, {"name": "class 1", "color": [9, 8, 7], "ids": [1]},
        {"name": "class 2", "color": [200, 0, 0], "ids": [2]}, {"name": "class 3", "ids": [3]},
        {"name": "class 4", "ids": [4]},
    ]  # fmt: skip
    assert np.array_equal(prepared(folder, tmp_path)[0]["label"], ids(0, 1, 2, 3, 4))


def test_masks_of_0_and_255_have_two_classes(own, tmp_path):
    folder = own(ids(0, 0, 255))
    assert [entry["ids"] for entry in write(folder)] == [[0], [255]]
    assert np.array_equal(prepared(folder, tmp_path)[0]["label"], ids(0, 0, 1))


def test_cityscapes_ids_have_its_names(own, tmp_path):
    found = [0, 1, 4, *CLASS_IDS[:12]]
    folder = own(ids(*found))
    assert [(entry["name"], entry["color"], entry["ids"]) for entry in write(folder)] == [
        (CLASS_NAMES[i], PALETTE[i].tolist(), [CLASS_IDS[i]]) for i in range(12)
    ]
    assert (prepared(folder, tmp_path)[0]["label"] == np.resize([255] * 3 + list(range(12)), (40, 56))).all()


def test_as_many_ids_in_a_row_are_no_cityscapes_ids(own):
    assert [entry["name"] for entry in write(own(ids(*range(34))))] == [f"class {i}" for i in range(34)]


def test_cityscapes_colours_have_its_names_without_black(own, tmp_path):
    colors = np.array([*PALETTE[[13, 0, 10, 2]], [0, 0, 0]], np.uint8)
    folder = own(colors[np.resize(np.arange(5), (40, 56))])
    assert [entry["name"] for entry in write(folder)] == ["road", "building", "sky", "car"]
    assert (prepared(folder, tmp_path)[0]["label"] == np.resize([3, 0, 2, 1, 255], (40, 56))).all()


def test_other_colours_are_classes_the_most_frequent_first(own, tmp_path):
    colors = np.array([[1, 2, 3], [0, 0, 0], [255, 255, 255]], np.uint8)
    folder = own(colors[np.resize([2, 2, 2, 1, 0, 0], (40, 56))])
    assert write(folder) == [
        {"name": "class 0", "color": [255, 255, 255]}, {"name": "class 1", "color": [1, 2, 3]},
        {"name": "class 2", "color": [0, 0, 0]},
    ]  # fmt: skip
    assert (prepared(folder, tmp_path)[0]["label"] == np.resize([0, 0, 0, 2, 1, 1], (40, 56))).all()


def test_what_cannot_be_made_is_said_and_nothing_is_written(own, write_files):
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    cases = {
        "the labels hold 1,000 and more ids or colours, and": (noise,),
        "the labels hold nothing but 255": (ids(255),),
        "0.png' holds ids and '.*1.png' colours; save all labels in one way": (ids(1), noise),
    }
    for words, labels in cases.items():
        folder = own(*labels)
        with pytest.raises(InputError, match=words):
            write(folder)
        assert not (folder / "classes.yaml").exists()
        for path in folder.glob("*/*.png"):
            path.unlink()
    write_files.image(folder / "images/a.png", noise)
    with pytest.raises(
        InputError, match=r"has no labels to find classes in; write a classes.yaml that names"
    ):
        write(folder)
    for name in ("gta5", "toy"):
        with pytest.raises(InputError, match=rf"'{name}' has classes of its own; it is for --dataset=folder"):
            preparing.write_classes(name, folder)
