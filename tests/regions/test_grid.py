"""A grid of nearly square cells."""

import numpy as np
import pytest

from adeada_jax.partitions.grid import Grid


@pytest.mark.parametrize(
    ("size", "number", "found"),
    [((64, 128), 40, 40), ((64, 128), 41, 45), ((64, 128), 32, 32), ((3, 5), 40, 15), ((1, 50), 7, 7)],
)
def test_about_as_many_cells_as_asked_and_nearly_square_ones(size, number, found):
    regions = Grid({"num_segments": number}).divide(np.zeros((*size, 3), np.uint8), "x")
    assert regions.shape == size
    assert regions.dtype == np.int32
    pixels = np.bincount(regions.ravel())
    assert len(pixels) == found
    assert pixels.max() <= 2 * pixels.min()
    for cell in range(found):
        rows, columns = np.nonzero(regions == cell)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height * width == pixels[cell]
        if min(size) > 1:
            assert max(height, width) <= 2 * min(height, width)
