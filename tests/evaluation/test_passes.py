"""Windows and mirror images against a loop over them in NumPy."""

from functools import partial

import cv2
import jax
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from adeada_jax.data.subset import Subset
from adeada_jax.evaluation import confusion
from adeada_jax.evaluation.passes import WHOLE, Passes, class_scores, passes_of
from adeada_jax.models import Segmenter, normalize
from adeada_jax.run.prediction import uncertainty_map

HEIGHT, WIDTH, CLASSES = 40, 56, 3
WAYS = {
    "flip": Passes(flip=True),
    "windows": Passes(24, 16),
    "wide windows, flip": Passes(48, 20, flip=True),  # as high as the input
    "one window": Passes(64, 64),
}


@pytest.fixture(scope="module")
def model():
    network = {"name": "tests.small_network:Linear", "backbone": "tests.small_network:Small"}
    segmenter = Segmenter(**network, num_classes=CLASSES)
    params, batch_stats = segmenter.init(0)
    kernel = params["head"]["classifier"]["kernel"]
    params["head"]["classifier"]["kernel"] = 20 * kernel  # so that probabilities are far from equal
    return segmenter, params, batch_stats


@pytest.fixture(scope="module")
def logits(model):
    """Of one image, enlarged to its size."""
    segmenter, *weights = model
    apply = jax.jit(partial(segmenter.apply, train=False))

    def enlarged(image):
        found = np.asarray(apply(*weights, image[None])[0].logits[0])
        return cv2.resize(found, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    return enlarged


def images(count):
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 5, 7, 3), dtype=np.uint8)
    return np.stack([cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST) for one in coarse])


def looped(logits, image, passes):
    """Log probabilities of one normalised image."""
    if passes.flip:
        once = Passes(passes.window, passes.stride)
        there, back = looped(logits, image, once), looped(logits, image[:, ::-1], once)[:, ::-1]
        return np.log((np.exp(there) + np.exp(back)) / 2)
    height, width = min(passes.window or HEIGHT, HEIGHT), min(passes.window or WIDTH, WIDTH)
    total, count = np.zeros((HEIGHT, WIDTH, CLASSES)), np.zeros((HEIGHT, WIDTH, 1))
    bottom = 0
    for i in range(100):
        bottom, right = min(i * passes.stride + height, HEIGHT), 0
        for j in range(100):
            right = min(j * passes.stride + width, WIDTH)
            place = slice(bottom - height, bottom), slice(right - width, right)
            total[place] += logits(image[place])
            count[place] += 1
            if right == WIDTH:
                break
        if bottom == HEIGHT:
            break
    assert count.min() > 0
    return log_softmax(total / count, axis=-1)


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_those_of_a_loop(model, logits, way):
    normalised = normalize(images(2))
    found = jax.jit(partial(class_scores, model[0], passes=WAYS[way]))(*model[1:], normalised)
    expected = np.stack([looped(logits, np.asarray(image), WAYS[way]) for image in normalised])
    np.testing.assert_allclose(softmax(found, axis=-1), np.exp(expected), atol=2e-5)
    whole = np.stack([looped(logits, np.asarray(image), WHOLE) for image in normalised])
    assert (np.abs(np.exp(expected - whole) - 1).max() > 0.1) == (way != "one window")


def test_windows_are_those_of_mmsegmentation():
    for size in range(1, 40):
        side, starts = Passes(12, 5).windows(size, 30)
        # height - crop + stride - 1 over the stride, as in `slide_inference`, and moved in from the border
        grid = max(size - 12 + 5 - 1, 0) // 5 + 1
        tops = [max(min(i * 5 + 12, size) - 12, 0) for i in range(grid)]
        assert side == (min(12, size), 12)
        assert sorted(set(starts[:, 0])) == sorted(set(tops))
        assert len(starts) == len(tops) * 5


def test_the_work_is_the_area_that_goes_through():
    assert WHOLE.work(1024, 2048) == 1
    assert Passes(flip=True).work(1024, 2048) == 2
    assert Passes(1024, 512).work(1024, 2048) == 1.5
    assert Passes(768, 512, flip=True).work(1024, 2048) == 2 * 8 * 768**2 / 1024 / 2048


class Labelled:
    """Two images that need no resizing, the last row ignored."""

    names = ("a", "b")

    def __len__(self):
        return 2

    def __getitem__(self, i):
        label = np.random.default_rng(i).integers(0, CLASSES, (HEIGHT, WIDTH)).astype(np.uint8)
        label[-1] = 255
        return {"image": images(2)[i], "label": label}


def test_evaluation_counts_what_the_passes_predict(model, logits):
    passes = WAYS["wide windows, flip"]
    options = {"height": HEIGHT, "width": WIDTH, "passes": passes}
    counts = confusion.evaluate(*model, Subset(Labelled(), [0, 1]), **options)
    expected = np.zeros((CLASSES, CLASSES), int)
    for i in range(2):
        example = Labelled()[i]
        image = np.asarray(normalize(example["image"][None])[0])
        predicted = looped(logits, image, passes)[:-1].argmax(axis=-1)
        np.add.at(expected, (example["label"][:-1], predicted), 1)
    assert np.abs(counts.matrix - expected).sum() <= 4  # rounding may turn a tie
    assert counts.matrix.sum() == 2 * (HEIGHT - 1) * WIDTH
    assert (expected.sum(axis=0) > 0).sum() > 1


@pytest.mark.parametrize("classes", [1, 2, 3, 19, 150])
def test_uncertainty_is_the_entropy_of_the_enlarged_scores(classes):
    scores = 5 * np.random.default_rng(classes).normal(size=(9, 12, classes)).astype(np.float32)
    scores[:5, :5] = 1.5  # all alike
    enlarged = np.stack([cv2.resize(scores[..., c], (80, 50)) for c in range(classes)], axis=-1)
    p = softmax(enlarged.astype(np.float64), axis=-1)
    share = -(p * np.log(p)).sum(axis=-1) / np.log(max(classes, 2))
    found = uncertainty_map(scores, 50, 80)
    assert (found.shape, found.dtype) == ((50, 80), np.uint16)
    np.testing.assert_allclose(found, 65535 * share, atol=2)
    assert (found.max() == 65535) == (classes > 1)


def test_a_stride_without_a_window_is_none():
    assert passes_of({"window": 0, "stride": 5, "flip": False}) == WHOLE
