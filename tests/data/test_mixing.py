"""Batches made of two streams."""

import itertools

import numpy as np

from adeada_jax.data import loader


def test_half_of_each_batch_comes_from_each_stream():
    first = ({"image": np.full((2, 1), t), "place": np.arange(2)} for t in itertools.count())
    second = ({"image": np.full((2, 1), -t), "place": np.arange(2)} for t in itertools.count())
    batches = list(itertools.islice(loader.joined(first, second, size=2), 3))
    assert [batch["image"].ravel().tolist() for batch in batches] == [
        [0, 0, 0, 0],
        [1, 1, -1, -1],
        [2, 2, -2, -2],
    ]
    assert [batch["place"].tolist() for batch in batches] == [[0, 1, 2, 3]] * 3
