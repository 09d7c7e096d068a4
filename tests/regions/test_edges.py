"""Edge shares of regions on an image whose edges are known."""

import numpy as np

from adeada_jax.method.ingredients.edges import Edges, edge_map


def test_edges_lie_at_the_border_of_two_colours_and_nowhere_else():
    image = np.full((40, 60, 3), 20, np.uint8)
    image[:, 30:] = (230, 200, 180)
    rows, columns = np.nonzero(edge_map(image))
    assert set(rows.tolist()) == set(range(40))
    assert (np.abs(columns - 29.5) < 2).all()


def test_shares_are_of_each_regions_pixels():
    image = np.full((40, 60, 3), 20, np.uint8)
    image[:, 30:] = 230
    regions = np.zeros((40, 60), np.int32)
    regions[:, 20:40] = 1
    regions[:, 40:] = 3
    edges = edge_map(image)
    expected = [edges[regions == r].mean() if (regions == r).any() else 0 for r in range(4)]
    np.testing.assert_allclose(Edges().values(image, regions), expected, rtol=1e-6)
    assert expected[0] == 0
    assert expected[1] > 0
