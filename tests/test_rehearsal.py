"""The end of a run in small: what would fail at the end fails at the start, and nothing is left of it."""

import runpy
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adeada_jax.data import sources
from adeada_jax.errors import InputError
from adeada_jax.files import write_text_atomic
from adeada_jax.report import figures, page
from adeada_jax.run import dry_run, rehearsal
from adeada_jax.run import main as rounds
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics

ROOT = Path(__file__).parents[1]


def config_for(toy_dir, experiment="active", **changes):
    config = runpy.run_path(str(ROOT / "configs/toy.py"))["get_config"](experiment)
    config.source.dir = config.target.dir = str(toy_dir)
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def experiment_for(toy_dir, tmp_path, experiment="active", **changes):
    workdir = tmp_path / "run"
    return create_experiment(config_for(toy_dir, experiment, **changes), Workdir(workdir), Metrics(workdir))


@pytest.fixture
def pages(monkeypatch):
    """The pages that are written."""
    written = []
    monkeypatch.setattr(
        page, "write_text_atomic", lambda path, text: (written.append(text), write_text_atomic(path, text))
    )
    return written


@pytest.mark.parametrize(
    ("experiment", "words"),
    [("active", ["after round 2", "regions by round", "labels bought"]),
     ("warmup_only", ["prediction", "ground truth"]), ("target_only", ["prediction", "ground truth"])],
)  # fmt: skip
def test_it_makes_the_report_and_leaves_nothing(experiment, words, toy_dir, tmp_path, pages, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    rehearsal.rehearse(experiment_for(toy_dir, tmp_path, experiment))
    (text,) = pages
    for word in [*words, "<svg", "bicycle", "data:image/png"]:
        assert word in text, word
    assert not list(place.iterdir())
    assert not (tmp_path / "run").exists()


def test_the_report_of_people_is_tried_where_they_are_asked(toy_dir, tmp_path, pages):
    rehearsal.rehearse(experiment_for(toy_dir, tmp_path, oracle__kind="people"))
    for word in ("What people answered", "suggested: road, 50% sure", "given: bicycle", 'id="effort"'):
        assert word in pages[0], word


def test_every_chart_of_an_active_run_is_drawn(toy_dir, tmp_path, monkeypatch):
    drawn = {}
    charts = ("label_curve", "iou_chart", "purchase_chart", "loss_curve", "time_chart")
    for name in charts:
        draw = getattr(figures, name)
        monkeypatch.setattr(figures, name, lambda *args, n=name, d=draw: drawn.setdefault(n, d(*args)))
    rehearsal.rehearse(experiment_for(toy_dir, tmp_path))
    assert all(drawn[name] for name in charts)


@pytest.mark.parametrize("classes", [1, 3, 150, 254])
def test_any_number_of_classes_has_its_report(classes, toy_dir, tmp_path, pages, monkeypatch):
    experiment = experiment_for(toy_dir, tmp_path)
    images = sources.open_labelled("toy/filmed", toy_dir, "val")
    validation = rehearsal.OneImage(images, images[0])
    validation[0]["label"] = validation[0]["label"] % classes
    named = {
        "class_names": tuple(f"class {i}" for i in range(classes)),
        "palette": np.random.default_rng(0).integers(0, 255, (classes, 3)).astype(np.uint8),
    }
    config = experiment.config.copy_and_resolve_references()
    config.num_classes = classes
    rehearsal.rehearse(replace(experiment, validation=validation, config=config, **named))
    assert f"class {classes - 1}" in pages[0]


@pytest.mark.parametrize("start", [dry_run.main, rounds.main], ids=["dry run", "run"])
def test_a_report_that_cannot_be_made_stops_the_start(start, toy_dir, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("no fonts")

    monkeypatch.setattr(figures, "time_chart", broken)
    with pytest.raises(RuntimeError, match="no fonts"):
        start(config_for(toy_dir), str(tmp_path / "run"))
    assert not (tmp_path / "run/config.json").exists()
    assert not (tmp_path / "run/rounds").exists()


def test_no_place_for_temporary_files_is_said_in_one_line(toy_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(InputError, match=r"no directory for temporary files: .*; set TMPDIR to a directory"):
        rehearsal.rehearse(experiment_for(toy_dir, tmp_path))


def test_large_images_are_cut(toy_dir, monkeypatch):
    monkeypatch.setattr(rehearsal, "_SIDE", 40)
    images = sources.open_labelled("toy/filmed", toy_dir, "val")
    image = rehearsal.OneImage(images, images[0])
    assert len(image) == 1
    assert {key: np.shape(value) for key, value in image[0].items() if key != "name"} == {
        "image": (40, 40, 3), "label": (40, 40),
    }  # fmt: skip
