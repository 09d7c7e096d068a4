"""A target of which some images are labelled already: these count before the first round, at no price."""

import json

import numpy as np
import pytest

from adeada_jax.annotators import desk
from adeada_jax.data import preparing, sources
from adeada_jax.data.images import read_png
from adeada_jax.files import write_png_atomic
from adeada_jax.partitions.grid import Grid
from adeada_jax.run import main as rounds
from adeada_jax.run import recipe
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from tests.test_rounds import ONE_PROGRAM, read_selection, tiny_config


@pytest.fixture
def folder(toy_dir, tmp_path):
    """Four of the filmed streets, of which the second is labelled: half of it, and the first all 255."""
    truth = sources.open_labelled("toy/filmed", toy_dir, "train")
    lines = "".join(
        f"- {{name: {name}, color: [{color[0]}, {color[1]}, {color[2]}]}}\n"
        for name, color in zip(truth.class_names, truth.palette.tolist(), strict=True)
    )
    (tmp_path / "raw/images").mkdir(parents=True)
    (tmp_path / "raw/classes.yaml").write_text(f"classes:\n{lines}")
    for i in range(4):
        write_png_atomic(tmp_path / f"raw/images/{i}.png", truth[i]["image"])
    label = truth.label(1).copy()
    label[:, 64:] = 255
    (tmp_path / "raw/labels").mkdir()
    write_png_atomic(tmp_path / "raw/labels/0.png", np.full_like(label, 255))
    write_png_atomic(tmp_path / "raw/labels/1.png", label)
    preparing.prepare("folder", tmp_path / "data", source_dir=str(tmp_path / "raw"), progress=False)
    return tmp_path / "data", label


def config_for(toy_dir, data_dir, **changes):
    return tiny_config(
        toy_dir, target__dataset="folder", target__dir=str(data_dir), evaluation__kind="none",
        acquisition__strategy="random", acquisition__rounds=1, **ONE_PROGRAM,
        regions__kind="grid", regions__num_segments=8, acquisition__budget=1.0, **changes,
    )  # fmt: skip


def test_what_is_labelled_is_learned_from_and_not_asked_for_again(folder, toy_dir, tmp_path):
    data_dir, label = folder
    config, workdir = config_for(toy_dir, data_dir, oracle__kind="people"), tmp_path / "run"
    assert rounds.main(config, str(workdir)) is None
    np.testing.assert_array_equal(read_png(workdir / "rounds/00/known/1.png"), label)
    known = int((label != 255).sum())
    assert json.loads((workdir / "rounds/00/known.json").read_text()) == {"images": 1, "pixels": known}
    asked = {(row["image"], row["region"]) for row in read_selection(workdir, 1)}
    regions = Grid({"num_segments": 8}).divide(np.zeros((*label.shape, 3), np.uint8), "1")
    whole = {("1", str(region)) for region in range(8) if (label[regions == region] != 255).all()}
    assert whole
    everything = {(str(image), str(region)) for image in range(4) for region in range(8)}
    assert asked == everything - whole
    desk.close_round(workdir, None, "ann")
    (before, after) = rounds.main(config, str(workdir))["rounds"]
    assert (before["labelled_pixels"], before["known_pixels"]) == (0, known)
    assert (after["labelled_pixels"], after["known_pixels"]) == (0, known)
    events = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert "finetune" in {event["stage"] for event in events}


def test_ground_truth_sells_them_like_any_other(folder, toy_dir, tmp_path):
    config = config_for(toy_dir, folder[0])
    experiment = create_experiment(config, Workdir(tmp_path / "run"), Metrics(tmp_path, writes=False))
    assert experiment.target_images.partly_labelled
    assert "known_labels" not in [stage.name for stage in recipe.stages(experiment)]
