"""Reading what torch.save and safetensors wrote, without torch and without running any of it."""

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from adeada_jax.errors import InputError
from adeada_jax.models.torch_files import StoredTensor, read_tensors

ARRAYS = {
    "double": np.array([[1.5, -2.5], [1e300, 0]]),
    "float": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "half": np.array([0.5, 65504], np.float16),
    "bfloat": np.array([1.0, -3.0e38, 0.1], jnp.bfloat16),
    "long": np.array(2**40, np.int64),
    "flag": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
}


def assert_read(content, arrays):
    assert content.keys() == arrays.keys()
    for name, array in arrays.items():
        tensor = content[name]
        assert (tensor.shape, tensor.dtype) == (array.shape, array.dtype)
        np.testing.assert_array_equal(tensor.read(), array)


@pytest.mark.parametrize("kind", ["new", "old"])
def test_all_types_are_read_from_both_formats(kind, torch_bytes, tmp_path):
    assert_read(read_tensors(torch_bytes.write(tmp_path / "weights.pth", ARRAYS, kind)), ARRAYS)


def test_safetensors_are_read_with_all_types(tmp_path):
    save_file(ARRAYS, tmp_path / "weights.safetensors")
    assert_read(read_tensors(tmp_path / "weights.safetensors"), ARRAYS)


def test_big_endian_numbers_are_turned_round(torch_bytes, tmp_path):
    arrays = {name: ARRAYS[name] for name in ("float", "half", "long", "flag")}
    pickle, _ = torch_bytes.contents(arrays)
    turned = {str(i): a.astype(a.dtype.newbyteorder(">")).tobytes() for i, a in enumerate(arrays.values())}
    (tmp_path / "weights.pth").write_bytes(torch_bytes.new_file(pickle, turned, "big"))
    assert_read(read_tensors(tmp_path / "weights.pth"), arrays)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((3, 4), (1, 3), 2), ((2, 2), (6, 2), 1), ((5, 2), (0, 1), 3), ((), (), 13)],
)  # fmt: skip
def test_views_are_read_with_strides_and_offset(shape, strides, offset, torch_bytes, tmp_path):
    p, row = torch_bytes.pickle, np.arange(14, dtype=np.float32)
    tensor = p.tensor(p.storage("0", "float32", 14), shape, strides, offset)
    path = tmp_path / "view.pth"
    path.write_bytes(torch_bytes.new_file(p.of(p.dict({"view": tensor})), {"0": row.tobytes()}))
    indices = np.array([offset + np.dot(index, strides) for index in np.ndindex(shape)], int)
    np.testing.assert_array_equal(read_tensors(path)["view"].read(), row[indices].reshape(shape))


def test_parameters_and_nested_values_are_read(torch_bytes, tmp_path):
    p, row = torch_bytes.pickle, np.arange(3, dtype=np.float32)
    tensor = p.tensor(p.storage("0", "float32", 3), (3,), (1,))
    none = b"N"
    parameter = p.name("torch.nn.parameter", "Parameter")
    old = parameter + p.tuple(tensor) + b"\x81" + p.tuple(b"\x88", b"\x89", none) + b"b"
    older = parameter + b")\x81" + p.tuple(tensor, none, none, b"\x88", b"\x89") + b"b"
    mapping = p.call("collections", "OrderedDict") + p.text("inner") + tensor + b"s"
    content = {
        "new": p.call("torch._utils", "_rebuild_parameter", tensor, b"\x88", none),
        "old": old,
        "older": older,
        "mapping": mapping + p.dict({"_metadata": p.dict({})}) + b"b",
        "plain": p.tuple(p.integer(3), p.text("words"), none),
    }
    (tmp_path / "weights.pth").write_bytes(torch_bytes.new_file(p.of(p.dict(content)), {"0": row.tobytes()}))
    read = read_tensors(tmp_path / "weights.pth")
    assert read["plain"] == [3, "words", None]
    assert read["mapping"].keys() == {"inner"}
    for found in (read["new"], read["old"], read["older"], read["mapping"]["inner"]):
        assert isinstance(found, StoredTensor)
        np.testing.assert_array_equal(found.read(), row)


@pytest.mark.parametrize(
    ("module", "name"),
    [("argparse", "Namespace"), ("pytorch_lightning.utilities.parsing", "AttributeDict")],
)
def test_options_of_a_training_are_left_empty(module, name, torch_bytes, tmp_path):
    p = torch_bytes.pickle
    options = p.name(module, name) + b")\x81" + p.dict({"lr": p.integer(1)}) + b"b"
    (tmp_path / "weights.pth").write_bytes(torch_bytes.new_file(p.of(p.dict({"args": options})), {}))
    assert read_tensors(tmp_path / "weights.pth") == {"args": {}}


def test_lists_in_lists_in_lists_are_read_once_each(torch_bytes, tmp_path):
    p = torch_bytes.pickle
    layers = [b"(" + (b"h" + bytes([i])) * 10 + b"lq" + bytes([i + 1]) for i in range(30)]
    (tmp_path / "weights.pth").write_bytes(torch_bytes.new_file(p.of(b"]q\0", *layers), {}))
    assert len(read_tensors(tmp_path / "weights.pth")) == 10  # of 10 of 10 ...: 10 ** 30 in all


WANTED = [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("torch", "load"),
    ("torch._utils", "_rebuild_sparse_tensor"), ("torch.storage", "_load_from_bytes"), ("torch", "F32"),
    ("collections", "Counter"), ("adeada_jax.models.torch_files", "read_tensors"),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["new", "old"])
@pytest.mark.parametrize(("module", "name"), WANTED)
def test_a_file_that_wants_to_run_something_is_refused_and_runs_nothing(
    kind, module, name, torch_bytes, tmp_path
):
    p = torch_bytes.pickle
    pickle = p.of(p.call(module, name, p.text(f"touch {tmp_path}/done")))
    path = tmp_path / "evil.pth"
    path.write_bytes(
        torch_bytes.new_file(pickle, {}) if kind == "new" else torch_bytes.old_file(pickle, {})
    )  # fmt: skip
    with pytest.raises(InputError, match=rf"evil.pth' wants to run '{module}\.{name}'.*nothing was run"):
        read_tensors(path)
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pth"]


def test_no_pickle_of_an_old_file_is_trusted(torch_bytes, tmp_path):
    p = torch_bytes.pickle
    content, version = torch_bytes.old_file(p.of(p.dict({})), {}), p.of(p.integer(1001))
    assert content.count(version) == 1
    path = tmp_path / "evil.pth"
    path.write_bytes(content.replace(version, p.of(p.call("os", "system", p.text("true")))))
    with pytest.raises(InputError, match=r"wants to run 'os\.system'"):
        read_tensors(path)
    path.write_bytes(p.of(p.call("os", "system", p.text("true"))))
    with pytest.raises(InputError, match=r"wants to run 'os\.system'"):
        read_tensors(path)


def test_names_cannot_break_the_line(torch_bytes, tmp_path):
    p, path = torch_bytes.pickle, tmp_path / "evil.pth"
    wanted = p.text("os\n") + p.text("system\x1b[2K") + b"\x93)R"
    path.write_bytes(torch_bytes.new_file(p.of(wanted), {}))
    with pytest.raises(InputError, match=r"wants to run 'os\\n\.system\\x1b\[2K', which"):
        read_tensors(path)
    path.write_bytes(torch_bytes.old_file(p.of(p.dict({})), {"a\nb": (0, b"")}))
    with pytest.raises(InputError, match=r"damaged \(a storage 'a b' that no tensor has\)"):
        read_tensors(path)


@pytest.mark.parametrize("target", [("torch._utils", "_rebuild_tensor_v2"), ("collections", "OrderedDict")])
def test_the_readers_own_functions_cannot_be_changed(target, torch_bytes, tmp_path):
    p = torch_bytes.pickle
    state = p.tuple(p.dict({}), p.dict({"_function": p.name(*target)}))
    pickles = [p.of(p.name(*target) + state + b"b"), p.of(p.name(*target) + p.dict({"x": b"N"}) + b"b")]
    for pickle in pickles:
        (tmp_path / "evil.pth").write_bytes(torch_bytes.new_file(pickle, {}))
        with pytest.raises(InputError, match=r"evil\.pth' is damaged"):
            read_tensors(tmp_path / "evil.pth")
    assert_read(read_tensors(torch_bytes.write(tmp_path / "good.pth", ARRAYS)), ARRAYS)


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "size"),
    [((4,), (1,), 0, 3), ((2,), (1,), 2, 3), ((2,), (-1,), 1, 3), ((2, 2), (1,), 0, 3), ((2,), (1,), -1, 3),
     ((3,), (1,), 0, -3)],
)  # fmt: skip
def test_tensors_outside_their_storage_are_refused(shape, strides, offset, size, torch_bytes, tmp_path):
    p = torch_bytes.pickle
    tensor = p.tensor(p.storage("0", "float32", size), shape, strides, offset)
    (tmp_path / "bad.pth").write_bytes(torch_bytes.new_file(p.of(tensor), {"0": bytes(12)}))
    with pytest.raises(InputError, match=r"bad\.pth' is damaged"):
        read_tensors(tmp_path / "bad.pth")


@pytest.mark.parametrize("kind", ["new", "old"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_truncated_files_are_damaged_in_one_line(kind, share, torch_bytes, tmp_path):
    path = torch_bytes.write(tmp_path / "weights.pth", ARRAYS, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"weights\.pth' is (damaged|neither)") as error:
        assert_read(read_tensors(path), ARRAYS)
    assert "\n" not in str(error.value)


def test_a_spoiled_archive_is_damaged_in_one_line(torch_bytes, tmp_path):
    path = torch_bytes.write(tmp_path / "weights.pth", {"a": np.zeros(2, np.float32)})
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    unicode_flag = whole[: directory + 9] + b"\x08" + whole[directory + 10 :]
    for spoiled in (
        whole.replace(b"archive/data.pkl", b"archive/data.pk\n", 1),  # in its own header alone
        unicode_flag[: directory + 46] + b"\xbb" + whole[directory + 47 :],
        whole[: directory + 6] + b"\x7e" + whole[directory + 7 :],  # zip version 12.6
    ):
        path.write_bytes(spoiled)
        with pytest.raises(InputError, match=r"weights\.pth' is damaged") as error:
            read_tensors(path)
        assert "\n" not in str(error.value)


def test_flipped_bits_are_noticed_where_the_format_can(torch_bytes, tmp_path):
    path = torch_bytes.write(tmp_path / "weights.pth", {"a": np.full(100, 7, np.float32)})
    content = path.read_bytes()
    assert content.count(np.float32(7).tobytes() * 100) == 1
    path.write_bytes(content.replace(np.float32(7).tobytes() * 100, np.float32(8).tobytes() * 100))
    with pytest.raises(InputError, match=r"damaged \(Bad CRC-32"):
        read_tensors(path)["a"].read()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "neither a file of torch.save nor safetensors"),
        (b"not weights at all", "neither a file of torch.save nor safetensors"),
        (b"\x80\x02K\x07.", "neither a file of torch.save nor safetensors"),
        (b"\x80\x04\x95" + bytes(20), "damaged"),
        (b"\x08\0\0\0\0\0\0\0{}}}}}}}", "damaged"),
        (b"PK\x03\x04" + bytes(40), "damaged"),
    ],
)
def test_other_files_are_refused(content, words, tmp_path):
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(InputError, match=f"file.pth' is {words}"):
        read_tensors(tmp_path / "file.pth")


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(InputError, match=r"absent.pth' cannot be read: No such file"):
        read_tensors(tmp_path / "absent.pth")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_tensors(tmp_path)
