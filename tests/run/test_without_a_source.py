"""A run without any labelled source: it begins with what is typical of the target."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from adeada_jax.errors import InputError
from adeada_jax.method.regions import Regions
from adeada_jax.method.strategies.typical import Typical, target_density
from adeada_jax.method.strategy import Request
from adeada_jax.run import dry_run, recipe
from adeada_jax.run import main as rounds
from adeada_jax.run.experiment import Weights, create_experiment, create_segmenter
from adeada_jax.run.forecast import make_plan
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from adeada_jax.training import checkpoints
from tests.test_rounds import read_selection, tiny_config


def config_for(toy_dir, **changes):
    return tiny_config(toy_dir, source__dataset="", source__dir="", **changes)


@pytest.mark.slow
def test_it_buys_what_is_typical_then_by_its_strategy_and_learns(toy_dir, tmp_path):
    config = config_for(toy_dir)
    segmenter = create_segmenter(config)
    config.model.pretrained = str(tmp_path / "weights")
    checkpoints.save(tmp_path / "weights", Weights(*segmenter.init(seed=1)).tree())
    summary = rounds.main(config, str(tmp_path / "run"))
    assert [entry["round"] for entry in summary["rounds"]] == [0, 1, 2]
    assert {row["method"] for row in read_selection(tmp_path / "run", 1)} == {"typical"}
    assert {row["method"] for row in read_selection(tmp_path / "run", 2)} == {"entropy"}
    events = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert "finetune" in {event["stage"] for event in events}
    assert not list((tmp_path / "run").glob("rounds/*/regions_source*"))
    assert "source" not in json.loads((tmp_path / "run/data.json").read_text())
    assert rounds.main(config, str(tmp_path / "run")) == summary


def test_random_weights_say_nothing_so_that_the_first_round_is_random_and_suggests_nothing(toy_dir, tmp_path):
    workdir = Workdir(tmp_path)
    config = config_for(toy_dir, oracle__kind="people", finetune__steps=1, acquisition__strategy="entropy")
    assert rounds.main(config, str(tmp_path)) is None
    assert {row["method"] for row in read_selection(tmp_path, 1)} == {"random"}
    request = json.loads((tmp_path / "rounds/01/request/request.json").read_text())
    assert {region["suggestion"] for region in request["regions"]} == {None}
    experiment = create_experiment(config, workdir, Metrics(tmp_path))
    console = Console(width=300, file=io.StringIO())
    dry_run.show(experiment, make_plan(experiment), console)
    assert "there is no labelled source: the run begins with random weights" in console.file.getvalue()


def test_what_cannot_be_without_a_source_is_refused(toy_dir, tmp_path):
    with pytest.raises(InputError, match="'' leaves nothing to train on for experiment='source_only'"):
        create_experiment(config_for(toy_dir, experiment="source_only"), Workdir(tmp_path), Metrics(tmp_path))
    config = config_for(toy_dir, acquisition__strategy="aada")
    with pytest.raises(InputError, match="without a source there is no warm-up"):
        recipe.check(create_experiment(config, Workdir(tmp_path), Metrics(tmp_path)))
    config = tiny_config(toy_dir, source__dir=" ")
    with pytest.raises(InputError, match=r"config\.source\.dir: ' ' must be the name of a directory"):
        create_experiment(config, Workdir(tmp_path), Metrics(tmp_path))


def clusters(seed=0):
    """Features in three clusters of 60, 30 and 10 regions, each with one region in its midst."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    features = (centres[labels] + rng.normal(size=(100, 2))).astype(np.float32)
    return labels, features


def test_each_cluster_gives_its_densest_region_and_the_largest_comes_first():
    labels, features = clusters()
    regions = Regions.unbought(("a",), np.zeros(100, np.int32), np.arange(100, dtype=np.int32),
                               np.full(100, 10), features=features)  # fmt: skip
    picks = Typical().select(regions, Request(round=1, budget=30, seed=0)).picks
    chosen = [pick.index for pick in picks]
    assert labels[chosen].tolist() == [0, 1, 2]
    density = target_density(features, seed=(0, 1))
    for c, index in enumerate(chosen):
        assert density[index] == density[labels == c].max()


def test_density_falls_with_the_distance_to_where_the_regions_are():
    _, features = clusters()
    density = target_density(np.concatenate([features, [[500.0, 500.0]]]).astype(np.float32), seed=(0,))
    assert density.shape == (101,)
    assert density[-1] < density[:60].min()
    assert target_density(features[:1], seed=(0,)).tolist() == [0.0]
