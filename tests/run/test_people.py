"""A run that people answer: it asks, waits, and goes on as if the labels had been there."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from adeada_jax.annotators import desk
from adeada_jax.data import sources
from adeada_jax.files import write_png_atomic
from adeada_jax.run import main as rounds
from tests.test_rounds import ONE_PROGRAM, command, read_selection, tiny_config
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[2]


def answer(workdir, toy_dir, folder, split="train"):
    """Exports what is asked, fills in the truth, and imports it."""
    desk.export_png(workdir, None, folder)
    truth = sources.open_labelled("toy/filmed", toy_dir, split)
    for path in folder.glob("*.png"):
        write_png_atomic(path, truth.label(truth.names.index(path.stem)))
    return desk.import_png(workdir, None, folder, "ann", accept_extra=False)


@pytest.fixture(scope="module")
def answered(toy_dir, tmp_path_factory):
    """A directory with a run by ground truth, and the same by people who know the truth."""
    root = tmp_path_factory.mktemp("answered")
    changes = {"acquisition__strategy": "redal", **ONE_PROGRAM}
    rounds.main(tiny_config(toy_dir, **changes), str(root / "truth"))
    people, config = root / "people", tiny_config(toy_dir, oracle__kind="people", **changes)
    for number in (1, 2):
        assert rounds.main(config, str(people)) is None
        report = answer(people, toy_dir, root / f"answers{number}")
        assert len(report.outcomes) == len(read_selection(people, number))
        assert report.outside
    assert rounds.main(config, str(people))["rounds"][-1]["round"] == 2
    return root


@pytest.mark.slow
def test_answered_by_the_true_masks_it_buys_learns_and_scores_as_with_ground_truth(answered):
    for number in (1, 2):
        for kind in ("selection.csv", "labels/*.png"):
            one, other = (sorted((answered / name).glob(f"rounds/{number:02d}/{kind}"))
                          for name in ("truth", "people"))  # fmt: skip
            assert [path.name for path in one] == [path.name for path in other] != []
            assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    one, other = (json.loads((answered / name / "summary.json").read_text())["rounds"]
                  for name in ("truth", "people"))  # fmt: skip
    for entry, same in zip(one, other, strict=True):
        assert entry == {key: same[key] for key in entry}
    assert {"clicks", "seconds", "refused", "agreement"} <= other[1].keys()


def test_waiting_it_looks_on_reports_each_round_once_and_goes_on(toy_dir, tmp_path, monkeypatch, capsys):
    """The sleeps between two looks are when people answer."""
    looks, reports = [], []

    def sleep(_):
        looks.append(len(list((tmp_path / "run").glob("rounds/*/request"))))
        report = (tmp_path / "run/report.html").read_text()
        reports.append(f"regions of round {looks[-1]} are open" in report)
        if looks.count(looks[-1]) == 3:
            answer(tmp_path / "run", toy_dir, tmp_path / f"answers{looks[-1]}")

    monkeypatch.setattr(rounds, "time", SimpleNamespace(sleep=sleep))
    config = tiny_config(toy_dir, oracle__kind="people", acquisition__strategy="random", **ONE_PROGRAM)
    summary = rounds.main(config, str(tmp_path / "run"), wait=True)
    assert looks == [1, 1, 1, 2, 2, 2]
    assert all(reports)
    assert [entry["round"] for entry in summary["rounds"]] == [0, 1, 2]
    printed = capsys.readouterr().out
    assert printed.count("mIoU on the target's evaluation split") == 3
    assert printed.count("report so far") == 2


def test_the_command_ends_with_75_says_what_to_do_and_goes_on_when_the_round_is_closed(toy_dir, tmp_path):
    alike = {key.replace("__", "."): value for key, value in ONE_PROGRAM.items()}
    changes = {"oracle.kind": "people", "acquisition.strategy": "random", "acquisition.rounds": 1, **alike}
    workdir = tmp_path / "run"
    start = command(toy_dir, workdir, **changes)
    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 75, done.stderr
    asked = read_selection(workdir, 1)
    assert f"labels of {len(asked)} regions in" in done.stdout
    assert "--export=png --output=DIR" in done.stdout
    annotate = [*PYTHON, "scripts/annotate.py", f"--workdir={workdir}"]
    for flags, words in ((["--status"], "waits"), (["--close_round"], "go back to the pool")):
        said = subprocess.run([*annotate, *flags], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert said.returncode == 0, said.stderr
        assert words in " ".join(said.stdout.split())
    done = subprocess.run(start, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    last = json.loads((workdir / "summary.json").read_text())["rounds"][-1]
    assert (last["labelled_pixels"], last["known_pixels"]) == (0, 0)
    returned = json.loads((workdir / "rounds/01/labels.json").read_text())["returned"]
    assert sorted(returned) == sorted([row["image"], int(row["region"])] for row in asked)


def test_a_request_is_made_of_unlabelled_images_and_says_all_that_is_asked(answered, toy_dir):
    workdir = answered / "people"
    request = json.loads((workdir / "rounds/01/request/request.json").read_text())
    rows = read_selection(workdir, 1)
    assert [(r["image"], r["region"], r["pixels"]) for r in request["regions"]] == [
        (row["image"], int(row["region"]), int(row["pixels"])) for row in rows
    ]
    names = [entry["name"] for entry in request["classes"]]
    assert [names[r["suggestion"]] for r in request["regions"]] == [row["class"] for row in rows]
    assert all(1 / 19 <= r["probability"] <= 1 for r in request["regions"])
    images = sources.open_images("toy/filmed", toy_dir, "train")
    for region in request["regions"]:
        left, top, width, height = region["box"]
        assert min(left, top) >= 0
        inside = np.repeat(np.arange(len(region["runs"])) % 2 == 1, region["runs"]).reshape(height, width)
        assert inside.sum() == region["pixels"]
        assert inside.any(axis=0).all()
        assert inside.any(axis=1).all()
    for path in (workdir / "rounds/01/request/images").glob("*.png"):
        copy = np.asarray(Image.open(path))
        np.testing.assert_array_equal(copy, images[images.names.index(path.stem)]["image"])
