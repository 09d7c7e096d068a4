import copy
import gc
import grp
import json
import pickle
import pwd
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from adeada_jax import seams
from adeada_jax.data import prepared, preparing, sources
from adeada_jax.data.builders import toy, writing
from adeada_jax.data.images import encode_png, read_png
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES, PALETTE
from adeada_jax.toy.streets import render
from tests.warm_start import PYTHON

TINY = {"height": 64, "width": 128}
FILMED = "toy_streets/filmed/2.0.0"


@pytest.fixture
def broken_dir(toy_dir, tmp_path):
    """A copy of the tiny toy streets that a test may spoil."""
    shutil.copytree(toy_dir, tmp_path / "data")
    return tmp_path / "data"


def rewrite(data_dir, change):
    """Rewrites the records of filmed/train, each changed by `change(index, fields)`."""
    info = tfds.builder_from_directory(data_dir / FILMED).info
    (path,) = info.splits["train"].filepaths
    source = sources.open_labelled("toy/filmed", data_dir, "train")
    examples = [source._parse(i) for i in range(len(source))]
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for index, fields in enumerate(examples):
        change(index, fields)
        writer.write(info.features.serialize_example({**fields, "name": fields["name"].decode()}))
    writer.close()


def test_what_is_read_is_what_was_rendered(toy_dir):
    source = sources.open_labelled("toy/filmed", toy_dir, "val")
    assert len(source) == 4
    assert source.names == tuple(f"filmed_val_{i:05d}" for i in range(4))
    assert source.class_names == CLASS_NAMES
    assert np.array_equal(source.palette, PALETTE)
    for index in range(4):
        example = source[index]
        image, label = render("filmed", "val", index, **TINY)
        assert example["name"] == source.names[index]
        assert np.array_equal(example["image"], image)
        assert np.array_equal(example["label"], label)
        assert example["label"].dtype == np.uint8


def test_names_are_sorted(toy_dir):
    names = sources.open_images("toy/rendered", toy_dir, "train").names
    assert list(names) == sorted(names)
    assert prepared.split_sizes("toy/filmed", toy_dir) == {"train": 6, "val": 4}


def test_indices_beyond_the_end_are_refused(toy_dir):
    source = sources.open_images("toy/filmed", toy_dir, "val")
    for index in (-1, 4):
        with pytest.raises(IndexError):
            source[index]


def test_images_come_without_labels(toy_dir):
    source = sources.open_images("toy/filmed", toy_dir, "train")
    assert not isinstance(source, sources.LabelledSource)
    assert set(source[0]) == {"name", "image"}
    assert set(source._parse(0)) == {"name", "image"}
    # Nothing that the source holds can parse a label out of a record.
    assert "label" not in source._records._features
    held = gc.get_referents(*vars(source).values(), *vars(source._records).values())
    features = [o for o in held if isinstance(o, tfds.features.FeaturesDict)]
    assert all("label" not in f for f in features)


def test_images_do_not_depend_on_the_labels(toy_dir, broken_dir):
    rewrite(broken_dir, lambda index, fields: fields.update(label=b"no image at all"))
    spoiled = sources.open_images("toy/filmed", broken_dir, "train")
    sound = sources.open_images("toy/filmed", toy_dir, "train")
    for index in range(6):
        assert np.array_equal(spoiled[index]["image"], sound[index]["image"])
    with pytest.raises(InputError, match="label of 'filmed_train_00000' cannot be decoded"):
        sources.open_labelled("toy/filmed", broken_dir, "train")[0]


def test_sources_can_be_pickled_copied_and_read_by_threads(toy_dir):
    source = sources.open_labelled("toy/filmed", toy_dir, "train")
    twin = pickle.loads(pickle.dumps(source))
    assert type(twin) is sources.LabelledSource
    assert np.array_equal(copy.copy(source)[2]["label"], twin[2]["label"])
    with ThreadPoolExecutor(4) as pool:
        indices = [i % 6 for i in range(48)]
        for index, example in zip(indices, pool.map(source.__getitem__, indices), strict=True):
            assert example["name"] == source.names[index]
            assert np.array_equal(example["image"], twin[index]["image"])


def test_an_image_that_cannot_be_decoded_is_named(broken_dir):
    def spoil(index, fields):
        if index == 3:
            fields["image"] = fields["image"][:40]

    rewrite(broken_dir, spoil)
    source = sources.open_images("toy/filmed", broken_dir, "train")
    assert source[2]["image"].shape == (64, 128, 3)
    with pytest.raises(InputError, match="image 'filmed_train_00003' cannot be decoded"):
        source[3]


def test_a_label_is_read_without_its_image(broken_dir, toy_dir):
    sound = sources.open_labelled("toy/filmed", toy_dir, "train")
    rewrite(broken_dir, lambda index, fields: fields.update(image=b"no image at all"))
    label = sources.open_labelled("toy/filmed", broken_dir, "train").label(4)
    np.testing.assert_array_equal(label, sound[4]["label"])
    assert label.dtype == sound[4]["label"].dtype
    with pytest.raises(IndexError):
        sound.label(-1)


def test_a_label_of_another_size_is_named_with_both_sizes(broken_dir):
    rewrite(broken_dir, lambda index, fields: fields.update(label=encode_png(np.zeros((64, 127), np.uint8))))
    with pytest.raises(InputError, match="'filmed_train_00001' is 64x128 but its label 64x127"):
        sources.open_labelled("toy/filmed", broken_dir, "train")[1]
    with pytest.raises(InputError, match="'filmed_train_00001' is 64x128 but its label 64x127"):
        sources.open_labelled("toy/filmed", broken_dir, "train").label(1)


def test_label_ids_that_are_no_class_are_named(broken_dir):
    label = np.zeros((64, 128), np.uint8)
    label[0, :3] = (19, 33, 255)
    rewrite(broken_dir, lambda index, fields: fields.update(label=encode_png(label)))
    with pytest.raises(
        InputError, match=r"'filmed_train_00000' has ids that are no class: 19, 33; known: 0 to 18"
    ):
        sources.open_labelled("toy/filmed", broken_dir, "train")[0]


def test_a_coloured_label_is_refused(broken_dir):
    rewrite(
        broken_dir, lambda index, fields: fields.update(label=encode_png(np.zeros((64, 128, 3), np.uint8)))
    )
    with pytest.raises(InputError, match="3 channels"):
        sources.open_labelled("toy/filmed", broken_dir, "train")[0]


def test_unknown_data_sets_are_refused(tmp_path):
    for call in (
        lambda: preparing.prepare("toy/painted", tmp_path),
        lambda: sources.open_images("toy/painted", tmp_path, "train"),
        lambda: preparing.make_if_embedded("toy/painted", tmp_path, seams.DATA_SET_FLAG),
    ):
        with pytest.raises(InputError, match=r"'toy/painted'; known: toy/rendered, toy/filmed, gta5"):
            call()


def test_a_missing_directory_is_named_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"absent' does not exist; run: .*prepare_data.py --dataset=toy"):
        sources.open_images("toy/filmed", tmp_path / "absent", "train")


def test_a_data_set_that_is_not_prepared_is_named_with_the_remedy(tmp_path):
    with pytest.raises(InputError, match=r"is not prepared in .*; run: .*--dataset=toy"):
        sources.open_labelled("toy/filmed", tmp_path, "train")


def test_a_missing_split_is_named_with_those_there_are(toy_dir):
    with pytest.raises(InputError, match="no split 'val'; it has: train"):
        sources.open_images("toy/rendered", toy_dir, "val")


def test_an_empty_split_is_refused(broken_dir, tmp_path):
    path = broken_dir / FILMED / "dataset_info.json"
    info = json.loads(path.read_text())
    next(split for split in info["splits"] if split["name"] == "val")["shardLengths"] = ["0"]
    path.write_text(json.dumps(info))
    with pytest.raises(InputError, match=r"split 'val' of data set 'toy/filmed' in .* is empty"):
        sources.open_images("toy/filmed", broken_dir, "val")
    with pytest.raises(InputError, match="split 'val' needs at least one image"):
        preparing.prepare("toy/filmed", tmp_path / "new", progress=False, counts={"train": 1, "val": 0})


def test_nothing_else_is_left_in_the_data_directory(toy_dir):
    assert sorted(path.name for path in toy_dir.iterdir()) == [".prepare.lock", "toy_streets"]


def test_preparing_again_changes_nothing(toy_dir):
    before = {path: path.stat().st_mtime_ns for path in toy_dir.rglob("*.array_record*")}
    preparing.prepare("toy/filmed", toy_dir, progress=False)
    preparing.make_if_embedded("toy/filmed", toy_dir, seams.DATA_SETS["target"])
    assert {path: path.stat().st_mtime_ns for path in toy_dir.rglob("*.array_record*")} == before


@pytest.mark.parametrize(
    "lost", ["dataset_info.json", "metadata.json", "toy_streets-val.array_record-00000-of-00001"]
)
def test_a_half_prepared_data_set_is_found_out_and_made_again(broken_dir, lost):
    (broken_dir / FILMED / lost).unlink()
    with pytest.raises(InputError, match=r"only half prepared in .*; run: .*prepare_data"):
        sources.open_images("toy/filmed", broken_dir, "train")
    preparing.prepare("toy/filmed", broken_dir, progress=False, counts={"train": 2, "val": 1}, **TINY)
    assert len(sources.open_images("toy/filmed", broken_dir, "train")) == 2


def test_records_that_were_cut_off_are_named_with_the_remedy(broken_dir):
    (path,) = (broken_dir / FILMED).glob("*train.array_record*")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(InputError, match=r"run: .*prepare_data.py --dataset=toy"):
        sources.open_images("toy/filmed", broken_dir, "train")


def test_damaged_records_are_named(broken_dir):
    (path,) = (broken_dir / FILMED).glob("*train.array_record*")
    content = bytearray(path.read_bytes())
    content[2000:4000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"records of split 'train' .* are damaged; delete"):
        sources.open_images("toy/filmed", broken_dir, "train")


def test_a_damaged_record_is_named_by_its_image(broken_dir):
    (path,) = (broken_dir / FILMED).glob("*train.array_record*")
    source = sources.open_images("toy/filmed", broken_dir, "train")
    last = source._records._records[len(source) - 1]
    content = bytearray(path.read_bytes())
    place = content.find(last[len(last) // 2 :][:64])
    content[place : place + 64] = bytes(64)
    path.write_bytes(content)
    source = sources.open_images("toy/filmed", broken_dir, "train")
    with pytest.raises(InputError, match=rf"record of image '{source.names[-1]}' .* is damaged; delete"):
        source[len(source) - 1]


def test_a_killed_preparation_is_made_again(tmp_path):
    program = (
        "from adeada_jax.data import preparing\n"
        f"preparing.prepare('toy/filmed', {str(tmp_path)!r}, progress=False, counts=dict(train=30))"
    )
    process = subprocess.Popen([*PYTHON, "-c", program])
    parent = (tmp_path / FILMED).parent
    deadline = time.monotonic() + 60
    while not list(parent.glob("incomplete.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(parent.glob("incomplete.*"))
    with pytest.raises(InputError, match="only half prepared"):
        sources.open_images("toy/filmed", tmp_path, "train")
    preparing.prepare("toy/filmed", tmp_path, progress=False, counts={"train": 2}, **TINY)
    assert len(sources.open_images("toy/filmed", tmp_path, "train")) == 2
    assert not list(parent.glob("incomplete.*"))


def test_a_data_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        preparing.prepare("toy/filmed", tmp_path / "file" / "data", progress=False)


def test_complete_data_is_used_without_writing_to_its_directory(broken_dir, monkeypatch):
    monkeypatch.setattr(writing, "locked", None)  # what writes
    before = sorted(broken_dir.rglob("*"))
    for name in ("toy/rendered", "toy/filmed"):
        preparing.make_if_embedded(name, broken_dir, seams.DATA_SETS["target"])
        assert len(sources.open_images(name, broken_dir, "train"))
    assert sorted(broken_dir.rglob("*")) == before


def test_a_user_without_a_name_can_prepare_data(tmp_path, monkeypatch):
    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(grp, "getgrgid", unknown)
    preparing.prepare("toy/filmed", tmp_path, progress=False, counts={"train": 1}, **TINY)
    assert len(sources.open_images("toy/filmed", tmp_path, "train")) == 1
    assert pwd.getpwuid is unknown


def test_the_builder_is_a_plain_tfds_builder(tmp_path):
    builder = toy.ToyStreets(config="filmed", data_dir=tmp_path)
    assert builder.settings.counts == {"train": 200, "val": 60}
    assert (builder.settings.height, builder.settings.width) == (128, 256)
    assert toy.ToyStreets(config="rendered", data_dir=tmp_path).settings.counts == {"train": 400}
    assert set(builder.info.features) == {"name", "image", "label"}


def test_read_png_names_what_it_cannot_read(tmp_path):
    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    cv2.imwrite(str(tmp_path / "good.png"), label)
    assert np.array_equal(read_png(tmp_path / "good.png"), label)
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad.png"):
        read_png(tmp_path / "bad.png")
    with pytest.raises(InputError, match=r"absent.png' cannot be read"):
        read_png(tmp_path / "absent.png")
