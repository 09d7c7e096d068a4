"""A whole study from the command line, killed on the way, against a run that does its own warm-up."""

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from adeada_jax.run import main as rounds
from tests import small_network
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[2]
TINY = {
    "data.height": 32, "data.width": 64, "data.batch_size": 2, **small_network.NAMES, "warmup.steps": 2,
    "warmup.method": "source_only", "finetune.steps": 2, "acquisition.rounds": 1, "acquisition.budget": 0.1,
    "training.checkpoint_every": 1, "training.target_statistics_steps": 0, "inference.batch_size": 4,
}  # fmt: skip


@pytest.fixture
def start(toy_dir, tmp_path):
    flags = [f"--config.{key}={value}" for key, value in TINY.items()]
    flags += [f"--config.{domain}.dir={toy_dir}" for domain in ("source", "target")]
    command = [*PYTHON, "scripts/study.py", "--config=configs/toy.py", f"--workdir={tmp_path}/study",
               "--strategies=random,entropy", "--settings=uncertainty", "--seeds=5", *flags]  # fmt: skip
    return lambda: subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_killed_study_ends_with_the_numbers_of_a_single_run(start, toy_dir, tmp_path, fabricate):
    study, waited = start(), tmp_path / "study/runs/random/seed-5/rounds/01/selection.csv"
    while study.poll() is None and not waited.exists():
        time.sleep(0.01)
    study.send_signal(signal.SIGKILL)
    study.communicate()
    assert study.returncode == -signal.SIGKILL
    assert not (tmp_path / "study/study.csv").exists()
    output, errors = (study := start()).communicate(timeout=300)
    assert study.returncode == 0, errors[-2000:]
    assert "warmup, seed 5: finished" in output
    with open(tmp_path / "study/study.csv") as file:
        rows = {(row["setting"], row["round"]): row for row in csv.DictReader(file)}
    assert rows["uncertainty", "1"]["run"] == "entropy"
    runs = {run["run"]: run for run in json.loads((tmp_path / "study/study.json").read_text())["runs"]}
    assert {name: run["cut_off"] for name, run in runs.items()} == {"warmup": 0, "random": 1, "entropy": 0}
    config = fabricate.toy_config(**TINY, seed=5, acquisition__strategy="random")
    config.source.dir = config.target.dir = str(toy_dir)
    alone, shared = tmp_path / "alone", tmp_path / "study/runs/random/seed-5"
    summary = rounds.main(config, str(alone))
    for name in ("summary.json", "config.json", "rounds/01/selection.csv"):
        assert (shared / name).read_bytes() == (alone / name).read_bytes(), name
    assert [rows["random", str(k)]["miou"] for k in (0, 1)] == [
        f"{entry['miou']:.4f}" for entry in summary["rounds"]
    ]
    quality = json.loads((tmp_path / "study/study.json").read_text())["analyses"]["quality"]
    assert set(quality) == {"random", "entropy", "uncertainty"}
    assert quality["random"]["rounds"]["1"]["bought"]["wrong_regions"]["seeds"] == 1
    page = (tmp_path / "study/study.html").read_text()
    assert "How good the purchases were" in page
    assert page.count('alt="filmed_val_') == 4 * 4  # image, ground truth, warm-up, random


def test_a_finished_study_is_read_not_run(example, monkeypatch, tmp_path):
    from adeada_jax.study import study_runner as runner

    monkeypatch.setattr(runner, "WORKER", (os.devnull,))
    failures = runner.run_plan(example.plan, example.directory, jobs=1, report=lambda *_: None)
    assert failures == {}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["--config=configs/toy.py", "--workdir=x", "--strategies=guess"],
            "config.acquisition.strategy: unknown 'guess'; known: ",
        ),
        (["--config=configs/toy.py"], "--workdir is missing; a study needs --config and --workdir, or"),
        (["--analyse=nowhere", "--workdir=x"], "--workdir: belongs to a study; --analyse takes only"),
        (["--analyse=nowhere"], "--analyse: 'nowhere' is no run, as it has no config.json and data.json;"),
        (["--config=configs/toy.py", "--workdir=x", "--density=gmm"], "--density: needs --analyse=RUN"),
    ],
)
def test_mistakes_are_said_in_one_line(given, said):
    done = subprocess.run([*PYTHON, "scripts/study.py", *given], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {said}")
    assert "Traceback" not in done.stderr
