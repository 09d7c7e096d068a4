"""Dark photographs are brightened and say so; others stay as they are."""

import numpy as np
import pytest

from adeada_jax.report.brightness import median_luminance, photograph


@pytest.mark.parametrize("highest", [2, 20, 60])
def test_a_dark_photograph_gets_a_median_that_can_be_seen(highest):
    dark = np.random.default_rng(0).integers(0, highest, (300, 400, 3)).astype(np.uint8)
    dark[0, 0], dark[0, 1] = 0, 255
    caption, bright = photograph("image", dark)
    assert caption == "image, brightened"
    if highest > 2:  # two values leave no choice of a median
        assert median_luminance(bright) == pytest.approx(0.35, abs=0.06)
    assert (bright >= dark).all()
    assert (bright[0, 0] == 0).all()
    assert (bright[0, 1] == 255).all()
    order = np.argsort(dark[..., 1], axis=None)
    assert (np.diff(bright[..., 1].ravel()[order].astype(int)) >= 0).all()


def test_what_can_be_seen_stays_as_it_is():
    image = np.full((20, 30, 3), 60, np.uint8)
    image[:5] = 0
    assert photograph("regions by round", image) == ("regions by round", image)


def test_black_throughout_is_no_division_by_nothing():
    caption, image = photograph("image", np.zeros((4, 4, 3), np.uint8))
    assert caption == "image, brightened"
    assert not image.any()
