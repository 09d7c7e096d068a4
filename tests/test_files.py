"""A file is written whole or not at all, and reading errors name the file."""

import json
import os

import cv2
import numpy as np
import pytest

from adeada_jax import files
from adeada_jax.errors import InputError

WRITERS = {
    "bytes": (files.write_bytes_atomic, b"new"),
    "text": (files.write_text_atomic, "new"),
    "json": (files.write_json_atomic, {"new": 1}),
    "png": (files.write_png_atomic, np.ones((2, 2), np.uint8)),
}


def power_cut(*_):
    raise OSError("power cut")


@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_crash_while_writing_leaves_the_old_file_alone(tmp_path, monkeypatch, kind, moment):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    write, content = WRITERS[kind]
    monkeypatch.setattr(os, moment, power_cut)
    with pytest.raises(OSError, match="power cut"):
        write(path, content)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_content_reaches_the_disk_before_the_name(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda old, new: (order.append("replace"), replace(old, new)))
    files.write_text_atomic(tmp_path / "file", "text")
    assert order == ["fsync", "replace"]


def test_text_is_utf8_and_missing_directories_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file.txt"
    files.write_text_atomic(path, "Straße")
    assert path.read_bytes() == "Straße".encode()
    assert os.listdir(path.parent) == ["file.txt"]


def test_json_keeps_the_order_and_has_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "file.json"
    content = {"z": float("nan"), "a": [np.float32("inf"), 1.5, (np.int64(3), True)], "n": {"x": -np.inf}}
    files.write_json_atomic(path, content)
    assert files.read_json(path) == {"z": None, "a": [None, 1.5, [3, True]], "n": {"x": None}}
    assert list(json.loads(path.read_text())) == ["z", "a", "n"]
    assert path.read_text().startswith('{\n  "z": null')


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 3)])
def test_png_comes_back_as_it_was(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    files.write_png_atomic(tmp_path / "file.png", array)
    read = cv2.imread(str(tmp_path / "file.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read if array.ndim == 2 else read[..., ::-1], array)


@pytest.mark.parametrize("content", [b'{"half": ', b"", b"\xff\xfe\x00"])
def test_what_is_no_json_is_named(tmp_path, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.json' is not JSON"):
        files.read_json(path)


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json' does not exist"):
        files.read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        files.read_json(tmp_path)
