"""The configurations of the paper's experiments and of own folders, from files on disk to the report."""

import json
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.data import preparing, sources
from adeada_jax.errors import InputError
from adeada_jax.run import dry_run
from adeada_jax.run import main as rounds
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.workdir import Workdir
from tests import small_network
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[2]
SMALL = {
    "model.name": "deeplabv2", "model.backbone": "resnet18_half", "data.height": 32, "data.width": 64,
    "data.batch_size": 2, "warmup.steps": 2, "finetune.steps": 2, "acquisition.rounds": 2,
    "acquisition.budget": 0.15, "inference.batch_size": 2, "model.pretrained": "",
}  # fmt: skip
CLASSES = """
classes:
  - {name: meadow, color: [0, 200, 0]}
  - {name: lake, color: [0, 0, 200]}
  - {name: rock, color: [120, 120, 120]}
"""


@pytest.fixture(scope="module")
def streets(miniatures, tmp_path_factory):
    """GTA5, SYNTHIA and Cityscapes in miniature, prepared."""
    raw, data_dir = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")
    miniatures.gta5(raw / "gta5", sizes=((64, 128),) * 3)
    miniatures.synthia(raw / "synthia")
    miniatures.cityscapes(raw / "cityscapes")
    for name in ("gta5", "synthia", "cityscapes"):
        preparing.prepare(name, data_dir, source_dir=str(raw / name), progress=False)
    return data_dir


@pytest.fixture(scope="module")
def folders(write_files, tmp_path_factory):
    """Two domains of one's own with classes of one's own, prepared from PNGs and JPEGs."""
    raw, data_dir = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for domain, splits in (("source", {"train": 3}), ("target", {"train": 3, "val": 2})):
        (raw / domain).mkdir()
        (raw / domain / "classes.yaml").write_text(CLASSES)
        for split, count in splits.items():
            for i in range(count):
                images, labels = (raw / domain / kind / split for kind in ("images", "labels"))
                label = write_files.blocks(rng, range(3), 48, 64).astype(np.uint8)
                write_files.image(
                    images / f"{i}.{'jpg' if i else 'png'}", write_files.photograph(rng, 48, 64)
                )
                write_files.image(labels / f"{i}.png", label)
        preparing.prepare("folder", data_dir / domain, source_dir=str(raw / domain), progress=False)
    return data_dir


def small_config(name, **changes):
    config = runpy.run_path(str(ROOT / f"configs/{name}.py"))["get_config"]()
    config.update_from_flattened_dict({**SMALL, **changes})
    return config


def run(name, workdir, **changes):
    """Runs a configuration in this process."""
    rounds.main(small_config(name, **changes), str(workdir))


def sizes(directory, pattern="**/*"):
    """Bytes of the files by path."""
    return {path: path.stat().st_size for path in directory.glob(pattern) if path.is_file()}


def summary_of(workdir):
    """summary.json's rounds, once everything is there that a run of two rounds leaves."""
    assert "<svg" in (workdir / "report.html").read_text()
    entries = json.loads((workdir / "summary.json").read_text())["rounds"]
    assert [entry["round"] for entry in entries] == [0, 1, 2]
    bought = [entry["labelled_pixels"] for entry in entries]
    assert 0 == bought[0] < bought[1] < bought[2] <= 0.3 * entries[0]["target_pixels"]
    for entry in entries:
        present = [value for value in entry["iou"].values() if value is not None]
        assert entry["miou"] == pytest.approx(sum(present) / len(present))
    return entries


@pytest.mark.slow
def test_gta_runs_from_files_to_the_report(streets, tmp_path):
    changes = {**SMALL, "source.dir": streets, "target.dir": streets}
    del changes["model.name"]
    flags = [f"--config.{key}={value}" for key, value in changes.items()]
    command = [*PYTHON, "scripts/main.py", "--config=configs/gta.py:deeplabv2"]
    done = subprocess.run(
        [*command, f"--workdir={tmp_path}", *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    entries = summary_of(tmp_path)
    assert all(len(entry["iou"]) == 19 and "miou_13" not in entry for entry in entries)
    assert "gta5: 2 images" in done.stdout  # The third differs in size from its label.
    assert "cityscapes: 3 images to buy labels of" in done.stdout
    check_plan_of_finished(tmp_path, streets)


def check_plan_of_finished(workdir, streets):
    """What --dry_run says would be written is what was written, and it writes nothing itself."""
    before = sizes(workdir)
    plan = dry_run.main(
        small_config("gta", **{f"{d}.dir": str(streets) for d in ("source", "target")}), str(workdir)
    )
    assert sizes(workdir) == before
    planned = {file.path: file.bytes for file in plan.files}
    for path in ("rounds/*/checkpoint/", "rounds/*/discriminator/", "rounds/*/regions_source.safetensors"):
        written = sum(sizes(workdir, f"{path}**/*" if path.endswith("/") else path).values())
        assert planned[path] == pytest.approx(written, rel=0.1), path
    assert plan.splits["target pool"].regions == len(load_regions(Workdir(workdir).pool).region)


@pytest.mark.slow
def test_synthia_runs_too_and_is_scored_over_16_and_13_classes(streets, tmp_path, capsys):
    directories = {f"{domain}.dir": str(streets) for domain in ("source", "target")}
    run("synthia", tmp_path, **directories, **small_network.NAMES)
    for entry in summary_of(tmp_path):
        assert len(entry["iou"]) == 16
        assert not {"terrain", "truck", "train"} & entry["iou"].keys()
        thirteen = [
            iou
            for name, iou in entry["iou"].items()
            if name not in ("wall", "fence", "pole") and iou is not None
        ]
        assert entry["miou_13"] == pytest.approx(sum(thirteen) / len(thirteen))
    assert "mIoU*" in capsys.readouterr().out
    assert "mIoU*" in (tmp_path / "report.html").read_text()
    density = json.loads((tmp_path / "rounds/01/density.json").read_text())
    assert density["terrain"]["status"] == "not in both domains"
    assert density["terrain"]["budget"] == 0


@pytest.mark.slow
def test_own_folders_with_own_classes_run_too(folders, tmp_path):
    # Warm-up and fine-tuning share a program, so that it is compiled once; no mixtures are fitted.
    changes = {"warmup.method": "source_only", "warmup.learning_rate_steps": 0,
               "training.target_statistics_steps": 0, "acquisition.strategy": "entropy"}  # fmt: skip
    dirs = {f"{domain}.dir": str(folders / domain) for domain in ("source", "target")}
    run("folder", tmp_path, **changes, **dirs, **small_network.NAMES)
    entries = summary_of(tmp_path)
    assert all(set(entry["iou"]) == {"meadow", "lake", "rock"} for entry in entries)


def test_what_own_folders_may_lack_is_said_before_the_work(folders, write_files, tmp_path):
    # A target whose training images have no labels, and one whose classes have other names.
    rng = np.random.default_rng(1)
    for name, classes in (("unlabelled", CLASSES), ("renamed", CLASSES.replace("meadow", "rocks"))):
        root = tmp_path / name
        for split in ("train", "val"):
            write_files.image(root / "images" / split / "0.png", write_files.photograph(rng, 48, 64))
            if split == "val" or name == "renamed":
                label = write_files.blocks(rng, range(3), 48, 64).astype(np.uint8)
                write_files.image(root / "labels" / split / "0.png", label)
        (root / "classes.yaml").write_text(classes)
        preparing.prepare("folder", tmp_path / "data" / name, source_dir=str(root), progress=False)
    messages = {
        "unlabelled": "without labels, so there are none to buy",
        "renamed": "the target lacks classes of the source: meadow; the source's are .* target's rocks, ",
    }
    for name, words in messages.items():
        dirs = {"source.dir": str(folders / "source"), "target.dir": str(tmp_path / "data" / name)}
        with pytest.raises(InputError, match=words):
            dry_run.main(small_config("folder", **dirs), str(tmp_path / "run"))


@pytest.mark.parametrize(("domain", "split"), [("source", "train"), ("target", "val")])
def test_data_of_which_every_pixel_is_ignored_are_refused_before_the_work(
    folders, tmp_path, monkeypatch, domain, split
):
    dirs = {f"{name}.dir": str(folders / name) for name in ("source", "target")}
    decode = sources.LabelledSource._decode_label

    def ignored(self, *arguments):
        label = decode(self, *arguments)
        here = (self.data_dir, self.split) == (dirs[f"{domain}.dir"], split)
        return np.full_like(label, 255) if here else label

    monkeypatch.setattr(sources.LabelledSource, "_decode_label", ignored)
    with pytest.raises(InputError, match=rf"{domain}': no pixel of split '{split}' has a"):
        dry_run.main(small_config("folder", **dirs), str(tmp_path / "run"))
