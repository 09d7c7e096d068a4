"""Checkpoints: exact, strict, and complete or absent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.errors import InputError
from adeada_jax.training import checkpoints


def tree(offset=0.0):
    return {
        "params": {"backbone": {"w": jnp.arange(3.0) + offset}, "head": {"w": jnp.ones((2, 2)) + offset}},
        "batch_stats": {"backbone": {"mean": jnp.zeros(2) + offset}},
    }


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_round_trip(tmp_path):
    checkpoints.save(tmp_path / "c", tree(1.0))
    assert_equal(checkpoints.restore(tmp_path / "c", tree()), tree(1.0))


def test_another_model_is_refused_naming_the_arrays(tmp_path):
    checkpoints.save(tmp_path / "c", tree())
    wanted = tree()
    wanted["params"]["backbone"]["w"] = jnp.ones(4)
    with pytest.raises(InputError, match=r"'params/backbone/w' has shape \(3,\), not \(4,\)"):
        checkpoints.restore(tmp_path / "c", wanted)
    wanted = tree()
    wanted["params"]["head"]["b"] = jnp.ones(2)
    with pytest.raises(InputError, match="'params/head/b' is missing"):
        checkpoints.restore(tmp_path / "c", wanted)


def test_missing_or_foreign_directories_are_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        checkpoints.restore(tmp_path / "none", tree())
    with pytest.raises(InputError, match="no orbax checkpoint"):
        checkpoints.restore(tmp_path, tree())


def test_subtree_takes_over_the_backbone_alone(tmp_path):
    checkpoints.save(tmp_path / "c", tree(5.0))
    like = tree()
    like["params"]["head"] = {"another": jnp.ones(7)}
    merged = checkpoints.restore_subtree(tmp_path / "c", like, "backbone")
    assert_equal(merged["params"]["backbone"], tree(5.0)["params"]["backbone"])
    assert_equal(merged["batch_stats"], tree(5.0)["batch_stats"])
    assert_equal(merged["params"]["head"], like["params"]["head"])


def test_progress_keeps_the_newest_and_ignores_torn_ones(tmp_path):
    progress = checkpoints.Progress(tmp_path / "progress")
    assert progress.latest_step() == 0
    progress.save(10, tree(1.0))
    progress.save(20, tree(2.0))
    progress.finish()
    assert [path.name for path in progress.directory.iterdir()] == ["20"]
    # What a process killed while saving leaves behind.
    (progress.directory / "30.orbax-checkpoint-tmp").mkdir()
    assert progress.latest_step() == 20
    assert_equal(progress.restore(20, tree()), tree(2.0))
    progress.save(30, tree(3.0))
    progress.finish()
    assert [path.name for path in progress.directory.iterdir()] == ["30"]
    progress.clear()
    assert progress.latest_step() == 0


def test_a_checkpoint_in_writing_is_of_the_step_it_was_saved_at(tmp_path):
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    state = {"w": jnp.zeros(1_000_000)}
    with checkpoints.Progress(tmp_path) as progress:
        progress.save(10, state)
        for _ in range(5):
            state = step(state)
    np.testing.assert_array_equal(progress.restore(10, state)["w"], 0.0)


def test_what_is_being_written_is_complete_when_the_training_fails(tmp_path):
    def train():
        with checkpoints.Progress(tmp_path) as progress:
            progress.save(10, tree(1.0))
            raise InputError("loss is nan")

    with pytest.raises(InputError, match="loss"):
        train()
    assert_equal(checkpoints.Progress(tmp_path).restore(10, tree()), tree(1.0))


def test_a_checkpoint_that_cannot_be_written_stops_the_training(tmp_path):
    (tmp_path / "progress").touch()
    with pytest.raises(OSError, match="progress"), checkpoints.Progress(tmp_path / "progress") as progress:
        progress.save(10, tree(1.0))
