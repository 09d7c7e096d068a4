"""The configuration: the paper's numbers, and how two are compared."""

import json

from adeada_jax.config import completed, differing_keys, paper_defaults


def test_the_papers_settings_are_the_papers():
    config = paper_defaults()
    assert (config.warmup.steps, config.finetune.steps, config.data.batch_size) == (100_000, 120_000, 1)
    assert (config.warmup.learning_rate, config.optimizer.momentum) == (2.5e-4, 0.9)
    assert (config.acquisition.rounds, config.acquisition.budget) == (5, 0.01)
    assert (config.acquisition.alpha, config.acquisition.beta) == (1.0, 1.0)
    assert (config.regions.num_segments, config.regions.compactness) == (40, 10.0)


def test_differing_keys_are_dotted_and_sorted():
    ours = {"seed": 0, "data": {"height": 1, "width": 2}, "old": 1}
    theirs = {"seed": 1, "data": {"height": 1, "width": 3}, "new": 1}
    assert differing_keys(ours, theirs) == ["data.width", "new", "old", "seed"]
    assert differing_keys(ours, ours) == []


def test_a_stored_configuration_is_completed_by_what_keys_it_lacks_stood_for():
    stored = json.loads(paper_defaults().to_json())
    del stored["finetune"]["method"], stored["inference"]
    stored["seed"] = 5
    now = json.loads(paper_defaults().to_json())
    assert differing_keys(completed(stored, now), now) == ["seed"]
    assert "inference" not in stored
