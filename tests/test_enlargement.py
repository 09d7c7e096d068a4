"""Class ids at an image's own size: the bits of enlarging all classes at once, in less memory."""

import tracemalloc

import cv2
import numpy as np
import pytest

from adeada_jax.evaluation import enlargement
from adeada_jax.evaluation.enlargement import labels_of


def at_once(scores, height, width):
    enlarged = cv2.resize(scores, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged.reshape(height, width, -1).argmax(axis=-1).astype(np.uint8)


@pytest.mark.parametrize("block", [1, 5_000, 1 << 28])
@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 19, 128])
def test_labels_are_those_of_all_classes_enlarged_at_once(classes, block, monkeypatch):
    monkeypatch.setattr(enlargement, "_BLOCK_BYTES", block)
    rng = np.random.default_rng(classes)
    for _ in range(8):
        sizes = rng.integers(1, 40, 2), rng.integers(1, 150, 2)
        scores = rng.normal(size=(*sizes[0], classes)).astype(np.float32)
        labels = labels_of(scores, *map(int, sizes[1]))
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, at_once(scores, *map(int, sizes[1])))


@pytest.mark.parametrize("classes", [129, 150, 254])
def test_more_classes_than_can_be_enlarged_at_once(classes):
    rng = np.random.default_rng(classes)
    scores = rng.normal(size=(12, 16, classes)).astype(np.float32)
    half = classes // 2
    enlarged = [cv2.resize(part, (80, 50)) for part in (scores[..., :half], scores[..., half:])]
    expected = np.concatenate(enlarged, axis=-1).argmax(axis=-1)
    np.testing.assert_array_equal(labels_of(scores, 50, 80), expected)
    assert len(np.unique(expected)) > 100


@pytest.mark.parametrize("block", [1, 1 << 28])
def test_of_equal_scores_the_first_class_wins(block, monkeypatch):
    monkeypatch.setattr(enlargement, "_BLOCK_BYTES", block)
    scores = np.zeros((4, 4, 150), np.float32)
    assert not labels_of(scores, 8, 8).any()
    scores[..., [60, 70, 149]] = 1
    assert (labels_of(scores, 8, 8) == 60).all()


@pytest.mark.parametrize("classes", [19, 254])
def test_scores_of_all_classes_are_never_held_enlarged(classes, monkeypatch):
    monkeypatch.setattr(enlargement, "_BLOCK_BYTES", 1 << 22)
    scores = np.random.default_rng(0).normal(size=(16, 32, classes)).astype(np.float32)
    tracemalloc.start()
    labels_of(scores, 1000, 2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1000 * 2000 * 5 + 10 * (1 << 22) < 4 * 1000 * 2000 * classes
