"""Rare-class sampling: DAFormer's probabilities, and images drawn by them."""

import pickle

import numpy as np
import pytest

from adeada_jax.data import rare_classes
from adeada_jax.data.rare_classes import RareClassImages
from adeada_jax.errors import InputError


class Labels:
    """Labels of 10 x 10 pixels, and images that are their numbers."""

    def __init__(self, labels):
        self.labels = np.asarray(labels, np.uint8)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"image": index}

    def label(self, index):
        return self.labels[index]


@pytest.fixture(scope="module")
def source():
    """Class 0 everywhere, class 1 in one image of five, class 2 in one of ten, class 3 nowhere."""
    labels = np.zeros((50, 10, 10))
    labels[:10, :3] = 1
    labels[:5, 5, :2] = 2
    labels[:, 9] = 255
    return Labels(labels)


def test_shares_are_of_all_pixels(source):
    shares = rare_classes.class_shares(source, range(50), 4)
    assert shares[0] == pytest.approx([0.58, 0.3, 0.02, 0])
    assert shares[49] == pytest.approx([0.9, 0, 0, 0])


def test_probabilities_are_those_of_the_equation(source):
    shares = rare_classes.class_shares(source, range(50), 4)
    for temperature in (0.1, 1.0):
        weights = np.exp((1 - shares.mean(0)) / temperature) * [1, 1, 1, 0]
        expected = weights / weights.sum()
        assert rare_classes.class_probabilities(shares, temperature) == pytest.approx(expected)
    tiny = np.full((3, 2), [0.9, rare_classes.LEAST_SHARE / 2])
    assert rare_classes.class_probabilities(tiny, 0.01).tolist() == [1, 0]


def test_images_are_drawn_as_their_rarest_classes_are(source):
    shares = rare_classes.class_shares(source, range(50), 4)
    p = rare_classes.class_probabilities(shares, 0.5)
    counts = np.zeros(50)
    for seed in range(200):
        images = RareClassImages(source, shares, temperature=0.5, seed=seed)
        assert len(images) == 50
        counts += np.bincount([images[i]["image"] for i in range(50)], minlength=50)
    having = np.array([50, 10, 5, 1])
    expected = ((shares > 0) * p / having).sum(1)
    for group in (slice(0, 5), slice(5, 10), slice(10, 50)):  # of 10,000 draws at least 700 each
        assert counts[group].sum() / 10_000 == pytest.approx(expected[group].sum(), rel=0.1)
    assert counts.min() > 0


def test_a_seed_always_draws_the_same_and_another_another(source):
    shares = rare_classes.class_shares(source, range(50), 4)
    one, same, other = (RareClassImages(source, shares, temperature=0.5, seed=s) for s in (1, 1, 2))
    assert one.indices.tolist() == same.indices.tolist() == pickle.loads(pickle.dumps(one)).indices.tolist()
    assert one.indices.tolist() != other.indices.tolist()


def test_labels_too_sparse_to_draw_by_are_refused():
    with pytest.raises(InputError, match=r"finetune\.rare_class_sampling: no source image has 0\.15% of its"):
        rare_classes.class_probabilities(np.full((3, 2), 0.001), 0.01)
