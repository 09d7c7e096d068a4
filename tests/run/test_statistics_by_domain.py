"""Batch-norm statistics by domain: a network looks at each domain with that domain's own."""

import jax
import numpy as np
import pytest

from adeada_jax.models import normalize
from adeada_jax.run import recipe, runner, scoring, trainings
from adeada_jax.run.experiment import create_experiment
from adeada_jax.run.workdir import Workdir
from adeada_jax.telemetry import Metrics
from adeada_jax.training import checkpoints
from tests.test_rounds import tiny_config

NETWORK = {"model__backbone": "resnet18_half", "model__name": "deeplabv2"}  # whose first layers are known


def made(toy_dir, path, **changes):
    """An experiment whose first checkpoint has random weights and the target's statistics."""
    config = tiny_config(toy_dir, **NETWORK, **changes)
    experiment = create_experiment(config, Workdir(path), Metrics(path, writes=False))
    weights = experiment.initial_weights()
    if trainings.adapts_statistics(config, experiment.segmenter):
        weights = trainings._adapt_statistics(experiment, 0, weights, "target")
    checkpoints.save(experiment.workdir.checkpoint(0), weights.tree())
    return experiment


def adapt_to_source(experiment):
    runner.run([trainings.source_statistics(experiment, 0)], experiment.metrics)


def first_means(experiment, images):
    """`(C,)` means of the first convolution's outputs over images: what the first batch norm meets."""
    kernel = experiment.initial_weights().params["backbone"]["conv1"]["kernel"]
    batch = np.stack([images[i]["image"][::4, ::4] for i in range(len(images))])
    outputs = jax.lax.conv_general_dilated(
        normalize(batch), kernel, (2, 2), [(3, 3), (3, 3)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return np.asarray(outputs.mean(axis=(0, 1, 2)))


def test_each_domain_is_seen_with_statistics_of_its_own_images(toy_dir, tmp_path):
    experiment = made(toy_dir, tmp_path, training__target_statistics_steps=20)
    adapt_to_source(experiment)
    expected = {
        "source": first_means(experiment, experiment.source_images),
        "target": first_means(experiment, experiment.target_images),
    }
    apart = np.abs(expected["source"] - expected["target"]).mean()
    for domain, other in (("source", "target"), ("target", "source")):
        weights = trainings.load_weights(experiment, 0, domain)
        mean = np.asarray(weights.batch_stats["backbone"]["bn1"]["norm"]["mean"])
        assert np.abs(mean - expected[domain]).mean() < 0.3 * apart
        assert np.abs(mean - expected[other]).mean() > 0.7 * apart


def test_the_statistics_of_the_source_are_made_once_and_read_afterwards(toy_dir, tmp_path, monkeypatch):
    experiment = made(toy_dir, tmp_path)
    adapt_to_source(experiment)
    stored = trainings.load_weights(experiment, 0, "source").batch_stats
    monkeypatch.setattr(trainings, "run_steps", lambda *_, **__: pytest.fail("made again"))
    adapt_to_source(experiment)
    again = trainings.load_weights(experiment, 0, "source")
    jax.tree.map(np.testing.assert_array_equal, again.batch_stats, stored)
    target = trainings.load_weights(experiment, 0, "target")
    jax.tree.map(np.testing.assert_array_equal, again.params, target.params)


@pytest.mark.parametrize(
    "changes", [{"model__freeze_batch_norm": True}, {"training__target_statistics_steps": 0}]
)
def test_without_adapted_statistics_both_domains_share_the_checkpoint(toy_dir, tmp_path, changes):
    experiment = made(toy_dir, tmp_path, **changes)
    names = [stage.name for stage in recipe.stages(experiment)]
    assert "source_statistics" not in names
    both = [trainings.load_weights(experiment, 0, domain).tree() for domain in ("source", "target")]
    jax.tree.map(np.testing.assert_array_equal, *both)


def test_scores_on_the_source_are_of_the_network_with_the_sources_statistics(toy_dir, tmp_path, capsys):
    experiment = made(toy_dir, tmp_path, training__target_statistics_steps=20)
    config, checkpoint = experiment.config, experiment.workdir.checkpoint(0)

    def scores():
        return scoring.evaluate_split(
            config, checkpoint, dataset="toy/rendered", data_dir=str(toy_dir), split="train"
        )

    without = scores()
    assert "the target's batch-norm statistics" in capsys.readouterr().out
    adapt_to_source(experiment)
    assert scores()["iou"] != without["iou"]
    assert "warning" not in capsys.readouterr().out
