"""Frozen and trained batch norm: the same numbers in other places."""

from functools import cache

import jax
import numpy as np

from adeada_jax.models import Segmenter
from adeada_jax.models.norm_places import rearranged
from adeada_jax.training import checkpoints

IMAGES = np.random.default_rng(0).normal(size=(1, 33, 49, 3)).astype(np.float32)


def made(frozen):
    segmenter = Segmenter("deeplabv3plus", backbone="resnet18_half", num_classes=5, freeze_batch_norm=frozen)
    tree = dict(zip(("params", "batch_stats"), segmenter.init(0), strict=True))
    rng = np.random.default_rng(1)
    shaken = jax.tree.map(lambda leaf: np.asarray(leaf) + rng.uniform(0.1, 0.3, leaf.shape).astype("f"), tree)
    return segmenter, shaken


@cache
def compiled(segmenter):
    return jax.jit(lambda tree: segmenter.apply(**tree, images=IMAGES, train=False)[0].logits)


def test_a_checkpoint_of_either_kind_serves_the_other(tmp_path):
    (frozen, frozen_tree), (trained, trained_tree) = made(True), made(False)
    for segmenter, tree, other, like in (
        (frozen, frozen_tree, trained, trained_tree), (trained, trained_tree, frozen, frozen_tree)
    ):  # fmt: skip
        checkpoints.save(tmp_path / "checkpoint", tree)
        checkpoints.check(tmp_path / "checkpoint", like)
        read = checkpoints.restore(tmp_path / "checkpoint", like)
        assert jax.tree.structure(read) == jax.tree.structure(like)
        ours, theirs = compiled(other)(read), compiled(segmenter)(tree)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        jax.tree.map(np.testing.assert_array_equal, rearranged(read, tree), tree)


def test_other_trees_and_strange_leaves_stay_as_they_are():
    _, like = made(True)
    assert rearranged({"params": {"a": 1}}, like) == {"params": {"a": 1}}
    tree = {"params": {"backbone": {"norm": {"odd": 1}}}, "batch_stats": {"bn": {"mean": 2}}}
    assert rearranged(tree, like) == tree
    assert rearranged(tree, [1]) is tree
