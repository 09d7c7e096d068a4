"""Arrays on the disk: written by one library, read by another, whole or mapped."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from adeada_jax.arrays import create_arrays, load_arrays, map_arrays, save_arrays
from adeada_jax.errors import InputError

ARRAYS = {
    "small": np.arange(3, dtype=np.int32),
    "wide": np.arange(10, dtype=np.float64).reshape(2, 5),
    "none": np.zeros((0, 4), np.float32),
    "long": np.array([2**40], np.int64),
}


def create(path):
    shapes = {name: (array.shape, array.dtype) for name, array in ARRAYS.items()}
    with create_arrays(path, shapes, {"names": ["ä", "b"]}) as files:
        for name, array in ARRAYS.items():
            files[name][...] = array


@pytest.mark.parametrize("write", [create, lambda path: save_arrays(path, ARRAYS, {"names": ["ä", "b"]})])
@pytest.mark.parametrize("read", [load_arrays, map_arrays])
def test_what_was_written_is_read(tmp_path, write, read):
    write(tmp_path / "a.safetensors")
    arrays, metadata = read(tmp_path / "a.safetensors")
    assert metadata == {"names": ["ä", "b"]}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_created_files_are_the_librarys_own_format(tmp_path):
    create(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["wide"], ARRAYS["wide"])


def test_what_is_mapped_cannot_be_written_to(tmp_path):
    create(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="read-only"):
        map_arrays(tmp_path / "a.safetensors")[0]["wide"][0] = 1


def test_a_file_that_was_not_finished_has_no_name(tmp_path):
    with pytest.raises(KeyboardInterrupt), create_arrays(tmp_path / "a", {"x": ((2,), np.float32)}, {}):
        raise KeyboardInterrupt
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("read", [load_arrays, map_arrays])
def test_missing_and_broken_files_are_named(tmp_path, read):
    with pytest.raises(InputError, match="missing' does not exist"):
        read(tmp_path / "missing")
    (tmp_path / "broken").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="broken' is no readable safetensors file"):
        read(tmp_path / "broken")
