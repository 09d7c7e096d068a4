"""Files that change after they were prepared, and what of them is prepared anew."""

import errno
import json
import os
import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from adeada_jax.data import fingerprint, prepared, preparing, sources
from adeada_jax.data.builders import label_maps, writing
from adeada_jax.data.builders import tfds_records as base
from adeada_jax.data.images import encode_png
from adeada_jax.errors import InputError
from tests.warm_start import PYTHON

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_data.py"
CLASSES = """classes:
- {name: meadow, color: [0, 200, 0]}
- {name: lake, color: [0, 0, 200]}
"""


@pytest.fixture
def add(tmp_path, write_files):
    """Writes an image and its label below own/."""

    def write(name, seed, split="train"):
        rng = np.random.default_rng(seed)
        write_files.image(tmp_path / f"own/images/{split}/{name}.png", write_files.photograph(rng, 40, 56))
        label = np.kron(rng.integers(0, 2, (5, 7)), np.ones((8, 8))).astype(np.uint8)
        write_files.image(tmp_path / f"own/labels/{split}/{name}.png", label)

    return write


@pytest.fixture
def own(tmp_path, add):
    """A folder of three training images and one to evaluate, prepared in data/."""
    for seed, name in enumerate("abc"):
        add(name, seed)
    add("v", 9, split="val")
    (tmp_path / "own/classes.yaml").write_text(CLASSES)
    prepare(tmp_path)
    return tmp_path / "own"


@pytest.fixture
def counted(monkeypatch):
    """The labels that are made, in this process."""
    calls = []
    monkeypatch.setattr(label_maps, "encode_png", lambda label: calls.append(1) or encode_png(label))
    return calls


def prepare(root, source="own", data="data", **options):
    preparing.prepare("folder", root / data, source_dir=root / source, progress=False, **options)


def content(root, data="data"):
    return prepared.fingerprint("folder", root / data, ("train", "val"))


def status(root):
    return {path: path.stat().st_mtime_ns for path in (root / "data/folder").rglob("*") if path.is_file()}


def change(own, add):
    add("b", 7)
    add("d", 8)
    for kind in ("images", "labels"):
        (own / kind / "train/c.png").unlink()


def test_what_did_not_change_is_left_alone_wherever_it_lies_and_whenever_it_was_written(own, tmp_path):
    before = status(tmp_path)
    shutil.copytree(own, tmp_path / "copied", copy_function=shutil.copyfile)  # with new times
    for source, options in (("own", {}), ("copied", {}), ("own", {"update": True})):
        prepare(tmp_path, source, **options)
    preparing.prepare("folder", tmp_path / "data", progress=False)
    shutil.move(own, tmp_path / "moved")
    preparing.prepare("folder", tmp_path / "data", progress=False)
    prepare(tmp_path, "moved")
    assert status(tmp_path) == before


def test_a_changed_source_is_listed_and_nothing_is_done(own, tmp_path, add, capsys):
    change(own, add)
    before = status(tmp_path)
    words = (
        r"own' changed since 'folder' was prepared in .*: 2 added \(images/train/d.png, labels/.*d.png\), 2"
        r" removed \(images.*c.png\), 2 altered .*; give --update"
    )
    with pytest.raises(InputError, match=words):
        prepare(tmp_path)
    assert status(tmp_path) == before
    printed = capsys.readouterr().out.splitlines()
    assert "  removed: labels/train/c.png" in printed
    assert "  altered: images/train/b.png" in printed


def test_a_label_that_came_without_an_image_is_named(own, tmp_path):
    shutil.copy(own / "labels/train/a.png", own / "labels/train/lone.png")
    with pytest.raises(InputError, match=r"label '.*lone.png' has no image"):
        prepare(tmp_path)


def test_images_that_were_left_out_are_no_change(tmp_path, miniatures):
    miniatures.gta5(tmp_path / "gta5")  # of which one differs in size from its label
    for _ in range(2):
        preparing.prepare("gta5", tmp_path / "data", source_dir=tmp_path / "gta5", progress=False)
    assert prepared.split_sizes("gta5", tmp_path / "data") == {"train": 2}


@pytest.mark.parametrize("name", ["labels/val/v.png", "classes.yaml"])
def test_labels_and_the_class_file_count_too(own, tmp_path, name):
    text = (own / name).read_bytes()
    times = (own / name).stat()
    (own / name).write_bytes(text.replace(b"lake", b"pond") if name == "classes.yaml" else text + b"\0")
    os.utime(own / name, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    with pytest.raises(InputError, match=rf"1 altered \({name}\); give --update"):
        prepare(tmp_path)


def test_an_update_makes_only_what_changed_and_ends_as_if_all_was_made(own, tmp_path, add, counted):
    former = sources.open_images("folder", tmp_path / "data", "train")
    opened_only = sources.open_images("folder", tmp_path / "data", "train")
    then = [former[i]["image"] for i in range(3)]
    change(own, add)
    prepare(tmp_path, update=True)
    assert len(counted) == 2  # of b and d
    prepare(tmp_path, data="anew")
    assert content(tmp_path) == content(tmp_path, "anew")
    source = sources.open_labelled("folder", tmp_path / "data", "train")
    assert source.names == ("a", "b", "d")
    assert source.sizes == ((40, 56),) * 3
    assert sorted(path.name for path in (tmp_path / "data/folder").iterdir()) == ["2.0.0"]
    prepare(tmp_path)
    # What is open stays what it was, looked at or not: nothing of the new data under the old names.
    for images in (former, opened_only):
        assert [images[i]["name"] for i in range(3)] == ["a", "b", "c"]
        assert all(np.array_equal(images[i]["image"], then[i]) for i in range(3))
    # Who had opened the former data is not given the new ones under the old names.
    with pytest.raises(InputError, match="was prepared anew while it was read; start again"):
        pickle.loads(pickle.dumps(former))


def test_data_that_cannot_be_read_for_a_moment_are_not_taken_for_half_made(own, tmp_path, monkeypatch):
    def failing(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    before = content(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(tfds, "builder_from_directory", failing)
        with pytest.raises(OSError, match="Too many open files"):
            prepare(tmp_path)
    assert content(tmp_path) == before


def test_what_is_damaged_stays_until_there_is_something_to_make_it_of(own, tmp_path):
    (tmp_path / "data/folder/2.0.0/features.json").unlink()
    shutil.move(own, tmp_path / "away")
    with pytest.raises(InputError, match="own"):
        prepare(tmp_path)
    assert list((tmp_path / "data/folder/2.0.0").glob("*array_record*"))


def test_what_a_killed_update_left_is_tidied_by_the_same_command(own, tmp_path):
    shutil.copytree(tmp_path / "data/folder/2.0.0", tmp_path / "data/folder/former_2.0.0")
    prepare(tmp_path)
    assert sorted(path.name for path in (tmp_path / "data/folder").iterdir()) == ["2.0.0"]


def test_new_names_of_classes_make_no_label_anew_and_new_ids_all(own, tmp_path, counted):
    for former, new in (("lake", "pond"), ("pond, color: [0, 0, 200]", "pond, ids: [0], color: [0, 0, 200]")):
        text = (own / "classes.yaml").read_text().replace(former, new)
        if "ids" in new:
            text = text.replace("meadow, ", "meadow, ids: [1], ")
        (own / "classes.yaml").write_text(text)
        before = sources.open_labelled("folder", tmp_path / "data", "train")[0]["label"]
        prepare(tmp_path, update=True)
        source = sources.open_labelled("folder", tmp_path / "data", "train")
        assert source.class_names == ("meadow", "pond")
        expected = 1 - before if "ids" in new else before
        assert np.array_equal(source[0]["label"], expected)
        assert len(counted) == (4 if "ids" in new else 0)


@pytest.mark.parametrize("moment", ["labels", "records", "before the replacement", "within it", "after it"])
def test_a_killed_update_loses_nothing_and_can_be_given_again(
    own, tmp_path, add, monkeypatch, counted, moment
):
    before = content(tmp_path)
    change(own, add)
    rename = os.rename

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    def killed_within(source, target):
        if Path(target).name == "2.0.0":
            killed()
        rename(source, target)

    place, name, kill = {
        "labels": (label_maps, "encode_png", killed), "records": (base, "note", killed),
        "before the replacement": (writing, "put_in_place", killed),
        "within it": (os, "rename", killed_within), "after it": (writing, "tidy", killed),
    }[moment]  # fmt: skip
    put = writing.put_in_place
    with monkeypatch.context() as patch:
        if moment.endswith(" it"):  # not before: TFDS renames, too
            patch.setattr(writing, "put_in_place", lambda *a: (patch.setattr(place, name, kill), put(*a)))
        else:
            patch.setattr(place, name, kill)
        with pytest.raises(KeyboardInterrupt):
            prepare(tmp_path, update=True)
    if moment == "within it":
        with pytest.raises(InputError, match="give --update"):
            prepare(tmp_path)
    if moment != "after it":
        assert content(tmp_path) == before
    prepare(tmp_path, update=True)
    assert len(counted) == 2
    assert sources.open_labelled("folder", tmp_path / "data", "train").names == ("a", "b", "d")
    assert sorted(path.name for path in (tmp_path / "data/folder").iterdir()) == ["2.0.0"]
    prepare(tmp_path)


def test_a_file_that_changes_while_it_is_prepared_is_named(own, tmp_path, add, monkeypatch):
    check = label_maps.LabelMaps.make

    def slow(self, item):
        add("a", 77)
        check(self, item)

    monkeypatch.setattr(label_maps.LabelMaps, "make", slow)
    with pytest.raises(
        InputError, match=r"(images|labels)/train/a.png' changed while it was prepared; give the same"
    ):
        prepare(tmp_path, data="other")
    monkeypatch.undo()
    prepare(tmp_path, data="other")


def test_a_moved_folder_that_changed_can_be_updated_but_not_another_that_is_there(own, tmp_path, add):
    shutil.copytree(own, tmp_path / "other")
    (tmp_path / "other/classes.yaml").write_text(CLASSES.replace("lake", "pond"))
    with pytest.raises(
        InputError, match=r"prepared from '.*own', not from '.*other'; give another --data_dir"
    ):
        prepare(tmp_path, "other", update=True)
    shutil.rmtree(own)
    prepare(tmp_path, "other", update=True)
    assert content(tmp_path)["class_names"] == ["meadow", "pond"]


def test_data_of_an_earlier_version_are_named(own, tmp_path):
    (tmp_path / "data/folder/2.0.0").rename(tmp_path / "data/folder/1.1.0")
    with pytest.raises(
        InputError, match=r"by an earlier version of adeada_jax \(1.1.0, now 2.0.0\) in .*run: "
    ):
        sources.open_images("folder", tmp_path / "data", "train")


def test_fingerprints_differ_by_what_differs(own, tmp_path, add):
    before = content(tmp_path)
    assert fingerprint.differences(before, json.loads(json.dumps(before))) == []
    change(own, add)
    (own / "classes.yaml").write_text(CLASSES.replace("lake", "pond"))
    prepare(tmp_path, update=True)
    after = content(tmp_path)
    assert fingerprint.differences(before, after) == [
        "classes meadow, lake became meadow, pond", "train: images added: 1 (d)",
        "train: images removed: 1 (c)", "train: images altered: 1 (b)", "train: labels altered: 1 (b)",
    ]  # fmt: skip
    del after["splits"]["val"]
    assert fingerprint.differences(before, after)[-1] == "split 'val' was removed"


def test_partitions_differ_by_settings_or_by_maps_as_far_as_they_are_known():
    former = {"settings": {"kind": "masks"}, "marks": {"a": "1", "b": "2"}, "maps": {"a": "3", "b": "4"}}
    for change, found in (
        ({}, []), ({"maps": {}}, []), ({"maps": {"a": "3", "c": "5"}}, []),
        ({"maps": {"a": "3", "b": "9"}}, ["region maps altered: 1 (b)"]),
        ({"marks": {"a": "0", "b": "2"}, "maps": {}}, ["region masks altered: 1 (a)"]),
        ({"settings": {"kind": "slic"}},
         ["the regions' settings {'kind': 'masks'} became {'kind': 'slic'}"]),
    ):  # fmt: skip
        assert fingerprint.partition_differences(former, {**former, **change}) == found


def test_from_the_command_line(own, tmp_path, add):
    add("d", 8)
    command = [*PYTHON, str(SCRIPT), "--dataset=folder", f"--source_dir={own}",
               f"--data_dir={tmp_path / 'data'}"]  # fmt: skip
    refused, updated = (
        subprocess.run([*command, *flags], capture_output=True, text=True, timeout=100)
        for flags in ([], ["--update"])
    )
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "2 added (images/train/d.png, labels/train/d.png); give --update" in refused.stderr
    assert updated.returncode == 0, updated.stderr
    assert updated.stdout.splitlines()[-1] == "folder: train 4 images, val 1 images"
