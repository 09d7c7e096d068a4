"""The student's colour jitter and blur against Pillow, Matplotlib and SciPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter1d

from adeada_jax.training import strong_augmentation as strong

SIZE = (3, 12, 20, 3)
JITTED = tuple(map(jax.jit, strong.ADJUSTMENTS))
ENHANCED = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("factor", [0.8, 1.0, 1.2])
def test_brightness_contrast_and_saturation_are_pillows_but_for_its_rounding(images, number, factor):
    expected = np.asarray(ENHANCED[number](Image.fromarray(images[0])).enhance(factor)) / 255
    found = JITTED[number](jnp.asarray(images[0] / 255, jnp.float32), factor)
    assert np.abs(found - expected).max() < 2 / 255


@pytest.mark.parametrize("turn", [-0.2, 0.0, 0.13, 0.2])
def test_hues_turn_as_matplotlibs_do(images, turn):
    colors = images[0] / 255
    colors[0, :3] = [[0.3, 0.3, 0.3], [0, 0, 0], [1, 1, 1]]  # without a hue
    hsv = rgb_to_hsv(colors)
    hsv[..., 0] = (hsv[..., 0] + turn) % 1
    found = JITTED[3](jnp.asarray(colors, jnp.float32), turn)
    assert np.abs(found - hsv_to_rgb(hsv)).max() < 1e-5


def blurred(image, sigma):
    for axis in (0, 1):
        image = gaussian_filter1d(image, sigma, axis=axis, mode="mirror", radius=strong.BLUR_RADIUS)
    return image


@pytest.mark.parametrize("sigma", strong.BLUR_SIGMAS)
def test_the_blur_is_scipys(images, sigma):
    image = images[0].astype(np.float32)
    assert np.abs(jax.jit(strong.blur)(image, sigma) - blurred(image, sigma)).max() < 1e-3


def test_what_an_images_draws_say_is_done_in_the_given_order(images):
    """The first is only jittered, the second only blurred, the third neither."""
    pixels = jnp.asarray(images / 255, jnp.float32)
    factors = np.array([0.9, 1.1, 0.85, -0.1])
    draws = np.zeros((3, strong.DRAWS), np.float32)
    draws[:, :2] = [[0.79, 0.51], [0.81, 0.49], [0.81, 0.51]]
    draws[:, 2:6] = (factors - [1, 1, 1, 0]) / 0.4 + 0.5
    draws[:, 6] = 0.5
    augment, results = jax.jit(strong.augment_strongly), []
    for order in itertools.islice(itertools.permutations(range(4)), 0, 24, 7):
        found = np.asarray(augment(pixels, draws, np.array(order)))
        expected = pixels[0]
        for number in order:
            expected = JITTED[number](expected, factors[number])
        assert np.abs(found[0] - expected).max() < 1e-5
        assert np.abs(found[1] - blurred(images[1] / 255, 0.65)).max() < 1e-5
        assert np.array_equal(found[2], pixels[2])
        results.append(found[0])
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.combinations(results, 2))
