import itertools

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from adeada_jax.data import transforms

SIZE = {"height": 48, "width": 96}


def coloured(label):
    """An image that shows its label: grey level 10 times the id."""
    return np.repeat((10 * label)[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def example():
    label = np.zeros((48, 96), np.uint8)
    label[10:30, 15:50] = 7
    label[28:44, 60:90] = 18
    return {"name": "x", "image": coloured(label), "label": label, "regions": label.astype(np.int32)}


@pytest.fixture
def photograph(write_files):
    """Colours that change slowly, with little noise, in 70x130."""
    rng = np.random.default_rng(0)
    label = write_files.blocks(rng, range(19), 70, 130).astype(np.uint8)
    return {"image": write_files.photograph(rng, 70, 130), "label": label}


def agreement(result):
    """Share of pixels where the image still shows the label."""
    shown = np.rint(result["image"].astype(float).mean(axis=2) / 10)
    return (shown == result["label"]).mean()


def test_resize_moves_label_with_image(example):
    for size in ({"height": 24, "width": 48}, {"height": 96, "width": 192}, {"height": 36, "width": 60}):
        result = transforms.resize(example, **size)
        assert result["image"].shape == (*size.values(), 3)
        assert set(np.unique(result["label"])) == {0, 7, 18}
        assert agreement(result) > 0.9
        assert set(result) == {"image", "label"}


def test_resize_to_the_same_size_changes_nothing(example):
    result = transforms.resize(example, **SIZE)
    assert np.array_equal(result["image"], example["image"])
    assert np.array_equal(result["label"], example["label"])


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.2, 1.5])
@pytest.mark.parametrize("size", [(70, 130), (64, 128), (33, 65)])
def test_scaling_and_back_is_pillows(photograph, scale, size):
    result = transforms.scale_and_back(photograph, scale, height=size[0], width=size[1])
    inner, outer = (int(130 * scale), int(70 * scale)), size[::-1]
    image, label = (Image.fromarray(photograph[key]) for key in ("image", "label"))
    for target in (inner, outer):
        image = image.resize(target, Image.Resampling.BILINEAR)
        label = label.resize(target, Image.Resampling.NEAREST)
    assert np.array_equal(result["label"], np.asarray(label))
    difference = np.abs(result["image"].astype(int) - np.asarray(image))
    assert difference.mean() < 1
    assert difference.max() <= 10


def test_scaling_down_and_back_takes_detail_away(photograph):
    def detail(scale):
        image = transforms.scale_and_back(photograph, scale, height=70, width=130)["image"]
        return cv2.Laplacian(image, cv2.CV_64F).std()

    assert detail(0.5) < 0.7 * detail(0.8) < 0.7 * detail(1.0)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("factors", [(1, 1, 1), (0.5, 1.5, 0.5), (1.5, 0.5, 1.5), (1.4, 1.4, 1.4)])
def test_colour_jitter_is_pillows(photograph, factors, order):
    # What torchvision's ColorJitter calls; it cuts fractions off three times where ours are rounded.
    expected = Image.fromarray(photograph["image"])
    for i in order:
        enhance = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[i]
        expected = enhance(expected).enhance(factors[i])
    difference = transforms.color_jitter(photograph["image"], factors, order).astype(int) - expected
    assert np.abs(difference).max() <= 4
    assert np.abs(difference).mean() < 1.5


def test_what_is_drawn_is_uniform(example, monkeypatch):
    drawn = []

    def scale_and_back(example, scale, *, height, width):
        drawn.append([scale])
        return {"image": example["image"]}

    def color_jitter(image, factors, order):
        drawn[-1] += [*factors, tuple(order)]
        return image

    monkeypatch.setattr(transforms, "scale_and_back", scale_and_back)
    monkeypatch.setattr(transforms, "color_jitter", color_jitter)
    count, rng = 3000, np.random.default_rng(0)
    mirrored = 0
    for _ in range(count):
        result = transforms.augment(example, rng, **SIZE)
        mirrored += not np.array_equal(result["image"], example["image"])
    assert abs(mirrored / count - 0.5) < 0.04
    for values in list(zip(*drawn, strict=True))[:4]:
        quantiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
        assert np.abs(quantiles - [0.5, 0.75, 1, 1.25, 1.5]).max() < 0.04
    orders = [draw[4] for draw in drawn]
    for order in itertools.permutations(range(3)):
        assert abs(orders.count(order) / count - 1 / 6) < 0.03


def test_augment_is_a_pure_function_and_leaves_its_input(example):
    before = {key: np.copy(example[key]) for key in ("image", "label")}
    first = transforms.augment(example, np.random.default_rng(3), **SIZE)
    again = transforms.augment(example, np.random.default_rng(3), **SIZE)
    other = transforms.augment(example, np.random.default_rng(4), **SIZE)
    assert all(np.array_equal(first[key], again[key]) for key in ("image", "label"))
    assert not np.array_equal(first["image"], other["image"])
    assert all(np.array_equal(before[key], example[key]) for key in before)


def test_augmenting_an_image_does_not_depend_on_its_label(example):
    alone = {"image": example["image"]}
    first = transforms.augment(alone, np.random.default_rng(5), **SIZE)
    assert set(first) == {"image"}
    both = transforms.augment(example, np.random.default_rng(5), **SIZE)
    assert np.array_equal(first["image"], both["image"])


def test_variants_keep_label_and_image_together(example, monkeypatch):
    monkeypatch.setattr(transforms, "JITTER", 0.0)
    mirrored = 0
    for seed in range(20):
        result = transforms.augment(example, np.random.default_rng(seed), height=60, width=100)
        assert result["image"].shape == (60, 100, 3)
        assert agreement(result) > 0.85  # coarse borders
        mirrored += int(result["label"][40, 5] == 18 or result["label"][40, 20] == 18)
    assert 4 <= mirrored <= 16
