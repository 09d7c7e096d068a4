"""Confusion matrices and IoU against hand counts."""

import numpy as np
import pytest

from adeada_jax.data.subset import Subset
from adeada_jax.evaluation import confusion
from adeada_jax.labels import CLASS_NAMES
from adeada_jax.models import Segmenter, normalize, upsample


def test_counts_labels_in_rows_and_leaves_out_ignored_pixels():
    predictions = np.array([[0, 1, 1], [2, 0, 0]])
    labels = np.array([[0, 1, 0], [2, 255, 255]], np.uint8)
    matrix = confusion.confusion_matrix(predictions, labels, 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [0, 0, 1]])


def test_iou_of_a_hand_example_and_absent_classes():
    matrix = np.array([[3, 1, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [2, 0, 0, 0]])
    values = confusion.iou(matrix)
    np.testing.assert_allclose(values, [3 / 7, 3 / 5, np.nan, 0.0])
    assert confusion.mean_iou(values) == pytest.approx(100 * (3 / 7 + 3 / 5 + 0) / 3)
    assert confusion.mean_iou(values, [0, 2]) == pytest.approx(300 / 7)
    assert np.isnan(confusion.mean_iou(values, [2]))


def test_evaluation_is_at_the_labels_own_resolution_and_counts_images(capsys):
    class Source:
        sizes = ((30, 44), (24, 32), (30, 44))
        names = ("a", "b", "c")

        def __len__(self):
            return 3

        def __getitem__(self, i):
            rng = np.random.default_rng(i)
            label = rng.choice([0, 1, 2, 255], self.sizes[i]).astype(np.uint8)
            return {"image": rng.integers(0, 256, (*self.sizes[i], 3)).astype(np.uint8), "label": label}

    network = {"name": "tests.small_network:Linear", "backbone": "tests.small_network:Small"}
    segmenter = Segmenter(**network, num_classes=3)
    params, batch_stats = segmenter.init(0)
    options = {"height": 30, "width": 44, "batch_size": 2}
    counts = confusion.evaluate(segmenter, params, batch_stats, Source(), **options)
    matrix = counts.matrix
    assert capsys.readouterr().out.startswith("evaluation: 3 in ")
    expected = np.zeros((3, 3), int)
    for i in (0, 2):  # These need no resizing, so that NumPy can follow.
        example = Source()[i]
        images = normalize(example["image"][None])
        logits = segmenter.apply(params, batch_stats, images, train=False)[0].logits
        prediction = np.asarray(upsample(logits, 30, 44)[0].argmax(axis=-1))
        for true, guess in zip(example["label"].ravel(), prediction.ravel(), strict=True):
            if true != 255:
                expected[true, guess] += 1
    rest = matrix - expected
    assert rest.min() >= 0
    assert rest.sum() == (Source()[1]["label"] != 255).sum()
    intersection, union = counts.by_image.sum(axis=0)
    np.testing.assert_allclose(confusion.iou(matrix), intersection / union)
    own = [
        confusion.evaluate(segmenter, params, batch_stats, Subset(Source(), [i]), **options) for i in range(3)
    ]
    np.testing.assert_array_equal(counts.by_image, np.concatenate([one.by_image for one in own]))


def test_synthia_is_scored_over_16_and_13_of_19_classes():
    # Class c has IoU c / 20, so that each mean can be told by hand; bus (15) does not occur.
    values = np.arange(19) / 20
    values[15] = np.nan
    scores = confusion.scores(values, CLASS_NAMES, "synthia")
    sixteen = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 18]
    thirteen = [0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 17, 18]
    assert scores["miou"] == pytest.approx(5 * sum(sixteen) / 15)
    assert scores["miou_13"] == pytest.approx(5 * sum(thirteen) / 12)
    assert len(scores["iou"]) == 16
    assert not {"terrain", "truck", "train"} & scores["iou"].keys()
    assert scores["iou"]["bus"] is None
    assert scores["iou"]["bicycle"] == pytest.approx(90.0)


def test_all_classes_have_one_mean():
    scores = confusion.scores(np.array([0.5, np.nan, 0.7]), "abc")
    assert scores == {"miou": pytest.approx(60.0), "iou": {"a": 50.0, "b": None, "c": pytest.approx(70.0)}}
