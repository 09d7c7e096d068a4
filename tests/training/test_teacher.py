"""The teacher step's parts against NumPy, and its steps: what they make and how they go on after a kill."""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adeada_jax.models import Draw, normalize, upsample
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


MIX = jax.jit(teacher.mix, static_argnums=3)


def test_a_mixed_image_depends_on_its_place_in_the_batch_and_not_on_its_row():
    batch, rng = devices.batch("teacher"), np.random.default_rng(5)
    labels = batch["label"]
    images = {"image": np.full_like(batch["image"], 250), "label": labels, "place": batch["place"],
              "target_image": np.full_like(batch["image"], 5)}  # fmt: skip
    guess = rng.integers(0, 3, labels.shape).astype(np.int32)
    pseudo = teacher.PseudoLabels(guess, np.full(labels.shape, 0.3, np.float32), np.zeros(8, np.float32))
    key = jax.random.key(7)
    whole = MIX(key, images, pseudo, 3)
    turned = MIX(key, *jax.tree.map(lambda value: value[::-1], (images, pseudo)), 3)
    for one, other in zip(whole, turned, strict=True):
        assert np.array_equal(one[::-1], other)
    pasted = np.asarray(whole.weight) == 1
    assert 0 < pasted[0].mean() < 1
    assert not pasted[1].any()  # it has no label
    assert (np.asarray(whole.label) == np.where(pasted, labels, guess)).all()
    assert np.unique(whole.weight[~pasted]) == pytest.approx([0.3])
    other = MIX(jax.random.key(8), images, pseudo, 3)
    assert (np.asarray(other.weight) != np.asarray(whole.weight)).any()
    # Without a blur's edge in between, what was pasted is bright and the rest dark.
    inside = np.asarray(whole.image).mean(-1) > 128
    assert (inside == pasted).mean() > 0.9


def test_a_mixed_image_is_made_of_the_two_pixel_by_pixel(labels, monkeypatch):
    """Pasted pixels have even values and others odd ones, so that the image tells which are pasted."""
    monkeypatch.setattr(teacher, "augment_strongly", lambda images, draws, order: images)
    rng = np.random.default_rng(6)
    image, target = 2 * rng.integers(0, 128, (2, *labels.shape, 3)).astype(np.uint8)
    target += 1
    images = {"image": image, "target_image": target, "label": labels, "place": np.arange(4)}
    pseudo = teacher.PseudoLabels(
        rng.integers(0, CLASSES, labels.shape).astype(np.int32), rng.random(labels.shape, np.float32),
        np.zeros(4, np.float32),
    )  # fmt: skip
    mixed = jax.device_get(
        jax.jit(lambda *args: teacher.mix(*args, CLASSES))(jax.random.key(1), images, pseudo)
    )
    pasted = np.rint(mixed.image).astype(int)[..., 0] % 2 == 0
    for one, label in zip(pasted, labels, strict=True):
        whole = np.unique(label[one])
        assert len(whole) == -(-len(np.unique(label[label < CLASSES])) // 2)
        assert (one == (np.isin(label, whole) & (label < CLASSES))).all()
    assert np.abs(mixed.image - np.where(pasted[..., None], image, target)).max() < 1e-4
    assert (mixed.label == np.where(pasted, labels, pseudo.label)).all()
    assert (mixed.weight == np.where(pasted, np.float32(1), pseudo.weight)).all()


@pytest.fixture(scope="module")
def training():
    """A state and its step, as devices.py has them: one program serves both."""
    state, step = devices.teacher(devices.segmenter("frozen"), 1)
    return jax.device_get(state), parallel.parallelize(step)


def test_a_steps_losses_are_numpys(training):
    """Of the network only the logits are taken, and of the mix what the tests above hold to NumPy."""
    state, step = training
    network, batch, key = devices.segmenter("frozen"), devices.batch("teacher"), jax.random.key(4)

    @jax.jit
    def logits(weights, images, draw=None):
        found, _ = network.apply(*weights, normalize(images), train=draw is not None, draw=draw)
        return upsample(found.logits, *images.shape[1:3])

    bought, asked = batch["target_label"], batch["target_label"] == IGNORE_LABEL
    logs = log_softmax(np.asarray(logits(state.teacher, batch["target_image"].astype(np.float32))))
    certain = np.exp(logs.max(-1)) > devices.THRESHOLD
    sure = (certain & asked).sum((1, 2)) / asked.sum((1, 2))
    assert ((sure > 0) & (sure < 1)).any()
    pseudo = teacher.PseudoLabels(
        np.where(asked, logs.argmax(-1), bought).astype(np.int32),
        np.where(asked, sure[:, None, None], bought != NO_CLASS).astype(np.float32), sure.astype(np.float32),
    )  # fmt: skip
    pasting = {name: batch[name] for name in ("image", "label", "place", "target_image")}
    mixed = jax.device_get(MIX(jax.random.fold_in(key, 1), pasting, pseudo, 3))
    images = np.concatenate([batch["image"].astype(np.float32), mixed.image])
    places = np.concatenate([batch["place"], batch["target_place"]])
    student, draw = (
        (state.student.params, state.student.batch_stats),
        Draw(jax.random.fold_in(key, 0), places),
    )
    logs = log_softmax(np.asarray(logits(student, images, draw), np.float64))

    labels = np.concatenate([batch["label"], mixed.label]).astype(int)
    losses = -np.take_along_axis(logs, np.minimum(labels, 2)[..., None], -1)[..., 0]
    own, others = np.split(losses, 2)
    known = batch["label"] != IGNORE_LABEL
    means = [one[which].mean() for one, which in zip(own, known, strict=True) if which.any()]
    _, values = step(parallel.replicate(state), parallel.shard(batch), key)
    assert float(values["loss"]) == pytest.approx(np.mean(means), rel=1e-5)
    assert float(values["mixed_loss"]) == pytest.approx((mixed.weight * others).mean(), rel=1e-5)
    assert float(values["sure_pixels"]) == pytest.approx(sure.mean(), rel=1e-5)


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
