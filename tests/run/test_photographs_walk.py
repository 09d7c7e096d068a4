"""The page that leads from photographs to a model, followed command by command."""

import json
import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from adeada_jax.data import sources
from adeada_jax.data.images import read_png
from adeada_jax.files import write_png_atomic
from tests import small_network
from tests.warm_start import PYTHON

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/own_photographs.md").read_text(encoding="utf-8")
# What makes the page's run one of seconds; all else is done as it stands there. Warm-up and fine-tuning learn
# alike, so that one program serves both.
SMALL = {
    "data.height": 32, "data.width": 64, "data.batch_size": 2, **small_network.NAMES,
    "model.pretrained": "", "model.freeze_batch_norm": False,
    "warmup.method": "source_only", "warmup.steps": 4,
    "warmup.learning_rate": 0.02, "warmup.learning_rate_steps": 0, "finetune.steps": 4,
    "finetune.learning_rate": 0.02, "training.target_statistics_steps": 0, "inference.batch_size": 4,
    "acquisition.strategy": "entropy", "acquisition.budget": 0.1, "evaluation.regions": 30,
    "evaluation.held_back": 0.4,
}  # fmt: skip
WAITS, DONE = 75, 0
LABELLING_PAGE = ["python", "scripts/annotate.py", "--workdir=runs/photos"]


def blocks(language):
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands():
    """The page's commands; each round is labelled as the evaluation is by PNGs, not on the labelling page."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line]
    pngs = [command for command in found if "answers/evaluation" in " ".join(command)]
    asked = 0
    for command in found:
        if command != LABELLING_PAGE:
            yield command
            continue
        if asked:
            yield from ([word.replace("evaluation", f"round{asked}") for word in png] for png in pngs)
        else:
            yield command
        asked += 1


@pytest.fixture(scope="module")
def truth(toy_dir):
    """Names, images and labels of the filmed streets, which are the photographs."""
    return {
        source.names[i]: (source[i]["image"], source.label(i))
        for source in (sources.open_labelled("toy/filmed", toy_dir, split) for split in ("train", "val"))
        for i in range(len(source))
    }


@pytest.fixture
def place(tmp_path, toy_dir, truth):
    """A directory like a clone of the repository, with photographs, the page's file and small toy streets."""
    for name in ("scripts", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "data").symlink_to(toy_dir)
    (tmp_path / "photos/images/town").mkdir(parents=True)
    for name, (image, _) in truth.items():
        cv2.imwrite(str(tmp_path / f"photos/images/town/{name}.jpg"), image[..., ::-1])
    (configuration,) = blocks("python")
    (tmp_path / "photos.py").write_text(configuration, encoding="utf-8")
    return tmp_path


def follow(command, place):
    """Does a command of the page; its status and what it printed."""
    python, *rest = command
    assert python == "python"
    if "scripts/main.py" in command:
        rest += [f"--config.{key}={value}" for key, value in SMALL.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
    if command == LABELLING_PAGE:
        return serve([*PYTHON, *rest, "--port=0"], place, environment)
    done = subprocess.run(
        [*PYTHON, *rest], cwd=place, env=environment, capture_output=True, text=True, timeout=300
    )
    said = f"{shlex.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert done.returncode in (WAITS, DONE), said
    return done.returncode, done.stdout


def serve(command, place, environment):
    """Serves the labelling page until it is ready, and ends it as Ctrl-C does."""
    with subprocess.Popen(command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True) as server:
        said = server.stdout.readline()
        assert "the labelling page is at http://127.0.0.1:" in said
        server.send_signal(signal.SIGINT)
    return DONE, said


def answer(folder, truth, *, leave_out=0):
    """Puts the truth into all PNGs of an export but the last few, which are taken away."""
    paths = sorted(folder.rglob("*.png"))
    assert len(paths) > leave_out
    for path in paths[len(paths) - leave_out :]:
        path.unlink()
    for path in paths[: len(paths) - leave_out]:
        assert (read_png(path) == 255).all()
        write_png_atomic(path, truth[path.stem][1])


@pytest.mark.slow
def test_the_page_leads_from_photographs_to_predictions(place, truth):
    runs, printed = [], []
    for command in commands():
        if "data_own_classes" in " ".join(command) and not (place / "photos/classes.yaml").exists():
            (place / "photos/classes.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
        status, text = follow(command, place)
        printed.append(text)
        if "scripts/main.py" in command and "--dry_run" not in command:
            runs.append(status)
        elif "--export=png" in command:
            folder = command[-1].removeprefix("--output=")
            answer(place / folder, truth, leave_out=int(folder.endswith("round2")))
        else:
            assert status == DONE
    assert runs == [WAITS, WAITS, WAITS, WAITS, DONE]
    assert any("is closed" in text for text in printed)

    config = json.loads((place / "runs/photos/config.json").read_text())
    assert (config["oracle"]["kind"], config["evaluation"]["kind"], config["num_classes"]) == (
        "people", "sample", 19,
    )  # fmt: skip
    summary = json.loads((place / "runs/photos/summary.json").read_text())
    assert summary["evaluation"] == {"kind": "sample", "regions": 30}
    rounds = summary["rounds"]
    assert [entry["round"] for entry in rounds] == [0, 1, 2, 3]
    assert all(0 < entry["miou"] < 100 for entry in rounds)
    known = [entry["known_pixels"] for entry in rounds]
    assert known[0] == 0
    assert (np.diff(known) > 0).all()
    assert json.loads((place / "runs/photos/rounds/02/labels.json").read_text())["returned"]
    report = (place / "runs/photos/report.html").read_text()
    for words in ("on a sample of 30 regions", "What people answered", "--config.acquisition.rounds=4"):
        assert words in report, words
    for kind in ("labels", "colors", "overlays"):
        found = {path.stem for path in (place / "predictions" / kind).rglob("*.png")}
        assert found == truth.keys()
    assert "there is no labelled source" in printed[-1]
