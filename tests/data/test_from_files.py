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

from adeada_jax.data import sources
from adeada_jax.data.builders import cityscapes, from_files, maps, writing
from adeada_jax.data.builders.checks import check, inspect
from adeada_jax.data.builders.layout import Item
from adeada_jax.data.builders.tfds_records import RegionSettings
from adeada_jax.data.fingerprint import digest
from adeada_jax.errors import InputError
from adeada_jax.partitions.slic import slic_regions

PARTS = "cityscapes/parts_1.1.0"


@pytest.fixture
def folder(tmp_path, miniatures):
    miniatures.cityscapes(tmp_path / "cityscapes")
    return tmp_path / "cityscapes"


def prepare(data_dir, folder, **options):
    sources.prepare("cityscapes", data_dir, source_dir=folder, progress=False, **options)


@pytest.fixture
def counted(monkeypatch):
    """How often regions are made in this process."""
    calls = []
    monkeypatch.setattr(maps, "slic_regions", lambda *a, **k: calls.append(1) or slic_regions(*a, **k))
    return calls


def test_regions_are_of_the_stored_image_and_nothing_is_left_over(folder, tmp_path):
    prepare(tmp_path / "data", folder, num_segments=9, compactness=5.0)
    source = sources.open_images("cityscapes", tmp_path / "data", "val")
    assert np.array_equal(
        source[1]["regions"], slic_regions(source[1]["image"], num_segments=9, compactness=5)
    )
    assert source.regions == {"num_segments": 9, "compactness": 5.0}
    left = {path.name for path in (tmp_path / "data").rglob("*") if "array_record" not in path.name}
    assert left == {
        ".prepare.lock", "1.1.0", "cityscapes", "dataset_info.json", "features.json", "metadata.json",
        "sources.json",
    }  # fmt: skip


def test_an_interrupted_preparation_goes_on(folder, tmp_path, monkeypatch, counted):
    write, left = maps.write_bytes_atomic, [7]

    def interrupted(path, content):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(maps, "write_bytes_atomic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, folder)
    monkeypatch.setattr(maps, "write_bytes_atomic", write)
    # A label and a region map an image: three images are done, the fourth's label was being written.
    assert len(counted) == 3
    with pytest.raises(InputError, match="only half prepared"):
        sources.open_images("cityscapes", tmp_path, "train")
    prepare(tmp_path, folder)
    assert len(counted) == 5
    assert not (tmp_path / PARTS).exists()
    assert sources.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}


def test_other_settings_and_changed_files_are_made_anew(folder, tmp_path, counted):
    maker = maps.MapMaker(tmp_path, RegionSettings(), None, "1.1.0")
    path = next(folder.glob("leftImg8bit/val/*/*.png"))
    item = Item("x", path, None, image_digest=digest(path.read_bytes()))
    maker.make(item)
    maker.make(item)
    assert len(counted) == 1
    maps.MapMaker(tmp_path, RegionSettings(num_segments=8), None, "1.1.0").make(item)
    assert len(counted) == 2
    assert maker.read(item)["label"] == b""
    shutil.copy(next(folder.glob("leftImg8bit/train/*/*.png")), path)
    maker.make(Item("x", path, None, image_digest=digest(path.read_bytes())))
    assert len(counted) == 3


def test_the_work_can_be_sent_to_processes(folder, tmp_path):
    content = check(cityscapes.find(folder), jobs=1, bar=lambda *_: nullcontext(lambda: None))
    maker = maps.MapMaker(tmp_path / "parts", RegionSettings(), content.read_label, "1.1.0")
    sent = pickle.loads(pickle.dumps((maker.make, functools.partial(inspect, read_label=content.read_label))))
    make, inspect_item = sent
    for item in content.items:
        make(item)
        assert not inspect_item(item).problems
        assert all(maker.read(item).values())


def test_a_killed_preparation_goes_on(tmp_path, write_files, counted):
    rng = np.random.default_rng(0)
    for index in range(24):
        write_files.image(tmp_path / f"own/images/{index:02d}.png", write_files.photograph(rng, 96, 128))
    program = (
        "from adeada_jax.data import sources\n"
        f"sources.prepare('folder', {str(tmp_path)!r}, source_dir={str(tmp_path / 'own')!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    parts, deadline = tmp_path / "folder/parts_1.1.0", time.monotonic() + 60
    while len(list(parts.glob("*_regions.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(list(parts.glob("*_regions.png")))
    assert 3 <= done < 24
    sources.prepare("folder", tmp_path, source_dir=tmp_path / "own", progress=False, jobs=1)
    assert 0 < len(counted) <= 24 - done
    source = sources.open_images("folder", tmp_path, "train")
    assert all(np.array_equal(source[i]["regions"], slic_regions(source[i]["image"])) for i in (0, 12, 23))


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

    monkeypatch.setattr(maps, "write_bytes_atomic", full)
    with pytest.raises(InputError, match="data' cannot be written: No space left on device"):
        prepare(tmp_path / "data", folder)


def test_records_that_cannot_be_written_are_named(folder, tmp_path):
    """A limit on the size of files stands for the full disk, since array_record reports both alike."""
    program = (
        "import resource\n"
        "from adeada_jax.data import sources\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        f"sources.prepare('cityscapes', {str(tmp_path)!r}, source_dir={str(folder)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "InputError: records cannot be written: File too large; writing" in done.stderr
    prepare(tmp_path, folder)
    assert sources.split_sizes("cityscapes", tmp_path) == {"train": 3, "val": 2}


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

    monkeypatch.setattr(maps, "ordered_map", killed)
    with pytest.raises(InputError, match="worker process was killed, perhaps for memory; try fewer --jobs"):
        prepare(tmp_path, folder)


def test_shards_keep_the_order(folder, tmp_path, monkeypatch, capsys):
    prepare(tmp_path / "one", folder)
    monkeypatch.setattr(from_files, "_SHARD_BYTES", 15_000)
    prepare(tmp_path / "many", folder)
    assert len(list((tmp_path / "many/cityscapes/1.1.0").glob("*train.array_record*"))) > 1
    one, many = (sources.open_labelled("cityscapes", tmp_path / d, "train") for d in ("one", "many"))
    assert one.names == many.names
    for index in range(len(one)):
        assert all(np.array_equal(one[index][k], many[index][k]) for k in ("image", "label", "regions"))


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
    monkeypatch.setattr(maps, "ordered_map", lambda f, items, **k: seen.append(len(counted)) or map(f, items))
    prepare(tmp_path / "data", folder, beam_options=["--runner=DirectRunner"])
    assert fake.options == ["--runner=DirectRunner"]
    # All was made when the processes' turn came, which then found nothing to do.
    assert seen == [5]
    assert len(counted) == 5
    assert sources.split_sizes("cityscapes", tmp_path / "data") == {"train": 3, "val": 2}


def test_without_beam_the_extra_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"Beam is not installed; pip install 'adeada_jax\[beam\]'"):
        prepare(tmp_path, folder, beam_options=[])
