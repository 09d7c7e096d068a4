"""Files as torch.save writes them, made here byte by byte, so that no torch is needed."""

import io
import struct
import zipfile

import numpy as np
import pytest

STORAGES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long",
    "int32": "Int", "uint8": "Byte", "bool": "Bool",
}  # fmt: skip


class Pickle:
    """A pickle of protocol 2, put together from its instructions."""

    @staticmethod
    def of(*instructions: bytes) -> bytes:
        return b"\x80\x02" + b"".join(instructions) + b"."

    @staticmethod
    def text(value: str) -> bytes:
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()

    @staticmethod
    def integer(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    @staticmethod
    def tuple(*items: bytes) -> bytes:
        return b"(" + b"".join(items) + b"t"

    @staticmethod
    def dict(items: dict[str, bytes]) -> bytes:
        return b"}" + b"".join(Pickle.text(key) + value + b"s" for key, value in items.items())

    @staticmethod
    def name(module: str, name: str) -> bytes:
        return f"c{module}\n{name}\n".encode()

    @staticmethod
    def call(module: str, name: str, *arguments: bytes) -> bytes:
        return Pickle.name(module, name) + Pickle.tuple(*arguments) + b"R"

    @staticmethod
    def integers(values) -> bytes:
        return Pickle.tuple(*map(Pickle.integer, values))

    @staticmethod
    def storage(key: str, dtype: str, size: int, *more: bytes) -> bytes:
        kind = Pickle.name("torch", f"{STORAGES[dtype]}Storage")
        words = Pickle.text("storage"), kind, Pickle.text(key), Pickle.text("cpu"), Pickle.integer(size)
        return Pickle.tuple(*words, *more) + b"Q"

    @staticmethod
    def tensor(storage: bytes, shape, strides, offset: int = 0) -> bytes:
        hooks = Pickle.call("collections", "OrderedDict")
        return Pickle.call("torch._utils", "_rebuild_tensor_v2", storage, Pickle.integer(offset),
                           Pickle.integers(shape), Pickle.integers(strides), b"\x89", hooks)  # fmt: skip


def rows(array: np.ndarray) -> list[int]:
    """Strides of a contiguous array, in numbers."""
    return [stride // array.itemsize for stride in array.strides]


def contents(arrays: dict[str, np.ndarray], *more: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The pickled state_dict of contiguous tensors, and the storages by key."""
    tensors = {
        name: Pickle.tensor(Pickle.storage(str(i), a.dtype.name, a.size, *more), a.shape, rows(a))
        for i, (name, a) in enumerate(arrays.items())
    }
    return Pickle.of(Pickle.dict(tensors)), {str(i): a.tobytes() for i, a in enumerate(arrays.values())}


def new_file(pickle: bytes, storages: dict[str, bytes], byteorder: str = "little") -> bytes:
    """The zip archive that torch.save writes since 1.6."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/byteorder", byteorder)
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key}", content)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def old_file(pickle: bytes, storages: dict[str, tuple[int, bytes]]) -> bytes:
    """The stream that torch.save wrote before 1.6; storages are (numbers, bytes)."""
    magic = Pickle.of(b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19")
    system = Pickle.of(Pickle.dict({"protocol_version": Pickle.integer(1001), "little_endian": b"\x88"}))
    keys = Pickle.of(b"](" + b"".join(map(Pickle.text, storages)) + b"e")
    numbers = b"".join(struct.pack("<q", size) + content for size, content in storages.values())
    return b"".join([magic, Pickle.of(Pickle.integer(1001)), system, pickle, keys, numbers])


class TorchBytes:
    """What tests make files with."""

    pickle = Pickle
    contents = staticmethod(contents)
    new_file = staticmethod(new_file)
    old_file = staticmethod(old_file)

    @staticmethod
    def write(path, arrays: dict[str, np.ndarray], kind: str = "new"):
        """A state_dict of contiguous tensors in one of both formats."""
        if kind == "new":
            path.write_bytes(new_file(*contents(arrays)))
        else:
            pickle, storages = contents(arrays, b"N")
            sizes = {key: a.size for key, a in zip(storages, arrays.values(), strict=True)}
            path.write_bytes(old_file(pickle, {key: (sizes[key], c) for key, c in storages.items()}))
        return path


@pytest.fixture(scope="session")
def torch_bytes():
    return TorchBytes
