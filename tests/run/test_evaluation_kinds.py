"""What a run is evaluated on: labels, a sample of regions that are asked for, or nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.data import sources
from adeada_jax.data.held_back import SplitPart, divide
from adeada_jax.errors import InputError
from adeada_jax.method.selection_csv import purchases_from_csv
from adeada_jax.partitions.store import DividedImages
from adeada_jax.run import main as rounds
from adeada_jax.run import sampling
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from tests.test_rounds import ONE_PROGRAM, tiny_config

ROOT = Path(__file__).parents[2]


def run(toy_dir, workdir, **changes):
    """A run of one round that fits no mixtures."""
    options = {"acquisition__strategy": "entropy", "acquisition__rounds": 1, **ONE_PROGRAM}
    rounds.main(tiny_config(toy_dir, **options, **changes), str(workdir))
    return json.loads((workdir / "summary.json").read_text())["rounds"]


def test_a_sample_of_all_regions_gives_the_miou_of_the_labels(toy_dir, tmp_path):
    whole = run(toy_dir, tmp_path / "labels")
    changes = {"evaluation__kind": "sample", "evaluation__regions": 100_000}
    sampled = run(toy_dir, tmp_path / "sample", **changes)
    for one, other in zip(whole, sampled, strict=True):
        assert one == other


def test_a_sample_is_drawn_from_all_regions_by_seed_and_counts_nowhere_as_bought(toy_dir, tmp_path):
    entries = run(toy_dir, tmp_path / "a", evaluation__kind="sample", evaluation__regions=20)
    workdir = Workdir(tmp_path / "a")
    rows = purchases_from_csv(workdir.evaluation_sample.read_text())
    images = sources.open_images("toy/filmed", toy_dir, "val")
    assert len({(row.image, row.region) for row in rows}) == 20
    assert {row.image for row in rows} <= set(images.names)
    assert entries[0]["labelled_pixels"] == entries[0]["known_pixels"] == 0
    labels = list(workdir.evaluation_labels.glob("*.png"))
    assert {path.stem for path in labels} == {row.image for row in rows}
    assert not list(workdir.labels(0).glob("*"))
    config = tiny_config(toy_dir, evaluation__kind="sample", evaluation__regions=20)
    again = create_experiment(config, Workdir(tmp_path / "b"), Metrics(tmp_path, writes=False))
    again.sampled.make()
    sampling.draw(again).work.make()
    assert again.workdir.evaluation_sample.read_bytes() == workdir.evaluation_sample.read_bytes()


def test_without_an_evaluation_there_is_no_miou_but_how_often_suggestions_were_right(toy_dir, tmp_path):
    entries = run(toy_dir, tmp_path / "run", evaluation__kind="none")
    assert [entry["miou"] for entry in entries] == [None, None]
    assert set(entries[1]["iou"].values()) == {None}
    rows = purchases_from_csv(Workdir(tmp_path / "run").selection(1).read_text())
    source = sources.open_labelled("toy/filmed", toy_dir, "train")
    divided = DividedImages(source, tiny_config(toy_dir).regions)
    right = []
    for row in rows:
        i = source.names.index(row.image)
        inside = source.label(i)[divided.regions(i) == row.region]
        counts = np.bincount(inside[inside != 255], minlength=19)
        if counts.any():
            right.append(source.class_names[counts.argmax()] == row.class_name)
    assert entries[1]["suggestions_taken"] == pytest.approx(np.mean(right))
    assert "suggestions_taken" not in entries[0]
    assert "<svg" in (tmp_path / "run/report.html").read_text()


def test_images_are_held_back_by_name_and_seed_whatever_is_added():
    names = [f"image {i}" for i in range(500)]
    pool, held = divide(names, 0.2, seed=1)
    assert sorted([*pool, *held]) == list(range(500))
    assert 70 < len(held) < 130
    more = ["another", *names, "one more"]
    again = {more[i] for i in divide(more, 0.2, seed=1)[1]}
    assert {names[i] for i in held} <= again
    assert divide(names, 0.2, seed=2)[1] != held
    assert [len(part) for part in divide(["a", "b"], 1e-9, seed=0)] == [1, 1]
    assert [len(part) for part in divide(["a", "b"], 0.999, seed=0)] == [1, 1]
    with pytest.raises(InputError, match="one image cannot be both"):
        divide(["a"], 0.2, seed=0)


def test_a_part_of_a_split_gives_its_images_labels_and_regions(toy_dir):
    whole = sources.open_labelled("toy/filmed", toy_dir, "train")
    part = SplitPart(whole, [4, 1])
    assert part.names == (whole.names[4], whole.names[1])
    assert (part.palette == whole.palette).all()
    np.testing.assert_array_equal(part[0]["image"], whole[4]["image"])
    np.testing.assert_array_equal(part.label(1), whole.label(1))
    options = {"kind": "grid", "num_segments": 8, "compactness": 1.0, "masks": ""}
    divided = DividedImages(part, options)
    divided.make(jobs=2)
    everything = DividedImages(whole, options)
    everything.make(jobs=2)
    np.testing.assert_array_equal(divided.regions(0), everything.regions(4))
