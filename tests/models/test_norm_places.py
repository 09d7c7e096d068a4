"""Checkpoints of before, which kept frozen batch norm wholly among the statistics."""

import jax
import numpy as np
import pytest

from adeada_jax.models import Segmenter
from adeada_jax.models.norm_places import with_norms_as_now
from adeada_jax.training import checkpoints


def now_and_former(backbone="resnet18_half"):
    """A segmenter's tree, and the same as it was kept."""
    segmenter = Segmenter("deeplabv3plus", backbone=backbone, num_classes=5)
    rng = np.random.default_rng(1)
    params, batch_stats = jax.tree.map(
        lambda leaf: rng.uniform(0.1, 0.3, leaf.shape).astype(np.float32), segmenter.shapes
    )

    def former(params, stats):
        kept, numbers = {}, {}
        for name, part in params.items():
            if not isinstance(part, dict):
                kept[name] = part
            elif "norm" in part:
                numbers[name] = {**part["norm"], **stats[name]["norm"]}
            else:
                kept[name], inner = former(part, stats.get(name, {}))
                if inner:
                    numbers[name] = inner
        return {name: part for name, part in kept.items() if not isinstance(part, dict) or part}, numbers

    kept, numbers = former(params, batch_stats)
    return {"params": params, "batch_stats": batch_stats}, {"params": kept, "batch_stats": numbers}


@pytest.mark.parametrize("backbone", ["resnet18_half", "efficientnet_lite0"])
def test_a_checkpoint_of_before_is_read_as_one_of_now(tmp_path, backbone):
    now, former = now_and_former(backbone)
    assert jax.tree.structure(former) != jax.tree.structure(now)
    checkpoints.save(tmp_path / "checkpoint", former)
    checkpoints.check(tmp_path / "checkpoint", now)
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(tmp_path / "checkpoint", now), now)
    like = jax.tree.map(np.zeros_like, now)
    taken = checkpoints.restore_subtree(tmp_path / "checkpoint", like, "backbone")
    for part in ("params", "batch_stats"):
        jax.tree.map(np.testing.assert_array_equal, taken[part]["backbone"], now[part]["backbone"])
        jax.tree.map(np.testing.assert_array_equal, taken[part]["head"], like[part]["head"])


def test_other_trees_and_strange_leaves_stay_as_they_are():
    now, _ = now_and_former()
    assert with_norms_as_now({"params": {"a": 1}}) == {"params": {"a": 1}}
    tree = {"params": {"backbone": {"norm": {"odd": 1}}}, "batch_stats": {"bn": {"mean": 2}}}
    assert with_norms_as_now(tree) == tree
    jax.tree.map(np.testing.assert_array_equal, with_norms_as_now(now), now)
    assert with_norms_as_now(3) == 3
