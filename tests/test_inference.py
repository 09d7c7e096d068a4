"""The region table against upsampling everything in NumPy, for images of several sizes."""

import jax
import numpy as np
import pytest

from adeada_jax.data import transforms
from adeada_jax.method.ingredients.ingredient import Outputs
from adeada_jax.method.ingredients.network import TargetProbability
from adeada_jax.method.ingredients.providers import ALWAYS
from adeada_jax.method.ingredients.uncertainty import PredictedShares, SecondBest
from adeada_jax.models import Discriminator, Segmenter, normalize, upsample
from adeada_jax.run.inference import infer_regions
from adeada_jax.run.region_file import load_regions, save_regions

SIZES = [(40, 56), (32, 48), (40, 56)]


class Source:
    """Three images of two sizes with 3, 5 and 7 regions, one id of the last unused."""

    names = ("a", "b", "c")

    def __len__(self):
        return 3

    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        regions = rng.integers(0, 3 + 2 * i, SIZES[i]).astype(np.int32)
        if i == 2:
            regions[regions == 4] = 5
        return {"image": rng.integers(0, 256, (*SIZES[i], 3)).astype(np.uint8), "regions": regions}


@pytest.fixture(scope="module")
def model():
    segmenter = Segmenter("deeplabv2", backbone="resnet18_half", num_classes=4)
    return segmenter, *segmenter.init(0)


@pytest.fixture(scope="module")
def table(model):
    ingredients = [*ALWAYS, SecondBest(), PredictedShares()]
    return infer_regions(*model, Source(), height=40, width=56, batch_size=2, ingredients=ingredients)


def test_every_region_is_listed_in_order_with_its_pixels(table):
    expected = []
    for i in range(3):
        ids, pixels = np.unique(Source()[i]["regions"], return_counts=True)
        expected += [(i, r, n) for r, n in zip(ids, pixels, strict=True)]
    assert list(zip(table.image, table.region, table.pixels, strict=True)) == expected
    assert (2, 4) not in set(zip(table.image, table.region, strict=True))


@pytest.mark.parametrize("i", [0, 2])
def test_means_equal_upsampling_everything(model, table, i):
    segmenter, params, batch_stats = model
    example = Source()[i]
    images = normalize(example["image"][None])
    segmentation, _ = segmenter.apply(params, batch_stats, images, train=False)
    features = np.asarray(upsample(segmentation.features, *SIZES[i])[0], np.float64)
    logits = np.asarray(upsample(segmentation.logits, *SIZES[i])[0], np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    ordered = np.sort(p, axis=-1)
    measures = {
        "features": features,
        "probabilities": p,
        "entropy": -(p * np.log(p)).sum(axis=-1),
        "margin": ordered[..., -1] - ordered[..., -2],
        "confidence": ordered[..., -1],
        "second_best": ordered[..., -2] / ordered[..., -1],
        "predicted_shares": np.eye(4)[p.argmax(axis=-1)],
    }
    mine = table.image == i
    for name, values in measures.items():
        means = np.stack([values[example["regions"] == r].mean(axis=0) for r in table.region[mine]])
        np.testing.assert_allclose(table[name][mine], means, rtol=2e-4, atol=2e-5, err_msg=name)
    np.testing.assert_array_equal(table.classes, table["probabilities"].argmax(axis=1))


def test_target_probability_is_the_mean_of_the_upsampled_discriminator(model):
    segmenter, params, batch_stats = model
    discriminator = Discriminator(4)
    judged = (discriminator, discriminator.init(1))
    found = infer_regions(
        *model, Source(), height=64, width=128, ingredients=[TargetProbability()], discriminator=judged
    )
    for i in (0, 1):
        example = Source()[i]
        resized = transforms.resize({"image": example["image"]}, height=64, width=128)["image"]
        segmentation, _ = segmenter.apply(params, batch_stats, normalize(resized[None]), train=False)
        maps = jax.nn.softmax(upsample(segmentation.logits, 64, 128))
        scores = jax.nn.sigmoid(discriminator.apply(judged[1], maps))
        assert scores.shape == (1, 2, 4, 1)
        probability = np.asarray(upsample(scores, *SIZES[i])[0, ..., 0])
        mine = found.image == i
        means = [probability[example["regions"] == r].mean() for r in found.region[mine]]
        np.testing.assert_allclose(found["target_probability"][mine], means, rtol=1e-4)


def test_the_columns_are_the_ingredients(model, table):
    always = {"features", "probabilities", "entropy", "margin", "confidence"}
    assert set(table.columns) == always | {"second_best", "predicted_shares"}

    class Blue:
        name, discriminator = "blue", False

        def maps(self, outputs):
            return outputs.features[..., :2]

    found = infer_regions(*model, Source(), height=40, width=56, ingredients=[Blue()])
    assert set(found.columns) == {"blue"}
    np.testing.assert_allclose(found["blue"], table["features"][:, :2], rtol=1e-4, atol=1e-5)


def test_batches_change_nothing(model, table):
    one = infer_regions(*model, Source(), height=40, width=56, batch_size=1)
    for name in ("features", "probabilities", "entropy", "margin", "confidence"):
        np.testing.assert_allclose(one[name], table[name], rtol=1e-4, atol=1e-5)


def test_equal_scores_have_no_margin_and_full_entropy():
    log_p = np.log(np.full((1, 1, 1, 4), 0.25, np.float32))
    outputs = Outputs(np.zeros(1), np.zeros(1), log_p, np.zeros(1))
    values = [np.asarray(ingredient.maps(outputs)).ravel() for ingredient in ALWAYS[1:]]
    expected = [0.25] * 4 + [np.log(4), 0, 0.25]
    np.testing.assert_allclose(np.concatenate(values), expected, rtol=1e-6, atol=1e-7)


def test_save_and_load(table, tmp_path):
    save_regions(tmp_path / "table.safetensors", table)
    loaded = load_regions(tmp_path / "table.safetensors")
    assert loaded.names == table.names
    np.testing.assert_array_equal(loaded["features"], table["features"])
    assert loaded.pixels.dtype == np.int64
