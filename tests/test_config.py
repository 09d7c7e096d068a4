"""The configuration: the paper's numbers, and errors that name the key."""

import pytest

from adeada_jax.config import differing_keys, paper_defaults, validate
from adeada_jax.errors import InputError


def check(config):
    validate(config, schedules=("half",))


def test_the_papers_settings_pass_and_are_the_papers():
    config = paper_defaults()
    check(config)
    assert (config.warmup.steps, config.finetune.steps, config.data.batch_size) == (100_000, 120_000, 1)
    assert (config.warmup.learning_rate, config.optimizer.momentum) == (2.5e-4, 0.9)
    assert (config.acquisition.rounds, config.acquisition.budget) == (5, 0.01)
    assert (config.acquisition.alpha, config.acquisition.beta) == (1.0, 1.0)
    assert (config.regions.num_segments, config.regions.compactness) == (40, 10.0)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("acquisition.budget", 0.0, "acquisition.budget: 0.0 is a fraction"),
        ("acquisition.budget", -0.1, "acquisition.budget: -0.1"),
        ("acquisition.budget", 1.5, "at most 1"),
        ("acquisition.alpha", 1.1, "acquisition.alpha: 1.1 must lie between 0 and 1"),
        ("acquisition.schedule", "cosine", "unknown 'cosine'; known: half"),
        ("warmup.method", "none", "known: adversarial, source_only"),
        ("experiment", "passive", "known: active, warmup_only"),
        ("data.batch_size", 0, "data.batch_size: 0 must be at least 1"),
        ("finetune.mixing", "third", "known: union, half"),
        ("finetune.steps", -1, "must not be negative"),
        ("training.workers", -1, "training.workers: -1 must not be negative"),
        ("finetune.learning_rate", 0.0, "must be positive"),
    ],
)
def test_values_that_cannot_work_are_named(key, value, words):
    config = paper_defaults()
    config.update_from_flattened_dict({key: value})
    with pytest.raises(InputError, match=words):
        check(config)


def test_half_and_half_needs_an_even_batch():
    config = paper_defaults()
    config.finetune.mixing = "half"
    with pytest.raises(InputError, match=r"data\.batch_size: 1 must be even"):
        check(config)


def test_differing_keys_are_dotted_and_sorted():
    ours = {"seed": 0, "data": {"height": 1, "width": 2}, "old": 1}
    theirs = {"seed": 1, "data": {"height": 1, "width": 3}, "new": 1}
    assert differing_keys(ours, theirs) == ["data.width", "new", "old", "seed"]
    assert differing_keys(ours, ours) == []
