"""The whole of Algorithm 1 on tiny streets: what it leaves, its budgets, and that it survives kills."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from adeada_jax.annotators.asking import Answer
from adeada_jax.annotators.ground_truth import GroundTruth
from adeada_jax.data import sources
from adeada_jax.data.images import read_png
from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import main as rounds
from adeada_jax.run.region_file import save_regions
from adeada_jax.run.workdir import Workdir
from tests import small_network
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[1]
TINY = {
    **small_network.NAMES, "data.height": 32, "data.width": 64, "data.batch_size": 2, "warmup.steps": 5,
    "finetune.steps": 4, "acquisition.rounds": 2, "acquisition.budget": 0.1, "training.checkpoint_every": 2,
    "training.log_every": 1, "training.target_statistics_steps": 2, "inference.batch_size": 4,
}  # fmt: skip
# Warm-up and fine-tuning alike, so that one program serves both.
ONE_PROGRAM = {"warmup__method": "source_only", "warmup__steps": 4, "warmup__learning_rate_steps": 0}


def tiny_config(toy_dir, experiment="active", **changes):
    code = compile((ROOT / "configs/toy.py").read_text(), "toy.py", "exec")
    scope = {}
    exec(code, scope)
    config = scope["get_config"](experiment)
    config.source.dir = config.target.dir = str(toy_dir)
    config.update_from_flattened_dict({**TINY, **{key.replace("__", "."): v for key, v in changes.items()}})
    return config


def command(toy_dir, workdir, python=PYTHON, **changes):
    overrides = {**TINY, "source.dir": toy_dir, "target.dir": toy_dir, **changes}
    flags = [f"--config.{key}={value}" for key, value in overrides.items()]
    return [*python, "scripts/main.py", "--config=configs/toy.py", f"--workdir={workdir}", *flags]


@pytest.fixture(scope="module")
def finished(toy_dir, tmp_path_factory):
    """An uninterrupted run from the command line."""
    workdir = tmp_path_factory.mktemp("run") / "whole"
    begin = command(toy_dir, workdir, python=(sys.executable,))
    done = subprocess.run(begin, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    return workdir, done.stdout


def read_selection(workdir, number):
    with open(workdir / f"rounds/{number:02d}/selection.csv") as file:
        return list(csv.DictReader(file))


def test_every_promised_file_is_there_and_consistent(finished, toy_dir):
    workdir, output = finished
    summary = json.loads((workdir / "summary.json").read_text())["rounds"]
    assert [entry["round"] for entry in summary] == [0, 1, 2]
    pixels = 6 * 64 * 128
    spent = known = 0
    for number, entry in enumerate(summary):
        assert (workdir / f"rounds/{number:02d}/checkpoint/_CHECKPOINT_METADATA").exists()
        if number:
            bought = sum(int(row["pixels"]) for row in read_selection(workdir, number))
            assert 0.05 * pixels < bought <= 0.1 * pixels
            spent += bought
        assert (entry["labelled_pixels"], entry["target_pixels"]) == (spent, pixels)
        known += sum((read_png(path) != 255).sum() for path in workdir.glob(f"rounds/{number:02d}/labels/*"))
        assert entry["known_pixels"] == known <= spent
        assert entry["labelled_fraction"] == pytest.approx(spent / pixels)
        present = [value for value in entry["iou"].values() if value is not None]
        assert entry["miou"] == pytest.approx(sum(present) / len(present))
        assert len(entry["iou"]) == 19
    rows = read_selection(workdir, 1) + read_selection(workdir, 2)
    assert len({(row["image"], row["region"]) for row in rows}) == len(rows)
    assert {row["method"] for row in rows} <= {"density", "entropy"}
    density = json.loads((workdir / "rounds/01/density.json").read_text())
    assert set(density["road"]) >= {"regions", "components", "iterations", "log_likelihood", "kl", "budget"}
    assert json.loads((workdir / "data.json").read_text())["target"]["dir"] == str(toy_dir)
    config = json.loads((workdir / "config.json").read_text())
    assert config["acquisition"]["budget"] == 0.1
    assert list((workdir / "tensorboard").iterdir())
    assert "<svg" in (workdir / "report.html").read_text()
    stages = {json.loads(line)["stage"] for line in (workdir / "metrics.jsonl").read_text().splitlines()}
    assert stages >= {"warmup", "density", "selection", "labels", "finetune", "checkpoint", "evaluation"}
    assert 'id="time"' in (workdir / "report.html").read_text()
    assert "warm-up" in output
    assert "mIoU" in output


def test_bought_labels_are_the_ground_truth_and_nothing_else_is_stored(finished, toy_dir):
    workdir, _ = finished
    images = sources.open_labelled("toy/filmed", toy_dir, "train")
    truth = DividedImages(images, tiny_config(toy_dir).regions)
    rows = read_selection(workdir, 1)
    for path in (workdir / "rounds/01/labels").rglob("*.png"):
        example = truth[truth.names.index(path.stem)]
        regions = [int(row["region"]) for row in rows if row["image"] == path.stem]
        inside = sum(example["regions"] == region for region in regions).astype(bool)
        label = read_png(path)
        assert (label[inside] == example["label"][inside]).all()
        assert (label[~inside] == 255).all()


def test_the_notebook_shows_a_run(finished, toy_dir, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))  # the notebook sets it
    shutil.copytree(finished[0], "toy_run")
    cells = json.loads((ROOT / "docs/toy.ipynb").read_text(encoding="utf-8"))["cells"]
    scope = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)
        if "parameters" in cell["metadata"].get("tags", ()):
            scope["config"] = tiny_config(toy_dir)
    assert [entry["round"] for entry in scope["rounds"]] == [0, 1, 2]
    assert sum(map(len, scope["ways"].values())) == len(read_selection(finished[0], 2))
    assert set(scope["by_round"].values()) <= {1, 2}
    assert len(plt.get_fignums()) == 4
    plt.close("all")


@pytest.mark.slow
def test_killed_at_many_moments_it_ends_the_same(finished, toy_dir, tmp_path):
    whole, _ = finished
    workdir, kills = tmp_path / "killed", 0
    # Each is killed as soon as the file is there, or while it is being written, or soon after.
    for pattern in ("rounds/00/progress/*", "rounds/01/regions_target*", "rounds/01/progress/*",
                    "rounds/02/.*tmp", "rounds/02/labels/*"):  # fmt: skip
        process = subprocess.Popen(
            command(toy_dir, workdir),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while process.poll() is None and not list(workdir.glob(pattern)):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 4
    last = subprocess.run(command(toy_dir, workdir), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert last.returncode == 0, last.stderr[-2000:]
    for name in ("rounds/01/selection.csv", "rounds/02/selection.csv", "summary.json", "config.json"):
        assert (workdir / name).read_bytes() == (whole / name).read_bytes(), name
    assert events(workdir) == events(whole)


def events(workdir):
    """All events of training and evaluation without their times."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["stage"] in ("warmup", "finetune", "evaluation")]
    return [{k: v for k, v in line.items() if k != "time" and not k.endswith("seconds")} for line in kept]


def test_another_configuration_is_refused_by_key(finished, toy_dir):
    workdir, _ = finished
    with pytest.raises(InputError, match=r"differs in: acquisition\.alpha, seed\."):
        rounds.main(tiny_config(toy_dir, seed=5, acquisition__alpha=0.5), str(workdir))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target__dataset": "kitti"}, r"config\.target\.dataset: unknown 'kitti'; known: .*toy/filmed"),
        ({"model__name": "unet"}, "config.model.name: unknown 'unet'"),
        ({"acquisition__strategy": "guess"}, "unknown 'guess'; known: adeada"),
        ({"acquisition__strategy": "no.module:Own"}, "'no.module:Own' cannot be imported"),
        (
            {"acquisition__strategy": "aada", "warmup__method": "source_only"},
            "'aada' needs a discriminator, which config.warmup.method='source_only' does not train",
        ),
        ({"acquisition__budget": 0.0}, "config.acquisition.budget: 0.0"),
        ({"regions__kind": "sam"}, "config.regions.kind: unknown 'sam'; known: slic, grid, masks, or an imp"),
        ({"regions__kind": "masks"}, "config.regions.masks: '' must name the folder of masks"),
        ({"regions__kind": "masks", "regions__masks": "nowhere"}, "'nowhere' is no folder of masks"),
        ({"num_classes": 5}, "config.num_classes: 5, but the data have 19 classes: road, "),
        ({"warmup__checkpoint": "nowhere"}, "checkpoint '.*nowhere' does not exist"),
        ({"model__pretrained": "nowhere"}, "checkpoint '.*nowhere' does not exist"),
    ],
)
def test_what_cannot_work_is_said_before_the_work(toy_dir, tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        rounds.main(tiny_config(toy_dir, **changes), str(tmp_path))
    assert not (tmp_path / "config.json").exists()
    assert not (tmp_path / "rounds").exists()


def test_no_more_than_what_is_left_is_bought_and_the_reference_trains_on_all(toy_dir, tmp_path, capsys):
    changes = {"acquisition__strategy": "random", "acquisition__budget": 0.7, **ONE_PROGRAM}
    summary = rounds.main(tiny_config(toy_dir, **changes), str(tmp_path / "active"))
    assert [round(entry["labelled_fraction"], 1) for entry in summary["rounds"]] == [0.0, 0.7, 1.0]
    assert summary["rounds"][2]["labelled_fraction"] == 1.0
    assert "are left to buy" in capsys.readouterr().out
    reference = rounds.main(tiny_config(toy_dir, "target_only", **changes), str(tmp_path / "reference"))
    assert [entry["labelled_fraction"] for entry in reference["rounds"]] == [1.0]
    steps = [
        json.loads(line)["step"] for line in (tmp_path / "reference/metrics.jsonl").read_text().splitlines()
    ]
    assert max(steps) == 4 + 2 * 4


def test_the_references_train_as_long_as_a_whole_run_without_target_labels(toy_dir, tmp_path):
    for experiment in ("source_only", "adaptation_only"):
        summary = rounds.main(tiny_config(toy_dir, experiment), str(tmp_path / experiment))
        assert [entry["labelled_pixels"] for entry in summary["rounds"]] == [0]
        lines = (tmp_path / experiment / "metrics.jsonl").read_text().splitlines()
        assert max(json.loads(line)["step"] for line in lines) == 5 + 2 * 4
        assert not list((tmp_path / experiment).rglob("labels"))
        assert (tmp_path / experiment / "report.html").exists()


def test_a_run_can_stop_after_its_warm_up(finished, toy_dir, tmp_path):
    summary = rounds.main(tiny_config(toy_dir, "warmup_only"), str(tmp_path))
    first = json.loads((finished[0] / "summary.json").read_text())["rounds"][0]
    assert [entry["round"] for entry in summary["rounds"]] == [0]
    assert summary["rounds"][0]["iou"] == pytest.approx(first["iou"])


def test_labels_that_say_nothing_are_paid_for_but_do_not_count_as_known(
    finished, toy_dir, tmp_path, monkeypatch, capsys
):
    def know_nothing(self):
        unknown = np.full((64, 128), 255, np.uint8)
        return [Answer(image, tuple(regions), unknown) for image, regions in self._regions.items()]

    monkeypatch.setattr(GroundTruth, "collect", know_nothing)
    changes = {"warmup__checkpoint": str(finished[0] / "rounds/00/checkpoint"),
               "acquisition__strategy": "random", "acquisition__rounds": 1}  # fmt: skip
    last = rounds.main(tiny_config(toy_dir, **changes), str(tmp_path))["rounds"][1]
    assert last["labelled_pixels"] > 0
    assert last["known_pixels"] == 0
    printed = capsys.readouterr().out
    assert f"round 1: of {last['labelled_pixels']:,} bought pixels 0 have a label (0.0%)" in printed
    assert "training on the source alone" in printed
    assert "bought pixels 0 have a label" in (tmp_path / "report.html").read_text()
    with pytest.raises(InputError, match=r"of 'toy/filmed' in .* is known .* nothing to train on"):
        rounds.main(tiny_config(toy_dir, "target_only"), str(tmp_path / "reference"))


def test_a_pool_of_other_images_than_the_targets_is_refused(toy_dir, tmp_path):
    save_regions(Workdir(tmp_path).pool, Regions.from_counts(("a",), [np.array([2])]))
    images = sources.open_images("toy/filmed", toy_dir, "train")
    with pytest.raises(
        InputError, match=r"pool.safetensors' does not list the images of the target's data set"
    ):
        rounds.describe(SimpleNamespace(config=None, workdir=Workdir(tmp_path), target_images=images))


TAUGHT = {"finetune__method": "teacher", "finetune__keep": "teacher", "finetune__rare_class_sampling": 0.01}


@pytest.mark.parametrize(("strategy", "finetune"), [("aada", {}), ("redal", TAUGHT)])
def test_a_run_can_start_from_another_runs_warm_up(finished, toy_dir, tmp_path, strategy, finetune):
    checkpoint = finished[0] / "rounds/00/checkpoint"
    changes = {
        "acquisition__strategy": strategy,
        "acquisition__rounds": 1,
        "warmup__checkpoint": str(checkpoint),
        **finetune,
    }
    summary = rounds.main(tiny_config(toy_dir, **changes), str(tmp_path))
    first = json.loads((finished[0] / "summary.json").read_text())["rounds"][0]
    assert summary["rounds"][0]["iou"] == pytest.approx(first["iou"])
    assert {row["method"] for row in read_selection(tmp_path, 1)} == {strategy}
    assert (tmp_path / "columns/edges.safetensors").exists() == (strategy == "redal")
    steps = [event for event in events(tmp_path) if event["stage"] == "finetune"]
    assert [event["step"] for event in steps] == [1, 2, 3, 4]
    assert all(("mixed_loss" in event) == ("sure_pixels" in event) == bool(finetune) for event in steps)
    assert (tmp_path / "source_classes.safetensors").exists() == bool(finetune)


def test_a_prior_of_the_covariances_stands_with_the_densities(finished, toy_dir, tmp_path):
    changes = {"warmup__checkpoint": str(finished[0] / "rounds/00/checkpoint"), "acquisition__rounds": 1}
    rounds.main(tiny_config(toy_dir, density__covariance_prior="oas", **changes), str(tmp_path))
    shrunk, plain = (
        json.loads((path / "rounds/01/density.json").read_text()) for path in (tmp_path, finished[0])
    )
    assert {record["covariance_prior"] for record in shrunk.values()} == {"oas"}
    assert "covariance_prior" not in plain["road"]
    assert 0 < shrunk["road"]["kl"] < plain["road"]["kl"]
    assert "covariance prior" in (tmp_path / "report.html").read_text()


def test_aada_needs_the_discriminator_beside_the_checkpoint(finished, toy_dir, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(finished[0] / "rounds/00/checkpoint", alone / "checkpoint")
    changes = {"acquisition__strategy": "aada", "warmup__checkpoint": str(alone / "checkpoint")}
    with pytest.raises(InputError, match=r"there is no '.*discriminator' beside"):
        rounds.main(tiny_config(toy_dir, **changes), str(tmp_path / "run"))
