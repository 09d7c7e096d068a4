import numpy as np
import pytest
from scipy import ndimage

from adeada_jax.data.toy_streets import render
from adeada_jax.regions.slic import slic_regions


@pytest.fixture(scope="module")
def image():
    return render("rendered", "train", 0, height=64, width=128)[0]


def test_ids_are_contiguous_and_each_region_is_one_patch(image):
    regions = slic_regions(image)
    assert regions.dtype == np.int32
    assert regions.shape == (64, 128)
    assert np.array_equal(np.unique(regions), np.arange(regions.max() + 1))
    for region in range(regions.max() + 1):
        assert ndimage.label(regions == region)[1] == 1


def test_settings_matter(image):
    few, many = slic_regions(image, num_segments=8), slic_regions(image, num_segments=80)
    assert 2 <= few.max() + 1 < many.max() + 1 <= 160
    assert not np.array_equal(slic_regions(image, compactness=0.1), slic_regions(image, compactness=100.0))


def test_borders_follow_colour():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 33:] = (250, 40, 40)
    regions = slic_regions(image, num_segments=6)
    assert not set(np.unique(regions[:, :33])) & set(np.unique(regions[:, 33:]))


def test_a_uniform_image_still_gives_regions():
    regions = slic_regions(np.full((32, 32, 3), 7, np.uint8), num_segments=4)
    assert np.array_equal(np.unique(regions), np.arange(regions.max() + 1))


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_other_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="uint8"):
        slic_regions(bad)
