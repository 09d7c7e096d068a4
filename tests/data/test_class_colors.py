"""Colours that are made for classes: all different, the given ones kept, told apart as well as may be."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from adeada_jax.data.builders.class_colors import fill_palette

_ALL = np.eye(3)
# Linear RGB as eyes without green cones see it, by another model than the palette's (Vienot et al., 1999).
_DEUTAN = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def least_distance(palette, vision=_ALL):
    """The least CIELAB distance of two colours, as an eye sees them that mixes linear RGB so."""
    linear = (palette / 255.0) ** 2.2
    lab = rgb2lab(np.clip(linear @ vision.T, 0, 1) ** (1 / 2.2))
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return distances[~np.eye(len(palette), dtype=bool)].min()


@pytest.mark.parametrize("number", [1, 2, 19, 254])
def test_no_two_are_equal_nor_black_nor_those_that_are_given(number):
    given = [(17, 34, 51), None, (250, 250, 250)]
    palette = fill_palette([*given, *[None] * (number - 1)])
    assert (palette.dtype, palette.shape) == (np.uint8, (number + 2, 3))
    assert (palette[0].tolist(), palette[2].tolist()) == ([17, 34, 51], [250, 250, 250])
    assert len({(0, 0, 0), *map(tuple, palette.tolist())}) == number + 3
    assert np.array_equal(palette, fill_palette([*given, *[None] * (number - 1)]))


def test_colours_that_are_given_stay_as_they_are():
    assert fill_palette([(1, 2, 3), (1, 2, 4)]).tolist() == [[1, 2, 3], [1, 2, 4]]
    assert fill_palette([]).shape == (0, 3)


@pytest.mark.parametrize(("number", "apart"), [(5, 25), (8, 20), (19, 10), (50, 5)])
def test_they_are_told_apart_by_eyes_without_green_cones_too(number, apart):
    palette = fill_palette([None] * number)
    assert least_distance(palette) > apart
    assert least_distance(palette, _DEUTAN) > apart
    drawn = [np.random.default_rng(seed).integers(0, 256, (number, 3)) for seed in range(20)]
    assert least_distance(palette, _DEUTAN) > 2 * np.median([least_distance(p, _DEUTAN) for p in drawn])
