import math

import numpy as np
import pytest

from adeada_jax.data.builders.examples import encode_example, ordered_map
from adeada_jax.data.images import decode_image, decode_map
from adeada_jax.partitions.slic import slic_regions


def test_processes_keep_the_order():
    items = [float(i) for i in range(200)]
    assert list(ordered_map(math.sqrt, items)) == [math.sqrt(i) for i in items]


def test_errors_of_processes_arrive_here():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(ordered_map(math.sqrt, [1.0] * 40 + [-1.0]))


def test_short_lists_need_no_processes():
    # A lambda cannot be sent to another process.
    assert list(ordered_map(lambda i: i + 1, range(3))) == [1, 2, 3]


def test_encoding_loses_nothing():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 48, 3), dtype=np.uint8)
    label = rng.integers(0, 19, (32, 48), dtype=np.uint8)
    example = encode_example("a", image, label, num_segments=6, compactness=5.0)
    assert example["name"] == "a"
    assert np.array_equal(decode_image(example["image"], "a"), image)
    assert np.array_equal(decode_map(example["label"], "label"), label)
    regions = decode_map(example["regions"], "regions")
    assert regions.dtype == np.uint16
    assert np.array_equal(regions, slic_regions(image, num_segments=6, compactness=5.0))
