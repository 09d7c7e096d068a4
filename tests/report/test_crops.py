"""A region's picture shows all of it with what is around, whatever its place and size."""

import numpy as np
import pytest

from adeada_jax.labels import PALETTE
from adeada_jax.report.crops import outlined, painted, window


@pytest.mark.parametrize("box", [(0, 0, 5, 5), (190, 290, 10, 10), (0, 0, 200, 300), (90, 10, 4, 250),
                                 (10, 150, 180, 3), (70, 100, 60, 90)])  # fmt: skip
def test_the_window_lies_in_the_image_and_holds_the_region(box):
    top, left, tall, broad = box
    rows, columns = window((slice(top, top + tall), slice(left, left + broad)), 200, 300)
    assert 0 <= rows.start <= top < top + tall <= rows.stop <= 200
    assert 0 <= columns.start <= left < left + broad <= columns.stop <= 300
    assert rows.stop - rows.start >= 48
    assert (columns.stop - columns.start) / (rows.stop - rows.start) == pytest.approx(1.5, abs=0.02)


def test_the_window_of_an_image_smaller_than_the_least_is_all_of_it():
    assert window((slice(3, 9), slice(0, 4)), 20, 30) == (slice(0, 20), slice(0, 30))


@pytest.fixture
def region():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    inside = np.zeros((40, 60), bool)
    inside[10:30, 20:50] = True
    return image, inside


def test_the_outline_keeps_to_the_regions_border(region):
    image, inside = region
    picture = outlined(image, inside)
    assert (picture[11:29, 21:49] == image[11:29, 21:49]).all()
    assert (picture[10, 20:50] == 0).all()
    assert (picture[9, 20:50] == 255).all()
    assert (picture[:9] == image[:9]).all()


def test_paint_is_of_the_classes_and_black_where_nobody_knows(region):
    image, inside = region
    label = np.full((40, 60), 13, np.uint8)
    label[:, :30] = 255
    picture = painted(np.zeros_like(image), inside, label, PALETTE)
    assert (picture[15, 25] == 0).all()
    np.testing.assert_array_equal(picture[15, 40], (0.65 * PALETTE[13]).round())
    outside = painted(image, inside, label, PALETTE)[0, 0]
    assert len(set(outside.tolist())) == 1
