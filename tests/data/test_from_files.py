"""From checked files to records: resumed where it stopped, refused where the disk is too small."""

import errno
import functools
import pickle
import shutil
import signal
import subprocess
import sys
import time
import types
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext

import numpy as np
import pytest

from adeada_jax.data import prepared, preparing, sources
from adeada_jax.data.builders import from_files, label_maps, writing
from adeada_jax.data.builders.checks import check, inspect
from adeada_jax.data.builders.cityscapes import Cityscapes
from adeada_jax.data.builders.label_maps import LabelMaps
from adeada_jax.data.builders.layout import Item
from adeada_jax.data.fingerprint import digest
from adeada_jax.data.images import encode_png
from adeada_jax.errors import InputError
from tests.warm_start import PYTHON

PARTS = "cityscapes/parts_2.0.0"


@pytest.fixture
def folder(tmp_path, miniatures):
    miniatures.cityscapes(tmp_path / "cityscapes")
    return tmp_path / "cityscapes"


def prepare(data_dir, folder, **options):
    preparing.prepare("cityscapes", data_dir, source_dir=folder, progress=False, **options)


@pytest.fixture
def counted(monkeypatch):
    """How often labels are made in this process."""
    calls = []
    monkeypatch.setattr(label_maps, "encode_png", lambda label: calls.append(1) or encode_png(label))
    return calls


def test_nothing_is_left_over(folder, tmp_path):
    prepare(tmp_path / "data", folder)
    left = {path.name for path in (tmp_path / "data").rglob("*") if "array_record" not in path.name}
    assert left == {
        ".prepare.lock", "2.0.0", "cityscapes", "dataset_info.json", "features.json", "metadata.json",
        "sources.json",
    }  # fmt: skip


def test_an_interrupted_preparation_goes_on(folder, tmp_path, monkeypatch, counted):
    write, left = label_maps.write_bytes_atomic, [4]

    def interrupted(path, content):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(label_maps, "write_bytes_atomic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, folder)
    monkeypatch.setattr(label_maps, "write_bytes_atomic", write)
    # Three are done, the fourth was being written.
    assert len(counted) == 4
    with pytest.raises(InputError, match="only half prepared"):
        sources.open_images("cityscapes", tmp_path, "train")
    prepare(tmp_path, folder)
    assert len(counted) == 6
    assert not (tmp_path / PARTS).exists()
    assert prepared.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}


def test_other_files_and_versions_are_made_anew(folder, tmp_path, counted):
    read_label = Cityscapes().find(folder).read_label
    path = next(folder.glob("gtFine/val/*/*_labelIds.png"))
    item = Item("x", path, path, label_digest=digest(path.read_bytes()))
    labels = LabelMaps(tmp_path, read_label, "2.0.0")
    for _ in range(2):
        labels.make(item)
    assert len(counted) == 1
    LabelMaps(tmp_path, read_label, "2.0.1").make(item)
    assert len(counted) == 2
    shutil.copy(next(folder.glob("gtFine/train/*/*_labelIds.png")), path)
    labels.make(Item("x", path, path, label_digest=digest(path.read_bytes())))
    assert len(counted) == 3
    assert labels.read(Item("y", path, None)) == b""


def test_the_work_can_be_sent_to_processes(folder, tmp_path):
    content = check(Cityscapes().find(folder), jobs=1, bar=lambda *_: nullcontext(lambda: None))
    labels = LabelMaps(tmp_path / "parts", content.read_label, "2.0.0")
    inspect_item = functools.partial(inspect, read_label=content.read_label)
    make, inspect_item = pickle.loads(pickle.dumps((labels.make, inspect_item)))
    for item in content.items:
        make(item)
        assert not inspect_item(item).problems
        assert labels.read(item)


def test_a_killed_preparation_goes_on(tmp_path, write_files, counted):
    rng = np.random.default_rng(0)
    for index in range(24):
        write_files.image(tmp_path / f"own/images/{index:02d}.png", write_files.photograph(rng, 96, 128))
        label = np.kron(rng.integers(0, 2, (12, 16)), np.ones((8, 8))).astype(np.uint8)
        write_files.image(tmp_path / f"own/labels/{index:02d}.png", label)
    classes = "classes:\n- {name: a, color: [0, 0, 9]}\n- {name: b, color: [9, 0, 0]}\n"
    (tmp_path / "own/classes.yaml").write_text(classes)
    program = (
        "import time\n"
        "from adeada_jax.data import preparing\n"
        "from adeada_jax.data.builders import label_maps\n"
        "make = label_maps.encode_png\n"
        "label_maps.encode_png = lambda label: time.sleep(0.05) or make(label)\n"
        f"preparing.prepare('folder', {str(tmp_path)!r}, source_dir={str(tmp_path / 'own')!r}, jobs=1)"
    )
    process = subprocess.Popen([*PYTHON, "-c", program], stdout=subprocess.DEVNULL)
    parts, deadline = tmp_path / "folder/parts_2.0.0", time.monotonic() + 60
    while len(list(parts.glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(parts.glob("[!.]*.png")))
    assert 3 <= done < 24
    preparing.prepare("folder", tmp_path, source_dir=tmp_path / "own", progress=False, jobs=1)
    assert len(counted) == 24 - done
    assert len(sources.open_labelled("folder", tmp_path, "train")) == 24


def test_too_small_a_disk_is_refused_before_the_work(folder, tmp_path, monkeypatch, counted):
    usage = namedtuple("usage", "total used free")
    images = sum(path.stat().st_size for path in folder.glob("leftImg8bit/*/*/*.png"))
    monkeypatch.setattr(from_files.shutil, "disk_usage", lambda path: usage(10**9, 0, images))
    with pytest.raises(
        InputError, match=r"data' has 0 MB free, but Cityscapes needs about \d+ MB there; free"
    ):
        prepare(tmp_path / "data", folder)
    assert not counted
    monkeypatch.setattr(from_files.shutil, "disk_usage", lambda path: usage(10**9, 0, 3 * images))
    prepare(tmp_path / "data", folder)


def test_a_disk_that_fills_up_is_named(folder, tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(label_maps, "write_bytes_atomic", full)
    with pytest.raises(InputError, match="data' cannot be written: No space left on device"):
        prepare(tmp_path / "data", folder)


def test_records_that_cannot_be_written_are_named(folder, tmp_path):
    """A limit on the size of files stands for the full disk, since array_record reports both alike."""
    program = (
        "import resource\n"
        "from adeada_jax.data import preparing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        f"preparing.prepare('cityscapes', {str(tmp_path)!r}, source_dir={str(folder)!r})\n"
    )
    done = subprocess.run([*PYTHON, "-c", program], capture_output=True, text=True, timeout=60)
    assert "InputError: records cannot be written: File too large; writing" in done.stderr
    prepare(tmp_path, folder)
    assert prepared.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}


def test_a_directory_that_may_not_be_written_is_named(folder, tmp_path, monkeypatch):
    def read_only(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(writing.Path, "mkdir", read_only)
    with pytest.raises(InputError, match="data' cannot be written: Read-only file system"):
        prepare(tmp_path / "data", folder)


def test_who_waits_for_another_process_is_told(tmp_path, capsys):
    def take_turns():
        with writing.locked(tmp_path):
            pass

    with ThreadPoolExecutor(1) as other:
        with writing.locked(tmp_path):
            waiting = other.submit(take_turns)
            deadline = time.monotonic() + 30
            while not (printed := capsys.readouterr().out) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert f"waiting for another process that prepares data in '{tmp_path}'" in printed
            assert not waiting.done()
        waiting.result(timeout=30)


def test_a_killed_worker_is_explained(folder, tmp_path, monkeypatch):
    def killed(*arguments, **options):
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(label_maps, "ordered_map", killed)
    with pytest.raises(InputError, match="worker process was killed, perhaps for memory; try fewer --jobs"):
        prepare(tmp_path, folder)


def test_shards_keep_the_order(folder, tmp_path, monkeypatch, capsys):
    prepare(tmp_path / "one", folder)
    monkeypatch.setattr(from_files, "_SHARD_BYTES", 15_000)
    prepare(tmp_path / "many", folder)
    assert len(list((tmp_path / "many/cityscapes/2.0.0").glob("*train.array_record*"))) > 1
    one, many = (sources.open_labelled("cityscapes", tmp_path / d, "train") for d in ("one", "many"))
    assert one.names == many.names
    for index in range(len(one)):
        assert all(np.array_equal(one[index][k], many[index][k]) for k in ("image", "label"))


class FakeBeam:
    """As much of Apache Beam as is used: pipelines of Create, Reshuffle and Map."""

    def __init__(self):
        self.options = None
        self.module = types.ModuleType("apache_beam")
        self.module.Create = lambda items: lambda _: list(items)
        self.module.Reshuffle = lambda: lambda items: items[::-1]
        self.module.Map = lambda function: lambda items: [function(item) for item in items]
        self.module.Pipeline = self._pipeline

    def _pipeline(self, options):
        self.options = options

        class Stage:
            def __init__(self, value=None):
                self.value = value

            def __or__(self, transform):
                return Stage(transform(self.value))

            def __enter__(self):
                return self

            def __exit__(self, *error):
                return False

        return Stage()


def test_beam_makes_the_maps(folder, tmp_path, monkeypatch, counted):
    fake = FakeBeam()
    options = types.ModuleType("apache_beam.options.pipeline_options")
    options.PipelineOptions = list
    monkeypatch.setitem(sys.modules, "apache_beam", fake.module)
    monkeypatch.setitem(sys.modules, "apache_beam.options", types.ModuleType("apache_beam.options"))
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", options)
    seen = []
    monkeypatch.setattr(
        label_maps, "ordered_map", lambda f, items, **k: seen.append(len(counted)) or map(f, items)
    )
    prepare(tmp_path / "data", folder, beam_options=["--runner=DirectRunner"])
    assert fake.options == ["--runner=DirectRunner"]
    # All was made when the processes' turn came, which then found nothing to do.
    assert seen == [5]
    assert len(counted) == 5
    assert prepared.split_sizes("cityscapes", tmp_path / "data") == {"train": 3, "val": 2}


def test_without_beam_the_extra_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"Beam is not installed; pip install 'adeada_jax\[beam\]'"):
        prepare(tmp_path, folder, beam_options=[])
