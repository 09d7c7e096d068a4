"""A run makes the partition that it needs and does not find, shows it before, and keeps to it."""

import io
import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from adeada_jax.errors import InputError
from adeada_jax.files import write_png_atomic
from adeada_jax.partitions import store
from adeada_jax.partitions.grid import Grid
from adeada_jax.run import dry_run, main, recipe, runner
from adeada_jax.run.experiment import create_experiment, divide
from adeada_jax.run.forecast import make_plan
from adeada_jax.run.region_file import load_regions
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture
def experiment_for(toy_dir, tmp_path):
    """Opens an experiment of an active run on a copy of the toy streets."""
    shutil.copytree(toy_dir, tmp_path / "data")

    def make(strategy="adeada", **regions):
        config = runpy.run_path(str(ROOT / "configs/toy.py"))["get_config"]()
        config.source.dir = config.target.dir = str(tmp_path / "data")
        config.acquisition.strategy = strategy
        config.regions.update({"kind": "grid", "num_segments": 8, **regions})
        workdir = Workdir(tmp_path / "run")
        experiment = create_experiment(config, workdir, Metrics(workdir.root, writes=False))
        workdir.write_data(experiment.data)
        return experiment

    return make


def first_stages(experiment):
    """Those before the warm-up."""
    stages = recipe.stages(experiment)
    return stages[: [stage.name for stage in stages].index("warmup")]


@pytest.mark.parametrize(
    ("strategy", "names"),
    [("adeada", ["regions_source", "regions_target", "pool"]), ("random", ["regions_target", "pool"])],
)
def test_only_what_is_needed_is_divided_and_shown_before(experiment_for, strategy, names):
    experiment = experiment_for(strategy)
    stages = first_stages(experiment)
    assert [stage.name for stage in stages] == names
    plan = make_plan(experiment)
    assert [maps.count for maps in plan.partitions] == [8, 6][-len(names) + 1 :]
    assert plan.splits["target pool"].regions == 6 * 8
    assert plan.splits["source"].regions == (8 * 8 if strategy == "adeada" else 0)
    console = Console(width=200, file=io.StringIO())
    dry_run.show(experiment, plan, console)
    assert "6 images are divided into regions first (grid); the maps, at most" in console.file.getvalue()
    assert not any(domain.complete for domain in experiment.divided.values())
    runner.run(stages, experiment.metrics)
    assert len(load_regions(experiment.workdir.pool).region) == 6 * 8
    assert all(stage.finished for stage in stages)


def noted(experiment, domain="target"):
    return json.loads(experiment.workdir.data.read_text())[domain]["partition"]


def test_the_maps_are_noted_and_a_second_run_finds_them(experiment_for, monkeypatch):
    experiment = experiment_for("random")
    assert noted(experiment)["maps"] == {}
    assert noted(experiment, "source") is None
    divided_and_noted(experiment)
    assert list(noted(experiment)["maps"]) == list(experiment.target_images.names)
    monkeypatch.setattr(store, "_make", None)  # what is there is not made again
    again = opened_again(experiment)
    assert again.data["target"]["partition"] == noted(experiment)
    divided_and_noted(again)


def divided_and_noted(experiment):
    runner.run(first_stages(experiment), experiment.metrics)
    main.note_partitions(experiment)


def test_maps_that_another_run_finishes_meanwhile_are_noted_too(experiment_for):
    experiment = experiment_for("random")
    for domain in experiment.divided.values():
        domain.make()
    assert noted(experiment)["maps"] == {}
    divided_and_noted(experiment)
    assert list(noted(experiment)["maps"]) == list(experiment.target_images.names)


def opened_again(experiment):
    return create_experiment(experiment.config, experiment.workdir, experiment.metrics)


def test_other_maps_than_those_of_its_beginning_are_refused(experiment_for, monkeypatch):
    experiment = experiment_for("random")
    divided_and_noted(experiment)
    (experiment.workdir.root / "rounds/00").mkdir(parents=True)
    (experiment.workdir.root / "rounds/00/evaluation.json").touch()  # it has begun
    shutil.rmtree(experiment.divided["target"].directory)
    again = opened_again(experiment)
    divide_as_before = Grid.divide
    monkeypatch.setattr(Grid, "divide", lambda self, image, name: 7 - divide_as_before(self, image, name))
    words = r"target data, 'toy/filmed' in .* were different: region maps altered: 6 \(filmed_train_00000, "
    with pytest.raises(InputError, match=words):
        divided_and_noted(again)
    with pytest.raises(InputError, match=words):
        opened_again(experiment)
    shutil.rmtree(experiment.divided["target"].directory)
    monkeypatch.undo()
    again = opened_again(experiment)
    divided_and_noted(again)
    assert np.array_equal(again.divided["target"].regions(3), experiment.divided["target"].regions(3))


def test_one_mask_is_not_of_two_images(experiment_for, tmp_path):
    experiment = experiment_for()
    images = experiment.target_images
    for name in images.names:
        path = tmp_path / f"masks/{name}.png"
        path.parent.mkdir(exist_ok=True)
        write_png_atomic(path, np.zeros((64, 128)))
    options = {"kind": "masks", "masks": str(tmp_path / "masks")}
    assert divide({"target": images}, options).keys() == {"target"}
    with pytest.raises(InputError, match="source and target both have images named filmed_train_00000, "):
        divide({"target": images, "source": images}, options)
