"""The teacher step's parts against NumPy, and its steps: what they make and how they go on after a kill."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.training import checkpoints, losses, parallel, teacher
from adeada_jax.training.class_mix import pasted_pixels
from adeada_jax.training.loop import LoopOptions, run_steps
from adeada_jax.types import IGNORE_LABEL, NO_CLASS
from tests.training import devices

CLASSES = 6


@pytest.fixture(scope="module")
def labels():
    """The first image has five classes, the second four, the third one and the fourth none."""
    label = np.random.default_rng(0).integers(0, 5, (4, 8, 10)).astype(np.uint8)
    label[1] = np.where(label[1] == 3, IGNORE_LABEL, label[1])
    label[2] = np.where(label[2] == 3, 3, NO_CLASS)
    label[3] = IGNORE_LABEL
    return label


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_the_teacher_is_the_ramped_average_of_the_students():
    rng = np.random.default_rng(0)
    students = rng.normal(size=(8, 2, 3)).astype(np.float32)
    expected, found = students[0].astype(float), tuple(students[0])
    for t, student in enumerate(students[1:], 1):
        kept = min(1 - 1 / (t + 1), 0.75)
        expected = kept * expected + (1 - kept) * student
        state = SimpleNamespace(step=jnp.int32(t), params=student[0], batch_stats=student[1])
        found = teacher.follow(found, state, 0.75)
        assert np.abs(np.stack(found) - expected).max() < 1e-6
        if t <= 3:  # as long as the ramp is below the decay all count alike
            assert np.abs(expected - students[: t + 1].mean(0)).max() < 1e-6
    assert found[0].dtype == jnp.float32


def test_pseudo_labels_weigh_as_much_as_their_image_is_sure(labels):
    logits = 4 * np.random.default_rng(1).normal(size=(*labels.shape, CLASSES)).astype(np.float32)
    probability, guess = np.exp(log_softmax(logits)).max(-1), logits.argmax(-1)
    found = jax.device_get(jax.jit(teacher.pseudo_labels)(logits, labels, 0.9))
    for i, label in enumerate(labels):
        asked = label == IGNORE_LABEL
        sure = (probability[i][asked] > 0.9).mean() if asked.any() else 0
        assert found.sure[i] == pytest.approx(sure)
        assert (found.label[i][asked] == guess[i][asked]).all()
        assert found.weight[i][asked] == pytest.approx(np.full(asked.sum(), sure, np.float32))
        bought = label < CLASSES
        assert (found.label[i][bought] == label[bought]).all()
        assert (found.weight[i][bought] == 1).all()
        assert (found.weight[i][label == NO_CLASS] == 0).all()
    assert 0 < found.sure[1] < 1
    assert found.sure[0] == 0


def test_half_of_an_images_classes_are_pasted_those_with_the_least_draws(labels):
    rng, chosen = np.random.default_rng(2), []
    for _ in range(20):
        draws = rng.random((4, CLASSES))
        pasted = np.asarray(jax.jit(pasted_pixels)(draws, labels))
        for i, label in enumerate(labels):
            present = np.unique(label[label < CLASSES])
            half = present[np.argsort(draws[i, present])][: -(-len(present) // 2)]
            assert (pasted[i] == np.isin(label, half)).all()
        chosen.append(tuple(np.unique(labels[1][pasted[1]])))
    assert len(set(chosen)) > 3


def test_the_weighted_loss_is_the_mean_over_all_pixels_times_their_weights(labels):
    logits = np.random.default_rng(3).normal(size=(*labels.shape, CLASSES)).astype(np.float32)
    weights = np.random.default_rng(4).random(labels.shape).astype(np.float32)
    weights[labels >= CLASSES] = 0
    known = np.where(labels < CLASSES, labels, 0)
    each = -np.take_along_axis(log_softmax(logits), known[..., None].astype(int), -1)[..., 0] * weights
    found, count = jax.jit(losses.weighted_cross_entropy)(logits, labels, weights)
    assert count == 4
    assert float(found) == pytest.approx(each.mean((1, 2)).sum(), rel=1e-5)


def test_a_mixed_image_depends_on_its_place_in_the_batch_and_not_on_its_row(labels):
    rng = np.random.default_rng(5)
    images = {"image": np.full((4, 8, 10, 3), 250, np.uint8), "label": labels, "place": np.arange(4),
              "target_image": np.full((4, 8, 10, 3), 5, np.uint8)}  # fmt: skip
    guess = rng.integers(0, CLASSES, labels.shape).astype(np.int32)
    pseudo = teacher.PseudoLabels(guess, np.full(labels.shape, 0.3, np.float32), np.zeros(4))
    mix = jax.jit(teacher.mix, static_argnums=3)
    key = jax.random.key(7)
    whole = mix(key, images, pseudo, CLASSES)
    turned = mix(key, *jax.tree.map(lambda value: value[::-1], (images, pseudo)), CLASSES)
    for one, other in zip(whole, turned, strict=True):
        assert np.array_equal(one[::-1], other)
    pasted = np.asarray(whole.weight) == 1
    assert 0 < pasted[0].mean() < 1
    assert not pasted[3].any()
    assert (np.asarray(whole.label) == np.where(pasted, labels, guess)).all()
    assert np.unique(whole.weight[~pasted]) == pytest.approx([0.3])
    other = mix(jax.random.key(8), images, pseudo, CLASSES)
    assert (np.asarray(other.weight) != np.asarray(whole.weight)).any()
    # Without a blur's edge in between, what was pasted is bright and the rest dark.
    inside = np.asarray(whole.image).mean(-1) > 128
    assert (inside == pasted).mean() > 0.9


@pytest.fixture(scope="module")
def training():
    """A state and its step, as devices.py has them: one program serves both."""
    state, step = devices.teacher(devices.segmenter("frozen"), 1)
    return jax.device_get(state), parallel.parallelize(step)


def run(training, *, start, like, saved, steps=4):
    _, step = training
    batches = itertools.repeat(devices.batch("teacher"))
    options = LoopOptions("training", steps, log_every=1, checkpoint_every=2, seed=3)
    logged = []
    state = run_steps(step, like, batches, options, start=start, save=saved,
                      log=lambda done, values: logged.append((done, values["mixed_loss"])))  # fmt: skip
    return jax.device_get(state), logged


def test_a_killed_training_goes_on_with_the_same_bits(training, tmp_path):
    with checkpoints.Progress(tmp_path) as progress:
        whole, logged = run(training, start=0, like=training[0], saved=progress.save)
    assert progress.latest_step() == 2
    again, rest = run(training, start=2, like=progress.restore(2, training[0]), saved=lambda *_: None)
    assert rest == logged[2:]
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        assert np.array_equal(one, other)
    moved = jax.tree.map(lambda one, other: np.abs(one - other).max(), whole.teacher, training[0].teacher)
    assert max(jax.tree.leaves(moved)) > 0
