import numpy as np
import pytest
from scipy import ndimage

from adeada_jax.partitions.slic import slic_regions
from adeada_jax.toy.streets import render


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


@pytest.mark.parametrize("number", [1, 8, 40, 150])
def test_as_many_regions_as_asked(image, number):
    assert slic_regions(image, num_segments=number).max() + 1 == number


@pytest.mark.parametrize("size", [(300, 1000), (1000, 300), (777, 555), (9, 2000)])
def test_large_images_of_any_shape_have_connected_regions(size):
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
    image = np.repeat(np.repeat(coarse, -(-size[0] // 12), axis=0), -(-size[1] // 12), axis=1)
    regions = slic_regions(np.ascontiguousarray(image[: size[0], : size[1]]))
    assert regions.shape == size
    assert regions.max() + 1 == 40
    for region in range(40):
        assert ndimage.label(regions == region)[1] == 1


def test_fewer_pixels_than_regions_are_one_each():
    regions = slic_regions(np.zeros((3, 5, 3), np.uint8))
    assert np.array_equal(np.sort(regions.ravel()), np.arange(15))


def test_settings_matter(image):
    assert not np.array_equal(slic_regions(image, compactness=0.1), slic_regions(image, compactness=100.0))


def test_borders_follow_colour():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 33:] = (250, 40, 40)
    regions = slic_regions(image, num_segments=6)
    assert not set(np.unique(regions[:, :33])) & set(np.unique(regions[:, 33:]))


def test_a_uniform_image_still_gives_regions():
    regions = slic_regions(np.full((32, 32, 3), 7, np.uint8), num_segments=4)
    assert np.array_equal(np.unique(regions), np.arange(4))
    assert np.bincount(regions.ravel()).min() > 32 * 32 / 12


@pytest.mark.parametrize("size", [(96, 192), (20, 31), (1, 300), (300, 2)])
@pytest.mark.parametrize("texture", ["noise", "stripes"])
def test_textures_that_leave_slic_no_patches_still_give_regions(size, texture):
    if texture == "noise":
        image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    else:
        image = np.zeros((*size, 3), np.uint8)
        image[:, ::2] = 255
    for number in (2, 40):
        regions = slic_regions(image, num_segments=number)
        assert np.array_equal(np.unique(regions), np.arange(number))
        for region in range(number):
            assert ndimage.label(regions == region)[1] == 1


@pytest.mark.parametrize("bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_other_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="uint8"):
        slic_regions(bad)
