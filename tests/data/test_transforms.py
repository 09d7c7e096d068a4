import numpy as np
import pytest

from adeada_jax.data import transforms
from adeada_jax.types import IGNORE_LABEL


def coloured(label):
    """An image that shows its label: grey level 10 times the id."""
    return np.repeat((10 * label)[..., None], 3, axis=2).astype(np.uint8)


@pytest.fixture
def example():
    label = np.zeros((48, 96), np.uint8)
    label[10:30, 15:50] = 7
    label[28:44, 60:90] = 18
    return {"name": "x", "image": coloured(label), "label": label, "regions": label.astype(np.int32)}


def agreement(result):
    """Share of labelled pixels where the image still shows the label."""
    known = result["label"] != IGNORE_LABEL
    shown = np.rint(result["image"].astype(float).mean(axis=2) / 10)
    return (shown == result["label"])[known].mean()


def test_resize_moves_label_with_image(example):
    for size in ({"height": 24, "width": 48}, {"height": 96, "width": 192}, {"height": 36, "width": 60}):
        result = transforms.resize(example, **size)
        assert result["image"].shape == (*size.values(), 3)
        assert set(np.unique(result["label"])) == {0, 7, 18}
        assert agreement(result) > 0.9
        assert set(result) == {"image", "label"}


def test_resize_to_the_same_size_changes_nothing(example):
    result = transforms.resize(example, height=48, width=96)
    assert np.array_equal(result["image"], example["image"])
    assert np.array_equal(result["label"], example["label"])


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.2, 1.5])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.99, 0.99), (0.3, 0.8)])
def test_scaling_moves_label_with_image(example, scale, place):
    result = transforms.random_scale(example, scale, np.array(place))
    assert result["image"].shape == (48, 96, 3)
    assert agreement(result) > 0.9
    if scale <= 1:
        inside = result["label"] != IGNORE_LABEL
        assert inside.sum() == round(48 * scale) * round(96 * scale)
        assert (result["image"][~inside] == transforms._PADDING).all()
    else:
        assert (result["label"] != IGNORE_LABEL).all()


def test_scale_changes_the_size_of_things(example):
    def area(scale):
        return (transforms.random_scale(example, scale, np.array([0.0, 0.0]))["label"] == 7).sum()

    assert area(0.5) == pytest.approx(area(1.0) / 4, rel=0.1)
    assert area(1.5) > 1.6 * area(1.0)  # part of it is cut off


def test_augment_is_a_pure_function_and_leaves_its_input(example):
    before = {key: np.copy(example[key]) for key in ("image", "label")}
    first = transforms.augment(example, np.random.default_rng(3))
    again = transforms.augment(example, np.random.default_rng(3))
    other = transforms.augment(example, np.random.default_rng(4))
    assert all(np.array_equal(first[key], again[key]) for key in ("image", "label"))
    assert not np.array_equal(first["image"], other["image"])
    assert all(np.array_equal(before[key], example[key]) for key in before)


def test_augmenting_an_image_does_not_depend_on_its_label(example):
    alone = {"image": example["image"]}
    first = transforms.augment(alone, np.random.default_rng(5))
    assert set(first) == {"image"}
    assert np.array_equal(first["image"], transforms.augment(example, np.random.default_rng(5))["image"])


def test_half_of_the_variants_are_mirrored_together_with_their_labels(monkeypatch):
    monkeypatch.setattr(transforms, "SCALES", (1.0, 1.0))
    monkeypatch.setattr(transforms, "JITTER", 0.0)
    label = np.zeros((8, 16), np.uint8)
    label[:, :4] = 9
    example = {"image": coloured(label), "label": label}
    mirrored = 0
    for seed in range(40):
        result = transforms.augment(example, np.random.default_rng(seed))
        assert np.abs(result["image"].astype(int) - coloured(result["label"])).max() <= 1
        mirrored += int(result["label"][0, 0] == 0)
    assert 10 <= mirrored <= 30


def test_colour_jitter_follows_its_definition():
    rng = np.random.default_rng(0)
    image = rng.integers(60, 150, (6, 7, 3), dtype=np.uint8)
    luma = np.array([0.299, 0.587, 0.114])
    for brightness, contrast, saturation in (
        (1, 1, 1),
        (1.3, 1, 1),
        (1, 0.6, 1),
        (1, 1, 1.5),
        (0.8, 1.2, 0.5),
    ):
        expected = image * brightness
        mean = (expected @ luma).mean()
        expected = mean + contrast * (expected - mean)
        gray = (expected @ luma)[..., None]
        expected = np.clip(gray + saturation * (expected - gray), 0, 255)
        result = transforms.color_jitter(image, brightness, contrast, saturation)
        assert np.abs(result - expected).max() <= 1
