"""benchmarks/photographs.py: class ids out of JPEG colours; folders out of tiny repositories."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adeada_jax.bench.photos import photo_pair
from adeada_jax.bench.photos.painted_labels import decode
from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.labels import CLASS_NAMES, PALETTE

ROOT = Path(__file__).parents[2]
git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
# What IDD-lite's classes make of Cityscapes' 19, by name.
LITE = {
    "drivable": "road",
    "non-drivable": "sidewalk terrain",
    "living thing": "person rider",
    "vehicle": "car truck bus train motorcycle bicycle",
    "roadside object": "wall fence pole light sign",
    "far object": "building vegetation",
    "sky": "sky",
}


def jpeg(array, quality=80):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def street(seed=0):
    """`(256, 256)` ids of Cityscapes' classes: a grid of blocks of any of them, a pole, and 255 below."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.arange(64) % 19).reshape(8, 8).repeat(32, axis=0).repeat(32, axis=1)
    ids[20:200, 100:103] = CLASS_NAMES.index("pole")
    ids[240:] = 255
    return ids


def painted(ids):
    """The labels as they are published, in colours."""
    colors = np.zeros((*ids.shape, 3), np.uint8)
    colors[ids < 19] = PALETTE[ids[ids < 19]]
    return colors


def as_lite(ids):
    """The same in IDD-lite's classes."""
    table = np.full(256, 255, np.uint8)
    for lite, names in enumerate(LITE.values()):
        for i, name in enumerate(CLASS_NAMES):
            if set(name.split()) & set(names.split()):
                table[i] = lite
    return table[ids]


@pytest.mark.parametrize("quality", [75, 95])
def test_labels_come_out_of_jpeg_as_they_went_in_but_for_borders(quality):
    ids = street()
    with Image.open(io.BytesIO(jpeg(painted(ids), quality))) as file:
        found = decode(np.asarray(file))
    truth = as_lite(ids)
    known = found != 255
    assert (found[known] == truth[known]).mean() > 0.985
    assert known[:236].mean() > 0.85
    assert not known[244:].any()
    # Three pixels from what is of another class nothing is wrong and nothing left open.
    inner = np.ones_like(known)
    for axis in (0, 1):
        for shift in range(-3, 4):
            inner &= np.roll(ids, shift, axis) == ids
    inner[:, :3] = inner[:, -3:] = inner[:3] = inner[-3:] = False
    assert inner.mean() > 0.4
    np.testing.assert_array_equal(found[inner], truth[inner])
    assert (found[30:60, 101] == truth[30:60, 101]).mean() > 0.8  # the pole


def test_a_blurred_border_makes_no_third_class():
    """Half way from road to sky lies the colour of a wall."""
    road, sky, wall = (PALETTE[CLASS_NAMES.index(name)].astype(int) for name in ("road", "sky", "wall"))
    assert np.linalg.norm((road + sky) / 2 - wall) < 10
    colors = np.empty((40, 40, 3), np.uint8)
    colors[:, :20], colors[:, 20], colors[:, 21:] = road, (road + sky) // 2, sky
    found = decode(colors)
    assert [np.unique(part).tolist() for part in (found[:, :20], found[:, 20], found[:, 21:])] == [
        [0],
        [255],
        [6],
    ]
    assert (decode(np.full((9, 9, 3), 233, np.uint8)) == 255).all()


def commit(folder, files):
    """A repository of one commit."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", folder, *words], check=True)
    return folder


def target_files():
    """Five images to buy labels of in two drives, two to evaluate, as IDD-lite names them."""
    rng, files = np.random.default_rng(1), {}
    frames = [
        ("train/0", "001"),
        ("train/0", "frame7"),
        *[("train/12", f"{i:06d}") for i in range(3)],
        ("val/3", "001"),
        ("val/3", "002"),
    ]
    for place, frame in frames:
        ids = rng.integers(0, 7, (6, 8), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        ids[:4] = 255
        image = jpeg(rng.integers(0, 256, (*ids.shape, 3), np.uint8))
        files[f"idd20k_lite/leftImg8bit/{place}/{frame}_image.jpg"] = image
        files[f"idd20k_lite/gtFine/{place}/{frame}_label.png"] = png(ids)
        files[f"idd20k_lite/gtFine/{place}/{frame}_inst_label.png"] = b"not looked at"
    return files


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """The two public layouts in small."""
    root, rng = tmp_path_factory.mktemp("repositories"), np.random.default_rng(0)
    photograph = rng.integers(0, 256, (256, 256, 3), np.uint8)
    files = {
        f"cityscapes/{split}/{number}.jpg": jpeg(np.concatenate([photograph, painted(street(number))], 1))
        for split, number in [*[("train", n) for n in (1, 2, 3, 10)], ("val", 1)]
    }
    commit(root / "cityscapes", {**files, "README.md": b"x"})
    commit(root / "idd", target_files())
    return root


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@git
def test_the_script_lays_out_what_can_be_prepared_and_the_same_each_time(repositories, tmp_path):
    def script(output, *more):
        given = (f"--output={output}", f"--cityscapes={repositories / 'cityscapes'}", *more)
        command = [sys.executable, ROOT / "benchmarks/photographs.py", f"--idd={repositories / 'idd/.git'}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*command, *given], capture_output=True, text=True, cwd=tmp_path, env=environment
        )

    done = script("out", "--every=3", "--target_every=2")
    assert done.returncode == 0, done.stderr
    assert "out/source: 2 images" in done.stdout
    assert "out/target: train 3 images, val 2 images" in done.stdout
    names = {"source": "images/train/*.jpg", "target": "images/*/*.jpg"}
    found = {kind: sorted(p.stem for p in (tmp_path / "out" / kind).glob(at)) for kind, at in names.items()}
    assert found == {
        "source": ["cityscapes_0001", "cityscapes_0010"],  # by number, not as words
        "target": ["idd_0_001", "idd_12_000000", "idd_12_000002", "idd_3_001", "idd_3_002"],
    }
    again = script("out", "--every=3")
    assert (again.returncode, "out/source' is there already" in again.stderr) == (2, True)
    assert "error: " in script("other", "--every=0").stderr

    counts = [
        photo_pair.lay_out_source(repositories / "cityscapes", tmp_path / "twin/source", 3),
        photo_pair.lay_out_target(repositories / "idd", tmp_path / "twin/target", 2),
    ]
    assert counts == [2, {"train": 3, "val": 2}]
    assert content(tmp_path / "twin") == content(tmp_path / "out")
    assert (
        content(tmp_path / "out/target")["images/train/idd_0_001.jpg"]
        == target_files()["idd20k_lite/leftImg8bit/train/0/001_image.jpg"]
    )

    for kind in ("source", "target"):
        data = str(tmp_path / "data" / kind)
        preparing.prepare("folder", data, source_dir=str(tmp_path / "out" / kind), progress=False)
        split = sources.open_labelled("folder", data, "train")
        assert tuple(split.class_names) == tuple(LITE)
        example = split[0]
        assert example["image"].shape[:2] == ((182, 256) if kind == "source" else (48, 64))
    street_cut = as_lite(street(1))[:, 38:-38]  # the middle 180 of 256 columns
    source = sources.open_labelled("folder", str(tmp_path / "data/source"), "train")[0]["label"]
    rows, columns = np.arange(182) * 256 // 182, np.arange(256) * 180 // 256
    expected = street_cut[rows][:, columns]
    known = source != 255
    assert (source[known] == expected[known]).mean() > 0.95


@git
@pytest.mark.parametrize(
    ("label", "words"),
    [
        (None, "001_image.jpg', but no 'idd20k_lite/gtFine/train/0/001_label.png'; clone it whole"),
        (np.full((48, 64), 7, np.uint8), "001_label.png' holds 7; the classes are 0 to 6, and 255"),
        (np.zeros((4, 64), np.uint8), "001_label.png' .* is no label of "),
    ],
)
def test_another_content_of_the_target_is_refused_by_name(label, words, tmp_path):
    files = target_files()
    files.pop("idd20k_lite/gtFine/train/0/001_label.png")
    if label is not None:
        files["idd20k_lite/gtFine/train/0/001_label.png"] = png(label)
    commit(tmp_path / "idd", files)
    with pytest.raises(InputError, match=words):
        photo_pair.lay_out_target(tmp_path / "idd", tmp_path / "out/target", 1)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@git
def test_other_repositories_are_refused_by_name(repositories, tmp_path):
    for folder, words in (
        (tmp_path / "absent", "--cityscapes: '.*absent' is no clone or git directory with a commit"),
        (repositories / "idd", "idd' holds no 'cityscapes/train/NUMBER.jpg'; see docs/photographs_study.md"),
    ):
        with pytest.raises(InputError, match=words):
            photo_pair.lay_out_source(folder, tmp_path / "source", 1)
    with pytest.raises(InputError, match=r"--idd: .* holds no 'idd20k_lite/leftImg8bit/train'"):
        photo_pair.lay_out_target(repositories / "cityscapes", tmp_path / "target", 1)
    wrong = commit(tmp_path / "wrong", {"cityscapes/train/1.jpg": jpeg(np.zeros((256, 256, 3), np.uint8))})
    with pytest.raises(InputError, match=r"'cityscapes/train/1\.jpg' has 256x256 pixels, not 512x256"):
        photo_pair.lay_out_source(wrong, tmp_path / "source", 1)
    hollow = shutil.copytree(repositories / "idd/.git", tmp_path / "hollow")
    blob = subprocess.run(
        ["git", "-C", hollow, "rev-parse", "HEAD:idd20k_lite/gtFine/val/3/001_label.png"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (hollow / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(InputError, match=r"lacks the content of '.*/3/001_label\.png'; clone it whole"):
        photo_pair.lay_out_target(hollow, tmp_path / "target", 1)
    assert not (tmp_path / "target").exists()
