"""Region maps beside the records: made once, side by side, never of other images or masks."""

import pickle
import shutil
import signal
import subprocess
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.partitions import partition as partitions
from adeada_jax.partitions import store
from adeada_jax.partitions.slic import slic_regions
from adeada_jax.partitions.store import DividedImages
from tests.warm_start import PYTHON

SLIC = {"kind": "slic", "num_segments": 6, "compactness": 10.0, "masks": ""}
GRID = {**SLIC, "kind": "grid"}


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


@pytest.fixture
def own(tmp_path):
    """A folder of three images without labels, prepared in data/."""
    for seed, name in enumerate("abc"):
        image = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
        write(tmp_path / f"own/images/{name}.png", image)
    prepare(tmp_path)
    return tmp_path / "own"


def prepare(root, **options):
    preparing.prepare("folder", root / "data", source_dir=root / "own", progress=False, **options)


def images_in(root):
    return sources.open_images("folder", root / "data", "train")


@pytest.fixture
def divided_by(tmp_path, own):
    """The images divided by some options; made, too."""

    def divide(make=True, **options):
        divided = DividedImages(images_in(tmp_path), {**SLIC, **options})
        if make:
            divided.make()
        return divided

    return divide


@pytest.fixture
def counted(monkeypatch):
    """The images that are divided in this process."""
    calls, divide = [], store._divide
    monkeypatch.setattr(store, "_divide", lambda p, e, k: calls.append(e["name"]) or divide(p, e, k))
    return calls


def test_examples_have_the_regions_of_the_stored_image(divided_by):
    divided = divided_by()
    for i in range(3):
        example = divided[i]
        assert set(example) == {"name", "image", "regions"}
        expected = slic_regions(example["image"], num_segments=6)
        np.testing.assert_array_equal(example["regions"], expected)
        np.testing.assert_array_equal(divided.regions(i), expected)
        assert divided.divide(i)["regions"].dtype == example["regions"].dtype == np.int32
    twin = pickle.loads(pickle.dumps(divided))
    np.testing.assert_array_equal(twin[1]["regions"], divided[1]["regions"])


def test_partitions_lie_side_by_side_and_are_made_once(divided_by, counted):
    kinds = [{}, {"kind": "grid"}, {"num_segments": 4}, {"compactness": 1.0}]
    made = [divided_by(**options) for options in kinds]
    assert len({divided.directory for divided in made}) == 4
    assert len({divided.directory.parent for divided in made}) == 1
    assert len(counted) == 12
    for options, before in zip(kinds, made, strict=True):
        again = divided_by(make=False, **options)
        assert again.complete
        again.make()
        assert again.fingerprint() == before.fingerprint()
    assert len(counted) == 12
    assert divided_by(kind="grid", compactness=3.0).directory == made[1].directory  # of no concern to a grid


def test_an_update_keeps_the_maps_of_images_that_stay_the_same(own, tmp_path, divided_by, counted):
    before = divided_by()
    old = before.regions(1)
    write(own / "images/b.png", np.random.default_rng(9).integers(0, 256, (24, 40, 3), dtype=np.uint8))
    shutil.copy(own / "images/a.png", own / "images/d.png")
    prepare(tmp_path, update=True)
    after = DividedImages(images_in(tmp_path), SLIC)
    assert not after.complete
    with pytest.raises(InputError, match=r"'folder' in .* is not divided into regions yet"):
        after[1]
    counted.clear()
    after.make()
    assert counted == ["b", "d"]
    np.testing.assert_array_equal(after.regions(0), before.regions(0))
    np.testing.assert_array_equal(after.regions(3), before.regions(0))
    assert not np.array_equal(after.regions(1), old)


def test_a_map_that_is_gone_or_altered_is_named(divided_by):
    divided = divided_by()
    first, second, _ = divided._paths
    first.unlink()
    shutil.copy(divided._paths[2], second)
    for i in range(2):
        with pytest.raises(
            InputError, match=r"region map .* of image '[ab]' is gone or was altered; delete '"
        ):
            divided.regions(i)
    shutil.rmtree(divided.directory)
    again = divided_by()
    assert again.regions(0).max() == 5


def test_a_making_that_was_killed_goes_on(own, tmp_path, divided_by, counted):
    program = (
        "import time\n"
        "from adeada_jax.data import sources\n"
        "from adeada_jax.partitions import store\n"
        "divide = store._divide\n"
        "store._divide = lambda *a: time.sleep(0.3) or divide(*a)\n"
        f"images = sources.open_images('folder', {str(tmp_path / 'data')!r}, 'train')\n"
        f"store.DividedImages(images, {SLIC!r}).make()\n"
    )
    process = subprocess.Popen([*PYTHON, "-c", program], stdout=subprocess.DEVNULL)
    divided = divided_by(make=False)
    deadline = time.monotonic() + 60
    while not divided._paths[0].exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert divided._paths[0].exists()
    assert not divided.complete
    divided.make()
    assert 1 <= len(counted) <= 2
    np.testing.assert_array_equal(divided[0]["regions"], slic_regions(divided[0]["image"], num_segments=6))


def test_processes_make_the_same_maps(tmp_path, monkeypatch):
    for i in range(34):
        image = np.random.default_rng(i).integers(0, 256, (24, 40, 3), dtype=np.uint8)
        write(tmp_path / f"own/images/{i:02d}.png", image)
    prepare(tmp_path)
    alone, many = (DividedImages(images_in(tmp_path), {**GRID, "num_segments": n}) for n in (5, 5))
    monkeypatch.setattr(many, "directory", tmp_path / "elsewhere")
    monkeypatch.setattr(many, "index", tmp_path / "elsewhere/index.json")
    monkeypatch.setattr(many, "_paths", [tmp_path / "elsewhere" / path.name for path in alone._paths])
    alone.make(jobs=1)
    many.make(jobs=2)
    assert alone.fingerprint() == many.fingerprint()


def test_beam_makes_the_maps(divided_by, monkeypatch, counted):
    def on_beam(function, items, options):
        assert options == ["--runner=X"]
        for item in items:
            pickle.loads(pickle.dumps(function))(item)

    monkeypatch.setattr(store, "on_beam", on_beam)
    divided = divided_by(make=False)
    divided.make(beam_options=["--runner=X"])
    assert counted == ["a", "b", "c"]
    assert divided.regions(1).shape == (24, 40)


def test_complete_maps_are_read_where_nothing_can_be_written(divided_by, monkeypatch):
    divided_by()
    monkeypatch.setattr(store, "locked", None)  # what writes
    again = divided_by()
    assert again.regions(2).shape == (24, 40)


def test_too_small_a_disk_is_refused_before_the_work(divided_by, monkeypatch, counted):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage(100))
    with pytest.raises(InputError, match="data' has 0 MB free, but region maps need about 0 MB there; free"):
        divided_by()
    assert not counted


@pytest.mark.parametrize(
    "regions",
    [np.zeros((24, 39), int), np.zeros((24, 40)), np.full((24, 40), -1), np.full((24, 40), 2**16)],
    ids=["of another size", "no whole numbers", "negative", "too many"],
)
def test_what_is_no_map_is_refused_by_image(divided_by, monkeypatch, regions):
    class Wrong:
        def __init__(self, options):
            self.settings = {"options": str(regions.shape) + str(regions.dtype) + str(regions.max())}

        def divide(self, image, name):
            return regions

    monkeypatch.setitem(partitions.KINDS, "wrong", Wrong)
    with pytest.raises(
        InputError, match=r"'wrong' does not divide image 'a' into 24x40 whole ids from 0 to 65"
    ):
        divided_by(kind="wrong")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("felzenszwalb", "config.regions.kind: unknown 'felzenszwalb'; known: slic, grid, masks"),
        ("no.module:Own", "'no.module:Own' cannot be imported"),
        ("builtins:dict", "'builtins:dict' gives no partition; one has a method `divide"),
    ],
)
def test_what_is_no_partition_is_refused(divided_by, kind, words):
    with pytest.raises(InputError, match=words):
        divided_by(make=False, kind=kind)


class TestMasks:
    """Masks that were made elsewhere."""

    @pytest.fixture
    def masks(self, tmp_path):
        """A folder of masks: 8 and 16 bits and RGB."""
        ids = np.zeros((24, 40), np.uint16)
        ids[:, 10:20], ids[:12, 20:] = 300, 7
        self.ids = ids
        folder = tmp_path / "masks"
        write(folder / "a.png", (ids // 7).astype(np.uint8))
        write(folder / "b.png", ids)
        rgb = np.stack([ids % 256, ids // 256, np.full_like(ids, 200)], axis=-1).astype(np.uint8)
        write(folder / "c.png", rgb)
        return str(folder)

    def test_ids_are_regions_and_the_rest_is_one(self, divided_by, masks):
        divided = divided_by(kind="masks", masks=masks)
        expected = np.unique(self.ids, return_inverse=True)[1].reshape(24, 40)
        assert expected.max() == 2
        for i in range(3):
            np.testing.assert_array_equal(divided.regions(i), expected)

    def test_indices_of_a_palette_are_ids_whatever_their_colours(self, divided_by, masks):
        image = Image.fromarray((self.ids // 7).astype(np.uint8))
        image.putpalette([9, 9, 9] * 256)
        assert image.mode == "P"
        image.save(Path(masks) / "b.png")
        divided = divided_by(kind="masks", masks=masks)
        np.testing.assert_array_equal(divided.regions(1), divided.regions(0))

    def test_a_changed_mask_is_made_anew_and_noticed(self, divided_by, masks, counted):
        before = divided_by(kind="masks", masks=masks)
        counted.clear()
        write(Path(masks) / "b.png", np.eye(24, 40, dtype=np.uint8))
        after = divided_by(make=False, kind="masks", masks=masks)
        assert not after.complete
        assert after.fingerprint()["marks"]["b"] != before.fingerprint()["marks"]["b"]
        after.make()
        assert counted == ["b"]
        assert after.regions(1).sum() == 24
        np.testing.assert_array_equal(after.regions(0), before.regions(0))

    def test_a_mask_that_changes_meanwhile_is_not_used(self, divided_by, masks):
        divided = divided_by(make=False, kind="masks", masks=masks)
        write(Path(masks) / "b.png", np.eye(24, 40, dtype=np.uint8))
        with pytest.raises(InputError, match="mask of image 'b' changed while it was read; start again"):
            divided.make()

    def test_missing_masks_are_named_at_once(self, divided_by, masks):
        (Path(masks) / "c.png").unlink()
        with pytest.raises(InputError, match=r"config.regions.masks: image 'c' has no mask '.*masks/c.png'"):
            divided_by(make=False, kind="masks", masks=masks)

    @pytest.mark.parametrize(
        ("mask", "words"),
        [
            (np.zeros((40, 24), np.uint8), "is 40x24, but image 'b' is 24x40; export it at that size"),
            (np.zeros((24, 40, 4), np.uint8), "holds 8-bit RGBA; ids are one channel, the indices"),
        ],
    )
    def test_what_is_no_mask_is_named(self, divided_by, masks, mask, words):
        write(Path(masks) / "b.png", mask)
        with pytest.raises(InputError, match=rf"mask '.*masks/b.png' {words}"):
            divided_by(kind="masks", masks=masks)

    def test_jpegs_are_refused(self, divided_by, masks):
        Image.fromarray(np.zeros((24, 40), np.uint8)).save(Path(masks) / "b.png", format="JPEG")
        with pytest.raises(InputError, match="cannot be decoded as PNG"):
            divided_by(kind="masks", masks=masks)
